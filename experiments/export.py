"""Runs `gan-jax export`; see `gan_jax.cli.export`."""

from gan_jax.cli.export import main

if __name__ == "__main__":
    raise SystemExit(main())
