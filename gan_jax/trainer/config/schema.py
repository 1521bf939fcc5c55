"""Schema of a run: typed groups of fields. Each field has a default, a range if it is a number, and the help text of its flag."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_args

import tyro

from gan_jax.trainer.config.devices import DistributedConfig, ParallelConfig
from gan_jax.trainer.config.ranges import Count, Decay, Interval, Probability, Range, Weight

# The choices are written out, so that type checkers and the help know them. A test compares each with the keys of its table.
LossName: TypeAlias = Literal[
    "minimax", "non_saturating", "least_squares", "wasserstein", "hinge", "relativistic",
    "relativistic_average", "relativistic_average_least_squares", "relativistic_average_hinge", "multi_hinge",
]  # fmt: skip
ModelName: TypeAlias = Literal[
    "mlp", "points", "dcgan", "sngan", "sagan", "biggan", "unet_gan", "r3gan", "progressive", "stylegan2",
    "multiscale", "pix2pix", "cyclegan", "inpaint", "stacked", "vaegan", "klgan",
]  # fmt: skip
OptimizerName: TypeAlias = Literal[
    "adam", "adamw", "amsgrad", "adabelief", "lion", "optimistic_adam", "optimistic_gradient", "rmsprop", "sgd", "momentum"
]
NormName: TypeAlias = Literal["none", "batch", "instance", "layer", "pixel", "switchable", "virtual_batch", "conditional_batch"]
ScheduleName: TypeAlias = Literal["constant", "linear", "constant_linear", "cosine", "exponential", "warmup_cosine"]
UpdateRuleName: TypeAlias = Literal["alternating", "simultaneous", "unrolled", "extragradient", "consensus", "loss_balanced"]
Extractor: TypeAlias = Literal["auto", "pixels", "vgg16", "digit_classifier", "inception_v3"]
PlayerNames: TypeAlias = Literal["none", "discriminator", "generator", "both"]


class PathsFromStrings:
    """Base class of groups with paths. They accept strings, too: `Config(out="runs/mine")`."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, str) and Path in get_args(field.type):
                object.__setattr__(self, field.name, Path(value))


