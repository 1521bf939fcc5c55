"""Pictures of what a generator learned, for the report: one function a picture, one table; drawn when a run ends, or later.

What they show is decided by the state of the game and the seed alone: drawn again, they are the same files.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import metrics
from gan_jax.data import Source
from gan_jax.gan.make import sampling_params
from gan_jax.latents import great_circle_strip
from gan_jax.models import MODELS
from gan_jax.trainer import image_grid, run_directory
from gan_jax.trainer.build.gan import model_options
from gan_jax.trainer.evaluate import extractor_of, needs_context
from gan_jax.trainer.restore import LoadedRun

ROWS, COLUMNS = 8, 8  # of interpolations; every picture's samples come from one program of ROWS * COLUMNS latents
NEIGHBOURS = 5
SEARCHED, SEARCHED_ON_DISK = 10_000, 2_000  # training images; those on the disk are read one by one
THUMBNAIL = 32  # pixels; larger images are compared at this size
ATTENDING = 6  # samples
# Where the pixels that attend are, as shares of height and width.
QUERIES = {"centre": (0.5, 0.5), "upper left": (0.3, 0.3), "upper right": (0.3, 0.7), "lower middle": (0.75, 0.5)}
STREAM = 4  # of the run's key; the loop takes 0 to 3


class Picture(NamedTuple):
    """A picture for the report.

    Attributes:
        image: uint8 [height, width, 1 or 3].
        caption: what a reader sees under it.
        alt: what is read aloud instead of it.
    """

    image: np.ndarray
    caption: str
    alt: str


class SampleRenderer:
    """A run's generator as the pictures use it: fixed latents, labels and contexts, and one compiled program.

    Args:
        run: whose state is drawn from.

    Attributes:
        run: as given.
        labels: int32 [ROWS * COLUMNS], one class a row, or None.
        real: float [ROWS * COLUMNS, ...] in [-1, 1], one image a row, where the generator is conditioned on images; otherwise None.
        context: what is made of them.
    """

    def __init__(self, run: LoadedRun):
        self.run = run
        spec = run.built.spec
        self.rng = jax.random.fold_in(jax.random.key(run.config.seed), STREAM)
        self.labels = jnp.repeat(jnp.arange(ROWS) % spec.num_classes, COLUMNS) if spec.num_classes else None
        self.real = self.context = None
        if needs_context(run.built):
            shown = run.source.held_out or run.source
            chosen = np.random.default_rng(0).permutation(len(shown))[np.arange(ROWS) % len(shown)]
            rows = np.stack([shown.images[int(index)] for index in chosen])
            self.real = jnp.repeat(jnp.asarray(rows, jnp.float32) / 127.5 - 1.0, COLUMNS, axis=0)
            of_rows = spec.context(jax.random.fold_in(self.rng, 1), self.real[::COLUMNS])
            self.context = jnp.repeat(of_rows, COLUMNS, axis=0)
        self._program = jax.jit(self._draw)

    def _draw(self, params: Any, opt_state: Any, latents: Any, labels: Any, context: Any) -> Any:
        return self.run.built.gan.sample(params, opt_state, self.rng, len(latents), labels, context, latents=latents)

    def latents(self, count: int, stream: int) -> Any:
        """Latents of the game, float [count, dim]."""
        spec = self.run.built.spec
        return spec.sample_latents(jax.random.fold_in(self.rng, stream), (count, spec.latent_dim))

    def draw(self, latents: Any) -> np.ndarray | None:
        """The samples of ROWS * COLUMNS latents, float in [-1, 1]; None where one of them is not finite."""
        samples = np.asarray(self._program(self.run.params, self.run.opt_state, latents, self.labels, self.context))
        return samples if np.isfinite(samples).all() else None


def interpolations(drawing: SampleRenderer) -> Picture | None:
    """Great circles between latents, one a row; the class and the context of a row stay. None where no latents matter."""
    spec = drawing.run.built.spec
    if spec.latent_dim < 2:
        return None
    ends = drawing.latents(2 * ROWS, 2)
    latents = great_circle_strip(ends[:ROWS], ends[ROWS:], steps=COLUMNS).reshape(ROWS * COLUMNS, -1)
    samples = drawing.draw(latents)
    if samples is None:
        return None
    if drawing.context is not None and np.array_equal(samples, drawing.draw(latents[::-1])):
        return None  # a generator that looks at its context alone
    kept = (["class"] if spec.num_classes else []) + (["input"] if drawing.context is not None else [])
    fixed = f" The {' and the '.join(kept)} of a row {'stay' if len(kept) > 1 else 'stays'} the same." if kept else ""
    caption = (
        f"Interpolations: each row follows a great circle from one latent (left) to another (right).{fixed} "
        "Images that change smoothly and stay plausible speak for a generator that learned more than a list."
    )
    alt = f"{ROWS} rows of {COLUMNS} generated images, each row an interpolation between two latents"
    return Picture(image_grid.image_grid(samples, ROWS, COLUMNS), caption, alt)


def nearest_neighbours(drawing: SampleRenderer) -> Picture | None:
    """The samples that come closest to training images, beside these."""
    run = drawing.run
    samples = drawing.draw(drawing.latents(ROWS * COLUMNS, 3))
    if samples is None:
        return None
    # Of a row with one input there is one sample to show.
    samples = image_grid.to_uint8(samples if drawing.context is None else samples[::COLUMNS])
    features, name = comparison(run)
    indices = searched(run.source)
    known = np.concatenate([features(run.source.images[part]) for part in np.array_split(indices, -(-len(indices) // 256))])
    count = min(NEIGHBOURS, len(known))
    found = metrics.nearest_neighbors(features(samples), known, k=count)
    order = np.argsort(found.distances[:, 0], kind="stable")[:ROWS]
    near = np.stack([run.source.images[int(index)] for index in indices[found.indices[order]].reshape(-1)])
    left = image_grid.image_grid(samples[order], ROWS, 1)
    right = image_grid.image_grid(near, ROWS, count)
    gap = np.full((len(left), 6, left.shape[2]), 128, np.uint8)
    usual = usual_distance(known)
    share = f"{found.distances[order[0], 0] / usual:.2f}" if usual else ""
    scale = f" The first one's distance is {share} of what is usual between a training image and the nearest other one." if usual else ""
    caption = (
        f"Nearest neighbours: left of the bar the {len(order)} of {len(samples)} samples that come closest to a training image, "
        f"the closest first; right of it the {count} nearest of {len(known):,} training images, by distance in {name}.{scale} "
        "A sample that repeats its neighbour is a copy."
    )
    alt = f"{len(order)} generated images, each followed by the {count} training images nearest to it"
    return Picture(np.concatenate([left, gap, right], axis=1), caption, alt)


def attention(drawing: SampleRenderer) -> Picture | None:
    """Where pixels of samples look, for generators with self-attention; None for others."""
    maps, gammas, samples = attention_maps(drawing, drawing.latents(ATTENDING, 3))
    if not maps or not np.isfinite(samples).all():
        return None
    layer = max(maps, key=lambda name: maps[name].shape[1])
    grids = [image_grid.image_grid(_rgb(samples), len(samples), 1)]
    for row, column in QUERIES.values():
        grids.append(image_grid.image_grid(_attended(samples, maps[layer], row, column), len(samples), 1))
    weight = f" Its weight gamma is {gammas[layer]:.3g}; at 0 it changes nothing." if layer in gammas else ""
    side = maps[layer].shape[1]
    caption = (
        f"Attention of the generator's layer {layer}, at {side} x {side}: a sample, then what the pixel with the cross takes from where, "
        f"the brighter the more; crosses from left to right: {', '.join(QUERIES)}.{weight}"
    )
    alt = f"{len(samples)} generated images, each followed by {len(QUERIES)} maps of the attention of one of its pixels"
    return Picture(np.concatenate(grids, axis=1), caption, alt)


def translations(drawing: SampleRenderer) -> Picture | None:
    """Input, output and target of a generator that is conditioned on images; None for others."""
    if drawing.context is None or drawing.real is None:
        return None
    run, spec = drawing.run, drawing.run.built.spec
    real, context = drawing.real[::COLUMNS], drawing.context[::COLUMNS]
    labels = None if drawing.labels is None else drawing.labels[::COLUMNS]

    @jax.jit
    def apply(params: Any, opt_state: Any, latents: Any) -> Any:
        effective, _ = spec.effective_params("generator", sampling_params(params, opt_state), opt_state)
        state = opt_state.networks.generator
        return spec.generator.apply(effective, state, latents, labels, context, rng=jax.random.fold_in(drawing.rng, 5), train=False)[0]

    output = apply(run.params, run.opt_state, drawing.latents(ROWS, 4))
    rebuilt = output.extras.get("reconstruction")
    made = np.asarray(output.images if rebuilt is None else rebuilt)
    if not np.isfinite(made).all():
        return None
    rows = [made, np.asarray(real)] if rebuilt is not None else [as_image(np.asarray(context), made.shape), made, np.asarray(real)]
    names = ("reconstruction", "image") if rebuilt is not None else ("input", "output", "target")
    return Picture(
        np.concatenate([image_grid.image_grid(_rgb(row), 1, ROWS) for row in rows]),
        f"From top to bottom: {', '.join(names)}; {(run.source.held_out or run.source).split} images, each in a column of its own.",
        f"{ROWS} columns, each with {', '.join(names)} below each other",
    )


PICTURES: dict[str, Callable[[SampleRenderer], Picture | None]] = {
    "interpolations": interpolations,
    "nearest_neighbours": nearest_neighbours,
    "translations": translations,
    "attention": attention,
}


def write_pictures(directory: Path, run: LoadedRun, say: Callable[[str], Any] = print) -> list[Path]:
    """Draws the pictures of a run into `pictures/` of its directory, each with a JSON file of its caption and alternative text.

    A picture that cannot be drawn is a line, and the others are drawn; one that makes no sense any more is deleted.

    Args:
        directory: of the run.
        run: its configuration, data, game and state.
        say: takes lines for a person.

    Returns:
        The pictures written; none for points.
    """
    if not run.source.is_images:
        return []
    folder, written, drawing = directory / "pictures", [], None
    for name, draw in PICTURES.items():
        path = folder / f"{name}.png"
        try:
            drawing = drawing or SampleRenderer(run)
            picture = draw(drawing)
            if picture is None:
                path.unlink(missing_ok=True)
                path.with_suffix(".json").unlink(missing_ok=True)
                continue
            image_grid.save_png(path, picture.image, scale=2 if run.source.shape[0] <= 32 else 1)
            run_directory.write_json(path.with_suffix(".json"), {"caption": picture.caption, "alt": picture.alt})
            written.append(path)
        # Whatever goes wrong here, memory that runs out among it, a run that was trained must not be lost for a picture of it.
        except Exception as error:
            say(f"{path.name} could not be drawn ({str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__})")
    return written


def searched(source: Source) -> np.ndarray:
    """The numbers of the training images that neighbours are looked for among, ascending."""
    limit = SEARCHED if isinstance(source.images, np.ndarray) else SEARCHED_ON_DISK
    return np.sort(np.random.default_rng(0).permutation(len(source))[:limit])


def comparison(run: LoadedRun) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    """What images are compared in, uint8 [n, height, width, channels] -> float32 [n, dim], and its name.

    The features of the shipped classifier where the images are digits, otherwise pixels: the large feature networks would take
    longer than some runs.
    """
    if extractor_of(run.config, run.source) == "digit_classifier":
        return metrics.feature_extractor("digit_classifier", run.config.evaluation.weights), "the features of digit_classifier"
    side = run.source.shape[0]
    small = side > THUMBNAIL and side % THUMBNAIL == 0
    return thumbnails, f"pixels, at {THUMBNAIL} x {THUMBNAIL}" if small else "pixels"


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Images averaged down to 32 x 32, where their side is a multiple of that, as rows; float32 [n, dim]."""
    images = np.asarray(images, np.float32)
    count, height, width, channels = images.shape
    if height > THUMBNAIL and height % THUMBNAIL == 0 and width % THUMBNAIL == 0:
        rows, columns = height // THUMBNAIL, width // THUMBNAIL
        images = images.reshape(count, THUMBNAIL, rows, THUMBNAIL, columns, channels).mean(axis=(2, 4))
    return images.reshape(count, -1)


