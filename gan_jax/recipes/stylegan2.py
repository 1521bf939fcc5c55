"""StyleGAN2 on the embedded digits (Karras et al., 2020): mapping network, modulated convolutions, filtered resampling, lazy R1.

    gan-jax train stylegan2 --seed 0

Takes:    1,002 s of processor time, 34 minutes on two cores that other programs shared
Reaches:  classifier_fd 64.4 (real held-out digits: 7.6), all ten classes, the rarest 7.1%, recall 0.53, from one seed
Paper:    FID 2.8 on FFHQ at 1024x1024 (the authors' weights, measured by mmgeneration)
Differs:  digits at 32x32 and narrow networks. As in the authors' configuration for 32x32 images (`cifar`), there are no path lengths and
          no style mixing, the mapping network has 2 layers, and minibatch deviation looks at 32 images. R1 is a hundred times
          theirs. The learning rates are not corrected for lazy regularisation, because the penalty shares the optimiser step of the loss
"""

from gan_jax.trainer.config import Config, DataConfig, ModelConfig, OptimizerConfig, PenaltyConfig

OPTIONS = {"mapping_layers": 2, "channel_base": 512, "style_mixing": 0.0, "group_size": 32}

CONFIG = Config(
    steps=6000,
    batch_size=32,
    sample_every=250,
    checkpoint_every=1000,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="stylegan2", width=32, latent_dim=64, options=OPTIONS),
    # gamma 2, the weight is gamma / 2. With 0.01, as the authors have for CIFAR-10, all samples were one digit after 500 steps.
    penalty=PenaltyConfig(r1=1.0, interval=16),
    optimizer=OptimizerConfig(generator_lr=2.5e-3, discriminator_lr=2.5e-3, b1=0.0, b2=0.99, ema_images=20_000.0),
)
