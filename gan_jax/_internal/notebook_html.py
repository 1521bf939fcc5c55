"""Short HTML for notebooks: a heading, a table of facts, and images inside the page. Every text is escaped."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

_CELL = 'style="text-align:left;padding:0.1em 1em 0.1em 0"'


def facts_table(facts: Iterable[tuple[str, object]]) -> str:
    """A table of names and values, one pair a row. Values that are None or empty are left out."""
    rows = [(name, str(value)) for name, value in facts if value not in (None, "")]
    cells = "".join(f'<tr><th scope="row" {_CELL}>{escape(name)}</th><td {_CELL}>{escape(text)}</td></tr>' for name, text in rows)
    return f"<table>{cells}</table>"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table with a head. The first cell of each row is its heading."""
    head = "".join(f'<th scope="col" {_CELL}>{escape(name)}</th>' for name in heads)
    body = ""
    for first, *rest in rows:
        cells = "".join(f"<td {_CELL}>{escape(str(cell))}</td>" for cell in rest)
        body += f'<tr><th scope="row" {_CELL}>{escape(str(first))}</th>{cells}</tr>'
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def image(pixels: np.ndarray, alt: str, *, width: int | None = None) -> str:
    """An image inside the page.

    Args:
        pixels: uint8 [height, width, 1, 3 or 4].
        alt: Text for readers who do not see the image.
        width: Width on the screen in pixels. By default that of the image.
    """
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, format="PNG", optimize=True)
    address = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return f'<img src="{address}" alt="{escape(alt)}" width="{width or pixels.shape[1]}" style="image-rendering:pixelated;max-width:100%">'


def block(title: str, *parts: str) -> str:
    """A heading and parts of HTML below it."""
    return f"<div><p><strong>{escape(title)}</strong></p>{''.join(parts)}</div>"
