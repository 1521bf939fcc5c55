"""Schema of the train step: its losses, penalties, optimisers, update rule and augmentations, as in `gan_jax.trainer.config.schema`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import tyro

from gan_jax.trainer.config.paths import PathsFromStrings
from gan_jax.trainer.config.ranges import Count, Decay, Interval, Probability, Range, Weight

# The choices are written out, so that type checkers and the help know them. A test compares each with the keys of its table.
LossName: TypeAlias = Literal[
    "minimax", "non_saturating", "least_squares", "wasserstein", "hinge", "relativistic",
    "relativistic_average", "relativistic_average_least_squares", "relativistic_average_hinge", "multi_hinge",
]  # fmt: skip
OptimizerName: TypeAlias = Literal[
    "adam", "adamw", "amsgrad", "adabelief", "lion", "optimistic_adam", "optimistic_gradient", "rmsprop", "sgd", "momentum"
]
ScheduleName: TypeAlias = Literal["constant", "linear", "constant_linear", "cosine", "exponential", "warmup_cosine"]
UpdateRuleName: TypeAlias = Literal["alternating", "simultaneous", "unrolled", "extragradient", "consensus", "loss_balanced"]
PlayerNames: TypeAlias = Literal["none", "discriminator", "generator", "both"]


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
