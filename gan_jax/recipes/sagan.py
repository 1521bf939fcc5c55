"""SAGAN on Fashion-MNIST (Zhang et al., 2019): self-attention, spectral normalisation in both players, TTUR, hinge loss.

    gan-jax train sagan --seed 0

Takes:    not run at this length, which is meant for a GPU
Reaches:  classifier_fd 158.5 on digits at width 16 after 500 steps (308 s of processor time, one core of a Zen 4): docs/recipes.md
Paper:    FID 18.65, Inception score 52.52 on ImageNet at 128x128, with classes
Differs:  Fashion-MNIST at 32x32, and no classes. The learning rates 1e-4 and 4e-4 are those of the paper
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig, TransformConfig

CONFIG = Config(
    steps=100_000,
    batch_size=64,
    sample_every=1000,
    checkpoint_every=5000,
    data=DataConfig(source="fashion_mnist"),
    model=ModelConfig(name="sagan", width=32, latent_dim=128),
    loss=LossConfig(name="hinge"),
    transform=TransformConfig(spectral_norm="both"),
    optimizer=OptimizerConfig(generator_lr=1e-4, discriminator_lr=4e-4, b1=0.0, b2=0.9),
)
