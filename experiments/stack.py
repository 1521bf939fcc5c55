"""Runs `gan-jax stack`; see `gan_jax.cli.stack`."""

from gan_jax.cli.stack import main

if __name__ == "__main__":
    raise SystemExit(main())
