"""Plans a sweep: which runs there are, and which of them share one compiled program.

Seeds, learning rates, moments and weights are arguments of a program (`traceable`). Everything else decides its structure, so runs that
differ in it are in different programs, which are trained in different processes.
"""

import itertools
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gan_jax.models import MODELS
from gan_jax.trainer.build.compatibility import resolve
from gan_jax.trainer.build.traced import traceable
from gan_jax.trainer.config import Config, ConfigError, flag, flatten, from_dict, schema_fields, to_dict

MAX_RUNS = 100_000
_FIXED = ("out", "parallel", "distributed", "evaluation", "monitor", "tensorboard", "log", "log_every", "sample_every", "checkpoint_every")


class Axis(NamedTuple):
    """A flag with several values.

    Attributes:
        name: The flag without its dashes.
        paths: The fields that the flag sets, to the same value.
        values: The values. Empty for an interval.
        low: Lower end of an interval.
        high: Upper end of an interval.
        log: Whether the interval is sampled uniformly in the logarithm.
    """

    name: str
    paths: tuple[str, ...]
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    @property
    def is_interval(self) -> bool:
        """Whether values are drawn from an interval."""
        return not self.values

    def draw(self, draws: np.random.Generator) -> Any:
        """One random value."""
        if not self.is_interval:
            return self.values[draws.integers(len(self.values))]
        ends = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = math.exp(draws.uniform(*ends)) if self.log else draws.uniform(*ends)
        return float(f"{value:.4g}")


class PlannedRun(NamedTuple):
    """One run of a sweep.

    Attributes:
        settings: Flag -> value, for every axis except the seed. Runs with equal settings differ in their seed only.
        changes: Path -> value, for every field that differs from the base configuration.
    """

    settings: dict[str, Any]
    changes: dict[str, Any]


def is_swept(path: str, word: str) -> bool:
    """Whether the word of a flag means several values. A comma or a colon in free text, such as a path, is part of the text."""
    field = schema_fields()[path]
    kinds = {part for part in (field.kind, *getattr(field.kind, "__args__", ()))}
    return ("," in word or ":" in word) and bool(field.choices or kinds & {int, float, bool})


def make_axis(name: str, paths: Sequence[str], word: str) -> Axis:
    """Reads the values of an axis: `a,b,c`, the range `0:16` of whole numbers, or the interval `LOW:HIGH` or `LOW:HIGH:linear`.

    Raises:
        ConfigError: The values cannot be read, are not distinct, or the field cannot be swept.
    """
    field, problem = schema_fields()[paths[0]], f"--{name} {word}"
    if any(paths[0] == fixed or paths[0].startswith(f"{fixed}.") for fixed in _FIXED):
        raise ConfigError(f"--{name} {word}: must have one value in a sweep")
    if "," in word:
        values = tuple(map(_value, word.split(",")))
    else:
        low, high, *scale = word.split(":")
        try:
            bounds = (float(low), float(high))
        except ValueError:
            raise ConfigError(f"{problem}: must be numbers; write LOW:HIGH or a,b,c") from None
        if scale not in ([], ["linear"], ["log"]) or not bounds[0] < bounds[1] or not all(map(math.isfinite, bounds)):
            raise ConfigError(f"{problem}: must be LOW:HIGH with LOW below HIGH, and perhaps :linear or :log")
        kinds = {field.kind, *getattr(field.kind, "__args__", ())}
        if float not in kinds:
            if scale or bounds != (int(bounds[0]), int(bounds[1])) or bounds[1] - bounds[0] > MAX_RUNS:
                raise ConfigError(f"{problem}: must be a range of at most {MAX_RUNS} whole numbers, such as 0:16")
            values = tuple(range(int(bounds[0]), int(bounds[1])))
        else:
            if scale == ["log"] and bounds[0] <= 0:
                raise ConfigError(f"{problem}: a logarithmic interval must begin above 0")
            return Axis(name, tuple(paths), (), *bounds, bounds[0] > 0 and scale != ["linear"])
    if len(set(values)) < len(values):
        raise ConfigError(f"{problem}: must be distinct values")
    return Axis(name, tuple(paths), values)


