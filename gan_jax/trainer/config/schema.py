"""What can be set in a run: typed groups of fields, each with its default and the sentence that its flag shows as help."""

import dataclasses
from pathlib import Path
from typing import Literal

from gan_jax.trainer.config.devices import DistributedConfig, ParallelConfig


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where the images come from."""

    source: str = "mnist5k"
    """mnist5k (embedded), mnist, fashion_mnist, image_folder, stacked_mnist, ring, grid, or tfds:NAME."""
    directory: Path | None = None
    """Directory of the IDX files, of the image tree, or of the TFDS data."""
    split: str = "train"
    """Which part of the source to train on; the rest is held out for the metrics where there is one."""
    image_size: int = 32
    """Side of the images in pixels."""
    channels: int | None = None
    """1 or 3 colour channels; by default those of the source."""
    resize: Literal["crop", "pad", "stretch"] = "crop"
    """How images of other shapes become square: cut, padded, or stretched."""
    flip: bool = False
    """Mirror each image with probability 1/2."""
    pipeline: Literal["auto", "memory", "stream"] = "auto"
    """Keep the images on the device (memory), or read batches as they are needed (stream); auto: by size."""
    workers: int = 4
    """Loader workers, where the images are streamed."""
    on_corrupt: Literal["skip", "stop"] = "skip"
    """What to do about an image file that cannot be read: skip and count it, or stop."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The networks. A field left at None takes the model's own default; a field that the model lacks is refused."""

    name: str = "dcgan"
    """A row of gan_jax.models.MODELS: dcgan, mlp, points, resnet, sagan, biggan, r3gan ..."""
    latent_dim: int = 100
    """Dimension of the latents."""
    latents: Literal["normal", "spherical", "uniform"] = "normal"
    """Distribution of the latents."""
    conditional: bool = False
    """Condition both players on the labels."""
    codes: int = 0
    """InfoGAN: G gets one of so many codes instead of a class, and D's auxiliary classifier tells which; 0: none."""
    options: dict[str, int | float | str | bool] = dataclasses.field(default_factory=dict)
    """Further options of the model, NAME VALUE pairs, as `python experiments/train.py --models` lists them."""
    width: int | None = None
    """Base number of channels."""
    norm: str | None = None
    """Normalisation in G: batch, instance, layer, pixel, none ..."""
    discriminator_norm: str | None = None
    """Normalisation in D."""
    activation: str | None = None
    """leaky_relu, relu, elu, swish."""
    output_activation: str | None = None
    """tanh, or linear."""
    output_kernel: int | None = None
    """Side of the filters of a last convolution onto the image channels: 1, 3 or 9."""
    up: str | None = None
    """Up-sampling in G: transposed, pixel_shuffle, nearest, bilinear."""
    down: str | None = None
    """Down-sampling in D: strided, average, max."""
    noise: bool | None = None
    """Gaussian noise at every layer of G."""
    dropout: float | None = None
    """Dropout in G, in training and in sampling."""
    discriminator_dropout: float | None = None
    """Dropout in D, in training."""
    minibatch_stddev: bool | None = None
    """Minibatch standard deviation in D."""
    minibatch_discrimination: bool | None = None
    """Minibatch discrimination in D."""
    condition: str | None = None
    """How D sees the labels: channels, projection, none."""
    auxiliary: bool | None = None
    """D also classifies (ACGAN)."""
    phase_steps: int | None = None
    """Steps of each phase of progressive growing, fading in or stable; by default all phases share the run."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of computation; parameters and statistics stay float32."""


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What the players minimise."""

    name: str = "non_saturating"
    """A row of gan_jax.losses.ADVERSARIAL: minimax, non_saturating, least_squares, wasserstein, hinge, relativistic ..."""
    real_target: tuple[float, float] | None = None
    """Label of the reals in D's loss: drawn from LOW HIGH (0.7 1.2 for soft labels, 0.9 0.9 for one-sided smoothing)."""
    fake_target: tuple[float, float] | None = None
    """Label of the fakes in D's loss: drawn from LOW HIGH (0.0 0.3 for soft labels)."""
    flip_probability: float = 0.0
    """Probability with which an example's labels are exchanged when D is trained."""
    generator_target: float | None = None
    """The value that G wants D to output (c of least squares)."""
    halve: bool = False
    """D minimises (real + fake) / 2 instead of their sum."""
    adversarial_weight: float = 1.0
    """Weight of G's adversarial term beside its other terms (lambda)."""
    feature_matching: float = 0.0
    """Weight of feature matching in G's loss."""
    classifier: float = 1.0
    """Weight of the auxiliary classifier in both players' losses, where D has one."""
    classify_fakes: bool = True
    """D learns the classes of the fakes, too, as published; without, only those of the reals, and cannot agree on signs with G."""
    reconstruction: float = 0.0
    """Weight of the L1 distance to the target image, for models that translate, inpaint or reconstruct."""
    feature_reconstruction: float = 0.0
    """Weight of the squared distance of D's features of an image and its reconstruction (VAE-GAN)."""
    total_variation: float = 0.0
    """Weight of the total variation of the fakes."""
    perceptual: float = 0.0
    """Weight of the distance of VGG16 features (needs --loss.vgg)."""
    style: float = 0.0
    """Weight of the distance of Gram matrices of VGG16 features (needs --loss.vgg)."""
    vgg: Path | None = None
    """The safetensors file that experiments/tools/convert_vgg.py makes."""
    kl: float = 0.0
    """Weight of the KL divergence of the encoder, for models that have one."""
    top_k: float = 1.0
    """Top-k training of G: the share of the best fakes that is kept in the end; 1 keeps all."""
    top_k_decay: float = 0.99
    """Factor by which that share falls every --loss.top-k-interval steps."""
    top_k_interval: int = 100
    """See --loss.top-k-decay."""


