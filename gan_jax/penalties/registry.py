"""`PENALTIES`: every penalty of D on a pair of batches, in the one form `(critic, real, fake, rng) -> values`."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gan_jax.penalties.consistency import balanced_consistency_penalty, consistency_penalty, random_flip_shift
from gan_jax.penalties.gradient import dragan_penalty, gradient_penalty, r1_penalty, r2_penalty, zero_centered_gradient_penalty
from gan_jax.typing import Array


def _one_sided(critic: Callable, real: Array, fake: Array, rng: Array) -> Array:
    return gradient_penalty(critic, real, fake, rng, one_sided=True)


def _r1(critic: Callable, real: Array, fake: Array, rng: Array) -> Array:
    return r1_penalty(critic, real)


def _r2(critic: Callable, real: Array, fake: Array, rng: Array) -> Array:
    return r2_penalty(critic, fake)


def _dragan(critic: Callable, real: Array, fake: Array, rng: Array, *, axis_name: str | None = None) -> Array:
    if axis_name is None:
        return dragan_penalty(critic, real, rng)
    # The neighbourhood is measured by the standard deviation of the batch of all devices.
    mean = jax.lax.pmean(real.mean(), axis_name)
    deviation = jnp.sqrt(jax.lax.pmean(jnp.square(real - mean).mean(), axis_name))
    return dragan_penalty(critic, real, rng, std=deviation)


def _consistency(critic: Callable, real: Array, fake: Array, rng: Array) -> Array:
    return consistency_penalty(critic, real, random_flip_shift(rng, real))


def _balanced_consistency(critic: Callable, real: Array, fake: Array, rng: Array) -> Array:
    # Reals and fakes get the same flips and shifts, so that D cannot tell them apart by their augmentation.
    return balanced_consistency_penalty(critic, real, fake, random_flip_shift(rng, real), random_flip_shift(rng, fake))


PENALTIES: dict[str, Callable[..., Array]] = {
    "wgan_gp": gradient_penalty,
    "wgan_gp_one_sided": _one_sided,
    "r1": _r1,
    "r2": _r2,
    "zero_centered": zero_centered_gradient_penalty,
    "dragan": _dragan,
    "consistency": _consistency,
    "balanced_consistency": _balanced_consistency,
}
# Rows whose value for one example depends on the other examples. DRAGAN uses the standard deviation of the batch. They accept
# `axis_name` for use inside `shard_map`.
COUPLES_EXAMPLES = frozenset({"dragan"})
