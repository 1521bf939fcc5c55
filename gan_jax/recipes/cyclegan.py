"""CycleGAN on the embedded digits (Zhu et al., 2017): edge maps to digits and digits to edge maps, without pairs.

    gan-jax train cyclegan --seed 0

Takes:    not run at this length
Reaches:  not known
Paper:    no figure on such small images; the authors count what persons and a segmentation network take for real
Differs:  32x32 pixels, batches of 4 instead of 1, a quarter of the width, 3 residual blocks instead of 9, patches of 16x16 instead of
          70x70, and the identity loss, which the paper has for paintings only and the authors' code by default
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig, ReplayConfig, UpdateConfig

CONFIG = Config(
    steps=20_000,
    batch_size=4,
    sample_every=500,
    checkpoint_every=2000,
    data=DataConfig(source="digit_edges"),
    model=ModelConfig(name="cyclegan", width=16, latent_dim=1, options={"blocks": 3}),
    # Least squares have a factor 1/2 here, which is the authors' half of D's loss. The weight of 2 restores their loss of G.
    loss=LossConfig(name="least_squares", adversarial_weight=2.0, cycle=10.0, identity=5.0),
    optimizer=OptimizerConfig(generator_lr=2e-4, discriminator_lr=2e-4, b1=0.5, b2=0.999, schedule="constant_linear", ema_decay=0.0),
    # Both translators are updated first. D then learns from the same fakes, or from fakes of the pools of 50.
    update=UpdateConfig(order="generator_first", fakes="shared"),
    replay=ReplayConfig(size=50, share=0.5, mode="pool"),
)
