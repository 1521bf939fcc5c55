"""The figures of a report: what a trained generator has learned. One function a figure, and one table of them.

A figure is a function of the run's state and seed, so drawing it again gives the same file.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

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
from gan_jax.trainer.contexts import CYCLE, as_image, cycle_of
from gan_jax.trainer.directions import along_direction, run_directions
from gan_jax.trainer.explorer import write_explorer
from gan_jax.trainer.features import choose_extractor
from gan_jax.trainer.loaded_run import LoadedRun
from gan_jax.trainer.point_figures import discriminator_surface_figure
from gan_jax.trainer.sample_renderer import COLUMNS, ROWS, Figure, SampleRenderer

NEIGHBOURS = 5
SEARCHED, SEARCHED_ON_DISK = 10_000, 2_000  # Number of training images to search. Images on the disk are read one by one.
THUMBNAIL = 32  # Larger images are compared at this side, in pixels.
ATTENDING = 6  # Number of samples in the figure of attention.
# The pixels whose attention is drawn, as shares of height and width.
QUERIES = {"centre": (0.5, 0.5), "upper left": (0.3, 0.3), "upper right": (0.3, 0.7), "lower middle": (0.75, 0.5)}


def interpolations(renderer: SampleRenderer) -> Figure | None:
    """Samples along great circles between latents, one in each row with one class and one context. None if latents have no effect."""
    spec = renderer.run.built.spec
    if spec.latent_dim < 2:
        return None
    ends = renderer.latents(2 * ROWS, 2)
    latents = great_circle_strip(ends[:ROWS], ends[ROWS:], steps=COLUMNS).reshape(ROWS * COLUMNS, -1)
    samples = renderer.sample(latents)
    if samples is None:
        return None
    if renderer.context is not None and np.array_equal(samples, renderer.sample(latents[::-1])):
        return None  # The samples depend on the context alone.
    kept = (["class"] if spec.num_classes else []) + (["input"] if renderer.context is not None else [])
    fixed = f" The {' and the '.join(kept)} of a row {'stay' if len(kept) > 1 else 'stays'} the same." if kept else ""
    caption = (
        f"Interpolations: each row follows a great circle from one latent (left) to another (right).{fixed} "
        "Images that change smoothly and stay plausible suggest that the generator has not only memorised the training images."
    )
    alt = f"{ROWS} rows of {COLUMNS} generated images, each row an interpolation between two latents"
    return Figure(image_grid.image_grid(samples, ROWS, COLUMNS), caption, alt)


def nearest_neighbours(renderer: SampleRenderer) -> Figure | None:
    """The samples that are closest to training images, with these images. None if a sample is not finite."""
    run = renderer.run
    samples = renderer.sample(renderer.latents(ROWS * COLUMNS, 3))
    if samples is None:
        return None
    # All samples of a row have the same context, so one of them is enough.
    samples = image_grid.to_uint8(samples if renderer.context is None else samples[::COLUMNS])
    features, name = comparison_features(run)
    indices = searched_indices(run.source)
    known = np.concatenate([features(run.source.images[part]) for part in np.array_split(indices, -(-len(indices) // 256))])
    count = min(NEIGHBOURS, len(known))
    nearest = metrics.nearest_neighbors(features(samples), known, k=count)
    order = np.argsort(nearest.distances[:, 0], kind="stable")[:ROWS]
    near = np.stack([run.source.images[int(index)] for index in indices[nearest.indices[order]].reshape(-1)])
    left = image_grid.image_grid(samples[order], ROWS, 1)
    right = image_grid.image_grid(near, ROWS, count)
    gap = np.full((len(left), 6, left.shape[2]), 128, np.uint8)
    usual = usual_distance(known)
    ratio = f"{nearest.distances[order[0], 0] / usual:.2f}" if usual else ""
    scale = (
        f" The distance of the first sample is {ratio} times the median distance of a training image to its nearest neighbour."
        if usual
        else ""
    )
    caption = (
        f"Nearest neighbours: left of the bar are the {len(order)} of {len(samples)} samples that are closest to a training image, "
        f"the closest first. Right of it are the {count} nearest of {len(known):,} training images, by distance in {name}.{scale} "
        "A sample that equals its neighbour is a copy."
    )
    alt = f"{len(order)} generated images, each followed by the {count} training images nearest to it"
    return Figure(np.concatenate([left, gap, right], axis=1), caption, alt)


def attention(renderer: SampleRenderer) -> Figure | None:
    """The self-attention of some pixels of samples. None for a generator without self-attention, or if a sample is not finite."""
    if renderer.run.built.own.networks is not None:  # Which layers attend is known of the models of this library only.
        return None
    maps, gammas, samples = attention_maps(renderer, renderer.latents(ATTENDING, 3))
    if not maps or not np.isfinite(samples).all():
        return None
    layer = max(maps, key=lambda name: maps[name].shape[1])
    grids = [image_grid.image_grid(_rgb(samples), len(samples), 1)]
    for row, column in QUERIES.values():
        grids.append(image_grid.image_grid(_attended(samples, maps[layer], row, column), len(samples), 1))
    weight = f" Its weight gamma is {gammas[layer]:.3g}. At 0 the attention has no effect." if layer in gammas else ""
    side = maps[layer].shape[1]
    caption = (
        f"Attention of the generator's layer {layer}, at {side} x {side}: a sample, then the attention of the pixels with a cross. "
        f"Brighter places receive more attention. Crosses from left to right: {', '.join(QUERIES)}.{weight}"
    )
    alt = f"{len(samples)} generated images, each followed by {len(QUERIES)} maps of the attention of one of its pixels"
    return Figure(np.concatenate(grids, axis=1), caption, alt)


def leading_directions(renderer: SampleRenderer) -> Figure | None:
    """Samples along the leading directions of the latents (SeFa). None if the model has none, or if a sample is not finite."""
    run, spec = renderer.run, renderer.run.built.spec
    found = run_directions(run)
    if found is None or spec.latent_dim < 2:
        return None
    count = min(ROWS // 2, len(found[0]))
    # Two rows for each direction, around the same two latents with the same classes.
    labels = jnp.arange(2) % spec.num_classes if spec.num_classes else None
    latents = renderer.latents(2, 5)
    rows = [along_direction(run, latents, direction, steps=COLUMNS, labels=labels) for direction in found[0][:count]]
    rows += rows[:1] * (ROWS // 2 - count)  # The program samples ROWS rows.
    grid = jnp.concatenate(rows)
    row_labels = None if labels is None else jnp.repeat(jnp.tile(labels, ROWS // 2), COLUMNS)
    samples = renderer.sample(grid.reshape(ROWS * COLUMNS, *grid.shape[2:]), row_labels)
    if samples is None:
        return None
    values = ", ".join(f"{value:.3g}" for value in found[1][:count])
    of = "styles, truncated at 0.7" if spec.generator.mapping is not None else "latents"
    caption = (
        f"Leading directions of the {of} (SeFa), from -3 (left) to 3 (right): two rows for each of {count} directions, around the same two "
        f"samples. They are computed from the weights of the generator alone. Eigenvalues: {values}."
    )
    alt = f"{2 * count} rows of {COLUMNS} generated images, two rows along each of {count} directions of the latents"
    return Figure(image_grid.image_grid(samples[: 2 * count * COLUMNS], 2 * count, COLUMNS), caption, alt)


def translations(renderer: SampleRenderer) -> Figure | None:
    """Input, output and target of a generator that is conditioned on images. None for others, or if an output is not finite."""
    if renderer.context is None or renderer.real is None:
        return None
    run, spec = renderer.run, renderer.run.built.spec
    real, context = renderer.real[::COLUMNS], renderer.context[::COLUMNS]
    labels = None if renderer.labels is None else renderer.labels[::COLUMNS]
    split = (run.source.held_out or run.source).split
    if spec.two_domains:
        rows = [np.asarray(row) for row in cycle_of(run.built)(run.params, run.opt_state, context, real)]
        return _translated(rows, CYCLE, split) if np.isfinite(rows).all() else None

    @jax.jit
    def apply(params: Any, opt_state: Any, latents: Any) -> Any:
        effective, _ = spec.effective_params("generator", sampling_params(params, opt_state), opt_state)
        state = opt_state.networks.generator
        return spec.generator.apply(effective, state, latents, labels, context, rng=jax.random.fold_in(renderer.rng, 5), train=False)[0]

    output = apply(run.params, run.opt_state, renderer.latents(ROWS, 4))
    reconstruction = output.extras.get("reconstruction")
    images = np.asarray(output.images if reconstruction is None else reconstruction)
    if not np.isfinite(images).all():
        return None
    rows, names = [images, np.asarray(real)], ("reconstruction", "image")
    if reconstruction is None:
        rows, names = [as_image(np.asarray(context), images.shape), *rows], ("input", "output", "target")
    return _translated(rows, names, split)


def _translated(rows: Sequence[np.ndarray], names: Sequence[str], split: str) -> Figure:
    """The figure of translations: one row of images for each name."""
    return Figure(
        np.concatenate([image_grid.image_grid(_rgb(row), 1, ROWS) for row in rows]),
        f"From top to bottom: {', '.join(names)}. Each column is one image of the split {split}.",
        f"{ROWS} columns, each with {', '.join(names)} below each other",
    )


FIGURES: dict[str, Callable[[SampleRenderer], Figure | None]] = {
    "interpolations": interpolations,
    "nearest_neighbours": nearest_neighbours,
    "directions": leading_directions,
    "translations": translations,
    "attention": attention,
}


POINT_FIGURES: dict[str, Callable[[SampleRenderer], Figure | None]] = {"discriminator_surface": discriminator_surface_figure}


def write_figures(directory: Path, run: LoadedRun, print_line: Callable[[str], Any] = print) -> list[Path]:
    """Writes the figures of a run into `pictures/` of its directory, each with a JSON file of its caption and alternative text.

    For images it also writes the tiles of the latent explorer, `pictures/explorer.webp`. If a figure cannot be drawn, a line is
    printed and the others are drawn. An old figure that does not apply any more is deleted.

    Args:
        directory: Directory of the run.
        run: The run.
        print_line: Prints the errors.

    Returns:
        The image files written.
    """
    images = run.source.is_images
    rows: list[tuple[str, Callable[[Path, SampleRenderer], bool]]] = [
        (f"{name}.png", partial(_write_figure, draw)) for name, draw in (FIGURES if images else POINT_FIGURES).items()
    ]
    rows += [("explorer.webp", write_explorer)] if images else []
    written, renderer = [], None
    for name, write in rows:
        path = directory / "pictures" / name
        try:
            renderer = renderer or SampleRenderer(run)
            if write(path, renderer):
                written.append(path)
            else:
                path.unlink(missing_ok=True)
                path.with_suffix(".json").unlink(missing_ok=True)
        except Exception as error:  # A trained run must not fail because of a figure, e.g. if the memory runs out.
            message = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            print_line(f"{path.name} could not be drawn ({message})")
    return written


def _write_figure(draw: Callable[[SampleRenderer], Figure | None], path: Path, renderer: SampleRenderer) -> bool:
    """Draws and writes a figure. Returns whether it applies."""
    figure = draw(renderer)
    if figure is None:
        return False
    image_grid.save_png(path, figure.image, scale=2 if renderer.run.source.shape[0] <= 32 else 1)
    run_directory.write_json(path.with_suffix(".json"), {"caption": figure.caption, "alt": figure.alt})
    return True


def searched_indices(source: Source) -> np.ndarray:
    """The indices of the training images among which neighbours are searched, ascending."""
    limit = SEARCHED if isinstance(source.images, np.ndarray) else SEARCHED_ON_DISK
    return np.sort(np.random.default_rng(0).permutation(len(source))[:limit])


def comparison_features(run: LoadedRun) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    """The features in which neighbours are searched, and their name.

    They are those of the digit classifier for digits and otherwise pixels. The large feature networks would take longer than some runs.

    Returns:
        features: uint8 [n, height, width, channels] -> float32 [n, dim].
        name: Name for the caption.
    """
    if choose_extractor(run.config, run.source) == "digit_classifier":
        return metrics.feature_extractor("digit_classifier", run.config.evaluation.weights), "the features of digit_classifier"
    side = run.source.shape[0]
    small = side > THUMBNAIL and side % THUMBNAIL == 0
    return thumbnails, f"pixels, at {THUMBNAIL} x {THUMBNAIL}" if small else "pixels"


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Images as rows, float32 [n, dim]. Larger images are averaged down to 32 x 32 if their sides are multiples of it."""
    images = np.asarray(images, np.float32)
    count, height, width, channels = images.shape
    if height > THUMBNAIL and height % THUMBNAIL == 0 and width % THUMBNAIL == 0:
        rows, columns = height // THUMBNAIL, width // THUMBNAIL
        images = images.reshape(count, THUMBNAIL, rows, THUMBNAIL, columns, channels).mean(axis=(2, 4))
    return images.reshape(count, -1)


