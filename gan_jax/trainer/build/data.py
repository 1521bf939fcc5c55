"""From a configuration to the data of a run."""

from pathlib import Path
from typing import Any

import jax

from gan_jax._internal.files import cache_folder
from gan_jax.data import DataError, Feed, Source, load_source, loader_of
from gan_jax.distributed import Placement
from gan_jax.models import MODELS
from gan_jax.trainer.config.flags import name_flag
from gan_jax.trainer.config.schema import Config
from gan_jax.trainer.config.validate import ConfigError


def load_data(config: Config) -> Source:
    """Loads the data set of a configuration.

    Raises:
        DataError: If the data cannot be loaded, as in `load_source`. The message names the flag.
    """
    data = config.data
    # These fields always have a value. They are passed only to the sources that take them.
    always: dict[str, Any] = {"image_size": data.size, "on_corrupt": data.on_corrupt, "resize": data.resize, "direction": data.direction}
    always["cache"] = decoded_images_folder(data.cache)
    try:
        known = loader_of(data.source).arguments
        taken = {name: value for name, value in always.items() if name in known}
        given: dict[str, Any] = {"data_dir": data.directory, "channels": data.channels, "pairs": data.pairs}
        source = load_source(data.source, split=data.split, **given, **taken)
    except DataError as error:
        raise DataError(name_flag(error, "data")) from error
    return source


def decoded_images_folder(cache: str) -> Path | None:
    """The folder of decoded images for a value of `--data.cache`. None if none are stored."""
    if cache == "auto":
        folder = cache_folder()
        return folder and folder / "images"
    return None if cache == "off" else Path(cache)


def check_pairs(config: Config, source: Source) -> None:
    """Raises ConfigError if the model learns from pairs and the data have inputs without partners."""
    unpaired, name = source.inputs is not None and not source.paired, config.model.name
    if unpaired and MODELS[name].context == "image":
        reason = f"--model.name {name}: learns from pairs, and the two domains of {source.name} are not paired"
        raise ConfigError(reason, advice="use --model.name cyclegan")


def build_feed(config: Config, source: Source, *, batches_per_step: int = 1, placement: Placement | None = None) -> Feed:
    """The batches of a run, for this process.

    Args:
        config: Configuration of the run.
        source: Source of the examples.
        batches_per_step: Number of batches in a train step, one for each discriminator update.
        placement: The devices that share a train step. None for one device.

    Raises:
        DataError: As `Feed`. The message names the flag.
    """
    try:
        return Feed(
            source,
            batch_size=config.batch_size * batches_per_step,
            seed=config.seed,
            pipeline=config.data.pipeline,
            workers=config.data.workers,
            flip=config.data.flip,
            balanced=config.data.balanced,
            minibatches=batches_per_step,
            jitter=config.data.jitter,
            sharding=placement and placement.batches,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
    except DataError as error:
        typed = f"{config.batch_size} x --update.discriminator-steps {batches_per_step}"
        raise DataError(name_flag(error, "data", **({"batch_size": typed} if batches_per_step > 1 else {}))) from error
