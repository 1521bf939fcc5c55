"""PGGAN: networks that grow from 4x4 images up, each new stage faded in.

One tree of parameters holds all stages, and one program can train all of them. How far the networks have grown is one number,
`growth`: a whole number k means stage k (images of 4 * 2^k pixels) and nothing else; between k - 1 and k, stage k is being
faded in with alpha = growth - (k - 1). It is state, like batch statistics: collection "progress" holds the float32 scalar "growth",
so it is saved, restored and used in sampling without being passed around. The training step does three things more than usual:

    growth = growth_schedule(step, stages=n, fade_steps=f, stable_steps=s)
    state = set_growth(state, growth)             # of both players, before they are applied
    real = match_growth(real, growth)             # reals as coarse as the fakes

Images keep their full size at every stage (coarse ones are repeated pixels), so shapes never change and nothing is compiled
again: inside, `lax.switch` runs the stage that has been reached, at that stage's cost.

Without the state, a module's `stage` (a Python integer) and `alpha` (which may be traced) say the same at a call:
`module.apply(variables, latents, stage=1, alpha=0.3)`; images are then of the stage's own size. One program per stage, each
no larger than it must be.
"""

import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, OUTPUT_ACTIVATIONS, check_labels, check_size, one_of
from gan_jax.nn.equalized import EqualizedConv, EqualizedDense
from gan_jax.nn.pixelwise_norm import pixel_norm
from gan_jax.nn.resize import average_pool, resize_nearest
from gan_jax.nn.stddev import minibatch_stddev
from gan_jax.typing import Array, DiscriminatorOutput, Players, PyTree

SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
leaky_relu = ACTIVATIONS["leaky_relu"]


def growth_schedule(step: Array | int, *, stages: int, fade_steps: int, stable_steps: int) -> Array:
    """How far the networks have grown at a step: stable at 4x4, then for each further stage a fade-in and a stable phase.

    Args:
        step: int scalar, from 0.
        stages: in all, e.g. 4 for 4, 8, 16, 32.
        fade_steps: of each fade-in, at least 1.
        stable_steps: at each stage before the next is faded in.

    Returns:
        float32 scalar in [0, stages - 1].

    References:
        Karras et al., "Progressive Growing of GANs", 2018, appendix A: both phases of 800,000 images.
    """
    if fade_steps < 1 or stable_steps < 0 or stages < 1:
        raise ValueError(f"fade_steps and stages must be at least 1 and stable_steps 0; got {fade_steps}, {stages} and {stable_steps}")
    since = jnp.maximum(jnp.asarray(step) - stable_steps, 0)
    whole, within = jnp.divmod(since, fade_steps + stable_steps)
    growth = whole + jnp.minimum(within.astype(jnp.float32) / fade_steps, 1.0)
    return jnp.minimum(growth, stages - 1).astype(jnp.float32)


def set_growth(state: Mapping[str, PyTree], growth: Array | float) -> dict[str, PyTree]:
    """Writes how far a network has grown into its state; a state without "progress" comes back as it is."""
    if "progress" not in state:
        return dict(state)
    return {**state, "progress": {"growth": jnp.asarray(growth, jnp.float32)}}


def _stage_and_alpha(growth: Array) -> tuple[Array, Array]:
    stage = jnp.ceil(growth).astype(jnp.int32)
    return stage, growth - stage + 1


def match_growth(images: Array, growth: Array) -> Array:
    """Makes real images as coarse as the fakes of networks that have grown so far.

    Averaged down to the stage's pixels; while it is fading in, mixed with a version of half as many pixels a side:
    (1 - alpha) * coarse + alpha * fine. Repeated back to full size.

    Args:
        images: float [batch, size, size, channels], size 4 * 2^n.
        growth: float scalar in [0, n].

    Returns:
        Same shape as images.

    References:
        Karras et al., "Progressive Growing of GANs", 2018; `train.py`, `process_reals`.
    """
    last = images.shape[1].bit_length() - 3

    def branch(stage: int, images: Array, alpha: Array) -> Array:
        fine = average_pool(images, 2 ** (last - stage))
        if stage:
            fine = (1 - alpha) * resize_nearest(average_pool(fine)) + alpha * fine
        return resize_nearest(fine, 2 ** (last - stage)).astype(images.dtype)

    stage, alpha = _stage_and_alpha(growth)
    return jax.lax.switch(stage, [lambda x, a, k=k: branch(k, x, a) for k in range(last + 1)], images, alpha)


