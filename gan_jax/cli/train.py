"""Trains a GAN.

    gan-jax train RECIPE [flags]            starts a run, in runs/RECIPE
    gan-jax train RECIPE --help             the common flags, with their defaults in this recipe
    gan-jax train RECIPE --help-all         every flag
    gan-jax train --resume runs/RECIPE      continues a run, to the bytes of an uninterrupted run
    gan-jax train --resume auto RECIPE      continues the newest run of the recipe, or starts one
    gan-jax train --config run.yaml         starts a run of a saved configuration
    gan-jax train --fork runs/RECIPE        continues the state of a run in a new run, with changed flags

--open shows the report in a browser at the end. --lr sets both learning rates. --model.options.NAME VALUE sets any option of the model,
see `gan-jax models`.
--compilation-cache DIR|none sets the directory of compiled programs. For several processes use `gan-jax launch`, or start each one
with --distributed.coordinator HOST:PORT --distributed.num-processes N --distributed.process-id I.

The exit status is 0 after training, 2 after an error, 3 if --monitor.on-failure ended the run, 4 if another process is lost, and 5 if
the last weights could not be saved, e.g. on a full disk.
"""

import dataclasses
import os
import shlex
import sys
from pathlib import Path

from gan_jax.cli.errors import NOT_SAVED, errors_as_lines
from gan_jax.cli.train_command import TrainCommand, base_config, find_run, parse_config, read_command, read_config
from gan_jax.recipes import looks_at_data, recipes

FAILED = 3
USAGE = "usage: gan-jax train {name} [flags]   or: gan-jax train --resume DIR|auto, gan-jax train --config FILE"


def main(arguments: list[str] | None = None) -> None:
    """Trains. Exits with another status than 0 if the run fails."""
    arguments = sys.argv[1:] if arguments is None else arguments
    command = read_command(arguments)
    if command.help or not arguments:
        print_help(command)
        return
    # The same bytes in every run on a GPU. This must be set before JAX is used.
    os.environ.setdefault("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")
    from gan_jax.distributed import abort_process
    from gan_jax.trainer.progress import tolerating_broken_stderr

    with tolerating_broken_stderr():
        try:
            with errors_as_lines():
                status = run(command, shlex.join(["gan-jax", "train", *arguments]))
        except SystemExit as end:
            if command.several_processes and end.code:
                abort_process(int(end.code))
            raise
    if status:
        raise SystemExit(status)


def print_help(command: TrainCommand) -> None:
    """Prints the help that was requested."""
    from gan_jax.cli.train_help import short_help

    if not command.recipe and not command.own:
        print(__doc__)
        print("\n".join(f"  {name:20} {text}" for name, (text, _) in recipes().items()))
        return
    with errors_as_lines():
        config = base_config(command, find_run(command) if "--resume" in command.own else None)
    if command.help == "--help-all":
        parse_config(config, command, __doc__)
    name = command.recipe or config.recipe
    print(short_help(config, USAGE.format(name=name), name))


def run(command: TrainCommand, text: str) -> int:
    """Trains, and returns the exit status.

    Args:
        command: The command line.
        text: The command line as it is recorded in run.json.
    """
    from gan_jax.cli.compilation_cache import use_compilation_cache
    from gan_jax.distributed import decide_on_process_zero, is_main_process, simulate_devices, start
    from gan_jax.trainer.build.compatibility import resolve
    from gan_jax.trainer.config import Config, check
    from gan_jax.trainer.run_directory import RunError

    resuming, resume = "--resume" in command.own, None
    # Wrong flags are reported before the processes connect.
    config, notices = (Config(), []) if resuming else read_config(command)
    if command.several_processes:
        # The processes must connect before they can agree on the run to continue, and connecting initialises the devices.
        flags = parse_config(Config(), command)
        simulate_devices(flags.parallel.devices)
        start(**dataclasses.asdict(check(Config(distributed=flags.distributed)).distributed))
    if resuming:
        # Another process may already be creating the directory, so only process 0 searches.
        found = decide_on_process_zero(lambda: str(find_run(command) or ""), RunError) if command.several_processes else find_run(command)
        resume = Path(found) if found else None
        config, notices = read_config(command, resume)
    if not command.several_processes:
        simulate_devices(config.parallel.devices)
    use_compilation_cache(command.own.get("--compilation-cache"))
    if resume is None and "--config" not in command.own and config.fork is None and looks_at_data(config.recipe):
        from gan_jax.trainer.choices import look

        config, lines = look(config, command.typed)
        config, more = resolve(dataclasses.replace(config, choices="\n".join(lines)), command.typed)
        notices = [*notices, *more]
        if is_main_process():
            for line in lines:
                print(f"chosen: {line}", file=sys.stderr)
    if is_main_process():
        for notice in notices:
            print(f"notice: {notice}", file=sys.stderr)
    from gan_jax.trainer.loop import train

    # A run that was killed before its first checkpoint starts again, because --resume auto is the command of a loop.
    auto = command.own.get("--resume") == "auto"
    result = train(config, resume=resume, may_restart=auto, command=text)
    if command.open and is_main_process():
        open_report(result.directory / "report.html")
    return FAILED if result.failure is not None else 0 if result.saved else NOT_SAVED


def open_report(path: Path) -> None:
    """Opens a report in a browser, or prints one line if there is none."""
    import webbrowser

    if not path.is_file() or not webbrowser.open(path.resolve().as_uri()):
        print(f"notice: --open: no browser could show {path}", file=sys.stderr)
