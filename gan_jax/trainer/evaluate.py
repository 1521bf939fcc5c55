"""How good a run's generator is: samples of it, measured beside real held-out images under one protocol."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from gan_jax import metrics
from gan_jax.data import Source
from gan_jax.metrics.cache import cache_folder
from gan_jax.trainer import image_grid, run_directory
from gan_jax.trainer.build.gan import BuiltGAN
from gan_jax.trainer.config import Config, ConfigError
from gan_jax.typing import Players

SAMPLE_BATCH = 256
REFERENCE_LIMIT = 50_000
DEFAULT_METRICS = ("frechet_distance", "kernel_distance", "inception_score", "precision_recall", "density_coverage")
PIXEL_METRICS = ("sliced_wasserstein", "ms_ssim", "spectrum_distance")  # where there is no feature network
UNSEEN = frozenset({"classification_accuracy_score"})  # to be tested on images that the generator was not trained on
BY_CLASS = frozenset({"intra_class_frechet_distance"}) | UNSEEN
# What the Fréchet distance is called in features that are not those of the FID literature.
DISTANCE_NAMES = {"digit_classifier": "classifier_fd", "inception_v3": "fid"}


def sample_images(
    built: BuiltGAN,
    params: Players,
    opt_state: Any,
    count: int,
    *,
    seed: int,
    source: Source | None = None,
    ema: bool = True,
    truncation: float | None = None,
    labels: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draws samples in batches.

    Args:
        experiment: the game.
        params, opt_state: its state.
        count: number of samples.
        seed: of latents and labels.
        source: where the contexts of a conditioned generator come from.
        ema: from the averaged weights.
        truncation: see `GAN.sample`.
        labels: int [count] of a conditional model; by default the classes in turn.

    Returns:
        uint8 [count, height, width, channels] (points: float), and the labels of a conditional model.
    """
    spec = built.spec
    if spec.num_classes and labels is None:
        labels = np.arange(count) % spec.num_classes
    rng = jax.random.fold_in(jax.random.key(seed), 3)
    size = min(SAMPLE_BATCH, count)

    @jax.jit
    def draw(params: Players, opt_state: Any, rng: Any, labels: Any, real: Any) -> Any:
        context = None if real is None else spec.context(jax.random.fold_in(rng, 1), real)
        return built.gan.sample(params, opt_state, rng, size, labels, context, ema=ema, truncation=truncation)

    found = []
    for start in range(0, count, size):
        chosen = np.arange(start, start + size)
        of_labels = None if labels is None else jnp.asarray(labels[chosen % len(labels)], jnp.int32)
        real = None
        if source is not None and needs_context(built):
            real = jnp.asarray(np.stack([source.images[index % len(source)] for index in chosen])) / 127.5 - 1.0
        found.append(np.asarray(draw(params, opt_state, jax.random.fold_in(rng, start), of_labels, real)))
    samples = np.concatenate(found)[:count]
    return (image_grid.to_uint8(samples) if samples.ndim == 4 else samples), (None if labels is None else labels[:count])


def context_shape(built: BuiltGAN) -> tuple[int, ...] | None:
    """Shape of what one example of the generator is conditioned on, or None where that is nothing."""
    spec = built.spec
    real = jax.ShapeDtypeStruct((2, *spec.image_shape), jnp.float32)
    context = jax.eval_shape(functools.partial(spec.context, jax.random.key(0)), real)
    return None if context is None else context.shape[1:]


def needs_context(built: BuiltGAN) -> bool:
    """Whether the generator is conditioned on something made from images."""
    return context_shape(built) is not None


EXTRACTORS = ("auto", "pixels", "vgg16", *metrics.FEATURE_EXTRACTORS)
DIGIT_SHAPES = ((28, 28, 1), (32, 32, 1))  # that the shipped classifier takes
VGG_SIDE = 16  # the last activations of VGG16 stand 16 pixels apart


