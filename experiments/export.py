"""Runs `gan-jax export`, see `gan_jax.cli.export`."""

from gan_jax.cli.main import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("export"))