def usual_distance(features: np.ndarray) -> float:
    """Median distance of the first 256 rows to their nearest other row. 0 if there is only one row."""
    if len(features) < 2:
        return 0.0
    return float(np.median(metrics.nearest_neighbors(features[:256], features, k=2).distances[:, 1]))


def attention_maps(renderer: SampleRenderer, latents: Any) -> tuple[dict[str, np.ndarray], dict[str, float], np.ndarray]:
    """The attention maps of the generator's self-attention layers.

    Args:
        renderer: Has the run, and labels and contexts.
        latents: float [count, dim].

    Returns:
        maps: Layer -> its map, float32 [count, height, width, height/2, width/2].
        gammas: Layer -> its weight gamma.
        samples: The samples, float [count, height, width, channels].
    """
    run, spec = renderer.run, renderer.run.built.spec
    options = model_options(run.config, spec.sample_shape, spec.num_classes)
    module = MODELS[run.config.model.name](**options).generator
    extra = {"labels": renderer.labels, "context": renderer.context}
    extra = {name: value[::COLUMNS][: len(latents)] for name, value in extra.items() if value is not None}

    def apply(params: Any, opt_state: Any, latents: Any) -> Any:
        effective, _ = spec.effective_params("generator", sampling_params(params, opt_state), opt_state)
        variables = {"params": effective, **opt_state.networks.generator}
        rngs = dict(zip(("noise", "dropout"), jax.random.split(renderer.rng)))
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


