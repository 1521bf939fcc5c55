"""Penalties on the gradient of the critic with respect to its inputs: WGAN-GP, R1, R2, 0-GP, DRAGAN."""

import jax
import jax.numpy as jnp

from gan_jax._internal.checks import check_float, check_not_empty, check_same_shape
from gan_jax._internal.input_gradient import Critic, at_least_float32, guarded_norm, squared_norm, value_and_input_gradient
from gan_jax.typing import Array


def random_interpolates(rng: Array, real: Array, fake: Array) -> Array:
    """Samples points uniformly on the segments between paired examples: e real + (1 - e) fake, e ~ U[0, 1).

    Args:
        rng: Typed JAX random key.
        real: Float [batch, ...].
        fake: Float, same shape. Example i is paired with real example i.

    Returns:
        Float, same shape. Each example has its own e.

    Raises:
        ValueError: The shapes differ, or the batch is empty.
        TypeError: The inputs are not floating point.

    References:
        Gulrajani et al., "Improved Training of Wasserstein GANs", 2017, algorithm 1.
    """
    check_same_shape(real=real, fake=fake)
    check_not_empty(real=real)
    check_float(real=real, fake=fake)
    dtype = jnp.result_type(real, fake)
    weight = jax.random.uniform(rng, (real.shape[0],) + (1,) * (real.ndim - 1), dtype)
    return weight * real + (1 - weight) * fake


def gradient_penalty(critic: Critic, real: Array, fake: Array, rng: Array, *, target: float = 1.0, one_sided: bool = False) -> Array:
    """Gradient penalty of WGAN-GP, two-sided: (|grad D(x)| - target)^2 at a random point x between real and fake.

    The one-sided form (WGAN-LP) is max(0, |grad D(x)| - target)^2. The paper adds the penalty to the critic's loss with
    weight 10.

    Args:
        critic: Maps inputs to logits [batch], to a patch map (summed over each example), or to a tuple of such. It should not
            couple examples. The paper replaces batch norm by layer norm for this reason.
        real: Float [batch, ...].
        fake: Float, same shape. Apply `stop_gradient` to it unless the penalty should also train G.
        rng: Typed JAX random key for sampling the points.
        target: Target of the gradient norm, not negative.
        one_sided: If True, penalise only norms above the target.

    Returns:
        One value per example, [batch], at least float32. If grad D(x) = 0, the gradient of the penalty is 0.

    Raises:
        ValueError: The shapes differ, the batch is empty, `target` is negative, or the critic reduces over the batch.
        TypeError: The inputs or logits are not floating point, or the critic returns a `DiscriminatorOutput`.

    References:
        Gulrajani et al., "Improved Training of Wasserstein GANs", 2017.
        Petzka et al., "On the regularization of Wasserstein GANs", 2018 (one-sided).
        Deviation: at a zero gradient the papers' norm has no derivative. Here the derivative is 0. Many codebases instead add
        a constant such as 1e-12 under the square root.
    """
    if isinstance(target, int | float) and target < 0:
        raise ValueError(f"target must not be negative; got {target}")
    _, gradient = value_and_input_gradient(critic, random_interpolates(rng, real, fake))
    excess = guarded_norm(gradient) - target
    return jnp.square(jax.nn.relu(excess) if one_sided else excess)


def r1_penalty(critic: Critic, real: Array) -> Array:
    """R1: the squared norm of the critic's gradient on real data, |grad D(x)|^2.

    The paper's factor is not included. To use gamma as in the paper, give this penalty the weight gamma/2. Mescheder et al.,
    StyleGAN, its successors and StudioGAN (commit 947b35e, where gamma is `r1_lambda`) add gamma/2 times this value (gamma = 10
    in the paper).

    Args:
        critic: Maps inputs to logits (not to probabilities) [batch], to a patch map (summed over each example), or to a tuple
            of such.
        real: Float [batch, ...].

    Returns:
        One value per example, [batch], at least float32.

    Raises:
        ValueError: The batch is empty, or the critic reduces over the batch.
        TypeError: The inputs or logits are not floating point, or the critic returns a `DiscriminatorOutput`.

    References:
        Mescheder et al., "Which Training Methods for GANs do actually Converge?", 2018, section 4.1.
    """
    return squared_norm(value_and_input_gradient(critic, real)[1])


