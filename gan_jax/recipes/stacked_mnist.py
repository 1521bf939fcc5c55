"""1,000 modes: DCGAN on three stacked digits (Metz et al., 2017), paired relativistic loss with R1 and R2.

    gan-jax train stacked_mnist --seed 0
    python -m experiments.studies.stacked_mnist runs/stacked_mnist

Takes:    not recorded
Reaches:  1,000 of 1,000 modes, reverse KL 0.078 (real: 0.020), from seed 0: docs/mixtures.md
Paper:    VEEGAN 150 modes, KL 2.95, and PacDCGAN2 1,000 modes, KL 0.06, both on MNIST
Differs:  the embedded 5,000 digits at 32x32
"""

from gan_jax.trainer.config import Config, DataConfig, EvaluationConfig, LossConfig, ModelConfig, OptimizerConfig, PenaltyConfig

CONFIG = Config(
    steps=10_000,
    batch_size=64,
    scan_steps=10,
    sample_every=1000,
    checkpoint_every=1000,
    data=DataConfig(source="stacked_mnist"),
    model=ModelConfig(name="dcgan", width=32, latent_dim=64, discriminator_norm="none"),
    loss=LossConfig(name="relativistic"),
    penalty=PenaltyConfig(r1=1.0, r2=1.0, interval=4),
    optimizer=OptimizerConfig(generator_lr=5e-4, discriminator_lr=5e-4, b1=0.5, b2=0.99),
    evaluation=EvaluationConfig(samples=2000, extractor="pixels"),
)
