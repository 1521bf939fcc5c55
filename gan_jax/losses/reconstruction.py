"""Losses of images against images, and of latents against their prior: pixels, features, style, smoothness, KL.

Each returns one value per example. "Real" is the target, "fake" what the generator made of it. A feature extractor is the
caller's: apply it to both and pass the activations; gradients flow into whichever side needs them.
"""

import jax
import jax.numpy as jnp

from gan_jax._checks import check_float, check_not_empty, check_rank, check_same_shape
from gan_jax.losses.common import check_logits, paired_leaves, to_compute_dtype
from gan_jax.typing import Array, PyTree


def _check_batches(**images: Array) -> tuple[Array, ...]:
    checked = check_logits(**images)
    if checked[0].ndim < 1:
        raise ValueError(f"{' and '.join(images)} must have a batch axis; got shape {checked[0].shape}")
    return checked


def _example_mean(values: Array) -> Array:
    return jnp.mean(values, axis=tuple(range(1, values.ndim)))


def l1_loss(real_images: Array, fake_images: Array) -> Array:
    """Mean absolute difference per example: mean |x - y| over all axes but the batch.

    Its derivative at x = y is taken as 0. pix2pix weighs it by 100 against the adversarial loss.

    Args:
        real_images: targets, float [batch, ...].
        fake_images: what the generator made, same shape.

    Returns:
        [batch], float32 or wider, in the units of the images.

    Raises:
        TypeError: images that are not floating point.
        ValueError: shapes that differ, an empty batch, no batch axis.

    References:
        Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017, equation 3.
    """
    real_images, fake_images = _check_batches(real_images=real_images, fake_images=fake_images)
    return _example_mean(jnp.abs(real_images - fake_images))


def l2_loss(real_images: Array, fake_images: Array) -> Array:
    """Mean squared difference per example: mean (x - y)^2 over all axes but the batch; no factor 1/2.

    `optax.l2_loss` carries the factor 1/2 and does not reduce.

    Args:
        real_images: targets, float [batch, ...].
        fake_images: what the generator made, same shape.

    Returns:
        [batch], float32 or wider, in squared units of the images.

    Raises:
        TypeError: images that are not floating point.
        ValueError: shapes that differ, an empty batch, no batch axis.

    References:
        Pathak et al., "Context Encoders: Feature Learning by Inpainting", 2016, equation 1.
    """
    real_images, fake_images = _check_batches(real_images=real_images, fake_images=fake_images)
    return _example_mean((real_images - fake_images) ** 2)


def total_variation_loss(images: Array) -> Array:
    """Anisotropic total variation: sum |x[i+1, j] - x[i, j]| + sum |x[i, j+1] - x[i, j]|, over pixels and channels.

    Conventions: a sum over pixels with absolute differences, as `tf.image.total_variation` and Kornia; several
    style-transfer codebases square the differences, or divide by the number of pixels.

    Args:
        images: float [batch, height, width, channels].

    Returns:
        [batch], float32 or wider; 0 for constant images.

    Raises:
        TypeError: images that are not floating point.
        ValueError: not four axes, an empty batch.

    References:
        Rudin et al., "Nonlinear total variation based noise removal algorithms", 1992.
        Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", 2016, section 3.2.
    """
    check_float(images=images)
    check_rank(4, images=images)
    check_not_empty(images=images)
    images = to_compute_dtype(images)
    return sum(jnp.sum(jnp.abs(jnp.diff(images, axis=axis)), axis=(1, 2, 3)) for axis in (1, 2))


def gram_matrix(features: Array) -> Array:
    """Correlations of channels over all positions: G[c, d] = sum_hw F[h, w, c] F[h, w, d] / (height width channels).

    Conventions: the divisor is Johnson's; Gatys et al. (2015) do not divide here.

    Args:
        features: float [batch, height, width, channels].

    Returns:
        [batch, channels, channels], float32 or wider; symmetric, positive semi-definite.

    Raises:
        TypeError: features that are not floating point.
        ValueError: not four axes, an empty batch.

    References:
        Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", 2016, equation 3.
    """
    check_float(features=features)
    check_rank(4, features=features)
    check_not_empty(features=features)
    features = to_compute_dtype(features)
    _, height, width, channels = features.shape
    return jnp.einsum("bhwc,bhwd->bcd", features, features) / (height * width * channels)


