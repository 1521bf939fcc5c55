"""Runs `gan-jax train`; see `gan_jax.cli.train`."""

from gan_jax.cli.train import main

if __name__ == "__main__":
    raise SystemExit(main())
