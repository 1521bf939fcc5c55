"""Adversarial losses whose terms look at one logit each: minimax, non-saturating, least squares, Wasserstein, hinge.

Every loss is a pair of pure functions, `NAME_discriminator_loss(real_logits, fake_logits)` and
`NAME_generator_loss(fake_logits, real_logits=None)`; both return one value per logit, to be minimised.
The discriminator's value is the sum of its real and its fake term: TF-GAN, StudioGAN and the papers add them too.
The older habit of (real + fake) / 2, which slows the discriminator (pix2pix), is a choice of reduction:
`0.5 * NAME_discriminator_loss(...)`; the training step has an option for it.

Logits narrower than float32 are computed in, and returned as, float32: a squared logit of 1e4 overflows float16.
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
    A target outside [0, 1] (soft labels up to 1.2) makes the loss unbounded below, linear in the logit.

    Conventions: one-sided smoothing to 0.9 is `real_target=0.9` here and `label_smoothing=0.1` in Keras-style
    code that scales by 1 - s; TF-GAN's `label_smoothing=0.25` smooths the reals only, to 0.875
    (`tf.compat.v1.losses.sigmoid_cross_entropy` has (1 - s) t + s / 2); Keras'
    `BinaryCrossentropy(label_smoothing=0.25)` smooths both sides, to 0.875 and 0.125. `torch.nn.BCELoss`
    takes probabilities, clamps their logarithm at -100 and refuses targets outside [0, 1].

    Args:
        real_logits: D's logits of real examples, float, any shape; a patch map is as good as a vector.
        fake_logits: D's logits of generated examples, same shape.
        real_target: what D should say of reals; a scalar, or an array matching the leading axes of the logits.
        fake_target: what D should say of fakes, likewise.
        weights: factors per example, a scalar or an array matching the leading axes; a tuple weighs
            `(real, fake)` apart, like TF-GAN's `real_weights` and `generated_weights`. Not normalised.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: logits that are not floating point.
        ValueError: shapes that differ, an empty batch, targets or weights that do not fit the logits.

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
    """Saturating loss of the generator: log(1 - D(G(z))), the negated fake term of the discriminator.

    Its gradient vanishes where the discriminator is sure that a fake is fake; see `non_saturating_generator_loss`.
    Negative everywhere; unbounded below.

    Args:
        fake_logits: D's logits of generated examples, float, any shape.
        real_logits: unused; the same call serves relativistic losses.
        real_target: unused: it enters only the real term, which is constant in the generator.
        fake_target: D's target f for fakes; the value is f log D(G(z)) + (1 - f) log(1 - D(G(z))).
        weights: a factor per example, as in TF-GAN; a scalar or an array matching the leading axes.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: logits that are not floating point.
        ValueError: an empty batch, a target or weights that do not fit the logits.

    References:
        Goodfellow et al., "Generative Adversarial Nets", 2014, equation 1.
    """
    (fake_logits,) = check_logits(fake_logits=fake_logits)
    return weigh(-cross_entropy(fake_logits, fake_target, "fake_target"), weights)


def non_saturating_discriminator_loss(
    real_logits: Array, fake_logits: Array, *, real_target: ArrayLike = 1.0, fake_target: ArrayLike = 0.0, weights: Weights = None
) -> Array:
    """Cross-entropy of the discriminator: -log D(x) - log(1 - D(G(z))); the same as in the minimax game.

    Only the generator's loss differs between the two games. TF-GAN calls this pair "modified".

    Args:
        real_logits: D's logits of real examples, float, any shape.
        fake_logits: D's logits of generated examples, same shape.
        real_target: what D should say of reals; a scalar, or an array matching the leading axes of the logits.
        fake_target: what D should say of fakes, likewise.
        weights: factors per example; a tuple weighs `(real, fake)` apart.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: logits that are not floating point.
        ValueError: shapes that differ, an empty batch, targets or weights that do not fit the logits.

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
    """Non-saturating loss of the generator: -log D(G(z)), the cross-entropy of fakes labelled real.

    This *is* "flip the labels when training G": the discriminator's own cross-entropy with real = fake and
    fake = real, less its term of the reals, which is constant in the generator.

    Args:
        fake_logits: D's logits of generated examples, float, any shape.
        real_logits: unused; the same call serves relativistic losses.
        real_target: the label r that G wants for its fakes; the value is -r log D(G(z)) - (1 - r) log(1 - D(G(z))).
        fake_target: unused: with flipped labels it enters only the real term, which is constant in the generator.
        weights: a factor per example, as in TF-GAN; a scalar or an array matching the leading axes.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: logits that are not floating point.
        ValueError: an empty batch, a target or weights that do not fit the logits.

    References:
        Goodfellow et al., "Generative Adversarial Nets", 2014, section 3, last paragraph.
    """
    (fake_logits,) = check_logits(fake_logits=fake_logits)
    return weigh(cross_entropy(fake_logits, real_target, "real_target"), weights)