@dataclasses.dataclass(frozen=True)
class DataConfig(PathsFromStrings):
    """The images."""

    source: str = "mnist5k"
    """Data set: mnist5k (embedded), mnist, fashion_mnist, image_folder, stacked_mnist, digit_edges (embedded, two domains), ring, grid,
    tfds:NAME, or hf:NAME (Hugging Face datasets)."""
    directory: Path | None = None
    """Directory of the IDX files, of the image tree, or of the TFDS data. An image tree can be a zip archive, a .npy or a .npz
    file."""
    split: str = "train"
    """Part of the data set to train on. The metrics use the rest if there is one."""
    image_size: Annotated[int, Range(2, 4096), tyro.conf.arg(aliases=["--image-size", "--img-size"])] = 32
    """Side of the images in pixels."""
    height: Annotated[int | None, Range(2, 4096)] = None
    """Height of the images in pixels, if they are not square. By default --data.image-size."""
    width: Annotated[int | None, Range(2, 4096)] = None
    """Width of the images in pixels, if they are not square. By default --data.image-size."""
    channels: Annotated[int | None, Range(1, 4), tyro.conf.arg(aliases=["--channels"])] = None
    """Number of colour channels, 1, 3, or 4 with opacity. By default that of the data set."""
    resize: Literal["crop", "pad", "stretch"] = "crop"
    """How images of other shapes get the size."""
    pairs: Literal["side-by-side", "folders", "unpaired"] | None = None
    """Inputs and targets in the files of image_folder. Pairs for pix2pix: images A and B side by side in each file, or files of equal names
    in folders A and B (or trainA and trainB). For cyclegan: the images of such folders, unpaired."""
    direction: Literal["A-to-B", "B-to-A"] = "A-to-B"
    """Which domain is the input and which one the target."""
    flip: bool = False
    """Mirror each image with probability 1/2. Both images of a pair are mirrored together."""
    jitter: Annotated[int, Range(0, 1024)] = 0
    """Enlarge each side of the images by this many pixels and crop them back at a random place, both images of a pair at the same one.
    pix2pix enlarges 256 pixels by 30."""
    shrink_batch: bool = True
    """Shrink a batch that is larger than the data set to its size. Off if --batch-size is typed: then it is an error."""
    balanced: bool = False
    """Draw the images of all classes equally often, whatever the sizes of the classes."""
    pipeline: Literal["auto", "memory", "stream"] = "auto"
    """memory keeps the images on the device, stream reads batches when they are needed, auto chooses by size."""
    workers: Annotated[int, Range(0, 512), tyro.conf.arg(aliases=["--workers", "--n-cpu"])] = 4
    """Number of loader workers for streamed images."""
    on_corrupt: Literal["skip", "stop"] = "skip"
    """Skip and count image files that cannot be read, or stop."""
    cache: str = "auto"
    """Folder where the decoded images of image_folder are stored, so that each file is decoded once: auto (gan_jax/images in
    $XDG_CACHE_HOME or ~/.cache), off, or a folder. The images are the same with and without it."""

    @property
    def size(self) -> int | tuple[int, int]:
        """The side of square images, or (height, width)."""
        height, width = self.height or self.image_size, self.width or self.image_size
        return height if height == width else (height, width)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The networks. A field that is None takes the model's own default. A field that the model does not have is an error."""

    name: ModelName = "dcgan"
    """Model."""
    latent_dim: Annotated[int, Range(1, 10**5), tyro.conf.arg(aliases=["--latent-dim"])] = 100
    """Dimension of the latents."""
    latents: Literal["normal", "spherical", "uniform", "truncated_normal"] = "normal"
    """Distribution of the latents."""
    conditional: bool = False
    """Condition G and D on the labels."""
    codes: Annotated[int, Range(0, 10**4)] = 0
    """InfoGAN: G receives one of this many codes instead of a label, and D's auxiliary classifier predicts it. 0 disables codes."""
    options: dict[str, int | float | str | bool] = dataclasses.field(default_factory=dict)
    """Further options of the model, as --model.options.NAME VALUE. `gan-jax models` lists them."""
    width: Annotated[int | None, Range(1, 10**5)] = None
    """Base number of channels."""
    norm: NormName | None = None
    """Normalisation in G."""
    discriminator_norm: NormName | None = None
    """Normalisation in D."""
    activation: Literal["leaky_relu", "relu", "elu", "swish", "tanh"] | None = None
    """Activation of the hidden layers."""
    output_activation: Literal["tanh", "linear"] | None = None
    """Activation of the images."""
    output_kernel: int | None = None
    """Kernel size of a last convolution onto the image channels: 1, 3 or 9."""
    up: Literal["transposed", "pixel_shuffle", "nearest", "bilinear"] | None = None
    """Up-sampling in G."""
    down: Literal["strided", "average", "max"] | None = None
    """Down-sampling in D."""
    noise: bool | None = None
    """Add Gaussian noise of learned strength at every layer of G. --model.options.noise-std has a fixed strength."""
    dropout: Annotated[float | None, Range(0, 0.999)] = None
    """Dropout rate in G, in training and in sampling."""
    discriminator_dropout: Annotated[float | None, Range(0, 0.999)] = None
    """Dropout rate in D, in training."""
    minibatch_stddev: bool | None = None
    """Minibatch standard deviation in D."""
    minibatch_discrimination: bool | None = None
    """Minibatch discrimination in D."""
    condition: Literal["channels", "projection", "none"] | None = None
    """How D receives the labels."""
    auxiliary: bool | None = None
    """D also classifies (ACGAN)."""
    proxy_dim: Annotated[int | None, Range(0, 10**5)] = None
    """Dimension of D's embedding of an image, which --loss.data-to-data or --loss.contrastive compares with one learned vector for each
    class (512 in ReACGAN on CIFAR-10)."""
    phase_steps: Annotated[int | None, Range(1, 10**9)] = None
    """Steps of each phase of progressive growing, fading in or stable. By default the phases divide the run equally."""
    gradient_checkpointing: Annotated[bool | None, tyro.conf.arg(aliases=["--gradient-checkpointing"])] = None
    """Compute the activations inside each block again in the backward pass, instead of storing them. Needs less memory and more time."""


