"""Reads a finished or running run back from its directory: configuration, data, GAN and state."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from gan_jax.checkpoint import Checkpointer
from gan_jax.data import DataError, Source
from gan_jax.data.missing import missing_source
from gan_jax.gan.standing_statistics import standing_statistics
from gan_jax.gan.types import LossTerm
from gan_jax.trainer import run_directory
from gan_jax.trainer.build.data import load_data
from gan_jax.trainer.build.gan import BuiltGAN, build
from gan_jax.trainer.config import Config, load_config
from gan_jax.trainer.contexts import needs_context, read_examples
from gan_jax.trainer.evaluate import best_mode
from gan_jax.trainer.notebook import loaded_run_html
from gan_jax.trainer.own_parts import check_own_parts, own_parts, recorded_own_parts
from gan_jax.trainer.run_directory import RunError
from gan_jax.typing import Players


def load_data_or_record(config: Config, directory: Path) -> Source:
    """The data set of a run. If it cannot be loaded, its shape and classes come from run.json, and its images are missing.

    Raises:
        DataError: The data cannot be loaded, and run.json does not describe them.
    """
    try:
        if recorded_own_parts(directory).get("source"):
            raise DataError("the run was trained with a source of its own; pass source=... to load_run")
        return load_data(config)
    except DataError as error:
        try:
            recorded = run_directory.recorded_data(directory)
        except RunError:
            raise error from None
        return missing_source(recorded, str(error))


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

    def __repr__(self) -> str:
        name = self.config.recipe or self.config.model.name
        return f"LoadedRun({name}, step {self.step}, {self.source!r}, {describe_params(self.params)})"

    def _repr_html_(self) -> str:
        facts = [
            ("recipe", self.config.recipe),
            ("model", self.config.model.name),
            ("step", f"{self.step:,}"),
            ("data", repr(self.source)),
            ("parameters", describe_params(self.params)),
            ("sample with", "run.built.gan.sample(run.params, run.opt_state, jax.random.key(0), 16)"),
        ]
        sample = functools.partial(jax.jit(self.built.gan.sample, static_argnums=3), self.params, self.opt_state)
        return loaded_run_html(facts, None if needs_context(self.built) else sample, self.built.spec.image_shape)

    def with_standing_statistics(self, batches: int, *, seed: int = 0, ema: bool = True) -> "LoadedRun":
        """The run with new averages of the generator's batch norm, see `gan_jax.gan.standing_statistics`.

        Args:
            batches: Number of batches that the averages are computed from.
            seed: Random seed of the latents and labels.
            ema: Whether the averages are those of the moving average of the parameters.
        """
        size, real, inputs = self.config.batch_size, None, None
        if needs_context(self.built):
            real, inputs = read_examples(self.source, range(size))
        make = functools.partial(standing_statistics, self.built.spec, batches=batches, batch_size=size, real=real, inputs=inputs, ema=ema)
        return self._replace(opt_state=jax.jit(make)(self.params, self.opt_state, jax.random.key(seed)))


def describe_params(params: Players) -> str:
    """The number of parameters of both players: "generator 1,234 parameters, discriminator 567"."""
    counts = [sum(int(leaf.size) for leaf in jax.tree.leaves(player)) for player in params]
    return f"generator {counts[0]:,} parameters, discriminator {counts[1]:,}"


def load_run(
    directory: Path | str,
    *,
    step: int | None = None,
    best: bool = False,
    source: Any = None,
    networks: Any = None,
    loss: Any = None,
    terms: Sequence[LossTerm] = (),
) -> LoadedRun:
    """Loads a run, by default at its newest checkpoint.

    The images need not exist any more, see `load_data_or_record`. The run can then be sampled and exported, but not measured against
    real images.

    Args:
        directory: Directory of the run.
        step: Step of the checkpoint.
        best: Whether to load the checkpoint with the best value of the run's metric (`--evaluation.best`).
        source, networks, loss, terms: The parts that the run was trained with, if they were given to `train`. Without the source, its
            images count as gone.

    Raises:
        RunError: The directory holds no run, its networks, loss or terms are not given, or no checkpoint has a measured metric.
        gan_jax.checkpoint.CheckpointNotFound: The run has no such checkpoint.
        gan_jax.checkpoint.DamagedCheckpoint: The checkpoint of this step is damaged.
    """
    directory = Path(directory)
    if not (directory / "config.yaml").is_file():
        raise RunError(f"{directory}: no run there (it has no config.yaml)")
    config = load_config(directory / "config.yaml")
    own = own_parts(source, networks, loss, terms)
    check_own_parts(directory, own, "load it in Python with load_run({missing})", needed=("networks", "loss", "terms"))
    data = load_data_or_record(config, directory) if own.source is None else own.source
    built = build(config, data.shape, data.num_classes, own=own, input_shape=data.input_shape)
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
    return LoadedRun(config, data, built, params, opt_state, int(metadata["step"]))
