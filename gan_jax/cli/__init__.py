"""The commands of `gan-jax`. One file a command."""
