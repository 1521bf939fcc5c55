"""Losses that compare images with target images or regularise them, and the KL divergence of latents from their prior.

Each loss returns one value per example. "Real" arguments are the targets, and "fake" arguments are made by the generator.
The caller applies the feature extractor to both and passes the activations. Gradients flow to both arguments.
"""

import jax
import jax.numpy as jnp

from gan_jax._internal.checks import check_float, check_not_empty, check_rank, check_same_shape
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
    """Mean absolute difference per example: mean |x - y| over all axes except the batch axis.

    The derivative at x = y is 0. pix2pix gives this loss the weight 100 relative to the adversarial loss.

    Args:
        real_images: Target images, float [batch, ...].
        fake_images: Generated images, same shape.

    Returns:
        [batch], float32 or wider, in the units of the images.

    Raises:
        TypeError: The images are not floating point.
        ValueError: The shapes differ, the batch is empty, or there is no batch axis.

    References:
        Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017, equation 3.
    """
    real_images, fake_images = _check_batches(real_images=real_images, fake_images=fake_images)
    return _example_mean(jnp.abs(real_images - fake_images))


def l2_loss(real_images: Array, fake_images: Array) -> Array:
    """Mean squared difference per example: mean (x - y)^2 over all axes except the batch axis, without a factor 1/2.

    `optax.l2_loss` has the factor 1/2 and does not reduce.

    Args:
        real_images: Target images, float [batch, ...].
        fake_images: Generated images, same shape.

    Returns:
        [batch], float32 or wider, in squared units of the images.

    Raises:
        TypeError: The images are not floating point.
        ValueError: The shapes differ, the batch is empty, or there is no batch axis.

    References:
        Pathak et al., "Context Encoders: Feature Learning by Inpainting", 2016, equation 1.
    """
    real_images, fake_images = _check_batches(real_images=real_images, fake_images=fake_images)
    return _example_mean((real_images - fake_images) ** 2)


def total_variation_loss(images: Array) -> Array:
    """Anisotropic total variation: sum |x[i+1, j] - x[i, j]| + sum |x[i, j+1] - x[i, j]|, over pixels and channels.

    The loss sums absolute differences over pixels, like `tf.image.total_variation` and Kornia. Several style-transfer
    codebases square the differences or divide by the number of pixels.

    Args:
        images: Float [batch, height, width, channels].

    Returns:
        [batch], float32 or wider. The value is 0 for constant images.

    Raises:
        TypeError: The images are not floating point.
        ValueError: The images do not have four axes, or the batch is empty.

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
    """Gram matrix of the channels: G[c, d] = sum_hw F[h, w, c] F[h, w, d] / (height width channels).

    The divisor is that of Johnson et al. Gatys et al. (2015) do not divide at this point.

    Args:
        features: Float [batch, height, width, channels].

    Returns:
        [batch, channels, channels], float32 or wider. Each matrix is symmetric and positive semi-definite.

    Raises:
        TypeError: The features are not floating point.
        ValueError: The features do not have four axes, or the batch is empty.

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
    """Returns `(real, fake, weight)` for each feature map. Both trees must have the same structure and the same shapes."""
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
    """Feature reconstruction loss: sum over layers of || F(x) - F(y) ||^2 / (height width channels), per example.

    With VGG activations this is the loss of Johnson et al. With activations of the discriminator it is the learned similarity
    of VAE-GAN, except that Larsen et al. use half the unnormalised square.

    Args:
        real_features: Activations of the targets, float [batch, ...], or a pytree of such, one leaf per layer.
        fake_features: Activations of the generated images, with the same structure and shapes.
        layer_weights: One number per layer, in the structure of the features. The default is 1 for every layer.

    Returns:
        [batch], float32 or wider.

    Raises:
        TypeError: The features are not floating point.
        ValueError: The structures or shapes differ, there are no features, or the batch is empty.

    References:
        Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", 2016, equation 2.
        Larsen et al., "Autoencoding beyond pixels using a learned similarity metric", 2016, equation 7.
    """
    maps = _same_maps(real_features, fake_features, layer_weights)
    return sum(weight * l2_loss(real, fake) for real, fake, weight in maps)


def style_loss(real_features: PyTree, fake_features: PyTree, *, layer_weights: PyTree | None = None) -> Array:
    """Style reconstruction loss: sum over layers of || G(F(x)) - G(F(y)) ||_F^2, per example, with G from `gram_matrix`.

    It measures which channels are active together and ignores where. The heights and widths of the two sides may differ.
    Many codebases use the mean over the matrix, which is smaller by the squared number of channels.

    Args:
        real_features: Activations of the style targets, float [batch, height, width, channels], or a pytree of such.
        fake_features: Activations of the generated images, with the same structure, batch size and channels.
        layer_weights: One number per layer, in the structure of the features. The default is 1 for every layer.

    Returns:
        [batch], float32 or wider.

    Raises:
        TypeError: The features are not floating point.
        ValueError: The structures, batch sizes or channels differ, there are no features, or the batch is empty.

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
    """KL divergence of a diagonal Gaussian from the standard normal distribution: KL(N(m, v) || N(0, 1)), in nats.

    The value is (1/2) sum (m^2 + v - 1 - log v) over all axes except the batch axis, with v = exp(log_variance). It is the
    prior term of a VAE, of VAE-GAN, and of hybrids of KL and adversarial losses.

    Args:
        mean: Mean m, float [batch, ...].
        log_variance: Natural logarithm of the variance, same shape. It is twice the logarithm of the standard deviation.

    Returns:
        [batch], float32 or wider. The value is 0 only if mean and log variance are 0.

    Raises:
        TypeError: The arguments are not floating point.
        ValueError: The shapes differ, the batch is empty, or there is no batch axis.

    References:
        Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, appendix B.
        Larsen et al., "Autoencoding beyond pixels using a learned similarity metric", 2016.
    """
    mean, log_variance = _check_batches(mean=mean, log_variance=log_variance)
    # expm1 keeps v - 1 - log v accurate near v = 1, where the difference of plain exp and 1 would lose digits.
    values = mean**2 + jnp.expm1(log_variance) - log_variance
    return 0.5 * jnp.sum(values, axis=tuple(range(1, values.ndim)))
