"""Path-length regularisation of G: equal steps of the style make equal changes of the image."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gan_jax._internal.checks import check_float, check_rank
from gan_jax._internal.input_gradient import guarded_norm
from gan_jax.typing import Array


def path_length_penalty(
    synthesize: Callable[[Array], Array], styles: Array, noise: Array, mean: Array, *, decay: float = 0.01, axis_name: str | None = None
) -> tuple[Array, Array, Array]:
    """Path-length regularisation: (|J_w^T y| - a)^2, with y ~ N(0, 1) / sqrt(h w).

        |J_w^T y|^2 = mean over layers of |d<G(w), y> / dw_layer|^2
        a <- a + decay * (mean over the batch of |J_w^T y| - a)

    The new mean a is used, and it carries gradient within the step, as in the authors' code. In StyleGAN2 the weight is 2, with one
    computation in 4 steps on half of the batch.

    Args:
        synthesize: Maps styles to images, float [batch, height, width, channels].
        styles: Float [batch, layers, dim].
        noise: Standard normal numbers of the shape of the images.
        mean: Moving mean a of the lengths, float32 []. It starts at 0.
        decay: Share of the new lengths in the moving mean.
        axis_name: Mapped axis (`shard_map` or `pmap`) whose devices share the batch. The mean is then that of all devices.

    Returns:
        One value per example, [batch]; the new mean, without gradient; and the lengths, [batch].

    Raises:
        ValueError: The styles are not of rank 3, or noise and images differ in shape.
        TypeError: The styles are not floating point.

    References:
        Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, section 3.2, and loss.py of
        NVlabs/stylegan2-ada-pytorch.
    """
    check_rank(3, styles=styles)
    check_float(styles=styles)

    def projection(styles: Array) -> Array:
        images = synthesize(styles)
        if images.shape != noise.shape:
            raise ValueError(f"noise must have the shape of the images {images.shape}; got {noise.shape}")
        return jnp.sum(images * noise) / (images.shape[1] * images.shape[2]) ** 0.5

    lengths = guarded_norm(jax.grad(projection)(styles)) / styles.shape[1] ** 0.5
    batch_mean = lengths.mean() if axis_name is None else jax.lax.pmean(lengths.mean(), axis_name)
    new_mean = mean + decay * (batch_mean - mean)
    return jnp.square(lengths - new_mean), jax.lax.stop_gradient(new_mean), lengths
