"""Relativistic adversarial losses: they compare the logit of a real with the logit of a fake.

`relativistic_*` compares each real with one fake (RpGAN). `relativistic_average_*` compares each example with the mean
logit of the other kind (RaGAN). The losses of D and of G both need the logits of reals and fakes. Adding a constant to all
logits leaves the losses unchanged.

Inside `shard_map` or `pmap`, pass `axis_name` to average over all devices. Under `jit` with sharded arrays the mean is
already global.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gan_jax.losses.common import check_logits, softplus, weigh, weigh_pair
from gan_jax.typing import Array

Base = Literal["logistic", "least_squares", "hinge"]

# The loss f(y) of a real example as a function of its relativistic logit y. A fake example has the loss f(-y).
_BASES: dict[str, Callable[[Array], Array]] = {
    "logistic": lambda y: softplus(-y),
    "least_squares": lambda y: 0.5 * (y - 1) ** 2,
    "hinge": lambda y: jax.nn.relu(1 - y),
}


def _base(name: str) -> Callable[[Array], Array]:
    if name not in _BASES:
        raise ValueError(f"base must be one of {', '.join(map(repr, _BASES))}; got {name!r}")
    return _BASES[name]


def _check_pair(real_logits: Array | None, fake_logits: Array) -> tuple[Array, ...]:
    if real_logits is None:
        raise ValueError("a relativistic generator loss needs real_logits as well as fake_logits; got real_logits=None")
    return check_logits(real_logits=real_logits, fake_logits=fake_logits)


def _mean(logits: Array, axis_name: str | tuple[str, ...] | None) -> Array:
    mean = jnp.mean(logits)
    return mean if axis_name is None else jax.lax.pmean(mean, axis_name)


def relativistic_discriminator_loss(
    real_logits: Array, fake_logits: Array, *, base: Base = "logistic", weights: ArrayLike | None = None
) -> Array:
    """Paired relativistic loss of the discriminator: f(D(x) - D(G(z))), with f(y) = log(1 + exp(-y)).

    Each real is compared with the fake at the same position of the batch. The base "least_squares" uses
    f(y) = (y - 1)^2 / 2, and "hinge" uses f(y) = max(0, 1 - y).

    Args:
        real_logits: D(x). Float, any shape, for example a vector or a patch map.
        fake_logits: D(G(z)), same shape.
        base: "logistic" (RpGAN, R3GAN), "least_squares" or "hinge".
        weights: Weight per pair. A scalar, or an array that matches the leading axes of the logits.

    Returns:
        One value per pair, same shape, float32 or wider.

    Raises:
        TypeError: The logits are not floating point.
        ValueError: The shapes differ, the batch is empty, the base is unknown, or the weights do not fit the logits.

    References:
        Jolicoeur-Martineau, "The relativistic discriminator: a key element missing from standard GAN", 2018.
        Huang et al., "The GAN is dead; long live the GAN! A Modern GAN Baseline", 2024 (R3GAN).
    """
    real_logits, fake_logits = _check_pair(real_logits, fake_logits)
    return weigh(_base(base)(real_logits - fake_logits), weights)


def relativistic_generator_loss(
    fake_logits: Array, real_logits: Array | None = None, *, base: Base = "logistic", weights: ArrayLike | None = None
) -> Array:
    """Paired relativistic loss of the generator: f(D(G(z)) - D(x)), the discriminator loss with real and fake exchanged.

    Args:
        fake_logits: D(G(z)). Float, any shape.
        real_logits: D(x), same shape. Required: the default None exists so that all generator losses share one signature.
        base: "logistic" (RpGAN, R3GAN), "least_squares" or "hinge". See `relativistic_discriminator_loss` for f.
        weights: Weight per pair. A scalar, or an array that matches the leading axes of the logits.

    Returns:
        One value per pair, same shape, float32 or wider.

    Raises:
        TypeError: The logits are not floating point.
        ValueError: `real_logits` is missing, the shapes differ, the batch is empty, the base is unknown, or the weights do
            not fit the logits.

    References:
        Jolicoeur-Martineau, "The relativistic discriminator: a key element missing from standard GAN", 2018.
    """
    real_logits, fake_logits = _check_pair(real_logits, fake_logits)
    return weigh(_base(base)(fake_logits - real_logits), weights)


def relativistic_average_discriminator_loss(
    real_logits: Array,
    fake_logits: Array,
    *,
    base: Base = "logistic",
    weights: ArrayLike | tuple[ArrayLike, ArrayLike] | None = None,
    axis_name: str | tuple[str, ...] | None = None,
) -> Array:
    """Relativistic average loss of the discriminator: f(D(x) - E D(G(z))) + f(E D(x) - D(G(z))).

    f(y) is log(1 + exp(-y)) for "logistic" (RaSGAN), (y - 1)^2 / 2 for "least_squares" (RaLSGAN) and max(0, 1 - y) for
    "hinge" (RaHinge). E is the mean over the batch. For a patch map it is also the mean over the patches, each of which counts
    as an example. Gradients flow through the mean, so the value of an example depends on the others.

    The two terms are added, as in the paper, while the author's code halves the sum. The factor 1/2 of "least_squares" agrees
    with `least_squares_discriminator_loss`, while the paper's RaLSGAN omits it.

    Args:
        real_logits: D(x). Float, any shape.
        fake_logits: D(G(z)), same shape.
        base: "logistic", "least_squares" or "hinge".
        weights: Weight per example, or a tuple `(real_weights, fake_weights)`. The means are unweighted.
        axis_name: Mapped axes over which the mean is also taken, inside `shard_map`, `pmap` or `vmap`.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: The logits are not floating point.
        ValueError: The shapes differ, the batch is empty, the base is unknown, or the weights do not fit the logits.

    References:
        Jolicoeur-Martineau, "The relativistic discriminator: a key element missing from standard GAN", 2018.
    """
    real_logits, fake_logits = _check_pair(real_logits, fake_logits)
    loss = _base(base)
    real_values = loss(real_logits - _mean(fake_logits, axis_name))
    return weigh_pair(real_values, loss(_mean(real_logits, axis_name) - fake_logits), weights)


def relativistic_average_generator_loss(
    fake_logits: Array,
    real_logits: Array | None = None,
    *,
    base: Base = "logistic",
    weights: ArrayLike | tuple[ArrayLike, ArrayLike] | None = None,
    axis_name: str | tuple[str, ...] | None = None,
) -> Array:
    """Relativistic average loss of the generator: f(D(G(z)) - E D(x)) + f(E D(G(z)) - D(x)).

    This is the discriminator loss with real and fake exchanged. `relativistic_average_discriminator_loss` defines f and E
    and lists how the paper differs.

    Args:
        fake_logits: D(G(z)). Float, any shape.
        real_logits: D(x), same shape. Required: the default None exists so that all generator losses share one signature.
        base: "logistic", "least_squares" or "hinge".
        weights: Weight per example, or a tuple `(real_weights, fake_weights)`. The means are unweighted.
        axis_name: Mapped axes over which the mean is also taken, inside `shard_map`, `pmap` or `vmap`.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: The logits are not floating point.
        ValueError: `real_logits` is missing, the shapes differ, the batch is empty, the base is unknown, or the weights do
            not fit the logits.

    References:
        Jolicoeur-Martineau, "The relativistic discriminator: a key element missing from standard GAN", 2018.
    """
    real_logits, fake_logits = _check_pair(real_logits, fake_logits)
    loss = _base(base)
    real_values = loss(_mean(fake_logits, axis_name) - real_logits)
    return weigh_pair(real_values, loss(fake_logits - _mean(real_logits, axis_name)), weights)