def extractor_of(config: Config, source: Source) -> str | metrics.FeatureExtractor | None:
    """The feature network: as asked for, or the shipped classifier where the images are digits; None for none.

    Raises:
        ConfigError: there is no such network, it needs a weight file, or it does not take images of this shape.
    """
    chosen, weights = config.evaluation.extractor, config.evaluation.weights
    if chosen not in EXTRACTORS:
        raise ConfigError(f"--evaluation.extractor {chosen}: must be one of {', '.join(EXTRACTORS)}")
    if chosen == "auto":
        return None if extractor_is_not_digits(source) else "digit_classifier"
    takes = None
    if chosen == "digit_classifier" and source.shape not in DIGIT_SHAPES:
        takes = " or ".join(written(shape) for shape in DIGIT_SHAPES) + " images"
    if chosen == "vgg16" and min(source.shape[:2]) < VGG_SIDE:
        takes = f"images of at least {VGG_SIDE} pixels a side"
    if takes is not None:
        raise ConfigError(f"--evaluation.extractor {chosen}: takes {takes}; the data are {written(source.shape)}")
    if chosen in ("vgg16", "inception_v3") and weights is None:
        script = {"vgg16": "convert_vgg.py", "inception_v3": "convert_inception.py"}[chosen]
        raise ConfigError(f"--evaluation.weights: {chosen} needs its weight file; experiments/{script} --help says where it comes from")
    return vgg_extractor(weights) if chosen == "vgg16" else None if chosen == "pixels" else chosen


def written(shape: tuple[int, ...]) -> str:
    """A shape as people write it: 28x28x1."""
    return "x".join(map(str, shape))


def vgg_extractor(weights: Path | None) -> metrics.FeatureExtractor:
    """VGG16's last activations, averaged over the pixels: 512 features; grey images as three equal channels."""
    from gan_jax.models import vgg

    def apply(params: Any, images: Any) -> tuple[Any, None]:
        colour = jnp.broadcast_to(images, (*images.shape[:3], 3)).astype(jnp.float32) / 127.5 - 1.0
        return vgg.vgg16_features(params, colour, layers=("relu5_3",))["relu5_3"].mean(axis=(1, 2)), None

    return metrics.FeatureExtractor("vgg16", vgg.load_vgg16(weights), apply, resize="none")


class Part(NamedTuple):
    """Images, and what a metric by class and a record have to know of them.

    Attributes:
        images: uint8 [n, height, width, channels].
        labels: int [n], or None where no metric asks for them.
        name: of the data set and its split.
    """

    images: np.ndarray
    labels: np.ndarray | None
    name: str

    def first(self, count: int) -> "Part":
        """The first `count` of them."""
        return Part(self.images[:count], None if self.labels is None else self.labels[:count], self.name)


def random_part(source: Source, count: int, *, with_labels: bool) -> Part:
    """At most `count` of the examples; at random, as files often come sorted by class, but always the same."""
    order = np.random.default_rng(0).permutation(len(source))[:count]
    labels = source.labels[order] if with_labels and source.labels is not None else None
    return Part(np.asarray(source.images[order]), labels, f"{source.name}/{source.split}")


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
    """Measures samples against the training images, and real held-out images against the same reference.

    The classification accuracy score turns this round: it tests on the held-out images, as the generator was not trained on them, and
    beside the samples stand equally many training images. Its record comes after the others.

    Returns:
        One record a number: `metric`, `value`, `real` (the same figure of reals in the place of the fakes, or None), and the protocol.
        Distances of fakes and of held-out images are taken over equally many of both, so that they have the same bias.

    Raises:
        ConfigError: a metric cannot be taken of this generator or these data, or the features do not fit them.
    """
    count = samples or config.evaluation.samples
    seed = config.seed if seed is None else seed
    extractor = extractor_of(config, source) if source.is_images else None
    chosen = metrics_of(names, extractor, source) if source.is_images else []
    fake, labels = sample_images(built, params, opt_state, count, seed=seed, source=source.held_out or source, ema=ema)
    if not source.is_images:
        return mode_records(fake, source, config, seed, ema)
    # A code that was drawn for G (InfoGAN) is no class of the data.
    of_classes = labels is not None and built.spec.sample_labels is None
    with_labels = of_classes and not BY_CLASS.isdisjoint(chosen)
    real = random_part(source, REFERENCE_LIMIT, with_labels=with_labels)
    held = None if source.held_out is None else random_part(source.held_out, count, with_labels=with_labels)
    shown = Part(fake, labels if with_labels else None, "samples").first(count if held is None else len(held.images))
    measure = functools.partial(
        measure_part,
        extractor=extractor,
        weights=None if isinstance(extractor, metrics.FeatureExtractor) else config.evaluation.weights,
        seed=seed,
        progress=progress,
    )
    seen = [name for name in chosen if name not in UNSEEN]
    unseen = [name for name in chosen if name in UNSEEN]
    records = measure(shown, held, real, names=seen, ema=ema) if seen else []
    if unseen:
        equally_many = min(len(shown.images), len(real.images))
        records += measure(shown.first(equally_many), real.first(equally_many), held, names=unseen, ema=ema)
    for record in records:
        if record["metric"] == "frechet_distance":
            record["metric"] = DISTANCE_NAMES.get(record["extractor"], "frechet_distance")
    return records + mode_records(fake, source, config, seed, ema)


