"""Reads the command line of `gan-jax train`.

The words that are not part of a configuration are split off first: the recipe, `--resume`, `--config`, `--fork`, `--out`,
`--compilation-cache`, `--open`, `--help` and the options of the model. tyro reads all other words.
"""

import contextlib
import dataclasses
from collections import deque
from pathlib import Path
from typing import Any

from gan_jax.cli.errors import did_you_mean, fail
from gan_jax.cli.parsing import parse_flags
from gan_jax.recipes import recipes
from gan_jax.trainer.config import Config, DistributedConfig, check, flag, load_config, replace_field, schema_fields

OWN = ("--resume", "--config", "--fork", "--out", "--compilation-cache")
LEARNING_RATES = ("--optimizer.generator-lr", "--optimizer.discriminator-lr")  # These two are set by --lr.


@dataclasses.dataclass(frozen=True)
class TrainCommand:
    """The command line of `gan-jax train`.

    Attributes:
        recipe: Name of the recipe, or "".
        own: Values of the flags in `OWN` that were typed, by flag.
        help: The help flag that was typed, or "".
        open: Whether to open the report in a browser after training.
        options: Options of the model by name.
        words: The other words, which tyro reads.
    """

    recipe: str
    own: dict[str, str]
    help: str
    options: dict[str, int | float | str | bool]
    words: list[str]
    open: bool = False

    @property
    def typed(self) -> set[str]:
        """Paths of the configuration fields that the user typed."""
        names = {flag(path): path for path in schema_fields()}
        names |= {alias: path for path, field in schema_fields().items() for alias in field.aliases}
        flags = [word.partition("=")[0].replace("_", "-") for word in self.words if word.startswith("--")]
        flags += [name.replace("--no-", "--").replace(".no-", ".") for name in flags]
        return {names[name] for name in flags if name in names} | {f"model.options.{name}" for name in self.options}

    @property
    def several_processes(self) -> bool:
        """Whether this is one process of several."""
        return "distributed.coordinator" in self.typed


def read_command(arguments: list[str]) -> TrainCommand:
    """Splits the words of the command line. See `TrainCommand`."""
    queue, words = deque(arguments), []
    own: dict[str, str] = {}
    options: dict[str, int | float | str | bool] = {}
    help_flag, open_report = "", False

    def value(name: str, inline: str) -> str:
        found = inline or (queue.popleft() if queue and "=" not in word else "")
        if not found or found.startswith("--"):
            fail(f"{name}: needs a value; see --help")
        return found

    while queue:
        word = queue.popleft()
        name, _, inline = word.partition("=") if word.startswith("--") else (word, "", "")
        name = name.replace("_", "-")
        if name in ("-h", "--help", "--help-all"):
            help_flag = name
        elif name == "--open":
            open_report = True
        elif name in OWN:
            own[name] = value(name, inline)
        elif name == "--lr":
            rate = value(name, inline)
            words += [part for long in LEARNING_RATES for part in (long, rate)]
        elif name == "--model.options":
            pairs = []
            while queue and not queue[0].startswith("--"):
                pairs.append(queue.popleft())
            if not pairs or len(pairs) % 2:
                fail(f"--model.options {' '.join(pairs)}: takes pairs NAME VALUE; `gan-jax models` lists them")
            options |= dict(zip(pairs[::2], map(option_value, pairs[1::2]), strict=True))
        elif name.startswith("--model.options."):
            options[name.removeprefix("--model.options.").replace("-", "_")] = option_value(value(name, inline))
        else:
            words.append(word)
    recipe = words.pop(0) if words and not words[0].startswith("-") else ""
    return TrainCommand(recipe, own, help_flag, options, words, open_report)


def option_value(word: str) -> int | float | str | bool:
    """Returns the number or truth value that a word spells, or the word."""
    if word in ("True", "False"):
        return word == "True"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(word)
    return word


def find_run(command: TrainCommand) -> Path | None:
    """Returns the directory of the run to continue.

    `--resume auto` finds the run in `--out`, or else the newest run of the recipe or of the saved configuration. It finds None
    if there is no such run.

    Raises:
        RunError: `--resume` names a directory without a run.
    """
    from gan_jax.trainer.run_directory import RunError

    resume, out = command.own["--resume"], command.own.get("--out")
    if resume != "auto":
        if not (Path(resume) / "config.yaml").is_file():
            raise RunError(f"--resume {resume}: no run there (it has no config.yaml)")
        return Path(resume)
    if out:
        return Path(out) if (Path(out) / "config.yaml").is_file() else None
    saved = saved_configuration(command)
    recipe = load_config(saved).recipe if saved else command.recipe
    runs = [path for path in Path("runs").glob(f"{recipe}*") if path.name == recipe or path.name.removeprefix(f"{recipe}-").isdigit()]
    runs = [path for path in runs if (path / "config.yaml").is_file()]
    return max(runs, key=lambda path: (path / "config.yaml").stat().st_mtime) if runs else None


def base_config(command: TrainCommand, resume: Path | None) -> Config:
    """Returns the configuration before the flags: of the run to continue, of the file, or of the recipe."""
    known = recipes()
    if command.recipe and command.recipe not in known:
        fail(f"{command.recipe}: no such recipe{did_you_mean(command.recipe, known)}; there are {', '.join(known)}")
    saved = resume / "config.yaml" if resume else saved_configuration(command)
    if saved is None:
        if not command.recipe:
            fail("missing: RECIPE, before the flags; `gan-jax recipes` lists them")
        return dataclasses.replace(known[command.recipe][1], recipe=command.recipe)
    config = load_config(saved)
    if command.recipe not in ("", config.recipe):
        fail(f"{saved} is a run of the recipe {config.recipe}, not of {command.recipe}")
    forked = {"init_from": None} if "--fork" in command.own and not resume else {}
    return dataclasses.replace(config, out=None, distributed=DistributedConfig(), **forked)


def saved_configuration(command: TrainCommand) -> Path | None:
    """Returns the file of the configuration that the command starts from: of `--config`, or of the run of `--fork`."""
    if "--fork" in command.own:
        if "--config" in command.own:
            fail("--fork, --config: exclude each other; --fork takes the configuration of its run")
        path = Path(command.own["--fork"])
        directory = path.parent.parent if (path / "manifest.json").is_file() else path
        if not (directory / "config.yaml").is_file():
            fail(f"--fork {path}: no run there (it has no config.yaml)")
        return directory / "config.yaml"
    return Path(command.own["--config"]) if "--config" in command.own else None


def parse_config(default: Config, command: TrainCommand, description: str | None = None) -> Config:
    """Returns a configuration with the flags of the command line."""
    default = replace_field(default, "model.options", default.model.options | command.options)
    words: list[Any] = ["--help"] if command.help else command.words
    config = parse_flags(Config, description, words, prog=f"gan-jax train {command.recipe}".strip(), default=default)
    own = {name: Path(command.own[f"--{name}"]) for name in ("out", "fork") if f"--{name}" in command.own}
    return dataclasses.replace(config, **own)  # type: ignore[arg-type]


def read_config(command: TrainCommand, resume: Path | None = None) -> tuple[Config, list[str]]:
    """Returns the configuration of the run, and one line for each value of the recipe that gave way to a flag.

    Raises:
        ConfigError: A value is not allowed, or flags are incompatible.
    """
    from gan_jax.trainer.build.compatibility import resolve

    config = parse_config(base_config(command, resume), command)
    if "batch_size" in command.typed and "data.shrink_batch" not in command.typed:
        config = replace_field(config, "data.shrink_batch", False)
    return (check(config), []) if resume else resolve(config, command.typed)
