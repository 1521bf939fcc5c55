"""StyleGAN2 with adaptive augmentation on a folder of few images (Karras et al., 2020).

    gan-jax train stylegan2_ada --seed 0   # and --data.directory PHOTOS, for your own folder of images

Takes:    not run at this length, which is meant for a GPU
Reaches:  not known
Paper:    FID 2.42 on CIFAR-10
Differs:  the settings are those of the authors' "auto" configuration for one GPU and 256x256 pixels, except that the penalties share the
          optimiser step of the loss, so that the learning rates are not corrected for lazy regularisation
"""

from gan_jax.trainer.config import AugmentConfig, Config, DataConfig, ModelConfig, OptimizerConfig, PenaltyConfig

CONFIG = Config(
    steps=1_562_500,
    batch_size=16,
    sample_every=1000,
    checkpoint_every=5000,
    data=DataConfig(source="image_folder", image_size=256, flip=True),
    model=ModelConfig(name="stylegan2", width=512, latent_dim=512, options={"mapping_layers": 2, "channel_base": 16384}),
    # gamma = 0.0002 * 256^2 / 16 = 0.82.
    penalty=PenaltyConfig(r1=0.41, interval=16, path_length=2.0),
    optimizer=OptimizerConfig(generator_lr=2.5e-3, discriminator_lr=2.5e-3, b1=0.0, b2=0.99, ema_images=5000.0),
    augment=AugmentConfig(ada=0.6),
)
