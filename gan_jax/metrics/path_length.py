"""Perceptual path length: how far the image moves in a feature space for a small step between two latents or styles."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax._internal.checks import check_rank
from gan_jax.typing import Array

# Layers of VGG16 in LPIPS, names of `gan_jax.models.vgg.FEATURES`.
LPIPS_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")


class PathLength(NamedTuple):
    """Perceptual path length.

    Attributes:
        value: Mean of the distances between their 1st and 99th percentile. Lower is smoother.
        distances: Distance of each pair, divided by epsilon^2, float [count].
    """

    value: float
    distances: np.ndarray


def perceptual_embedding(
    features: Callable[[Array], Mapping[str, Array]], weights: Mapping[str, Any] | None = None
) -> Callable[[Array], Array]:
    """Makes vectors whose squared distance is LPIPS: the weighted distance of unit feature vectors, averaged over pixels.

        d = sum_layers mean_hw sum_c w_c (f_c / |f| - f'_c / |f'|)^2

    Without weights all w_c are 1. The distance is then one of plain features, and must not be called LPIPS.

    Args:
        features: Maps images in [-1, 1] to feature maps, name -> float [batch, h, w, channels], such as
            `gan_jax.models.vgg.feature_extractor(path, layers=LPIPS_LAYERS)`.
        weights: The linear weights of LPIPS, name -> float [channels], not negative.

    Returns:
        `images -> vectors`, float32 [batch, dim], differentiable.

    References:
        Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018.
    """

    def embed(images: Array) -> Array:
        parts = []
        for name, array in features(images).items():
            check_rank(4, features=array)
            square = jnp.square(array).sum(axis=-1, keepdims=True)
            zero = square == 0  # A dead pixel stays zero and has no gradient.
            unit = jnp.where(zero, 0.0, array / (jnp.sqrt(jnp.where(zero, 1.0, square)) + 1e-10))
            if weights is not None:
                if np.shape(weights[name]) != array.shape[-1:]:
                    raise ValueError(f"weights[{name!r}] must have shape {array.shape[-1:]}; got {np.shape(weights[name])}")
                unit = unit * jnp.sqrt(jnp.asarray(weights[name], jnp.float32))
            parts.append(unit.reshape(len(unit), -1) / (array.shape[1] * array.shape[2]) ** 0.5)
        return jnp.concatenate(parts, axis=-1)

    return embed


def path_distances(
    generate: Callable[[Array, Array | None, Array], Array],
    embed: Callable[[Array], Array],
    first: Array,
    second: Array,
    position: Array,
    rng: Array,
    *,
    labels: Array | None = None,
    mapping: Callable[[Array, Array | None], Array] | None = None,
    epsilon: float = 1e-4,
    crop: bool = False,
) -> Array:
    """Squared feature distance of the images at t and t + epsilon between two latents, divided by epsilon^2.

    Args:
        generate: `(inputs, labels, rng) -> images`, float [batch, height, width, channels] in [-1, 1]. The inputs are latents, or styles
            with `mapping`. Both images of a pair get the same key, so they have the same noise.
        embed: `images -> vectors`, float [batch, dim].
        first, second: Latents, float [batch, latent_dim].
        position: t in [0, 1], float [batch].
        rng: Typed key of the noise.
        labels: int32 [batch], for a conditional model.
        mapping: `(latents, labels) -> styles`, float [batch, layers, dim]. With it, the path is a line between styles. Without it, the
            path is a great circle between latents.
        epsilon: Length of the step.
        crop: Whether to cut out the part of the image that holds the face in FFHQ.

    Returns:
        float32 [batch].
    """

    def inputs(t: Array) -> Array:
        if mapping is None:
            return _great_circle(first, second, t[:, None])
        start, end = mapping(first, labels), mapping(second, labels)
        return start + t[:, None, None] * (end - start)

    def vectors(t: Array) -> Array:
        images = generate(inputs(t), labels, rng)
        if crop:
            part = images.shape[1] // 8
            images = images[:, 3 * part : 7 * part, 2 * part : 6 * part]
        factor = images.shape[1] // 256
        if factor > 1:
            batch, height, width, channels = images.shape
            images = images.reshape(batch, height // factor, factor, width // factor, factor, channels).mean(axis=(2, 4))
        return embed(images)

    return jnp.square(vectors(position + epsilon) - vectors(position)).sum(axis=-1) / epsilon**2


def _great_circle(first: Array, second: Array, t: Array) -> Array:
    """The point at t on the great circle between two directions. The norm changes linearly."""
    norms = [jnp.linalg.norm(latents, axis=-1, keepdims=True) for latents in (first, second)]
    start, end = first / norms[0], second / norms[1]
    cosine = jnp.clip((start * end).sum(axis=-1, keepdims=True), -1, 1)
    angle, across = t * jnp.arccos(cosine), end - cosine * start
    across = across / jnp.maximum(jnp.linalg.norm(across, axis=-1, keepdims=True), 1e-12)
    return (start * jnp.cos(angle) + across * jnp.sin(angle)) * (norms[0] + t * (norms[1] - norms[0]))


def perceptual_path_length(
    generate: Callable[[Array, Array | None, Array], Array],
    embed: Callable[[Array], Array],
    sample_latents: Callable[[Array, int], Array],
    rng: Array,
    *,
    count: int = 10_000,
    batch_size: int = 32,
    sample_labels: Callable[[Array, int], Array] | None = None,
    mapping: Callable[[Array, Array | None], Array] | None = None,
    sampling: Literal["full", "end"] = "full",
    epsilon: float = 1e-4,
    crop: bool = False,
) -> PathLength:
    """Perceptual path length (PPL) of a generator.

    The value depends on the features. The PPL of the papers uses LPIPS on VGG16, 50,000 pairs, and a crop for faces. State the features
    with the number, and compare only numbers of the same features.

    Args:
        generate, embed, mapping, epsilon, crop: See `path_distances`. With `mapping` this is PPL in W, otherwise in Z.
        sample_latents: `(rng, count) -> latents`.
        rng: Typed key.
        count: Number of pairs, at least 2.
        batch_size: Number of pairs in one pass.
        sample_labels: `(rng, count) -> int32 labels`, for a conditional model.
        sampling: "full": anywhere on the path. "end": at its start, as in StyleGAN2's tables.

    Returns:
        The value and the distances.

    Raises:
        ValueError: If `sampling` is unknown, or `count` is below 2.

    References:
        Karras et al., "A Style-Based Generator Architecture", 2019, section 4.1. NVlabs/stylegan2-ada-pytorch, perceptual_path_length.py.
    """
    if sampling not in ("full", "end"):
        raise ValueError(f"sampling must be full or end; got {sampling!r}")
    if count < 2 or batch_size < 1:
        raise ValueError(f"count must be at least 2 and batch_size at least 1; got {count} and {batch_size}")

    @jax.jit
    def batch(rng: Array) -> Array:
        for_first, for_second, for_position, for_labels, for_noise = jax.random.split(rng, 5)
        position = jax.random.uniform(for_position, (batch_size,)) if sampling == "full" else jnp.zeros(batch_size)
        return path_distances(
            generate,
            embed,
            sample_latents(for_first, batch_size),
            sample_latents(for_second, batch_size),
            position,
            for_noise,
            labels=None if sample_labels is None else sample_labels(for_labels, batch_size),
            mapping=mapping,
            epsilon=epsilon,
            crop=crop,
        )

    rows: Iterable[int] = range(-(-count // batch_size))
    distances = np.concatenate([np.asarray(batch(jax.random.fold_in(rng, row))) for row in rows])[:count]
    low = np.percentile(distances, 1, method="lower")
    high = np.percentile(distances, 99, method="higher")
    return PathLength(float(distances[(distances >= low) & (distances <= high)].mean()), distances)
