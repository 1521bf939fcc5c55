"""The theatre: several GANs on the same points, side by side under one slider, in one HTML file."""

from gan_jax.trainer.theatre.games import BASE, GAMES, Game, game_config
from gan_jax.trainer.theatre.page import LARGEST_FILE, write_theatre
from gan_jax.trainer.theatre.record import Recording, record_game

__all__ = ["BASE", "GAMES", "LARGEST_FILE", "Game", "Recording", "game_config", "record_game", "write_theatre"]
