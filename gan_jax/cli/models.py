"""Lists the models with their options and defaults. An option is set with --model.options.NAME VALUE."""

from gan_jax.cli.parsing import argument_parser
from gan_jax.models import MODELS


def main(arguments: list[str] | None = None) -> None:
    """Prints each model with its options and their defaults."""
    argument_parser(__doc__, "gan-jax models").parse_args(arguments)
    for name, row in MODELS.items():
        print(f"{name}: {', '.join(f'{option}={default!r}' for option, default in row.options.items())}")
