"""The second stage of a stacked GAN on the embedded digits: 32x32 from 8x8 (Denton et al., 2015, and Zhang et al., 2017).

    gan-jax train stacked --seed 0
    gan-jax train stacked_small --seed 0
    gan-jax stack runs/stacked_small runs/stacked      # samples of the two stages in sequence

Takes:    not run at this length. 1,000 steps take 685 s of processor time, one CPU core (a Zen 4)
Reaches:  classifier_fd 17.9 after those 1,000 steps, from real small images (real held-out digits: 7.6): docs/recipes.md
Paper:    Inception score 3.70 ± 0.04 on CUB birds, from texts (StackGAN)
Differs:  one step of 8x8 to 32x32, without text and without Laplacian residuals
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig

CONFIG = Config(
    steps=3000,
    batch_size=64,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="stacked", width=32, latent_dim=64),
    loss=LossConfig(real_target=(0.9, 0.9), reconstruction=1.0),
    optimizer=OptimizerConfig(generator_lr=1e-3, discriminator_lr=1e-3),
)
