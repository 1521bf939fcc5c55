"""StyleGAN2 on the embedded digits (Karras et al., 2020): mapping network, modulated convolutions, path lengths, style mixing.

    gan-jax train stylegan2 --seed 0

Takes:    not run at its own length. 1,151 steps took 232 s of processor time, compiling included, on a shared core (a Zen 5)
Reaches:  not known. After these 37,000 images all samples were one digit: classifier_fd 791 (real held-out digits: 7.6)
Paper:    FID 2.8 on FFHQ at 1024x1024 (the authors' weights, measured by mmgeneration)
Differs:  digits at 32x32, narrow networks, and a shorter run with a shorter half-life of the moving average. The learning rates are not
          corrected for lazy regularisation, because the penalties share the optimiser step of the loss
"""

from gan_jax.trainer.config import Config, DataConfig, ModelConfig, OptimizerConfig, PenaltyConfig

CONFIG = Config(
    steps=20_000,
    batch_size=32,
    sample_every=250,
    checkpoint_every=1000,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="stylegan2", width=32, latent_dim=64, options={"mapping_layers": 2, "channel_base": 512}),
    # gamma 0.2, the weight is gamma / 2. The authors' heuristic for photographs, 0.0002 * size^2 / batch, gives 0.0064.
    penalty=PenaltyConfig(r1=0.1, interval=16, path_length=2.0),
    optimizer=OptimizerConfig(generator_lr=2.5e-3, discriminator_lr=2.5e-3, b1=0.0, b2=0.99, ema_images=10_000.0),
)
