"""Append-only files of JSON lines."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gan_jax._files import write_text


class JsonLines:
    """A file of one JSON object a line. Opened at a step, it forgets what a run that died wrote after it.

    A disk that refuses a line is reported once on standard error; training goes on.
    """

    def __init__(self, path: Path, after_step: int | None = None):
        self._path, self._warned = path, False
        if after_step is not None and path.exists():
            kept = []
            for line in path.read_text(errors="replace").splitlines():
                try:
                    step = json.loads(line)["step"]
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue
                if isinstance(step, int) and step <= after_step:
                    kept.append(line)
            write_text(path, "".join(line + "\n" for line in kept))

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends one object; NaN and infinities are written as JSON's common extensions `NaN` and `Infinity`."""
        try:
            with self._path.open("a") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            if not self._warned:
                print(f"{self._path}: {error.strerror}; training goes on without these lines", file=sys.stderr)
            self._warned = True
