"""What each finding means, what usually causes it, and which flags usually help. One row a finding, in the order of urgency."""

from collections.abc import Sequence
from typing import NamedTuple

from gan_jax.monitor.history import RunInfo

SLOPE_CONTROLS = ("--transform.spectral-norm discriminator", "--penalty.r1 1", "--penalty.wgan-gp")


def applicable(advice: Sequence[str], setting: RunInfo) -> list[str]:
    """The lines of advice that can be typed for a run, as they have to be typed there.

    A line with which the run's game would be refused is left out. What controls D's slope does not go with batch norm in D, which
    undoes it: where D has it, such a line also takes it out.
    """
    lines = []
    for line in advice:
        controls = any(flag in line for flag in SLOPE_CONTROLS)
        without = "--model.discriminator-norm none"
        lines.append(f"{line} {without}" if controls and setting.discriminator_batch_norm and without not in line else line)
    return [line for line in lines if setting.accepts(line)]


class Row(NamedTuple):
    """What is known of a failure.

    Attributes:
        what: one sentence for a person.
        causes: likely ones.
        advice: flags of the configuration, each a line of its own that can be typed.
        trick: the row of the list of tricks that it belongs to.
    """

    what: str
    causes: tuple[str, ...]
    advice: tuple[str, ...]
    trick: str


# A failure -> what follows from it, and is not worth a finding of its own once it is named.
SUPPRESSES: dict[str, tuple[str, ...]] = {
    "images_not_normalised": ("discriminator_won", "generator_won_with_garbage", "mode_collapse"),
    "labels_swapped": (
        "mode_collapse",
        "generator_won_with_garbage",
        "generator_won_with_quality",
        "generator_loss_falling",
        "discriminator_won",
    ),
    "generator_frozen": ("discriminator_won", "mode_collapse", "few_dimensions", "generator_won_with_garbage"),
    "discriminator_frozen": ("generator_won_with_garbage", "generator_loss_falling"),
    "updates_too_large": ("unstable_discriminator", "saturated_output", "generator_won_with_garbage"),
    "mode_collapse": ("class_collapse",),
}