@dataclasses.dataclass(frozen=True)
class LossConfig(PathsFromStrings):
    """Losses of G and D."""

    name: LossName = "non_saturating"
    """Adversarial loss."""
    real_target: tuple[float, float] | None = None
    """Label of the reals in D's loss, drawn from [LOW, HIGH]: 0.7 1.2 for soft labels, 0.9 0.9 for one-sided smoothing."""
    fake_target: tuple[float, float] | None = None
    """Label of the fakes in D's loss, drawn from [LOW, HIGH]: 0.0 0.3 for soft labels."""
    flip_probability: Probability = 0.0
    """Probability of exchanging the labels of an example in D's loss."""
    generator_target: float | None = None
    """Label that G wants D to output (c of least squares)."""
    halve: bool = False
    """D minimises (real + fake) / 2 instead of the sum."""
    adversarial_weight: Weight = 1.0
    """Weight of G's adversarial loss beside its other terms (lambda)."""
    adaptive_weight: bool = False
    """Multiply --loss.adversarial-weight by the ratio of the gradient norms of the task terms and of the adversarial loss at G's last
    layer (VQGAN, with a weight of 0.8)."""
    adversarial_start: Count = 0
    """First step with the adversarial loss. Before it G learns from its other terms alone, and D does not learn (VQGAN)."""
    feature_matching: Weight = 0.0
    """Weight of feature matching in G's loss."""
    classifier: Weight = 1.0
    """Weight of the auxiliary classifier in both losses, if D has one."""
    classify_fakes: bool = True
    """D also learns the classes of the fakes, as published. Without, D learns only from reals and cannot agree on wrong signs with G."""
    data_to_data: Weight = 0.0
    """Weight of ReACGAN's data-to-data cross-entropy in both losses (0.5 for CIFAR-10). Needs --model.proxy-dim."""
    data_to_data_temperature: Annotated[float, Range(1e-3, 1e3)] = 0.5
    """Temperature of --loss.data-to-data."""
    data_to_data_margin: Probability = 0.98
    """Cosine with the own proxy from which on --loss.data-to-data pulls no more. 1 minus it is the bound for other classes."""
    contrastive: Weight = 0.0
    """Weight of ContraGAN's conditional contrastive loss in both losses (1 for CIFAR-10). Needs --model.proxy-dim."""
    contrastive_temperature: Annotated[float, Range(1e-3, 1e3)] = 1.0
    """Temperature of --loss.contrastive."""
    reconstruction: Weight = 0.0
    """Weight of the L1 distance to the target image, for models that translate, inpaint or reconstruct."""
    cycle: Weight = 0.0
    """Weight of cycle consistency: the L1 distance of images of both domains to their translations there and back (10 in CycleGAN)."""
    identity: Weight = 0.0
    """Weight of the L1 distance of images to their translations into their own domain (5 in CycleGAN)."""
    feature_reconstruction: Weight = 0.0
    """Weight of the squared distance between D's features of an image and of its reconstruction (VAE-GAN)."""
    total_variation: Weight = 0.0
    """Weight of the total variation of the fakes."""
    perceptual: Weight = 0.0
    """Weight of the distance of VGG16 features. Needs --loss.vgg."""
    style: Weight = 0.0
    """Weight of the distance of Gram matrices of VGG16 features. Needs --loss.vgg."""
    vgg: Path | None = None
    """The safetensors file that experiments/tools/convert_vgg.py writes."""
    kl: Weight = 0.0
    """Weight of the KL divergence of the encoder, for models that have one."""
    top_k: Annotated[float, Range(1e-6, 1)] = 1.0
    """Top-k training of G: the final share of the best fakes that is kept. 1 keeps all."""
    top_k_decay: Annotated[float, Range(1e-6, 1)] = 0.99
    """Factor of the share of kept fakes, applied every --loss.top-k-interval steps."""
    top_k_interval: Interval = 100
    """Steps between two applications of --loss.top-k-decay."""