@dataclasses.dataclass(frozen=True)
class PenaltyConfig:
    """Weights of the penalties; 0 turns one off."""

    wgan_gp: float = 0.0
    """Gradient penalty on interpolates, centred at --penalty.target (10 in the paper)."""
    r1: float = 0.0
    """Squared gradient norm on reals (gamma / 2 of the paper)."""
    r2: float = 0.0
    """Squared gradient norm on fakes (gamma / 2)."""
    zero_centered: float = 0.0
    """Squared gradient norm on interpolates (0-GP)."""
    dragan: float = 0.0
    """Gradient penalty around the reals."""
    target: float = 1.0
    """The gradient norm at which the interpolates' penalty is centred."""
    one_sided: bool = False
    """Penalise only norms above the target."""
    interval: int = 1
    """Gradient penalties every so many steps, with as many times the weight (lazy regularisation)."""
    orthogonal: float = 0.0
    """Orthogonal regularisation of both players' weights (1e-4 in BigGAN)."""
    spectral: float = 0.0
    """Spectral norm regularisation of D's weights."""
    consistency: float = 0.0
    """Consistency of D on augmented reals (CR; 10 in the paper)."""
    balanced_consistency: float = 0.0
    """Consistency of D on augmented reals and fakes (bCR; 10 in the paper)."""
    latent_consistency: float = 0.0
    """Consistency of D, diversity of G, under small changes of the latents (zCR)."""
    lecam: float = 0.0
    """LeCam regularisation."""


@dataclasses.dataclass(frozen=True)
class TransformConfig:
    """Reparametrisations of weights."""

    spectral_norm: Literal["none", "discriminator", "generator", "both"] = "none"
    """Spectral normalisation of which players."""
    power_iterations: int = 1
    """Power iterations a step."""
    weight_norm: Literal["none", "discriminator", "generator", "both"] = "none"
    """Weight normalisation of which players."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """One optimiser for both players, with a learning rate of its own for each (two time-scale update rule)."""

    generator: str = "adam"
    """Optimiser of G: adam, adamw, sgd, rmsprop, optimistic_adam."""
    discriminator: str = "adam"
    """Optimiser of D."""
    generator_lr: float = 2e-4
    """Learning rate of G."""
    discriminator_lr: float = 2e-4
    """Learning rate of D."""
    b1: float = 0.5
    """Adam's decay of the first moment; momentum of sgd."""
    b2: float = 0.999
    """Adam's decay of the second moment; decay of rmsprop."""
    schedule: Literal["constant", "linear", "cosine", "exponential", "warmup_cosine"] = "constant"
    """Learning-rate schedule over the run."""
    ema_decay: float = 0.999
    """Moving average of G's weights, from which samples come; 0 for none."""
    ema_start: int = 0
    """First step of the moving average."""
    ema_warmup: bool = True
    """Let the decay grow from 0, so that the average forgets the first steps."""
    clip_weights: float = 0.0
    """Clip D's weights to [-c, c] after each step (0.01 for WGAN); 0 for never."""
    clip_gradients: float = 0.0
    """Clip each player's gradients to this global norm; 0 for never."""
    adaptive_clip: float = 0.0
    """Clip each layer's gradients to this share of its weights' norm; 0 for never."""
    historical_averaging: float = 0.0
    """Weight of the pull towards the average of the past parameters."""
    target_discriminator: bool = False
    """G plays against a moving average of D (Polyak, --optimizer.target-decay)."""
    target_decay: float = 0.99
    """Decay of that average."""


