"""Reads sets of images from folders, arrays, runs and files of statistics, and measures one against another."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from rich.table import Table

from gan_jax import metrics
from gan_jax._internal.files import cache_folder, open_regular
from gan_jax.data import DataError, load_source
from gan_jax.data.decode import ending_of, endings, read_header
from gan_jax.data.images import fit, to_channels
from gan_jax.data.tree import tree_of
from gan_jax.trainer.config import ConfigError
from gan_jax.trainer.evaluate import DEFAULT_METRICS, DISTANCE_NAMES, PIXEL_METRICS, random_images
from gan_jax.trainer.features import extractor_for
from gan_jax.trainer.loaded_run import load_run
from gan_jax.trainer.sample_images import sample_images

FEATURE_METRICS = tuple(name for name in DEFAULT_METRICS if name != "inception_score")
RUN_SAMPLES = 5000
MOST_PIXELS = 4096  # The covariance of more values takes minutes and gigabytes.
LEAST_SIDE = 16  # The sliced Wasserstein distance needs images of this size, and halves larger ones down to it.


class MeasuredSet(NamedTuple):
    """A set of images, or statistics of one.

    Attributes:
        images: uint8 [count, height, width, channels], or None if only statistics are known.
        statistics: The statistics, or None.
        name: Name for the record.
        resize: How the images were brought to one size, "none" if they were not.
        ema: Whether the images are samples of averaged weights. None if they are no samples of a run.
    """

    images: np.ndarray | None
    statistics: metrics.Statistics | None
    name: str
    resize: str = "none"
    ema: bool | None = None


class Reading(NamedTuple):
    """How to read a set of images.

    Attributes:
        size: Side of the images in pixels. None leaves them as they are.
        resize: "crop", "pad" or "stretch".
        samples: Largest number of images. None reads all, and takes 5,000 samples of a run.
        seed: Random seed of the samples of a run.
        ema: Whether to sample with the moving average of the parameters of a run.
        step: Step of the checkpoint of a run.
        best: Whether to take the best checkpoint of a run.
    """

    size: int | None = None
    resize: str = "crop"
    samples: int | None = None
    seed: int = 0
    ema: bool = True
    step: int | None = None
    best: bool = False


def read_set(path: Path, how: Reading) -> MeasuredSet:
    """Reads a set of images.

    Args:
        path: A folder of images, the directory of a run, an npz file with `images` or `arr_0` (uint8 [count, height, width, channels]),
            an npy file of images, or a file of statistics.
        how: How to read it.

    Raises:
        ConfigError: There is no such set at this path, or its images have several sizes and no size was chosen.
        DataError: An image of the folder cannot be read.
    """
    if (path / "config.yaml").is_file():
        return _samples_of_run(path, how)
    if path.is_dir() or path.suffix == ".zip":
        return _images_of_folder(path, how)
    if not path.is_file():
        raise ConfigError(f"{path}: no such folder, run or file")
    if path.suffix not in (".npz", ".npy"):
        raise ConfigError(f"{path}: must be a folder of images, the directory of a run, or an npz or npy file")
    images = _array_of_images(path)
    if images is None:
        try:
            return MeasuredSet(None, metrics.load_statistics(path), str(path))
        except ValueError as error:
            raise ConfigError(str(error)) from error
    return _sized(_shuffled(images, how.samples), str(path), how)


def _array_of_images(path: Path) -> np.ndarray | None:
    """The images of an npz or npy file, or None if it is an npz file without images."""
    try:
        with open_regular(path) as opened:
            content = np.load(opened, allow_pickle=False)
            if path.suffix == ".npz":
                name = next((name for name in ("images", "arr_0") if name in content.files), None)
                if name is None:
                    return None
                content = content[name]
    except Exception as error:  # NumPy raises many kinds of errors on damaged files.
        raise ConfigError(f"{path}: not a readable {path.suffix[1:]} file ({' '.join(str(error).split())[:200]})") from error
    if content.ndim == 3:
        content = content[..., None]
    if content.ndim != 4 or content.shape[-1] not in (1, 3) or content.dtype != np.uint8:
        raise ConfigError(f"{path}: images must be uint8 [count, height, width, 1 or 3]; got {content.dtype} {content.shape}")
    return content


def _shuffled(images: Any, count: int | None) -> np.ndarray:
    """All images, or `count` of them in a random order that is always the same. Arrays are often sorted by class."""
    if count is None or count >= len(images):
        return np.asarray(images[:])
    return np.asarray(images[np.random.default_rng(0).permutation(len(images))[:count]])


def _samples_of_run(path: Path, how: Reading) -> MeasuredSet:
    run = load_run(path, step=how.step, best=how.best)
    if not run.source.is_images:
        raise ConfigError(f"{path}: its samples are points; use gan-jax evaluate {path}")
    count = how.samples or RUN_SAMPLES
    source = run.source.held_out or run.source
    images, _ = sample_images(run.built, run.params, run.opt_state, count, seed=how.seed, source=source, ema=how.ema)
    return _sized(images, f"{path} at step {run.step}", how)._replace(ema=how.ema)


def _images_of_folder(path: Path, how: Reading) -> MeasuredSet:
    sizes = _sizes_of_files(path)
    if how.size is None and len(sizes) != 1:
        listed = ", ".join(f"{width}x{height}" for height, width in sorted(sizes)[:4])
        raise ConfigError(f"{path}: has images of {len(sizes)} sizes ({listed}, ...); choose one with --size")
    size = min(sizes) if how.size is None else (how.size, how.size)
    source = load_source("image_folder", data_dir=path, split="all", image_size=size, resize=how.resize)
    images = _shuffled(source.images, how.samples) if how.samples is None else random_images(source, how.samples, with_labels=False).images
    return MeasuredSet(images, None, str(path), "none" if sizes == {size} else f"{how.resize} to {how.size} (Lanczos)")


def _sizes_of_files(path: Path) -> set[tuple[int, int]]:
    """Height and width of the images in a folder or zip archive. Only the headers of the files are read."""
    tree, sizes = tree_of(path), set()
    for name in tree.listing().files:
        if ending_of(name) in endings():
            try:
                header = read_header(tree.file(name), tree.path(name))
            except DataError:
                continue  # The loader reports files that cannot be read.
            sizes.add((header.height, header.width))
    if not sizes:
        raise ConfigError(f"{path}: has no images")
    return sizes


def _sized(images: np.ndarray, name: str, how: Reading) -> MeasuredSet:
    if how.size is None or images.shape[1:3] == (how.size, how.size):
        return MeasuredSet(images, None, name)
    resized = np.empty((len(images), how.size, how.size, images.shape[-1]), np.uint8)
    for index, image in enumerate(images):
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        resized[index] = np.asarray(fit(picture, how.size, how.resize)).reshape(resized.shape[1:])
    return MeasuredSet(resized, None, name, f"{how.resize} to {how.size} (Lanczos)")


def choose_extractor(
    name: str | metrics.FeatureExtractor, weights: Path | None, fakes: MeasuredSet, reals: MeasuredSet
) -> metrics.FeatureExtractor | None:
    """The feature extractor of two sets, or None for metrics on pixels.

    "auto" is the extractor of the given statistics, inception_v3 if a weight file is given, and otherwise none.

    Raises:
        ConfigError: The extractor needs a weight file, or does not accept the images.
    """
    if isinstance(name, metrics.FeatureExtractor):
        return name
    images = next((given.images for given in (reals, fakes) if given.images is not None), None)
    if images is None:
        return None
    if name == "auto":
        stored = next((given.statistics.extractor for given in (reals, fakes) if given.statistics is not None), None)
        if stored is not None and stored not in metrics.FEATURE_EXTRACTORS and stored != "vgg16":
            raise ConfigError(f"--extractor: the statistics have features of the extractor {stored}; name the one for the images")
        name = stored or ("inception_v3" if weights else "none")
    if name == "none":
        return None
    values = int(np.prod(images.shape[1:]))
    if name == "pixels" and values > MOST_PIXELS:
        raise ConfigError(f"--extractor pixels: takes at most {MOST_PIXELS} values of an image; got {values}. Choose a smaller --size")
    try:
        chosen = extractor_for(name, weights, images.shape[1:], flags=("--extractor", "--weights"))
        return metrics.feature_extractor(chosen, None if isinstance(chosen, metrics.FeatureExtractor) else weights)
    except ValueError as error:
        raise ConfigError(f"--extractor {name}: {error}") from error


def measure_sets(
    fakes: MeasuredSet,
    reals: MeasuredSet,
    extractor: metrics.FeatureExtractor | None,
    *,
    names: Sequence[str] = (),
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> list[metrics.Measurement]:
    """Measures a set against a reference.

    Args:
        fakes: The set to measure.
        reals: The reference.
        extractor: The feature extractor. None for metrics on pixels, or if both sets are statistics.
        names: Names of the metrics. By default all that can be measured of distances, fidelity and variety.
        seed: Random seed, for the record and for metrics that draw.
        progress: Called with the number of images whose features are extracted, for each set separately.

    Raises:
        ConfigError: A metric cannot be measured.
    """
    names = names or _suitable_metrics(fakes, reals, extractor)
    images = [given.images for given in (fakes, reals) if given.images is not None]
    channels = max((array.shape[-1] for array in images), default=1)
    given = [side.statistics if side.images is None else to_channels(side.images, channels) for side in (fakes, reals)]
    folder = cache_folder()
    try:
        rows = metrics.measure(
            *given,
            extractor,
            metrics=names,
            reference=reals.statistics.name if reals.statistics else reals.name,
            seed=seed,
            ema=fakes.ema,
            cache=None if folder is None else folder / "statistics",
            progress=progress,
        )
    except (ValueError, KeyError) as error:
        raise ConfigError(f"--metrics {' '.join(names)}: {error.args[0]}") from error
    before = "; ".join(f"{side}: {given.resize}" for side, given in (("A", fakes), ("B", reals)) if given.resize != "none")
    named = [
        row._replace(metric=DISTANCE_NAMES.get(row.extractor, row.metric)) if row.metric == "frechet_distance" else row for row in rows
    ]
    return [row._replace(resize=f"{before}; then {row.resize}") if before else row for row in named]


def _suitable_metrics(fakes: MeasuredSet, reals: MeasuredSet, extractor: metrics.FeatureExtractor | None) -> tuple[str, ...]:
    """The metrics that can be measured of two sets."""
    statistics = [given.statistics for given in (fakes, reals) if given.statistics is not None]
    if any(given.features is None for given in statistics):
        return ("frechet_distance",)
    if statistics:
        return FEATURE_METRICS
    sides = fakes.images.shape[1:3]
    halvings = (min(sides) // LEAST_SIDE).bit_length() - 1
    patches = halvings >= 0 and all(side % 2**halvings == 0 for side in sides)
    pixels = tuple(name for name in PIXEL_METRICS if patches or name != "sliced_wasserstein")
    return pixels if extractor is None else (*FEATURE_METRICS, *(name for name in pixels if name == "sliced_wasserstein"))


def reference_statistics(
    reals: MeasuredSet, extractor: metrics.FeatureExtractor, progress: Callable[[int], None] | None = None
) -> metrics.Statistics:
    """The statistics of a reference, for `metrics.save_statistics`."""
    if reals.statistics is not None:
        return reals.statistics
    resize = extractor.resize if reals.resize == "none" else f"{reals.resize}; then {extractor.resize}"
    # The name of the folder, not its path, because the file is meant for others.
    return metrics.image_statistics(reals.images, extractor, name=Path(reals.name).name, resize=resize, progress=progress)


def table(records: Sequence[metrics.Measurement]) -> Table:
    """The records as a table for the terminal. The sets, their counts, and the resize of each extractor are below it."""
    result = Table(title="A against B")
    for name, side in (("metric", "left"), ("value", "right"), ("standard error", "right"), ("features", "left")):
        result.add_column(name, justify=side, no_wrap=True)  # type: ignore[arg-type]
    for record in records:
        error = record.details.get("standard_error", float("nan"))
        result.add_row(record.metric, f"{record.value:.6g}", "" if np.isnan(error) else f"{error:.2g}", record.extractor)
    first = records[0]
    counts = [str(count) if count else "an unknown number of" for count in (first.samples, first.reference_samples)]
    lines = [f"{counts[0]} images against {counts[1]} of {first.reference}, seed {first.seed}"]
    lines += [f"{extractor}: resize {resize}" for extractor, resize in dict.fromkeys((row.extractor, row.resize) for row in records)]
    result.caption = "\n".join(lines)
    return result
