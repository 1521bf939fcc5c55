"""Adversarial losses that treat each logit separately: minimax, non-saturating, least squares, Wasserstein, hinge.

Every loss is a pair of pure functions to minimise, `NAME_discriminator_loss(real_logits, fake_logits)` and
`NAME_generator_loss(fake_logits, real_logits=None)`. Both return one value per logit.

The discriminator loss is the sum of a real term and a fake term, as in the papers, TF-GAN and StudioGAN. Older code
uses (real + fake) / 2, which slows the discriminator (pix2pix). For that, multiply the loss by 0.5. The train step has
an option for it.

Logits narrower than float32 are converted to float32, and the loss is returned in float32. A squared logit of 1e4
overflows float16.
"""

import jax
from jax.typing import ArrayLike

from gan_jax.losses.common import check_logits, cross_entropy, per_example, weigh, weigh_pair
from gan_jax.typing import Array

Weights = ArrayLike | tuple[ArrayLike, ArrayLike] | None


def minimax_discriminator_loss(
    real_logits: Array, fake_logits: Array, *, real_target: ArrayLike = 1.0, fake_target: ArrayLike = 0.0, weights: Weights = None
) -> Array:
    """Cross-entropy of the discriminator: -log D(x) - log(1 - D(G(z))), with D = sigmoid(logits).

    With targets r and f: -r log D(x) - (1 - r) log(1 - D(x)) - f log D(G(z)) - (1 - f) log(1 - D(G(z))).
    A target outside [0, 1] (soft labels up to 1.2) makes the loss unbounded below, because it is then linear in the logit.

    Other libraries express label smoothing differently:

    - One-sided smoothing to 0.9 is `real_target=0.9` here. Keras-style code that scales by 1 - s calls it
      `label_smoothing=0.1`.
    - TF-GAN's `label_smoothing=0.25` smooths only the reals, to 0.875, because
      `tf.compat.v1.losses.sigmoid_cross_entropy` uses (1 - s) t + s / 2.
    - Keras' `BinaryCrossentropy(label_smoothing=0.25)` smooths both sides, to 0.875 and 0.125.
    - `torch.nn.BCELoss` takes probabilities, clamps their logarithm at -100 and rejects targets outside [0, 1].

    Args:
        real_logits: Logits of real examples. Float, any shape, for example a vector or a patch map.
        fake_logits: Logits of generated examples, same shape.
        real_target: Target r of the reals. A scalar, or an array that matches the leading axes of the logits.
        fake_target: Target f of the fakes. A scalar, or an array that matches the leading axes of the logits.
        weights: Weight per example. A scalar, an array that matches the leading axes of the logits, or a tuple
            `(real_weights, fake_weights)` like TF-GAN's `real_weights` and `generated_weights`. The weights are not
            normalised.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: The logits are not floating point.
        ValueError: The shapes differ, the batch is empty, or the targets or weights do not fit the logits.

    References:
        Goodfellow et al., "Generative Adversarial Nets", 2014, section 3.
        Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.4 (one-sided smoothing).
    """
    real_logits, fake_logits = check_logits(real_logits=real_logits, fake_logits=fake_logits)
    real_values = cross_entropy(real_logits, real_target, "real_target")
    return weigh_pair(real_values, cross_entropy(fake_logits, fake_target, "fake_target"), weights)


def minimax_generator_loss(
    fake_logits: Array,
    real_logits: Array | None = None,
    *,
    real_target: ArrayLike = 1.0,
    fake_target: ArrayLike = 0.0,
    weights: ArrayLike | None = None,
) -> Array:
    """Saturating loss of the generator: log(1 - D(G(z))), the negated fake term of the discriminator loss.

    The gradient vanishes if the discriminator is confident that a fake is fake. Use `non_saturating_generator_loss` to avoid
    this. The loss is always negative and unbounded below.

    Args:
        fake_logits: Logits of generated examples. Float, any shape.
        real_logits: Unused. It exists so that all generator losses share one signature.
        real_target: Unused. It affects only the real term, which is constant with respect to G.
        fake_target: Target f that D uses for fakes. The value is f log D(G(z)) + (1 - f) log(1 - D(G(z))).
        weights: Weight per example, as in TF-GAN. A scalar, or an array that matches the leading axes of the logits.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: The logits are not floating point.
        ValueError: The batch is empty, or the target or the weights do not fit the logits.

    References:
        Goodfellow et al., "Generative Adversarial Nets", 2014, equation 1.
    """
    (fake_logits,) = check_logits(fake_logits=fake_logits)
    return weigh(-cross_entropy(fake_logits, fake_target, "fake_target"), weights)


