"""What each failure means, what usually causes it, and which settings usually help. There is one row per failure, most urgent first.

Settings are lines of field paths of the trainer's configuration and their values. The trainer turns them into flags.
"""

from collections.abc import Sequence
from typing import NamedTuple

from gan_jax.monitor.history import RunInfo

SLOPE_CONTROLS = ("transform.spectral_norm discriminator", "penalty.r1 1", "penalty.wgan_gp")
NO_DISCRIMINATOR_NORM = "model.discriminator_norm none"


def applicable(advice: Sequence[str], info: RunInfo) -> list[str]:
    """The lines of advice that can be applied to a run, as `RunInfo.format_settings` writes them.

    Lines that are incompatible with the run's configuration are left out. Batch norm in D undoes methods that control the slope of D. If D
    has batch norm, lines with such a method also remove it.
    """
    lines = []
    for line in advice:
        if info.discriminator_batch_norm and NO_DISCRIMINATOR_NORM not in line and any(control in line for control in SLOPE_CONTROLS):
            line = f"{line} {NO_DISCRIMINATOR_NORM}"
        formatted = info.format_settings(line)
        lines += [] if formatted is None else [formatted]
    return lines


class Advice(NamedTuple):
    """What is known about a failure.

    Attributes:
        message: What the failure is, in one sentence.
        causes: Likely causes.
        advice: Settings that usually help, one alternative per line.
        trick: Row of the list of tricks that it belongs to.
    """

    message: str
    causes: tuple[str, ...]
    advice: tuple[str, ...]
    trick: str


# Maps a failure to its secondary failures, which are not reported after it.
SUPPRESSES: dict[str, tuple[str, ...]] = {
    "images_not_normalised": ("discriminator_won", "generator_won_with_garbage", "mode_collapse"),
    "labels_swapped": (
        "mode_collapse",
        "generator_won_with_garbage",
        "generator_won_with_quality",
        "generator_loss_falling",
        "discriminator_won",
    ),
    "bounded_logits": ("generator_won_with_garbage", "generator_won_with_quality", "discriminator_won"),
    "generator_frozen": ("discriminator_won", "mode_collapse", "few_dimensions", "generator_won_with_garbage"),
    "discriminator_frozen": ("generator_won_with_garbage", "generator_loss_falling"),
    "updates_too_large": ("unstable_discriminator", "saturated_output", "generator_won_with_garbage"),
    "mode_collapse": ("class_collapse",),
}

