"""Penalties on D's logits: on changes under augmentation (CR, bCR), latent noise (zCR) and over time (LeCam), and on drift from zero."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gan_jax._internal.checks import check_float, check_not_empty, check_rank, check_same_shape
from gan_jax.typing import Array, DiscriminatorOutput


def consistency_penalty(critic: Callable[[Array], Any], images: Array, augmented: Array) -> Array:
    """Consistency regularisation (CR): |D(x) - D(T(x))|^2, the squared distance between logits of an image and its augmented copy.

    Both terms carry gradient. The paper applies the penalty to the logits of real images, with weight 10. The augmentation T
    must keep images realistic, so use flips and small shifts (see `random_flip_shift`).

    Args:
        critic: Maps inputs to logits [batch], to a patch map (summed over each example), or to a tuple of such. It is called
            separately on each of the two batches, so batch norm does not mix them.
        images: Float [batch, ...].
        augmented: Augmented images T(images), float, same shape.

    Returns:
        One value per example, [batch], at least float32.

    Raises:
        ValueError: The shapes differ, the batch is empty, or the critic reduces over the batch.
        TypeError: The inputs or logits are not floating point, or the critic returns a `DiscriminatorOutput`.

    References:
        Zhang et al., "Consistency Regularization for Generative Adversarial Networks", 2020.
    """
    check_same_shape(images=images, augmented=augmented)
    check_not_empty(images=images)
    check_float(images=images, augmented=augmented)
    return _squared_distance(critic(images), critic(augmented), images.shape[0])


def balanced_consistency_penalty(
    critic: Callable[[Array], Any],
    real: Array,
    fake: Array,
    augmented_real: Array,
    augmented_fake: Array,
    *,
    fake_weight: float = 1.0,
) -> Array:
    """Balanced consistency regularisation (bCR): |D(x) - D(T(x))|^2 + fake_weight * |D(G(z)) - D(T(G(z)))|^2.

    Without the second term, artefacts of the augmentation appear in the fakes. The paper's weights are 10 and 10.

    Args:
        critic: As in `consistency_penalty`. It is called four times.
        real: Real images, float [batch, ...].
        fake: Fakes, float, same shape. Apply `stop_gradient` to them unless the penalty should also train G.
        augmented_real: T(real), same shape.
        augmented_fake: T(fake), same shape.
        fake_weight: Weight of the second term relative to the first.

    Returns:
        One value per pair of a real and a fake example, [batch], at least float32.

    Raises:
        ValueError: The shapes differ, the batch is empty, or the critic reduces over the batch.
        TypeError: The inputs or logits are not floating point, or the critic returns a `DiscriminatorOutput`.

    References:
        Zhao et al., "Improved Consistency Regularization for GANs", 2020, algorithm 1.
    """
    check_same_shape(real=real, fake=fake)
    return consistency_penalty(critic, real, augmented_real) + fake_weight * consistency_penalty(critic, fake, augmented_fake)


def perturb_latents(rng: Array, latents: Array, *, std: float = 0.03) -> Array:
    """Adds a small amount of noise to latents: T(z) = z + e, e ~ N(0, std^2). This is the augmentation of zCR.

    Args:
        rng: Typed JAX random key.
        latents: Float [batch, dim].
        std: Standard deviation of the noise, not negative.

    Returns:
        Float, same shape and dtype.

    Raises:
        ValueError: `std` is negative.

    References:
        Zhao et al., "Improved Consistency Regularization for GANs", 2020, section 3.2.
    """
    if isinstance(std, int | float) and std < 0:
        raise ValueError(f"std must not be negative; got {std}")
    return latents + jnp.asarray(std, latents.dtype) * jax.random.normal(rng, latents.shape, latents.dtype)


def latent_consistency_penalty(critic: Callable[[Array], Any], fake: Array, perturbed_fake: Array) -> Array:
    """Latent consistency regularisation (zCR), discriminator term: |D(G(z)) - D(G(T(z)))|^2.

    Args:
        critic: As in `consistency_penalty`.
        fake: G(z), float [batch, ...]. Apply `stop_gradient` to both batches of fakes, because this term trains only D.
        perturbed_fake: G(T(z)), same shape. See `perturb_latents` for T.

    Returns:
        One value per example, [batch], at least float32. The paper's weight is 5 for DCGAN and SNGAN, and 20 for BigGAN.

    Raises:
        ValueError: The shapes differ, the batch is empty, or the critic reduces over the batch.
        TypeError: The inputs or logits are not floating point, or the critic returns a `DiscriminatorOutput`.

    References:
        Zhao et al., "Improved Consistency Regularization for GANs", 2020, algorithm 2.
    """
    check_same_shape(fake=fake, perturbed_fake=perturbed_fake)
    return consistency_penalty(critic, fake, perturbed_fake)


def latent_diversity_loss(fake: Array, perturbed_fake: Array) -> Array:
    """Latent consistency regularisation (zCR), generator term: the negative mean squared difference of G(z) and G(T(z)).

    It rewards a generator whose images change with the latents. This counteracts the mode collapse that D's term encourages.

    Args:
        fake: G(z), float [batch, ...].
        perturbed_fake: G(T(z)), same shape.

    Returns:
        One value per example, [batch], zero or negative, at least float32. The paper's weight is 0.5.

    Raises:
        ValueError: The shapes differ, or the batch is empty.
        TypeError: The images are not floating point.

    References:
        Zhao et al., "Improved Consistency Regularization for GANs", 2020, algorithm 2. Deviation: the paper uses the squared
        norm. This function uses the mean over an example's elements, as StudioGAN does, so that it does not grow with the
        resolution. Multiply by the number of elements to get the norm.
    """
    check_same_shape(fake=fake, perturbed_fake=perturbed_fake)
    check_not_empty(fake=fake)
    check_float(fake=fake, perturbed_fake=perturbed_fake)
    return -jnp.mean(jnp.square(_widen(fake) - _widen(perturbed_fake)).reshape(fake.shape[0], -1), axis=1)


class LecamState(NamedTuple):
    """Exponential moving averages of D's logits. They start at 0, so divide them by `weight` to remove the bias.

    Attributes:
        real: Average of D's logits of real images, float32 [].
        fake: Average of D's logits of fakes, float32 [].
        weight: 1 - decay^count after `count` updates, float32 []. It is the share of the average that comes from logits.
    """

    real: Array
    fake: Array
    weight: Array


def init_lecam() -> LecamState:
    """Returns the initial state of the LeCam anchors.

    Returns:
        A state of zeros.
    """
    return LecamState(jnp.zeros(()), jnp.zeros(()), jnp.zeros(()))


def update_lecam(state: LecamState, real_logits: Array, fake_logits: Array, *, decay: float = 0.99) -> LecamState:
    """Updates the LeCam anchors with the logits of one D step: average <- decay * average + (1 - decay) * mean(logits).

    Call it once per D step, before `lecam_penalty`. Inside `shard_map`, average the returned anchors over the devices.

    Args:
        state: The anchors.
        real_logits: D(x), float, any shape. Gradients are stopped.
        fake_logits: D(G(z)), float, any shape. Gradients are stopped.
        decay: Decay of the moving averages, in [0, 1).

    Returns:
        The updated anchors.

    Raises:
        ValueError: `decay` is outside [0, 1), or there are no logits.
        TypeError: The logits are not floating point.

    References:
        Tseng et al., "Regularizing Generative Adversarial Networks under Limited Data", 2021. The decay and the averages without
        bias are those of the authors' StyleGAN2 code (commit f9af948). In their BigGAN code the decay is 0.9, and until its start
        step the averages are the means of the newest logits.
    """
    if isinstance(decay, int | float) and not 0 <= decay < 1:
        raise ValueError(f"decay must be in [0, 1); got {decay}")
    check_not_empty(real_logits=real_logits, fake_logits=fake_logits)
    check_float(real_logits=real_logits, fake_logits=fake_logits)

    def follow(average: Array, new: Array) -> Array:
        return decay * average + (1 - decay) * new

    real, fake = (jax.lax.stop_gradient(_widen(logits).mean()) for logits in (real_logits, fake_logits))
    return LecamState(follow(state.real, real), follow(state.fake, fake), follow(state.weight, jnp.ones(())))


def lecam_penalty(real_logits: Array, fake_logits: Array, state: LecamState, *, one_sided: bool = True) -> Array:
    """LeCam regularisation: max(0, D(x) - a_F)^2 + max(0, a_R - D(G(z)))^2.

    a_F and a_R are moving averages of D on fakes and on reals. The penalty keeps D's logits of reals from rising above its past
    logits of fakes, and its logits of fakes from falling below its past logits of reals. The two-sided form of the paper's equation
    is (D(x) - a_F)^2 + (D(G(z)) - a_R)^2.

    Args:
        real_logits: D(x), float, any shape.
        fake_logits: D(G(z)), same shape.
        state: The anchors from `update_lecam`. They are treated as constants, and this function removes their bias.
        one_sided: The default is the form of the authors' code (BigGAN on CIFAR and StyleGAN2, commit f9af948) and of StudioGAN
            (commit 947b35e). False is the paper's equation.

    Returns:
        One value per pair of logits, same shape, at least float32. The paper's weights are 0.3 (CIFAR, BigGAN) and 3e-7
        (StyleGAN2).

    Raises:
        ValueError: The shapes differ, or there are no logits.
        TypeError: The logits are not floating point.

    References:
        Tseng et al., "Regularizing Generative Adversarial Networks under Limited Data", 2021.
    """
    check_same_shape(real_logits=real_logits, fake_logits=fake_logits)
    check_not_empty(real_logits=real_logits)
    check_float(real_logits=real_logits, fake_logits=fake_logits)
    weight = jnp.where(state.weight > 0, state.weight, 1.0)
    real_anchor, fake_anchor = (jax.lax.stop_gradient(average / weight) for average in (state.real, state.fake))
    above, below = _widen(real_logits) - fake_anchor, real_anchor - _widen(fake_logits)
    if one_sided:
        above, below = jax.nn.relu(above), jax.nn.relu(below)
    return jnp.square(above) + jnp.square(below)


def drift_penalty(real_logits: Array) -> Array:
    """Drift penalty of progressive GANs: D(x)^2 for reals.

    A Wasserstein loss and a gradient penalty do not change if a constant is added to D. This penalty keeps D(x) from drifting away
    from zero.

    Args:
        real_logits: D(x), float, any shape.

    Returns:
        One value per logit, same shape, at least float32. The paper's weight is 0.001.

    Raises:
        ValueError: There are no logits.
        TypeError: The logits are not floating point.

    References:
        Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation", 2018, appendix A.1.
    """
    check_not_empty(real_logits=real_logits)
    check_float(real_logits=real_logits)
    return jnp.square(_widen(real_logits))


def random_flip_shift(rng: Array, images: Array, *, max_shift: int | None = None, flip: bool = True) -> Array:
    """Augmentation of the CR paper: flips an image left to right with probability 1/2, and shifts it by a few whole pixels.

    Each image has its own random flip and shift. The result is differentiable with respect to the images.

    Args:
        rng: Typed JAX random key.
        images: Float [batch, height, width, channels].
        max_shift: Largest shift in pixels in each direction. The default is an eighth of the height. Border pixels are
            repeated outwards.
        flip: Whether to flip images. Set it to False for digits and letters.

    Returns:
        Float, same shape and dtype.

    Raises:
        ValueError: The images do not have four dimensions, the batch is empty, or `max_shift` is negative.

    References:
        Zhang et al., "Consistency Regularization for Generative Adversarial Networks", 2020, section 3.3.
    """
    check_rank(4, images=images)
    check_not_empty(images=images)
    batch, height, width, _ = images.shape
    limit = height // 8 if max_shift is None else max_shift
    if limit < 0:
        raise ValueError(f"max_shift must not be negative; got {limit}")
    flip_rng, shift_rng = jax.random.split(rng)
    if flip:
        mirrored = jax.random.bernoulli(flip_rng, 0.5, (batch, 1, 1, 1))
        images = jnp.where(mirrored, images[:, :, ::-1], images)
    shifts = jax.random.randint(shift_rng, (batch, 2), -limit, limit + 1)
    rows = jnp.clip(jnp.arange(height) + shifts[:, :1], 0, height - 1)
    columns = jnp.clip(jnp.arange(width) + shifts[:, 1:], 0, width - 1)
    return jax.vmap(lambda image, row, column: image[row][:, column])(images, rows, columns)


def _squared_distance(first: Any, second: Any, batch: int) -> Array:
    """Squared difference of two sets of logits, summed over all logits of an example, [batch]."""
    if isinstance(first, DiscriminatorOutput):
        raise TypeError("critic must return logits; got a DiscriminatorOutput: pass `lambda x: discriminator(x).logits`")
    total = jnp.zeros((batch,))
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        check_float(logits=a)
        if jnp.ndim(a) == 0 or a.shape[0] != batch:
            raise ValueError(f"critic must return one row of logits per example, {batch}; got shape {jnp.shape(a)}")
        total = total + jnp.sum(jnp.square(_widen(a) - _widen(b)).reshape(batch, -1), axis=1)
    return total


def _widen(x: Array) -> Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
