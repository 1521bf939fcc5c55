"""What a person sees while a run trains: a bar with rate, time left and losses; plain lines where there is no terminal."""

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def summary(metrics: Mapping[str, float]) -> str:
    """The figures that one glances at."""
    shown = {
        "D": metrics.get("discriminator_loss"),
        "G": metrics.get("generator_loss"),
        "D(real)": metrics.get("real_accuracy"),
        "D(fake)": metrics.get("fake_accuracy"),
    }
    return "  ".join(f"{name} {_figure(name, value)}" for name, value in shown.items() if value is not None)


def say(console: Console, text: str) -> None:
    """Prints text as it is: what stands in brackets is a shape or the name of a folder, not markup, and `:x:` is no emoji."""
    console.print(text, markup=False, emoji=False, highlight=False)


def _figure(name: str, value: float) -> str:
    return f"{100 * value:3.0f}%" if name.startswith("D(") else f"{value:7.3f}"


class ProgressBar:
    """A bar over the steps of a run; a context manager."""

    def __init__(self, total: int, done: int, console: Console):
        self._console, self._total, self._done = console, total, done
        self._started, self._first, self._lines = time.monotonic(), done, 0.0
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

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, step: int) -> None:
        """Moves the bar to a step."""
        self._done = step
        elapsed = time.monotonic() - self._started
        rate = (step - self._first) / elapsed if elapsed > 0 else 0.0
        self._bar.update(self._task, completed=step, rate=f"{rate:5.1f} steps/s")

    def show(self, step: int, metrics: Mapping[str, float]) -> None:
        """Shows the newest metrics; without a terminal as a line, at most one every ten seconds."""
        self._bar.update(self._task, summary=summary(metrics))
        now = time.monotonic()
        if not self._console.is_terminal and (now - self._lines > 10 or step == self._total):
            self._lines = now
            rate = (self._done - self._first) / max(now - self._started, 1e-9)
            say(self._console, f"step {step}/{self._total}  {rate:.1f} steps/s  {summary(metrics)}")

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        say(self._bar.console, text)
