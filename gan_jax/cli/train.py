"""Trains a GAN.

    python experiments/train.py RECIPE [flags]            a new run, in runs/RECIPE
    python experiments/train.py RECIPE --help             every flag, with its default in that recipe
    python experiments/train.py --resume runs/RECIPE      continues a run, to the bytes of an uninterrupted one
    python experiments/train.py --resume auto RECIPE      continues the newest run of the recipe, or begins one
    python experiments/train.py --config run.yaml         a new run of a saved configuration
    python experiments/train.py --recipes                 the recipes
    python experiments/train.py --models                  the models and their options

Further: --compilation-cache DIR|none says where compiled programs are kept between runs. Several processes make one run with
--distributed.coordinator HOST:PORT --distributed.num-processes N --distributed.process-id I, or with experiments/launch.py.
"""

import argparse
import dataclasses
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from gan_jax.cli import common
from gan_jax.recipes import recipes

# Short names that users of other GAN scripts type.
ALIASES = {
    "--b1": ["--optimizer.b1"],
    "--b2": ["--optimizer.b2"],
    "--lr": ["--optimizer.generator-lr", "--optimizer.discriminator-lr"],
    "--latent-dim": ["--model.latent-dim"],
    "--image-size": ["--data.image-size"],
    "--img-size": ["--data.image-size"],
    "--channels": ["--data.channels"],
    "--workers": ["--data.workers"],
    "--n-cpu": ["--data.workers"],
    "--n-epochs": ["--epochs"],
    "--sample-interval": ["--sample-every"],
    "--on-failure": ["--monitor.on-failure"],
}


def with_aliases(arguments: list[str]) -> list[str]:
    """Replaces short flags by those of the configuration; `--lr` sets both players' learning rates."""
    spelled: list[str] = []
    position = 0
    while position < len(arguments):
        name, equals, value = arguments[position].replace("_", "-").partition("=") if arguments[position].startswith("--") else ("", "", "")
        position += 1
        if name not in ALIASES:
            spelled.append(arguments[position - 1])
            continue
        if not equals and position < len(arguments):
            value = arguments[position]
            position += 1
        for long in ALIASES[name]:
            spelled += [long, value]
    return spelled


def own_flags(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Splits off the flags that are not part of a configuration."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--resume")
    parser.add_argument("--config")
    parser.add_argument("--compilation-cache")
    parser.add_argument("--recipes", action="store_true")
    parser.add_argument("--models", action="store_true")
    parser.error = common.fail  # type: ignore[method-assign]
    return parser.parse_known_args(arguments)


def flags_in(arguments: list[str], prefix: str) -> list[tuple[str, str]]:
    """The flags that begin so, with their values."""
    found = []
    for argument, following in zip(arguments, [*arguments[1:], ""]):
        name, equals, value = argument.partition("=")
        if name.startswith(prefix):
            found.append((name.replace("_", "-"), value if equals else following))
    return found


def distributed_flags(arguments: list[str]) -> Any:
    """The group `distributed` alone: the processes must have met before any of them looks for the run to continue."""
    import tyro

    from gan_jax.trainer.config import Config, DistributedConfig, check

    own = [word for name, value in flags_in(arguments, "--distributed.") for word in (name.replace("--distributed.", "--"), value)]

    def from_flags() -> DistributedConfig:
        return tyro.cli(DistributedConfig, prog="train.py", args=own)

    return check(Config(distributed=common.parse(from_flags))).distributed if own else DistributedConfig()


def find_run(resume: str, arguments: list[str], saved: str | None = None) -> Path | None:
    """The run to continue: as named; with `auto` that of --out, or the newest of the recipe (or saved configuration), if there is one."""
    from gan_jax.trainer.config import load_config
    from gan_jax.trainer.run_directory import RunError

    if resume != "auto":
        if not (Path(resume) / "config.yaml").is_file():
            raise RunError(f"--resume {resume}: no run there (it has no config.yaml)")
        return Path(resume)
    chosen = [value for name, value in flags_in(arguments, "--out") if name == "--out"]
    if chosen:
        if not chosen[-1] or chosen[-1].startswith("--"):
            common.fail("--out: needs a directory")
        return Path(chosen[-1]) if (Path(chosen[-1]) / "config.yaml").is_file() else None
    recipe = load_config(Path(saved)).recipe if saved else next((argument for argument in arguments if not argument.startswith("-")), "")
    runs = [path for path in Path("runs").glob(f"{recipe}*") if path.name == recipe or path.name.removeprefix(f"{recipe}-").isdigit()]
    runs = [path for path in runs if (path / "config.yaml").is_file()]
    return max(runs, key=lambda path: (path / "config.yaml").stat().st_mtime) if runs else None


