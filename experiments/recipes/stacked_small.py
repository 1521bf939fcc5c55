"""The first stage of a stacked GAN on the embedded digits: 8x8 images.

python experiments/train.py stacked_small --seed 0
"""

from gan_jax.config import Config, DataConfig, EvaluationConfig, ModelConfig

CONFIG = Config(
    steps=3000,
    batch_size=64,
    data=DataConfig(source="mnist5k", image_size=8),
    model=ModelConfig(name="dcgan", width=64, latent_dim=64),
    evaluation=EvaluationConfig(extractor="pixels"),
)
