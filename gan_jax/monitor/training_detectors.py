"""What is wrong with a run, from what its steps log: losses, logits, gradients, updates."""

import math

import numpy as np

from gan_jax.gan.diagnostics import LARGE_GRADIENT, PLACES, RATIO_EVERY
from gan_jax.monitor.history import ROWS, Detection, Detector, History, Record, RunInfo, figures, lasts, number, streak
from gan_jax.monitor.sample_detectors import quality_of_samples
from gan_jax.typing import Players


def non_finite(history: History, setting: RunInfo) -> Detection | None:
    """A NaN or an infinity, with the place and the layer where it was seen first."""
    row = history.logs[-1] if history.logs else {}
    step = number(row, "monitor/nonfinite_step")
    if step >= 0:
        place, layer = int(number(row, "monitor/nonfinite_place")), int(number(row, "monitor/nonfinite_layer"))
        evidence: dict[str, float | str] = {"first seen in": PLACES[place]}
        names = setting.layers.generator if "generator" in PLACES[place] else setting.layers.discriminator
        if 0 <= layer < len(names):
            evidence["layer"] = names[layer]
        return Detection(int(step), 1.0, evidence)
    if history.samples and history.samples[-1].get("samples/finite") == 0:
        return Detection(int(history.samples[-1]["step"]), 1.0, {"first seen in": "the samples"})
    broken = [name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)]
    return Detection(int(row["step"]), 1.0, {"first seen in": broken[0]}) if broken else None


def images_not_normalised(history: History, setting: RunInfo) -> Detection | None:
    """Real images beyond [-1, 1], or none of them with a dark pixel."""
    if not setting.is_images or not history.logs:
        return None
    row = history.logs[-1]
    low, high = number(row, "monitor/real_low"), number(row, "monitor/real_high")
    if high > 1.5 or low < -1.5 or (low >= -0.05 and len(history.logs) >= ROWS):
        return Detection(int(history.logs[0]["step"]), 0.97, {"lowest": low, "highest": high})
    return None


def mixed_batches(history: History, setting: RunInfo) -> Detection | None:
    """Batch statistics over reals and fakes together."""
    if not setting.mixed_statistics or not history.logs:
        return None
    row = history.logs[-1]
    return Detection(0, 0.9, figures(row, "discriminator_loss", "real_accuracy", "fake_accuracy"))


def repeated_batch(history: History, setting: RunInfo) -> Detection | None:
    """The same images in the same order, step after step."""
    rows = streak(history.logs, lambda row: number(row, "monitor/repeated_batches") >= 5)
    if not rows:
        return None
    times = number(rows[-1], "monitor/repeated_batches")
    return Detection(int(rows[-1]["step"] - times), 0.97, {"times in a row": times})


def labels_swapped(history: History, setting: RunInfo) -> Detection | None:
    """D rates fakes above reals, and is rewarded for it.

    Every loss here is convex: with the right labels, a batch whose mean real logit is below its mean fake logit costs at least as much as
    not being able to tell (Jensen's inequality). A lower loss proves that the labels are not the right ones.
    """
    least = 0.0 if setting.loss == "wasserstein" else setting.chance
    if least is None:
        return None

    def holds(row: Record) -> bool:
        worse = number(row, "real_logits") < number(row, "fake_logits")
        return worse and number(row, "discriminator_adversarial_loss") < 0.95 * least - 1e-3

    rows = streak(history.logs, holds)
    if not lasts(rows, ROWS):
        return None
    return Detection(int(rows[0]["step"]), 0.97, figures(rows[-1], "real_logits", "fake_logits", "discriminator_adversarial_loss"))


def frozen(player: str) -> Detector:
    """A player whose steps move it by less than a millionth of the norm of its weights, other than in the first steps of a run, if it was
    frozen on purpose for these."""
    name = f"monitor/{player}_update_ratio"

    def detect(history: History, setting: RunInfo) -> Detection | None:
        until = getattr(setting.freeze, player)
        # What a log line tells of the movement may be as old as that.
        begin = until + RATIO_EVERY if 0 < until < setting.steps else 0
        rows = streak(history.logs, lambda row: row["step"] >= begin and 0 <= number(row, name) < 1e-6)
        return Detection(int(rows[0]["step"]), 0.95, figures(rows[-1], name)) if lasts(rows, ROWS) else None

    return detect