def read(arguments: list[str]) -> tuple[Any, Path | None, argparse.Namespace]:
    """The configuration that the command line asks for, and the run that it continues."""
    import tyro

    from gan_jax.distributed import decide_on_process_zero
    from gan_jax.trainer.config import Config, DistributedConfig, check, load_config
    from gan_jax.trainer.run_directory import RunError

    own, rest = own_flags(arguments)
    # Where there are several processes, one of them looks: another may already be making the directory.
    resume = None
    if own.resume and several_processes(arguments):
        found = decide_on_process_zero(lambda: str(find_run(own.resume, rest, own.config) or ""), RunError)
        resume = Path(found) if found else None
    elif own.resume:
        resume = find_run(own.resume, rest, own.config)
    saved = resume / "config.yaml" if resume else Path(own.config) if own.config else None
    options, rest = common.split_options(with_aliases(rest))
    known = recipes()
    if saved is None:
        defaults = {
            name: (text, common.with_options(dataclasses.replace(config, recipe=name), options)) for name, (text, config) in known.items()
        }

        def from_recipe() -> Config:
            return tyro.extras.overridable_config_cli(
                defaults, prog="train.py", description=__doc__, args=rest, config=(tyro.conf.AvoidSubcommands,)
            )

        config = common.parse(from_recipe)
        if config.epochs and flags_in(rest, "--steps") and not flags_in(rest, "--epochs"):
            config = dataclasses.replace(config, epochs=0)  # who asks for a number of steps means it
        return check(config), None, own
    config = dataclasses.replace(load_config(saved), out=None, distributed=DistributedConfig())
    config = common.with_options(config, options)
    if rest and rest[0] in known:
        if rest[0] != config.recipe:
            common.fail(f"{saved} is a run of the recipe {config.recipe}, not of {rest[0]}")
        rest = rest[1:]

    def from_file() -> Config:
        return tyro.cli(Config, prog="train.py", description=__doc__, default=config, args=rest)

    return check(common.parse(from_file)), resume, own


def show_models() -> None:
    """Prints each model with the options that it understands and their defaults."""
    from gan_jax.models import MODELS

    for name, row in MODELS.items():
        options = ", ".join(f"{option}={default!r}" for option, default in row.options.items())
        print(f"{name}: {options}")


def main() -> None:
    """Reads the flags, trains, and ends with status 0; 2 after one line of error; 3 where --on-failure ended a failing run; 4 where
    another process of the run is gone."""
    arguments = sys.argv[1:]
    if not arguments or arguments in (["-h"], ["--help"]):
        print(__doc__)
        arguments = ["--recipes"]
    if "--recipes" in arguments:
        for name, (text, _) in recipes().items():
            print(f"{name:20} {text}")
        return
    if "--models" in arguments:
        show_models()
        return
    # Where there is a GPU, the same bytes every time; before JAX is first used.
    os.environ.setdefault("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")
    from gan_jax.distributed import abort_process

    try:
        with common.errors_as_lines():
            failed = run(arguments)
    except SystemExit as end:
        if several_processes(arguments) and end.code:
            abort_process(int(end.code))
        raise
    if failed:
        raise SystemExit(3)


def several_processes(arguments: list[str]) -> bool:
    """Whether this is one process of several."""
    return bool(flags_in(arguments, "--distributed.coordinator"))


def run(arguments: list[str]) -> bool:
    """Trains; says whether a failure of the training ended it."""
    from gan_jax.distributed import simulate_devices, start

    known = None if flags_in(arguments, "--resume") else read(arguments)
    if several_processes(arguments):
        # To agree on the run to continue, the processes must have met, and meeting, they look at their devices.
        asked = [value for _, value in flags_in(arguments, "--parallel.devices")]
        simulate_devices(int(asked[-1]) if asked and asked[-1].isdigit() else None)
        start(**dataclasses.asdict(distributed_flags(arguments)))
    config, resume, own = known or read(arguments)
    if not several_processes(arguments):
        simulate_devices(config.parallel.devices)
    common.compilation_cache(own.compilation_cache)
    from gan_jax.trainer.loop import train

    return train(config, resume=resume, command=shlex.join(["python", "experiments/train.py", *sys.argv[1:]])).failure is not None


if __name__ == "__main__":
    main()
