"""DCGAN on the embedded digits (Radford et al., 2016): the default recipe.

    gan-jax train dcgan_mnist --seed 0
    make train

Takes:    204 s of processor time, one CPU core
Reaches:  classifier_fd 34.0 ± 2.9 (real held-out digits: 7.6, from 1,000 images each against the 4,000 of training), 10 of 10
          classes, the rarest 7.5% of 5,000 samples, 82% of them confident (real: 97.5%), from 3 seeds
Paper:    no distance, but 82.8% accuracy of a classifier of its features on CIFAR-10
Differs:  the embedded 4,000 digits at 32x32, a quarter of the width, samples from the moving average of G, and for a short run a
          learning rate of 1e-3 instead of 2e-4 and one-sided label smoothing
"""

from gan_jax.trainer.config import AugmentConfig, Config, DataConfig, EvaluationConfig, LossConfig, ModelConfig, OptimizerConfig

CONFIG = Config(
    steps=3000,
    batch_size=64,
    sample_every=200,
    checkpoint_every=1000,
    data=DataConfig(source="mnist5k"),
    loss=LossConfig(name="non_saturating", real_target=(0.9, 0.9)),
    model=ModelConfig(name="dcgan", width=32, latent_dim=64),
    optimizer=OptimizerConfig(generator="optimistic_adam", discriminator="optimistic_adam", generator_lr=3e-3, discriminator_lr=1e-3),
    augment=AugmentConfig(instance_noise=0.2, instance_noise_schedule="constant"),
    evaluation=EvaluationConfig(samples=5000),
)
