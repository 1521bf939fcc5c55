"""Detectors that read what the train steps log: losses, logits, gradients and updates."""

import math

import numpy as np

from gan_jax._internal.diagnostics import LARGE_GRADIENT, PLACES, RATIO_EVERY
from gan_jax.monitor.history import ROWS, Detection, Detector, History, Record, RunInfo, detection, figures, index, lasts, number, streak
from gan_jax.monitor.sample_detectors import quality_of_samples
from gan_jax.typing import Players


def non_finite(history: History, info: RunInfo) -> Detection | None:
    """A value is NaN or infinite. The evidence is the first place and layer."""
    row = history.logs[-1] if history.logs else {}
    step, place, layer = (index(row, f"monitor/nonfinite_{name}") for name in ("step", "place", "layer"))
    if step >= 0 and 0 <= place < len(PLACES):
        evidence: dict[str, float | str] = {"first seen in": PLACES[place]}
        names = info.layers.generator if "generator" in PLACES[place] else info.layers.discriminator
        if 0 <= layer < len(names):
            evidence["layer"] = names[layer]
        return Detection(int(step), 1.0, evidence)
    if history.samples and history.samples[-1].get("samples/finite") == 0:
        return Detection(int(history.samples[-1]["step"]), 1.0, {"first seen in": "the samples"})
    broken = [name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)]
    return Detection(int(row["step"]), 1.0, {"first seen in": broken[0]}) if broken else None


def images_not_normalised(history: History, info: RunInfo) -> Detection | None:
    """Real images are outside [-1, 1], or none of them has a dark pixel."""
    if not info.is_images or not history.logs:
        return None
    row = history.logs[-1]
    low, high = number(row, "monitor/real_low"), number(row, "monitor/real_high")
    if high > 1.5 or low < -1.5 or (low >= -0.05 and len(history.logs) >= ROWS):
        return Detection(int(history.logs[0]["step"]), 0.97, {"lowest": low, "highest": high})
    return None


def labels_out_of_range(history: History, info: RunInfo) -> Detection | None:
    """Labels are below 0, or not below the number of classes. Their embeddings are NaN, or those of another class."""
    classes = info.num_classes
    rows = streak(history.logs, lambda row: number(row, "monitor/label_low") < 0 or number(row, "monitor/label_high") >= classes)
    if not classes or not rows:
        return None
    evidence = figures(rows[-1], "monitor/label_low", "monitor/label_high") | {"classes": float(classes)}
    return Detection(int(rows[0]["step"]), 0.97, evidence)


def mixed_batches(history: History, info: RunInfo) -> Detection | None:
    """The discriminator computes batch statistics over reals and fakes together."""
    if not info.mixed_statistics or not history.logs:
        return None
    row = history.logs[-1]
    return Detection(0, 0.9, figures(row, "discriminator_loss", "real_accuracy", "fake_accuracy"))


def repeated_batch(history: History, info: RunInfo) -> Detection | None:
    """Consecutive steps get the same images in the same order."""
    rows = streak(history.logs, lambda row: number(row, "monitor/repeated_batches") >= 5)
    if not rows:
        return None
    times = number(rows[-1], "monitor/repeated_batches")
    return Detection(int(rows[-1]["step"] - times), 0.97, {"times in a row": times})


def labels_swapped(history: History, info: RunInfo) -> Detection | None:
    """D gives fakes higher logits than reals, and its loss is low nevertheless.

    All losses of this detector are convex. With correct labels, a batch with a mean real logit below its mean fake logit has at least the
    loss of a discriminator that cannot separate the two (Jensen's inequality). A lower loss proves that the labels are wrong.
    """
    least = 0.0 if info.loss == "wasserstein" else info.chance
    if least is None:
        return None

    def holds(row: Record) -> bool:
        worse = number(row, "real_logits") < number(row, "fake_logits")
        return worse and number(row, "discriminator_adversarial_loss") < 0.95 * least - 1e-3

    return detection(streak(history.logs, holds), 0.97, "real_logits", "fake_logits", "discriminator_adversarial_loss")


def bounded_logits(history: History, info: RunInfo) -> Detection | None:
    """All logits of D so far are in [0, 1], on both sides of 1/2, as the outputs of a sigmoid. The loss expects logits of any size.

    Least squares is left out. Its targets are 0 and 1, so a bounded D is a choice there.
    """
    if info.loss == "least_squares":
        return None

    def holds(row: Record) -> bool:
        # The extremes of fewer steps could be in this range by chance.
        return row["step"] >= 30 and 0 <= number(row, "monitor/logit_low") < 0.5 < number(row, "monitor/logit_high") <= 1

    return detection(streak(history.logs, holds), 0.95, "monitor/logit_low", "monitor/logit_high", count=1)


