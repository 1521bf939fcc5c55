"""What a notebook shows: the progress of a run with growing pictures, and the results of `train` and `load_run`.

IPython is used only if the program runs in a notebook, where it is installed. In a terminal nothing of this module is used.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from gan_jax._internal import notebook_html
from gan_jax.trainer import image_grid
from gan_jax.trainer.progress import ProgressBar, summary
from gan_jax.trainer.report.markup import visible
from gan_jax.trainer.report.quality import MEANINGS
from gan_jax.trainer.report.reading import ReportError, read_run
from gan_jax.trainer.report.values import number
from gan_jax.trainer.report.verdict import judge

REFRESH_INTERVAL = 0.25  # Seconds between two drawings of the bar.
LINES, FRAMES = 20, 6  # Number of lines above the bar, and of earlier grids beside the newest one.
WIDTH, THUMBNAIL = 480, 96  # Largest width of the newest grid on the screen, and the width of an earlier one.
SAMPLES, POINTS = 8, 1000  # Number of images, or of points, that a loaded run shows.
LARGEST = 128  # Samples with a larger side take too long for a result that is only looked at.


def progress_bar(total: int, done: int, console: Console) -> ProgressBar:
    """The progress of a run: in a notebook a bar with pictures, otherwise that of `ProgressBar`.

    Args:
        total: Number of steps of the run.
        done: Number of steps that are already done.
        console: Where the run prints. rich finds out whether it is a notebook.
    """
    if console.is_jupyter and not console.quiet:
        try:
            return NotebookBar(total, done, console)
        except ModuleNotFoundError:  # `Console(force_jupyter=True)` in a program without IPython.
            pass
    return ProgressBar(total, done, console)


class NotebookBar(ProgressBar):
    """A progress bar with the newest grid of samples and some earlier ones, as one output of a notebook that is updated in place.

    Args:
        total: Number of steps of the run.
        done: Number of steps that are already done.
        console: Where the run prints.

    Raises:
        ModuleNotFoundError: IPython is not installed.
    """

    def __init__(self, total: int, done: int, console: Console):
        from IPython.display import display

        super().__init__(total, done, console)
        self._display, self._handle = display, None
        self._lines: list[str] = []
        self._frames: list[str] = []
        self._grids, self._frame_interval = 0, 1
        self._newest = self._thumbnail = ""
        self._drawn = 0.0

    def __enter__(self) -> "NotebookBar":
        self._draw()
        return self

    def __exit__(self, *_: object) -> None:
        self._draw()

    def advance(self, step: int) -> None:
        """Moves the bar to a step."""
        self._done = step
        if time.monotonic() - self._drawn >= REFRESH_INTERVAL:
            self._draw()

    def show(self, step: int, metrics: Mapping[str, float]) -> None:
        """Shows the newest metrics."""
        self._summary = summary(metrics)

    def show_samples(self, step: int, grid: np.ndarray) -> None:
        """Shows the newest grid of samples, and evenly spaced earlier ones as thumbnails."""
        if self._newest and (self._grids - 1) % self._frame_interval == 0:
            self._frames.append(self._thumbnail)
        if len(self._frames) > FRAMES:
            self._frames, self._frame_interval = self._frames[::2], 2 * self._frame_interval
        self._grids += 1
        self._thumbnail = _figure(_shrunk(grid), step, width=min(THUMBNAIL, grid.shape[1]))
        self._newest = _figure(grid, step, width=min(WIDTH, 2 * grid.shape[1]))
        self._draw()

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """A context for work that takes long, such as compiling. The bar says what it is."""
        before, self._summary = self._summary, f"{what} ..."
        self._draw()
        try:
            yield
        finally:
            self._summary = before

    def print_above(self, text: str) -> None:
        """Prints a line above the bar. The newest lines are kept."""
        self._lines = [*self._lines, text][-LINES:]
        self._draw()

    def _line(self) -> str:
        rate = self._rate()
        text = f"step {self._done}/{self._total}"
        if self._done > self._first and rate > 0:
            left = round((self._total - self._done) / rate)
            text += f", {rate:.1f} steps/s, {left // 60}:{left % 60:02} left"
        return text

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        line = self._line()
        above = f"<pre>{escape(visible(chr(10).join(self._lines)))}</pre>" if self._lines else ""
        html = (
            f'<div>{above}<p><progress value="{self._done}" max="{max(self._total, 1)}" aria-label="Training"></progress> '
            f"{line}<br><code>{escape(self._summary)}</code></p>"
            f'<div style="display:flex;flex-wrap:wrap;gap:0.5em;align-items:flex-end">{"".join(self._frames)}{self._newest}</div></div>'
        )
        bundle = {"text/html": html, "text/plain": "  ".join(part for part in (line, self._summary) if part)}
        if self._handle is None:
            self._handle = self._display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def _shrunk(grid: np.ndarray) -> np.ndarray:
    """A grid at twice the width of a thumbnail at most, for screens with small pixels."""
    picture = image_grid.to_pillow(grid)
    picture.thumbnail((2 * THUMBNAIL, 2 * THUMBNAIL))
    pixels = np.asarray(picture)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _figure(grid: np.ndarray, step: int, *, width: int) -> str:
    picture = notebook_html.image(grid, f"Samples at step {step}", width=width)
    return f'<figure style="margin:0">{picture}<figcaption>step {step}</figcaption></figure>'


def result_html(directory: Path, step: int, saved: bool) -> str:
    """A result of `train` in a notebook: how the run ended, its figures, and its last grid of samples.

    Args:
        directory: Directory of the run.
        step: The last train step.
        saved: Whether a checkpoint of the last step is on the disk.
    """
    title = f"TrainResult: {directory}, step {step}"
    try:
        run = read_run(directory)
    except ReportError as error:  # The directory was moved or removed since.
        return notebook_html.block(title, f"<p>{escape(visible(str(error)))}</p>")
    verdict = judge(run)
    last = [(name, run.series[name].last) for name in ("discriminator_loss", "generator_loss") if name in run.series]
    facts = [
        ("status", run.status),
        ("verdict", verdict.headline),
        ("training time", None if run.seconds is None else f"{run.seconds:,.0f} s"),
        *((name.replace("_", " "), number(end[1]) if end else "") for name, end in last),
        ("saved", None if saved else "the last step is not saved"),
        ("continue with", None if run.status != "interrupted" else f'train(config, resume="{directory}")'),
    ]
    parts = [notebook_html.facts_table((name, visible(str(value)) if value else value) for name, value in facts)]
    if run.metrics:
        rows = [(record.get("metric"), number(record.get("value")), number(record.get("real"))) for record in run.metrics]
        better = [MEANINGS[str(name)].better if str(name) in MEANINGS else "" for name, *_ in rows]
        parts.append(notebook_html.table(("metric", "samples", "real images", "better"), [(*row, word) for row, word in zip(rows, better)]))
    if run.samples:
        parts.append(_last_grid(*run.samples[-1]))
    report = directory / "report.html"
    if report.is_file():
        link = visible(str(report))
        parts.append(f'<p>report: <a href="{escape(link)}" target="_blank">{escape(link)}</a></p>')
    return notebook_html.block(visible(title), *parts)


def _last_grid(step: int, path: Path) -> str:
    try:
        grid = image_grid.load_png(path)
    except (OSError, SyntaxError, ValueError):  # Missing or damaged.
        return ""
    return _figure(grid, step, width=min(WIDTH, grid.shape[1]))


def loaded_run_html(facts: Sequence[tuple[str, Any]], sample: Any, shape: tuple[int, ...]) -> str:
    """A loaded run in a notebook: its facts, and a row of samples.

    Args:
        facts: Pairs of a name and a value.
        sample: A function `(rng, count) -> samples`, or None if G is conditioned on images.
        shape: Shape of one sample.
    """
    parts = [notebook_html.facts_table(facts)]
    if sample is not None and (len(shape) == 1 or max(shape[:2]) <= LARGEST):
        is_images = len(shape) == 3
        samples = np.asarray(sample(jax.random.key(0), SAMPLES if is_images else POINTS))
        grid = image_grid.image_grid(samples, rows=1) if is_images else image_grid.scatter(samples)
        parts.append(notebook_html.image(grid, f"{len(samples)} samples", width=min(2 * WIDTH, (2 if is_images else 1) * grid.shape[1])))
    return notebook_html.block("LoadedRun", *parts)