def _same_maps(real_features: PyTree, fake_features: PyTree, layer_weights: PyTree | None) -> list[tuple[Array, Array, float]]:
    """Returns `(real, fake, weight)` for every feature map of two trees of one structure and one shape each."""
    pairs = paired_leaves(real_features, fake_features)
    for name, real, fake in pairs:
        check_same_shape(**{f"real_features{name}": real, f"fake_features{name}": fake})
    if layer_weights is None:
        return [(real, fake, 1.0) for _, real, fake in pairs]
    weights, tree = jax.tree.flatten(layer_weights)
    if tree != jax.tree.structure(real_features):
        raise ValueError(f"layer_weights must have the features' structure {jax.tree.structure(real_features)}; got {tree}")
    return [(real, fake, weight) for (_, real, fake), weight in zip(pairs, weights)]


def perceptual_loss(real_features: PyTree, fake_features: PyTree, *, layer_weights: PyTree | None = None) -> Array:
    """Feature reconstruction: sum over layers of || F(x) - F(y) ||^2 / (height width channels), per example.

    With activations of VGG it is Johnson's loss; with activations of the discriminator it is the learned
    similarity of VAE-GAN (Larsen's is half the unnormalised square).

    Args:
        real_features: activations of the targets, float [batch, ...], or a pytree of such, one leaf per layer.
        fake_features: activations of what the generator made, the same structure and shapes.
        layer_weights: one number per layer, in the features' structure; 1 by default.

    Returns:
        [batch], float32 or wider.

    Raises:
        TypeError: features that are not floating point.
        ValueError: structures or shapes that differ, no features, an empty batch.

    References:
        Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", 2016, equation 2.
        Larsen et al., "Autoencoding beyond pixels using a learned similarity metric", 2016, equation 7.
    """
    maps = _same_maps(real_features, fake_features, layer_weights)
    return sum(weight * l2_loss(real, fake) for real, fake, weight in maps)


def style_loss(real_features: PyTree, fake_features: PyTree, *, layer_weights: PyTree | None = None) -> Array:
    """Style reconstruction: sum over layers of the squared Frobenius distance of Gram matrices, per example.

    || G(F(x)) - G(F(y)) ||_F^2 with Johnson's Gram matrix. It knows which channels fire together, not where.
    Heights and widths of the two sides may differ; many codebases take the mean over the matrix, smaller by
    channels squared.

    Args:
        real_features: activations of the style targets, float [batch, height, width, channels], or a pytree of such.
        fake_features: activations of what the generator made, the same structure, batch and channels.
        layer_weights: one number per layer, in the features' structure; 1 by default.

    Returns:
        [batch], float32 or wider.

    Raises:
        TypeError: features that are not floating point.
        ValueError: structures, batches or channels that differ, no features, an empty batch.

    References:
        Gatys et al., "A Neural Algorithm of Artistic Style", 2015.
        Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", 2016, equation 4.
    """
    pairs = paired_leaves(real_features, fake_features)
    layers = jax.tree.structure(real_features)
    real_grams = jax.tree.unflatten(layers, [gram_matrix(real) for _, real, _ in pairs])
    fake_grams = jax.tree.unflatten(layers, [gram_matrix(fake) for _, _, fake in pairs])
    maps = _same_maps(real_grams, fake_grams, layer_weights)
    return sum(weight * jnp.sum((real - fake) ** 2, axis=(1, 2)) for real, fake, weight in maps)


def kl_divergence(mean: Array, log_variance: Array) -> Array:
    """Divergence of a diagonal Gaussian from the standard normal: KL(N(m, v) || N(0, 1)), in nats.

    (1/2) sum (m^2 + v - 1 - log v) over all axes but the batch, v = exp(log_variance). The prior term of a VAE,
    and of VAE-GAN and KL + GAN hybrids.

    Args:
        mean: float [batch, ...].
        log_variance: natural logarithm of the variance, same shape. (A logarithm of the deviation is half of it.)

    Returns:
        [batch], float32 or wider; 0 only where mean and log variance are 0.

    Raises:
        TypeError: arguments that are not floating point.
        ValueError: shapes that differ, an empty batch, no batch axis.

    References:
        Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, appendix B.
        Larsen et al., "Autoencoding beyond pixels using a learned similarity metric", 2016.
    """
    mean, log_variance = _check_batches(mean=mean, log_variance=log_variance)
    # expm1 keeps the digits of v - 1 - log v near v = 1, where plain exp would cancel.
    values = mean**2 + jnp.expm1(log_variance) - log_variance
    return 0.5 * jnp.sum(values, axis=tuple(range(1, values.ndim)))
