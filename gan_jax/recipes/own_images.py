"""DCGAN on your own images: the settings are chosen from a look at the data and the device.

    gan-jax train own_images --seed 0       # add --data.directory DIR

Takes:    not run at this length. It chooses the number of steps itself
Reaches:  depends on the images. The report of the run has the numbers
Paper:    none. The batch size, the weight of R1 and the moving average follow StyleGAN2-ADA's `auto` (Karras et al., 2020)
Differs:  the run prints each choice as a flag with its reason. A flag that you type stays. docs/data.md says how to choose by hand
"""

from gan_jax.trainer.config import (
    AugmentConfig,
    Config,
    DataConfig,
    EvaluationConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    PenaltyConfig,
)

CONFIG = Config(
    steps=10_000,
    batch_size=32,
    sample_every=500,
    checkpoint_every=1000,
    data=DataConfig(source="image_folder"),
    loss=LossConfig(name="non_saturating"),
    model=ModelConfig(name="dcgan", width=32, latent_dim=128, discriminator_norm="none", up="nearest"),
    penalty=PenaltyConfig(r1=0.05),
    optimizer=OptimizerConfig(generator_lr=1e-3, discriminator_lr=1e-3, b1=0.5),
    augment=AugmentConfig(ada=0.6),
    evaluation=EvaluationConfig(samples=2000),
)
LOOKS_AT_DATA = True
