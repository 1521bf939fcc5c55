"""A small BigGAN on Fashion-MNIST (Brock et al., 2019): class-conditional ResNets, projection, orthogonal regularisation.

    gan-jax train biggan --seed 0
    gan-jax sample runs/biggan --truncation 0.5

Takes:    not run at this length, which is meant for a GPU
Reaches:  classifier_fd 24.2 at width 8 on digits after 1,500 steps (307 s of one CPU core). Another seed lost a class (104.7)
Paper:    FID 7.4, Inception score 166.5 on ImageNet at 128x128
Differs:  Fashion-MNIST at 32x32, small width and batch, fakes have the labels of the reals of their batch instead of labels of their
          own, and the truncation trick is a flag of `gan-jax sample`
"""

from gan_jax.trainer.config import (
    Config,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    PenaltyConfig,
    TransformConfig,
    UpdateConfig,
)

CONFIG = Config(
    steps=50_000,
    batch_size=64,
    sample_every=1000,
    sample_grid=10,
    checkpoint_every=5000,
    data=DataConfig(source="fashion_mnist"),
    model=ModelConfig(name="biggan", width=32, latent_dim=120, conditional=True),
    loss=LossConfig(name="hinge"),
    penalty=PenaltyConfig(orthogonal_generator=1e-4),
    transform=TransformConfig(spectral_norm="both"),
    optimizer=OptimizerConfig(generator_lr=1e-4, discriminator_lr=4e-4, b1=0.0, b2=0.999),
    update=UpdateConfig(discriminator_steps=2),
)
