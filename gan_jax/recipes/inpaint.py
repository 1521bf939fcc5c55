"""Coarse-to-refine inpainting on Fashion-MNIST (Yu et al., 2018): a missing square, gated convolutions.

    gan-jax train inpaint --seed 0    # L1, total variation and the adversarial loss only
    python -m experiments.tools.convert_vgg --help        # once, for the perceptual and style terms
    gan-jax train inpaint --loss.vgg vgg16.safetensors --loss.perceptual 0.05 --loss.style 0.02

Takes:    not run at this length, which is meant for a GPU
Reaches:  sliced Wasserstein 13.2 (real: 10.4) after 400 steps (474 s of processor time, one core of a Zen 4): docs/recipes.md
Paper:    mean l1 error 9.1%, l2 1.6% on Places2, free-form masks (Yu et al., "Free-form image inpainting with gated convolution")
Differs:  Fashion-MNIST at 32x32, and weights that make the terms equally large at first
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, TransformConfig

CONFIG = Config(
    steps=20_000,
    batch_size=16,
    sample_every=500,
    checkpoint_every=2000,
    data=DataConfig(source="fashion_mnist"),
    model=ModelConfig(name="inpaint", width=16, latent_dim=1),
    loss=LossConfig(name="hinge", reconstruction=10.0, total_variation=1e-4, adversarial_weight=0.1),
    transform=TransformConfig(spectral_norm="discriminator"),
)