def updates_too_large(history: History, setting: RunInfo) -> Detection | None:
    """A player whose every step moves it by more than 6% of the norm of its weights."""
    names = [f"monitor/{player}_update_ratio" for player in Players._fields]
    rows = streak(history.logs, lambda row: any(number(row, name) > 0.06 for name in names))
    return Detection(int(rows[0]["step"]), 0.9, figures(rows[-1], *names)) if lasts(rows, ROWS) else None


def discriminator_won(history: History, setting: RunInfo) -> Detection | None:
    """D's loss below 2% of what it is for a D that cannot tell."""
    chance = setting.chance
    if chance is None:
        return None
    rows = streak(history.logs, lambda row: number(row, "monitor/discriminator_mean") < 0.02 * chance)
    if not lasts(rows, ROWS, 20):
        return None
    shown = figures(rows[-1], "monitor/discriminator_mean", "real_accuracy", "fake_accuracy", "generator_gradient_norm")
    return Detection(int(rows[0]["step"]), 0.9, shown)


def _beaten(row: Record, setting: RunInfo) -> bool:
    """Whether D's loss is above what not being able to tell costs, or D rates fakes above reals."""
    worse = number(row, "real_logits") <= number(row, "fake_logits")
    return worse or (setting.chance is not None and number(row, "monitor/discriminator_mean") > 1.02 * setting.chance)


def _at_chance(row: Record, setting: RunInfo) -> bool:
    """Whether D's loss is what not being able to tell costs."""
    return setting.chance is not None and 0.97 < number(row, "monitor/discriminator_mean") / setting.chance < 1.05


