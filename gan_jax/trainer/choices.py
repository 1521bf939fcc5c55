"""Chooses the settings of a run on one's own images from a look at the data and the device, each with its reason."""

import math
from collections.abc import Collection
from typing import Any, NamedTuple

import jax

from gan_jax.data import DataError, DataSummary, summarize
from gan_jax.trainer.build.data import load_data
from gan_jax.trainer.config import Config, flag, flatten, replace_field

ENOUGH = 50_000  # With more images, D is not expected to know them by heart.
CLASS_IMAGES = 50  # A class with fewer images is too small to be learnt on its own.


class Device(NamedTuple):
    """What the choice depends on.

    Attributes:
        kind: Name of the device.
        accelerator: Whether it is a GPU or TPU.
    """

    kind: str
    accelerator: bool


class Choice(NamedTuple):
    """A chosen setting.

    Attributes:
        path: Field of the configuration.
        value: Its value.
        reason: Why, in one line.
    """

    path: str
    value: Any
    reason: str

    def line(self) -> str:
        """The choice as a flag, with its reason."""
        if isinstance(self.value, bool):
            group, _, name = self.path.rpartition(".")
            return f"{flag(self.path if self.value else f'{group}.no_{name}')}: {self.reason}"
        return (
            f"{flag(self.path)} {self.value:.3g}: {self.reason}"
            if isinstance(self.value, float)
            else (f"{flag(self.path)} {self.value}: {self.reason}")
        )


def this_device() -> Device:
    """The device that the run will use."""
    return Device(jax.devices()[0].device_kind, jax.default_backend() != "cpu")


def shorter_side(sizes: dict[str, int]) -> int:
    """The median of the shorter sides of images, from their number by size "WIDTHxHEIGHT"."""
    sides = sorted((min(map(int, size.split("x"))), count) for size, count in sizes.items())
    half = sum(count for _, count in sides) / 2
    passed = 0
    for side, count in sides:
        passed += count
        if passed >= half:
            return side
    raise ValueError("there are no sizes")


def choose(summary: DataSummary, device: Device, typed: dict[str, Any]) -> list[Choice]:
    """The settings for a data set on a device.

    Batch size, R1 and the moving average follow StyleGAN2-ADA's configuration `auto` for one GPU: a batch of min(4096 / side, 32),
    gamma = 0.0002 side^2 / batch, and a half-life of the average of batch * 10 / 32 thousand images. The weight of R1 is gamma / 2 here.

    Args:
        summary: The summary of the data.
        device: The device.
        typed: Values that the user typed, by field. Other choices follow from them, and they are not chosen.

    Returns:
        The choices without the typed fields, in the order in which they depend on each other.

    References:
        Karras et al., "Training generative adversarial networks with limited data", 2020; train.py of NVlabs/stylegan2-ada-pytorch.
    """
    choices: dict[str, Choice] = {}

    def pick(path: str, value: Any, reason: str) -> Any:
        if path in typed:
            return typed[path]
        choices[path] = Choice(path, value, reason)
        return value

    where = f"this {'accelerator' if device.accelerator else 'CPU'} ({device.kind})"
    median = shorter_side(summary.files.sizes) if summary.files and summary.files.sizes else summary.shape[0]
    most = 128 if device.accelerator else 32
    side = 2 ** math.floor(math.log2(max(16, min(median, most))))
    reason = f"the power of two below the median shorter side, {median} pixels, and at most {most} on {where}"
    side = pick("data.image_size", side, reason)
    count = summary.used
    batch = min(max(1, 4096 // side), 32)
    fits = max(1, min(batch, count))
    reason = "StyleGAN2-ADA's rule: min(4096 / side, 32)" + (f", and there are {count} images" if fits < batch else "")
    batch = pick("batch_size", fits, reason)
    width = 64 if device.accelerator and count >= 2000 else 32
    reason = f"{where}, {count} images: the first of the widths that double with each halving of the size"
    pick("model.width", width, reason)
    gamma = 0.0002 * side**2 / batch
    pick("penalty.r1", gamma / 2, f"half of StyleGAN2-ADA's gamma: 0.0002 x {side}^2 pixels / batch {batch} = {gamma:.3g}")
    kimages = batch * 10 / 32
    pick(
        "optimizer.ema_images", 1000 * kimages, f"StyleGAN2-ADA's half-life of the average: batch x 10 / 32 = {kimages:.3g} thousand images"
    )
    shown = min(max(200 * count, 300_000), 5_000_000 if device.accelerator else 300_000)
    steps = pick(
        "steps", max(1, math.ceil(shown / batch / 1000)) * 1000, f"{shown:,} images shown on {where}, {shown / count:,.0f} times each"
    )
    if count < ENOUGH:
        ada = pick("augment.ada", 0.6, f"{count} images: D would know them by heart; the target of the ADA paper")
        if ada:
            kimg = min(500.0, max(1.0, steps * batch / 1000 / 5))
            pick("augment.ada_kimg", kimg, "the probability can rise from 0 to 1 in a fifth of the run, at most 500 thousand images")
    else:
        pick("augment.ada", 0.0, f"{count} images are enough without augmentation")
    counts = list(summary.class_counts.values())
    if len(counts) > 1:
        large = min(counts) >= CLASS_IMAGES
        reason = f"{len(counts)} classes, the smallest with {min(counts)} images" + ("" if large else f", fewer than {CLASS_IMAGES}")
        conditional = pick("model.conditional", large, reason)
        uneven = max(counts) >= 4 * max(1, min(counts))
        if conditional and uneven:
            pick("data.balanced", True, f"the largest class has {max(counts)} images and the smallest {min(counts)}")
    if summary.held_out > 1:
        pick("evaluation.samples", min(2000, summary.held_out), f"as many as there are held-out images, at most 2000: {summary.held_out}")
    else:
        few = "one held-out image is too few" if summary.held_out else "no images are held out"
        pick("evaluation.samples", 0, f"{few} to compare with")
    return list(choices.values())


def look(config: Config, typed: Collection[str]) -> tuple[Config, list[str]]:
    """Looks at the data of a configuration, and fills in the fields that the user did not type.

    Args:
        config: The configuration with the flags of the user.
        typed: Paths of the fields that the user typed.

    Returns:
        The configuration, and one line for each choice.

    Raises:
        DataError: The data cannot be loaded, or are no images.
    """
    small = replace_field(config, "data.image_size", 32) if "data.image_size" not in typed else config
    summary = summarize(load_data(small))
    if len(summary.shape) != 3:
        raise DataError(f"--data.source {config.data.source}: the recipe {config.recipe} is for images")
    values = flatten(config)
    choices = choose(summary, this_device(), {path: values[path] for path in typed if path in values})
    for choice in choices:
        config = replace_field(config, choice.path, choice.value)
    return config, [choice.line() for choice in choices]