@dataclasses.dataclass(frozen=True)
class PenaltyConfig:
    """Weights of the penalties. 0 disables a penalty."""

    wgan_gp: Weight = 0.0
    """Gradient penalty on interpolates, centred at --penalty.target (10 in the paper)."""
    r1: Weight = 0.0
    """Squared gradient norm on reals (gamma / 2 of the paper)."""
    r2: Weight = 0.0
    """Squared gradient norm on fakes (gamma / 2)."""
    zero_centered: Weight = 0.0
    """Squared gradient norm on interpolates (0-GP)."""
    dragan: Weight = 0.0
    """Gradient penalty around the reals."""
    target: Weight = 1.0
    """Target gradient norm of --penalty.wgan-gp."""
    one_sided: bool = False
    """--penalty.wgan-gp penalises only norms above the target."""
    final: Annotated[float | None, Range(0, 1e9)] = None
    """The weights of gradient penalties move to this factor of themselves over --burn-in (0.1 in R3GAN)."""
    interval: Annotated[int, Range(1, 10**6)] = 1
    """Apply gradient penalties every N steps, with N times the weight (lazy regularisation)."""
    orthogonal_generator: Weight = 0.0
    """Orthogonal regularisation of G's weights (1e-4 in BigGAN)."""
    orthogonal_discriminator: Weight = 0.0
    """Orthogonal regularisation of D's weights."""
    spectral: Weight = 0.0
    """Spectral norm regularisation of D's weights."""
    consistency: Weight = 0.0
    """Consistency of D on augmented reals (CR, 10 in the paper)."""
    balanced_consistency: Weight = 0.0
    """Consistency of D on augmented reals and fakes (bCR, 10 in the paper)."""
    latent_consistency: Weight = 0.0
    """Consistency of D under small changes of the latents (zCR, 5 in the paper, 20 for BigGAN)."""
    latent_diversity: Weight = 0.0
    """Diversity of G under small changes of the latents (zCR, 0.5 in the paper)."""
    drift: Weight = 0.0
    """Squared logits of the reals, so that D stays near zero (0.001 in PGGAN)."""
    path_length: Weight = 0.0
    """Path-length regularisation of G, for models with styles (2 in StyleGAN2)."""
    path_length_interval: Interval = 4
    """Apply --penalty.path-length every N steps, with N times the weight."""
    path_length_shrink: Annotated[int, Range(1, 10**6)] = 2
    """--penalty.path-length uses the batch divided by this number."""
    path_length_decay: Annotated[float, Range(0, 1)] = 0.01
    """Share of the new lengths in the moving mean of --penalty.path-length."""
    cutmix: Weight = 0.0
    """CutMix regularisation of a D that judges pixels: weight of its consistency (1 in the paper). For the model unet_gan."""
    cutmix_probability: Probability = 0.5
    """Probability of an update of D on mixed images, with --penalty.cutmix."""
    cutmix_warmup: Count = 0
    """Steps over which --penalty.cutmix-probability rises from 0, linearly."""
    cutmix_replaces: bool = True
    """An update on mixed images replaces D's loss on reals and fakes. Otherwise it is added."""
    lecam: Weight = 0.0
    """LeCam regularisation."""
    lecam_one_sided: bool = True
    """The form of the authors' code. False is the paper's equation."""
    lecam_start: Count = 0
    """First step of --penalty.lecam (1000 in the authors' BigGAN code)."""