def _long(setting: RunInfo) -> int:
    """Steps that a state must last which every game passes through in its beginning."""
    return max(30, setting.steps // 20)


def generator_won(garbage: bool) -> Detector:
    """D is beaten and the fakes are poor (`garbage`), or D is at chance and they are good."""

    def detect(history: History, setting: RunInfo) -> Detection | None:
        # A D that converged is just below chance; only one that is too weak for the task stays above.
        rows = streak(history.logs, lambda row: (_beaten if garbage else _at_chance)(row, setting))
        poor, shown = quality_of_samples(history)
        if not lasts(rows, 5, _long(setting)) or poor is None or poor is not garbage:
            return None
        evidence = figures(rows[-1], "monitor/discriminator_mean", "real_logits", "fake_logits") | shown
        return Detection(int(rows[0]["step"]), 0.85 if garbage else 0.4, evidence)

    return detect


def generator_loss_falling(history: History, setting: RunInfo) -> Detection | None:
    """G's loss falls from record to record to less than 0.6 of what it was, D rates fakes above reals, and the fakes are poor."""
    rows = streak(history.logs, lambda row: number(row, "real_logits") < number(row, "fake_logits"))
    if (
        setting.loss not in ("minimax", "non_saturating")
        or not lasts(rows, 8, _long(setting))
        or quality_of_samples(history)[0] is not True
    ):
        return None
    losses = np.array([number(row, "monitor/generator_mean") for row in rows])
    falling = float((np.diff(losses) < 0).mean())
    if falling < 0.8 or losses[-1] > losses[0] - 0.4 * abs(losses[0]):
        return None
    return Detection(int(rows[0]["step"]), 0.8, {"from": float(losses[0]), "to": float(losses[-1]), "share of falls": falling})


def stale_fakes(history: History, setting: RunInfo) -> Detection | None:
    """D rates the fakes of G's turn far above those of its own, which may be past ones."""
    if not setting.past_fakes:  # then D has just learned, or normalises each batch by itself
        return None

    def holds(row: Record) -> bool:
        shown, fresh, real = (number(row, name) for name in ("fake_logits", "fresh_fake_logits", "real_logits"))
        return real - shown > 1 and fresh - shown > 0.5 * (real - shown)

    rows = streak(history.logs, holds)
    names = ("fake_logits", "fresh_fake_logits", "real_logits")
    return Detection(int(rows[0]["step"]), 0.9, figures(rows[-1], *names)) if lasts(rows, ROWS) else None


def large_gradients(history: History, setting: RunInfo) -> Detection | None:
    """A gradient norm above 100 in a tenth of the steps of the last records; sure where it is in three tenths.

    Not of a player whose weights are normalised: its gradient grows as its weights shrink, and says nothing of its function.
    """
    if len(history.logs) < ROWS + 1:
        return None
    rows = list(history.logs)[-1 - ROWS :]
    first, last = rows[0], rows[-1]
    steps = last["step"] - first["step"]
    for player in Players._fields:
        if getattr(setting.scale_free, player):
            continue
        name = f"monitor/{player}_large_gradients"
        share = (number(last, name) - number(first, name)) / max(steps, 1)
        if share >= 0.1:
            evidence: dict[str, float | str] = {f"share of steps above {LARGE_GRADIENT:g}": share, "player": player}
            layers, layer = getattr(setting.layers, player), int(number(last, f"monitor/{player}_large_layer"))
            if 0 <= layer < len(layers):
                evidence["layer"] = layers[layer]
            since = next(row["step"] for row in rows if number(row, name) > number(first, name))
            return Detection(int(since), 0.85 if share >= 0.3 else 0.6, evidence | figures(last, f"{player}_gradient_norm"))
    return None


def vanishing_generator_gradient(history: History, setting: RunInfo) -> Detection | None:
    """A gradient of G below 1e-5."""
    rows = streak(history.logs, lambda row: number(row, "generator_gradient_norm") < 1e-5)
    return Detection(int(rows[0]["step"]), 0.9, figures(rows[-1], "generator_gradient_norm")) if lasts(rows, ROWS) else None


def unstable_discriminator(history: History, setting: RunInfo) -> Detection | None:
    """D's loss far above that of a D that cannot tell, or strewn as widely; or spikes in more than 3% of the steps."""
    chance = setting.chance
    if chance is None:
        return None

    def holds(row: Record) -> bool:
        mean, deviation = number(row, "monitor/discriminator_mean"), number(row, "monitor/discriminator_deviation")
        return mean > 3 * chance or (deviation > chance and deviation > 0.5 * mean)

    rows = streak(history.logs, holds)
    shown = ("monitor/discriminator_mean", "monitor/discriminator_deviation")
    if lasts(rows, ROWS):
        return Detection(int(rows[0]["step"]), 0.85, figures(rows[-1], *shown))
    now = history.step
    first = next((row for row in history.logs if now - row["step"] <= 200), None)
    if first is None or now - first["step"] < 100:
        return None
    spikes = number(history.logs[-1], "monitor/spikes") - number(first, "monitor/spikes")
    share = spikes / (now - first["step"])
    return Detection(int(first["step"]), 0.7, {"share of steps with a spike": share}) if share > 0.03 and spikes >= 5 else None


def oscillation(history: History, setting: RunInfo) -> Detection | None:
    """One frequency holds most of the movement of D's loss: at least 3 periods, of at least half the size of the mean."""
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
        int(steps[0]), 0.7, {"period in steps": float(np.ptp(steps)) / peak, "share of the movement": share, "size": float(rest.std())}
    )


def dominates(id: str) -> Detector:
    """One part of G's gradient is far above the other: adversarial over task 30 times, or task over adversarial 300 times."""

    def ratio(row: Record) -> float:
        # A task that does not act on the images, a penalty of weights say, is not drowned.
        task = number(row, "task_gradient_norm")
        return number(row, "adversarial_gradient_norm") / task if task > 0 else 1.0

    def detect(history: History, setting: RunInfo) -> Detection | None:
        if id == "adversarial_dominates":
            rows = streak(history.logs, lambda row: ratio(row) > 30)
        else:
            rows = streak(history.logs, lambda row: ratio(row) < 1 / 300)
        if not lasts(rows, 5):
            return None
        return Detection(int(rows[0]["step"]), 0.6, figures(rows[-1], "adversarial_gradient_norm", "task_gradient_norm"))

    return detect
