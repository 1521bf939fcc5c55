"""What the StyleGAN2 golden scripts and their tests share: the networks' options, weights that depend on a name only, and digests."""

import zlib
from typing import Any

import numpy as np

LATENT, STYLE, LAYERS, BATCH = 6, 10, 2, 4
CASES: dict[str, tuple[int, int]] = {
    f"{size}{'_conditional' if classes else ''}": (size, classes) for size in (32, 64, 256) for classes in (0, 3)
}


def channels(size: int) -> dict[str, int]:
    """The authors' options: at most 8 channels, and 2 at the last size, or 8 at 32 pixels."""
    return {"channel_base": max(256, 2 * size), "channel_max": 8}


def draw(name: str, shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
    """Normal numbers that depend on the name and the shape."""
    return (scale * np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape)).astype(np.float32)


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The array of this name in a state dict. Dense layers of the mapping networks store weights that are a hundred times as large."""
    if name.endswith("resample_filter"):
        taps = np.array([1.0, 3.0, 3.0, 1.0], np.float32)
        return np.outer(taps, taps) / 64
    mapping = "mapping.fc" in name
    if name.endswith("affine.bias"):
        return 1 + draw(name, shape, 0.3)
    if name.endswith(("bias", "w_avg", "noise_strength")):
        return draw(name, shape, 20.0 if mapping else 0.3)
    return draw(name, shape, 100.0 if mapping else 1.0)


def inputs(case: str) -> dict[str, np.ndarray]:
    """Latents, labels, real images and the arrays that make one number of an output, images as [batch, height, width, channels]."""
    size, classes = CASES[case]
    reals = np.clip(draw(f"{case}/reals", (BATCH, size, size, 3), 0.5), -1, 1)
    return {
        "latents": draw(f"{case}/latents", (BATCH, LATENT)),
        "labels": np.arange(BATCH) % max(classes, 1),
        "reals": reals,
        "direction": draw(f"{case}/direction", (BATCH, size, size, 3)) / size**2,
        "path_noise": draw(f"{case}/path_noise", (BATCH, size, size, 3)),
        "weights": draw(f"{case}/weights", (BATCH,)),
    }


def digest(name: str, array: Any) -> np.ndarray:
    """The norm of an array, its inner product with fixed numbers, and 20 of its values."""
    flat = np.asarray(array, np.float64).ravel()
    projection = flat @ draw(name, (flat.size,)) / max(flat.size, 1) ** 0.5
    places = np.linspace(0, flat.size - 1, 20).round().astype(int)
    return np.concatenate([[np.linalg.norm(flat), projection], flat[places]]).astype(np.float32)


def thinned(images: Any) -> np.ndarray:
    """A few hundred pixels of two images."""
    step = -(-images.shape[1] // 15)
    return np.asarray(images)[:2, ::step, ::step]
