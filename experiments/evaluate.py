"""Runs `gan-jax evaluate`, see `gan_jax.cli.evaluate`."""

from gan_jax.cli.main import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("evaluate"))
