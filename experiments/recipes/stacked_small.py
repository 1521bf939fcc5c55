"""The first stage of a stacked GAN on the embedded digits: 8x8 images.

    python experiments/train.py stacked_small --seed 0

Takes:    16 s for 2,000 steps, 2 CPU cores; not run at this length
Reaches:  not known: 8x8 images are too small for the metrics of this library
"""

from gan_jax.config import Config, DataConfig, EvaluationConfig, LossConfig, ModelConfig, TturConfig

CONFIG = Config(
    steps=3000,
    batch_size=64,
    data=DataConfig(source="mnist5k", image_size=8),
    model=ModelConfig(name="dcgan", width=64, latent_dim=64),
    loss=LossConfig(real_target=(0.9, 0.9)),
    ttur=TturConfig(generator_lr=1e-3, discriminator_lr=1e-3),
    evaluation=EvaluationConfig(extractor="pixels"),
)
