"""Targets of the discriminator that are not plain 1 and 0: soft labels, one-sided smoothing, flipped labels.

They feed `real_target` and `fake_target` of the cross-entropy and least-squares losses.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from gan_jax._checks import check_interval
from gan_jax.typing import Array


def soft_targets(rng: Array, shape: Sequence[int], low: float, high: float, *, dtype: DTypeLike = jnp.float32) -> Array:
    """Draws targets uniformly from [low, high): t ~ U(low, high), one per example.

    Soft labels draw reals from [0.7, 1.2] and fakes from [0.0, 0.3]; one-sided smoothing draws reals from
    [0.9, 1.1] (or takes the constant 0.9) and leaves the fakes at 0. A constant is `low == high`.

    Args:
        rng: key.
        shape: shape of the result, usually `(batch,)`, or the logits' shape for a draw per patch.
        low: lower end, included.
        high: upper end, not included.
        dtype: floating-point type of the result.

    Returns:
        Targets, `shape`, `dtype`.

    Raises:
        ValueError: low above high.

    References:
        Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.4 (a constant, one-sided).
        Chintala et al., "How to Train a GAN?", NIPS 2016 workshop talk, trick 6 (drawn at random).
    """
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        raise ValueError(f"low must not be above high; got low={low} and high={high}")
    return jax.random.uniform(rng, tuple(shape), dtype, minval=low, maxval=high)


def flip_targets(
    rng: Array, real_target: ArrayLike, fake_target: ArrayLike, probability: float, *, shape: Sequence[int] | None = None
) -> tuple[Array, Array]:
    """Labels each real as fake, and each fake as real, with a small probability: (r, f) -> (f, r).

    Every example has a draw of its own, reals and fakes independently: example i's real target becomes
    `fake_target[i]` with `probability`, and its fake target becomes `real_target[i]` with `probability`.
    With probability 1 the two are exchanged; with 0 they come back unchanged.

    Args:
        rng: key.
        real_target: targets of the reals, a scalar or `[batch]`.
        fake_target: targets of the fakes, likewise.
        probability: of a flip, in [0, 1].
        shape: shape to draw for, needed to give scalars a draw per example: `(batch,)`.
            By default the targets' common shape, so that two scalars flip together for the whole batch.

    Returns:
        `(real_target, fake_target)`, floating point, both of `shape`.

    Raises:
        ValueError: probability outside [0, 1]; targets that do not broadcast to `shape`.

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
