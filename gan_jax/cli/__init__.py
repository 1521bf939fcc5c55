"""The commands of `gan-jax`, one file for each command."""
