"""The multilayer-perceptron GAN on the embedded digits: latent -> 128 -> 256 -> 512 -> 1024 -> image, and 512 -> 256 -> 1.

    gan-jax train mlp_mnist --seed 0

Its flags are those of the well-known script: --n-epochs --batch-size --lr --b1 --b2 --n-cpu --latent-dim --img-size --channels
--sample-interval. It writes a grid of 5x5 samples every 400 batches.

Takes:    150 s of processor time, one CPU core (200 epochs)
Reaches:  classifier_fd 606.7 (real held-out digits: 7.6), recall 0.00, from seed 0. The script's own code on the same digits: 524.6,
          recall 0.00. With --update.order discriminator_first --update.fakes fresh: 165.5 ± 0.8, recall 0.16, from 2 seeds
Paper:    none for the script. Log-likelihood by Parzen windows 225 ± 2 on MNIST (Goodfellow et al., 2014, other perceptrons)
Differs:  the embedded 4,000 digits at 28x28 instead of MNIST's 60,000. A batch can span two epochs (the script has a smaller one at
          the end of each), and D returns logits. Samples use the running statistics of batch norm, the script's those of the batch
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig, UpdateConfig

CONFIG = Config(
    epochs=200,
    batch_size=64,
    sample_every=400,
    sample_grid=5,
    checkpoint_every=2000,
    data=DataConfig(source="mnist5k", image_size=28),
    model=ModelConfig(name="mlp", latent_dim=100),
    loss=LossConfig(halve=True),
    optimizer=OptimizerConfig(generator_lr=2e-4, discriminator_lr=2e-4, b1=0.5, b2=0.999, ema_decay=0.0),
    # The script updates G first, and D on the same fakes.
    update=UpdateConfig(order="generator_first", fakes="shared"),
)
