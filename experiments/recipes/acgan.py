"""ACGAN on the embedded digits (Odena et al., 2017): D also classifies, and G is rewarded for classes that can be told.

python experiments/train.py acgan --seed 0
"""

from gan_jax.config import Config, DataConfig, ModelConfig

CONFIG = Config(
    steps=3000,
    batch_size=64,
    sample_grid=10,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="dcgan", width=32, latent_dim=64, conditional=True, auxiliary=True, condition="none"),
)
