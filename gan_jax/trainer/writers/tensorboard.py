"""The TensorBoard event files of a run."""

import functools
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
        self._options = {"logdir": str(directory / "tensorboard"), "purge_step": step + 1 if step else None}

    @functools.cached_property
    def _writer(self) -> Any:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            return None
        return SummaryWriter(**self._options)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes the metrics of a step."""
        for name, value in metrics.items() if self._writer is not None else ():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Closes the files."""
        if self.__dict__.get("_writer") is not None:
            self._writer.close()