def metrics_of(names: Sequence[str] | None, extractor: Any, source: Source) -> list[str]:
    """The metrics asked for, or those that suit the data; raises ConfigError where one needs what there is not."""
    chosen = list(names or (DEFAULT_METRICS if extractor else PIXEL_METRICS))
    for name in chosen:
        if extractor is None and name not in metrics.protocol.ON_PIXELS:
            raise ConfigError(f"--metrics {name}: needs a feature network; set --evaluation.extractor")
        if source.held_out is None and name in UNSEEN:
            raise ConfigError(
                f"--metrics {name}: needs held-out images, which the generator has not seen; {source.name}/{source.split} leaves none"
            )
    return chosen


def measure_part(
    shown: Part, beside: Part | None, reference: Part, *, names: Sequence[str], extractor: Any, weights: Any, ema: bool, **options: Any
) -> list[dict[str, Any]]:
    """Records of fakes against a reference, each with the same figure of reals: those `beside` them, if there are any."""
    folder = cache_folder()

    def rows(part: Part, ema: bool | None) -> list[metrics.Measurement]:
        of_class = {} if shown.labels is None else {"fake_labels": part.labels, "real_labels": reference.labels}
        return metrics.measure(
            part.images,
            reference.images,
            extractor,
            metrics=names,
            weights=weights,
            reference=reference.name,
            ema=ema,
            cache=None if folder is None else folder / "statistics",
            **of_class,
            **options,
        )

    whose = ""
    try:
        of_fake = rows(shown, ema)
        whose = "of the real images beside the samples: "
        of_real = {} if beside is None else {row.metric: row.value for row in rows(beside, None)}
    except ValueError as error:
        raise ConfigError(f"--metrics {' '.join(names)}: {whose}{error}") from error
    return [row._asdict() | {"real": of_real.get(row.metric)} for row in of_fake]


# Of which figure less is better, of which more: for the best checkpoint.
BETTER: dict[str, Literal["min", "max"]] = {
    "auto": "min",
    **dict.fromkeys((*DISTANCE_NAMES.values(), "frechet_distance", "kernel_distance", "intra_class_frechet_distance"), "min"),
    **dict.fromkeys(("sliced_wasserstein", "spectrum_distance", "ms_ssim", "reverse_kl", "memorized_share"), "min"),
    **dict.fromkeys(("inception_score", "precision", "recall", "density", "coverage", "vendi_score"), "max"),
    **dict.fromkeys(("classification_accuracy_score", "modes", "high_quality"), "max"),
    **dict.fromkeys(("classes_covered", "rarest_class_share", "confident_share"), "max"),
}


def best_mode(metric: str) -> Literal["min", "max"]:
    """Whether less or more of a metric is better; ConfigError where there is no such metric."""
    if metric not in BETTER:
        raise ConfigError(f"--evaluation.best {metric}: must be one of {', '.join(BETTER)}")
    return BETTER[metric]


