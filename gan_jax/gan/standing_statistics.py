"""Standing statistics: recomputes the averages of batch norm for the weights that are used for sampling."""

from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.gan.make import sampling_params
from gan_jax.gan.spec import GANSpec
from gan_jax.gan.state import TrainState, named_key
from gan_jax.typing import Array, Players, PyTree


def standing_statistics(
    spec: GANSpec,
    params: Players,
    opt_state: TrainState,
    rng: Array,
    *,
    batches: int = 16,
    batch_size: int = 64,
    real: Array | None = None,
    inputs: Array | None = None,
    ema: bool = True,
) -> TrainState:
    """Replaces G's running averages by the mean of the batch statistics of `batches` batches of new latents.

    The running averages of training lag behind, and belong to the trained weights instead of their moving average. The function
    supports every layer whose averages follow new <- m old + (1 - m) batch in the collection "batch_stats", for any m and any scale of
    the statistics. It does not change averages that a forward pass leaves unchanged.

    Args:
        spec: The GAN.
        params: Parameters of both players.
        opt_state: Train state. Only G's running averages are replaced.
        rng: Typed key.
        batches: Number of batches to average over.
        batch_size: Number of latents in each batch.
        real: float [batch_size, ...], real images. Required if G is conditioned on a context.
        inputs: float [batch_size, ...], their inputs if these are in the data. Otherwise contexts are made from the real images.
        ema: Whether to use the moving average of the weights, if the optimiser tracks one.

    Returns:
        The train state to sample with. If G has no batch statistics, it is `opt_state` itself.

    Raises:
        ValueError: If `batches` or `batch_size` is below 1.

    References:
        Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis", 2019, appendix C.
    """
    if batches < 1 or batch_size < 1:
        raise ValueError(f"batches and batch_size must be at least 1; got {batches} and {batch_size}")
    network_state = opt_state.networks.generator
    if "batch_stats" not in network_state:
        return opt_state
    weights, _ = spec.effective_params("generator", sampling_params(params, opt_state) if ema else params.generator, opt_state)
    kept = network_state["batch_stats"]

    def updated(before: PyTree, key: Array) -> PyTree:
        """The running averages after one batch, if they were `before` before it."""
        state = {**network_state, "batch_stats": before}
        latents = spec.sample_latents(named_key(key, "latents"), (batch_size, spec.latent_dim))
        labels = jax.random.randint(named_key(key, "labels"), (batch_size,), 0, spec.num_classes) if spec.num_classes else None
        context = None if real is None else spec.context(named_key(key, "context"), real, inputs)
        after: Any = spec.generator.apply(weights, state, latents, labels, context, rng=named_key(key, "generator"), train=True)[1]
        return after["batch_stats"]

    def add(carry: tuple[PyTree, PyTree], key: Array) -> tuple[tuple[PyTree, PyTree], None]:
        total, moves = carry
        first = updated(zeros, key)
        # If all averages are still 0, either the batch statistic is 0 or the pass changes no average. An update from 1 tells which.
        second = updated(jax.tree.map(lambda a: jnp.where(jnp.any(a != 0), a, 1), first), key)
        total = jax.tree.map(lambda sum_, a, c: sum_ + _statistic(a, c), total, first, second)
        moves = jax.tree.map(lambda moved, a, c: moved | jnp.any(a != 0) | jnp.any(c != 1), moves, first, second)
        return (total, moves), None

    zeros = jax.tree.map(jnp.zeros_like, kept)
    still = jax.tree.map(lambda leaf: jnp.asarray(False), kept)
    (total, moves), _ = jax.lax.scan(add, (zeros, still), jax.random.split(rng, batches))
    mean = jax.tree.map(lambda old, sum_, moved: jnp.where(moved, sum_ / batches, old), kept, total, moves)
    generator = {**network_state, "batch_stats": mean}
    return opt_state._replace(networks=opt_state.networks._replace(generator=generator))


def _statistic(a: Array, c: Array) -> Array:
    """Computes the batch statistic b from two updates with the same batch: 0 was updated to a, and a was updated to c.

    a = (1 - m) b and c = (1 + m) a, so b = a / (1 - m) with 1 - m = (2 a - c) / a. The relative precision does not depend on the
    scale of b. All entries have the same m, so m is computed from the sums over all entries. Entries that consist of rounding errors
    only then have no influence.
    """
    size = jnp.abs(a).sum()
    return a * (size / jnp.where(size == 0, 1, jnp.abs(2 * a - c).sum()))
