"""Runs `gan-jax train`, see `gan_jax.cli.train`."""

from gan_jax.cli.main import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("train"))
