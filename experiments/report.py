"""Runs `gan-jax report`, see `gan_jax.cli.report`."""

from gan_jax.cli.main import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("report"))
