"""Runs `gan-jax sample`; see `gan_jax.cli.sample`."""

from gan_jax.cli.sample import main

if __name__ == "__main__":
    raise SystemExit(main())
