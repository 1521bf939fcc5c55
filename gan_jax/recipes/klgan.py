"""KL + GAN on the embedded digits: the bound of a variational autoencoder in pixels beside the adversarial loss.

    gan-jax train klgan --seed 0

Takes:    356 s of processor time, one CPU core
Reaches:  classifier_fd 35.0 (real held-out digits: 7.6) from seed 0
Paper:    no counterpart
Differs:  no published counterpart: DCGAN's networks, and the VAE's bound with weight 1e-3
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig

CONFIG = Config(
    steps=3000,
    batch_size=64,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="klgan", width=32, latent_dim=64),
    loss=LossConfig(real_target=(0.9, 0.9), kl=1e-3, reconstruction=1.0),
    optimizer=OptimizerConfig(generator_lr=1e-3, discriminator_lr=1e-3),
)
