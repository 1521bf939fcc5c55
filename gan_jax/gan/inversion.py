"""Inversion: the latents whose image is nearest to a given image, found by gradient descent through G."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.typing import Array


class Inversion(NamedTuple):
    """Result of an inversion, for each start.

    Attributes:
        latents: float [starts, latent_dim], those of the smallest distance on the way.
        distances: float [starts], their distances.
        history: float [steps, starts], the distances before each step.
    """

    latents: Array
    distances: Array
    history: Array


def _identity(latents: Array) -> Array:
    return latents


def invert(
    generate: Callable[[Array], Array],
    distance: Callable[[Array], Array],
    starts: Array,
    *,
    steps: int = 500,
    learning_rate: float = 0.05,
    prior_weight: float = 1e-3,
    project: Callable[[Array], Array] = _identity,
) -> Inversion:
    """Minimises distance(G(z)) + prior_weight mean(z^2) over z with Adam, from several starts at once.

    The learning rate falls to 0 along a cosine. The second term is the negative logarithm of the density of normal latents, up to a
    factor. It keeps z near the latents that G was trained with. The problem is not convex, so use several starts and keep the best.

    The function is pure. Jit it, because each step runs G and its gradient.

    Args:
        generate: `latents -> images`, G with fixed weights.
        distance: `images -> [starts]`, the distance of each image to the target, differentiable.
        starts: float [starts, latent_dim], the first latents.
        steps: Number of steps, at least 1.
        learning_rate: Learning rate of Adam at the first step.
        prior_weight: Weight of the prior.
        project: Maps latents to the nearest ones of their distribution, after every step. See `PROJECTIONS`.

    Returns:
        The latents with the smallest distance on the way of each start.

    Raises:
        ValueError: `steps` is below 1, or `starts` is not [starts, latent_dim].

    References:
        Zhu et al., "Generative Visual Manipulation on the Natural Image Manifold", 2016.
        Creswell and Bharath, "Inverting the Generator of a Generative Adversarial Network", 2016, for the prior.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1; got {steps}")
    if starts.ndim != 2:
        raise ValueError(f"starts must be [starts, latent_dim]; got shape {starts.shape}")
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

    def objective(latents: Array) -> tuple[Array, Array]:
        distances = distance(generate(latents))
        # The starts are independent, so the gradient of the sum is that of each.
        return jnp.sum(distances + prior_weight * jnp.mean(jnp.square(latents), axis=-1)), distances

    def keep_better(best: tuple[Array, Array], latents: Array, distances: Array) -> tuple[Array, Array]:
        better = distances < best[1]
        return jnp.where(better[:, None], latents, best[0]), jnp.where(better, distances, best[1])

    def step(carry: tuple, _: None) -> tuple[tuple, Array]:
        latents, state, best = carry
        gradient, distances = jax.grad(objective, has_aux=True)(latents)
        best = keep_better(best, latents, distances)
        updates, state = optimizer.update(gradient, state)
        return (project(latents + updates), state, best), distances

    starts = project(starts)
    best = (starts, jnp.full(len(starts), jnp.inf))
    (latents, _, best), history = jax.lax.scan(step, (starts, optimizer.init(starts), best), None, length=steps)
    latents, distances = keep_better(best, latents, distance(generate(latents)))
    return Inversion(latents, distances, history)


def _to_sphere(latents: Array) -> Array:
    norm = jnp.linalg.norm(latents, axis=-1, keepdims=True)
    return latents * jnp.sqrt(latents.shape[-1]) / jnp.maximum(norm, jnp.finfo(latents.dtype).tiny)


# By the names of `gan_jax.latents.LATENTS`.
PROJECTIONS: dict[str, Callable[[Array], Array]] = {
    "normal": _identity,
    "spherical": _to_sphere,
    "uniform": lambda latents: jnp.clip(latents, -1, 1),
    "truncated_normal": lambda latents: jnp.clip(latents, -2, 2),
}
