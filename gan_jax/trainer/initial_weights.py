"""`--init-from`: a run begins with the weights of a run, of a checkpoint or of an exported generator."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gan_jax.checkpoint import DamagedCheckpoint, restore_onto, snapshot
from gan_jax.checkpoint.files import Contents, read_step
from gan_jax.checkpoint.manager import Checkpointer
from gan_jax.checkpoint.serialization import Leaf, assemble
from gan_jax.export import load_generator
from gan_jax.gan.transfer import Weights, flat, transfer, transferred_layers
from gan_jax.trainer.build.gan import BuiltGAN
from gan_jax.trainer.config import Config, ConfigError
from gan_jax.typing import Array, Players

SHOWN = 6  # Layers that a message names.


class InitialWeights(NamedTuple):
    """Weights with which a run begins.

    Attributes:
        path: The run, checkpoint or file that they come from.
        step: The step of the checkpoint. None for an exported generator.
        weights: The weights.
        layers: `Players` of `gan_jax.gan.transfer.Transferred`.
    """

    path: Path
    step: int | None
    weights: Weights
    layers: Players

    def apply(self, built: BuiltGAN, rng: Array, template: tuple[Players, Any]) -> tuple[Players, Any]:
        """The state with which the run begins, on the devices of `template`, which is the state without these weights."""
        state = transfer(built.spec, built.rule, built.gan.init, rng, self.weights)
        return restore_onto(template, snapshot(state).leaves)

    def describe(self) -> dict[str, Any]:
        """The weights for run.json: their origin, the number of layers that were taken over, and the other layers with reasons."""
        counts = {player: len(getattr(self.layers, player).loaded) for player in Players._fields}
        new = {player: getattr(self.layers, player).new for player in Players._fields}
        return {"path": str(self.path), "step": self.step, "layers": counts, "new_layers": new}

    def lines(self) -> list[str]:
        """What was taken over, one line for each player, and one for each group of layers that begin anew."""
        where = f"{self.path}" if self.step is None else f"{self.path} at step {self.step}"
        lines = []
        for player in Players._fields:
            loaded, new = getattr(self.layers, player)
            lines.append(f"--init-from {where}: {len(loaded)} of {len(loaded) + len(new)} layers of the {player} are taken over")
            if new and loaded:
                more = f" and {len(new) - SHOWN} more" if len(new) > SHOWN else ""
                shown = ", ".join(f"{layer} ({reason})" for layer, reason in list(new.items())[:SHOWN])
                lines.append(f"  new layers of the {player}: {shown}{more}")
        return lines


def initial_weights(config: Config, built: BuiltGAN) -> InitialWeights | None:
    """Reads the weights with which a run begins, and compares them with its networks. None without `--init-from`.

    Raises:
        ConfigError: There are no weights at the path, they cannot be read, or no layer fits.
    """
    path = config.init_from
    if path is None:
        return None
    weights, step, path = read_weights(path)
    layers = transferred_layers(built.spec, weights)
    if not layers.generator.loaded and not layers.discriminator.loaded:
        layer, reason = next(iter(layers.generator.new.items()))
        raise ConfigError(
            f"--init-from {path}: no layer fits this model, e.g. {layer} of the generator: {reason}; "
            "take the model of that run: --config RUN/config.yaml, or equal --model flags"
        )
    return InitialWeights(path, step, weights, layers)


def read_weights(path: Path) -> tuple[Weights, int | None, Path]:
    """Reads weights.

    Args:
        path: Directory of a run, whose newest intact checkpoint is read, directory of one checkpoint, or exported generator.

    Returns:
        The weights, the step of the checkpoint or None, and the path of the checkpoint or file.

    Raises:
        ConfigError: There are no weights at the path, or they are damaged.
    """
    if path.is_file():
        try:
            generator = load_generator(path)
        except (ValueError, OSError) as error:
            raise ConfigError(f"--init-from {path}: {error}") from error
        params, state = _host(flat(generator.params)), _host(flat(generator.state))
        return Weights(Players(params, {}), params, Players(state, {})), None, path
    directory, contents = read_checkpoint("--init-from", path)
    try:
        return weights_of(contents.leaves), int(contents.metadata["step"]), directory
    except ValueError as error:
        raise ConfigError(f"--init-from {path}: {error}") from error


def read_checkpoint(flag: str, path: Path) -> tuple[Path, Contents]:
    """Reads the newest intact checkpoint of a run, or one checkpoint.

    Args:
        flag: The flag that the path belongs to, for messages.
        path: Directory of the run or of the checkpoint.

    Returns:
        The directory of the checkpoint and its contents.

    Raises:
        ConfigError: There is no checkpoint, or it is damaged.
    """
    try:
        if (path / "manifest.json").is_file():
            return path, read_step(path)
        manager = Checkpointer(path / "checkpoints", owner=False)
        problems = []
        for step in reversed(manager.steps()):
            try:
                return manager.path(step), read_step(manager.path(step))
            except DamagedCheckpoint as error:
                problems.append(error)
        if problems:
            raise problems[0]
    except (DamagedCheckpoint, OSError) as error:
        raise ConfigError(f"{flag} {path}: {error}") from error
    kinds = "a run with a checkpoint, or a checkpoint (RUN/checkpoints/step_...)"
    raise ConfigError(f"{flag} {path}: must be {kinds}{', or an exported generator' if flag == '--init-from' else ''}")


def weights_of(leaves: dict[str, Leaf]) -> Weights:
    """The weights in the leaves of a checkpoint of (params, opt_state)."""

    def below(prefix: str) -> dict[str, np.ndarray]:
        return {path.removeprefix(prefix): assemble(leaf) for path, leaf in leaves.items() if path.startswith(prefix)}

    def both(prefix: str) -> Players:
        return Players(*(below(f"{prefix}/{player}/") for player in Players._fields))

    params = both("0")
    if not params.generator:
        raise ValueError("the checkpoint holds no generator")
    first = next(iter(params.generator))
    averages = [
        path.removesuffix(first) for path in leaves if path.startswith("1/optimizer/generator/") and path.endswith(f"/params/{first}")
    ]
    # The moments of an optimiser have these paths too, but an average has a whole copy of the parameters beside its number of steps.
    averages = [
        prefix
        for prefix in averages
        if f"{prefix.removesuffix('params/')}step" in leaves and below(prefix).keys() == params.generator.keys()
    ]
    return Weights(params, below(averages[0]) if averages else None, both("1/networks"), both("1/transforms"))


def _host(leaves: dict[str, Any]) -> dict[str, np.ndarray]:
    return {path: np.asarray(leaf) for path, leaf in leaves.items()}
