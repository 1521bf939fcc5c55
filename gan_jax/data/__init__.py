"""Data: sources of images and points, and the batches of each train step."""

from gan_jax.data.batches import Batches
from gan_jax.data.errors import DataError, DataWarning
from gan_jax.data.feed import DeviceBatches, Feed, StreamBatches, gather_batches
from gan_jax.data.source import Source, check_unchanged
from gan_jax.data.sources import SOURCES, load, load_source

__all__ = [
    "SOURCES",
    "Batches",
    "DataError",
    "DataWarning",
    "DeviceBatches",
    "Feed",
    "Source",
    "StreamBatches",
    "check_unchanged",
    "gather_batches",
    "load",
    "load_source",
]