class GrowingGenerator(nn.Module):
    """PGGAN's generator, all stages; see the top of the file for how it grows.

    Attributes:
        channels: of the images.
        widths: channels of each stage, from 4x4 up.
        num_classes: above 0, the label joins the latents as a one-hot vector.
        output_activation: "linear" or "tanh", behind the fade.
        dtype: of computation; parameters are float32.
    """

    channels: int
    widths: tuple[int, ...]
    num_classes: int = 0
    output_activation: str = "linear"
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Names the layers of all stages; "progress" starts fully grown."""
        self.project = EqualizedDense(16 * self.widths[0], use_bias=False, gain=math.sqrt(2) / 4, dtype=self.dtype)
        self.project_bias = self.param("project_bias", nn.initializers.zeros, (self.widths[0],), jnp.float32)
        self.first = [EqualizedConv(width, dtype=self.dtype) for width in self.widths[1:]]
        self.second = [EqualizedConv(width, dtype=self.dtype) for width in self.widths]
        self.to_image = [EqualizedConv(self.channels, (1, 1), gain=1.0, dtype=self.dtype) for _ in self.widths]
        self.growth = self.variable("progress", "growth", lambda: jnp.asarray(len(self.widths) - 1, jnp.float32))

    def _images(self, latents: Array, alpha: Array | float, stage: int) -> Array:
        """Images of one stage, at its own size."""
        x = self.project(pixel_norm(latents.astype(self.dtype))).reshape(-1, 4, 4, self.widths[0])
        x = pixel_norm(leaky_relu(x + self.project_bias.astype(self.dtype)))
        x = pixel_norm(leaky_relu(self.second[0](x)))
        for index in range(1, stage + 1):
            before = x
            x = pixel_norm(leaky_relu(self.first[index - 1](resize_nearest(x))))
            x = pixel_norm(leaky_relu(self.second[index](x)))
        images = self.to_image[stage](x)
        if stage:
            small = resize_nearest(self.to_image[stage - 1](before))
            images = (1 - alpha) * small + alpha * images
        return OUTPUT_ACTIVATIONS[self.output_activation](images.astype(jnp.float32))

    def __call__(
        self,
        latents: Array,
        labels: Array | None = None,
        context: Any = None,
        *,
        train: bool = True,
        stage: int | None = None,
        alpha: Array | float = 1.0,
    ) -> Array:
        """Makes images.

        Args:
            latents: float [batch, dim].
            labels: int32 [batch], where there are classes.
            context: not used.
            train: not used.
            stage: the stage, from 0; None: what the state's growth says.
            alpha: with a stage, how far it has been faded in, in [0, 1]; may be traced.

        Returns:
            float32 [batch, size, size, channels]: the stage's own size with a stage, else always the full one.
        """
        check_labels(labels, self.num_classes)
        if self.num_classes:
            latents = jnp.concatenate([latents, jax.nn.one_hot(labels, self.num_classes, dtype=latents.dtype)], axis=-1)
        last = len(self.widths) - 1
        if self.is_initializing():
            for index in range(last):
                self._images(latents, 1.0, index)
            return self._images(latents, 1.0, last)
        if stage is not None:
            return self._images(latents, alpha, one_of("stage", stage, range(last + 1)))

        def branch(index: int) -> Any:
            return lambda module, latents, alpha: resize_nearest(module._images(latents, alpha, index), 2 ** (last - index))

        reached, alpha = _stage_and_alpha(self.growth.value)
        return nn.switch(reached, [branch(index) for index in range(last + 1)], self, latents, alpha)


class GrowingDiscriminator(nn.Module):
    """PGGAN's discriminator, all stages; see the top of the file for how it grows.

    Attributes:
        widths: channels of each stage, from 4x4 up, as the generator's.
        num_classes: above 0, it also classifies.
        group_size: of the minibatch standard deviation; 0 leaves that out.
        axis_name: of the devices that share the batch, inside `shard_map` or `pmap`.
        dtype: of computation; parameters are float32.
    """

    widths: tuple[int, ...]
    num_classes: int = 0
    group_size: int = 4
    axis_name: str | None = None
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Names the layers of all stages; "progress" starts fully grown."""
        before = self.widths[:1] + self.widths[:-1]
        self.from_image = [EqualizedConv(width, (1, 1), dtype=self.dtype) for width in self.widths]
        self.first = [EqualizedConv(width, dtype=self.dtype) for width in self.widths]
        self.second = [EqualizedConv(width, dtype=self.dtype) for width in before[1:]]
        self.dense = EqualizedDense(self.widths[0], dtype=self.dtype)
        self.head = EqualizedDense(1 + self.num_classes, gain=1.0, dtype=self.dtype)
        self.growth = self.variable("progress", "growth", lambda: jnp.asarray(len(self.widths) - 1, jnp.float32))

    def _scores(self, images: Array, alpha: Array | float, stage: int) -> Array:
        """Logit and class logits [batch, 1 + classes] of images of a stage's own size."""
        x = leaky_relu(self.from_image[stage](images))
        for index in range(stage, 0, -1):
            x = leaky_relu(self.first[index](x))
            x = average_pool(leaky_relu(self.second[index - 1](x)))
            if index == stage:
                x = (1 - alpha) * leaky_relu(self.from_image[stage - 1](average_pool(images))) + alpha * x
                x = x.astype(self.dtype)
        if self.group_size:
            axis_name = None if self.is_initializing() else self.axis_name
            batch = x.shape[0] * (1 if axis_name is None else jax.lax.axis_size(axis_name))
            x = minibatch_stddev(x, _divisor(batch, self.group_size), axis_name=axis_name)
        x = leaky_relu(self.first[0](x))
        x = leaky_relu(self.dense(x.reshape(x.shape[0], -1)))
        return self.head(x).astype(jnp.float32)

    def __call__(
        self,
        images: Array,
        labels: Array | None = None,
        context: Any = None,
        *,
        train: bool = True,
        stage: int | None = None,
        alpha: Array | float = 1.0,
    ) -> DiscriminatorOutput:
        """Judges images.

        Args:
            images: float [batch, size, size, channels]: the stage's own size with a stage, else always the full one.
            labels: not used: with classes it classifies.
            context: not used.
            train: not used.
            stage: the stage, from 0; None: what the state's growth says.
            alpha: with a stage, how far it has been faded in, in [0, 1]; may be traced.

        Returns:
            Logits float32 [batch], and class logits where there are classes.

        Raises:
            ValueError: images of another size.
        """
        last = len(self.widths) - 1
        size = 4 * 2 ** (last if stage is None else one_of("stage", stage, range(last + 1)))
        if images.shape[1:3] != (size, size):
            raise ValueError(
                f"images must be of {size}x{size} pixels at stage {last if stage is None else stage}; got shape {images.shape}"
            )
        x = images.astype(self.dtype)
        if self.is_initializing():
            for index in range(last):
                self._scores(average_pool(x, 2 ** (last - index)), 1.0, index)
            scores = self._scores(x, 1.0, last)
        elif stage is not None:
            scores = self._scores(x, alpha, stage)
        else:

            def branch(index: int) -> Any:
                return lambda module, x, alpha: module._scores(average_pool(x, 2 ** (last - index)), alpha, index)

            reached, alpha = _stage_and_alpha(self.growth.value)
            scores = nn.switch(reached, [branch(index) for index in range(last + 1)], self, x, alpha)
        return DiscriminatorOutput(scores[:, 0], {}, scores[:, 1:] if self.num_classes else None)


