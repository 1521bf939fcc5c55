"""Runs `gan-jax launch`, see `gan_jax.cli.launch`."""

from gan_jax.cli.main import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("launch"))
