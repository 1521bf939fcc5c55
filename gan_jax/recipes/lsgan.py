"""LSGAN on the embedded digits (Mao et al., 2017): least squares with the targets 1 and 0.

    gan-jax train lsgan --seed 0

Takes:    TAKES
Reaches:  REACHES
Paper:    no distance, but samples of five LSUN scenes at 112x112
Differs:  digits at 32x32, DCGAN's generator of half the width instead of one with two convolutions per size, latents of dimension 100
          instead of 1,024, 4x4 convolutions instead of 5x5, and the mean of the losses instead of their sum, which Adam does not see
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig

CONFIG = Config(
    steps=3000,
    batch_size=64,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="dcgan", width=32, latent_dim=100, latents="uniform"),
    loss=LossConfig(name="least_squares"),
    optimizer=OptimizerConfig(generator_lr=1e-3, discriminator_lr=1e-3, ema_decay=0.0),
)
