"""Judges the final metrics of a run: how near its samples are to real images, and what each metric means."""

from typing import Any, Literal, NamedTuple

from gan_jax.trainer.report.values import is_number, number

NEAR = 2.0  # A distance up to this many times that of held-out real images counts as near.
SHARE = 0.75  # A share (recall, coverage) of at least this part of that of held-out real images counts as near.


class Meaning(NamedTuple):
    """What a metric measures.

    Attributes:
        better: "lower" or "higher".
        text: One sentence.
        distance: Whether the metric is a distance to the reference images, which is 0 for equal distributions.
    """

    better: Literal["lower", "higher"]
    text: str
    distance: bool = False


MEANINGS = {
    "classifier_fd": Meaning("lower", "Fréchet distance to the training images, in features of the shipped digit classifier.", True),
    "fid": Meaning("lower", "Fréchet distance to the training images, in Inception features.", True),
    "frechet_distance": Meaning("lower", "Fréchet distance to the training images, in the features that are named.", True),
    "kernel_distance": Meaning("lower", "Squared maximum mean discrepancy. It is unbiased, so equal distributions scatter around 0."),
    "sliced_wasserstein": Meaning("lower", "Sliced Wasserstein distance of patches at several scales.", True),
    "spectrum_distance": Meaning("lower", "Difference of the radial power spectra. It shows checkerboards and blur.", True),
    "ms_ssim": Meaning("lower", "Mean similarity of pairs of samples. Far above real images means too little variety."),
    "inception_score": Meaning("higher", "Confident and varied classes. It does not look at real images."),
    "precision": Meaning("higher", "Share of the samples that lie among real images. Low means wrong images."),
    "recall": Meaning("higher", "Share of the real images that lie among the samples. Low means lost variety."),
    "density": Meaning("higher", "How densely real images surround the samples. It is robust to outliers, and can exceed 1."),
    "coverage": Meaning("higher", "Share of the real images that have a sample near by."),
    "classes_covered": Meaning("higher", "Classes with at least 1% of the samples."),
    "rarest_class_share": Meaning("higher", "Share of the samples that falls into the rarest class."),
    "confident_share": Meaning("higher", "Share of the samples of which the classifier is more than 90% sure."),
    "memorized_share": Meaning("lower", "Share of the samples that are nearer to a training image than other training images are."),
    "vendi_score": Meaning("higher", "Effective number of different samples."),
    "modes": Meaning("higher", "Modes of the mixture with at least one sample of high quality."),
    "high_quality": Meaning("higher", "Share of the samples within 3 standard deviations of a mode."),
    "reverse_kl": Meaning("lower", "Divergence of the shares of the modes from the true ones. 0 is balanced."),
    "classification_accuracy_score": Meaning("higher", "Accuracy on real images of a classifier that was trained on samples."),
    "intra_class_frechet_distance": Meaning("lower", "Mean Fréchet distance within each class.", True),
}


class Quality(NamedTuple):
    """How near the samples are to real images.

    Attributes:
        near: Whether every judged metric is near that of held-out real images. None if nothing can be judged.
        sentence: One sentence with the figures, or "".
    """

    near: bool | None
    sentence: str


def ratio(record: dict[str, Any]) -> float | None:
    """The value of a metric over that of real images. None if either is missing or not positive, because such a ratio means nothing."""
    value, real = record.get("value"), record.get("real")
    return value / real if is_number(value) and is_number(real) and value > 0 and real > 0 else None


def assess(records: list[dict[str, Any]]) -> Quality:
    """Judges the samples by a distance, recall, coverage and the modes of a mixture, each against held-out real images.

    A distance is near up to `NEAR` times that of held-out real images. Recall and coverage are near from `SHARE` of theirs.

    Args:
        records: Records of metrics.json.
    """
    parts, near = [], []
    by_name = {record.get("metric"): record for record in records}
    for name, record in by_name.items():
        meaning, times = MEANINGS.get(str(name)), ratio(record)
        if meaning is not None and meaning.distance and times is not None:
            near.append(times <= NEAR)
            parts.append(
                f"samples are {number(float(f'{times:.2g}'))} times as far from the training images as held-out real images ({name})"
            )
            break  # One distance is enough for a sentence.
    for name in ("recall", "coverage", "high_quality"):
        record = by_name.get(name, {})
        value, real = record.get("value"), record.get("real")
        if is_number(value) and is_number(real) and real > 0:
            near.append(value >= SHARE * real)
            parts.append(f"{name.replace('_', ' ')} {number(float(f'{value:.2g}'))} (real {number(float(f'{real:.2g}'))})")
    modes = by_name.get("modes", {})
    if is_number(modes.get("value")) and is_number(modes.get("real")):
        near.append(modes["value"] >= modes["real"])
        parts.append(f"{number(modes['value'])} of {number(modes['real'])} modes")
    if not parts:
        return Quality(None, "")
    sentence = ", ".join(parts)
    return Quality(all(near), f"{sentence[0].upper()}{sentence[1:]}.")


def explanations(records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Pairs (metric, what it means and which direction is better) of the metrics of a run."""
    known = [(str(record.get("metric")), MEANINGS.get(str(record.get("metric")))) for record in records]
    return [(name, f"{meaning.text} {meaning.better.capitalize()} is better.") for name, meaning in known if meaning is not None]
