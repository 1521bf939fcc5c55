"""Runs `gan-jax sample`, see `gan_jax.cli.sample`."""

from gan_jax.cli.main import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("sample"))
