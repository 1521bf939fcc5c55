"""VAE-GAN on the embedded digits (Larsen et al., 2016): the decoder is a generator, with a likelihood in D's features.

    gan-jax train vaegan --seed 0

Takes:    1,158 s of processor time, one CPU core (a Zen 4)
Reaches:  classifier_fd 63.0 (real held-out digits: 7.6), precision 0.53, recall 0.89, from seed 0
Paper:    no distance, but attributes of faces, read by a network
Differs:  4x4 convolutions instead of 5x5, digits, gamma 0.01, and reconstructions are decoded in a batch of their own
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig

CONFIG = Config(
    steps=3000,
    batch_size=64,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="vaegan", width=32, latent_dim=64),
    loss=LossConfig(real_target=(0.9, 0.9), kl=1.0, feature_reconstruction=1.0),
    optimizer=OptimizerConfig(generator_lr=1e-3, discriminator_lr=1e-3),
)
