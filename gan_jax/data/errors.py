"""What goes wrong with data: one line for a person, naming the file or the flag and what to do."""


class DataError(ValueError):
    """Data that cannot be used: a missing, corrupt or unsuitable file, or a request that the data cannot meet."""


class DataWarning(UserWarning):
    """Data that were passed over: an image that could not be read or that is gone."""
