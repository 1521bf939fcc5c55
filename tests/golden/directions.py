"""Writes directions.json: eigenvectors and eigenvalues by the formula of `factorize_weight`, genforce/sefa, utils.py, commit 69467f2.

    python tests/golden/directions.py       # made with NumPy 2.4.6

As there: the weights side by side, columns of norm 1, `np.linalg.eig` of W W^T, and the eigenvectors as rows. The code does not sort
them, and their sign is arbitrary. Here they are sorted by their eigenvalues, and their largest entry is positive.
"""

import json
from pathlib import Path

import numpy as np

OUTPUT = Path(__file__).with_suffix(".json")


def main() -> None:
    """Writes the file."""
    rng = np.random.default_rng(3)
    weights = [np.round(rng.standard_normal(shape) * scale, 4) for shape, scale in (((5, 7), 1.0), ((5, 4), 30.0))]
    joined = np.concatenate(weights, axis=1)
    joined = joined / np.linalg.norm(joined, axis=0, keepdims=True)
    values, vectors = np.linalg.eig(joined.dot(joined.T))
    order = np.argsort(-values)
    rows = vectors.T[order]
    rows = rows * np.sign(rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)])[:, None]
    content = {"weights": [weight.tolist() for weight in weights], "directions": rows.tolist(), "values": values[order].tolist()}
    OUTPUT.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
