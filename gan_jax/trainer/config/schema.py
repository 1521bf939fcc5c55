"""Schema of a run: typed groups of fields. Each field has a default, a range if it is a number, and the help text of its flag."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import tyro

from gan_jax.trainer.config.devices import DistributedConfig, ParallelConfig
from gan_jax.trainer.config.paths import PathsFromStrings
from gan_jax.trainer.config.ranges import Count, Interval, Range
from gan_jax.trainer.config.train_step import (
    AugmentConfig,
    LossConfig,
    OptimizerConfig,
    PenaltyConfig,
    ReplayConfig,
    TransformConfig,
    UpdateConfig,
)

# The choices are written out, so that type checkers and the help know them. A test compares each with the keys of its table.
ModelName: TypeAlias = Literal[
    "mlp", "points", "dcgan", "sngan", "sagan", "biggan", "unet_gan", "r3gan", "progressive", "stylegan2",
    "multiscale", "pix2pix", "cyclegan", "inpaint", "stacked", "vaegan", "klgan",
]  # fmt: skip
NormName: TypeAlias = Literal["none", "batch", "instance", "layer", "pixel", "switchable", "virtual_batch", "conditional_batch"]
Extractor: TypeAlias = Literal["auto", "pixels", "vgg16", "digit_classifier", "inception_v3"]


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
    aim: bool = False
    """Log to Aim: to the repository around the working directory, or to one in the directory of the run."""
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
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    penalty: PenaltyConfig = dataclasses.field(default_factory=PenaltyConfig)
    transform: TransformConfig = dataclasses.field(default_factory=TransformConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    update: UpdateConfig = dataclasses.field(default_factory=UpdateConfig)
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    replay: ReplayConfig = dataclasses.field(default_factory=ReplayConfig)
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
