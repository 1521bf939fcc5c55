"""R3GAN on Fashion-MNIST (Huang et al., 2024): the paired relativistic loss with R1 and R2, and no other tricks.

    gan-jax train r3gan --seed 0

Takes:    not run at this length, which is meant for a GPU
Reaches:  readable digits of 16x16 at width 16 after 2,500 steps (821 s of processor time, one core of a Zen 4): docs/recipes.md
Paper:    FID 1.96 on CIFAR-10, 2.75 on FFHQ at 256x256
Differs:  Fashion-MNIST at 32x32, a small network, constant gamma and learning rate. The paper's gamma/2 is the weight here
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig, PenaltyConfig

CONFIG = Config(
    steps=50_000,
    batch_size=64,
    sample_every=1000,
    checkpoint_every=5000,
    data=DataConfig(source="fashion_mnist"),
    model=ModelConfig(name="r3gan", width=48, latent_dim=64),
    loss=LossConfig(name="relativistic"),
    penalty=PenaltyConfig(r1=0.5, r2=0.5),
    optimizer=OptimizerConfig(generator_lr=2e-4, discriminator_lr=2e-4, b1=0.0, b2=0.99),
)
