"""LSGAN on the embedded digits (Mao et al., 2017): least squares with the targets 1 and 0.

    gan-jax train lsgan --seed 0

Takes:    not run at this length. 1,500 steps take 104 s of processor time, one CPU core (a Zen 5)
Reaches:  classifier_fd 91.8 after those 1,500 steps (real held-out digits: 7.6), recall 0.68, from seed 0: docs/recipes.md
Paper:    no distance, but samples of five LSUN scenes at 112x112
Differs:  the settings are those of the authors' train_lsun.py, on digits at 32x32. DCGAN's generator instead of one with two
          convolutions per size, LeakyReLU in G, half the width, latents of dimension 100 instead of 1,024, 4x4 convolutions
          instead of 5x5 in D. The loss is a mean instead of a sum over the batch, which changes nothing with Adam
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig, UpdateConfig

CONFIG = Config(
    steps=3000,
    batch_size=64,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="dcgan", width=32, latent_dim=100, latents="uniform"),
    loss=LossConfig(name="least_squares"),
    optimizer=OptimizerConfig(generator_lr=1e-3, discriminator_lr=1e-3, ema_decay=0.0),
    # Both players are updated on the fakes of the same latents.
    update=UpdateConfig(fakes="shared"),
)