def _divisor(batch: int, group_size: int) -> int:
    """The largest group of at most `group_size` that divides the batch: a batch of any size passes."""
    return max(size for size in range(1, group_size + 1) if batch % size == 0)


def progressive(
    *,
    image_size: int = 32,
    channels: int = 3,
    latent_dim: int = 128,
    num_classes: int = 0,
    width: int = 128,
    group_size: int = 4,
    output_activation: str = "linear",
    dtype: Any = "float32",
) -> Players:
    """Builds PGGAN's networks (Karras 2018), for all stages from 4x4 to `image_size`.

    Pixel norm in the generator, minibatch standard deviation in the discriminator, equalised learning rate in both.
    At 1024 pixels with width=512 and latent_dim=512 each has 23.1 million parameters, as in the paper's table 2.

    Args:
        image_size: side of the images of the last stage in pixels, one of `SIZES`.
        channels: of the images.
        latent_dim: accepted because every row takes it; the layers fit whatever latents come. The paper: as `width`.
        num_classes: above 0, the generator's latents are joined by the label, and the discriminator classifies (ACGAN).
        width: channels of the stages up to 32 pixels, halved with each further one. Published: 512.
        group_size: of the minibatch standard deviation; 0 leaves that out.
        output_activation: "linear", as published, or "tanh".
        dtype: of computation; parameters are float32.

    Returns:
        Players of Linen modules, fully grown until `set_growth` says otherwise.

    Raises:
        ValueError: a size the model cannot make, or a name that is not among the choices.

    References:
        Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation", 2018; the fade is that
        of the authors' code (`networks.py`), with separate resize and convolution.
    """
    del latent_dim
    check_size("progressive", image_size, SIZES)
    one_of("output_activation", output_activation, OUTPUT_ACTIVATIONS)
    widths = tuple(width // max(2**level // 32, 1) for level in range(2, image_size.bit_length()))
    if not all(widths):
        raise ValueError(f"width={width} leaves no channels at image_size={image_size}; it must be at least {image_size // 32}")
    shared = {"widths": widths, "num_classes": num_classes, "dtype": jnp.dtype(dtype)}
    generator = GrowingGenerator(channels=channels, output_activation=output_activation, **shared)
    return Players(generator, GrowingDiscriminator(group_size=group_size, **shared))
