"""Reports: one run, or several runs side by side, as one HTML page. The page needs no other file and no network.

`reading` reads a run directory in bounded time and memory, even if it is incomplete. `series` down-samples curves. `images` embeds images.
`verdict` summarises the state of a run. `charts` groups the curves. `page` and `comparison` make the two kinds of pages.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gan_jax._internal.files import write_text
from gan_jax.trainer.report.comparison import comparison_page
from gan_jax.trainer.report.page import run_page
from gan_jax.trainer.report.reading import ReportError, Run, read_run
from gan_jax.trainer.report.verdict import Verdict, judge

__all__ = ["LivePage", "ReportError", "Run", "Verdict", "compare_runs", "judge", "read_run", "write_report"]


def write_report(run_directory: Path | str, out: Path | str | None = None, *, refresh_seconds: int = 30) -> Path:
    """Writes the report of one run. Call it repeatedly while the run trains for a live view.

    Args:
        run_directory: Directory of the run. Every file in it is optional, but it must have at least one file of a run.
        out: Path of the report. The default is report.html in the run directory.
        refresh_seconds: Interval at which an open page reloads itself while run.json has the status "running".

    Returns:
        Path of the report.

    Raises:
        ReportError: If the directory is not a run, or if the report cannot be written. The message is one line that names the path.
    """
    run = read_run(run_directory)
    return _write(Path(out) if out else run.path / "report.html", run_page(run, refresh_seconds=refresh_seconds))


class LivePage:
    """Keeps the report of a training run up to date, while writing takes only a small share of the time.

    Args:
        run_directory: Directory of the run.
        share: Maximum share of the time for writing. A call does nothing until enough time has passed since the last write.
        clock: Returns the time in seconds since any fixed moment.
    """

    def __init__(self, run_directory: Path | str, *, share: float = 0.01, clock: Callable[[], float] = time.monotonic):
        self._run_directory, self._share, self._clock = run_directory, share, clock
        self._next = -math.inf

    def __call__(self) -> Path | None:
        """Writes the report and returns its path, or returns None if it is too early. Raises ReportError as `write_report`."""
        start = self._clock()
        if start < self._next:
            return None
        try:
            return write_report(self._run_directory)
        finally:
            end = self._clock()
            self._next = end + (end - start) / self._share


def compare_runs(run_directories: Sequence[Path | str], out: Path | str = "comparison.html", *, refresh_seconds: int = 30) -> Path:
    """Writes one page that compares several runs: metrics, differences of the configurations, samples, and common charts.

    Args:
        run_directories: Directories of the runs, at least one.
        out: Path of the page.
        refresh_seconds: As for `write_report`, while any of the runs is running.

    Returns:
        Path of the page.

    Raises:
        ReportError: If no directory is given, if one is not a run, or if the page cannot be written.
    """
    if not run_directories:
        raise ReportError("a comparison needs at least one run directory; got none")
    runs = [read_run(directory) for directory in run_directories]
    return _write(Path(out), comparison_page(runs, refresh_seconds=refresh_seconds))


def _write(path: Path, page: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A path that is not UTF-8 has characters that cannot be encoded.
        write_text(path, page.encode(errors="replace").decode())  # The write is atomic, so a browser always loads a complete page.
    except OSError as error:
        raise ReportError(f"{path}: the report cannot be written: {error.strerror or error}") from error
    return path
