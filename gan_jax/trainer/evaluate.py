"""Evaluates the generator of a run: its samples and real held-out images are measured with the same protocol."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from gan_jax import metrics
from gan_jax._internal.files import cache_folder
from gan_jax.data import Source
from gan_jax.data.missing import why_missing
from gan_jax.metrics.protocol import WITHOUT_REALS
from gan_jax.trainer import run_directory
from gan_jax.trainer.build.gan import BuiltGAN
from gan_jax.trainer.config import Config, ConfigError
from gan_jax.trainer.features import choose_extractor
from gan_jax.trainer.mode_counts import mode_records
from gan_jax.trainer.sample_images import SamplesNotFinite, not_finite, sample_images
from gan_jax.typing import Players

REFERENCE_LIMIT = 50_000
DEFAULT_METRICS = ("frechet_distance", "kernel_distance", "inception_score", "precision_recall", "density_coverage")
PIXEL_METRICS = ("sliced_wasserstein", "ms_ssim", "spectrum_distance")  # The default metrics without a feature network.
UNSEEN = frozenset({"classification_accuracy_score"})  # Metrics that are tested on images that G was not trained on.
BY_CLASS = frozenset({"intra_class_frechet_distance"}) | UNSEEN
# Names of the Fréchet distance by feature network. Only Inception features give the FID of the literature.
DISTANCE_NAMES = {"digit_classifier": "classifier_fd", "inception_v3": "fid"}
# Whether lower or higher values of a metric are better, for the best checkpoint.
BETTER: dict[str, Literal["min", "max"]] = {
    "auto": "min",
    **dict.fromkeys((*DISTANCE_NAMES.values(), "frechet_distance", "kernel_distance", "intra_class_frechet_distance"), "min"),
    **dict.fromkeys(("sliced_wasserstein", "spectrum_distance", "ms_ssim", "reverse_kl", "memorized_share"), "min"),
    **dict.fromkeys(("inception_score", "precision", "recall", "density", "coverage", "vendi_score"), "max"),
    **dict.fromkeys(("classification_accuracy_score", "modes", "high_quality"), "max"),
    **dict.fromkeys(("classes_covered", "rarest_class_share", "confident_share"), "max"),
}
NOT_FINITE = "finite_samples"  # Name of the metric that is measured alone if a sample is not finite.


class ImageSet(NamedTuple):
    """A set of images to measure.

    Attributes:
        images: uint8 [n, height, width, channels].
        labels: int [n]. None if no metric needs them.
        name: Name of the data set and its split, for the record.
    """

    images: np.ndarray
    labels: np.ndarray | None
    name: str

    def first(self, count: int) -> "ImageSet":
        """The first `count` images."""
        return ImageSet(self.images[:count], None if self.labels is None else self.labels[:count], self.name)


def random_images(source: Source, count: int, *, with_labels: bool) -> ImageSet:
    """At most `count` images of a data set in a random order that is always the same. Files are often sorted by class."""
    order = np.random.default_rng(0).permutation(len(source))[:count]
    labels = source.labels[order] if with_labels and source.labels is not None else None
    return ImageSet(np.asarray(source.images[order]), labels, f"{source.name}/{source.split}")


def evaluate(
    config: Config,
    built: BuiltGAN,
    source: Source,
    params: Players,
    opt_state: Any,
    *,
    names: Sequence[str] | None = None,
    samples: int | None = None,
    seed: int | None = None,
    ema: bool = True,
    progress: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:
    """Measures samples against the training images. Real held-out images are measured against the same reference.

    The classification accuracy score is the exception. It is tested on the held-out images, which G was not trained on, and the real
    images beside the samples are then training images. Its record is the last one.

    If the images of the run are gone, only metrics of the samples alone are measured: Inception score, MS-SSIM, Vendi score, modes.

    Args:
        config: The configuration of the run.
        built: The GAN.
        source: The data set.
        params: Parameters of G and D.
        opt_state: The rest of the state.
        names: Names of the metrics. By default those that suit the data.
        samples: Number of samples. By default `config.evaluation.samples`.
        seed: Random seed of the samples. By default the seed of the run.
        ema: Whether to sample with the moving average of the parameters.
        progress: Receives the number of images whose features are extracted.

    Returns:
        One record for each value: `metric`, `value`, `real` (the value of real images, or None), and the protocol. Samples and held-out
        images are equally many, so that their distances have the same bias. If a sample is not finite, the only record is
        `finite_samples`, the share of finite samples.

    Raises:
        ConfigError: A metric does not suit this generator or these data, or the features do not suit the images.
    """
    count = samples or config.evaluation.samples
    seed = config.seed if seed is None else seed
    extractor = choose_extractor(config, source) if source.is_images else None
    chosen = choose_metrics(names, extractor, source) if source.is_images else []
    missing = bool(why_missing(source))
    try:
        fake, labels = sample_images(built, params, opt_state, count, seed=seed, source=source.held_out or source, ema=ema)
        if broken := not_finite(fake):
            raise SamplesNotFinite(broken, count)
    except SamplesNotFinite as error:
        value = 1 - error.broken / count
        return [{"metric": NOT_FINITE, "value": value, "real": 1.0, "extractor": "none", "samples": count, "seed": seed, "ema": ema}]
    if not source.is_images:
        return mode_records(fake, source, config, seed, ema)
    # Labels that G draws itself (InfoGAN) are no classes of the data.
    has_classes = labels is not None and built.spec.sample_labels is None
    with_labels = has_classes and not BY_CLASS.isdisjoint(chosen)
    if missing:
        alone = ImageSet(fake, labels if with_labels else None, "samples")
        weights = None if isinstance(extractor, metrics.FeatureExtractor) else config.evaluation.weights
        options = {"extractor": extractor, "weights": weights, "seed": seed, "progress": progress}
        return measure_images(alone, None, None, names=chosen, ema=ema, **options) + mode_records(fake, source, config, seed, ema)
    real = random_images(source, REFERENCE_LIMIT, with_labels=with_labels)
    held_out = None if source.held_out is None else random_images(source.held_out, count, with_labels=with_labels)
    fakes = ImageSet(fake, labels if with_labels else None, "samples").first(count if held_out is None else len(held_out.images))
    measure = functools.partial(
        measure_images,
        extractor=extractor,
        weights=None if isinstance(extractor, metrics.FeatureExtractor) else config.evaluation.weights,
        seed=seed,
        progress=progress,
    )
    seen = [name for name in chosen if name not in UNSEEN]
    unseen = [name for name in chosen if name in UNSEEN]
    records = measure(fakes, held_out, real, names=seen, ema=ema) if seen else []
    if unseen:
        equally_many = min(len(fakes.images), len(real.images))
        records += measure(fakes.first(equally_many), real.first(equally_many), held_out, names=unseen, ema=ema)
    for record in records:
        if record["metric"] == "frechet_distance":
            record["metric"] = DISTANCE_NAMES.get(record["extractor"], "frechet_distance")
    return records + mode_records(fake, source, config, seed, ema)


def choose_metrics(names: Sequence[str] | None, extractor: Any, source: Source) -> list[str]:
    """The requested metrics, by default those that suit the data.

    Raises:
        ConfigError: A metric needs a feature network or held-out images, and there are none.
    """
    missing = why_missing(source)
    chosen = list(names or [name for name in (DEFAULT_METRICS if extractor else PIXEL_METRICS) if not missing or name in WITHOUT_REALS])
    for name in chosen:
        if missing and name not in WITHOUT_REALS:
            raise ConfigError(f"--metrics {name}: needs the images of the run, which are gone: {missing}")
        if extractor is None and name not in metrics.protocol.ON_PIXELS:
            raise ConfigError(f"--metrics {name}: needs a feature network; set --evaluation.extractor")
        if source.held_out is None and name in UNSEEN:
            raise ConfigError(
                f"--metrics {name}: needs held-out images, which G was not trained on; {source.name}/{source.split} leaves none"
            )
    return chosen


def measure_images(
    fakes: ImageSet,
    reals: ImageSet | None,
    reference: ImageSet | None,
    *,
    names: Sequence[str],
    extractor: Any,
    weights: Any,
    ema: bool,
    **options: Any,
) -> list[dict[str, Any]]:
    """Measures samples, and real images beside them, against a reference.

    Args:
        fakes: The samples.
        reals: The real images beside the samples, or None.
        reference: The images that both are compared with. None for metrics of the samples alone.
        names: Names of the metrics.
        extractor: The feature network, see `choose_extractor`.
        weights: Weight file of the feature network.
        ema: Whether the samples come from the averaged weights, for the records.
        options: Further arguments of `metrics.measure`.

    Returns:
        One record for each value. The value of the real images is `real`, or None without them.

    Raises:
        ConfigError: A metric cannot be measured.
    """
    folder = cache_folder()

    def rows(images: ImageSet, ema: bool | None) -> list[metrics.Measurement]:
        labels = {} if fakes.labels is None else {"fake_labels": images.labels, "real_labels": reference and reference.labels}
        return metrics.measure(
            images.images,
            reference and reference.images,
            extractor,
            metrics=names,
            weights=weights,
            reference=reference.name if reference else "none",
            ema=ema,
            cache=None if folder is None else folder / "statistics",
            **labels,
            **options,
        )

    subject = ""
    try:
        fake_rows = rows(fakes, ema)
        subject = "of the real images beside the samples: "
        real_values = {} if reals is None else {row.metric: row.value for row in rows(reals, None)}
    except ValueError as error:
        raise ConfigError(f"--metrics {' '.join(names)}: {subject}{error}") from error
    return [row._asdict() | {"real": real_values.get(row.metric)} for row in fake_rows]


def best_mode(metric: str) -> Literal["min", "max"]:
    """Whether the lowest or the highest value of a metric is the best.

    Raises:
        ConfigError: There is no such metric.
    """
    if metric not in BETTER:
        raise ConfigError(f"--evaluation.best {metric}: must be one of {', '.join(BETTER)}")
    return BETTER[metric]


def metric_values(records: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Metric -> value.

    A Fréchet distance is also listed as `frechet_distance`, whatever its features. The metric that decides about the best checkpoint
    by default is also listed as `auto`.
    """
    values = {record["metric"]: record["value"] for record in records}
    distances = [values[name] for name in DISTANCE_NAMES.values() if name in values]
    values |= {"frechet_distance": distances[0]} if distances else {}
    deciding = [values[name] for name in ("frechet_distance", "reverse_kl", "sliced_wasserstein") if name in values]
    return values | ({"auto": deciding[0]} if deciding else {})


