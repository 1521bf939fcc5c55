"""InfoGAN on the embedded digits (Chen et al., 2016): D predicts a code of ten values from the image, without labels.

    gan-jax train infogan --seed 0

Takes:    229 s of processor time, one CPU core
Reaches:  classifier_fd 50.9 ± 0.3 (real held-out digits: 7.6), from 2 seeds. The codes became boldness and slant
Paper:    the code alone classifies the digits of MNIST with 5% errors
Differs:  only the categorical code, without continuous codes, and DCGAN's networks. A column of the samples is a code
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig

CONFIG = Config(
    steps=3000,
    batch_size=64,
    sample_grid=10,
    data=DataConfig(source="mnist5k"),
    loss=LossConfig(real_target=(0.9, 0.9)),
    model=ModelConfig(name="dcgan", width=32, latent_dim=64, codes=10, auxiliary=True, condition="none"),
    optimizer=OptimizerConfig(generator_lr=1e-3, discriminator_lr=1e-3),
)
