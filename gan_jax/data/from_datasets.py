"""Image data sets of the Hugging Face library `datasets`, from the Hub or from the disk. Parquet and Arrow files are read through it."""

from pathlib import Path
from typing import Any

from gan_jax.data.errors import DataError, one_line
from gan_jax.data.folder import source_of_files
from gan_jax.data.images import check_channels, check_image_size, check_resize
from gan_jax.data.layout import Layout, hold_out, natural
from gan_jax.data.source import Source
from gan_jax.data.tree import Listing

HELD_OUT = ("test", "validation", "valid", "val")
FILES = {".parquet": "parquet", ".arrow": "arrow"}
LABELS = ("label", "labels", "class", "category", "fine_label")


class RecordTree:
    """The encoded images of a data set's records, as files named SPLIT/NUMBER."""

    def __init__(self, name: str, records: dict[str, Any], image: str):
        self.root = Path(f"hf:{name}")
        self._records, self._image = records, image

    def listing(self) -> Listing:
        """The names of all records."""
        return Listing(tuple(f"{part}/{number}" for part, rows in self._records.items() for number in range(len(rows))), ())

    def file(self, name: str) -> Path | bytes:
        """The bytes of an image, or the path of its file."""
        part, _, number = name.rpartition("/")
        image = self._records[part][int(number)][self._image]
        if not isinstance(image, dict) or not (image.get("bytes") or image.get("path")):
            raise DataError(f"{self.path(name)}: the record has no image")
        return image["bytes"] or Path(image["path"])

    def size(self, name: str) -> int:
        """A number that changes if the data set changes, because reading the sizes of all images would take long."""
        return int(str(self._records[name.rpartition("/")[0]]._fingerprint)[:12], 16)

    def path(self, name: str) -> str:
        """The name of the data set, of the split, and the number of the record."""
        return f"{self.root}/{name}"


def _load(name: str, data_dir: Path | None) -> dict[str, Any]:
    """The splits of a data set by name."""
    try:
        import datasets
    except ImportError as error:
        raise _error(name, f"needs datasets ({error}); install it with: pip install 'gan-jax[datasets]'") from None
    place = Path(name)
    cache: dict[str, Any] = {"cache_dir": None if data_dir is None else str(data_dir)}
    try:
        if place.suffix.lower() in FILES and place.is_file():
            loaded = datasets.load_dataset(FILES[place.suffix.lower()], data_files=str(place), **cache)
        elif (place / "dataset_dict.json").is_file() or (place / "state.json").is_file():
            loaded = datasets.load_from_disk(name)
        else:
            path, _, configuration = name.partition(":")
            loaded = datasets.load_dataset(path, configuration or None, **cache)
    except Exception as error:  # The library raises errors of its own, of the network, of Arrow and of file systems.
        raise _error(name, one_line(error)) from None
    return dict(loaded) if isinstance(loaded, dict) else {"train": loaded}


def _columns(name: str, features: Any) -> tuple[str, str | None]:
    """The names of the columns of images and of labels. The label is None if there is no such column."""
    import datasets

    def is_image(feature: Any) -> bool:
        return isinstance(feature, datasets.Image) or (isinstance(feature, dict) and "bytes" in feature)

    images = [column for column, feature in features.items() if is_image(feature)]
    if not images:
        raise _error(name, f"the data set has no images; its columns are {', '.join(features)}")
    classes = [column for column, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    plain = [column for column in LABELS if column in features and getattr(features[column], "dtype", "") in ("int64", "int32", "string")]
    return "image" if "image" in images else images[0], next(iter([*(name for name in LABELS if name in classes), *classes, *plain]), None)


def _classes(values: dict[str, Any], feature: Any) -> tuple[dict[str, str], tuple[str, ...]]:
    """The class of each record with a label, and the names of the classes, from the values and the type of a column."""
    import datasets

    is_label = isinstance(feature, datasets.ClassLabel)
    as_text = feature.int2str if is_label else str
    classes = {
        f"{part}/{number}": as_text(value)
        for part, column in values.items()
        for number, value in enumerate(column)
        if value is not None and value != -1
    }
    return classes, tuple(feature.names) if is_label else tuple(sorted(set(classes.values()), key=natural))


def load_hf(
    name: str,
    *,
    split: str = "train",
    data_dir: Path | None = None,
    image_size: int | tuple[int, int] = 32,
    channels: int | None = None,
    resize: str = "crop",
    on_corrupt: str = "skip",
) -> Source:
    """Loads an image data set through Hugging Face `datasets`. The code of a data set is never run.

    Args:
        name: Name of a data set of the Hub, with `:CONFIGURATION` if it has several, a directory that `save_to_disk` wrote, a directory of
            data files, or a Parquet or Arrow file.
        split: A split of the data set. If it has only one, "test" is every tenth image of it, "train" the others, and "all" is all.
        data_dir: Directory of the downloaded files. None means the default of `datasets`.
        image_size: Side of the images in pixels, or (height, width).
        channels: 1, 3 or 4. By default 1 if all images are grey, otherwise 3.
        resize: "crop", "pad" or "stretch", see `gan_jax.data.images.fit`.
        on_corrupt: "skip" or "stop", see `gan_jax.data.folder.load_image_folder`.

    Returns:
        A `Source`. Of several splits, test (or validation) is held out, unless it is the requested one.

    Raises:
        DataError: If `datasets` is not installed, cannot load the data set, or if it has no images or no such split.
    """
    check_image_size(image_size)
    check_channels(channels)
    check_resize(resize)
    records = _load(name, data_dir)
    image, label = _columns(name, next(iter(records.values())).features)
    import datasets

    feature = next(iter(records.values())).features.get(label) if label else None
    records = {part: rows.cast_column(image, datasets.Image(decode=False)) for part, rows in records.items()}
    if len(records) == 1:
        (only,) = records
        wanted, test = {"train": only, "test": only, "all": only, only: only}, True
    else:
        wanted, test = {part: part for part in records}, False
    if split not in wanted:
        raise DataError(f"hf:{name} has {', '.join(wanted)}", argument="split", value=split)
    other = next((part for part in HELD_OUT if part in records and part != split), None)
    names = {part: [f"{part}/{number}" for number in range(len(rows))] for part, rows in records.items()}
    if test:
        chosen = split if split in ("train", "test", "all") else "train"
        parts, held_out_by = hold_out(names[wanted[split]])
    else:
        parts = {"train": names[split], "test": names[other] if other else []}
        chosen, held_out_by = "train", f"the split {other}"
    classes, class_names = dict[str, str](), tuple[str, ...]()
    if label:
        used = {one.rpartition("/")[0] for listed in parts.values() for one in listed}
        classes, class_names = _classes({part: records[part][label] for part in used}, feature)
        parts = {part: [one for one in listed if one in classes] for part, listed in parts.items()}
    layout = Layout(
        parts=parts,
        class_names=class_names,
        classes=classes,
        found=sum(len(rows) for rows in records.values()),
        ignored={},
        classes_by=f"the column {label}" if label else "none: the data set has no column of labels",
        held_out_by=held_out_by,
        left_out={},
        notices=(),
    )
    tree = RecordTree(name, records, image)
    options: dict[str, Any] = {"image_size": image_size, "channels": channels, "resize": resize, "on_corrupt": on_corrupt}
    return source_of_files(f"hf:{name}", tree, layout, chosen, f"Hugging Face datasets: {name}", **options)


def _error(name: str, problem: str) -> DataError:
    """The error about the argument `name` of `load_source`, for the data set `name`."""
    return DataError(problem, argument="name", value=f"hf:{name}")
