"""A conditional DCGAN on the embedded digits (Mirza and Osindero, 2014): the class as further channels of both players.

python experiments/train.py cgan --seed 0
"""

from gan_jax.config import Config, DataConfig, LossConfig, ModelConfig, TturConfig

CONFIG = Config(
    steps=3000,
    batch_size=64,
    sample_grid=10,
    data=DataConfig(source="mnist5k"),
    loss=LossConfig(real_target=(0.9, 0.9)),
    model=ModelConfig(name="dcgan", width=32, latent_dim=64, conditional=True, condition="channels"),
    ttur=TturConfig(generator_lr=1e-3, discriminator_lr=1e-3),
)
