"""Counts the modes that samples cover, for data sets whose modes are known."""

from typing import Any

import numpy as np

from gan_jax import metrics
from gan_jax.data import Source
from gan_jax.data.missing import why_missing
from gan_jax.trainer.config import Config
from gan_jax.trainer.features import has_digits


def count_modes(samples: np.ndarray, source: Source, weights: Any) -> dict[str, tuple[float, dict[str, Any]]]:
    """Counts the modes of samples.

    - Points: the modes of the mixture, the share of samples near a mode, and the reverse KL divergence.
    - Stacked digits: the 1,000 combinations of classes that the digit classifier finds, and the reverse KL divergence.
    - Digits: the classes that the classifier finds, the share of the rarest class, and the share of confident predictions.

    Args:
        samples: Points float [n, dim], or images uint8 [n, height, width, channels].
        source: The data set.
        weights: Weight file of the digit classifier. None for the shipped one.

    Returns:
        Metric -> (value, details). Empty if the modes of the data set are not known.
    """
    if source.centers is not None and source.std is not None:
        coverage = metrics.mode_coverage(samples, source.centers, source.std)
        details = {"of": len(source.centers), "within": "3 standard deviations"}
        return {
            "modes": (float(coverage.modes), details),
            "high_quality": (coverage.high_quality, {}),
            "reverse_kl": (coverage.reverse_kl, {}),
        }
    if source.name == "stacked_mnist":
        stacked = metrics.stacked_digit_coverage(samples)
        return {"modes": (float(stacked.modes), {"of": 1000}), "reverse_kl": (stacked.reverse_kl, {})}
    if source.num_classes != 10 or not has_digits(source):
        return {}
    probabilities = metrics.feature_extractor("digit_classifier", weights).extract(samples).probabilities
    counts = np.bincount(probabilities.argmax(axis=1), minlength=10)
    shares = counts / counts.sum()
    return {
        "classes_covered": (float((counts > 0).sum()), {"of": 10}),
        "rarest_class_share": (float(shares.min()), {"shares": [round(float(share), 4) for share in shares]}),
        "confident_share": (float((probabilities.max(axis=1) > 0.9).mean()), {"threshold": 0.9}),
    }


def mode_records(fake: np.ndarray, source: Source, config: Config, seed: int, ema: bool) -> list[dict[str, Any]]:
    """The records of `count_modes` for samples, each with the value of at most equally many real examples.

    Args:
        fake: The samples, see `count_modes`.
        source: The data set. The real examples are held-out ones, if it has any.
        config: The configuration of the run.
        seed: Random seed of the samples, for the records.
        ema: Whether the samples come from the averaged weights, for the records.
    """
    held_out, missing = source.held_out or source, bool(why_missing(source))
    order = np.random.default_rng(0).permutation(len(held_out))[: 0 if missing else len(fake)]
    weights = config.evaluation.weights if config.evaluation.extractor == "digit_classifier" else None
    fake_counts = count_modes(fake, source, weights)
    real_counts = count_modes(np.asarray(held_out.images[order]), source, weights) if fake_counts and not missing else {}
    return [
        {
            "metric": name,
            "value": value,
            "real": real_counts[name][0] if real_counts else None,
            "extractor": "none" if source.centers is not None else "digit_classifier",
            "samples": len(fake),
            "reference": "none" if missing else f"{held_out.name}/{held_out.split}",
            "reference_samples": len(order),
            "resize": "none",
            "seed": seed,
            "ema": ema,
            "details": details,
        }
        for name, (value, details) in fake_counts.items()
    ]
