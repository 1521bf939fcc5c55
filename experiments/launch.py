"""Runs `gan-jax launch`; see `gan_jax.cli.launch`."""

from gan_jax.cli.launch import main

if __name__ == "__main__":
    raise SystemExit(main())
