"""Runs the console command: `python -m gan_jax` is `gan-jax`."""

from gan_jax.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
