"""Errors and warnings about data. Each message is one line that names the file or the argument and what to do."""

from gan_jax._internal.checks import ArgumentError
from gan_jax._internal.checks import one_line as one_line


class DataError(ArgumentError):
    """The data cannot be used: a file is missing, corrupt or unsuitable, or an argument is incompatible with the data."""


class DataWarning(UserWarning):
    """Some data were skipped, e.g. an image that is unreadable or missing, or a folder that is already listed."""
