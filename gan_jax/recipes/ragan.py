"""RaSGAN on the embedded digits (Jolicoeur-Martineau, 2019): the relativistic average loss, spectral normalisation in D.

    gan-jax train ragan --seed 0
    gan-jax train ragan --seed 0 --loss.name relativistic_average_least_squares      # RaLSGAN

Takes:    not run at this length. 600 steps take 28 s of processor time, one CPU core (a Zen 5)
Reaches:  classifier_fd 250.2 after those 600 steps (real held-out digits: 7.6), recall 0.32, from seed 0: docs/recipes.md
Paper:    FID 11.97 of RaLSGAN on cats at 64x64, 32.11 of RaSGAN at 256x256 (the authors' page)
Differs:  the settings are those of the authors' stable.sh for CIFAR-10, on digits at 32x32. DCGAN's networks instead of SNGAN's
          (which have a 3x3 convolution at the end of G, and seven convolutions in D), half the width, LeakyReLU in G, and its slope
          0.2 instead of 0.1 in D. The losses are not halved, which changes nothing with Adam
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
