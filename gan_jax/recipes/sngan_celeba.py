"""SNGAN on CelebA at 64x64 (Miyato et al., 2018), with the settings of torch-mimicry.

    gan-jax train sngan_celeba --seed 0
    gan-jax evaluate runs/sngan_celeba --extractor inception_v3 --weights FILE --samples 50000

TFDS downloads the images: pip install "gan-jax[train,tfds]". For your own copy of the images add
--data.source image_folder --data.directory PICTURES.

Takes:    not run here: meant for a GPU, and the data could not be downloaded
Reaches:  not known
Paper:    FID 5.71 ± 0.02 (torch-mimicry, 50,000 samples against all images)
Differs:  samples come from the moving average of G, and images are cut to their centre and scaled
"""

from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig, TransformConfig, UpdateConfig

CONFIG = Config(
    steps=100_000,
    batch_size=64,
    sample_every=1000,
    checkpoint_every=5000,
    data=DataConfig(source="tfds:celeb_a", image_size=64, flip=True),
    model=ModelConfig(name="sngan", latent_dim=128),
    loss=LossConfig(name="hinge"),
    transform=TransformConfig(spectral_norm="discriminator"),
    optimizer=OptimizerConfig(b1=0.0, b2=0.9, schedule="linear"),
    update=UpdateConfig(discriminator_steps=5),
)
