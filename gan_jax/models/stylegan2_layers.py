"""Layers of StyleGAN2: the mapping network, modulated convolutions of G, and the convolution of D."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.nn.equalized import EqualizedDense
from gan_jax.nn.modulation import modulated_conv
from gan_jax.nn.pixelwise_norm import pixel_norm
from gan_jax.nn.resampling_conv import resampled_conv
from gan_jax.typing import Array

NORMAL = nn.initializers.normal(1.0)
# The activation is a leaky ReLU, followed by a gain of sqrt(2) that keeps the variance.
GAIN = math.sqrt(2)


def _activate(x: Array, bias: Array, *, gain: float = GAIN, clamp: float | None = None) -> Array:
    """Adds the bias, applies a leaky ReLU and its gain, and clamps."""
    x = jax.nn.leaky_relu(x + bias.astype(x.dtype), 0.2) * gain
    return x if clamp is None else jnp.clip(x, -clamp, clamp)


class MappingNetwork(nn.Module):
    """Maps latents and labels to styles: normalisation, then dense layers with a small learning rate.

    Attributes:
        dim: Size of the styles and of the hidden layers.
        layers: Number of dense layers.
        num_classes: Above 0, a normalised embedding of the label is appended to the normalised latents.
        lr_multiplier: Factor of the learning rate of the dense layers.
        average_decay: Decay of the moving mean of the styles. None keeps no mean.
        axis_name: Mapped axis (`shard_map` or `pmap`) whose devices share the batch.
    """

    dim: int
    layers: int = 8
    num_classes: int = 0
    lr_multiplier: float = 0.01
    average_decay: float | None = 0.995
    axis_name: str | None = None

    @nn.compact
    def __call__(self, latents: Array | None, labels: Array | None = None, *, track: bool = False) -> Array:
        """Maps float [batch, latent_dim], or None for labels alone, to float32 [batch, dim]. `track` updates the moving mean."""
        parts = [] if latents is None else [pixel_norm(latents.astype(jnp.float32))]
        if self.num_classes:
            one_hot = jax.nn.one_hot(labels, self.num_classes, dtype=jnp.float32)
            parts.append(pixel_norm(EqualizedDense(self.dim, gain=1.0, name="embed")(one_hot)))
        x = jnp.concatenate(parts, axis=-1)
        for index in range(self.layers):
            dense = EqualizedDense(self.dim, gain=1.0, lr_multiplier=self.lr_multiplier, name=f"fc{index}")
            x = jax.nn.leaky_relu(dense(x), 0.2) * GAIN
        if self.average_decay is not None:
            mean = self.variable("moving_average", "w", jnp.zeros, (self.dim,), jnp.float32)
            if track and not self.is_initializing():
                batch_mean = jax.lax.stop_gradient(x).mean(axis=0)
                if self.axis_name is not None:
                    batch_mean = jax.lax.pmean(batch_mean, self.axis_name)
                mean.value = batch_mean + self.average_decay * (mean.value - batch_mean)
        return x

    def truncate(self, styles: Array, truncation: float | Array) -> Array:
        """Moves styles towards the moving mean: mean + truncation * (styles - mean)."""
        mean: Array = self.get_variable("moving_average", "w")
        return mean + truncation * (styles - mean)


class SynthesisLayer(nn.Module):
    """A modulated 3x3 convolution with noise, bias and leaky ReLU.

    Attributes:
        features: Number of output channels.
        up: Factor of up-sampling.
        noise: Whether there is a noise input with a learned strength.
        noise_mode: One of `gan_jax.models.stylegan2.NOISE_MODES`.
        clamp: Bound of the activations, or None.
        dtype: Computation dtype. Parameters and styles are float32.
    """

    features: int
    up: int = 1
    noise: bool = True
    noise_mode: str = "random"
    clamp: float | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, style: Array) -> Array:
        """Maps [batch, h, w, channels] and a style [batch, dim] to [batch, h * up, w * up, features]."""
        styles = EqualizedDense(x.shape[-1], gain=1.0, bias_init=nn.initializers.ones, name="affine")(style)
        kernel = self.param("kernel", NORMAL, (3, 3, x.shape[-1], self.features), jnp.float32)
        x = modulated_conv(x.astype(self.dtype), kernel, styles, up=self.up)
        if self.noise:
            # All examples share the fixed image, and every example has a random image of its own.
            shape = x.shape[1:3]
            fixed = self.variable("noise", "image", lambda: jax.random.normal(self.make_rng("noise"), shape))
            strength = self.param("noise_strength", nn.initializers.zeros, (), jnp.float32)
            if self.noise_mode == "random":
                image = jax.random.normal(self.make_rng("noise"), (x.shape[0], *shape, 1))
                x = x + (image * strength).astype(self.dtype)
            elif self.noise_mode == "const":
                x = x + (fixed.value[..., None] * strength).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        return _activate(x, bias, clamp=self.clamp)


class ToImage(nn.Module):
    """A modulated 1x1 convolution without demodulation onto the channels of the image.

    Attributes:
        channels: Number of channels of the image.
        clamp: Bound of the result, or None.
        dtype: Computation dtype. The result is float32.
    """

    channels: int
    clamp: float | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, style: Array) -> Array:
        """Maps [batch, h, w, channels] and a style [batch, dim] to an image."""
        styles = EqualizedDense(x.shape[-1], gain=1.0, bias_init=nn.initializers.ones, name="affine")(style)
        kernel = self.param("kernel", NORMAL, (1, 1, x.shape[-1], self.channels), jnp.float32)
        x = modulated_conv(x.astype(self.dtype), kernel, styles / math.sqrt(x.shape[-1]), demodulate=False)
        x = x + self.param("bias", nn.initializers.zeros, (self.channels,), jnp.float32).astype(self.dtype)
        return (x if self.clamp is None else jnp.clip(x, -self.clamp, self.clamp)).astype(jnp.float32)


class EqualizedResampledConv(nn.Module):
    """A convolution with an equalised learning rate, filtered down-sampling, bias, leaky ReLU and gain.

    Attributes:
        features: Number of output channels.
        kernel_size: Side of the kernel.
        down: Factor of down-sampling.
        gain: Factor of the result.
        linear: Without bias and activation.
        clamp: Bound of the result at gain 1, or None.
        dtype: Computation dtype. Parameters are float32.
    """

    features: int
    kernel_size: int = 3
    down: int = 1
    gain: float = 1.0
    linear: bool = False
    clamp: float | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps float [batch, h, w, channels] to [batch, h / down, w / down, features]."""
        kernel = self.param("kernel", NORMAL, (self.kernel_size, self.kernel_size, x.shape[-1], self.features), jnp.float32)
        kernel = kernel / math.sqrt(math.prod(kernel.shape[:3]))
        x = resampled_conv(x.astype(self.dtype), kernel.astype(self.dtype), down=self.down)
        if self.linear:
            return x * self.gain
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        return _activate(x, bias, gain=GAIN * self.gain, clamp=None if self.clamp is None else self.clamp * self.gain)
