"""Data: sources of images and points, and the batches of each train step."""

from gan_jax.data.batches import Batches, check_batch_size
from gan_jax.data.errors import DataError, DataWarning
from gan_jax.data.feed import DeviceBatches, Feed, StreamBatches, gather_batches
from gan_jax.data.source import Source, check_unchanged
from gan_jax.data.sources import SOURCES, load_source, loader_of
from gan_jax.data.summary import DataSummary, summarize

__all__ = [
    "SOURCES",
    "Batches",
    "DataError",
    "DataSummary",
    "DataWarning",
    "DeviceBatches",
    "Feed",
    "Source",
    "StreamBatches",
    "check_batch_size",
    "check_unchanged",
    "gather_batches",
    "load_source",
    "loader_of",
    "summarize",
]