def frozen(player: str) -> Detector:
    """The updates of a player are smaller than a millionth of the norm of its weights.

    The first steps of a run do not count if the player is frozen on purpose for these.
    """
    name = f"monitor/{player}_update_ratio"

    def detect(history: History, info: RunInfo) -> Detection | None:
        until = getattr(info.freeze, player)
        # The ratio in a log line can be RATIO_EVERY steps old.
        begin = until + RATIO_EVERY if 0 < until < info.steps else 0
        rows = streak(history.logs, lambda row: row["step"] >= begin and 0 <= number(row, name) < 1e-6)
        return detection(rows, 0.95, name)

    return detect


def updates_too_large(history: History, info: RunInfo) -> Detection | None:
    """The updates of a player are larger than 6% of the norm of its weights."""
    names = [f"monitor/{player}_update_ratio" for player in Players._fields]
    rows = streak(history.logs, lambda row: any(number(row, name) > 0.06 for name in names))
    return detection(rows, 0.9, *names)


def discriminator_won(history: History, info: RunInfo) -> Detection | None:
    """D's loss is below 2% of the loss of a D that cannot separate reals from fakes."""
    chance = info.chance
    if chance is None:
        return None
    rows = streak(history.logs, lambda row: number(row, "monitor/discriminator_mean") < 0.02 * chance)
    return detection(rows, 0.9, "monitor/discriminator_mean", "real_accuracy", "fake_accuracy", "generator_gradient_norm", steps=20)


def _beaten(row: Record, info: RunInfo) -> bool:
    """Whether D's loss is above that of a D that cannot separate reals from fakes, or D gives fakes higher logits."""
    worse = number(row, "real_logits") <= number(row, "fake_logits")
    return worse or (info.chance is not None and number(row, "monitor/discriminator_mean") > 1.02 * info.chance)


def _at_chance(row: Record, info: RunInfo) -> bool:
    """Whether D's loss is that of a D that cannot separate reals from fakes."""
    return info.chance is not None and 0.97 < number(row, "monitor/discriminator_mean") / info.chance < 1.05