def usual_distance(features: np.ndarray) -> float:
    """Median distance of 256 of the rows to the nearest other row; 0 where there is no other."""
    if len(features) < 2:
        return 0.0
    return float(np.median(metrics.nearest_neighbors(features[:256], features, k=2).distances[:, 1]))


def attention_maps(drawing: SampleRenderer, latents: Any) -> tuple[dict[str, np.ndarray], dict[str, float], np.ndarray]:
    """What the generator's self-attention layers sow.

    Args:
        drawing: of the run.
        latents: float [count, dim].

    Returns:
        Layer -> its map, float32 [count, height, width, height/2, width/2]; layer -> its weight gamma; the samples themselves.
    """
    run, spec = drawing.run, drawing.run.built.spec
    options = model_options(run.config, spec.image_shape, spec.num_classes)
    module = MODELS[run.config.model.name](**options).generator
    extra = {"labels": drawing.labels, "context": drawing.context}
    extra = {name: value[::COLUMNS][: len(latents)] for name, value in extra.items() if value is not None}

    def apply(params: Any, opt_state: Any, latents: Any) -> Any:
        effective, _ = spec.effective_params("generator", sampling_params(params, opt_state), opt_state)
        variables = {"params": effective, **opt_state.networks.generator}
        rngs = dict(zip(("noise", "dropout"), jax.random.split(drawing.rng)))
        output, sown = module.apply(variables, latents, **extra, train=False, rngs=rngs, mutable=["intermediates"])
        flat, _ = jax.tree_util.tree_flatten_with_path(sown.get("intermediates", {}))
        maps = {_layer(path): value for path, value in flat if "attention_map" in str(path)}
        return maps, getattr(output, "images", output)

    shapes, _ = jax.eval_shape(apply, run.params, run.opt_state, latents)
    if not shapes:
        return {}, {}, np.zeros(0)
    maps, samples = jax.jit(apply)(run.params, run.opt_state, latents)
    flat, _ = jax.tree_util.tree_flatten_with_path(sampling_params(run.params, run.opt_state))
    gammas = {_layer(path): float(value) for path, value in flat if str(path[-1].key) == "gamma" and np.ndim(value) == 0}
    return {name: np.asarray(value) for name, value in maps.items()}, gammas, np.asarray(samples)


