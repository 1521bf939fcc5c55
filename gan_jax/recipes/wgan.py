"""WGAN on the embedded digits (Arjovsky et al., 2017): a critic with clipped weights, RMSProp, five critic updates a step.

    gan-jax train wgan --seed 0

Takes:    not run at this length. 2,000 steps take 373 s of processor time, one CPU core (a Zen 5)
Reaches:  classifier_fd 480.5 after those 2,000 steps (real held-out digits: 7.6), recall 0.00, from seed 0: docs/recipes.md
Paper:    no distance, but samples of LSUN bedrooms at 64x64
Differs:  digits at 32x32, half the width, LeakyReLU in G, no batch norm in the critic (the authors' code has it by default), always
          five critic updates (the authors' code makes 100 in the first 25 steps and in every 500th), and clipping after each update
          instead of before it
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig, UpdateConfig

CONFIG = Config(
    steps=20_000,
    batch_size=64,
    sample_every=1000,
    checkpoint_every=1000,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="dcgan", width=32, latent_dim=100, discriminator_norm="none"),
    loss=LossConfig(name="wasserstein"),
    # RMSProp's decay is `b2`. PyTorch's default, which the authors use, is 0.99.
    optimizer=OptimizerConfig(
        generator="rmsprop",
        discriminator="rmsprop",
        generator_lr=5e-5,
        discriminator_lr=5e-5,
        b2=0.99,
        clip_weights=0.01,
        ema_decay=0.0,
    ),
    update=UpdateConfig(discriminator_steps=5),
)
