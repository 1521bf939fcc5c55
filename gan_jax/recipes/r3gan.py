"""R3GAN on Fashion-MNIST (Huang et al., 2024): the paired relativistic loss with R1 and R2, and its schedules.

    gan-jax train r3gan --seed 0

Takes:    not run at this length, which is meant for a GPU
Reaches:  not known with these schedules. With a constant gamma: docs/recipes.md
Paper:    FID 1.96 on CIFAR-10, 2.75 on FFHQ at 256x256
Differs:  Fashion-MNIST at 32x32 with the schedules of the authors' preset for CIFAR-10. A small network, a batch of 64 instead of
          512, a burn-in of 1.6 million images instead of 20 million with a half-life of the moving average of a quarter of it as there,
          and colour augmentations at the full probability instead of half of it
"""

from gan_jax.trainer.config import AugmentConfig, Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig, PenaltyConfig, UpdateConfig

CONFIG = Config(
    steps=50_000,
    batch_size=64,
    sample_every=1000,
    checkpoint_every=5000,
    burn_in=0.5,
    data=DataConfig(source="fashion_mnist"),
    model=ModelConfig(name="r3gan", width=48, latent_dim=64),
    loss=LossConfig(name="relativistic"),
    # gamma 0.05 to 0.005. The weights are gamma / 2.
    penalty=PenaltyConfig(r1=0.025, r2=0.025, final=0.1),
    optimizer=OptimizerConfig(
        generator_lr=2e-4, discriminator_lr=2e-4, lr_final=0.25, b1=0.0, b2=0.9, b2_final=0.99, ema_images_final=400_000.0, ema_rampup=0.0
    ),
    update=UpdateConfig(generator_reals="fresh"),
    augment=AugmentConfig(ada_policy="blit,geometry,color,cutout", ada_probability_final=0.55),
)
