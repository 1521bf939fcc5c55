"""`--fork`: a new run that continues the exact state of another one with changed settings. Also why a resumed run may not change them."""

import json
import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from gan_jax.checkpoint import DamagedCheckpoint, read_manifest, restore_onto, snapshot
from gan_jax.checkpoint.manager import Checkpointer
from gan_jax.checkpoint.serialization import Leaf, assemble
from gan_jax.gan.transfer import transfer, transferred_layers
from gan_jax.trainer import run_directory
from gan_jax.trainer.build.gan import BuiltGAN
from gan_jax.trainer.config import CHANGEABLE_ON_RESUME, Config, ConfigError, flag, flatten, load_config
from gan_jax.trainer.initial_weights import read_checkpoint, weights_of
from gan_jax.trainer.run_directory import RunError
from gan_jax.typing import Array, Players

SHOWN = 6  # Settings or parts of the state that a message names.


class Fork(NamedTuple):
    """The state with which a forked run begins.

    Attributes:
        path: The checkpoint.
        step: Its step, at which the new run continues.
        leaves: Its leaves.
        changed: Path of each field that differs from the parent's configuration -> (parent's value, new value), as text.
    """

    path: Path
    step: int
    leaves: dict[str, Leaf]
    changed: dict[str, tuple[str, str]]

    def apply(self, built: BuiltGAN, rng: Array, template: tuple[Players, Any]) -> tuple[tuple[Players, Any], list[str]]:
        """The state with which the run continues, on the devices of `template`, and the names of the parts that the parent did not have.

        The parts begin as in a new run that begins with the parent's weights, so a new moving average begins at these weights.
        """
        begun = snapshot(transfer(built.spec, built.rule, built.gan.init, rng, weights_of(self.leaves))).leaves
        rules = tuple(player for player in Players._fields if f"optimizer.{player}" in self.changed)
        merged, new = continued(begun, self.leaves, rules)
        return restore_onto(template, merged), new

    def describe(self) -> dict[str, Any]:
        """The parent for run.json: the checkpoint, its step, and the changed settings with both values."""
        return {"path": str(self.path), "step": self.step, "changed": {path: list(values) for path, values in self.changed.items()}}

    def lines(self, new: list[str]) -> list[str]:
        """What the new run prints about its parent."""
        changes = [f"{flag(path)} {after} (was {before})" for path, (before, after) in self.changed.items()]
        shown = ", ".join(changes[:SHOWN]) + (f" and {len(changes) - SHOWN} more" if len(changes) > SHOWN else "")
        lines = [f"--fork {self.path}: continuing at step {self.step} with {shown or 'equal settings'}"]
        return lines + ([f"  new in the state, and begun anew: {', '.join(new)}"] if new else [])


def continued(begun: dict[str, Leaf], saved: dict[str, Leaf], other_rules: tuple[str, ...] = ()) -> tuple[dict[str, Leaf], list[str]]:
    """The leaves of a new state, with those of a checkpoint where it has them.

    The number of a link in the chain of an optimiser changes with the settings, e.g. if clipping is added. So a leaf of the optimiser that
    has no leaf of equal path is searched without these numbers.

    Args:
        begun: The leaves of a new state.
        saved: The leaves of the checkpoint.
        other_rules: Players with another optimiser than before. Its moments and its count begin anew, even if their names are equal. The
            moving average and the count of a schedule continue.

    Returns:
        The leaves, and the names of the parts of `begun` that the checkpoint does not have, without the layers.
    """
    by_name: dict[str, list[str]] = {}
    for path in saved:
        by_name.setdefault(_without_links(path), []).append(path)
    merged, new = dict(begun), list[str]()
    for path, leaf in begun.items():
        candidates = [path] if path in saved else by_name.get(_without_links(path), [])
        anew = any(path.startswith(f"1/optimizer/{player}/") for player in other_rules) and _of_rule(path, begun)
        if candidates and not anew and _fits(saved[candidates[0]], leaf) and _equal([saved[name] for name in candidates]):
            merged[path] = saved[candidates[0]]
        else:
            new.append("/".join(_without_links(path).split("/")[1:4]))
    return merged, list(dict.fromkeys(new))


