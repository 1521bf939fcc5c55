"""Multi-scale discriminators on the embedded digits (Wang et al., 2018): one architecture with separate parameters for two scales.

    gan-jax train multiscale --seed 0

Takes:    not run at this length. 500 steps with a narrower D take 435 s of processor time, one CPU core (a Zen 4)
Reaches:  classifier_fd 163.4 after those 500 steps (real held-out digits: 7.6): docs/recipes.md
Paper:    Cityscapes, read by a segmentation network: 83.8% of the pixels, mean IoU 0.639
Differs:  two scales, DCGAN's networks and digits instead of pix2pixHD's three scales and street scenes
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig

CONFIG = Config(
    steps=3000,
    batch_size=64,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="multiscale", width=32, latent_dim=64, options={"scales": 2, "patch_layers": 2}),
    loss=LossConfig(name="least_squares", feature_matching=1e-3),
    optimizer=OptimizerConfig(generator_lr=1e-3, discriminator_lr=1e-3),
)
