"""Trains the digit classifier that measures digit generators, and writes its weights into the package.

    python -m experiments.tools.train_classifier
    python -m experiments.tools.train_classifier --split test --out experiments/studies/files/held_out_classifier.safetensors

The classifier trains on the train split of `mnist5k` (400 digits per class) with random rotation, scale, shear and shift, and with dropout
before the last layer. Digits are not mirrored. The weights are the moving average at the last step, so the held-out digits select
nothing. The held-out accuracy is measured on the test split (100 other digits per class) without augmentation. With `--split test` the
splits change places: no digit that trains a generator has then trained the classifier that judges it.
"""

import json
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from safetensors.numpy import save

from gan_jax.cli.parsing import argument_parser
from gan_jax.data import Batches, load_source
from gan_jax.metrics import classifier
from gan_jax.typing import Array

OUT = Path(__file__).parents[2] / "gan_jax" / "metrics" / "files" / "digit_classifier.safetensors"
ROTATION = np.deg2rad(12)
SCALE, SHEAR, SHIFT = 0.12, 0.12, 2.0


def augment(rng: Array, images: Array) -> Array:
    """Applies a small random affine map to each image, with bilinear interpolation and black borders.

    Args:
        rng: Typed key.
        images: Float [batch, height, width, 1] in [-1, 1].

    Returns:
        Float, same shape.
    """
    batch, height, width, _ = images.shape
    angle, scale_x, scale_y, shear, shift_x, shift_y = jax.random.uniform(rng, (6, batch), minval=-1.0)
    angle, shear = ROTATION * angle, SHEAR * shear
    scale_x, scale_y = 1 + SCALE * scale_x, 1 + SCALE * scale_y
    rows, columns = jnp.mgrid[:height, :width]
    rows, columns = rows - (height - 1) / 2, columns - (width - 1) / 2

    def one(image: Array, angle: Array, scale_x: Array, scale_y: Array, shear: Array, shift_x: Array, shift_y: Array) -> Array:
        x, y = scale_x * (columns + shear * rows), scale_y * rows
        at_x = jnp.cos(angle) * x - jnp.sin(angle) * y + (width - 1) / 2 + SHIFT * shift_x
        at_y = jnp.sin(angle) * x + jnp.cos(angle) * y + (height - 1) / 2 + SHIFT * shift_y
        return jax.scipy.ndimage.map_coordinates(image[..., 0], [at_y, at_x], order=1, cval=-1.0)[..., None]

    return jax.vmap(one)(images, angle, scale_x, scale_y, shear, shift_x, shift_y)


def train(*, split: str, steps: int, batch_size: int, learning_rate: float, dropout: float, decay: float, seed: int) -> dict[str, Array]:
    """Trains the classifier and returns the moving average of its parameters."""
    batches = Batches(load_source("mnist5k", split=split), batch_size, seed)
    rng = jax.random.key(seed)
    optimizer = optax.adamw(optax.warmup_cosine_decay_schedule(0.0, learning_rate, steps // 10, steps), weight_decay=1e-3)

    def loss(params: dict[str, Array], images: Array, labels: Array, rng: Array) -> Array:
        for_affine, for_dropout = jax.random.split(rng)
        features, _ = classifier.apply(params, augment(for_affine, images.astype(jnp.float32) / 127.5 - 1))
        kept = jax.random.bernoulli(for_dropout, 1 - dropout, features.shape)
        logits = jnp.where(kept, features / (1 - dropout), 0.0) @ params["logits/kernel"] + params["logits/bias"]
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    @jax.jit
    def update(params, average, state, batch, step):
        gradients = jax.grad(loss)(params, batch["image"], batch["label"], jax.random.fold_in(rng, step))
        updates, state = optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        return params, optax.incremental_update(params, average, 1 - decay), state

    params = average = classifier.init(jax.random.fold_in(rng, steps))
    state = optimizer.init(params)
    for step in range(steps):
        params, average, state = update(params, average, state, batches.at(step), step)
    return average


def held_out_accuracy(params: dict[str, Array], split: str) -> float:
    """The share of the digits of another split that are classified correctly."""
    held_out = load_source("mnist5k", split=split)
    _, logits = jax.jit(classifier.apply)(params, jnp.asarray(held_out.images, jnp.float32) / 127.5 - 1)
    return float((np.asarray(logits).argmax(-1) == held_out.labels).mean())


def main() -> int:
    parser = argument_parser(__doc__)
    parser.add_argument("--split", choices=("train", "test"), default="train", help="the digits to train on. The others are held out")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--dropout", type=float, default=0.4)
    parser.add_argument("--decay", type=float, default=0.99, help="decay of the moving average of the weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    settings = {name: value for name, value in vars(arguments).items() if name != "out"}
    started = time.monotonic()
    params = {name: np.asarray(array) for name, array in train(**settings).items()}
    seconds = time.monotonic() - started
    other = {"train": "test", "test": "train"}[arguments.split]
    accuracy = held_out_accuracy(params, other)
    print(f"held-out accuracy {accuracy:.1%} on the {other} split; trained in {seconds:.0f} s")
    least = {"train": 0.97, "test": 0.94}[arguments.split]
    if accuracy < least:
        print(f"{arguments.out}: not written, because the accuracy must be at least {least:.0%}", file=sys.stderr)
        return 1
    parts = {"train": "the first 400 digits of each class", "test": "the last 100 digits of each class"}
    # One entry, because the format does not fix the order of several entries and the bytes should be reproducible.
    about = {
        "held_out_accuracy": accuracy,
        "trained_on": f"mnist5k {arguments.split}: {parts[arguments.split]}, augmented",
        "held_out": f"mnist5k {other}: {parts[other]}, not augmented; used for nothing but this figure",
        "made_by": "experiments/tools/train_classifier.py",
        **settings,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_bytes(save(params, {"about": json.dumps(about, sort_keys=True)}))
    print(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
