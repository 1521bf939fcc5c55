"""HTML elements of both pages. Every text that comes from a run is escaped here."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from gan_jax.trainer.report.charts import thinning
from gan_jax.trainer.report.images import Embedded
from gan_jax.trainer.report.series import Series
from gan_jax.trainer.report.values import number
from gan_jax.trainer.report.verdict import Verdict

_SCRIPTS = ("common", "charts", "samples", "explorer")


def document(title: str, body: str, data: str, sections: Iterable[tuple[str, str]], refresh: int | None) -> str:
    """The complete page: template, style, script, data and body in one file.

    Args:
        title: Plain text.
        body: HTML.
        data: JSON that is safe inside a script element.
        sections: Pairs (id, name) for the navigation.
        refresh: Interval in seconds at which the page reloads itself, or None.

    Returns:
        HTML.
    """
    folder = files("gan_jax.trainer.report")
    return Template(folder.joinpath("template.html").read_text("utf-8")).substitute(
        title=escape(visible(title)),
        style=folder.joinpath("style.css").read_text("utf-8"),
        script="\n".join(folder.joinpath(f"{name}.js").read_text("utf-8") for name in _SCRIPTS),
        refresh_tag=f'<noscript><meta http-equiv="refresh" content="{refresh}"></noscript>' if refresh else "",
        refresh=f' data-refresh="{refresh}"' if refresh else "",
        live=_live(refresh) if refresh else "",
        navigation="".join(f'<a href="#{escape(key)}">{escape(name)}</a>' for key, name in sections),
        body=visible(body),
        data=_HIDDEN_ESCAPED.sub(r"\\ufffd", visible(data)),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


# Characters that are invisible or change the direction of the text around them. They could disguise a command.
_HIDDEN = re.compile("[\\0-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]")
_HIDDEN_ESCAPED = re.compile(r"\\u(?:00[01][0-9a-f]|00[89][0-9a-f]|007f|061c|200[ef]|202[a-e]|206[6-9])")
_ABSOLUTE = re.compile(r"(?<![\w~./\u2026:-])/(?:[^\s/:;,'\"<>&]+/)+")


def visible(text: str) -> str:
    """The text with a replacement character for each control character and each character that changes the direction."""
    return _HIDDEN.sub("\ufffd", text)


def shorten_paths(text: str) -> str:
    """The text with the last part of each absolute path, so that a published page does not tell where its author keeps files."""
    return _ABSOLUTE.sub("\u2026/", text)


def _live(refresh: int) -> str:
    return (
        f'<p class="live" role="status"><span class="pulse" aria-hidden="true"></span> Live: this page reloads itself every {refresh} s. '
        '<label><input type="checkbox" id="pause"> Pause</label></p>'
    )


def section(key: str, title: str, content: str) -> str:
    """A section with its heading. Empty if the content is empty."""
    if not content:
        return ""
    heading = f'<h2 id="{escape(key)}-title">{escape(title)}</h2>'
    return f'<section id="{escape(key)}" aria-labelledby="{escape(key)}-title">{heading}{content}</section>'


def verdict_box(verdict: Verdict) -> str:
    """The verdict. Its level is shown by a word, a sign and a colour."""
    sign, word = {"good": ("✓", "Good"), "warning": ("!", "Warning"), "bad": ("✗", "Bad"), "unknown": ("?", "Unknown")}[verdict.level]
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in verdict.reasons)
    return (
        f'<div class="verdict {verdict.level}"><p><span class="sign" aria-hidden="true">{sign}</span>'
        f'<span class="hidden">{word}. </span><strong>{escape(verdict.headline)}</strong></p>'
        + (f"<ul>{reasons}</ul>" if reasons else "")
        + "</div>"
    )


def tiles(facts: Iterable[tuple[str, Any]]) -> str:
    """Key figures in a row."""
    return (
        "<dl class='tiles'>"
        + "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>" for name, value in facts)
        + "</dl>"
    )


class Marked(str):
    """The text of a cell that is the best of its row. It is shown bold, with a star and a word for screen readers."""


def table(
    header: Iterable[str], rows: Iterable[Iterable[Any]], *, caption: str, numeric: Iterable[int] = (), label: str | None = None
) -> str:
    """A table that scrolls sideways on a narrow screen.

    Args:
        header: Names of the columns.
        rows: Cells. The first cell of each row is its heading.
        caption: Caption of the table.
        numeric: Indices of the columns with numbers.
        label: Name of the table for screen readers, which no other table of the page has. By default the caption.
    """
    numeric = set(numeric)
    head = "".join(_head(name, index in numeric) for index, name in enumerate(header))
    body = ""
    for row in rows:
        first, *rest = (_cell(cell) for cell in row)
        cells = "".join(f"<td{_number_class(index in numeric)}>{cell}</td>" for index, cell in enumerate(rest, 1))
        body += f'<tr><th scope="row">{first}</th>{cells}</tr>'
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label or caption)}">'
        f"<table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def halves(header: list[str], rows: list[list[Any]] | list[tuple[Any, ...]], *, caption: str) -> str:
    """A long table of few columns, as two tables side by side on a wide screen."""
    if len(rows) < 8:
        return table(header, rows, caption=caption)
    half = -(-len(rows) // 2)
    parts = table(header, rows[:half], caption=caption) + table(header, rows[half:], caption=f"{caption}, continued")
    return f'<div class="halves">{parts}</div>'


def _cell(cell: Any) -> str:
    text = escape(str(cell))
    star = '<strong class="best"><span aria-hidden="true">★</span><span class="hidden">best:</span> '
    return f"{star}{text}</strong>" if isinstance(cell, Marked) else text


def _head(name: str, is_number: bool) -> str:
    # A heading without text would be read out as an empty one.
    return f'<th scope="col"{_number_class(is_number)}>{escape(name)}</th>' if name else "<td></td>"


def _number_class(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def chart_figures(charts: list[dict[str, Any]], first: int = 0) -> str:
    """A figure for each chart. charts.js draws it, and a table has its values for readers and printers without the script.

    Args:
        charts: Charts as `charts.group` returns them.
        first: Index of the first chart in the data of the page.
    """
    return '<div class="charts">' + "".join(_figure(chart, first + index) for index, chart in enumerate(charts)) + "</div>"


def _figure(chart: dict[str, Any], index: int) -> str:
    rows = [[name, *_ends(series), series.broken_count or ""] for name, series in chart["series"]]
    values = table(
        ["", "first", "lowest", "highest", "last", "not finite"], rows, caption=f"Values of {chart['title'].lower()}", numeric=range(1, 6)
    )
    note = thinning([series for _, series in chart["series"]])
    return (
        f'<figure class="chart" data-chart="{index}"><div class="head">'
        f'<figcaption>{escape(chart["title"])}</figcaption></div><div class="plot"></div>'
        f'<div class="legend"></div>'
        + (f'<p class="note">{escape(note)}</p>' if note else "")
        + f"<details><summary>Values</summary>{values}</details></figure>"
    )


def _ends(series: Series) -> list[str]:
    first, last = (number(end[1]) if end else "" for end in (series.first, series.last))
    return [first, number(series.lowest), number(series.highest), last]


def image(picture: Embedded, alt: str, attributes: str = "") -> str:
    """An image with its width and height."""
    size = f'width="{picture.width}" height="{picture.height}"'
    return f'<img src="{picture.uri}" {size} alt="{escape(alt)}" {attributes}>'


def slider(key: str, steps: list[int]) -> str:
    """A slider over the steps of the samples, with a play button. samples.js changes the images of `data-frames`."""
    if len(steps) < 2:
        return ""
    last = len(steps) - 1
    input_range = f'<input type="range" min="0" max="{last}" value="{last}" step="1" aria-valuetext="step {steps[-1]}">'
    button = '<button type="button" class="play" aria-pressed="false">Play</button>'
    return f'<div class="slider" data-slider="{escape(key)}">{button}<label>Step {input_range}</label><output>{steps[-1]:,}</output></div>'


def command(text: str) -> str:
    """A command line. samples.js adds a button that copies it."""
    return f"<pre class='command' tabindex='0'><code>{escape(text)}</code></pre>" if text else ""


def notes_list(notes: Iterable[str]) -> str:
    """The list of notes without duplicates."""
    lines = "".join(f"<li>{escape(note)}</li>" for note in dict.fromkeys(notes))
    return f"<ul>{lines}</ul>" if lines else ""
