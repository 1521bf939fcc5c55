"""Append-only files with one JSON object a line."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gan_jax._internal.files import read_text, write_text
from gan_jax.trainer.progress import TolerantStream


class JsonLines:
    """A file with one JSON object a line.

    If a line cannot be written, one warning is printed on standard error and training continues.

    Args:
        path: The file.
        after_step: Rows after this step and lines that are no rows are removed from an existing file. None keeps the file.
    """

    def __init__(self, path: Path, after_step: int | None = None):
        self._path, self._warned = path, False
        if after_step is not None and path.exists():
            kept = []
            for line in read_text(path, errors="replace").splitlines():
                try:
                    step = json.loads(line)["step"]
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue
                if isinstance(step, int) and step <= after_step:
                    kept.append(line)
            write_text(path, "".join(line + "\n" for line in kept))

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends one object. NaN and infinities are written as `NaN` and `Infinity`, a common extension of JSON."""
        try:
            with self._path.open("a") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            if not self._warned:
                print(f"{self._path}: {error.strerror}; training continues without these lines", file=TolerantStream(sys.stderr))
            self._warned = True
