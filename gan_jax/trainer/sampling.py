"""Samples of a loaded run: independent samples, samples by seed, interpolations, walks, and pairs of image translation."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import latents as latent_space
from gan_jax._internal.keys import named_key
from gan_jax.data.folder import read_images
from gan_jax.data.images import to_channels
from gan_jax.gan.make import build_gan, sampling_params
from gan_jax.models import MODELS
from gan_jax.models.folding import fold_batch_norm
from gan_jax.trainer import directions, image_grid
from gan_jax.trainer.build.model_options import model_options
from gan_jax.trainer.build.precision import gan_in_precision, networks_in_precision
from gan_jax.trainer.config import ConfigError
from gan_jax.trainer.contexts import as_image, context_shape, cycle_of, normalized, read_examples
from gan_jax.trainer.loaded_run import LoadedRun
from gan_jax.trainer.sample_images import SAMPLE_BATCH, sample_images
from gan_jax.typing import Players

Precision = Literal["float32", "tf32", "bfloat16"]


class Samples(NamedTuple):
    """Samples and how to lay them out.

    Attributes:
        images: uint8 [count, height, width, channels], or float [count, dim] for points.
        labels: int32 [count], or None if the model is not conditional.
        columns: Number of columns of a grid. None if the images have no order.
    """

    images: np.ndarray
    labels: np.ndarray | None = None
    columns: int | None = None


class Translations(NamedTuple):
    """Translations of the images of files.

    Attributes:
        images: uint8 [count, height, width, channels].
        inputs: The images of which these are translations, the same shape.
        names: Names of the files of the inputs, without their endings.
    """

    images: np.ndarray
    inputs: np.ndarray
    names: tuple[str, ...]
    labels: None = None
    columns: None = None

    def beside_inputs(self) -> np.ndarray:
        """The images, each to the right of its input."""
        return np.concatenate([self.inputs, self.images], axis=2)


class Weights(NamedTuple):
    """How to sample.

    Attributes:
        ema: Whether to sample with the moving average of the parameters.
        truncation: See `GAN.sample`. None: no truncation.
    """

    ema: bool = True
    truncation: float | None = None


def folded(run: LoadedRun, *, ema: bool = True, precision: Precision | None = None) -> LoadedRun:
    """The run for sampling only, with the generator's batch norm folded into its layers.

    Args:
        run: The run. One with networks of the caller's own is returned unchanged.
        ema: Whether to sample with the moving average of the parameters. The result has no other parameters of G.
        precision: Precision of the generator. By default that of the run.

    Raises:
        ConfigError: A precision is given, but the networks are the caller's own or have no such precision.
    """
    built, spec, config = run.built, run.built.spec, dataclasses.replace(run.config, precision=precision or run.config.precision)
    if built.own.networks is not None:
        if precision:
            raise ConfigError(f"--precision {precision}: the networks of the run were given to train; build them with that dtype")
        return run
    module = MODELS[config.model.name](**model_options(config, run.source.shape, spec.num_classes)).generator
    weights = sampling_params(run.params, run.opt_state) if ema else run.params.generator
    effective, _ = spec.effective_params("generator", weights, run.opt_state)
    shape = context_shape(built)
    network, params, state = fold_batch_norm(
        module,
        effective,
        run.opt_state.networks.generator,
        jax.ShapeDtypeStruct((1, spec.latent_dim), jnp.float32),
        jax.ShapeDtypeStruct((1,), jnp.int32) if spec.num_classes else None,
        None if shape is None else jax.ShapeDtypeStruct((1, *shape), jnp.float32),
    )
    network = networks_in_precision(Players(network, spec.discriminator), config.precision).generator
    spec = dataclasses.replace(spec, generator=network, transforms=spec.transforms._replace(generator=()))
    # Without an optimiser there is no moving average either, so the folded parameters are used for both.
    opt_state = run.opt_state._replace(
        optimizer=(),
        networks=run.opt_state.networks._replace(generator=state),
        transforms=run.opt_state.transforms._replace(generator=()),
    )
    gan = built.gan._replace(sample=gan_in_precision(build_gan(spec, built.rule), config.precision).sample)
    built = built._replace(spec=spec, gan=gan)
    return run._replace(built=built, params=run.params._replace(generator=params), opt_state=opt_state)


def independent_samples(run: LoadedRun, count: int, *, seed: int, weights: Weights, label: int | None = None) -> Samples:
    """Independent samples. A conditional model has one column for each class, unless the class is given."""
    classes = run.built.spec.num_classes
    images, labels = sample_images(
        run.built,
        run.params,
        run.opt_state,
        count,
        seed=seed,
        source=run.source.held_out or run.source,
        ema=weights.ema,
        truncation=weights.truncation,
        labels=None if label is None else np.full(count, label),
    )
    return Samples(images, labels, classes if classes and label is None and count >= classes else None)


def samples_of_seeds(run: LoadedRun, seeds: Sequence[int], *, weights: Weights, label: int | None = None) -> Samples:
    """One sample for each seed. A seed gives the same image whatever the other seeds are, that of `Generator.sample(key(seed), 1)`.

    A conditional model draws its class from the seed, unless the class is given.
    """
    spec, gan = run.built.spec, run.built.gan

    @jax.jit
    def sample(params: Any, opt_state: Any, seeds: Any) -> tuple[Any, Any]:
        def one(seed: Any) -> tuple[Any, Any]:
            key, labels = jax.random.key(seed), None
            if spec.num_classes:
                labels = jax.random.randint(named_key(key, "labels"), (1,), 0, spec.num_classes)
                labels = labels if label is None else jnp.full_like(labels, label)
            image = gan.sample(params, opt_state, key, 1, labels, ema=weights.ema, truncation=weights.truncation)[0]
            return image, None if labels is None else labels[0]

        return jax.lax.map(one, seeds)

    images, labels = sample(run.params, run.opt_state, jnp.asarray(seeds, jnp.int32))
    return Samples(_as_saved(images), None if labels is None else np.asarray(labels))


def anchors(run: LoadedRun, count: int, *, seed: int, seeds: Sequence[int] = (), weights: Weights) -> jax.Array:
    """The latents that a path goes through, float [count, latent_dim].

    Args:
        run: The run.
        count: Number of latents.
        seed: Random seed, without `seeds`.
        seeds: Seeds of the latents, one for each. These are the latents of `samples_of_seeds`.
        weights: Its truncation is that of the latents, unless the model has styles.
    """
    spec = run.built.spec

    def draw(key: Any, count: int) -> Any:
        shape = (count, spec.latent_dim)
        if weights.truncation is None or spec.generator.mapping is not None:
            return spec.sample_latents(key, shape)
        return latent_space.truncated_normal(key, shape, threshold=weights.truncation)

    if not seeds:
        return draw(jax.random.key(seed), count)
    return jnp.concatenate([draw(named_key(jax.random.key(seed), "latents"), 1) for seed in seeds])


def diagram(run: LoadedRun, kind: Literal["j", "mine"], points: jax.Array, *, weights: Weights, label: int | None = None) -> Samples:
    """White's J-diagram of 3 latents, or his MINE grid of 9 latents."""
    if kind == "j":
        grid = latent_space.j_diagram(*points, rows=8, columns=8)
    else:
        grid = latent_space.mine_grid(points.reshape(3, 3, -1), spacing=3)
    return grid_samples(run, grid, weights=weights, label=label)


