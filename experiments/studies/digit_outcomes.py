"""The outcomes of a generator of digits, judged by a classifier that has seen none of the generator's training images.

    python -m experiments.studies.digit_outcomes                          the controls: real digits, copies, blur, noise, a lost class
    python -m experiments.studies.digit_outcomes --out docs/data/digit_outcomes.jsonl
    python -m experiments.studies.digit_outcomes --weights FILE           and their rank agreement with the Inception distance

No single figure judges a generator. A copier of 1,000 training images has a smaller Fréchet distance than held-out digits, and one that
repeats 500 of them beats every GAN here. Hence each row also has the coverage and the share of near copies, and a generator is good only
if it is near the held-out digits in all three. The classifier is `files/held_out_classifier.safetensors`, which
`experiments/tools/train_classifier.py --split test` makes from the 1,000 held-out digits.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from docs._generate.tables import table
from experiments.rows import append_rows, command_of, existing, origin
from gan_jax.cli.errors import errors_as_lines
from gan_jax.cli.parsing import argument_parser

WEIGHTS = Path(__file__).parent / "files" / "held_out_classifier.safetensors"
SAMPLES = 5000
SEEN_SHARE = 0.01  # a class with a smaller share of the samples does not count
COLUMNS = {
    "fd": ("Fréchet distance", 1),
    "kernel_distance": ("kernel distance", 2),
    "precision": ("precision", 2),
    "recall": ("recall", 2),
    "coverage": ("coverage", 2),
    "near_copies": ("near copies", 2),
    "classes": ("classes", 0),
    "rarest_class": ("rarest class", 3),
    "confident": ("confident", 2),
}


@cache
def _reference() -> tuple[Any, np.ndarray, np.ndarray]:
    """The classifier, its features of the 4,000 training digits, and these digits as rows of pixels."""
    from gan_jax.data import load_source
    from gan_jax.metrics import FeatureExtractor, classifier

    params = classifier.load(WEIGHTS)

    def apply(params: Any, images: Any) -> Any:
        return classifier.apply(params, images.astype(np.float32) / 127.5 - 1)

    extractor = FeatureExtractor("held_out_classifier", params, apply, resize="none (28 padded to 32)", batch_size=250)
    train = np.asarray(load_source("mnist5k", image_size=32).images[:])
    return extractor, extractor(train), train.reshape(len(train), -1).astype(np.float32)


def outcomes(images: np.ndarray) -> dict[str, Any]:
    """The outcomes of samples, in the names of `COLUMNS`.

    Args:
        images: uint8 [samples, 32, 32, 1].
    """
    from gan_jax import metrics

    extractor, real, pixels = _reference()
    found = extractor.extract(images)
    counts = np.bincount(found.probabilities.argmax(axis=1), minlength=10)
    manifold = metrics.manifold_metrics(real, found.features)
    return {
        "samples": len(images),
        "fd": round(metrics.frechet_distance(real, found.features), 3),
        "kernel_distance": round(metrics.kernel_distance(real, found.features).value, 5),
        "precision": round(manifold.precision, 4),
        "recall": round(manifold.recall, 4),
        "coverage": round(manifold.coverage, 4),
        "near_copies": round(metrics.memorized_share(images.reshape(len(images), -1).astype(np.float32), pixels), 4),
        "classes": int((counts >= SEEN_SHARE * len(images)).sum()),
        "rarest_class": round(float(counts.min() / len(images)), 4),
        "confident": round(float((found.probabilities.max(axis=1) > 0.9).mean()), 4),
    }


def controls() -> Iterator[tuple[str, np.ndarray]]:
    """Generators whose rank is known: a name and their samples, uint8 [samples, 32, 32, 1]."""
    from scipy import ndimage

    from gan_jax.data import load_source

    source = load_source("mnist5k", image_size=32)
    train, labels = np.asarray(source.images[:]), np.asarray(source.labels[:])
    held_out = np.asarray(source.held_out.images[:])  # type: ignore[union-attr]
    rng = np.random.default_rng(0)

    def repeated(a_class: int) -> np.ndarray:
        chosen = np.concatenate([np.flatnonzero(labels == digit)[:a_class] for digit in range(10)])
        return train[np.resize(chosen, SAMPLES)]

    yield "held-out digits", held_out
    yield "copies of 1,000 training digits", train[rng.permutation(len(train))[:1000]]
    yield "50 training digits of each class, repeated", repeated(50)
    yield "5 training digits of each class, repeated", repeated(5)
    yield "held-out digits, blurred 3x3", ndimage.uniform_filter(held_out, (0, 3, 3, 0))
    noise = held_out + rng.normal(0, 25, held_out.shape)
    yield "held-out digits, noise of deviation 25", np.clip(np.rint(noise), 0, 255).astype(np.uint8)
    yield "held-out digits without the nines", held_out[np.asarray(source.held_out.labels) != 9]  # type: ignore[union-attr]
    yield "uniform noise", rng.integers(0, 256, held_out.shape).astype(np.uint8)


def result_table(rows: list[dict[str, Any]]) -> str:
    """The rows of the controls."""
    lines = [[row["name"], *(f"{row[name]:.{digits}f}" for name, (_, digits) in COLUMNS.items())] for row in rows]
    return table(["", *(heading for heading, _ in COLUMNS.values())], lines)


def rank_agreement(rows: list[dict[str, Any]], weights: Path) -> float:
    """Spearman's rank correlation of the Fréchet distance with that of Inception features, over the controls."""
    from scipy import stats

    from gan_jax import metrics
    from gan_jax.data import load_source

    extractor = metrics.feature_extractor("inception_v3", weights=weights)
    real = extractor(np.repeat(np.asarray(load_source("mnist5k", image_size=32).images[:]), 3, axis=3))
    inception = [metrics.frechet_distance(real, extractor(np.repeat(images, 3, axis=3))) for _, images in controls()]
    return float(stats.spearmanr([row["fd"] for row in rows], inception).statistic)


def main() -> None:
    """Measures the controls and prints their table."""
    parser = argument_parser(__doc__)
    parser.add_argument("--out", type=Path, help="file of JSON lines to which the rows are added")
    parser.add_argument("--weights", type=Path, help="Inception weights, for the rank agreement")
    options = parser.parse_args()
    with errors_as_lines():
        came_from = origin(command_of("experiments.studies.digit_outcomes"))
        rows = [{"name": name} | outcomes(images) | came_from for name, images in controls()]
        print(result_table(rows))
        if options.weights is not None:
            print(f"rank agreement with the Inception distance: {rank_agreement(rows, existing('--weights', options.weights)):.2f}")
        if options.out is not None:
            append_rows(options.out, rows)
            print(json.dumps({"rows": len(rows), "file": str(options.out)}))


if __name__ == "__main__":
    main()
