"""PGGAN: networks that grow from 4x4 images to the full size. Each new stage is faded in.

One parameter tree holds all stages, and one program can train all of them. The scalar `growth` says how far the
networks have grown. If it is a whole number k, only stage k is active, with images of 4 * 2^k pixels.
Images that are no power of two or not square begin at a first size other than 4x4, see `first_map`. If it is between
k - 1 and k, stage k is being faded in with alpha = growth - (k - 1).

`growth` is part of the state, like batch statistics: collection "progress" holds the float32 scalar "growth". It is
therefore saved, restored and used in sampling without an extra argument. The train step needs three extra lines:

    growth = growth_schedule(step, stages=n, fade_steps=f, stable_steps=s)
    state = set_growth(state, growth)             # of both networks, before they are applied
    real = match_growth(real, growth)             # reals as coarse as the fakes

Images keep their full size at every stage, and coarse images consist of repeated pixels. Shapes therefore never change,
and nothing is compiled again. `lax.switch` runs only the current stage, at the cost of that stage.

Alternatively, give `stage` (a Python integer) and `alpha` (which may be traced) in a call, as in
`module.apply(variables, latents, stage=1, alpha=0.3)`. The state is then ignored, and images have the size of the
stage. This needs one program per stage, but each program is as small as possible.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.models.common import ACTIVATIONS, OUTPUT_ACTIVATIONS, check_growth, check_labels, first_map, one_of
from gan_jax.nn.equalized import EqualizedConv, EqualizedDense
from gan_jax.nn.pixelwise_norm import pixel_norm
from gan_jax.nn.resize import average_pool, resize_nearest
from gan_jax.nn.stddev import largest_group, minibatch_stddev
from gan_jax.typing import Array, DiscriminatorOutput, Players, PyTree

leaky_relu = ACTIVATIONS["leaky_relu"]


def growth_schedule(step: Array | int, *, stages: int, fade_steps: int, stable_steps: int) -> Array:
    """Returns how far the networks have grown at a step.

    The schedule starts with a stable phase at 4x4. Each further stage has a fade-in and a stable phase.

    Args:
        step: int scalar, counted from 0.
        stages: Number of stages, such as 4 for sizes 4, 8, 16 and 32.
        fade_steps: Number of steps of each fade-in, at least 1.
        stable_steps: Number of steps at each stage before the fade-in of the next one, at least 0.

    Returns:
        float32 scalar in [0, stages - 1].

    Raises:
        ValueError: If `fade_steps`, `stages` or `stable_steps` is too small.

    References:
        Karras et al., "Progressive Growing of GANs", 2018, appendix A: both phases last 800,000 images.
    """
    if fade_steps < 1 or stable_steps < 0 or stages < 1:
        raise ValueError(
            f"fade_steps and stages must be at least 1, stable_steps at least 0; got {fade_steps}, {stages} and {stable_steps}"
        )
    since = jnp.maximum(jnp.asarray(step) - stable_steps, 0)
    whole, within = jnp.divmod(since, fade_steps + stable_steps)
    growth = whole.astype(jnp.float32) + jnp.minimum(within.astype(jnp.float32) / fade_steps, 1.0)
    return jnp.minimum(growth, stages - 1).astype(jnp.float32)


def set_growth(state: Mapping[str, PyTree], growth: Array | float) -> dict[str, PyTree]:
    """Sets `growth` in the state of a network. A state without the collection "progress" is returned unchanged."""
    if "progress" not in state:
        return dict(state)
    return {**state, "progress": {"growth": jnp.asarray(growth, jnp.float32)}}


def _stage_and_alpha(growth: Array) -> tuple[Array, Array]:
    stage = jnp.ceil(growth).astype(jnp.int32)
    return stage, growth - stage.astype(growth.dtype) + 1


def match_growth(images: Array, growth: Array) -> Array:
    """Makes real images as coarse as the fakes of networks with the given growth.

    Images are averaged down to the size of the stage. During a fade-in they are mixed with a version of half that size:
    (1 - alpha) * coarse + alpha * fine. The result is repeated to the full size.

    Args:
        images: float [batch, height, width, channels], which halve n times to the first size, see `first_map`.
        growth: float scalar in [0, n].

    Returns:
        Same shape as `images`.

    References:
        Karras et al., "Progressive Growing of GANs", 2018. `process_reals` in `train.py` of the authors' code.
    """
    last = first_map(images.shape[1:3])[0]

    def branch(stage: int, images: Array, alpha: Array) -> Array:
        fine = average_pool(images, 2 ** (last - stage))
        if stage:
            fine = (1 - alpha) * resize_nearest(average_pool(fine)) + alpha * fine
        return resize_nearest(fine, 2 ** (last - stage)).astype(images.dtype)

    stage, alpha = _stage_and_alpha(growth)
    return jax.lax.switch(stage, [lambda x, a, k=k: branch(k, x, a) for k in range(last + 1)], images, alpha)


class GrowingGenerator(nn.Module):
    """PGGAN's generator with all stages. The module docstring explains how it grows.

    Attributes:
        channels: Number of channels of the images.
        widths: Number of channels of each stage, the smallest size first.
        num_classes: Above 0, the label is appended to the latents as a one-hot vector.
        output_activation: "linear" or "tanh", applied after the fade.
        dtype: Computation dtype. Parameters are float32.
        first_size: Height and width of the first stage.
    """

    channels: int
    widths: tuple[int, ...]
    num_classes: int = 0
    output_activation: str = "linear"
    dtype: Any = jnp.float32
    first_size: tuple[int, int] = (4, 4)

    def setup(self) -> None:
        """Creates the layers of all stages. `growth` starts at the last stage."""
        self.project = EqualizedDense(math.prod(self.first_size) * self.widths[0], use_bias=False, gain=math.sqrt(2) / 4, dtype=self.dtype)
        self.project_bias = self.param("project_bias", nn.initializers.zeros, (self.widths[0],), jnp.float32)
        self.first = [EqualizedConv(width, dtype=self.dtype) for width in self.widths[1:]]
        self.second = [EqualizedConv(width, dtype=self.dtype) for width in self.widths]
        self.to_image = [EqualizedConv(self.channels, (1, 1), gain=1.0, dtype=self.dtype) for _ in self.widths]
        self.growth = self.variable("progress", "growth", lambda: jnp.asarray(len(self.widths) - 1, jnp.float32))

    def _images(self, latents: Array, alpha: Array | float, stage: int) -> Array:
        """Returns the images of one stage, at the size of the stage."""
        x = self.project(pixel_norm(latents.astype(self.dtype))).reshape(-1, *self.first_size, self.widths[0])
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
        """Generates images.

        Args:
            latents: float [batch, dim].
            labels: int32 [batch]. Required if num_classes > 0.
            context: Unused.
            train: Unused.
            stage: Stage to run, from 0. None: the stage given by `growth` in the state.
            alpha: If `stage` is given, how far it has been faded in, in [0, 1]. It may be traced.

        Returns:
            float32 [batch, height, width, channels]. The size is that of `stage` if it is given, else the full size.
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

        growth = self.growth.value
        if not isinstance(growth, jax.core.Tracer):
            # The growth of an exported generator is known. Only the stage that it has reached becomes part of the program.
            known = math.ceil(growth)
            return branch(known)(self, latents, np.float32(growth) - np.float32(known - 1))
        reached, alpha = _stage_and_alpha(growth)
        return nn.switch(reached, [branch(index) for index in range(last + 1)], self, latents, alpha)


