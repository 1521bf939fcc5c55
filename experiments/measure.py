"""Runs `gan-jax measure`, see `gan_jax.cli.measure`."""

from gan_jax.cli.main import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("measure"))