def _long(info: RunInfo) -> int:
    """Number of steps that a condition must hold, for conditions that also occur at the start of healthy runs."""
    return max(30, info.steps // 20)


def generator_won(poor_samples: bool) -> Detector:
    """D's loss is above chance and the fakes are poor (`poor_samples`), or D's loss is at chance and the fakes are good."""

    def detect(history: History, info: RunInfo) -> Detection | None:
        # The loss of a converged D is just below chance. Only the loss of a D that is too weak stays above.
        rows = streak(history.logs, lambda row: (_beaten if poor_samples else _at_chance)(row, info))
        poor, quality = quality_of_samples(history)
        if not lasts(rows, 5, _long(info)) or poor is not poor_samples:
            return None
        evidence = figures(rows[-1], "monitor/discriminator_mean", "real_logits", "fake_logits") | quality
        return Detection(int(rows[0]["step"]), 0.85 if poor_samples else 0.4, evidence)

    return detect


def generator_loss_falling(history: History, info: RunInfo) -> Detection | None:
    """G's loss falls steadily to less than 0.6 of its value, D gives fakes higher logits than reals, and the fakes are poor."""
    rows = streak(history.logs, lambda row: number(row, "real_logits") < number(row, "fake_logits"))
    if info.loss not in ("minimax", "non_saturating") or not lasts(rows, 8, _long(info)) or quality_of_samples(history)[0] is not True:
        return None
    losses = np.array([number(row, "monitor/generator_mean") for row in rows])
    falling = float((np.diff(losses) < 0).mean())
    if falling < 0.8 or losses[-1] > losses[0] - 0.4 * abs(losses[0]):
        return None
    return Detection(int(rows[0]["step"]), 0.8, {"from": float(losses[0]), "to": float(losses[-1]), "share of falls": falling})


def stale_fakes(history: History, info: RunInfo) -> Detection | None:
    """D gives fakes of the generator update far higher logits than fakes of its own update, which can be past ones."""
    if not info.past_fakes:  # The logits also differ because D was just updated, or because it normalises over the batch.
        return None
    names = ("fake_logits", "fresh_fake_logits", "real_logits")

    def holds(row: Record) -> bool:
        trained, fresh, real = (number(row, name) for name in names)
        return real - trained > 1 and fresh - trained > 0.5 * (real - trained)

    return detection(streak(history.logs, holds), 0.9, *names)


def large_gradients(history: History, info: RunInfo) -> Detection | None:
    """The gradient norm is above 100 in a tenth of the latest steps. From three tenths on the run counts as failing.

    Players with normalised weights are skipped. Their gradient grows as their weights shrink, while their function stays the same.
    """
    if len(history.logs) < ROWS + 1:
        return None
    rows = list(history.logs)[-1 - ROWS :]
    first, last = rows[0], rows[-1]
    steps = last["step"] - first["step"]
    for player in Players._fields:
        if getattr(info.scale_free, player):
            continue
        name = f"monitor/{player}_large_gradients"
        share = (number(last, name) - number(first, name)) / max(steps, 1)
        if share >= 0.1:
            evidence: dict[str, float | str] = {f"share of steps above {LARGE_GRADIENT:g}": share, "player": player}
            layers, layer = getattr(info.layers, player), index(last, f"monitor/{player}_large_layer")
            if 0 <= layer < len(layers):
                evidence["layer"] = layers[layer]
            since = next(row["step"] for row in rows if number(row, name) > number(first, name))
            return Detection(int(since), 0.85 if share >= 0.3 else 0.6, evidence | figures(last, f"{player}_gradient_norm"))
    return None


def vanishing_generator_gradient(history: History, info: RunInfo) -> Detection | None:
    """The gradient norm of G is below 1e-5."""
    rows = streak(history.logs, lambda row: number(row, "generator_gradient_norm") < 1e-5)
    return detection(rows, 0.9, "generator_gradient_norm")


def unstable_discriminator(history: History, info: RunInfo) -> Detection | None:
    """D's loss is far above chance, or its deviation is larger than that, or it spikes in more than 3% of the steps."""
    chance = info.chance
    if chance is None:
        return None

    def holds(row: Record) -> bool:
        mean, deviation = number(row, "monitor/discriminator_mean"), number(row, "monitor/discriminator_deviation")
        return mean > 3 * chance or (deviation > chance and deviation > 0.5 * mean)

    lasting = detection(streak(history.logs, holds), 0.85, "monitor/discriminator_mean", "monitor/discriminator_deviation")
    if lasting is not None:
        return lasting
    now = history.step
    first = next((row for row in history.logs if now - row["step"] <= 200), None)
    if first is None or now - first["step"] < 100:
        return None
    spikes = number(history.logs[-1], "monitor/spikes") - number(first, "monitor/spikes")
    share = spikes / (now - first["step"])
    return Detection(int(first["step"]), 0.7, {"share of steps with a spike": share}) if share > 0.03 and spikes >= 5 else None


def oscillation(history: History, info: RunInfo) -> Detection | None:
    """One frequency has most of the power of D's loss, with at least 3 periods and a deviation above 0.35 of the mean loss."""
    rows = list(history.logs)[-64:]
    if len(rows) < 32:
        return None
    steps = np.array([row["step"] for row in rows], float)
    losses = np.array([number(row, "monitor/discriminator_mean") for row in rows])
    if not np.isfinite(losses).all() or np.ptp(np.diff(steps)) > 0:
        return None
    rest = losses - np.polyval(np.polyfit(steps, losses, 1), steps)
    power = np.abs(np.fft.rfft(rest * np.hanning(len(rest)))) ** 2
    peak = int(np.argmax(power))
    share = float(power[max(peak - 1, 0) : peak + 2].sum() / max(power.sum(), 1e-300))
    if not 3 <= peak <= len(rows) // 4 or share < 0.7 or rest.std() < 0.35 * abs(losses.mean()):
        return None
    return Detection(
        int(steps[0]), 0.7, {"period in steps": float(np.ptp(steps)) / peak, "share of the power": share, "deviation": float(rest.std())}
    )


def dominates(id: str) -> Detector:
    """The adversarial gradient of G is more than 30 times that of its other terms, or less than 1/300 of it."""

    def ratio(row: Record) -> float:
        # Terms that do not act on the images, e.g. a penalty on weights, have no such gradient.
        task = number(row, "task_gradient_norm")
        # The adversarial term may start late.
        compared = task > 0 and number(row, "adversarial_weight") != 0
        return number(row, "adversarial_gradient_norm") / task if compared else 1.0

    def detect(history: History, info: RunInfo) -> Detection | None:
        rows = streak(history.logs, lambda row: ratio(row) > 30 if id == "adversarial_dominates" else ratio(row) < 1 / 300)
        return detection(rows, 0.6, "adversarial_gradient_norm", "task_gradient_norm", count=5)

    return detect