ADVICE: dict[str, Advice] = {
    "non_finite": Advice(
        "A value is not finite: the run cannot recover from this",
        ("a learning rate that is too high", "a logit or a penalty that overflows, often in a type of low precision", "a broken image"),
        ("optimizer.clip_gradients 10", "optimizer.generator_lr 1e-4 optimizer.discriminator_lr 1e-4", "precision float32"),
        "watch-2",
    ),
    "labels_out_of_range": Advice(
        "Labels of the data are outside of 0, ..., classes - 1",
        ("the labels count from 1", "the data have more classes than the GAN was given"),
        ("model.conditional False",),
        "model-10",
    ),
    "images_not_normalised": Advice(
        "The real images are not in [-1, 1], but the fakes are: the discriminator separates them by their range",
        ("the data are floating point and were not scaled", "the data are in [0, 1] or [0, 255]"),
        ("model.output_activation tanh", "data.pipeline auto"),
        "in-1",
    ),
    "mixed_batches": Advice(
        "Reals and fakes share the batch statistics of the discriminator",
        ("the discriminator normalises over the batch and sees reals and fakes in one batch",),
        ("update.joint_batches False", f"{NO_DISCRIMINATOR_NORM} transform.spectral_norm discriminator"),
        "layer-1",
    ),
    "repeated_batch": Advice(
        "Every step gets the same batch",
        ("a data pipeline that does not advance", "a data set of a single batch"),
        ("data.pipeline memory", "batch_size 16"),
        "watch-1",
    ),
    "labels_swapped": Advice(
        "The discriminator learns to classify reals as fake and fakes as real",
        ("the labels of reals and fakes are exchanged", "labels are flipped too often"),
        ("loss.flip_probability 0", "loss.real_target 0.9 0.9 loss.fake_target 0 0"),
        "label-3",
    ),
    "bounded_logits": Advice(
        "All outputs of the discriminator are in [0, 1], but the loss expects logits: remove the sigmoid of its last layer",
        ("the discriminator ends in a sigmoid, and the loss applies another one",),
        ("loss.name least_squares",),
        "loss-2",
    ),
    "generator_frozen": Advice(
        "The generator's parameters do not change",
        ("its learning rate is 0 or far too low", "it is frozen"),
        ("optimizer.generator_lr 2e-4", "update.freeze_generator 0"),
        "train-13",
    ),
    "discriminator_frozen": Advice(
        "The discriminator's parameters do not change: the generator is trained against a fixed discriminator",
        ("its learning rate is 0 or far too low", "it is frozen"),
        ("optimizer.discriminator_lr 2e-4", "update.freeze_discriminator 0"),
        "train-13",
    ),
    "updates_too_large": Advice(
        "Each update is large compared with the weights: the learning rate is too high",
        ("a learning rate that is too high by one or two orders of magnitude",),
        ("optimizer.generator_lr 2e-4 optimizer.discriminator_lr 2e-4",),
        "train-4",
    ),
    "lipschitz_violated": Advice(
        "The critic is too steep: its loss is no longer a Wasserstein distance",
        ("a Wasserstein loss without control of the critic's slope", "a gradient penalty that is too weak"),
        ("penalty.wgan_gp 10", "optimizer.clip_weights 0.01", "transform.spectral_norm discriminator"),
        "watch-5",
    ),
    "critic_not_optimal": Advice(
        "The critic is far flatter than its penalty requires: it lags behind the generator, and its loss underestimates the distance",
        ("too few critic updates per generator update", "a critic that learns too slowly"),
        ("update.discriminator_steps 5", "optimizer.discriminator_lr 4e-4"),
        "watch-5",
    ),
    "discriminator_won": Advice(
        "The discriminator's loss is near zero: the generator gets no useful gradient",
        (
            "a discriminator that is too strong or learns too fast",
            "a trivial difference between reals and fakes",
            "too few training images",
        ),
        (
            "optimizer.generator_lr 2e-4 optimizer.discriminator_lr 2e-4 update.discriminator_steps 1",
            "penalty.r1 1",
            "transform.spectral_norm discriminator",
        ),
        "watch-1",
    ),
    "generator_won_with_garbage": Advice(
        "The discriminator cannot separate reals from fakes, and the fakes are poor",
        ("a discriminator that is too weak or learns too slowly", "a penalty that is too strong"),
        ("optimizer.discriminator_lr 4e-4", "penalty.r1 0"),
        "watch-4",
    ),
    "generator_won_with_quality": Advice(
        "The discriminator cannot separate reals from fakes, and the fakes resemble the reals: training has converged",
        ("the training has converged",),
        ("evaluation.every 500", "optimizer.schedule cosine"),
        "watch-7",
    ),
    "generator_loss_falling": Advice(
        "The generator's loss falls steadily while its samples are poor",
        ("a discriminator that learns too slowly", "a generator that exploits a weakness of the discriminator"),
        ("optimizer.discriminator_lr 4e-4", "update.discriminator_steps 2"),
        "watch-4",
    ),
    "stale_fakes": Advice(
        "The discriminator is trained on fakes that differ from those that the generator makes now",
        ("a replay buffer with too large a share", "past players that are used for too long"),
        ("replay.share 0.25", "replay.mode fifo replay.size 256", "replay.size 0"),
        "train-8",
    ),
    "mode_collapse": Advice(
        "Mode collapse: the samples are alike",
        ("a generator that learns faster than the discriminator", "a discriminator that sees each image alone"),
        ("penalty.r1 1", "optimizer.discriminator_lr 4e-4"),
        "watch-6",
    ),
    "class_collapse": Advice(
        "The samples of one class are alike, while those of other classes vary",
        ("too few training images of the class", "a discriminator that detects all fakes of that class"),
        ("penalty.r1 1", "augment.diff_augment color,translation,cutout", "transform.spectral_norm both"),
        "watch-6",
    ),
    "few_dimensions": Advice(
        "The samples lie on a line, a curve or another set of very few dimensions",
        ("latents of too few dimensions", "a narrow layer in the generator"),
        ("model.latent_dim 64",),
        "watch-6",
    ),
    "memorisation": Advice(
        "The samples are copies of training images",
        ("too few training images for the size of the networks",),
        ("augment.diff_augment color,translation,cutout", "augment.ada 0.6", "data.flip True"),
        "watch-7",
    ),
    "large_gradients": Advice(
        "Gradient norms above 100",
        ("a discriminator without control of its slope", "a learning rate that is too high"),
        ("transform.spectral_norm discriminator",),
        "watch-2",
    ),
    "vanishing_generator_gradient": Advice(
        "The gradient that reaches the generator vanishes",
        ("a loss that saturates if the discriminator is confident", "a generator whose output is saturated"),
        ("loss.name non_saturating", "augment.instance_noise 0.1", "penalty.r1 1"),
        "loss-2",
    ),
    "unstable_discriminator": Advice(
        "The discriminator's loss has a large variance, or spikes",
        ("learning rates that are too high", "momentum that is too high"),
        ("optimizer.generator_lr 1e-4 optimizer.discriminator_lr 1e-4", "optimizer.b1 0", "transform.spectral_norm discriminator"),
        "watch-3",
    ),
    "oscillation": Advice(
        "The losses oscillate with one period",
        ("simultaneous updates with momentum", "no penalty on the discriminator's gradient"),
        ("penalty.r1 1", "update.name extragradient", "optimizer.b1 0", "optimizer.ema_decay 0.999"),
        "beyond-8",
    ),
    "adversarial_dominates": Advice(
        "The gradient of the adversarial loss is far larger than that of the generator's other terms",
        ("a weight of the adversarial loss that is too high",),
        ("loss.adversarial_weight 0.1",),
        "loss-11",
    ),
    "task_dominates": Advice(
        "The gradient of the generator's other terms is far larger than that of the adversarial loss",
        ("a weight of the adversarial loss that is too low",),
        ("loss.adversarial_weight 10",),
        "loss-11",
    ),
    "saturated_output": Advice(
        "Nearly all pixels of the samples are at the limits of tanh, where the gradient vanishes",
        ("a learning rate that is too high", "weights of the last layer that grew too large"),
        ("optimizer.generator_lr 1e-4", "transform.spectral_norm both", "model.output_activation linear"),
        "in-2",
    ),
    "checkerboard": Advice(
        "The samples have a checkerboard pattern",
        ("transposed convolutions whose filters overlap unevenly", "strided convolutions in the discriminator"),
        ("model.up nearest", "model.down average"),
        "layer-8",
    ),
    "dead_ema": Advice(
        "The moving average of the generator, which the samples come from, does not follow the generator",
        ("a decay that is too close to 1 for the length of the run", "an average that begins too late"),
        ("optimizer.ema_decay 0.99 optimizer.ema_warmup True optimizer.ema_start 0", "optimizer.ema_decay 0"),
        "train-6",
    ),
}