def r2_penalty(critic: Critic, fake: Array) -> Array:
    """R2: the squared norm of the critic's gradient on fakes, |grad D(G(z))|^2.

    The paper's factor is not included. Mescheder et al. and R3GAN add gamma/2 times this value.

    Args:
        critic: Maps inputs to logits [batch], to a patch map (summed over each example), or to a tuple of such.
        fake: Float [batch, ...]. Apply `stop_gradient` to it unless the penalty should also train G.

    Returns:
        One value per example, [batch], at least float32.

    Raises:
        ValueError: The batch is empty, or the critic reduces over the batch.
        TypeError: The inputs or logits are not floating point, or the critic returns a `DiscriminatorOutput`.

    References:
        Mescheder et al., "Which Training Methods for GANs do actually Converge?", 2018, section 4.1.
    """
    return squared_norm(value_and_input_gradient(critic, fake)[1])


def zero_centered_gradient_penalty(critic: Critic, real: Array, fake: Array, rng: Array) -> Array:
    """Zero-centred gradient penalty (0-GP): |grad D(x)|^2 at a random point x between real and fake.

    Args:
        critic: Maps inputs to logits [batch], to a patch map (summed over each example), or to a tuple of such.
        real: Float [batch, ...].
        fake: Float, same shape. Apply `stop_gradient` to it unless the penalty should also train G.
        rng: Typed JAX random key for sampling the points.

    Returns:
        One value per example, [batch], at least float32.

    Raises:
        ValueError: The shapes differ, the batch is empty, or the critic reduces over the batch.
        TypeError: The inputs or logits are not floating point, or the critic returns a `DiscriminatorOutput`.

    References:
        Thanh-Tung et al., "Improving Generalization and Stability of Generative Adversarial Networks", 2019, weight 100 on MNIST.
        Deviation: the gradient is that of the logit, as in R1, where the paper writes D.
    """
    return squared_norm(value_and_input_gradient(critic, random_interpolates(rng, real, fake))[1])


def dragan_penalty(critic: Critic, real: Array, rng: Array, *, target: float = 1.0, scale: float = 0.5, std: float | None = None) -> Array:
    """DRAGAN: (|grad D(x)| - target)^2 at random points x near real data.

    x = real + e * scale * std * u, with one e ~ U[0, 1) per example and one u ~ U[0, 1) per element.

    If `std` is None, the standard deviation of the whole batch (all axes) is used. An example then influences the points of
    the others through this number. Pass the standard deviation of the data set to keep examples independent. Inside
    `shard_map`, this also gives all devices the same value.

    Args:
        critic: Maps inputs to logits [batch], to a patch map (summed over each example), or to a tuple of such.
        real: Float [batch, ...].
        rng: Typed JAX random key for sampling the points.
        target: Target of the gradient norm, not negative.
        scale: Size of the neighbourhood, in standard deviations.
        std: Standard deviation of the data, in the units of `real`.

    Returns:
        One value per example, [batch], at least float32. If grad D(x) = 0, the gradient of the penalty is 0.

    Raises:
        ValueError: The batch is empty, `target` or `scale` is negative, or the critic reduces over the batch.
        TypeError: The inputs or logits are not floating point, or the critic returns a `DiscriminatorOutput`.

    References:
        Kodali et al., "On Convergence and Stability of GANs", 2017, weight 10. Deviation: the noise follows the authors' code,
        not the paper's text. The noise is uniform on [0, 1) times half the standard deviation of the batch, and x is a random
        point on the segment from the real example to its noisy copy. The paper's text uses Gaussian noise.
    """
    check_not_empty(real=real)
    check_float(real=real)
    for name, value in {"target": target, "scale": scale}.items():
        if isinstance(value, int | float) and value < 0:
            raise ValueError(f"{name} must not be negative; got {value}")
    noise_rng, segment_rng = jax.random.split(rng)
    deviation = jnp.std(at_least_float32(real)) if std is None else std
    noise = jax.random.uniform(noise_rng, real.shape, real.dtype)
    neighbours = real + (scale * deviation * noise).astype(real.dtype)
    _, gradient = value_and_input_gradient(critic, random_interpolates(segment_rng, neighbours, real))
    return jnp.square(guarded_norm(gradient) - target)
