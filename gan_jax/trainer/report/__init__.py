"""A run as one self-contained HTML page, or several runs side by side; opened from the disk, it asks nothing of any network.

`reading` takes what is left of a run directory, however incomplete, in bounded time and memory; `series` thins curves; `images` embeds
pictures; `verdict` says in words how the run stands; `charts` groups the curves; `page` and `comparison` are the two pages.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gan_jax._files import write_text
from gan_jax.trainer.report.comparison import comparison_page
from gan_jax.trainer.report.page import run_page
from gan_jax.trainer.report.reading import ReportError, Run, read_run
from gan_jax.trainer.report.verdict import Verdict, judge

__all__ = ["LivePage", "ReportError", "Run", "Verdict", "compare_runs", "judge", "read_run", "write_report"]


def write_report(run_directory: Path | str, out: Path | str | None = None, *, refresh_seconds: int = 30) -> Path:
    """Writes the report of one run; written again while the run goes on, it is the live view.

    Args:
        run_directory: of the run; every file in it is optional, but one of config.yaml, run.json, metrics.jsonl must be there.
        out: the file to write; by default report.html in the run directory.
        refresh_seconds: how often an open page reloads itself while run.json says that the run is "running".

    Returns:
        The file written.

    Raises:
        ReportError: the directory is no run, or the report cannot be written; one line that names the path.
    """
    run = read_run(run_directory)
    return _write(Path(out) if out else run.path / "report.html", run_page(run, refresh_seconds=refresh_seconds))


class LivePage:
    """The report of a run that goes on: calling it writes the page again, but so rarely that this takes little of the time.

    Args:
        run_directory: of the run.
        share: of the time that writing may take; the next writing waits until the last one took no more than this.
        clock: seconds, from any beginning.
    """

    def __init__(self, run_directory: Path | str, *, share: float = 0.01, clock: Callable[[], float] = time.monotonic):
        self._run_directory, self._share, self._clock = run_directory, share, clock
        self._next = -math.inf

    def __call__(self) -> Path | None:
        """Writes the report if it is time; returns its path then, otherwise None; raises ReportError as `write_report` does."""
        start = self._clock()
        if start < self._next:
            return None
        try:
            return write_report(self._run_directory)
        finally:
            end = self._clock()
            self._next = end + (end - start) / self._share


def compare_runs(run_directories: Sequence[Path | str], out: Path | str = "comparison.html", *, refresh_seconds: int = 30) -> Path:
    """Writes one page that shows several runs side by side: numbers, differing configuration, samples, curves in one chart.

    Args:
        run_directories: of the runs, at least one.
        out: the file to write.
        refresh_seconds: as for `write_report`, while any of them is running.

    Returns:
        The file written.

    Raises:
        ReportError: a directory is no run, none was given, or the page cannot be written.
    """
    if not run_directories:
        raise ReportError("a comparison needs at least one run directory; got none")
    runs = [read_run(directory) for directory in run_directories]
    return _write(Path(out), comparison_page(runs, refresh_seconds=refresh_seconds))


def _write(path: Path, page: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, page)  # a browser that reloads meanwhile sees the old page or the new one
    except OSError as error:
        raise ReportError(f"{path}: the report cannot be written: {error.strerror or error}") from error
    return path
