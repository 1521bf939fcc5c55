"""The table of sources, which maps the name of a data set to the function that loads it."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from gan_jax.data.digits import load_digit_edges, load_mnist5k, load_stacked_mnist
from gan_jax.data.errors import DataError
from gan_jax.data.folder import load_image_folder
from gan_jax.data.from_datasets import load_hf
from gan_jax.data.from_tfds import load_tfds
from gan_jax.data.idx import load_idx
from gan_jax.data.mixtures import load_grid, load_ring
from gan_jax.data.source import Source


class Loader(NamedTuple):
    """A row of `SOURCES`.

    Attributes:
        load: Loads the data set. Its arguments are keywords.
        arguments: Names of the arguments that it takes besides `split`.
    """

    load: Callable[..., Source]
    arguments: tuple[str, ...]


SOURCES: dict[str, Loader] = {
    "mnist5k": Loader(load_mnist5k, ("image_size", "channels")),
    "fashion_mnist": Loader(functools.partial(load_idx, "fashion_mnist"), ("data_dir", "image_size", "channels")),
    "mnist": Loader(functools.partial(load_idx, "mnist"), ("data_dir", "image_size", "channels")),
    "image_folder": Loader(
        load_image_folder, ("data_dir", "image_size", "channels", "resize", "on_corrupt", "pairs", "direction", "cache")
    ),
    "stacked_mnist": Loader(load_stacked_mnist, ("image_size", "seed", "count")),
    "digit_edges": Loader(load_digit_edges, ("image_size",)),
    "ring": Loader(load_ring, ("seed", "count")),
    "grid": Loader(load_grid, ("seed", "count")),
}


def loader_of(name: str) -> Loader:
    """The row of a data set.

    Args:
        name: A key of `SOURCES`, `tfds:NAME` or `hf:NAME`.

    Raises:
        DataError: If the name is unknown.
    """
    if name in SOURCES:
        return SOURCES[name]
    family, _, rest = name.partition(":")
    if family == "hf" and rest:
        return Loader(functools.partial(load_hf, rest), ("data_dir", "image_size", "channels", "resize", "on_corrupt"))
    if family != "tfds" or not rest:
        raise DataError(f"must be one of {', '.join(SOURCES)}, tfds:NAME, hf:NAME", argument="name", value=name)
    return Loader(functools.partial(load_tfds, rest), ("data_dir", "image_size", "channels", "resize"))


def load_source(
    name: str,
    *,
    split: str = "train",
    data_dir: Path | str | None = None,
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    resize: str | None = None,
    on_corrupt: str | None = None,
    pairs: str | None = None,
    direction: str | None = None,
    cache: Path | None = None,
    seed: int | None = None,
    count: int | None = None,
) -> Source:
    """Loads a data set by its name. Arguments that are None have the default of the data set's own function.

    Args:
        name: A key of `SOURCES`, `tfds:NAME` or `hf:NAME`.
        split: "train", "test" or "all". A TFDS data set has its own splits.
        data_dir: Directory of the files, for sources that read files.
        image_size: Side in pixels or (height, width), for images.
        channels: 1, 3 or 4, for images.
        resize: "crop", "pad" or "stretch", for images of many shapes.
        on_corrupt: "skip" or "stop", for files that cannot be read.
        pairs: "side-by-side" or "folders" for pairs of images in files, or "unpaired" for two domains.
        direction: "A-to-B" or "B-to-A", for pairs of images and two domains.
        cache: Folder of decoded images, for images in files.
        seed: Random seed of sources that are sampled.
        count: Number of examples of sources that are sampled.

    Returns:
        The `Source`, with its held-out part.

    Raises:
        DataError: If the data cannot be loaded, or if the source does not take one of the arguments. The message is one line that names
            the file or the argument and what to do.
    """
    loader = loader_of(name)
    given: dict[str, Any] = {
        "data_dir": data_dir and Path(data_dir),
        "image_size": image_size,
        "channels": channels,
        "resize": resize,
        "on_corrupt": on_corrupt,
        "pairs": pairs,
        "direction": direction,
        "cache": cache,
        "seed": seed,
        "count": count,
    }
    given = {argument: value for argument, value in given.items() if value is not None}
    for argument in sorted(given.keys() - set(loader.arguments)):
        raise DataError(f"the source {name} does not take it", argument=argument)
    return loader.load(split=split, **given)
