"""What goes wrong with data: one line for a person, naming the file or the flag and what to do."""


class DataError(ValueError):
    """Data that cannot be used: a missing, corrupt or unsuitable file, or a request that the data cannot meet."""


class DataWarning(UserWarning):
    """Data that were passed over: an image that could not be read or that is gone, a folder that is listed already."""


def one_line(error: Exception) -> str:
    """What a library says of a file, for a message of ours: one line of at most 200 characters; its kind where it says nothing."""
    return " ".join(str(error).split())[:200] or type(error).__name__
