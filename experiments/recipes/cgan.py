"""A conditional DCGAN on the embedded digits (Mirza and Osindero, 2014): the class as further channels of both players.

python experiments/train.py cgan --seed 0
"""

from gan_jax.config import Config, DataConfig, ModelConfig

CONFIG = Config(
    steps=3000,
    batch_size=64,
    sample_grid=10,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="dcgan", width=32, latent_dim=64, conditional=True, condition="channels"),
)
