"""ACGAN on the embedded digits (Odena et al., 2017): D also classifies, and G is rewarded for recognisable classes.

    gan-jax train acgan --seed 0

Takes:    225 s of processor time, one CPU core
Reaches:  classifier_fd 14.6 ± 0.6 (real held-out digits: 7.6), precision 0.87, recall 0.66, from 2 seeds
Paper:    Inception score 8.25 ± 0.07 on CIFAR-10
Differs:  D learns the classes of the reals only (docs/recipes.md says why)
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig

CONFIG = Config(
    steps=3000,
    batch_size=64,
    sample_grid=10,
    data=DataConfig(source="mnist5k"),
    loss=LossConfig(real_target=(0.9, 0.9), classify_fakes=False),
    model=ModelConfig(name="dcgan", width=32, latent_dim=64, conditional=True, auxiliary=True, condition="none"),
    optimizer=OptimizerConfig(generator_lr=1e-3, discriminator_lr=1e-3),
)
