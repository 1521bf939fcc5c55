"""Trains one game with the library's own train step, and records what the theatre shows of it."""

import dataclasses
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.data import Source
from gan_jax.data.batches import Batches
from gan_jax.metrics import mode_coverage
from gan_jax.trainer.build.gan import BuiltGAN, build
from gan_jax.trainer.config import Config, ConfigError
from gan_jax.trainer.surface import discriminator_surface, grid_points
from gan_jax.trainer.theatre.games import Game
from gan_jax.typing import Array, Players, PyTree

LOSSES = ("generator_loss", "discriminator_loss")
MOST_LOSSES = 160  # Maximum number of values of a loss curve.
MEASURED = 2500  # Number of samples whose modes are counted, as in docs/mixtures.md.


class Recording(NamedTuple):
    """One game over its steps.

    Attributes:
        game: The game.
        steps: int [frames], steps of the frames.
        fakes: float32 [frames, points, 2]. Each frame has the samples of the same latents.
        surface: float32 [frames, side, side], D's output on a grid. Rows are ascending in y, columns in x.
        modes: int [frames], number of modes with at least one of 2,500 samples.
        quality: float [frames], share of the samples within three standard deviations of a mode.
        loss_steps: int [points], last steps of the averages in `losses`.
        losses: Names of losses -> float [points], averages over the steps since the point before.
    """

    game: Game
    steps: np.ndarray
    fakes: np.ndarray
    surface: np.ndarray
    modes: np.ndarray
    quality: np.ndarray
    loss_steps: np.ndarray
    losses: dict[str, np.ndarray]


def frame_steps(steps: int, frames: int) -> np.ndarray:
    """Steps of the frames: 0, the last step, and others that are denser at the beginning, where a game changes most."""
    share = np.linspace(0, 1, frames)
    return np.unique(np.round(steps * share**1.5).astype(int))


def bounds_of(source: Source) -> float:
    """Half the side of the square that the page shows: the reals and a margin."""
    return round(1.2 * float(np.abs(source.centers).max()), 2)


def record_game(
    game: Game,
    source: Source,
    *,
    seed: int = 0,
    frames: int = 60,
    points: int = 256,
    side: int = 36,
    progress: Callable[[int], None] = lambda step: None,
) -> Recording:
    """Trains a game and records its frames.

    The step is that of a run of this configuration and seed: the same initial weights, latents and batches.

    Args:
        game: The game. Its data set has points in the plane and known modes.
        source: The data set.
        seed: Random seed of the weights, the latents and the batches.
        frames: Number of frames, at least 2. Fewer if the run is shorter.
        points: Number of fakes in a frame.
        side: Number of grid points per side for D's output.
        progress: Called with the number of steps so far.

    Raises:
        ConfigError: If the data set is not one of points in the plane with known modes, or the game cannot be built.
    """
    config = dataclasses.replace(game.config, seed=seed)
    if source.shape != (2,) or source.centers is None or source.std is None:
        raise ConfigError(f"--data {source.name}: the theatre shows points in the plane with known modes; must be ring or grid")
    built = build(config, source.shape, 0)
    params, state = built.gan.init(rng := jax.random.key(seed))
    order = Batches(source, config.batch_size * built.rule.batches_per_step, seed)
    observe = jax.jit(partial(_observe, built, config, rng, points, jnp.asarray(grid_points(bounds_of(source), side))))
    train = jax.jit(partial(_train, built, jnp.asarray(source.images), rng), donate_argnums=(0, 1))
    chosen = frame_steps(config.steps, frames)
    seen: list[tuple[np.ndarray, np.ndarray, int, float]] = []
    logs: dict[str, list[np.ndarray]] = {name: [] for name in LOSSES}
    for before, after in zip([0, *chosen[:-1]], chosen, strict=True):
        # Two lengths of chunks are two programs, however many frames there are.
        while before < after:
            count = min(after - before, CHUNK) if after - before >= CHUNK else 1
            params, state, metrics = train(params, state, order.indices_at(before, count))
            for name in LOSSES:
                logs[name].append(np.asarray(metrics[name]))
            before += count
        fakes, surface, measured = jax.tree.map(np.asarray, observe(params, state))
        found = mode_coverage(measured, source.centers, source.std) if np.isfinite(measured).all() else None
        seen.append((fakes, surface.reshape(side, side), found.modes if found else 0, found.high_quality if found else 0.0))
        progress(int(after))
    losses = {name: np.concatenate(values) if values else np.zeros(0, np.float32) for name, values in logs.items()}
    ends = np.unique(np.linspace(0, config.steps, MOST_LOSSES + 1).round().astype(int))
    averaged = {name: np.array([values[low:high].mean() for low, high in itertools.pairwise(ends)]) for name, values in losses.items()}
    columns = [np.stack(column) for column in zip(*seen)]
    return Recording(game, chosen, *columns, ends[1:], averaged)


CHUNK = 10  # Steps of one program. Frames are at multiples of it, up to single steps.


def _train(
    built: BuiltGAN, images: Array, rng: Array, params: Players, state: PyTree, indices: Array
) -> tuple[Players, PyTree, dict[str, Any]]:
    def step(carry: tuple[Players, PyTree], chosen: Array) -> tuple[tuple[Players, PyTree], dict[str, Any]]:
        params, state, metrics = built.gan.train_step(*carry, {"image": images[chosen]}, rng)
        return (params, state), {name: metrics[name] for name in LOSSES}

    (params, state), metrics = jax.lax.scan(step, (params, state), indices)
    return params, state, metrics


def _observe(
    built: BuiltGAN, config: Config, rng: Array, points: int, grid: Array, params: Players, state: Any
) -> tuple[Array, Array, Array]:
    """Samples of constant latents, D's output on the grid, and the samples that are measured."""
    spec = built.spec
    samples = built.gan.sample(params, state, rng, MEASURED)
    surface = discriminator_surface(spec, params.discriminator, state, grid, rng, pack=config.augment.pack)
    return samples[:points], surface, samples