def _layer(path: tuple[Any, ...]) -> str:
    """Name of the layer of a leaf, e.g. "attention_16"."""
    names = [str(entry.key) for entry in path if hasattr(entry, "key")]
    return "/".join(names[:-1])


def _rgb(images: np.ndarray) -> np.ndarray:
    images = image_grid.to_uint8(images)
    return np.broadcast_to(images, (*images.shape[:3], 3)) if images.shape[-1] == 1 else images


def _attended(samples: np.ndarray, maps: np.ndarray, row: float, column: float) -> np.ndarray:
    """Dimmed samples, lit by the attention of the pixel at (row, column), which has a cross. uint8 [count, height, width, 3]."""
    height, width = samples.shape[1:3]
    attended = maps[:, int(row * maps.shape[1]), int(column * maps.shape[2])]
    lit = attended / np.maximum(attended.max(axis=(1, 2), keepdims=True), 1e-12)
    rows = np.arange(height) * lit.shape[1] // height
    columns = np.arange(width) * lit.shape[2] // width
    lit = lit[:, rows][:, :, columns][..., None]
    grey = _rgb(samples).mean(axis=-1, keepdims=True)
    result = np.rint(0.35 * grey * (1 - lit) + lit * np.array([255.0, 190.0, 40.0])).astype(np.uint8)
    top, left = int(row * height), int(column * width)
    arm = max(1, height // 16)
    cross = np.array([90, 200, 255], np.uint8)
    result[:, top, max(left - arm, 0) : left + arm + 1] = cross
    result[:, max(top - arm, 0) : top + arm + 1, left] = cross
    return result