def least_squares_discriminator_loss(
    real_logits: Array, fake_logits: Array, *, real_target: ArrayLike = 1.0, fake_target: ArrayLike = 0.0, weights: Weights = None
) -> Array:
    """Least-squares loss of the discriminator: (D(x) - b)^2 / 2 + (D(G(z)) - a)^2 / 2, on raw logits.

    b is `real_target`, a is `fake_target`. With the generator's target c, the pair minimises the Pearson
    chi-squared divergence where b - c = 1 and b - a = 2: `real_target=1, fake_target=-1` and c = 0.

    Conventions: the factor 1/2 is the paper's and TF-GAN's; pix2pix, CycleGAN and StudioGAN leave it out.

    Args:
        real_logits: D(x), float, any shape; no sigmoid.
        fake_logits: D(G(z)), same shape.
        real_target: the paper's b; a scalar, or an array matching the leading axes of the logits.
        fake_target: the paper's a, likewise.
        weights: factors per example; a tuple weighs `(real, fake)` apart.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: logits that are not floating point.
        ValueError: shapes that differ, an empty batch, targets or weights that do not fit the logits.

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
        fake_logits: D(G(z)), float, any shape; no sigmoid.
        real_logits: unused; the same call serves relativistic losses.
        real_target: the paper's c, what G wants D to say of its fakes; often D's own real target.
        fake_target: unused: with flipped labels it enters only the real term, which is constant in the generator.
        weights: a factor per example, as in TF-GAN; a scalar or an array matching the leading axes.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: logits that are not floating point.
        ValueError: an empty batch, a target or weights that do not fit the logits.

    References:
        Mao et al., "Least Squares Generative Adversarial Networks", 2017, equation 2.
    """
    (fake_logits,) = check_logits(fake_logits=fake_logits)
    return weigh(0.5 * (fake_logits - per_example("real_target", real_target, fake_logits)) ** 2, weights)


def wasserstein_discriminator_loss(real_logits: Array, fake_logits: Array, *, weights: Weights = None) -> Array:
    """Wasserstein loss of the critic: D(G(z)) - D(x), the negated estimate of the distance.

    Means something only while the critic is Lipschitz: clip its weights, penalise its gradient, or normalise it.
    A watcher of training wants the negative of it: the estimated Wasserstein-1 distance times the Lipschitz constant.

    Args:
        real_logits: D(x), float, any shape.
        fake_logits: D(G(z)), same shape.
        weights: factors per example; a tuple weighs `(real, fake)` apart.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: logits that are not floating point.
        ValueError: shapes that differ, an empty batch, weights that do not fit the logits.

    References:
        Arjovsky et al., "Wasserstein GAN", 2017, algorithm 1 (which ascends the negative of this).
    """
    real_logits, fake_logits = check_logits(real_logits=real_logits, fake_logits=fake_logits)
    return weigh_pair(-real_logits, fake_logits, weights)


def wasserstein_generator_loss(fake_logits: Array, real_logits: Array | None = None, *, weights: ArrayLike | None = None) -> Array:
    """Wasserstein loss of the generator: -D(G(z)).

    Args:
        fake_logits: D(G(z)), float, any shape.
        real_logits: unused; the same call serves relativistic losses.
        weights: a factor per example, as in TF-GAN; a scalar or an array matching the leading axes.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: logits that are not floating point.
        ValueError: an empty batch, weights that do not fit the logits.

    References:
        Arjovsky et al., "Wasserstein GAN", 2017, algorithm 1.
    """
    (fake_logits,) = check_logits(fake_logits=fake_logits)
    return weigh(-fake_logits, weights)


def hinge_discriminator_loss(real_logits: Array, fake_logits: Array, *, weights: Weights = None) -> Array:
    """Hinge loss of the discriminator: max(0, 1 - D(x)) + max(0, 1 + D(G(z))).

    Flat, with zero gradient, wherever a real logit is above 1 and its fake logit below -1; inside the margin it
    is the Wasserstein loss plus 2. At the kink itself the derivative is taken as 0.

    Args:
        real_logits: D(x), float, any shape; a patch map is as good as a vector.
        fake_logits: D(G(z)), same shape.
        weights: factors per example; a tuple weighs `(real, fake)` apart.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: logits that are not floating point.
        ValueError: shapes that differ, an empty batch, weights that do not fit the logits.

    References:
        Lim and Ye, "Geometric GAN", 2017; used by SAGAN (Zhang 2018) and BigGAN (Brock 2019).
    """
    real_logits, fake_logits = check_logits(real_logits=real_logits, fake_logits=fake_logits)
    return weigh_pair(jax.nn.relu(1 - real_logits), jax.nn.relu(1 + fake_logits), weights)


def hinge_generator_loss(fake_logits: Array, real_logits: Array | None = None, *, weights: ArrayLike | None = None) -> Array:
    """Loss of the generator in the hinge game: -D(G(z)); the margin is the discriminator's alone.

    Args:
        fake_logits: D(G(z)), float, any shape.
        real_logits: unused; the same call serves relativistic losses.
        weights: a factor per example, as in TF-GAN; a scalar or an array matching the leading axes.

    Returns:
        One value per logit, same shape, float32 or wider.

    Raises:
        TypeError: logits that are not floating point.
        ValueError: an empty batch, weights that do not fit the logits.

    References:
        Lim and Ye, "Geometric GAN", 2017, equation 8; SAGAN (Zhang 2018), equation 4.
    """
    return wasserstein_generator_loss(fake_logits, weights=weights)
