"""WGAN-GP on the embedded digits (Gulrajani et al., 2017): gradient penalty instead of clipping, five critic updates a step.

    gan-jax train wgan_gp --seed 0

Takes:    not run at this length. 400 steps take 110 s of processor time, one CPU core (a Zen 5)
Reaches:  classifier_fd 313.1 after those 400 steps (real held-out digits: 7.6), recall 0.19, from seed 0: docs/recipes.md
Paper:    Inception score 7.86 ± 0.07 on CIFAR-10, with ResNets
Differs:  the settings are those of the authors' gan_cifar.py, on digits at 32x32. A quarter of its width, 4x4 convolutions instead of
          5x5, LeakyReLU in G, no biases in G, and initial weights from N(0, 0.02). The critic is updated before G in each step
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig, PenaltyConfig, UpdateConfig

CONFIG = Config(
    steps=20_000,
    batch_size=64,
    sample_every=1000,
    checkpoint_every=1000,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="dcgan", width=32, latent_dim=128, discriminator_norm="none"),
    loss=LossConfig(name="wasserstein"),
    penalty=PenaltyConfig(wgan_gp=10.0),
    optimizer=OptimizerConfig(generator_lr=1e-4, discriminator_lr=1e-4, b1=0.5, b2=0.9, ema_decay=0.0),
    update=UpdateConfig(discriminator_steps=5),
)