def read_fork(config: Config, built: BuiltGAN) -> Fork | None:
    """Reads the state with which a forked run begins. None without `--fork`.

    Raises:
        ConfigError: There is no checkpoint, it is damaged, its networks differ, or the run would have no further step.
    """
    if config.fork is None:
        return None
    path, contents = read_checkpoint("--fork", config.fork)
    step = int(contents.metadata["step"])
    for player, layers in zip(Players._fields, transferred_layers(built.spec, weights_of(contents.leaves)), strict=True):
        for layer, reason in layers.new.items():
            raise ConfigError(
                f"--fork {config.fork}: the networks differ: {layer} of the {player}: {reason}; "
                f"to begin with the weights that fit, use --init-from {config.fork}"
            )
    if config.steps <= step:
        raise ConfigError(
            f"--steps {config.steps}: {path} is at step {step} already, and --steps counts the steps of the parent, too; take more"
        )
    parent = run_of(path)
    known = flatten(load_config(parent / "config.yaml")) if (parent / "config.yaml").is_file() else {}
    now = flatten(config)
    skipped = {*(name for name in CHANGEABLE_ON_RESUME if name != "steps"), "recipe"}
    names = [name for name in now if name in known and not any(name == other or name.startswith(f"{other}.") for other in skipped)]
    names += ["data.directory"] if known.get("data.directory") != now["data.directory"] else []
    changed = {name: (_text(known[name]), _text(now[name])) for name in names if _text(known[name]) != _text(now[name])}
    return Fork(path, step, contents.leaves, changed)


def run_of(path: Path) -> Path:
    """The directory of the run that a path of `--fork` names: the path itself, or the run of a checkpoint."""
    return path.parent.parent if (path / "manifest.json").is_file() else path


def saved_settings(manager: Checkpointer) -> tuple[int | None, Any]:
    """The step of the newest checkpoint with an intact manifest, and the settings in it. (None, None) if there is none."""
    for step in reversed(manager.steps()):
        try:
            return step, read_manifest(manager.path(step))["metadata"].get("config")
        except DamagedCheckpoint:
            continue
    return None, None


def check_same_settings(directory: Path, fingerprint: dict[str, Any], config: Config) -> None:
    """Checks, before any data is read, that a resumed run keeps the settings that decide its weights.

    Args:
        directory: Directory of the run.
        fingerprint: The settings of now, see `config_fingerprint`.
        config: The configuration of now.

    Raises:
        RunError: A setting has changed. The message names its flag first, and how to continue with changed settings.
    """
    step, saved = saved_settings(Checkpointer(directory / "checkpoints", owner=False))
    if step is None:
        return
    rolled_back = run_directory.recorded_rollbacks(directory)
    if not isinstance(saved, dict) or (rolled_back and rolled_back[-1]["to_step"] == step):
        return
    now = json.loads(json.dumps(fingerprint))
    # The number of steps of passes over the data is known only when the data are read.
    differing = [path for path in now if path in saved and saved[path] != now[path] and not (path == "steps" and config.epochs)]
    if not differing:
        return
    words = [f"{_typed(path, now[path])}: the run has {_text(saved[path])}" for path in differing[:SHOWN]]
    more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    flags = " ".join(_typed(path, now[path]) for path in differing[:SHOWN] if not path.startswith("own."))
    raise RunError(
        f"{'; '.join(words)}{more}; --resume {directory} keeps such settings, because it continues to the byte; "
        f"to change them, continue its state in a new run: gan-jax train --fork {shlex.quote(str(directory))} {flags}".rstrip()
    )


def _typed(path: str, value: Any) -> str:
    """A setting as it is typed: "--batch-size 8", "--data.flip", "--data.no-flip". A part of the caller of `train`: "networks A B"."""
    if path.startswith("own."):
        return f"{path.removeprefix('own.')} {_text(value)}"
    if isinstance(value, bool):
        group, _, name = path.rpartition(".")
        return flag(path if value else f"{group}.no_{name}".lstrip("."))
    return f"{flag(path)} {_text(value)}"


def _text(value: Any) -> str:
    if isinstance(value, tuple | list):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return " ".join(f"{name} {option}" for name, option in value.items()) or "none"
    return "none" if value is None else str(value)


def _without_links(path: str) -> str:
    """A path of the optimiser's state without the numbers of the links of its chain. Other paths are unchanged."""
    if not path.startswith("1/optimizer/"):
        return path
    head, rest = path[: len("1/optimizer/")], path[len("1/optimizer/") :]
    return head + re.sub(r"(?:(?<=/)|^)(?:\d+|inner_state)/", "", rest)


def _of_rule(path: str, leaves: dict[str, Leaf]) -> bool:
    """Whether a leaf belongs to the rule of an optimiser: not to a moving average, and not the count of a schedule, which stands alone."""
    name = _without_links(path).split("/", 3)[-1]
    if name.startswith("params/") or name == "step":
        return False
    place = path.rpartition("/")[0] + "/"
    return name != "count" or any(other.startswith(place) and other != path for other in leaves)


def _equal(leaves: list[Leaf]) -> bool:
    """Whether leaves have equal values. The counts of a rule and of its schedule do."""
    return len({assemble(leaf).tobytes() if leaf.pieces else str(leaf.record) for leaf in leaves}) == 1


def _fits(saved: Leaf, begun: Leaf) -> bool:
    names = ("kind", "dtype", "shape", "impl")
    return all(saved.record.get(name) == begun.record.get(name) for name in names)
