"""Lists the recipes."""

from gan_jax.cli.parsing import argument_parser
from gan_jax.recipes import recipes


def main(arguments: list[str] | None = None) -> None:
    """Prints the name and the first line of each recipe."""
    argument_parser(__doc__, "gan-jax recipes").parse_args(arguments)
    for name, (text, _) in recipes().items():
        print(f"{name:20} {text}")
