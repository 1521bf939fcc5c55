"""run.json of a training run: the facts of its first start, its present state, and one row for each start."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gan_jax.trainer import environment, run_directory
from gan_jax.trainer.run_directory import RunError


def recorded_starts(directory: Path) -> list[dict[str, Any]]:
    """The starts in run.json, oldest first. A run without run.json has none.

    Raises:
        RunError: The starts in run.json cannot be read. The message names the file.
    """
    path = directory / "run.json"
    rows = run_directory.read_record(directory).get("starts", []) if path.exists() else []
    numbers = ("from_step", "to_step", "seconds", "processor_seconds")
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and all(isinstance(row.get(name), int | float) for name in numbers) for row in rows
    ):
        raise RunError(f"{path}: its starts cannot be read")
    return rows


class RunRecord:
    """Writes run.json. Nothing is written before `begin`, so a command that is refused leaves the record of the run as it is.

    The fields about the command, the versions and the machine are those of the first start. The list `starts` has a row for each start,
    with the same fields, `status`, `from_step`, `to_step`, `seconds` and `processor_seconds`. The row of a start that was killed has the
    step and the time of its last checkpoint. `seconds` and `processor_seconds` of the record are the sums over all starts.

    Args:
        directory: Directory of the run.
        command: The command line of this start.
        facts: Further fields of the record. They replace those of earlier starts.
        devices: Further fields of this start.
        resumed: Whether the run existed before.

    Attributes:
        directory: Directory of the run.
        step: The last train step. The training loop updates it.

    Raises:
        RunError: run.json of a resumed run cannot be read.
    """

    def __init__(self, directory: Path, command: str, facts: Mapping[str, Any], devices: Mapping[str, Any], *, resumed: bool):
        self.step = 0
        self.directory, self._facts, self._resumed = directory, dict(facts), resumed
        self._start = {"command": command, "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **environment.describe(), **devices}
        existing = resumed and (directory / "run.json").exists()
        self._content = run_directory.read_record(directory) if existing else {}
        self._starts = recorded_starts(directory) if existing else []
        self._began: tuple[float, float] | None = None

    def begin(self, step: int, facts: Mapping[str, Any] | None = None) -> None:
        """Adds the row of this start.

        Args:
            step: The step at which training starts or continues.
            facts: Further fields of the record.

        Raises:
            OSError: run.json cannot be written.
        """
        if self._starts and self._starts[-1].get("status") == "running":
            self._starts[-1]["status"] = "killed"
        if not self._starts:
            self._content |= self._start
        self.step = step
        self._facts |= dict(facts or {})
        self._start |= {"status": "running", "from_step": step}
        self._starts.append(self._start)
        self._began = (time.monotonic(), time.process_time())
        self._content = {name: value for name, value in self._content.items() if name not in ("error", "saved")}
        self.update({"status": "running"})

    def update(self, more: Mapping[str, Any] | None = None) -> None:
        """Writes run.json with the present step and time.

        Args:
            more: Fields that are added or replaced. `status` is also the status of this start.

        Raises:
            OSError: run.json cannot be written.
        """
        if self._began is None:
            if self._resumed:  # The error came before training continued.
                return
            self.begin(0)
        assert self._began is not None
        seconds, processor_seconds = (round(now - then, 1) for now, then in zip((time.monotonic(), time.process_time()), self._began))
        self._content |= self._facts | dict(more or {})
        self._start |= {"status": self._content["status"], "to_step": self.step, "seconds": seconds, "processor_seconds": processor_seconds}
        sums = {name: round(sum(row[name] for row in self._starts), 1) for name in ("seconds", "processor_seconds")}
        self._content |= {"step": self.step, **sums, "starts": self._starts}
        run_directory.write_json(self.directory / "run.json", self._content)
