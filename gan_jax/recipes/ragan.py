"""RaSGAN on the embedded digits (Jolicoeur-Martineau, 2019): the relativistic average loss, spectral normalisation in D.

    gan-jax train ragan --seed 0
    gan-jax train ragan --seed 0 --loss.name relativistic_average_least_squares      # RaLSGAN

Takes:    TAKES
Reaches:  REACHES
Paper:    PAPER
Differs:  digits at 32x32, half the width
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig, TransformConfig, UpdateConfig

CONFIG = Config(
    steps=10_000,
    batch_size=32,
    sample_every=500,
    checkpoint_every=1000,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="dcgan", width=32, latent_dim=128, discriminator_norm="none"),
    loss=LossConfig(name="relativistic_average"),
    transform=TransformConfig(spectral_norm="discriminator"),
    optimizer=OptimizerConfig(ema_decay=0.0),
    update=UpdateConfig(generator_reals="fresh"),
)
