"""Penalties on how much the critic's answer changes: under augmentation (CR, bCR), under latent noise (zCR), over time (LeCam)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gan_jax._checks import check_float, check_not_empty, check_rank, check_same_shape
from gan_jax.typing import Array, DiscriminatorOutput


def consistency_penalty(critic: Callable[[Array], Any], images: Array, augmented: Array) -> Array:
    """Consistency regularisation, CR: the squared distance |D(x) - D(T(x))|^2 between the logits of an image and of its augmented copy.

    Both branches carry gradient. The paper applies it to real images, on the last layer, with weight 10. T must keep what makes an
    image real: flips and small shifts, see `random_flip_shift`.

    Args:
        critic: maps inputs to logits: [batch], a patch map (summed over each example), or a tuple of such. It is called on each
            of the two batches by itself, so batch norm does not mix them.
        images: float [batch, ...].
        augmented: float, same shape: T(images).

    Returns:
        One value per example, [batch], at least float32.

    Raises:
        ValueError: shapes differ, the batch is empty, or the critic reduces over the batch.
        TypeError: inputs or logits are not floating point, or the critic returns a `DiscriminatorOutput`.

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
    """Balanced consistency regularisation, bCR: |D(x) - D(T(x))|^2 + fake_weight * |D(G(z)) - D(T(G(z)))|^2.

    Without the second term the augmentation's artefacts leak into the fakes. The paper's weights are 10 and 10.

    Args:
        critic: as in `consistency_penalty`; called four times.
        real: float [batch, ...].
        fake: float, same shape; detach it (`stop_gradient`) unless the penalty is to train G as well.
        augmented_real: T(real), same shape.
        augmented_fake: T(fake), same shape.
        fake_weight: weight of the second term relative to the first.

    Returns:
        One value per pair of a real and a fake example, [batch], at least float32.

    Raises:
        ValueError: shapes differ, the batch is empty, or the critic reduces over the batch.
        TypeError: inputs or logits are not floating point.

    References:
        Zhao et al., "Improved Consistency Regularization for GANs", 2020, algorithm 1.
    """
    check_same_shape(real=real, fake=fake)
    return consistency_penalty(critic, real, augmented_real) + fake_weight * consistency_penalty(critic, fake, augmented_fake)


