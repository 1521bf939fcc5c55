"""Batches that are larger than the data set."""

import dataclasses

from gan_jax.data import DataError, Source, check_batch_size
from gan_jax.trainer.config import Config
from gan_jax.trainer.config.flags import name_flag


def fit_batch(config: Config, source: Source, *, devices: int = 1) -> tuple[Config, str]:
    """Shrinks a batch that is larger than the data set, if `--data.shrink-batch` allows it.

    Args:
        config: The configuration.
        source: The data set.
        devices: Number of devices that share a batch. They, the micro-batches and the packs divide the new batch.

    Returns:
        The configuration, and a line about the change, or "".

    Raises:
        DataError: The batch is larger than the data set and may not or cannot be shrunk. The message names the flag.
    """
    parts = devices * config.update.micro_batches * config.augment.pack
    size = len(source) // parts * parts
    if config.batch_size > len(source) and config.data.shrink_batch and size:
        line = f"the batch of {config.batch_size} is larger than the {len(source)} examples to train on: --batch-size is {size} here"
        return dataclasses.replace(config, batch_size=size), line
    try:
        check_batch_size(config.batch_size, source)
    except DataError as error:
        raise DataError(name_flag(error, "data")) from error
    return config, ""
