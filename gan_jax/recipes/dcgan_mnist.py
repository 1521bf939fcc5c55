"""DCGAN on the embedded digits (Radford et al., 2016): the default recipe.

    gan-jax train dcgan_mnist --seed 0
    make train

Takes:    251 s of processor time, one CPU core of a busy machine
Reaches:  classifier_fd 15.9 ± 1.9 (real held-out digits: 7.6, from 1,000 images each against the 4,000 of training), 10 of 10
          classes, the rarest 8.2% of 5,000 samples, 85% of them confident (real: 97.5%), from 5 seeds
Paper:    no distance, but 82.8% accuracy of a classifier of its features on CIFAR-10
Differs:  the embedded 4,000 digits at 32x32, a quarter of the width, samples from the moving average of G, one-sided label
          smoothing, and for a short run learning rates of 3e-3 (G) and 1e-3 (D) instead of 2e-4, optimistic Adam, and noise on D's
          inputs (docs/recipes.md says how they were chosen)
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