@dataclasses.dataclass(frozen=True)
class TransformConfig:
    """Reparametrisations of weights, and of D's output."""

    spectral_norm: PlayerNames = "none"
    """Players with spectral normalisation."""
    spectral_norm_embeddings: PlayerNames = "discriminator"
    """Players whose embeddings are normalised, too."""
    power_iterations: Annotated[int, Range(1, 100)] = 1
    """Power iterations in each step."""
    weight_norm: PlayerNames = "none"
    """Players with weight normalisation."""
    gradient_normalization: bool = False
    """Divide each logit of D by the norm of its gradient plus its absolute value (GN-GAN). For a D with one logit per image."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """One optimiser for both players, with a learning rate for each (two time-scale update rule). --lr sets both."""

    generator: OptimizerName = "adam"
    """Optimiser of G."""
    discriminator: OptimizerName = "adam"
    """Optimiser of D."""
    generator_lr: Annotated[float, Range(0, 1e6)] = 2e-4
    """Learning rate of G."""
    discriminator_lr: Annotated[float, Range(0, 1e6)] = 2e-4
    """Learning rate of D."""
    b1: Annotated[Decay, tyro.conf.arg(aliases=["--b1"])] = 0.5
    """Decay of Adam's first moment, or momentum."""
    b2: Annotated[Decay, tyro.conf.arg(aliases=["--b2"])] = 0.999
    """Decay of Adam's second moment."""
    b2_final: Annotated[float | None, Range(0, 1, half_open=True)] = None
    """--optimizer.b2 moves to this value over --burn-in (0.9 to 0.99 in R3GAN)."""
    schedule: ScheduleName = "constant"
    """Learning-rate schedule over the run."""
    lr_final: Annotated[float | None, Range(0, 1e6)] = None
    """Both learning rates move to this factor of themselves over --burn-in, instead of --optimizer.schedule (0.25 in R3GAN)."""
    ema_decay: Decay = 0.999
    """Decay of the moving average of G's weights, which is used for sampling. 0 disables the average."""
    ema_images: Annotated[float, Range(0, 1e12)] = 0.0
    """Half-life of the moving average in images, instead of --optimizer.ema-decay. 0 uses the decay."""
    ema_images_final: Annotated[float | None, Range(0, 1e12)] = None
    """--optimizer.ema-images moves to this value over --burn-in (R3GAN)."""
    ema_rampup: Annotated[float, Range(0, 1)] = 0.05
    """--optimizer.ema-images is at most this share of the images so far (StyleGAN2). 0 disables it."""
    ema_start: Count = 0
    """First step of the moving average."""
    ema_warmup: bool = True
    """Let the decay grow from 0, so that the average forgets the first steps."""
    clip_weights: Weight = 0.0
    """Clip D's weights to [-c, c] after each step (0.01 for WGAN). 0 disables clipping."""
    clip_gradients: Weight = 0.0
    """Clip each player's gradients to this global norm. 0 disables clipping."""
    adaptive_clip: Weight = 0.0
    """Clip each layer's gradients to this share of the norm of its weights. 0 disables clipping."""
    historical_averaging: Weight = 0.0
    """Weight of the squared distance to the average of past parameters."""
    target_discriminator: bool = False
    """G is trained against a moving average of D (Polyak averaging)."""
    target_decay: Decay = 0.99
    """Decay of that moving average of D."""


