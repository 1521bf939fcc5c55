"""The games that tricks are added to, how they are played from several seeds, and what is measured of them."""

import dataclasses
import hashlib
import json
import math
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
# What decides between better and worse, and whether more is better.
OUTCOME = {"mixture": ("recovered", True), "images": ("classifier_fd", False)}
FAILED_SHARE = 0.5  # of the modes or classes, below which a run counts as failed
SEEN_SHARE = 0.01  # of the samples, from which on a class counts as seen


def group_of(data: str) -> str:
    """ "mixture" or "images"."""
    return next(group for group, sources in GROUPS.items() if data in sources)


def baseline(data: str) -> Config:
    """The game without any trick."""
    if group_of(data) == "images":
        return IMAGES
    return dataclasses.replace(MIXTURE, data=DataConfig(source=data))


def changed(base: Config, changes: Changes) -> Config:
    """The baseline with some fields changed, checked."""
    return check(mixtures.replaced(base, changes))


def digest(base: Config) -> str:
    """A short name of a baseline: rows that were measured with another one are left alone."""
    different = mixtures.changes(base, Config())
    return hashlib.sha256(json.dumps(different, sort_keys=True, default=str).encode()).hexdigest()[:8]


def recovered(row: dict[str, Any]) -> float:
    """The share of a mixture that samples make again: their share of high quality times the share of the modes in effect.

    high quality * exp(H) / modes, H the entropy of the modes of the samples of high quality: exp(H) equally full modes would have it.
    1 for perfect samples (real points: 0.993 on the ring, 0.990 on the grid), 1 / modes for those of one mode, 0 where there are none of
    high quality.
    """
    divergence = row["reverse_kl_good"]
    return 0.0 if divergence is None else row["high_quality"] * math.exp(-divergence)


def play_points(config: Config, seeds: Sequence[int], *, devices: int = 1) -> Iterator[dict[str, Any]]:
    """Plays a configuration on a mixture, all seeds together: one row for each."""
    from gan_jax.trainer.build.data import load_data

    modes = len(load_data(config).centers)
    devices = devices if len(seeds) % devices == 0 else 1
    for row in mixtures.play_seeds(config, seeds, samples=SAMPLES["mixture"], devices=devices):
        row.pop("milliseconds")
        yield row | {"recovered": round(recovered(row), 5), "failed": row["reverse_kl"] is None or row["modes"] < FAILED_SHARE * modes}


@cache
def load_images() -> Any:
    """The embedded digits, as every game on images sees them."""
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
    """Distance to the training images in the classifier's features, and the classes that it sees.

    Args:
        images: uint8 [count, 32, 32, 1].
        finite: whether the images were finite numbers before they became bytes.
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


class ImageGame(NamedTuple):
    """A game on images, ready to be played.

    Attributes:
        init: rng -> (params, opt_state).
        program: (params, opt_state, chunk of a feed, rng) -> (params, opt_state, metrics); some steps in one.
        draw: (params, opt_state, rng) -> samples.
        feed: seed -> the images in that seed's order.
    """

    init: Callable[..., Any]
    program: Callable[..., Any]
    draw: Callable[..., Any]
    feed: Callable[[int], Any]


def image_game(config: Config) -> ImageGame:
    """Builds a game on the embedded digits; its program makes `config.scan_steps` steps."""
    import jax
    import jax.numpy as jnp

    from gan_jax.data import Feed
    from gan_jax.trainer.build.gan import build
    from gan_jax.trainer.loop import chunk_step
    from gan_jax.trainer.setup import RUN_ONCE

    source = load_images()
    built = build(config, source.shape, source.num_classes)
    labels = jnp.arange(SAMPLES["images"]) % built.spec.num_classes if built.spec.num_classes else None

    def feed(seed: int) -> Feed:
        return Feed(source, batch_size=config.batch_size * built.rule.batches_per_step, seed=seed)

    return ImageGame(
        init=jax.jit(built.gan.init, compiler_options=RUN_ONCE),
        program=jax.jit(chunk_step(built, config.scan_steps, feed(0).gather), donate_argnums=(0, 1)),
        draw=jax.jit(partial(built.gan.sample, count=SAMPLES["images"], labels=labels)),
        feed=feed,
    )


def play_images(config: Config, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Plays a configuration on images, one seed after the other with the same program: one row for each, as it is finished."""
    import jax
    import numpy as np

    from gan_jax.trainer import image_grid

    spec = image_game(config)
    for seed in seeds:
        start, rng = time.perf_counter(), jax.random.key(seed)
        params, opt_state = spec.init(jax.random.fold_in(rng, 0))
        with spec.feed(seed) as feed:
            for step in range(0, config.steps, config.scan_steps):
                chunk = feed.chunk(step, config.scan_steps)
                params, opt_state, _ = spec.program(params, opt_state, chunk, jax.random.fold_in(rng, 1))
        samples = np.asarray(spec.draw(params, opt_state, jax.random.fold_in(rng, 2)))
        row = measure_images(image_grid.to_uint8(samples), finite=bool(np.isfinite(samples).all()))
        yield {"seed": seed} | row | {"seconds": round(time.perf_counter() - start, 2)}


def play(config: Config, seeds: Sequence[int], *, devices: int = 1) -> Iterator[dict[str, Any]]:
    """Plays a configuration from several seeds; the rows say what came of each. Only the runs of a mixture are shared by devices."""
    return play_points(config, seeds, devices=devices) if group_of(config.data.source) == "mixture" else play_images(config, seeds)


@cache
def real_row(data: str) -> dict[str, Any]:
    """What the same measurement says of real examples, as many as of fakes: held-out images, or fresh points."""
    import numpy as np

    from gan_jax.trainer.build.data import load_data

    count = SAMPLES[group_of(data)]
    if group_of(data) == "images":
        source = load_images()
        order = np.random.default_rng(0).permutation(len(source.held_out))[:count]
        return measure_images(np.asarray(source.held_out.images[order]))
    source = load_data(baseline(data))
    row = mixtures.measure(np.asarray(source.images[:count]), source)
    return row | {"recovered": round(recovered(row), 5), "failed": False}
