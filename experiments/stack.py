"""Runs `gan-jax stack`, see `gan_jax.cli.stack`."""

from gan_jax.cli.main import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("stack"))
