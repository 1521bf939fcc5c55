"""The projection discriminator on CIFAR-10 (Miyato & Koyama, 2018): SNGAN's ResNets with the class as input.

    gan-jax train projection_cifar10 --seed 0
    gan-jax evaluate runs/projection_cifar10 --extractor inception_v3 --weights FILE --samples 50000

TFDS downloads the images: pip install "gan-jax[train,tfds]"

Takes:    not run here: meant for a GPU, and the data could not be downloaded
Reaches:  not known
Paper:    FID 10.84 ± 0.03, Inception score 8.25 ± 0.13 (torch-mimicry's cGAN-PD, 50,000 samples against the training images)
Differs:  fakes have the labels of the reals of their batch instead of labels of their own, and samples come from the moving average
          of G
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig, TransformConfig, UpdateConfig

CONFIG = Config(
    steps=100_000,
    batch_size=64,
    sample_every=1000,
    sample_grid=10,
    checkpoint_every=5000,
    data=DataConfig(source="tfds:cifar10", flip=True),
    model=ModelConfig(name="sngan", latent_dim=128, conditional=True),
    loss=LossConfig(name="hinge"),
    transform=TransformConfig(spectral_norm="discriminator"),
    optimizer=OptimizerConfig(b1=0.0, b2=0.9, schedule="linear"),
    update=UpdateConfig(discriminator_steps=5),
)
