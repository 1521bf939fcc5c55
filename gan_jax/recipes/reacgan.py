"""ReACGAN on the embedded digits (Kang et al., 2021): D embeds images and compares them with each other and with their classes.

    gan-jax train reacgan --seed 0

Takes:    not measured yet at this length
Reaches:  not measured yet
Paper:    FID 8.21 on ImageNet at 128x128
Differs:  the weight, margin and temperature of the loss and the 512 dimensions of the embedding are those of the authors' configuration for
          CIFAR-10. Networks, adversarial loss, optimiser and batch size are those of the recipe acgan: DCGAN instead of BigGAN, the
          non-saturating loss with one-sided label smoothing instead of hinge, batch norm in D instead of spectral norm in both, one
          update of D, and fakes have the labels of the reals of their batch instead of labels of their own
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig

CONFIG = Config(
    steps=3000,
    batch_size=64,
    sample_grid=10,
    data=DataConfig(source="mnist5k"),
    loss=LossConfig(real_target=(0.9, 0.9), data_to_data=0.5),
    model=ModelConfig(name="dcgan", width=32, latent_dim=64, conditional=True, proxy_dim=512, condition="none"),
    optimizer=OptimizerConfig(generator_lr=1e-3, discriminator_lr=1e-3),
)