def interpolations(run: LoadedRun, points: jax.Array, *, steps: int, weights: Weights, label: int | None = None) -> Samples:
    """Rows of great-circle interpolations, each from one latent to the next: the first to the second, the third to the fourth."""
    return grid_samples(run, latent_space.great_circle_strip(points[::2], points[1::2], steps=steps), weights=weights, label=label)


def along_direction(
    run: LoadedRun,
    direction: np.ndarray,
    count: int,
    *,
    steps: int,
    seed: int,
    seeds: Sequence[int] = (),
    weights: Weights,
    label: int | None = None,
) -> Samples:
    """Rows of samples along a direction (SeFa), each around one latent.

    Args:
        run: The run.
        direction: float [dim], see `gan_jax.trainer.directions.direction_of`. It comes from the run before `folded`.
        count: Number of rows.
        steps: Number of steps from -3 to 3.
        seed: Random seed of the latents, without `seeds`.
        seeds: Seeds of the latents, one for each row.
        weights: How to sample.
        label: Class of a conditional model. By default class 0.
    """
    latents = anchors(run, count, seed=seed, seeds=seeds, weights=weights)
    labels = jnp.full(count, label or 0, jnp.int32) if run.built.spec.num_classes else None
    grid = directions.along_direction(run, latents, direction, steps=steps, labels=labels, ema=weights.ema)
    return grid_samples(run, grid, weights=weights, label=label)


def walk(run: LoadedRun, points: jax.Array, *, walks: int, steps: int, closed: bool, weights: Weights, label: int | None = None) -> Samples:
    """The frames of walks through latents.

    Args:
        run: The run.
        points: float [walks * points of a walk, latent_dim].
        walks: Number of walks, which are shown side by side.
        steps: Number of frames from one point to the next.
        closed: Whether a walk returns to its first point.
        weights: How to sample.
        label: Class of a conditional model. By default class 0.

    Returns:
        The frames: images if there is one walk, and grids of images if there are several.
    """
    chains = points.reshape(walks, -1, points.shape[-1])
    path = jnp.stack([latent_space.great_circle_walk(chain, steps=steps, closed=closed) for chain in chains], axis=1)
    images, labels, _ = grid_samples(run, path, weights=weights, label=label)
    if walks > 1:
        images = np.stack([image_grid.image_grid(frame) for frame in images.reshape(len(path), walks, *images.shape[1:])])
    return Samples(images, None if labels is None else labels[: len(images)])


