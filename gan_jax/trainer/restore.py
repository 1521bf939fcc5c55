"""Reads a finished or running run back from its directory: configuration, data, GAN and state."""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax

from gan_jax.checkpoint import Checkpointer
from gan_jax.data import Source, load
from gan_jax.gan.standing_statistics import standing_statistics
from gan_jax.trainer.build.gan import BuiltGAN, build
from gan_jax.trainer.config import Config, load_config
from gan_jax.trainer.evaluate import best_mode, needs_context
from gan_jax.trainer.run_directory import RunError
from gan_jax.typing import Players


class LoadedRun(NamedTuple):
    """A run that was read from its directory.

    Attributes:
        config: The configuration of the run.
        source: Its data set.
        built: Its GAN.
        params: The parameters in the checkpoint.
        opt_state: The rest of the state in the checkpoint.
        step: The step of the checkpoint.
    """

    config: Config
    source: Source
    built: BuiltGAN
    params: Players
    opt_state: Any
    step: int

    def with_standing_statistics(self, batches: int, *, seed: int = 0, ema: bool = True) -> "LoadedRun":
        """The run with new averages of the generator's batch norm, see `gan_jax.gan.standing_statistics`.

        Args:
            batches: Number of batches that the averages are computed from.
            seed: Random seed of the latents and labels.
            ema: Whether the averages are those of the moving average of the parameters.
        """
        size, real = self.config.batch_size, None
        if needs_context(self.built):
            real = jax.numpy.asarray(self.source.images[:size]) / 127.5 - 1.0
        make = functools.partial(standing_statistics, self.built.spec, batches=batches, batch_size=size, real=real, ema=ema)
        return self._replace(opt_state=jax.jit(make)(self.params, self.opt_state, jax.random.key(seed)))


def load_run(directory: Path | str, *, step: int | None = None, best: bool = False) -> LoadedRun:
    """Loads a run, by default at its newest checkpoint.

    Args:
        directory: Directory of the run.
        step: Step of the checkpoint.
        best: Whether to load the checkpoint with the best value of the run's metric (`--evaluation.best`).

    Raises:
        RunError: The directory holds no run, or no checkpoint has a measured metric.
        gan_jax.checkpoint.CheckpointNotFound: The run has no such checkpoint.
        gan_jax.checkpoint.DamagedCheckpoint: The checkpoint of this step is damaged.
    """
    directory = Path(directory)
    if not (directory / "config.yaml").is_file():
        raise RunError(f"{directory}: no run there (it has no config.yaml)")
    config = load_config(directory / "config.yaml")
    source = load(config)
    built = build(config, source.shape, source.num_classes)
    template = jax.eval_shape(built.gan.init, jax.random.key(0))
    manager = Checkpointer(
        directory / "checkpoints", best_metric=config.evaluation.best, best_mode=best_mode(config.evaluation.best), owner=False
    )
    if best:
        step = manager.best()
        if step is None:
            raise RunError(f"{directory}: no checkpoint was measured; train with --evaluation.every N")
    (params, opt_state), metadata = manager.restore(template, step)
    params, opt_state = jax.tree.map(jax.numpy.asarray, (params, opt_state))
    return LoadedRun(config, source, built, params, opt_state, int(metadata["step"]))
