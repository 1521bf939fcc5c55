"""Relativistic adversarial losses: how much more real than a fake does a real look, and the other way round.

`relativistic_*` pairs each real with one fake (RpGAN); `relativistic_average_*` compares each with the mean of the
other kind (RaGAN). Both players' losses read both kinds of logits, and adding a constant to all logits changes nothing.
Under data parallelism by `shard_map` or `pmap`, `axis_name` averages over all devices; under `jit` with sharded
arrays the mean is global already.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gan_jax.losses.common import check_logits, softplus, weigh, weigh_pair
from gan_jax.typing import Array

Base = Literal["logistic", "least_squares", "hinge"]

# What a real should say, as a function of the relativistic logit y; what a fake should say is the same function of -y.
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

    Each real is compared with the fake at its place in the batch. Other bases: least squares f(y) = (y - 1)^2 / 2,
    hinge f(y) = max(0, 1 - y).

    Args:
        real_logits: D(x), float, any shape; a patch map is as good as a vector.
        fake_logits: D(G(z)), same shape.
        base: "logistic" (RpGAN, R3GAN), "least_squares" or "hinge".
        weights: a factor per pair, a scalar or an array matching the leading axes.

    Returns:
        One value per pair, same shape, float32 or wider.

    Raises:
        TypeError: logits that are not floating point.
        ValueError: shapes that differ, an empty batch, an unknown base, weights that do not fit the logits.

    References:
        Jolicoeur-Martineau, "The relativistic discriminator: a key element missing from standard GAN", 2018.
        Huang et al., "The GAN is dead; long live the GAN! A Modern GAN Baseline", 2024 (R3GAN).
    """
    real_logits, fake_logits = _check_pair(real_logits, fake_logits)
    return weigh(_base(base)(real_logits - fake_logits), weights)


def relativistic_generator_loss(
    fake_logits: Array, real_logits: Array | None = None, *, base: Base = "logistic", weights: ArrayLike | None = None
) -> Array:
    """Paired relativistic loss of the generator: f(D(G(z)) - D(x)), the discriminator's with the two exchanged.

    Args:
        fake_logits: D(G(z)), float, any shape.
        real_logits: D(x), same shape; needed in spite of its default, which the common signature asks for.
        base: "logistic" (RpGAN, R3GAN), "least_squares" or "hinge".
        weights: a factor per pair, a scalar or an array matching the leading axes.

    Returns:
        One value per pair, same shape, float32 or wider.

    Raises:
        TypeError: logits that are not floating point.
        ValueError: no real_logits, shapes that differ, an empty batch, an unknown base, weights that do not fit.

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

    f(y) is log(1 + exp(-y)) for "logistic" (RaSGAN), (y - 1)^2 / 2 for "least_squares" (RaLSGAN) and
    max(0, 1 - y) for "hinge" (RaHinge). E is the mean over the batch, and over the patches of a patch map, each
    of which counts as an example; gradients flow through it. Examples therefore influence each other's value.

    Conventions: the paper's two terms are added, as here; the author's code halves the sum. The factor 1/2 of
    "least_squares" is this library's, as in `least_squares_discriminator_loss`; the paper's RaLSGAN has none.

    Args:
        real_logits: D(x), float, any shape.
        fake_logits: D(G(z)), same shape.
        base: "logistic", "least_squares" or "hinge".
        weights: factors per example; a tuple weighs `(real, fake)` apart. The means stay unweighted.
        axis_name: mapped axes to average over as well, inside `shard_map`, `pmap` or `vmap`.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: logits that are not floating point.
        ValueError: shapes that differ, an empty batch, an unknown base, weights that do not fit the logits.

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

    The discriminator's loss with real and fake exchanged; see there for f, E and the conventions.

    Args:
        fake_logits: D(G(z)), float, any shape.
        real_logits: D(x), same shape; needed in spite of its default, which the common signature asks for.
        base: "logistic", "least_squares" or "hinge".
        weights: factors per example; a tuple weighs `(real, fake)` apart. The means stay unweighted.
        axis_name: mapped axes to average over as well, inside `shard_map`, `pmap` or `vmap`.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: logits that are not floating point.
        ValueError: no real_logits, shapes that differ, an empty batch, an unknown base, weights that do not fit.

    References:
        Jolicoeur-Martineau, "The relativistic discriminator: a key element missing from standard GAN", 2018.
    """
    real_logits, fake_logits = _check_pair(real_logits, fake_logits)
    loss = _base(base)
    real_values = loss(_mean(fake_logits, axis_name) - real_logits)
    return weigh_pair(real_values, loss(fake_logits - _mean(real_logits, axis_name)), weights)
