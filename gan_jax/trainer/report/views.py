"""The sections of a report that show images: the samples over time, the latent explorer, and the pictures."""

from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from gan_jax.trainer.image_grid import png_shape
from gan_jax.trainer.report import markup
from gan_jax.trainer.report.images import Embedded, embed, embed_tiles
from gan_jax.trainer.report.reading import Explorer, Run

MOST_PICTURES = 60
_PADDING = 2  # Pixels around each image of a sample grid (`image_grid.image_grid`).


def sample_data(run: Run, frames: list[tuple[int, Embedded]]) -> dict[str, Any]:
    """The frames of the samples and the places of their images, as data for samples.js."""
    grid = grid_layout(run.samples[-1][1], run.record.get("data")) if frames else None
    return {"frames": {"samples": [[step, image.uri] for step, image in frames]}} | ({"grid": grid} if grid else {})


def grid_layout(path: Path, data: Any) -> dict[str, float] | None:
    """The places of the images in a sample grid, as shares of its width and height.

    Args:
        path: PNG file of the grid.
        data: The record of the data set in run.json. It has the shape of the images.

    Returns:
        Number of columns and rows; left and top edge of the first image; distance right and down from one image to the next; width and
        height of an image. None if the file is not a grid of images of this shape.
    """
    shape = data.get("shape") if isinstance(data, dict) else None
    if not isinstance(shape, list) or len(shape) != 3 or not all(isinstance(size, int) and size > 0 for size in shape):
        return None
    try:
        height, width, _ = png_shape(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None
    for scale, across in ((1, 1), (2, 1), (1, 3), (2, 3)):  # Translations are three images side by side.
        one = scale * shape[0], scale * shape[1] * across
        down, right, margin = (one[0] + scale * _PADDING, one[1] + scale * _PADDING, scale * _PADDING)
        rows, columns = (height - margin) // down, (width - margin) // right
        if (rows * down + margin, columns * right + margin) == (height, width) and rows and columns:
            places = {"left": margin / width, "top": margin / height, "right": right / width, "down": down / height}
            return {"columns": columns, "rows": rows, **places, "width": one[1] / width, "height": one[0] / height}
    return None


def samples_section(run: Run, frames: list[tuple[int, Embedded]], notes: list[str]) -> str:
    """The last grid of samples with a slider over the steps. samples.js adds the change between steps and one image enlarged."""
    if not frames:
        return ""
    step, last = frames[-1]
    animation = embed(run.animation, notes) if run.animation else None
    moving = ""
    if animation:
        image = markup.image(animation, f"The same grid over time, up to step {step:,}")
        moving = f"<details><summary>Animation</summary>{image}</details>"
    grid = markup.image(last, f"Grid of generated samples at step {step:,}", 'data-frames="samples" class="grid"')
    data = run.record.get("data")
    points = isinstance(data, dict) and isinstance(data.get("shape"), list) and len(data["shape"]) == 1
    caption = "All grids use the same latents." + (" Black: samples. Grey: training points." if points else "")
    figure = f"<figure>{grid}{markup.slider('samples', [step for step, _ in frames])}<figcaption>{caption}</figcaption></figure>"
    return f'<div class="views">{figure}</div>{moving}'


def explorer_section(explorer: Explorer | None, notes: list[str]) -> tuple[str, dict[str, Any]]:
    """The latent explorer, and its data for explorer.js. Without the script the page shows all tiles as one image."""
    if explorer is None:
        return "", {}
    plane = explorer.side * explorer.width, explorer.side * explorer.height
    embedded = embed_tiles(explorer.path, notes, (plane[0] * len(explorer.classes), plane[1] * len(explorer.truncations)))
    if embedded is None:
        return "", {}
    image = markup.image(embedded, explorer.alt, 'class="grid"')
    section = f'<figure class="explorer" data-explorer>{image}<figcaption>{escape(explorer.caption)}</figcaption></figure>'
    sizes = {"side": explorer.side, "width": explorer.width, "height": explorer.height}
    return section, {"explorer": sizes | {"classes": explorer.classes, "truncations": explorer.truncations}}


def pictures_section(run: Run, notes: list[str]) -> str:
    """The figures of the run. Those that are much wider than high take a whole row."""
    figures = ""
    for picture in run.pictures[:MOST_PICTURES]:
        embedded = embed(picture.path, notes)
        if embedded:
            image = markup.image(embedded, picture.alt, "class=grid")
            wide = ' class="wide"' if embedded.width > 2.5 * embedded.height else ""
            figures += f"<figure{wide}>{image}<figcaption>{escape(picture.caption)}</figcaption></figure>"
    if len(run.pictures) > MOST_PICTURES:
        notes.append(f"{MOST_PICTURES} of {len(run.pictures)} pictures are in this page")
    return f'<div class="gallery wide">{figures}</div>' if figures else ""
