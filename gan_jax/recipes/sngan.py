"""SNGAN on Fashion-MNIST (Miyato et al., 2018): ResNets, spectral normalisation in D, hinge loss, five discriminator updates a step.

    gan-jax train sngan --seed 0

Takes:    not run at this length, which is meant for a GPU
Reaches:  classifier_fd 158.0 on digits at width 16 after 300 steps: docs/recipes.md
Paper:    FID 21.7 ± 0.21, Inception score 8.22 ± 0.05 on CIFAR-10
Differs:  Fashion-MNIST at 32x32 (the paper: CIFAR-10), and a quarter of the width. Adam (2e-4, b1 0, b2 0.9) is that of the paper
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig, TransformConfig, UpdateConfig

CONFIG = Config(
    steps=100_000,
    batch_size=64,
    sample_every=1000,
    checkpoint_every=5000,
    data=DataConfig(source="fashion_mnist"),
    model=ModelConfig(name="sngan", width=64, latent_dim=128),
    loss=LossConfig(name="hinge"),
    transform=TransformConfig(spectral_norm="discriminator"),
    optimizer=OptimizerConfig(b1=0.0, b2=0.9),
    update=UpdateConfig(discriminator_steps=5),
)
