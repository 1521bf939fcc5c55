"""The progress of a run on the terminal: a bar with rate, time left and losses. Without a terminal it is plain lines."""

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TolerantStream:
    """A text stream whose write errors are ignored, so that a closed terminal, a broken pipe or a full disk does not end training.

    Args:
        stream: The stream to write to. Everything else is passed on to it.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes text, if that is possible."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream is closed.
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flushes the stream, if that is possible."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def tolerating_broken_stderr() -> Iterator[None]:
    """A context in which errors of standard error are ignored, also those at the exit of the program."""
    stream = sys.stderr
    try:
        with contextlib.redirect_stderr(TolerantStream(stream)):  # type: ignore[type-var]
            yield
    finally:
        try:
            stream.flush()
        except (OSError, ValueError):
            # Python flushes what is left at its exit, and would exit with status 120.
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nothing:
                os.dup2(nothing.fileno(), stream.fileno())


LINE_INTERVAL = 10.0  # Seconds between lines if the console is no terminal,
FIRST_INTERVAL, FIRST_SECONDS = 4.0, 120.0  # and in the first seconds of a run, while somebody probably watches.
WATCH_INTERVAL = 0.5  # Seconds between two looks at whether a line is due.


def summary(metrics: Mapping[str, float]) -> str:
    """The losses and accuracies of D and G as one short line."""
    labels = {"D": "discriminator_loss", "G": "generator_loss", "D(real)": "real_accuracy", "D(fake)": "fake_accuracy"}
    values = {label: metrics[name] for label, name in labels.items() if name in metrics}
    return "  ".join(
        f"{label} {100 * value:3.0f}%" if label.startswith("D(") else f"{label} {value:7.3f}" for label, value in values.items()
    )


def print_text(console: Console, text: str) -> None:
    """Prints text unchanged. Brackets (shapes, folder names) are not read as markup and `:x:` is not read as an emoji."""
    console.print(text, markup=False, emoji=False, highlight=False)


class ProgressBar:
    """A progress bar over the steps of a run, as a context manager.

    Without a terminal it prints a line at least every `FIRST_INTERVAL` seconds, and later every `LINE_INTERVAL` seconds, whatever the
    run does meanwhile. A thread does that, because a step that is compiled takes longer.

    Args:
        total: Number of steps of the run.
        done: Number of steps that are already done.
        console: Where to draw the bar.
    """

    def __init__(self, total: int, done: int, console: Console):
        self._console, self._total, self._done = console, total, done
        self._started, self._first, self._last_line = time.monotonic(), done, -math.inf
        columns = (
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[summary]}"),
        )
        self._bar = Progress(*columns, console=console, transient=False, refresh_per_second=4, disable=not console.is_terminal)
        self._task = self._bar.add_task("train", total=total, completed=done, rate="", summary="")
        self._summary, self._work = "", ("", 0.0)
        self._stopped = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        if not self._console.quiet:
            self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        if self._watcher.is_alive():
            self._watcher.join()
        self._bar.stop()

    def advance(self, step: int) -> None:
        """Moves the bar to a step."""
        self._done = step
        self._bar.update(self._task, completed=step, rate=f"{self._rate():5.1f} steps/s")

    def show(self, step: int, metrics: Mapping[str, float]) -> None:
        """Shows the newest metrics. Without a terminal it prints them as a line, at most one in `FIRST_INTERVAL` or `LINE_INTERVAL`."""
        first, self._summary = not self._summary, summary(metrics)
        self._bar.update(self._task, summary=self._summary)
        if not self._console.is_terminal and (first or self._line_is_due() or step == self._total):
            self._print_line(f"step {step}/{self._total}  {self._rate():.1f} steps/s  {self._summary}")

    def show_samples(self, step: int, grid: np.ndarray) -> None:
        """Shows a grid of samples, uint8 [height, width, channels]. A terminal shows none."""

    def print_above(self, text: str) -> None:
        """Prints a line above the bar."""
        self._last_line = time.monotonic()
        print_text(self._bar.console, text)

    @contextlib.contextmanager
    def working(self, what: str) -> Iterator[None]:
        """A context for work that takes long, such as compiling. The bar shows how long it has taken so far.

        Args:
            what: What is done, e.g. "compiling the train step".
        """
        self._work = (what, time.monotonic())
        try:
            yield
        finally:
            self._work = ("", 0.0)
            self._bar.update(self._task, summary=self._summary)

    def _rate(self) -> float:
        elapsed = time.monotonic() - self._started
        return (self._done - self._first) / elapsed if elapsed > 0 else 0.0

    def _line_is_due(self) -> bool:
        now = time.monotonic()
        return now - self._last_line > (FIRST_INTERVAL if now - self._started < FIRST_SECONDS else LINE_INTERVAL)

    def _print_line(self, text: str) -> None:
        self._last_line = time.monotonic()
        print_text(self._console, text)

    def _watch(self) -> None:
        """Shows work that takes long, and prints the lines that nothing else has printed."""
        while not self._stopped.wait(WATCH_INTERVAL):
            what, since = self._work
            working = f"{what}: {time.monotonic() - since:.0f} s so far" if what else ""
            if self._console.is_terminal:
                if working:
                    self._bar.update(self._task, summary=working)
            elif self._line_is_due():
                self._print_line(working or f"step {self._done}/{self._total}  {self._rate():.1f} steps/s  {self._summary}")
