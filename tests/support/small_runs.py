"""A small run for tests of the trainer."""

from gan_jax.trainer.config import Config, DataConfig, EvaluationConfig, ModelConfig, OptimizerConfig

SMALL = Config(
    steps=24,
    batch_size=8,
    log_every=2,
    sample_every=6,
    checkpoint_every=6,
    sample_grid=3,
    tensorboard=False,
    data=DataConfig(source="ring"),
    model=ModelConfig(name="points", latent_dim=2, options={"generator_hidden": "8", "discriminator_hidden": "8"}),
    evaluation=EvaluationConfig(samples=0),
    optimizer=OptimizerConfig(generator_lr=1e-4, discriminator_lr=1e-4),
)
