"""Errors and warnings of checkpoints, one class for each case that a caller handles differently."""


class CheckpointWarning(UserWarning):
    """A save failed, or a damaged step was skipped. Training continues."""


class CheckpointNotFound(FileNotFoundError):
    """The directory has no step that can be restored."""


class DamagedCheckpoint(ValueError):
    """The files of a step differ from those that were written, e.g. by a flipped byte or a truncated file."""


class TemplateMismatch(ValueError):
    """The checkpoint is intact, but its tree differs from the template."""


class ConfigurationMismatch(ValueError):
    """The checkpoint is intact, but a run with another configuration wrote it."""
