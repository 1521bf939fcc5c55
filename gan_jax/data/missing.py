"""A data set whose images are gone. Its shape, classes and names come from the record of a run."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gan_jax.data.errors import DataError
from gan_jax.data.source import LazyImages, Source


class MissingImages(LazyImages):
    """Images of which only the number and the shape are known.

    Attributes:
        reason: Why they cannot be loaded, in one line.
    """

    def __init__(self, shape: tuple[int, ...], reason: str):
        self.shape, self.reason = shape, reason
        self.dtype = np.dtype(np.uint8 if len(shape) == 4 else np.float32)

    def read(self, index: int) -> np.ndarray:
        """Raises DataError with the reason."""
        raise DataError(f"the images of the run are needed for this, and they are gone: {self.reason}")


def missing_source(recorded: Mapping[str, Any], reason: str) -> Source:
    """The source that `Source.describe` recorded, without its images.

    Args:
        recorded: The result of `describe`.
        reason: Why the images cannot be loaded, in one line.

    Raises:
        DataError: The record is incomplete.
    """
    try:
        shape = (int(recorded["examples"]), *map(int, recorded["shape"]))
        classes, names = int(recorded["num_classes"]), tuple(map(str, recorded.get("class_names", ())))
        inputs = recorded.get("input_shape")
        paired, count = bool(recorded.get("paired", True)), int(recorded.get("input_examples", shape[0]))
        given = None if inputs is None else MissingImages((count, *map(int, inputs)), reason)
        details = str(recorded["source"]), MissingImages(shape, reason), None, classes, str(recorded["split"]), str(recorded["provenance"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{reason}; and the record of the data is incomplete ({error!r})") from error
    return Source(*details, class_names=names, inputs=given, paired=paired)


def why_missing(source: Source) -> str:
    """Why the images of a source are gone. "" if they are there."""
    return source.images.reason if isinstance(source.images, MissingImages) else ""