def non_saturating_discriminator_loss(
    real_logits: Array, fake_logits: Array, *, real_target: ArrayLike = 1.0, fake_target: ArrayLike = 0.0, weights: Weights = None
) -> Array:
    """Cross-entropy of the discriminator: -log D(x) - log(1 - D(G(z))), the same as `minimax_discriminator_loss`.

    The minimax and the non-saturating pair differ only in the generator loss. TF-GAN calls this pair "modified".

    Args:
        real_logits: Logits of real examples. Float, any shape.
        fake_logits: Logits of generated examples, same shape.
        real_target: Target of the reals. A scalar, or an array that matches the leading axes of the logits.
        fake_target: Target of the fakes. A scalar, or an array that matches the leading axes of the logits.
        weights: Weight per example, or a tuple `(real_weights, fake_weights)`.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: The logits are not floating point.
        ValueError: The shapes differ, the batch is empty, or the targets or weights do not fit the logits.

    References:
        Goodfellow et al., "Generative Adversarial Nets", 2014, section 3.
    """
    return minimax_discriminator_loss(real_logits, fake_logits, real_target=real_target, fake_target=fake_target, weights=weights)


def non_saturating_generator_loss(
    fake_logits: Array,
    real_logits: Array | None = None,
    *,
    real_target: ArrayLike = 1.0,
    fake_target: ArrayLike = 0.0,
    weights: ArrayLike | None = None,
) -> Array:
    """Non-saturating loss of the generator: -log D(G(z)), the cross-entropy of fakes labelled as real.

    This is the advice "flip the labels when training G". It equals the discriminator's cross-entropy with the labels of
    reals and fakes exchanged, without the term of the reals, which is constant with respect to G.

    Args:
        fake_logits: Logits of generated examples. Float, any shape.
        real_logits: Unused. It exists so that all generator losses share one signature.
        real_target: Label r that G wants for its fakes. The value is -r log D(G(z)) - (1 - r) log(1 - D(G(z))).
        fake_target: Unused. With flipped labels it affects only the real term, which is constant with respect to G.
        weights: Weight per example, as in TF-GAN. A scalar, or an array that matches the leading axes of the logits.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: The logits are not floating point.
        ValueError: The batch is empty, or the target or the weights do not fit the logits.

    References:
        Goodfellow et al., "Generative Adversarial Nets", 2014, section 3, last paragraph.
    """
    (fake_logits,) = check_logits(fake_logits=fake_logits)
    return weigh(cross_entropy(fake_logits, real_target, "real_target"), weights)


def least_squares_discriminator_loss(
    real_logits: Array, fake_logits: Array, *, real_target: ArrayLike = 1.0, fake_target: ArrayLike = 0.0, weights: Weights = None
) -> Array:
    """Least-squares loss of the discriminator: (D(x) - b)^2 / 2 + (D(G(z)) - a)^2 / 2, on raw logits.

    b is `real_target` and a is `fake_target`. Let c be the generator's target. If b - c = 1 and b - a = 2, then the pair of
    losses minimises the Pearson chi-squared divergence. An example is b = 1, a = -1 and c = 0.

    The factor 1/2 is used by the paper, TF-GAN and StudioGAN (commit 947b35e). pix2pix and CycleGAN omit it, and halve the loss
    of D instead.

    Args:
        real_logits: D(x), without a sigmoid. Float, any shape.
        fake_logits: D(G(z)), same shape.
        real_target: The paper's b. A scalar, or an array that matches the leading axes of the logits.
        fake_target: The paper's a. A scalar, or an array that matches the leading axes of the logits.
        weights: Weight per example, or a tuple `(real_weights, fake_weights)`.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: The logits are not floating point.
        ValueError: The shapes differ, the batch is empty, or the targets or weights do not fit the logits.

    References:
        Mao et al., "Least Squares Generative Adversarial Networks", 2017, equation 2.
    """
    real_logits, fake_logits = check_logits(real_logits=real_logits, fake_logits=fake_logits)
    real_values = 0.5 * (real_logits - per_example("real_target", real_target, real_logits)) ** 2
    fake_values = 0.5 * (fake_logits - per_example("fake_target", fake_target, fake_logits)) ** 2
    return weigh_pair(real_values, fake_values, weights)


