"""Runs `gan-jax verify`, see `gan_jax.cli.verify`."""

from gan_jax.cli.main import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("verify"))