def perturb_latents(rng: Array, latents: Array, *, std: float = 0.03) -> Array:
    """Latents with a little noise, T(z) = z + e, e ~ N(0, std^2): the augmentation of zCR.

    Args:
        rng: typed key.
        latents: float [batch, dim].
        std: standard deviation of the noise, not negative.

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
    """Latent consistency regularisation, zCR, the discriminator's half: |D(G(z)) - D(G(T(z)))|^2.

    Args:
        critic: as in `consistency_penalty`.
        fake: G(z), float [batch, ...]; detach both (`stop_gradient`), the term is D's.
        perturbed_fake: G(T(z)), same shape, see `perturb_latents`.

    Returns:
        One value per example, [batch], at least float32. The paper's weight is 5 for DCGAN and SNGAN, 20 for BigGAN.

    Raises:
        ValueError: shapes differ, the batch is empty, or the critic reduces over the batch.
        TypeError: inputs or logits are not floating point.

    References:
        Zhao et al., "Improved Consistency Regularization for GANs", 2020, algorithm 2.
    """
    check_same_shape(fake=fake, perturbed_fake=perturbed_fake)
    return consistency_penalty(critic, fake, perturbed_fake)


def latent_diversity_loss(fake: Array, perturbed_fake: Array) -> Array:
    """Latent consistency regularisation, zCR, the generator's half: minus the mean squared difference of G(z) and G(T(z)).

    It rewards a generator whose images change with the latents, against the collapse that D's half alone invites.

    Args:
        fake: G(z), float [batch, ...].
        perturbed_fake: G(T(z)), same shape.

    Returns:
        One value per example, [batch], not positive, at least float32. The paper's weight is 0.5.

    Raises:
        ValueError: the shapes differ or the batch is empty.
        TypeError: not floating point.

    References:
        Zhao et al., "Improved Consistency Regularization for GANs", 2020, algorithm 2. Deviation: the paper writes the squared norm;
        the mean over an example's elements (as in StudioGAN) does not grow with the resolution. Multiply by their number for the norm.
    """
    check_same_shape(fake=fake, perturbed_fake=perturbed_fake)
    check_not_empty(fake=fake)
    check_float(fake=fake, perturbed_fake=perturbed_fake)
    return -jnp.mean(jnp.square(_widen(fake) - _widen(perturbed_fake)).reshape(fake.shape[0], -1), axis=1)


class LecamState(NamedTuple):
    """Moving averages of D's answers, biased towards 0 until divided by 1 - decay^count.

    Attributes:
        real: float32 [], of logits of real images.
        fake: float32 [], of logits of fakes.
        weight: float32 [], 1 - decay^count: the share that is not the initial 0.
    """

    real: Array
    fake: Array
    weight: Array


def init_lecam() -> LecamState:
    """State of the LeCam anchors before any logits.

    Returns:
        Zeros.
    """
    return LecamState(jnp.zeros(()), jnp.zeros(()), jnp.zeros(()))


def update_lecam(state: LecamState, real_logits: Array, fake_logits: Array, *, decay: float = 0.99) -> LecamState:
    """Takes the logits of one D step into the LeCam anchors; call it before `lecam_penalty`, once per D step.

    Args:
        state: the anchors.
        real_logits: D(x), float, any shape; not differentiated.
        fake_logits: D(G(z)), float, any shape; not differentiated.
        decay: in [0, 1).

    Returns:
        The new anchors. Inside `shard_map`, average them over the devices.

    Raises:
        ValueError: `decay` outside [0, 1), or no logits.
        TypeError: logits are not floating point.

    References:
        Tseng et al., "Regularizing Generative Adversarial Networks under Limited Data", 2021.
    """
    if isinstance(decay, int | float) and not 0 <= decay < 1:
        raise ValueError(f"decay must be in [0, 1); got {decay}")
    check_not_empty(real_logits=real_logits, fake_logits=fake_logits)
    check_float(real_logits=real_logits, fake_logits=fake_logits)

    def follow(average: Array, new: Array) -> Array:
        return decay * average + (1 - decay) * new

    real, fake = (jax.lax.stop_gradient(_widen(logits).mean()) for logits in (real_logits, fake_logits))
    return LecamState(follow(state.real, real), follow(state.fake, fake), follow(state.weight, jnp.ones(())))


def lecam_penalty(real_logits: Array, fake_logits: Array, state: LecamState, *, one_sided: bool = False) -> Array:
    """LeCam regularisation: (D(x) - a_F)^2 + (D(G(z)) - a_R)^2, with a_F and a_R the averages of D on fakes and on reals.

    It keeps D's answers for either kind near its past answers for the other. One-sided: max(0, D(x) - a_F)^2 + max(0, a_R - D(G(z)))^2,
    free where D already confuses them.

    Args:
        real_logits: D(x), float, any shape.
        fake_logits: D(G(z)), same shape.
        state: the anchors, from `update_lecam`; constants in the gradient, debiased here.
        one_sided: the form of the authors' StyleGAN2 code; the default is the paper's equation.

    Returns:
        One value per pair of logits, same shape, at least float32. The paper's weights are 0.3 (CIFAR, BigGAN) and 3e-7 (StyleGAN2).

    Raises:
        ValueError: the shapes differ or are empty.
        TypeError: logits are not floating point.

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


def random_flip_shift(rng: Array, images: Array, *, max_shift: int | None = None, flip: bool = True) -> Array:
    """The augmentation of the CR paper: mirror left to right with probability 1/2, and shift by a few whole pixels.

    Args:
        rng: typed key.
        images: float [batch, height, width, channels]; differentiable.
        max_shift: largest shift in pixels in either direction, by default an eighth of the height; border pixels repeat outwards.
        flip: whether to mirror; not for digits and letters.

    Returns:
        Float, same shape and dtype; every image has its own flip and shift.

    Raises:
        ValueError: not four dimensions, empty, or a negative `max_shift`.

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
    """Sum over all logits of an example of the squared difference, [batch]."""
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
