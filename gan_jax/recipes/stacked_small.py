"""The first stage of a stacked GAN on the embedded digits: 8x8 images.

    gan-jax train stacked_small --seed 0

Takes:    not recorded
Reaches:  8x8 images are too small for the metrics of this library. docs/recipes.md has both stages in sequence
Paper:    no counterpart
Differs:  the plain DCGAN of dcgan_mnist at 8x8
"""

from gan_jax.trainer.config import Config, DataConfig, EvaluationConfig, LossConfig, ModelConfig, OptimizerConfig

CONFIG = Config(
    steps=10_000,
    batch_size=64,
    scan_steps=10,
    data=DataConfig(source="mnist5k", image_size=8),
    model=ModelConfig(name="dcgan", width=64, latent_dim=64),
    loss=LossConfig(real_target=(0.9, 0.9)),
    optimizer=OptimizerConfig(generator_lr=1e-3, discriminator_lr=1e-3),
    evaluation=EvaluationConfig(extractor="pixels"),
)
