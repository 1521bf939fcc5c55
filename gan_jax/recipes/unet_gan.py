"""U-Net GAN on the embedded digits (Schönfeld et al., 2020): a D that judges images and their pixels, with CutMix consistency.

    gan-jax train unet_gan --seed 0

Takes:    not run at its own length
Reaches:  not known
Paper:    FID 13.73 on COCO-Animals at 128x128 (BigGAN there: 16.37)
Differs:  digits at 32x32, an eighth of the width, and a warm-up of CutMix by steps instead of epochs. The generator
          is that of BigGAN without the small networks in front of its norms. Spectral normalisation and Adam are those of the authors'
          script for FFHQ
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig, PenaltyConfig, TransformConfig

CONFIG = Config(
    steps=10_000,
    batch_size=32,
    sample_every=500,
    checkpoint_every=1000,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="unet_gan", width=8, latent_dim=128),
    # Half of the sum over both outputs of D.
    loss=LossConfig(halve=True, adversarial_weight=0.5),
    penalty=PenaltyConfig(cutmix=1.0, cutmix_probability=0.5, cutmix_warmup=5000),
    transform=TransformConfig(spectral_norm="both"),
    optimizer=OptimizerConfig(generator_lr=1e-4, discriminator_lr=5e-4, b1=0.0, b2=0.999),
)