def _value(word: str) -> Any:
    if word in ("None", "True", "False"):
        return {"None": None, "True": True, "False": False}[word]
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def combinations(axes: Sequence[Axis], *, random: int = 0, random_seed: int = 0) -> list[dict[str, Any]]:
    """The settings of a sweep: the product of all values, or a number of random draws.

    Args:
        axes: The axes without the seed.
        random: Number of draws. 0 takes the product.
        random_seed: Random seed of the draws.

    Raises:
        ConfigError: An interval has no random draws, or there are too many settings.
    """
    if not random:
        for axis in axes:
            if axis.is_interval:
                raise ConfigError(f"--{axis.name} {axis.low:g}:{axis.high:g}: an interval needs --random N, or list the values as a,b,c")
        if math.prod(len(axis.values) for axis in axes) > MAX_RUNS:
            raise ConfigError(f"the sweep has more than {MAX_RUNS} settings; use --random N")
        return [dict(zip((axis.name for axis in axes), chosen)) for chosen in itertools.product(*(axis.values for axis in axes))]
    draws = np.random.default_rng(random_seed)
    return [{axis.name: axis.draw(draws) for axis in axes} for _ in range(random)]


def with_changes(base: Config, changes: Mapping[str, Any]) -> Config:
    """The configuration with other values of some fields, which are named by path.

    Raises:
        ConfigError: A value has the wrong type.
    """
    values = to_dict(base)
    for path, value in changes.items():
        group = values
        *parents, name = path.split(".")
        for parent in parents:
            group = group[parent]
        group[name] = value
    return from_dict(Config, values)


def plan_runs(
    base: Config, axes: Sequence[Axis], typed: Collection[str], *, random: int = 0, random_seed: int = 0
) -> tuple[list[PlannedRun], list[str]]:
    """Makes the runs of a sweep: every seed with every setting. Each one is checked.

    Args:
        base: Configuration of the recipe with the flags that have one value.
        axes: The flags with several values.
        typed: Paths of the fields that the user typed. Other values of the recipe give way to them, see `resolve`.
        random: As in `combinations`.
        random_seed: As in `combinations`.

    Returns:
        The runs, and one line for each value of the recipe that gave way.

    Raises:
        ConfigError: A value is not allowed, or flags are incompatible.
    """
    for path in ("init_from", "fork"):
        if getattr(base, path) is not None:
            raise ConfigError(f"{flag(path)} {getattr(base, path)}: the runs of a sweep begin from nothing; use gan-jax train for each")
    seeds: Iterable[int] = next((axis.values for axis in axes if axis.paths == ("seed",)), (base.seed,))
    swept = [axis for axis in axes if axis.paths != ("seed",)]
    before, notices, runs = flatten(base), list[str](), list[PlannedRun]()
    for settings in combinations(swept, random=random, random_seed=random_seed):
        changes = {path: settings[axis.name] for axis in swept for path in axis.paths}
        config, more = resolve(with_changes(base, changes), {*typed, *changes})
        notices += [line for line in more if line not in notices]
        if MODELS[config.model.name].context == "domains":
            raise ConfigError(f"--model.name {config.model.name}: not in a sweep; use gan-jax train for each")
        for path in ("data.pairs", "data.jitter"):
            if value := flatten(config)[path]:
                raise ConfigError(f"{flag(path)} {value}: not in a sweep; use gan-jax train for each")
        for seed in seeds:
            after = flatten(config) | {"seed": seed}
            runs.append(PlannedRun(settings, {path: value for path, value in after.items() if value != before[path]}))
        resolve(with_changes(base, runs[-1].changes), {*typed, *changes})  # Checks the seed.
    if len(runs) > MAX_RUNS:
        raise ConfigError(f"the sweep has {len(runs)} runs; must be at most {MAX_RUNS}")
    return runs, notices


def structure(config: Config) -> str:
    """What decides the program of a run. Runs with equal structures can be trained by one program."""
    values: dict[str, Any] = flatten(config) | {"seed": 0}
    values |= dict.fromkeys(traceable(config), "traced")
    return json.dumps(values, sort_keys=True, default=str)


def group_runs(base: Config, runs: Sequence[PlannedRun], at_once: int) -> list[list[int]]:
    """Groups the indices of runs: each group has at most `at_once` runs, which share one program."""
    groups: dict[str, list[int]] = {}
    for index, run in enumerate(runs):
        groups.setdefault(structure(with_changes(base, run.changes)), []).append(index)
    return [group[start : start + at_once] for group in groups.values() for start in range(0, len(group), at_once)]


def varying(configs: Sequence[Config]) -> tuple[str, ...]:
    """Paths of the traceable fields that differ between configurations of one structure."""
    values = [flatten(config) for config in configs]
    return tuple(path for path in traceable(configs[0]) if len({row[path] for row in values}) > 1)


def describe_axis(axis: Axis) -> str:
    """An axis as it is typed."""
    if axis.is_interval:
        return f"--{axis.name} {axis.low:g}:{axis.high:g}{'' if axis.log or axis.low <= 0 else ':linear'}"
    return f"--{axis.name} {','.join(map(str, axis.values))}"
