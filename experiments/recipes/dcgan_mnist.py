"""DCGAN on the embedded digits (Radford et al., 2016): the default.

make train
python experiments/train.py dcgan_mnist --seed 0
"""

from gan_jax.config import Config, DataConfig, EvaluationConfig, ModelConfig, TturConfig

CONFIG = Config(
    steps=1500,
    batch_size=64,
    sample_every=100,
    checkpoint_every=500,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="dcgan", width=64, latent_dim=64),
    ttur=TturConfig(generator_lr=2e-4, discriminator_lr=2e-4),
    evaluation=EvaluationConfig(samples=5000),
)
