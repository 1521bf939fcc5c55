"""Runs `gan-jax verify`; see `gan_jax.cli.verify`."""

from gan_jax.cli.verify import main

if __name__ == "__main__":
    raise SystemExit(main())
