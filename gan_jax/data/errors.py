"""Errors and warnings about data. Each message is one line that names the file or the argument and what to do."""

from gan_jax._checks import ArgumentError


class DataError(ArgumentError):
    """The data cannot be used: a file is missing, corrupt or unsuitable, or an argument is incompatible with the data."""


class DataWarning(UserWarning):
    """Some data were skipped, e.g. an image that is unreadable or missing, or a folder that is already listed."""


def one_line(error: Exception) -> str:
    """The message of an exception from another library as one line of at most 200 characters. If it is empty, the exception's type name."""
    return " ".join(str(error).split())[:200] or type(error).__name__