@dataclasses.dataclass(frozen=True)
class UpdateConfig:
    """Who moves when."""

    name: Literal["alternating", "simultaneous", "unrolled", "extragradient", "consensus", "loss_balanced"] = "alternating"
    """The update rule."""
    discriminator_steps: int = 1
    """Steps of D for one step of the game (5 for WGAN); each sees images of its own."""
    generator_steps: int = 1
    """Steps of G for one step of the game."""
    order: Literal["discriminator_first", "generator_first"] = "discriminator_first"
    """Who begins."""
    fakes: Literal["fresh", "shared"] = "fresh"
    """Each turn draws its own fakes, or D and G use the same ones."""
    micro_batches: int = 1
    """Gradient accumulation: cut each turn's batch into so many parts."""
    unroll_steps: int = 5
    """Steps of D that G's gradient flows through (unrolled)."""
    consensus_weight: float = 10.0
    """Weight of half the squared norm of the field (consensus)."""
    loss_threshold: float = 0.7
    """D is trained while its loss is above this (loss_balanced)."""
    max_discriminator_steps: int = 5
    """... but at most so often."""
    freeze_generator: int = 0
    """G does not learn in the first N steps."""
    freeze_discriminator: int = 0
    """D does not learn in the first N steps."""
    pool_size: int = 0
    """Number of past players kept; 0 for none."""
    pool_interval: int = 500
    """Steps between the players kept."""
    pool_duration: int = 10
    """Steps that a past player is swapped in for, once in every interval."""
    joint_batches: bool = False
    """D sees reals and fakes in one batch (wrong with batch norm; to show what happens)."""


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """What happens to images before D sees them, and labels of examples from memory."""

    instance_noise: float = 0.0
    """Standard deviation of Gaussian noise on D's inputs at the first step."""
    instance_noise_schedule: Literal["linear", "cosine", "exponential", "constant"] = "linear"
    """How the noise decays."""
    instance_noise_steps: int | None = None
    """... over how many steps; by default half the run."""
    diff_augment: str = ""
    """DiffAugment policy: any of color,translation,cutout, joined by commas."""
    ada: float = 0.0
    """Adaptive augmentation with this target of the overfitting measure (0.6 in the paper); 0 for none."""
    pack: int = 1
    """Samples packed for D (PacGAN)."""


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """Experience replay: past fakes that are shown to D again."""

    size: int = 0
    """Past fakes kept in memory; 0 for none."""
    share: float = 0.5
    """Share of the fakes that D sees taken from memory."""
    mode: Literal["reservoir", "fifo"] = "reservoir"
    """What is kept: a uniform sample of the past, or the latest."""


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """How good: measured at the end, and every so often if asked."""

    samples: int = 5000
    """Number of samples for the metrics; 0 for no evaluation."""
    extractor: str = "auto"
    """Features for the distances: auto, digit_classifier, inception_v3, pixels."""
    weights: Path | None = None
    """Weight file of the feature network, where it is not shipped."""
    every: int = 0
    """Evaluate every N steps, and keep the best checkpoint; 0 for only at the end."""
    best: str = "auto"
    """The metric that says which checkpoint is best; auto: the Fréchet distance, else reverse KL, else sliced Wasserstein."""


@dataclasses.dataclass(frozen=True)
class MonitorConfig:
    """Failures, named while the run trains."""

    enabled: bool = True
    """Look for failures, at each line of metrics and each grid of samples."""
    on_failure: Literal["warn", "stop", "rollback"] = "warn"
    """What to do about one that is sure (also --on-failure): say so; end the run with status 3; or go back to the last healthy
    checkpoint with half the learning rates."""
    rollbacks: int = 3
    """Rollbacks before the run is ended all the same."""


@dataclasses.dataclass(frozen=True)
class Config:
    """A run. Everything that decides its bytes is in here, but for the machine and the versions."""

    recipe: str = ""
    """Name of the recipe that this configuration began as."""
    seed: int = 0
    """Of everything drawn at random."""
    steps: int = 1000
    """Steps of the game."""
    epochs: int = 0
    """Passes over the data, in place of --steps; 0 to use --steps."""
    batch_size: int = 64
    """Images a turn."""
    out: Path | None = None
    """Directory of the run; by default runs/RECIPE, numbered where that is taken."""
    scan_steps: int = 1
    """Steps compiled into one program; loop and scan differ in the last bits, so this is part of the run."""
    log_every: int = 50
    """Steps between lines of metrics."""
    sample_every: int = 200
    """Steps between grids of samples."""
    sample_grid: int = 8
    """Rows and columns of the grid of samples."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    keep_checkpoints: int = 2
    """Latest checkpoints kept."""
    layer_norms: bool = False
    """Log the gradient norm of every layer."""
    tensorboard: bool = True
    """Write TensorBoard files."""
    data: DataConfig = DataConfig()
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    loss: LossConfig = LossConfig()
    penalty: PenaltyConfig = PenaltyConfig()
    transform: TransformConfig = TransformConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    update: UpdateConfig = UpdateConfig()
    augment: AugmentConfig = AugmentConfig()
    replay: ReplayConfig = ReplayConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    monitor: MonitorConfig = MonitorConfig()
    parallel: ParallelConfig = dataclasses.field(default_factory=ParallelConfig)
    distributed: DistributedConfig = dataclasses.field(default_factory=DistributedConfig)


# Fields that do not decide the bytes of the weights: a resumed run may change them.
CHANGEABLE_ON_RESUME = (
    "out",
    "steps",
    "epochs",
    "log_every",
    "sample_every",
    "sample_grid",
    "checkpoint_every",
    "keep_checkpoints",
    "tensorboard",
    "evaluation",
    "monitor",
    "data.workers",
    "data.directory",
    # Another number of devices changes the last bits, and what a device draws inside a network by itself (docs/distributed.md).
    "parallel.placement",
    "parallel.devices",
    "parallel.shard_parameters",
    "distributed",
)
