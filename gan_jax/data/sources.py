"""The table of sources, which maps the name of a data set to the function that loads it."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gan_jax.data.batches import check_batch_size
from gan_jax.data.digits import load_mnist5k, load_stacked_mnist
from gan_jax.data.errors import DataError
from gan_jax.data.folder import load_image_folder
from gan_jax.data.from_tfds import load_tfds
from gan_jax.data.idx import load_fashion_mnist, load_mnist
from gan_jax.data.mixtures import load_grid, load_ring
from gan_jax.data.source import Source

SOURCES: dict[str, Callable[..., Source]] = {
    "mnist5k": load_mnist5k,
    "fashion_mnist": load_fashion_mnist,
    "mnist": load_mnist,
    "image_folder": load_image_folder,
    "stacked_mnist": load_stacked_mnist,
    "ring": load_ring,
    "grid": load_grid,
}


def loader_of(name: str) -> Callable[..., Source]:
    """The function that loads a data set.

    Args:
        name: A key of `SOURCES`, or `tfds:NAME`.

    Raises:
        DataError: If the name is unknown.
    """
    if name in SOURCES:
        return SOURCES[name]
    family, _, rest = name.partition(":")
    if family != "tfds" or not rest:
        raise DataError(f"--data.source {name}: must be one of {', '.join(SOURCES)}, tfds:NAME")
    return functools.partial(load_tfds, rest)


def load_source(name: str, *, split: str = "train", data_dir: Path | str | None = None, **options: Any) -> Source:
    """Loads a data set by its name.

    Args:
        name: A key of `SOURCES`, or `tfds:NAME`.
        split: "train", "test" or "all". A TFDS data set has its own splits.
        data_dir: Directory of the files, for sources that read files.
        options: Further arguments of the source, e.g. image_size, channels, seed, resize, on_corrupt. Options that are None are
            ignored.

    Returns:
        The `Source`, with its held-out part.

    Raises:
        DataError: If the data cannot be loaded, or if the source does not take one of the options. The message is one line that names
            the file or the setting and what to do.
    """
    loader = loader_of(name)
    options = {"data_dir": data_dir and Path(data_dir)} | options
    arguments = {"split": split} | {option: value for option, value in options.items() if value is not None}
    unknown = sorted(arguments.keys() - inspect.signature(loader).parameters.keys())
    if unknown:
        flag = {"data_dir": "directory"}.get(unknown[0], unknown[0].replace("_", "-"))
        raise DataError(f"--data.{flag}: the source {name} does not take it")
    return loader(**arguments)


def load(config: Any) -> Source:
    """Loads the data set of a configuration, and checks that the batch is not larger than the data set.

    Args:
        config: Configuration of a run. Its fields `data` and `batch_size` are read.

    Raises:
        DataError: If the data cannot be loaded, as in `load_source`, or if the batch is larger than the data set.
    """
    data = config.data
    # These fields always have a value. They are passed only to the sources that take them.
    known = inspect.signature(loader_of(data.source)).parameters
    always = {"image_size": data.image_size, "on_corrupt": data.on_corrupt, "resize": data.resize}
    options = {name: value for name, value in always.items() if name in known}
    source = load_source(data.source, split=data.split, data_dir=data.directory, channels=data.channels, **options)
    check_batch_size(config.batch_size, source)
    return source
