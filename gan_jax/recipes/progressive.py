"""Progressive growing on the embedded digits (Karras et al., 2018): 4 -> 8 -> 16 -> 32 in one run, WGAN-GP.

    gan-jax train progressive --seed 0

Takes:    not run at this width. At width 16 it takes 1,106 s of processor time, one CPU core (a Zen 4)
Reaches:  classifier_fd 187.4 at width 16 (real held-out digits: 7.6), precision 0.48, recall 0.51, from seed 0: docs/recipes.md
Paper:    Inception score 8.80 on CIFAR-10
Differs:  digits at 32x32, phases of equal length in steps, no drift penalty (the paper: `--penalty.drift 0.001`), and a lower
          learning rate of G (the paper: 1e-3 for both), with which D keeps ahead in so few steps
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig, PenaltyConfig

CONFIG = Config(
    steps=14_000,
    batch_size=32,
    sample_every=250,
    checkpoint_every=1000,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="progressive", width=64, latent_dim=128, latents="spherical"),
    loss=LossConfig(name="wasserstein"),
    penalty=PenaltyConfig(wgan_gp=10.0),
    optimizer=OptimizerConfig(generator_lr=3e-4, discriminator_lr=1e-3, b1=0.0, b2=0.99),
)