def evaluate_run(
    directory: Path,
    config: Config,
    built: BuiltGAN,
    source: Source,
    params: Players,
    opt_state: Any,
    *,
    console: Console,
    before_write: Callable[[], None] = lambda: None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Evaluates a run, writes `metrics.json` into its directory, and prints a table.

    Args:
        directory: Directory of the run.
        config: The configuration of the run.
        built: The GAN.
        source: The data set.
        params: Parameters of G and D.
        opt_state: The rest of the state.
        console: Where to print.
        before_write: Called before `metrics.json` is written.
        options: Further arguments of `evaluate`.

    Returns:
        The records, see `evaluate`.
    """
    count = options.get("samples") or config.evaluation.samples
    held_out = 0 if source.held_out is None else min(count, len(source.held_out))
    total = 2 * min(count, held_out or count) + 2 * min(len(source), REFERENCE_LIMIT)
    # In a notebook rich needs the package ipywidgets for a bar, and prints a warning without it.
    with Progress(*Progress.get_default_columns(), console=console, transient=True, disable=console.is_jupyter) as bar:
        task, before = bar.add_task("measuring", total=total), 0

        def progress(done: int) -> None:
            nonlocal before
            bar.advance(task, done - before if done > before else done)
            before = done

        records = evaluate(config, built, source, params, opt_state, progress=progress, **options)
    kept = []
    if why_missing(source) and (directory / "metrics.json").is_file():  # Distances from before the images were gone stay.
        known = run_directory.read_json(directory / "metrics.json")
        kept = [row for row in known if row["metric"] not in {record["metric"] for record in records}]
    console.print(table(records))
    few = fewer_samples(records, count, source)
    if few:
        console.print(few)
    before_write()
    run_directory.write_json(directory / "metrics.json", kept + records)
    return records


def fewer_samples(records: Sequence[dict[str, Any]], count: int, source: Source) -> str:
    """One line about the records that were measured from fewer samples than requested. "" if there are none."""
    fewest = min((int(record["samples"]) for record in records), default=count)
    if fewest >= count:
        return ""
    limit = f"the {len(source.held_out)} held-out images" if source.held_out is not None else f"the {len(source)} images"
    return f"measured {fewest} samples, not {count}, so that they are as many as {limit}; distances of few samples are biased upwards"


def table(records: Sequence[dict[str, Any]]) -> Table:
    """The records as a table for the terminal."""
    result = Table(title="Evaluation")
    for name, side in (("metric", "left"), ("samples", "right"), ("real held-out", "right"), ("count", "right"), ("features", "left")):
        result.add_column(name, justify=side)  # type: ignore[arg-type]
    for record in records:
        real = "" if record["real"] is None else f"{record['real']:.4g}"
        result.add_row(record["metric"], f"{record['value']:.4g}", real, str(record["samples"]), record["extractor"])
    return result
