"""KL + GAN on the embedded digits: a variational autoencoder's bound in pixels beside the adversarial loss.

python experiments/train.py klgan --seed 0
"""

from gan_jax.config import Config, DataConfig, LossConfig, ModelConfig

CONFIG = Config(
    steps=3000,
    batch_size=64,
    data=DataConfig(source="mnist5k"),
    model=ModelConfig(name="klgan", width=32, latent_dim=64),
    loss=LossConfig(kl=1e-3, reconstruction=1.0),
)
