"""The TensorBoard writer."""

from pathlib import Path
from typing import Any


def tensorboard_writer(directory: Path, step: int) -> Any:
    """A TensorBoard writer, where tensorboardX is installed."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(directory / "tensorboard"), purge_step=step + 1 if step else None)
