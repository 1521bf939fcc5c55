"""The baselines of the ablations, how they train from several seeds, and the outcomes that are measured."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

from experiments.studies import mixtures
from experiments.studies.ablations.tricks import GROUPS, IMAGE_LR, POINT_LR, POINT_OPTIONS, Changes
from gan_jax.trainer.config import Config, DataConfig, ModelConfig, OptimizerConfig, check

MIXTURE = Config(
    steps=3000,
    batch_size=128,
    model=ModelConfig(name="points", latent_dim=2, options=POINT_OPTIONS),
    optimizer=OptimizerConfig(generator_lr=POINT_LR, discriminator_lr=POINT_LR, b1=0.0, schedule="cosine", ema_decay=0.0),
)
IMAGES = Config(
    steps=600,
    batch_size=64,
    scan_steps=10,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="dcgan", width=16, latent_dim=64),
    optimizer=OptimizerConfig(generator_lr=IMAGE_LR, discriminator_lr=IMAGE_LR, ema_decay=0.99),
)
SAMPLES = {"mixture": mixtures.SAMPLES, "images": 1000}
SEEDS = {"mixture": 8, "images": 3}
# The outcomes that decide the verdict, and whether more is better. Coverage (reverse KL) and quality are co-primary on mixtures: either
# alone is won by a fog or by a narrow spot.
OUTCOMES = {"mixture": (("reverse_kl", False), ("high_quality", True)), "images": (("classifier_fd", False),)}
FAILED_SHARE = 0.5  # a run with a smaller share of the modes or classes counts as failed
SEEN_SHARE = 0.01  # a class with a smaller share of the samples does not count


def group_of(data: str) -> str:
    """The group of a source: "mixture" or "images"."""
    return next(group for group, sources in GROUPS.items() if data in sources)


def baseline(data: str) -> Config:
    """The configuration without any trick."""
    if group_of(data) == "images":
        return IMAGES
    return dataclasses.replace(MIXTURE, data=DataConfig(source=data))


def changed(base: Config, changes: Changes) -> Config:
    """The baseline with some changed fields, checked."""
    return check(mixtures.replaced(base, changes))


def digest(base: Config) -> str:
    """A short hash of a baseline. Rows that were measured with another baseline are ignored."""
    different = mixtures.changes(base, Config())
    return hashlib.sha256(json.dumps(different, sort_keys=True, default=str).encode()).hexdigest()[:8]


def train_points(config: Config, seeds: Sequence[int], *, devices: int = 1) -> Iterator[dict[str, Any]]:
    """Trains a configuration on a mixture, all seeds together. Yields one row per seed."""
    from gan_jax.trainer.build.data import load_data

    modes = len(load_data(config).centers)
    devices = devices if len(seeds) % devices == 0 else 1
    for row in mixtures.train_seeds(config, seeds, samples=SAMPLES["mixture"], devices=devices):
        row.pop("milliseconds")
        yield row | {"failed": row["reverse_kl"] is None or row["modes"] < FAILED_SHARE * modes}


@cache
def load_images() -> Any:
    """The embedded digits, as every configuration on images receives them."""
    from gan_jax.trainer.build.data import load_data

    return load_data(IMAGES)


@cache
def _reference() -> tuple[Any, Any]:
    """The digit classifier, and the moments of its features of the training images."""
    import numpy as np

    from gan_jax import metrics
    from gan_jax.metrics.frechet import feature_moments

    extractor = metrics.feature_extractor("digit_classifier")
    return extractor, feature_moments(extractor(np.asarray(load_images().images[:])))


def measure_images(images: Any, *, finite: bool = True) -> dict[str, Any]:
    """Distance to the training images in the features of the digit classifier, and the classes that it recognises.

    Args:
        images: uint8 [count, 32, 32, 1].
        finite: Whether the images were finite numbers before their conversion to bytes.
    """
    import numpy as np

    from gan_jax.metrics.frechet import feature_moments, frechet_distance_from_moments

    extractor, real = _reference()
    found = extractor.extract(images)
    counts = np.bincount(found.probabilities.argmax(axis=1), minlength=10)
    classes = int((counts >= SEEN_SHARE * len(images)).sum())
    return {
        "classifier_fd": round(frechet_distance_from_moments(real, feature_moments(found.features)), 3),
        "classes": classes,
        "rarest_class": round(float(counts.min() / len(images)), 4),
        "confident": round(float((found.probabilities.max(axis=1) > 0.9).mean()), 4),
        "failed": not finite or classes < FAILED_SHARE * 10,
    }


class ImageTraining(NamedTuple):
    """The functions that train one configuration on images.

    Attributes:
        init: rng -> (params, opt_state).
        program: (params, opt_state, chunk of a feed, rng) -> (params, opt_state, metrics). It makes several steps.
        draw: (params, opt_state, rng) -> samples.
        feed: seed -> the images in the order of that seed.
    """

    init: Callable[..., Any]
    program: Callable[..., Any]
    draw: Callable[..., Any]
    feed: Callable[[int], Any]


def image_training(config: Config) -> ImageTraining:
    """Builds the training on the embedded digits. Its program makes `config.scan_steps` steps."""
    import jax
    import jax.numpy as jnp

    from gan_jax.data import Feed
    from gan_jax.trainer.build.gan import build
    from gan_jax.trainer.loop import chunk_step
    from gan_jax.trainer.resume import RUN_ONCE

    source = load_images()
    built = build(config, source.shape, source.num_classes)
    labels = jnp.arange(SAMPLES["images"]) % built.spec.num_classes if built.spec.num_classes else None

    def feed(seed: int) -> Feed:
        return Feed(source, batch_size=config.batch_size * built.rule.batches_per_step, seed=seed)

    return ImageTraining(
        init=jax.jit(built.gan.init, compiler_options=RUN_ONCE),
        program=jax.jit(chunk_step(built, config.scan_steps, feed(0).gather), donate_argnums=(0, 1)),
        draw=jax.jit(partial(built.gan.sample, count=SAMPLES["images"], labels=labels)),
        feed=feed,
    )


def train_images(config: Config, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Trains a configuration on images, one seed after the other with the same program. Yields each row as soon as it is finished."""
    import jax
    import numpy as np

    from gan_jax.trainer import image_grid

    training = image_training(config)
    for seed in seeds:
        start, rng = time.perf_counter(), jax.random.key(seed)
        params, opt_state = training.init(jax.random.fold_in(rng, 0))
        with training.feed(seed) as feed:
            for step in range(0, config.steps, config.scan_steps):
                chunk = feed.chunk(step, config.scan_steps)
                params, opt_state, _ = training.program(params, opt_state, chunk, jax.random.fold_in(rng, 1))
        samples = np.asarray(training.draw(params, opt_state, jax.random.fold_in(rng, 2)))
        row = measure_images(image_grid.to_uint8(samples), finite=bool(np.isfinite(samples).all()))
        yield {"seed": seed} | row | {"seconds": round(time.perf_counter() - start, 2)}


def train(config: Config, seeds: Sequence[int], *, devices: int = 1) -> Iterator[dict[str, Any]]:
    """Trains a configuration from several seeds. Yields one row per seed. Only the runs on a mixture are split over the devices."""
    return train_points(config, seeds, devices=devices) if group_of(config.data.source) == "mixture" else train_images(config, seeds)


@cache
def real_row(data: str) -> dict[str, Any]:
    """The same measurement of as many real examples: held-out images, or new points."""
    import numpy as np

    from gan_jax.trainer.build.data import load_data

    count = SAMPLES[group_of(data)]
    if group_of(data) == "images":
        source = load_images()
        order = np.random.default_rng(0).permutation(len(source.held_out))[:count]
        return measure_images(np.asarray(source.held_out.images[order]))
    source = load_data(baseline(data))
    return mixtures.measure(np.asarray(source.images[:count]), source) | {"failed": False}
