"""Soft and flipped labels: targets of the discriminator other than 1 and 0.

Pass them as `real_target` and `fake_target` to the cross-entropy and least-squares losses.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from gan_jax._internal.checks import check_interval
from gan_jax.typing import Array


def soft_targets(rng: Array, shape: Sequence[int], low: float, high: float, *, dtype: DTypeLike = jnp.float32) -> Array:
    """Samples one target per example uniformly: t ~ U[low, high).

    For soft labels use [0.7, 1.2] for reals and [0.0, 0.3] for fakes. For one-sided smoothing use [0.9, 1.1] or the constant
    0.9 for reals, and 0 for fakes. Set `low == high` for a constant.

    Args:
        rng: JAX random key.
        shape: Shape of the result. Usually `(batch,)`, or the shape of the logits for one target per patch.
        low: Lower end, included.
        high: Upper end, excluded.
        dtype: Floating-point type of the result.

    Returns:
        Targets with the given shape and dtype.

    Raises:
        ValueError: `low` is above `high`.

    References:
        Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.4 (a constant, one-sided).
        Chintala et al., "How to Train a GAN?", NIPS 2016 workshop talk, trick 6 (sampled at random).
    """
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        raise ValueError(f"low must not be above high; got low={low} and high={high}")
    return jax.random.uniform(rng, tuple(shape), dtype, minval=low, maxval=high)


def flip_targets(
    rng: Array, real_target: ArrayLike, fake_target: ArrayLike, probability: float, *, shape: Sequence[int] | None = None
) -> tuple[Array, Array]:
    """Labels each real as fake, and each fake as real, with a small probability: (r, f) -> (f, r).

    The real target of example i becomes `fake_target[i]` with `probability`, and its fake target becomes `real_target[i]`
    with `probability`. Flips are sampled independently for each example, and independently for reals and fakes. With
    probability 1 the targets are exchanged, and with 0 they are unchanged.

    Args:
        rng: JAX random key.
        real_target: Targets of the reals, a scalar or `[batch]`.
        fake_target: Targets of the fakes, a scalar or `[batch]`.
        probability: Probability of a flip, in [0, 1].
        shape: Shape of the result. Pass `(batch,)` to flip scalar targets separately for each example. The default is the
            common shape of the targets. Two scalars then have one flip each for the whole batch.

    Returns:
        `(real_target, fake_target)`, floating point, both with the given shape.

    Raises:
        ValueError: The probability is outside [0, 1], or the targets do not broadcast to `shape`.

    References:
        Chintala et al., "How to Train a GAN?", NIPS 2016 workshop talk, trick 6.
    """
    check_interval(0, 1, probability=probability)
    common = jnp.broadcast_shapes(jnp.shape(real_target), jnp.shape(fake_target))
    shape = common if shape is None else tuple(shape)
    if jnp.broadcast_shapes(common, shape) != shape:
        raise ValueError(f"real_target and fake_target must broadcast to shape {shape}; got {common}")
    dtype = jnp.promote_types(jnp.result_type(real_target, fake_target), jnp.float32)
    real_target = jnp.broadcast_to(jnp.asarray(real_target, dtype), shape)
    fake_target = jnp.broadcast_to(jnp.asarray(fake_target, dtype), shape)
    real_flips, fake_flips = jax.random.bernoulli(rng, probability, (2, *shape))
    return jnp.where(real_flips, fake_target, real_target), jnp.where(fake_flips, real_target, fake_target)
