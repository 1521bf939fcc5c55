"""The console command `gan-jax COMMAND ...`."""

import importlib
import importlib.util
import sys

from gan_jax.cli.errors import did_you_mean, fail

COMMANDS = {
    "train": "train a GAN, or continue a run",
    "evaluate": "measure the quality of a trained generator",
    "measure": "measure a set of images against another",
    "invert": "find the latents of an image",
    "sample": "sample from a trained generator",
    "report": "write the report of a run, or compare runs",
    "theatre": "watch several GANs on the same points side by side, in one page",
    "export": "write the generator of a run as a file of its own",
    "verify": "repeat a run and check that it is reproduced to the byte",
    "sweep": "train many seeds and settings of a recipe at once",
    "launch": "train with several processes, and restart them if one is lost",
    "stack": "sample from the stages of a stacked GAN",
    "recipes": "list the recipes",
    "models": "list the models and their options",
}
# Modules of the extra `train`.
REQUIRED = ("tyro", "rich", "yaml", "tensorboardX")


def usage() -> str:
    """Returns the short help."""
    commands = "\n".join(f"  {name:10}{summary}" for name, summary in COMMANDS.items())
    return f"usage: gan-jax COMMAND ...\n\n{commands}\n\n`gan-jax COMMAND --help` shows the flags. Start with: gan-jax train dcgan_mnist"


def run_command(name: str, arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit status.

    Args:
        name: A key of `COMMANDS`.
        arguments: Words after the command. By default those of this process.
    """
    if any(importlib.util.find_spec(module) is None for module in REQUIRED):
        fail('the command needs more packages: pip install "gan-jax[train]"')
    return importlib.import_module(f"gan_jax.cli.{name}").main(sys.argv[1:] if arguments is None else arguments) or 0


def main(arguments: list[str] | None = None) -> int:
    """Runs `gan-jax` and returns its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words[0] == "--version":
        from gan_jax import __version__

        print(__version__)
        return 0
    if words[0] not in COMMANDS:
        fail(f"{words[0]}: no such command{did_you_mean(words[0], COMMANDS)}; see gan-jax --help")
    return run_command(words[0], words[1:])
