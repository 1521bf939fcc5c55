"""What can go wrong with a checkpoint, one class for each thing that a caller handles differently."""


class CheckpointWarning(UserWarning):
    """Training goes on: a save failed, or a damaged step was passed over."""


class CheckpointNotFound(FileNotFoundError):
    """The directory holds no step that can be restored."""


class DamagedCheckpoint(ValueError):
    """The files of one step are not the files that were written: a flipped byte, a truncated or missing file."""


class TemplateMismatch(ValueError):
    """The checkpoint is intact but holds another tree than the one it should be restored onto."""


class ConfigurationMismatch(ValueError):
    """The checkpoint is intact but was written by a run with another configuration."""