def metric_values(records: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Metric -> value; a Fréchet distance also under its plain name, whatever features it was taken in; under `auto` what decides."""
    values = {record["metric"]: record["value"] for record in records}
    distances = [values[name] for name in DISTANCE_NAMES.values() if name in values]
    values |= {"frechet_distance": distances[0]} if distances else {}
    deciding = [values[name] for name in ("frechet_distance", "reverse_kl", "sliced_wasserstein") if name in values]
    return values | ({"auto": deciding[0]} if deciding else {})


def count_modes(samples: np.ndarray, source: Source, weights: Any) -> dict[str, tuple[float, dict[str, Any]]]:
    """What can be counted where the modes are known: name -> (value, details); nothing where they are not.

    Points: the modes of the mixture. Stacked digits: the 1,000 modes that the digit classifier sees. Digits: the classes it sees, the
    rarest one's share, and how sure it is.
    """
    if source.centers is not None and source.std is not None:
        found = metrics.mode_coverage(samples, source.centers, source.std)
        of = {"of": len(source.centers), "within": "3 standard deviations"}
        return {"modes": (float(found.modes), of), "high_quality": (found.high_quality, {}), "reverse_kl": (found.reverse_kl, {})}
    if source.name == "stacked_mnist":
        found = metrics.stacked_digit_coverage(samples)
        return {"modes": (float(found.modes), {"of": 1000}), "reverse_kl": (found.reverse_kl, {})}
    if source.num_classes != 10 or extractor_is_not_digits(source):
        return {}
    probabilities = metrics.feature_extractor("digit_classifier", weights).extract(samples).probabilities
    counts = np.bincount(probabilities.argmax(axis=1), minlength=10)
    shares = counts / counts.sum()
    return {
        "classes_covered": (float((counts > 0).sum()), {"of": 10}),
        "rarest_class_share": (float(shares.min()), {"shares": [round(float(share), 4) for share in shares]}),
        "confident_share": (float((probabilities.max(axis=1) > 0.9).mean()), {"threshold": 0.9}),
    }


def extractor_is_not_digits(source: Source) -> bool:
    """Whether the shipped digit classifier has nothing to say about the images."""
    return source.name not in ("mnist5k", "mnist") or source.shape not in DIGIT_SHAPES


def mode_records(fake: np.ndarray, source: Source, config: Config, seed: int, ema: bool) -> list[dict[str, Any]]:
    """Records of `count_modes`, each beside the same count of equally many reals."""
    shown = source.held_out or source
    order = np.random.default_rng(0).permutation(len(shown))[: len(fake)]
    weights = config.evaluation.weights if config.evaluation.extractor == "digit_classifier" else None
    of_fake = count_modes(fake, source, weights)
    of_real = count_modes(np.asarray(shown.images[order]), source, weights) if of_fake else {}
    return [
        {
            "metric": name,
            "value": value,
            "real": of_real[name][0],
            "extractor": "none" if source.centers is not None else "digit_classifier",
            "samples": len(fake),
            "reference": f"{shown.name}/{shown.split}",
            "reference_samples": len(order),
            "resize": "none",
            "seed": seed,
            "ema": ema,
            "details": details,
        }
        for name, (value, details) in of_fake.items()
    ]


def evaluate_run(
    directory: Path,
    config: Config,
    built: BuiltGAN,
    source: Source,
    params: Players,
    opt_state: Any,
    *,
    console: Console,
    **options: Any,
) -> list[dict[str, Any]]:
    """Evaluates, writes `metrics.json` into the run's directory, and prints a table."""
    count = options.get("samples") or config.evaluation.samples
    held = 0 if source.held_out is None else min(count, len(source.held_out))
    total = 2 * min(count, held or count) + 2 * min(len(source), REFERENCE_LIMIT)
    with Progress(*Progress.get_default_columns(), console=console, transient=True) as bar:
        task, before = bar.add_task("measuring", total=total), 0

        def progress(done: int) -> None:
            nonlocal before
            bar.advance(task, done - before if done > before else done)
            before = done

        records = evaluate(config, built, source, params, opt_state, progress=progress, **options)
    run_directory.write_json(directory / "metrics.json", records)
    console.print(table(records))
    return records


def table(records: Sequence[dict[str, Any]]) -> Table:
    """The numbers, each beside the same figure for real held-out images."""
    shown = Table(title="How good")
    for name, side in (("metric", "left"), ("samples", "right"), ("real held-out", "right"), ("count", "right"), ("features", "left")):
        shown.add_column(name, justify=side)  # type: ignore[arg-type]
    for record in records:
        real = "" if record["real"] is None else f"{record['real']:.4g}"
        shown.add_row(record["metric"], f"{record['value']:.4g}", real, str(record["samples"]), record["extractor"])
    return shown
