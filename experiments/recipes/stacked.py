"""The second stage of a stacked GAN on the embedded digits: 32x32 given 8x8 (Denton et al., 2015; Zhang et al., 2017).

    python experiments/train.py stacked_small --seed 0
    python experiments/train.py stacked --seed 0
    python experiments/stack.py runs/stacked_small runs/stacked      # samples of the two in sequence

Takes:    not run at this length
Reaches:  classifier_fd 17.6 given real small images, 119 in sequence, after 1,000 steps; see docs/recipes.md
Paper:    Inception score 3.70 ± 0.04 on CUB birds, given texts (StackGAN)
Differs:  one step of 8x8 to 32x32, without text and without Laplacian residuals
"""

from gan_jax.config import Config, DataConfig, LossConfig, ModelConfig, TturConfig

CONFIG = Config(
    steps=3000,
    batch_size=64,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="stacked", width=32, latent_dim=64),
    loss=LossConfig(real_target=(0.9, 0.9), reconstruction=1.0),
    ttur=TturConfig(generator_lr=1e-3, discriminator_lr=1e-3),
)
