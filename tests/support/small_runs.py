"""Small runs for tests of the trainer."""

import dataclasses
import io

from rich.console import Console

from gan_jax.trainer.config import Config, DataConfig, EvaluationConfig, ModelConfig, OptimizerConfig
from gan_jax.trainer.loop import TrainResult, train

SHORT = Config(
    steps=4,
    batch_size=8,
    log_every=1,
    sample_every=0,
    checkpoint_every=2,
    tensorboard=False,
    data=DataConfig(source="ring"),
    model=ModelConfig(name="points", latent_dim=2, options={"generator_hidden": "8", "discriminator_hidden": "8"}),
    evaluation=EvaluationConfig(samples=0),
)
SMALL = dataclasses.replace(
    SHORT,
    steps=24,
    log_every=2,
    sample_every=6,
    checkpoint_every=6,
    sample_grid=3,
    optimizer=OptimizerConfig(generator_lr=1e-4, discriminator_lr=1e-4),
)


def trained(config: Config, **options) -> tuple[TrainResult, str]:
    """The result of a training, and what it printed."""
    printed = io.StringIO()
    return train(config, console=Console(file=printed, width=1000), **options), printed.getvalue()
