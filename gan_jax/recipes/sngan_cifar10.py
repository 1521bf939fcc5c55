"""SNGAN on CIFAR-10 (Miyato et al., 2018): its own ResNets, data and settings, for the published FID.

    gan-jax train sngan_cifar10 --seed 0
    gan-jax evaluate runs/sngan_cifar10 --extractor inception_v3 --weights FILE --samples 10000

TFDS downloads the images: pip install "gan-jax[train,tfds]"

Takes:    not run here: meant for a GPU, and the data could not be downloaded
Reaches:  not known
Paper:    FID 21.7 ± 0.21 (5,000 samples against the 10,000 test images), Inception score 8.22 ± 0.05. FID 16.77 ± 0.04 in
          torch-mimicry (50,000 samples against the training images)
Differs:  samples come from the moving average of G
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig, TransformConfig, UpdateConfig

CONFIG = Config(
    steps=100_000,
    batch_size=64,
    sample_every=1000,
    checkpoint_every=5000,
    data=DataConfig(source="tfds:cifar10", flip=True),
    model=ModelConfig(name="sngan", latent_dim=128),
    loss=LossConfig(name="hinge"),
    transform=TransformConfig(spectral_norm="discriminator"),
    optimizer=OptimizerConfig(b1=0.0, b2=0.9, schedule="linear"),
    update=UpdateConfig(discriminator_steps=5),
)
