"""Runs `gan-jax report`; see `gan_jax.cli.report`."""

from gan_jax.cli.report import main

if __name__ == "__main__":
    raise SystemExit(main())
