"""The latent explorer of a report: the tiles of a plane through three latents, for classes and truncations, as one image."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from gan_jax._internal.files import atomic_path
from gan_jax.data.images import to_channels
from gan_jax.latents import j_diagram, truncated_normal
from gan_jax.trainer import image_grid, run_directory
from gan_jax.trainer.data_record import class_names
from gan_jax.trainer.sample_renderer import COLUMNS, ROWS, SampleRenderer

SIDES = (16, 8)  # Number of tiles on a side of the plane. The larger one is used if it stays within the limits.
TILE = 64  # Maximum side of a tile in pixels. Larger images are averaged down.
TILE_PIXELS = 2**22  # Maximum number of pixels of all tiles together, about 1.5 MB as WebP.
SAMPLED_PIXELS = 2**23  # Maximum number of pixels that are generated, to bound the time.
MOST_CLASSES = 10
STYLE_TRUNCATIONS = (0.25, 0.5, 0.75, 1.0)
NORMAL_TRUNCATIONS = (0.5, 1.0, 1.5, None)
QUALITY = 88


class Plan(NamedTuple):
    """What the explorer shows.

    Attributes:
        side: Number of tiles on a side of a plane.
        classes: Classes, or (None,) for an unconditional generator.
        truncations: Truncations, or (None,) if the generator has none. None stands for no truncation.
    """

    side: int
    classes: tuple[int | None, ...]
    truncations: tuple[float | None, ...]


def make_plan(shape: tuple[int, ...], num_classes: int, truncations: tuple[float | None, ...]) -> Plan:
    """The planes that fit into the limits. Truncations are left out before classes, and at least one plane is shown.

    Args:
        shape: Shape of the images.
        num_classes: Number of classes of the generator.
        truncations: The truncations that it has, the last one being the whole distribution.
    """
    tile = tile_size(shape)
    smallest = SIDES[-1] ** 2
    most = max(1, min(TILE_PIXELS // (smallest * tile[0] * tile[1]), SAMPLED_PIXELS // (smallest * shape[0] * shape[1])))
    shown = min(num_classes, MOST_CLASSES, most)
    classes = tuple(range(num_classes)) if num_classes <= shown else tuple(image_grid.spread(num_classes, max(shown, 2))[:shown])
    fitting = [levels for levels in (truncations, truncations[1::2], truncations[-1:]) if max(shown, 1) * len(levels) <= most]
    planes = max(shown, 1) * len(fitting[0])
    side = next((side for side in SIDES if planes * side**2 <= most * smallest), SIDES[-1])
    return Plan(side, classes or (None,), fitting[0])


def tile_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of a tile: those of the images, or divided by the smallest whole number that makes them at most `TILE`."""
    factor = -(-max(shape[:2]) // TILE)
    return max(1, shape[0] // factor), max(1, shape[1] // factor)


def write_explorer(path: Path, renderer: SampleRenderer) -> bool:
    """Writes the tiles as a WebP file, and their layout beside it as a JSON file.

    The planes of the classes lie side by side, and those of the truncations below each other. A plane has three random latents in its
    corners. Its edges and rows are great circles (`gan_jax.latents.j_diagram`).

    Args:
        path: The WebP file.
        renderer: The run.

    Returns:
        Whether there is an explorer. There is none for a generator that is conditioned on images, for one-dimensional latents, or if a
        sample is not finite.
    """
    spec = renderer.run.built.spec
    if spec.latent_dim < 2 or renderer.context is not None:
        return False
    styles = spec.generator.mapping is not None
    normal = renderer.run.config.model.latents in ("normal", "truncated_normal")
    plan = make_plan(spec.sample_shape, spec.num_classes, STYLE_TRUNCATIONS if styles else NORMAL_TRUNCATIONS if normal else (None,))
    rows = []
    for truncation in plan.truncations:
        latents = plane(renderer, plan.side, None if styles else truncation)
        planes = []
        for label in plan.classes:
            tiles = sample_tiles(renderer, latents, label, truncation if styles and truncation is not None else 1.0)
            if tiles is None:
                return False
            planes.append(image_grid.image_grid(shrink(tiles, tile_size(spec.sample_shape)), plan.side, plan.side, padding=0))
        rows.append(np.concatenate(planes, axis=1))
    sprite = image_grid.to_pillow(np.concatenate(rows))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        sprite.convert("RGB").save(partial, format="WEBP", quality=QUALITY)
    run_directory.write_json(path.with_suffix(".json"), layout(renderer, plan, styles))
    return True


def plane(renderer: SampleRenderer, side: int, threshold: float | None) -> Any:
    """The latents of the plane, float [side * side, latent_dim]. `threshold` truncates normal latents at the corners."""
    shape, key = (3, renderer.run.built.spec.latent_dim), jax.random.fold_in(renderer.rng, 6)
    # The same key gives the same draws for every threshold, so that the truncation changes the images gradually.
    corners = renderer.run.built.spec.sample_latents(key, shape) if threshold is None else truncated_normal(key, shape, threshold=threshold)
    return j_diagram(*corners, rows=side, columns=side).reshape(side * side, -1)


def sample_tiles(renderer: SampleRenderer, latents: Any, label: int | None, truncation: float) -> np.ndarray | None:
    """The samples of many latents with one class, float [count, height, width, channels]. None if one is not finite."""
    count = ROWS * COLUMNS
    labels = None if label is None else jnp.full(count, label, jnp.int32)
    parts = [renderer.sample(part, labels, truncation) for part in jnp.split(latents, len(latents) // count)]
    return None if any(part is None for part in parts) else np.concatenate(parts)  # type: ignore[arg-type]


def shrink(images: np.ndarray, tile: tuple[int, int]) -> np.ndarray:
    """Images at the size of the tiles, averaged, uint8 [count, height, width, channels]."""
    images = image_grid.to_uint8(images)
    images = to_channels(images, 3) if images.shape[-1] == 4 else images
    if images.shape[1:3] == tile:
        return images
    shrunk = [np.asarray(image_grid.to_pillow(image).resize(tile[::-1], Image.Resampling.BOX)) for image in images]
    return np.stack(shrunk).reshape(len(images), *tile, -1)


def layout(renderer: SampleRenderer, plan: Plan, styles: bool) -> dict[str, Any]:
    """The JSON file: size and number of the tiles, the names of classes and truncations, caption and alternative text."""
    names = class_names(renderer.run)
    classes = [] if plan.classes == (None,) else [names[label] if names else str(label) for label in plan.classes if label is not None]
    height, width = tile_size(renderer.run.built.spec.sample_shape)
    truncations = ["none" if value is None else f"{value:g}" for value in plan.truncations]
    caption = (
        "A plane through three random latents, which lie in the corners at the upper left, the upper right and the lower left. The lower "
        "right corner is their analogy: upper right + lower left - upper left. Rows and edges are great circles."
    )
    if len(classes) > 1:
        caption += " All classes have the same latents."
        number = renderer.run.built.spec.num_classes
        caption += f" {len(classes)} of {number} classes are shown." if len(classes) < number else ""
    if len(truncations) > 1:
        caption += (
            " Truncation moves the styles towards their mean; 1 is the whole distribution."
            if styles
            else " Truncation limits the coordinates of the three latents to this value."
        )
    alt = f"Plane of {plan.side} x {plan.side} generated images through three latents"
    return {
        "side": plan.side, "height": height, "width": width, "classes": classes, "truncations": truncations, "caption": caption, "alt": alt,
    }  # fmt: skip