ADVICE: dict[str, Row] = {
    "non_finite": Row(
        "A value is not finite any more: nothing is learned from here on",
        ("a learning rate that is too high", "a logit or a penalty that overflows, often in a type of low precision", "a broken image"),
        ("--optimizer.clip-gradients 10", "--optimizer.generator-lr 1e-4 --optimizer.discriminator-lr 1e-4", "--model.dtype float32"),
        "watch-2",
    ),
    "images_not_normalised": Row(
        "The real images are not in [-1, 1], but the fakes are: the discriminator tells them apart by their range",
        ("the data are floating point and were not scaled", "the data are in [0, 1] or [0, 255]"),
        ("--model.output-activation tanh", "--data.pipeline auto"),
        "in-1",
    ),
    "mixed_batches": Row(
        "Reals and fakes share the batch statistics of the discriminator",
        ("the discriminator normalises over the batch and sees reals and fakes in one batch",),
        ("--update.no-joint-batches", "--model.discriminator-norm none --transform.spectral-norm discriminator"),
        "layer-1",
    ),
    "repeated_batch": Row(
        "The same batch comes again and again",
        ("a data pipeline that stands still", "a data set of a single batch"),
        ("--data.pipeline memory", "--batch-size 16"),
        "watch-1",
    ),
    "labels_swapped": Row(
        "The discriminator learns to call reals fake and fakes real",
        ("the labels of reals and fakes are exchanged", "labels are flipped too often"),
        ("--loss.flip-probability 0", "--loss.real-target 0.9 0.9 --loss.fake-target 0 0"),
        "label-3",
    ),
    "generator_frozen": Row(
        "The generator does not move",
        ("its learning rate is 0 or far too low", "it is frozen"),
        ("--optimizer.generator-lr 2e-4", "--update.freeze-generator 0"),
        "train-13",
    ),
    "discriminator_frozen": Row(
        "The discriminator does not move: the generator learns to please one fixed judge",
        ("its learning rate is 0 or far too low", "it is frozen"),
        ("--optimizer.discriminator-lr 2e-4", "--update.freeze-discriminator 0"),
        "train-13",
    ),
    "updates_too_large": Row(
        "Each step moves a player by a large share of its weights: the learning rate is too high",
        ("a learning rate that is too high by an order of magnitude or two",),
        (
            "--optimizer.generator-lr 2e-4 --optimizer.discriminator-lr 2e-4",
            "--optimizer.adaptive-clip 0.01",
            "--optimizer.schedule warmup_cosine",
        ),
        "train-4",
    ),
    "lipschitz_violated": Row(
        "The critic is too steep: its loss is no longer a Wasserstein distance",
        ("a Wasserstein loss without control of the critic's slope", "a gradient penalty that is too weak"),
        ("--penalty.wgan-gp 10", "--optimizer.clip-weights 0.01", "--transform.spectral-norm discriminator"),
        "watch-5",
    ),
    "critic_not_optimal": Row(
        "The critic is far flatter than its penalty asks for: it lags behind the generator, and its loss underestimates the distance",
        ("too few critic steps for a generator step", "a critic that learns too slowly"),
        ("--update.discriminator-steps 5", "--optimizer.discriminator-lr 4e-4"),
        "watch-5",
    ),
    "discriminator_won": Row(
        "The discriminator's loss is at zero: the generator is no longer taught anything",
        ("a discriminator that is too strong or learns too fast", "reals and fakes differ in something trivial", "too few training images"),
        ("--penalty.r1 1", "--transform.spectral-norm discriminator", "--augment.instance-noise 0.1", "--optimizer.discriminator-lr 5e-5"),
        "watch-1",
    ),
    "generator_won_with_garbage": Row(
        "The discriminator cannot tell reals from fakes, and the fakes are poor",
        ("a discriminator that is too weak or learns too slowly", "a penalty that is too strong"),
        ("--optimizer.discriminator-lr 4e-4", "--update.discriminator-steps 2", "--penalty.r1 0"),
        "watch-4",
    ),
    "generator_won_with_quality": Row(
        "The discriminator cannot tell reals from fakes, and the fakes resemble the reals: there is nothing more to learn from it",
        ("the game has converged",),
        ("--evaluation.every 500", "--optimizer.schedule cosine"),
        "watch-7",
    ),
    "generator_loss_falling": Row(
        "The generator's loss falls steadily: it fools the discriminator with garbage",
        ("a discriminator that learns too slowly", "a generator that found a blind spot of the discriminator"),
        ("--optimizer.discriminator-lr 4e-4", "--update.discriminator-steps 2", "--replay.size 1024"),
        "watch-4",
    ),
    "stale_fakes": Row(
        "The fakes that the discriminator is trained on are not those that the generator makes now",
        ("a replay buffer with too large a share", "past players swapped in for too long"),
        ("--replay.share 0.25", "--replay.mode fifo --replay.size 256", "--replay.size 0"),
        "train-8",
    ),
    "mode_collapse": Row(
        "Mode collapse: the samples are alike",
        ("a generator that learns faster than the discriminator", "a discriminator that judges each image alone"),
        (
            "--augment.pack 2",
            "--model.minibatch-stddev True",
            "--penalty.r1 1",
            "--optimizer.discriminator-lr 4e-4",
            "--update.name unrolled",
        ),
        "watch-6",
    ),
    "class_collapse": Row(
        "The samples of a class are alike, while those of other classes vary",
        ("too few training images of the class", "a discriminator that tells the fakes of that class at sight"),
        ("--penalty.r1 1", "--augment.diff-augment color,translation,cutout", "--transform.spectral-norm both"),
        "watch-6",
    ),
    "few_dimensions": Row(
        "The samples lie on a line, a curve or another set of very few dimensions",
        ("latents of too few dimensions", "a layer of the generator that lets too little through"),
        ("--model.latent-dim 64",),
        "watch-6",
    ),
    "memorisation": Row(
        "The samples are copies of training images",
        ("too few training images for the size of the networks",),
        ("--augment.diff-augment color,translation,cutout", "--augment.ada 0.6", "--data.flip"),
        "watch-7",
    ),
    "large_gradients": Row(
        "Gradient norms above 100",
        ("a discriminator without control of its slope", "a learning rate that is too high"),
        ("--optimizer.clip-gradients 10", "--transform.spectral-norm discriminator", "--penalty.r1 1"),
        "watch-2",
    ),
    "vanishing_generator_gradient": Row(
        "The gradient that reaches the generator vanishes",
        ("a loss that saturates where the discriminator is sure", "a generator whose output is saturated"),
        ("--loss.name non_saturating", "--augment.instance-noise 0.1", "--penalty.r1 1"),
        "loss-2",
    ),
    "unstable_discriminator": Row(
        "The discriminator's loss has a large variance, or spikes",
        ("learning rates that are too high", "momentum that is too high"),
        ("--optimizer.generator-lr 1e-4 --optimizer.discriminator-lr 1e-4", "--optimizer.b1 0", "--transform.spectral-norm discriminator"),
        "watch-3",
    ),
    "oscillation": Row(
        "The players chase each other in circles",
        ("simultaneous moves with momentum", "no penalty on the discriminator's gradient"),
        ("--penalty.r1 1", "--update.name extragradient", "--optimizer.b1 0", "--optimizer.ema-decay 0.999"),
        "beyond-8",
    ),
    "adversarial_dominates": Row(
        "The adversarial term's gradient drowns that of the generator's task",
        ("a weight of the adversarial term that is too high",),
        ("--loss.adversarial-weight 0.1",),
        "loss-11",
    ),
    "task_dominates": Row(
        "The gradient of the generator's task drowns the adversarial term's",
        ("a weight of the adversarial term that is too low",),
        ("--loss.adversarial-weight 10",),
        "loss-11",
    ),
    "saturated_output": Row(
        "Nearly all pixels of the samples are at the ends of tanh, where no gradient passes",
        ("a learning rate that is too high", "weights of the last layer that grew too large"),
        ("--optimizer.generator-lr 1e-4", "--transform.spectral-norm both", "--model.output-activation linear"),
        "in-2",
    ),
    "checkerboard": Row(
        "The samples have a checkerboard pattern",
        ("transposed convolutions whose filters overlap unevenly", "strided convolutions in the discriminator"),
        ("--model.up nearest", "--model.down average"),
        "layer-8",
    ),
    "dead_ema": Row(
        "The moving average of the generator, which the samples come from, does not follow it",
        ("a decay that is too close to 1 for the length of the run", "an average that begins too late"),
        ("--optimizer.ema-decay 0.99 --optimizer.ema-warmup --optimizer.ema-start 0", "--optimizer.ema-decay 0"),
        "train-6",
    ),
}