@dataclasses.dataclass(frozen=True)
class UpdateConfig:
    """The update rule: when and how G and D are updated."""

    name: UpdateRuleName = "alternating"
    """Update rule."""
    discriminator_steps: Annotated[int, Range(1, 1000)] = 1
    """Discriminator updates in one train step (5 for WGAN). Each one uses its own minibatch."""
    generator_steps: Annotated[int, Range(1, 1000)] = 1
    """Generator updates in one train step."""
    order: Literal["discriminator_first", "generator_first"] = "discriminator_first"
    """Which player is updated first."""
    fakes: Literal["fresh", "shared"] = "fresh"
    """Sample new fakes for each update, or use the same fakes for D and G."""
    generator_reals: Literal["shared", "fresh"] = "shared"
    """Reals of G's loss, if it needs any: those of the last update of D, or a minibatch of its own (R3GAN)."""
    micro_batches: Annotated[int, Range(1, 10**5)] = 1
    """Gradient accumulation: split the minibatch of each update into this many parts."""
    unroll_steps: Annotated[int, Range(0, 1000)] = 5
    """unrolled: discriminator updates that G's gradient flows through."""
    consensus_weight: Weight = 10.0
    """consensus: weight of half the squared norm of the gradient field."""
    loss_threshold: float = 0.7
    """loss_balanced: D is updated while its loss is above this value."""
    max_discriminator_steps: Annotated[int, Range(1, 1000)] = 5
    """loss_balanced: largest number of discriminator updates in one train step."""
    generator_loss_threshold: float | None = None
    """loss_balanced: G is updated while its loss is above this value. By default G is updated once."""
    max_generator_steps: Annotated[int, Range(1, 1000)] = 5
    """loss_balanced: largest number of generator updates in one train step, with --update.generator-loss-threshold."""
    freeze_generator: Count = 0
    """G is not updated in the first N steps."""
    freeze_discriminator: Count = 0
    """D is not updated in the first N steps."""
    freeze_layers: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["--freeze-layers"], metavar="PLAYER:REGEX")] = ()
    """Layers that are never updated, e.g. discriminator:block_[01] (FreezeD). If nothing matches, the error lists the layers."""
    pool_size: Annotated[int, Range(0, 1000)] = 0
    """Number of past players that are kept as opponents. 0 disables the pool."""
    pool_interval: Interval = 500
    """Steps between two players that are kept."""
    pool_duration: Interval = 10
    """Steps for which a past player is the opponent, once in every interval."""
    joint_batches: bool = False
    """D receives reals and fakes in one batch. Wrong with batch norm, and here to show why."""


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Augmentations of D's inputs."""

    instance_noise: Annotated[float, Range(0, 1e3)] = 0.0
    """Standard deviation of the Gaussian noise on D's inputs at the first step."""
    instance_noise_schedule: Literal["linear", "cosine", "exponential", "constant"] = "linear"
    """How the noise decays."""
    instance_noise_steps: Annotated[int | None, Range(1, 10**9)] = None
    """Steps over which the noise decays. By default half the run."""
    diff_augment: str = ""
    """DiffAugment policy: color, translation and cutout, joined by commas."""
    ada: Probability = 0.0
    """Target of the overfitting measure of adaptive augmentation (0.6 in the paper). 0 disables it."""
    ada_policy: str = "blit,geometry,color"
    """Operations of adaptive augmentation, joined by commas: blit, geometry, color, filter, noise, cutout."""
    ada_interval: Annotated[int, Range(1, 10**6)] = 4
    """Discriminator updates between two adjustments of the probability."""
    ada_kimg: Annotated[float, Range(1e-3, 1e9)] = 500.0
    """Thousands of images over which the probability can rise from 0 to 1."""
    ada_probability: Annotated[float | None, Range(0, 1)] = None
    """Fixed probability of the augmentations, instead of an adaptive one."""
    ada_probability_final: Annotated[float | None, Range(0, 1)] = None
    """--augment.ada-probability, or 0, moves to this value over --burn-in (0 to 0.55 in R3GAN on CIFAR-10)."""
    apa: Probability = 0.0
    """Adaptive pseudo augmentation: target of the overfitting measure at which fakes pose as reals (0.6 in the paper). 0 disables it."""
    apa_interval: Annotated[int, Range(1, 10**6)] = 4
    """Discriminator updates between two adjustments of that probability."""
    apa_kimg: Annotated[float, Range(1e-3, 1e9)] = 500.0
    """Thousands of images over which that probability can rise from 0 to 1."""
    apa_probability: Annotated[float | None, Range(0, 1)] = None
    """Fixed probability with which a fake poses as a real, instead of an adaptive one."""
    pack: Annotated[int, Range(1, 64)] = 1
    """Number of samples that D sees together (PacGAN)."""


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """Experience replay: D sees past fakes again."""

    size: Annotated[int, Range(0, 10**7)] = 0
    """Number of past fakes in the buffer. 0 disables replay."""
    share: Probability = 0.5
    """Share of D's fakes that comes from the buffer."""
    mode: Literal["reservoir", "fifo", "pool"] = "reservoir"
    """Keep a uniform sample of the past, the latest fakes, or CycleGAN's pool, where a fake takes the place of the one that is shown."""


@dataclasses.dataclass(frozen=True)
class EvaluationConfig(PathsFromStrings):
    """Metrics of the samples."""

    samples: Annotated[int, Range(0, 10**7)] = 5000
    """Number of samples for the metrics. 0 disables the evaluation."""
    extractor: Extractor = "auto"
    """Feature network of the distances."""
    weights: Path | None = None
    """Weight file of the feature network, if it is not shipped."""
    every: Count = 0
    """Evaluate every N steps and keep the best checkpoint. 0 evaluates only at the end."""
    patience: Annotated[int, Range(0, 10**6)] = 0
    """End the run if --evaluation.best has not improved for this many evaluations in a row. Needs --evaluation.every. 0 disables it."""
    best: str = "auto"
    """Metric that selects the best checkpoint. auto: the Fréchet distance, else reverse KL, else sliced Wasserstein."""


@dataclasses.dataclass(frozen=True)
class MonitorConfig:
    """Detection of training failures."""

    enabled: bool = True
    """Check for failures at each row of metrics and each grid of samples."""
    on_failure: Annotated[Literal["warn", "stop", "rollback"], tyro.conf.arg(aliases=["--on-failure"])] = "warn"
    """What to do about a certain failure: print it, end the run with status 3, or return to the last healthy checkpoint with half the
    learning rates."""
    rollbacks: Annotated[int, Range(0, 1000)] = 3
    """Number of rollbacks after which a failure ends the run."""


