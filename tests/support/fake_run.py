"""Quickly makes a run directory like those of the training loop, with all files or those that a test requests."""

import json
import math
from pathlib import Path

import numpy as np
from PIL import Image

from gan_jax.trainer.image_grid import image_grid, save_gif, save_png

FINDING = {
    "id": "mode_collapse",
    "message": "Mode collapse: the samples grow alike",
    "since_step": 2400,
    "evidence": {"pairwise_distance": 0.31, "real_pairwise_distance": 1.04, "classes_covered": 4},
    "confidence": 0.92,
    "causes": ["the discriminator is too strong", "no penalty on its gradient"],
    "advice": ["--penalty r1 --r1-weight 1", "--optimizer.discriminator-lr 4e-4"],
    "trick": "watch-6",
}
WEAK_FINDING = FINDING | {"id": "d_loss_spikes", "message": "Spikes in the loss of the discriminator", "since_step": 900, "confidence": 0.5}

METRICS = [
    {"metric": "classifier_fd", "value": 12.84, "real": 3.1, "extractor": "digits_classifier_v1", "samples": 5000,
     "reference_split": "test", "resize": "none", "seed": 0, "ema": True},
    {"metric": "classifier_score", "value": 8.91, "real": 9.42, "extractor": "digits_classifier_v1", "samples": 5000, "ema": True},
    {"metric": "classes_covered", "value": 10, "real": 10, "samples": 5000, "seed": 0, "ema": True},
    {"metric": "precision", "value": 0.71, "real": 0.9, "extractor": "digits_classifier_v1", "samples": 5000, "seed": 0, "ema": True},
]  # fmt: skip

CONFIG = """recipe: dcgan_mnist
seed: {seed}
batch_size: 64
loss: non_saturating
optimizer:
  generator_lr: {lr}
  discriminator_lr: 0.0002
  betas: [0.5, 0.999]
"""


def digit_like(rng: np.random.Generator, count: int, sharpness: float) -> np.ndarray:
    """Rings that emerge from noise as `sharpness` goes from 0 to 1, float [count, 32, 32, 1] in [-1, 1]."""
    rows, cols = np.mgrid[:32, :32]
    radius = rng.uniform(5, 11, (count, 1, 1))
    distance = np.hypot(rows - rng.uniform(12, 20, (count, 1, 1)), (cols - 16) * 1.4)
    ring = 2 * np.exp(-(((distance - radius) / 2) ** 2)) - 1
    return (sharpness * ring + (1 - sharpness) * rng.uniform(-1, 1, ring.shape))[..., None]


