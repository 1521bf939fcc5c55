"""VAE-GAN on the embedded digits (Larsen et al., 2016): a decoder that is a generator, likelihood in D's features.

    python experiments/train.py vaegan --seed 0

Takes:    623 s of processor time, 2 CPU cores
Reaches:  digits, but worse than without an encoder: classifier_fd 63.4 (real held-out digits: 7.6; dcgan_mnist: 34.0), in an
          earlier version, whose batch norm let the gradient of the images into the encoder; seed 0
Paper:    no distance: attributes of faces, read by a network
Differs:  4x4 convolutions in place of 5x5, digits, gamma 0.01; reconstructions decoded in a batch of their own
"""

from gan_jax.config import Config, DataConfig, LossConfig, ModelConfig, TturConfig

CONFIG = Config(
    steps=3000,
    batch_size=64,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="vaegan", width=32, latent_dim=64),
    loss=LossConfig(real_target=(0.9, 0.9), kl=1.0, feature_reconstruction=1.0),
    ttur=TturConfig(generator_lr=1e-3, discriminator_lr=1e-3),
)