@dataclasses.dataclass(frozen=True)
class LogConfig:
    """Experiment trackers beside the files of the run. Each needs its package, e.g. `pip install "gan-jax[wandb]"`."""

    wandb: bool = False
    """Log to Weights & Biases. WANDB_MODE=offline needs no network."""
    mlflow: bool = False
    """Log to MLflow: to MLFLOW_TRACKING_URI, or to the database mlflow.db in the directory of the run."""
    project: str = "gan_jax"
    """Project or experiment in the tracker."""


@dataclasses.dataclass(frozen=True)
class Config(PathsFromStrings):
    """A run. Machine and versions aside, the configuration decides every byte of it."""

    recipe: Annotated[str, tyro.conf.Fixed, tyro.conf.Suppress] = ""
    """Name of the recipe."""
    choices: Annotated[str, tyro.conf.Fixed, tyro.conf.Suppress] = ""
    """What a recipe chose from a look at the data and the device, one flag with its reason a line."""
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0
    """Random seed of the run."""
    steps: Count = 1000
    """Number of train steps."""
    epochs: Annotated[int, Range(0, 10**7), tyro.conf.arg(aliases=["--n-epochs"])] = 0
    """Number of passes over the data, instead of --steps. 0 uses --steps."""
    batch_size: Annotated[int, Range(1, 2**20)] = 64
    """Batch size of one discriminator update."""
    out: Path | None = None
    """Directory of the run. By default runs/RECIPE, or runs/RECIPE-2 and so on if that exists."""
    fork: Path | None = None
    """Continue the state of a run, or of a checkpoint of it, in a new run with changed settings, e.g. another learning rate, batch size,
    data or length. --steps counts from the parent's beginning."""
    init_from: Path | None = None
    """Begin with the weights of a run, of a checkpoint (RUN/checkpoints/step_N) or of an exported generator. Layers that do not fit are
    named and begin anew, as do the optimiser and the step."""
    burn_in: Annotated[float, Range(1e-6, 1)] = 1.0
    """Share of the run over which the ...-final values are reached, by a half cosine. They stay until the end."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Arithmetic: float32, tf32 (products of float32 numbers on the matrix units of a GPU), or bfloat16 in the networks (mixed precision).
    Parameters, statistics, losses and the optimiser are always float32."""
    scan_steps: Annotated[int, Range(1, 10**4)] = 1
    """Steps compiled into one program. Loop and scan differ in the last bits, so a resumed run cannot change this."""
    log_every: Interval = 50
    """Steps between rows of metrics."""
    sample_every: Annotated[Count, tyro.conf.arg(aliases=["--sample-interval"])] = 200
    """Steps between grids of samples."""
    sample_grid: Annotated[int, Range(2, 64)] = 8
    """Rows and columns of the grid of samples."""
    checkpoint_every: Count = 500
    """Steps between checkpoints."""
    keep_checkpoints: Annotated[int, Range(1, 10**6)] = 2
    """Number of latest checkpoints to keep."""
    layer_norms: bool = False
    """Log the gradient norm of every layer."""
    tensorboard: bool = True
    """Write TensorBoard files: all metrics, the grids, and the configuration with the final metrics."""
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
    log: LogConfig = LogConfig()
    parallel: ParallelConfig = dataclasses.field(default_factory=ParallelConfig)
    distributed: DistributedConfig = dataclasses.field(default_factory=DistributedConfig)


# Fields that do not change the bytes of the weights. A resumed run may change them.
CHANGEABLE_ON_RESUME = (
    "choices",
    "out",
    "steps",
    "epochs",
    "fork",  # These two are read at the first step only.
    "init_from",
    "log_every",
    "sample_every",
    "sample_grid",
    "checkpoint_every",
    "keep_checkpoints",
    "tensorboard",
    "log",
    "evaluation",
    "monitor",
    "data.workers",
    "data.cache",
    "data.shrink_batch",
    "data.directory",
    # Another number of devices changes the last bits and what a network draws itself, see docs/distributed.md.
    "parallel.placement",
    "parallel.devices",
    "parallel.shard_parameters",
    "distributed",
)