def least_squares_generator_loss(
    fake_logits: Array,
    real_logits: Array | None = None,
    *,
    real_target: ArrayLike = 1.0,
    fake_target: ArrayLike = 0.0,
    weights: ArrayLike | None = None,
) -> Array:
    """Least-squares loss of the generator: (D(G(z)) - c)^2 / 2, on raw logits.

    Args:
        fake_logits: D(G(z)), without a sigmoid. Float, any shape.
        real_logits: Unused. It exists so that all generator losses share one signature.
        real_target: The paper's c, the logit that G wants for its fakes. It often equals D's target of the reals.
        fake_target: Unused. With flipped labels it affects only the real term, which is constant with respect to G.
        weights: Weight per example, as in TF-GAN. A scalar, or an array that matches the leading axes of the logits.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: The logits are not floating point.
        ValueError: The batch is empty, or the target or the weights do not fit the logits.

    References:
        Mao et al., "Least Squares Generative Adversarial Networks", 2017, equation 2.
    """
    (fake_logits,) = check_logits(fake_logits=fake_logits)
    return weigh(0.5 * (fake_logits - per_example("real_target", real_target, fake_logits)) ** 2, weights)


def wasserstein_discriminator_loss(real_logits: Array, fake_logits: Array, *, weights: Weights = None) -> Array:
    """Wasserstein loss of the critic: D(G(z)) - D(x), the negated estimate of the Wasserstein-1 distance.

    It requires a Lipschitz critic, so clip the critic's weights, penalise its gradient, or normalise its weights. To monitor
    training, log the negative of this loss. It estimates the Wasserstein-1 distance times the Lipschitz constant.

    Args:
        real_logits: D(x). Float, any shape.
        fake_logits: D(G(z)), same shape.
        weights: Weight per example, or a tuple `(real_weights, fake_weights)`.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: The logits are not floating point.
        ValueError: The shapes differ, the batch is empty, or the weights do not fit the logits.

    References:
        Arjovsky et al., "Wasserstein GAN", 2017, algorithm 1 (which ascends the negative of this loss).
    """
    real_logits, fake_logits = check_logits(real_logits=real_logits, fake_logits=fake_logits)
    return weigh_pair(-real_logits, fake_logits, weights)


def wasserstein_generator_loss(fake_logits: Array, real_logits: Array | None = None, *, weights: ArrayLike | None = None) -> Array:
    """Wasserstein loss of the generator: -D(G(z)).

    Args:
        fake_logits: D(G(z)). Float, any shape.
        real_logits: Unused. It exists so that all generator losses share one signature.
        weights: Weight per example, as in TF-GAN. A scalar, or an array that matches the leading axes of the logits.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: The logits are not floating point.
        ValueError: The batch is empty, or the weights do not fit the logits.

    References:
        Arjovsky et al., "Wasserstein GAN", 2017, algorithm 1.
    """
    (fake_logits,) = check_logits(fake_logits=fake_logits)
    return weigh(-fake_logits, weights)


def hinge_discriminator_loss(real_logits: Array, fake_logits: Array, *, weights: Weights = None) -> Array:
    """Hinge loss of the discriminator: max(0, 1 - D(x)) + max(0, 1 + D(G(z))).

    The real term has zero gradient if the real logit is at least 1. The fake term has zero gradient if the fake logit is at
    most -1. If both logits are inside the margin, the loss is the Wasserstein loss plus 2.

    Args:
        real_logits: D(x). Float, any shape, for example a vector or a patch map.
        fake_logits: D(G(z)), same shape.
        weights: Weight per example, or a tuple `(real_weights, fake_weights)`.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: The logits are not floating point.
        ValueError: The shapes differ, the batch is empty, or the weights do not fit the logits.

    References:
        Lim and Ye, "Geometric GAN", 2017. SAGAN (Zhang 2018) and BigGAN (Brock 2019) use this loss.
    """
    real_logits, fake_logits = check_logits(real_logits=real_logits, fake_logits=fake_logits)
    return weigh_pair(jax.nn.relu(1 - real_logits), jax.nn.relu(1 + fake_logits), weights)


def hinge_generator_loss(fake_logits: Array, real_logits: Array | None = None, *, weights: ArrayLike | None = None) -> Array:
    """Generator loss that is paired with the hinge loss of the discriminator: -D(G(z)), without a margin.

    Args:
        fake_logits: D(G(z)). Float, any shape.
        real_logits: Unused. It exists so that all generator losses share one signature.
        weights: Weight per example, as in TF-GAN. A scalar, or an array that matches the leading axes of the logits.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: The logits are not floating point.
        ValueError: The batch is empty, or the weights do not fit the logits.

    References:
        Lim and Ye, "Geometric GAN", 2017, equation 8.
        Zhang et al., SAGAN, 2018, equation 4.
    """
    return wasserstein_generator_loss(fake_logits, weights=weights)
