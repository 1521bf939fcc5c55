"""Runs `gan-jax invert`, see `gan_jax.cli.invert`."""

from gan_jax.cli.main import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("invert"))