def log_line(step: int, rng: np.random.Generator, layers: int = 4) -> dict:
    """One line of metrics.jsonl."""
    progress = 1 - math.exp(-step / 2000)
    line = {
        "step": step,
        "discriminator_loss": float(1.38 - 0.5 * progress + 0.08 * rng.normal()),
        "generator_loss": float(0.7 + 1.1 * progress + 0.12 * rng.normal()),
        "real_accuracy": float(0.5 + 0.3 * progress + 0.03 * rng.normal()),
        "fake_accuracy": float(0.5 + 0.35 * progress + 0.03 * rng.normal()),
        "real_logits": float(progress + 0.1 * rng.normal()),
        "fake_logits": float(-1.2 * progress + 0.1 * rng.normal()),
        "discriminator_gradient_norm": float(math.exp(0.3 * rng.normal())),
        "generator_gradient_norm": float(2 * math.exp(0.3 * rng.normal())),
        "penalty/r1": float(0.1 * progress + 0.01 * abs(rng.normal())),
        "monitor/discriminator_mean": float(1.38 - 0.5 * progress),
        "monitor/discriminator_deviation": float(0.08 * math.exp(0.1 * rng.normal())),
        "monitor/generator_update_ratio": float(2e-3 * math.exp(0.2 * rng.normal())),
        "monitor/spikes": float(step // 1500),
        "monitor/generator_large_layer": 2.0,
    }
    for player in ("generator", "discriminator"):
        for layer in range(layers):
            line[f"gradient_norm/{player}/Conv_{layer}"] = float(10 ** (-layer / 2) * math.exp(0.4 * rng.normal()))
    return line


def make_run(
    path: Path,
    *,
    steps: int = 4000,
    every: int = 20,
    grids: int = 12,
    seed: int = 0,
    findings: tuple = (),
    status: str = "finished",
    layers: int = 4,
) -> Path:
    """Writes a run directory and returns it."""
    rng = np.random.default_rng(seed)
    path.mkdir(parents=True)
    logged = range(0, steps + 1, every)
    lines = "".join(json.dumps(log_line(step, rng, layers)) + "\n" for step in logged)
    (path / "metrics.jsonl").write_text(lines)
    timing = ({"step": step, "time": 0.04 * step, "images_per_second": float(1500 + 40 * rng.normal())} for step in logged)
    (path / "timing.jsonl").write_text("".join(json.dumps(line) + "\n" for line in timing))
    (path / "config.yaml").write_text(CONFIG.format(seed=seed, lr=0.0002 * (1 + seed)))
    record = {
        "status": status,
        "recipe": "dcgan_mnist",
        "command": ["python", "experiments/train.py", "dcgan_mnist", "--seed", str(seed)],
        "seed": seed,
        "devices": ["TFRT_CPU_0"],
        "versions": {"jax": "0.10.2", "flax": "0.12.8", "numpy": "2.4.6"},
        "python": "3.11.15",
    }
    (path / "run.json").write_text(json.dumps(record))
    (path / "metrics.json").write_text(json.dumps(METRICS))
    (path / "findings.jsonl").write_text("".join(json.dumps(finding) + "\n" for finding in findings))
    frames = [image_grid(digit_like(np.random.default_rng(seed), 64, index / max(1, grids - 1)), 8, 8) for index in range(grids)]
    for index, frame in enumerate(frames):
        save_png(path / "samples" / f"step_{steps * (index + 1) // grids:08d}.png", frame)
    if frames:
        save_gif(path / "samples" / "animation.gif", frames)
        save_png(path / "pictures" / "some_picture.png", frames[-1][:40])
        save_png(path / "pictures" / "nearest_neighbours.png", frames[-1][:74])
        texts = {"caption": "Samples (left) and their nearest real images", "alt": "Two rows of rings beside rings"}
        (path / "pictures" / "nearest_neighbours.json").write_text(json.dumps(texts))
    return path


def describe_data(path: Path, shape: tuple[int, ...] = (32, 32, 1)) -> None:
    """Adds the shape of the data to run.json, as runs do."""
    record = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(record | {"data": {"source": "rings", "shape": list(shape)}}))


def add_explorer(
    path: Path, *, side: int = 4, size: int = 8, classes: tuple = ("rings", "dots"), truncations: tuple = ("0.5", "none")
) -> None:
    """Writes the tiles of a latent explorer. A tile has one colour: red is its column, green its row, blue its class and truncation."""
    rows, columns = np.mgrid[: side * len(truncations), : side * len(classes)]
    blue = 40 + 40 * (rows // side) + 100 * (columns // side)
    tiles = np.stack([30 + 60 * (columns % side), 30 + 60 * (rows % side), blue], axis=-1).astype(np.uint8)
    (path / "pictures").mkdir(exist_ok=True)
    Image.fromarray(tiles.repeat(size, axis=0).repeat(size, axis=1)).save(path / "pictures" / "explorer.webp", lossless=True)
    layout = {"side": side, "height": size, "width": size, "classes": list(classes), "truncations": list(truncations)}
    texts = {"caption": "A plane through three latents.", "alt": f"Plane of {side} x {side} tiles"}
    (path / "pictures" / "explorer.json").write_text(json.dumps(layout | texts))
