"""A measurement with a hard limit of time, which continues where an earlier call ended.

Each item has a name and an expected duration. An item starts only if it is expected to end in time. Its row is written at once, so a call
that ends early loses at most the item in progress.
"""

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gan_jax._internal.files import write_text

RESERVE = 4.0  # Seconds at the end for the last file and the table.
TRIES = 2  # An item that ended the process this often is not started again.


class Session:
    """The rows of a measurement, and its time.

    Args:
        path: The JSON file. The rows of an earlier call in it are kept.
        seconds: Seconds that this call may take.
        begun: Time of `time.monotonic` at which the call began.
        on_timeout: Called if an item is still running at the end of the time. Returns the exit status of the process.

    Attributes:
        rows: Name -> row. A row has `seconds`, and either `values` or `error`.
        skipped: Name -> reason, for the items that this call left out.
    """

    def __init__(self, path: Path, seconds: float, *, begun: float | None = None, on_timeout: Callable[[], int] = lambda: 0):
        self.path, self.begun = path, time.monotonic() if begun is None else begun
        self.end = self.begun + seconds - RESERVE
        stored = json.loads(path.read_text()) if path.exists() else {}
        self.rows: dict[str, dict[str, Any]] = stored.get("rows", {})
        self.started: dict[str, int] = stored.get("started", {})
        self.facts: dict[str, Any] = stored.get("facts", {})
        self.calls: list[dict[str, Any]] = stored.get("calls", [])
        self.calls.append({"begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "minutes": seconds / 60})
        self.skipped: dict[str, str] = {}
        self._part_end = self.end
        self._lock = threading.Lock()
        self._durations: dict[str, float] = {}
        self._on_timeout = on_timeout
        self.children: set[Any] = set()

    def watch(self) -> None:
        """Starts the thread that ends the process when the time is over, whatever it is doing."""
        threading.Thread(target=self._end_process, name="time-limit", daemon=True).start()

    def _end_process(self) -> None:
        time.sleep(max(0.0, self.end - time.monotonic()))
        self.calls[-1]["ended"] = "time"
        for child in list(self.children):
            child.kill()
        self.write()
        status = self._on_timeout()
        sys.stdout.flush()
        os._exit(status)

    def remaining(self) -> float:
        """Seconds until the end of the call, or of the current part."""
        return min(self.end, self._part_end) - time.monotonic()

    @contextmanager
    def part(self, seconds: float) -> Iterator[None]:
        """Limits the items inside to a number of seconds together."""
        self._part_end = time.monotonic() + seconds
        try:
            yield
        finally:
            self._part_end = self.end

    def item(self, name: str, function: Callable[[], Any], *, needs: float, kind: str = "") -> Any:
        """Runs one item, unless an earlier call has its row.

        Args:
            name: Name of the row.
            function: Returns the values of the row, as plain data.
            needs: Expected seconds, if no item of the same kind has run in this call.
            kind: Items of one kind are expected to take equally long.

        Returns:
            The values, or None if there are none.
        """
        if name in self.rows:
            return self.rows[name].get("values")
        if self.started.get(name, 0) >= TRIES:
            self.skipped[name] = f"ended the process {TRIES} times"
            return None
        expected = self._durations.get(kind, needs) if kind else needs
        if expected > self.remaining():
            self.skipped[name] = f"needs about {expected:.0f} s, {max(0.0, self.remaining()):.0f} s are left"
            return None
        self.skipped.pop(name, None)
        self.started[name] = self.started.get(name, 0) + 1
        self.write()
        begin = time.monotonic()
        row: dict[str, Any] = {}
        try:
            row["values"] = function()
        except Exception as error:  # A row of the table says what failed, and the others are still measured.
            row["error"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        seconds = time.monotonic() - begin
        if kind:
            self._durations[kind] = 1.2 * seconds
        self.rows[name] = {"seconds": round(seconds, 2)} | row
        self.write()
        gc.collect()
        print(f"[{time.monotonic() - self.begun:5.0f} s] {name}: {row.get('error') or 'done'}", flush=True)
        return row.get("values")

    def values(self, prefix: str) -> dict[str, Any]:
        """Name without the prefix -> values, of the rows whose names begin with the prefix."""
        return {name.removeprefix(prefix): row["values"] for name, row in self.rows.items() if name.startswith(prefix) and "values" in row}

    def write(self) -> None:
        """Writes the file."""
        with self._lock:
            content = {"facts": self.facts, "calls": self.calls, "rows": dict(self.rows), "started": self.started, "skipped": self.skipped}
            write_text(self.path, json.dumps(content, indent=1) + "\n")
