"""DCGAN on the embedded digits (Radford et al., 2016): the default.

make train
python experiments/train.py dcgan_mnist --seed 0
"""

from gan_jax.config import Config, DataConfig, EvaluationConfig, LossConfig, ModelConfig, TturConfig

CONFIG = Config(
    steps=3000,
    batch_size=64,
    sample_every=200,
    checkpoint_every=1000,
    data=DataConfig(source="mnist5k"),
    loss=LossConfig(name="non_saturating", real_target=(0.9, 0.9)),
    model=ModelConfig(name="dcgan", width=32, latent_dim=64),
    ttur=TturConfig(generator_lr=1e-3, discriminator_lr=1e-3),
    evaluation=EvaluationConfig(samples=5000),
)
