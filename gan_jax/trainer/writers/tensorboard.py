"""The TensorBoard event files of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class TensorBoardWriter:
    """Writes scalars for TensorBoard if tensorboardX is installed. Otherwise it writes nothing.

    tensorboardX is imported at the first write. The import is slow, and it then overlaps with the first steps on the device.

    Args:
        directory: Directory of the run. The files are written to its folder `tensorboard`.
        step: The step at which the run starts or continues. Later steps in existing files are hidden.
    """

    def __init__(self, directory: Path, step: int):
        self._directory, self._first_step = directory, step
        self._imported, self._writer = False, None

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes the metrics of a step."""
        if not self._imported:
            self._imported, self._writer = True, self._open()
        if self._writer is not None:
            for name, value in metrics.items():
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flushes and closes the files."""
        if self._writer is not None:
            self._writer.close()

    def _open(self) -> Any:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            return None
        return SummaryWriter(str(self._directory / "tensorboard"), purge_step=self._first_step + 1 if self._first_step else None)