class GrowingDiscriminator(nn.Module):
    """PGGAN's discriminator with all stages. The module docstring explains how it grows.

    Attributes:
        widths: Number of channels of each stage, the smallest size first, as in the generator.
        num_classes: Above 0, the discriminator also classifies.
        group_size: Group size of the minibatch standard deviation. 0 disables it.
        axis_name: Mapped axis (`shard_map` or `pmap`) whose devices share the batch.
        dtype: Computation dtype. Parameters are float32.
        first_size: Height and width of the first stage.
    """

    widths: tuple[int, ...]
    num_classes: int = 0
    group_size: int = 4
    axis_name: str | None = None
    dtype: Any = jnp.float32
    first_size: tuple[int, int] = (4, 4)

    def setup(self) -> None:
        """Creates the layers of all stages. `growth` starts at the last stage."""
        before = self.widths[:1] + self.widths[:-1]
        self.from_image = [EqualizedConv(width, (1, 1), dtype=self.dtype) for width in self.widths]
        self.first = [EqualizedConv(width, dtype=self.dtype) for width in self.widths]
        self.second = [EqualizedConv(width, dtype=self.dtype) for width in before[1:]]
        self.dense = EqualizedDense(self.widths[0], dtype=self.dtype)
        self.head = EqualizedDense(1 + self.num_classes, gain=1.0, dtype=self.dtype)
        self.growth = self.variable("progress", "growth", lambda: jnp.asarray(len(self.widths) - 1, jnp.float32))

    def _scores(self, images: Array, alpha: Array | float, stage: int) -> Array:
        """Returns logits and class logits [batch, 1 + classes] for images of the size of the stage."""
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
            x = minibatch_stddev(x, largest_group(batch, self.group_size), axis_name=axis_name)
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
        """Computes logits of images.

        Args:
            images: float [batch, height, width, channels]. The size is that of `stage` if it is given, else the full size.
            labels: Unused. With classes, the discriminator classifies instead.
            context: Unused.
            train: Unused.
            stage: Stage to run, from 0. None: the stage given by `growth` in the state.
            alpha: If `stage` is given, how far it has been faded in, in [0, 1]. It may be traced.

        Returns:
            Logits, float32 [batch], and class logits if num_classes > 0.

        Raises:
            ValueError: If the images have another size.
        """
        last = len(self.widths) - 1
        factor = 2 ** (last if stage is None else one_of("stage", stage, range(last + 1)))
        height, width = (side * factor for side in self.first_size)
        if images.shape[1:3] != (height, width):
            raise ValueError(
                f"images must be of {height}x{width} pixels at stage {last if stage is None else stage}; got shape {images.shape}"
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


def progressive(
    *,
    image_size: int | Sequence[int] = 32,
    channels: int = 3,
    latent_dim: int = 128,
    num_classes: int = 0,
    width: int = 128,
    group_size: int = 4,
    output_activation: str = "linear",
    dtype: Any = "float32",
) -> Players:
    """Builds PGGAN's networks (Karras et al., 2018) with all stages from the first size to `image_size`.

    The generator has pixel norm, the discriminator minibatch standard deviation, and both have an equalised learning
    rate. At 1024 pixels with width=512 and latent_dim=512 each network has 23.1 million parameters, as in table 2 of
    the paper.

    Args:
        image_size: Side of the images of the last stage in pixels, or (height, width): sides that are halved 1 to 8 times to reach the
            first size, whose shorter side has 4 to 7 pixels. It is 4x4 if the side is a power of two.
        channels: Number of channels of the images.
        latent_dim: Unused, accepted because every model builder takes it. The layers adapt to the size of the latents.
            In the paper it equals `width`.
        num_classes: Number of classes. Above 0, the label is appended to the generator's latents, and the discriminator
            classifies (ACGAN).
        width: Number of channels of the stages up to the third doubling (32 pixels). It halves with each further stage. Published: 512.
        group_size: Group size of the minibatch standard deviation. 0 disables it.
        output_activation: "linear", as published, or "tanh".
        dtype: Computation dtype. Parameters are float32.

    Returns:
        Players(generator, discriminator) of Linen modules. They are fully grown until `set_growth` is called.

    Raises:
        ValueError: If `image_size` is not supported, if `width` is too small for it, or if a name is not among the
            allowed values.

    References:
        Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation", 2018. The fade is
        that of the authors' code (`networks.py`), with separate resize and convolution.
    """
    del latent_dim
    levels, first = check_growth("progressive", image_size, levels=(1, 8), largest=1024)
    one_of("output_activation", output_activation, OUTPUT_ACTIVATIONS)
    widths = tuple(width // max(2**level // 32, 1) for level in range(2, levels + 3))
    if not all(widths):
        raise ValueError(f"width={width} leaves no channels at image_size={image_size}; it must be at least {2**levels // 8}")
    shared = {"widths": widths, "first_size": first, "num_classes": num_classes, "dtype": jnp.dtype(dtype)}
    generator = GrowingGenerator(channels=channels, output_activation=output_activation, **shared)
    return Players(generator, GrowingDiscriminator(group_size=group_size, **shared))
