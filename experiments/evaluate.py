"""Runs `gan-jax evaluate`; see `gan_jax.cli.evaluate`."""

from gan_jax.cli.evaluate import main

if __name__ == "__main__":
    raise SystemExit(main())
