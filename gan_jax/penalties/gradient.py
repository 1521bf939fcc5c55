"""Penalties on the gradient of the critic with respect to its inputs: WGAN-GP, R1, R2, 0-GP, DRAGAN."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from gan_jax._checks import check_float, check_not_empty, check_same_shape
from gan_jax.typing import Array, DiscriminatorOutput

Critic: TypeAlias = Callable[[Array], Any]


def value_and_input_gradient(critic: Critic, inputs: Array) -> tuple[Any, Array]:
    """The critic's logits and the gradient of each example's logits with respect to that example, in one pass.

    gradient[i] = d (sum of the logits of example i) / d inputs[i]. The logits are the primal output of the same
    reverse pass, so a step that needs both D(real) and R1 pays for one forward, not two:

        logits, gradient = value_and_input_gradient(critic, real)
        loss = softplus(-logits).mean() + 0.5 * gamma * squared_norm(gradient).mean()

    Only reverse mode is used, and the result may be differentiated again (reverse over reverse).

    Args:
        critic: maps inputs to logits: [batch], a patch map [batch, h, w], or a tuple of such. A patch map's
            logits are summed, not averaged, over each example. Labels and parameters are bound in.
        inputs: float [batch, ...].

    Returns:
        `(logits, gradient)`: what the critic returned, and the gradient with the shape and dtype of `inputs`.
        Where the critic couples examples (batch norm, minibatch statistics, packing), row i of the gradient is that
        of the logits of the *whole* batch with respect to example i: what every implementation that calls
        autodiff on the sum computes, but no longer a property of D at one point.

    Raises:
        TypeError: `inputs` or the logits are not floating point, or the critic returns a `DiscriminatorOutput`.
        ValueError: `inputs` are empty, or the critic has reduced its logits over the batch.
    """
    check_not_empty(inputs=inputs)
    check_float(inputs=inputs)
    batch = jnp.shape(inputs)[0]

    def total(points: Array) -> tuple[Array, Any]:
        logits = critic(points)
        if isinstance(logits, DiscriminatorOutput):
            raise TypeError("critic must return logits; got a DiscriminatorOutput: pass `lambda x: discriminator(x).logits`")
        leaves = jax.tree.leaves(logits)
        for leaf in leaves:
            check_float(logits=leaf)
            # A divisor of the batch is fine: a critic may see packs of several examples (PacGAN).
            if jnp.ndim(leaf) == 0 or jnp.shape(leaf)[0] == 0 or batch % jnp.shape(leaf)[0]:
                raise ValueError(
                    f"critic must return one row of logits per example (or per pack of examples), {batch} for inputs of shape "
                    f"{jnp.shape(inputs)}; got shape {jnp.shape(leaf)}"
                )
        return sum((_at_least_float32(leaf).sum() for leaf in leaves), start=jnp.zeros(())), logits

    # value_and_grad rather than vjp with a cotangent of ones: it also types the cotangent correctly inside shard_map.
    (_, logits), gradient = jax.value_and_grad(total, has_aux=True)(inputs)
    return logits, gradient


def squared_norm(gradient: Array) -> Array:
    """Squared Euclidean norm of each example, sum over all axes but the first of gradient^2, in at least float32.

    Args:
        gradient: float [batch, ...].

    Returns:
        [batch], float32, or float64 for float64; a bfloat16 sum of thousands of squares would keep two digits.
    """
    flat = _at_least_float32(gradient).reshape(gradient.shape[0], -1)
    return jnp.sum(jnp.square(flat), axis=1)


def guarded_norm(gradient: Array) -> Array:
    """Euclidean norm of each example; its gradient, and every higher derivative, is 0 where the norm is 0.

    Args:
        gradient: float [batch, ...].

    Returns:
        [batch], in at least float32.
    """
    square = squared_norm(gradient)
    # Both branches of a `where` are differentiated: the root must not see the zero at all.
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)


def random_interpolates(rng: Array, real: Array, fake: Array) -> Array:
    """Points drawn uniformly on the segments between paired examples: e real + (1 - e) fake, e ~ U[0, 1).

    Args:
        rng: typed key.
        real: float [batch, ...].
        fake: float, same shape; example i is paired with real example i.

    Returns:
        Float, same shape; one e per example.

    Raises:
        ValueError: the shapes differ or the batch is empty.
        TypeError: not floating point.

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

    One-sided (WGAN-LP): max(0, |grad D(x)| - target)^2. The paper adds it to the critic's loss with weight 10.

    Args:
        critic: maps inputs to logits [batch], a patch map (summed over each example), or a tuple of such. It should
            not couple examples: the paper replaces batch norm by layer norm for this reason.
        real: float [batch, ...].
        fake: float, same shape; detach it (`stop_gradient`) unless the penalty is to train G as well.
        rng: typed key, for the points.
        target: the norm aimed at, not negative.
        one_sided: penalise only norms above the target.

    Returns:
        One value per example, [batch], at least float32. Its gradient is finite, and 0, where grad D(x) = 0.

    Raises:
        ValueError: shapes differ, the batch is empty, `target` is negative, or the critic reduces over the batch.
        TypeError: inputs or logits are not floating point.

    References:
        Gulrajani et al., "Improved Training of Wasserstein GANs", 2017; one-sided: Petzka et al., "On the
        regularization of Wasserstein GANs", 2018. Deviation: for zero gradients the papers' norm has no derivative; ours is 0.
        Many codes add 1e-12 or so under the root instead.
    """
    if isinstance(target, int | float) and target < 0:
        raise ValueError(f"target must not be negative; got {target}")
    _, gradient = value_and_input_gradient(critic, random_interpolates(rng, real, fake))
    excess = guarded_norm(gradient) - target
    return jnp.square(jax.nn.relu(excess) if one_sided else excess)


def r1_penalty(critic: Critic, real: Array) -> Array:
    """R1: the squared norm of the critic's gradient on real data, |grad D(x)|^2.

    Plain, without the paper's factor: Mescheder et al. add gamma/2 times this, as do StyleGAN and its successors (gamma = 10 in
    the paper); StudioGAN and several ports add gamma times it. To take the paper's gamma, weigh this by gamma/2.

    Args:
        critic: maps inputs to logits (not to probabilities) [batch], a patch map (summed over each example), or a tuple of such.
        real: float [batch, ...].

    Returns:
        One value per example, [batch], at least float32.

    Raises:
        ValueError: the batch is empty, or the critic reduces over the batch.
        TypeError: inputs or logits are not floating point.

    References:
        Mescheder et al., "Which Training Methods for GANs do actually Converge?", 2018, section 4.1.
    """
    return squared_norm(value_and_input_gradient(critic, real)[1])


def r2_penalty(critic: Critic, fake: Array) -> Array:
    """R2: the squared norm of the critic's gradient on fakes, |grad D(G(z))|^2.

    Plain, without the paper's factor: Mescheder et al. and R3GAN add gamma/2 times this.

    Args:
        critic: maps inputs to logits [batch], a patch map (summed over each example), or a tuple of such.
        fake: float [batch, ...]; detach it (`stop_gradient`) unless the penalty is to train G as well.

    Returns:
        One value per example, [batch], at least float32.

    Raises:
        ValueError: the batch is empty, or the critic reduces over the batch.
        TypeError: inputs or logits are not floating point.

    References:
        Mescheder et al., "Which Training Methods for GANs do actually Converge?", 2018, section 4.1.
    """
    return squared_norm(value_and_input_gradient(critic, fake)[1])


def zero_centered_gradient_penalty(critic: Critic, real: Array, fake: Array, rng: Array) -> Array:
    """0-GP: |grad D(x)|^2 at a random point x between real and fake.

    Args:
        critic: maps inputs to logits [batch], a patch map (summed over each example), or a tuple of such.
        real: float [batch, ...].
        fake: float, same shape; detach it (`stop_gradient`) unless the penalty is to train G as well.
        rng: typed key, for the points.

    Returns:
        One value per example, [batch], at least float32.

    Raises:
        ValueError: shapes differ, the batch is empty, or the critic reduces over the batch.
        TypeError: inputs or logits are not floating point.

    References:
        Thanh-Tung et al., "Improving Generalization and Stability of Generative Adversarial Networks", 2019, weight 100 on MNIST.
        Deviation: taken on the logit, as for R1, where the paper writes D.
    """
    return squared_norm(value_and_input_gradient(critic, random_interpolates(rng, real, fake))[1])


def dragan_penalty(critic: Critic, real: Array, rng: Array, *, target: float = 1.0, scale: float = 0.5, std: float | None = None) -> Array:
    """DRAGAN: (|grad D(x)| - target)^2 at random points x near real data only.

    x = real + e * scale * std * u, with e ~ U[0, 1) one per example and u ~ U[0, 1) one per element.

    With `std=None` the deviation is that of the whole batch (all axes), so an example influences, through that one number, the others'
    points; give the data set's own deviation to keep examples apart (and inside `shard_map`, to have one on all devices).

    Args:
        critic: maps inputs to logits [batch], a patch map (summed over each example), or a tuple of such.
        real: float [batch, ...].
        rng: typed key, for the points.
        target: the norm aimed at, not negative.
        scale: size of the neighbourhood, in deviations.
        std: standard deviation of the data, in the units of `real`.

    Returns:
        One value per example, [batch], at least float32. Its gradient is finite, and 0, where grad D(x) = 0.

    Raises:
        ValueError: the batch is empty, `target` or `scale` is negative, or the critic reduces over the batch.
        TypeError: inputs or logits are not floating point.

    References:
        Kodali et al., "On Convergence and Stability of GANs", 2017. As in the authors' code: uniform noise of half the batch's
        deviation and a point on the segment to it; the paper's text has Gaussian noise. Weight 10.
    """
    check_not_empty(real=real)
    check_float(real=real)
    for name, value in {"target": target, "scale": scale}.items():
        if isinstance(value, int | float) and value < 0:
            raise ValueError(f"{name} must not be negative; got {value}")
    noise_rng, segment_rng = jax.random.split(rng)
    deviation = jnp.std(_at_least_float32(real)) if std is None else std
    noise = jax.random.uniform(noise_rng, real.shape, real.dtype)
    neighbours = real + (scale * deviation * noise).astype(real.dtype)
    _, gradient = value_and_input_gradient(critic, random_interpolates(segment_rng, neighbours, real))
    return jnp.square(guarded_norm(gradient) - target)


def _at_least_float32(x: Array) -> Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