def as_image(context: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A context as pictures: without the channel that is a mask, enlarged by whole pixels to the side of images of `shape`."""
    context = context[..., : shape[3]]
    factor = max(1, shape[1] // context.shape[1])
    return context.repeat(factor, axis=1).repeat(factor, axis=2)


def _layer(path: tuple[Any, ...]) -> str:
    """Name of the layer that a leaf belongs to, e.g. "attention_16"."""
    names = [str(entry.key) for entry in path if hasattr(entry, "key")]
    return "/".join(names[:-1])


def _rgb(images: np.ndarray) -> np.ndarray:
    images = image_grid.to_uint8(images)
    return np.broadcast_to(images, (*images.shape[:3], 3)) if images.shape[-1] == 1 else images


def _attended(samples: np.ndarray, maps: np.ndarray, row: float, column: float) -> np.ndarray:
    """Dimmed samples, lit where the pixel at (row, column) looks, with a cross on that pixel; uint8 [count, height, width, 3]."""
    height, width = samples.shape[1:3]
    looked = maps[:, int(row * maps.shape[1]), int(column * maps.shape[2])]
    lit = looked / np.maximum(looked.max(axis=(1, 2), keepdims=True), 1e-12)
    rows = np.arange(height) * lit.shape[1] // height
    columns = np.arange(width) * lit.shape[2] // width
    lit = lit[:, rows][:, :, columns][..., None]
    grey = _rgb(samples).mean(axis=-1, keepdims=True)
    shown = np.rint(0.35 * grey * (1 - lit) + lit * np.array([255.0, 190.0, 40.0])).astype(np.uint8)
    top, left = int(row * height), int(column * width)
    arm = max(1, height // 16)
    cross = np.array([90, 200, 255], np.uint8)
    shown[:, top, max(left - arm, 0) : left + arm + 1] = cross
    shown[:, max(top - arm, 0) : top + arm + 1, left] = cross
    return shown