def grid_samples(run: LoadedRun, grid: jax.Array, *, weights: Weights, label: int | None = None) -> Samples:
    """The images of a grid of latents, float [rows, columns, latent_dim], or of styles, float [rows, columns, layers, dim], row by row.

    A conditional model has class 0 by default.

    All images have the same noise if the model uses noise, so that only the latents change from one to the next.
    """
    spec, flat = run.built.spec, grid.reshape(-1, *grid.shape[2:])
    size = min(SAMPLE_BATCH, len(flat))
    labels = np.full(len(flat), label or 0, np.int32) if spec.num_classes else None

    @jax.jit
    def sample(params: Any, opt_state: Any, latents: Any) -> Any:
        chosen = None if labels is None else jnp.full(1, label or 0)

        def one(latent: Any) -> Any:
            options = {"ema": weights.ema, "truncation": weights.truncation}
            return run.built.gan.sample(params, opt_state, jax.random.key(0), 1, chosen, latents=latent[None], **options)[0]

        return jax.vmap(one)(latents)

    # The last batch is filled up, so that one program serves all.
    padded = jnp.concatenate([flat, jnp.repeat(flat[-1:], -len(flat) % size, axis=0)])
    batches = [np.asarray(sample(run.params, run.opt_state, batch)) for batch in padded.reshape(-1, size, *flat.shape[1:])]
    return Samples(_as_saved(np.concatenate(batches)[: len(flat)]), labels, grid.shape[1])


def translation_pairs(run: LoadedRun, count: int, *, seed: int, weights: Weights) -> Samples:
    """Three rows for an image-to-image model: its inputs, its outputs and the targets, all at the size of the targets.

    A model of two domains has six rows: images of A, their translations and these translated back, and the same of B.
    """
    source, spec = run.source.held_out or run.source, run.built.spec
    count, rng = min(count, len(source)), jax.random.key(seed)
    real, given = read_examples(source, range(count))
    if spec.two_domains:
        rows = cycle_of(run.built, weights.ema)(run.params, run.opt_state, given, real)
        return Samples(image_grid.to_uint8(np.concatenate(rows)), None, count)

    @jax.jit
    def outputs(params: Any, opt_state: Any, rng: Any, real: Any, given: Any) -> tuple[Any, Any]:
        context = spec.context(jax.random.fold_in(rng, 1), real, given)
        return context, run.built.gan.sample(params, opt_state, rng, count, None, context, ema=weights.ema, truncation=weights.truncation)

    context, generated = outputs(run.params, run.opt_state, rng, real, given)
    inputs = np.broadcast_to(as_image(np.asarray(context), real.shape), real.shape)
    rows = (inputs, np.asarray(generated), real)
    return Samples(image_grid.to_uint8(np.concatenate(rows)), None, count)


def translated_files(run: LoadedRun, path: Path, *, count: int | None, seed: int, weights: Weights) -> Translations:
    """The translations of the images of a folder or zip archive, for a generator that is conditioned on images. The run needs no images.

    Args:
        run: The run.
        path: The folder or archive. Folders below it are read, too.
        count: Translate the first `count` images in the order of their names. None: all of them.
        seed: Random seed of what the generator draws.
        weights: How to sample.

    Raises:
        DataError: There are no images, or one cannot be read.
    """
    shape = context_shape(run.built)
    assert shape is not None
    names, inputs = read_images(path, shape, resize=run.config.data.resize, most=count)
    size = min(SAMPLE_BATCH, len(inputs))

    @jax.jit
    def translate(params: Any, opt_state: Any, rng: Any, context: Any) -> Any:
        return run.built.gan.sample(params, opt_state, rng, size, None, context, ema=weights.ema, truncation=weights.truncation)

    # The last batch is filled up, so that one program serves all.
    padded = np.concatenate([inputs, np.repeat(inputs[-1:], -len(inputs) % size, axis=0)])
    outputs = []
    for number, batch in enumerate(padded.reshape(-1, size, *shape)):
        outputs.append(
            np.asarray(translate(run.params, run.opt_state, jax.random.fold_in(jax.random.key(seed), number), normalized(batch)))
        )
    made = _as_saved(np.concatenate(outputs)[: len(inputs)])
    shown = np.broadcast_to(inputs, made.shape) if inputs.shape[-1] in (1, made.shape[-1]) else to_channels(inputs, made.shape[-1])
    return Translations(made, shown, names)


def _as_saved(samples: Any) -> np.ndarray:
    samples = np.asarray(samples)
    return image_grid.to_uint8(samples) if samples.ndim == 4 else samples
