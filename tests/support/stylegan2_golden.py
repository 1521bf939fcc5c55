"""What the StyleGAN2 golden scripts and their tests share: the networks' options, weights that depend on a name only, and digests."""

import zlib
from typing import Any

import numpy as np

LATENT, STYLE, LAYERS, BATCH = 6, 10, 2, 4
CASES: dict[str, tuple[int, int]] = {
    f"{size}{'_conditional' if classes else ''}": (size, classes) for size in (32, 64, 256) for classes in (0, 3)
}


STEPS = 2


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
    size, classes = CASES.get(case, (16, 3))
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


def state_dict_shapes(size: int, classes: int, channel_base: int, channel_max: int) -> tuple[dict[str, tuple], dict[str, tuple]]:
    """Names and shapes of the state dicts of the authors' generator and discriminator, without the filters."""
    sizes = [2**level for level in range(2, size.bit_length())]
    widths = {side: min(channel_base // side, channel_max) for side in sizes}
    generator: dict[str, tuple] = {"mapping.w_avg": (STYLE,), "synthesis.b4.const": (widths[4], 4, 4)}
    discriminator: dict[str, tuple] = {}

    def dense(table: dict[str, tuple], name: str, inside: int, outside: int) -> None:
        table |= {f"{name}.weight": (outside, inside), f"{name}.bias": (outside,)}

    def conv(table: dict[str, tuple], name: str, inside: int, outside: int, side: int, bias: bool = True) -> None:
        table |= {f"{name}.weight": (outside, inside, side, side)} | ({f"{name}.bias": (outside,)} if bias else {})

    for index in range(LAYERS):
        dense(generator, f"mapping.fc{index}", LATENT + STYLE * bool(classes) if index == 0 else STYLE, STYLE)
    if classes:
        dense(generator, "mapping.embed", classes, STYLE)
        dense(discriminator, "mapping.embed", classes, widths[4])
        for index in range(8):
            dense(discriminator, f"mapping.fc{index}", widths[4], widths[4])
    for side in sizes:
        block, before, width = f"synthesis.b{side}", widths.get(side // 2, 0), widths[side]
        for layer, inside, outside, kernel in (("conv0", before, width, 3), ("conv1", width, width, 3), ("torgb", width, 3, 1)):
            if not inside:
                continue
            conv(generator, f"{block}.{layer}", inside, outside, kernel)
            dense(generator, f"{block}.{layer}.affine", STYLE, inside)
            if layer != "torgb":
                generator |= {f"{block}.{layer}.noise_strength": (), f"{block}.{layer}.noise_const": (side, side)}
        if before:
            conv(discriminator, f"b{side}.conv0", width, width, 3)
            conv(discriminator, f"b{side}.conv1", width, before, 3)
            conv(discriminator, f"b{side}.skip", width, before, 1, bias=False)
    conv(discriminator, f"b{size}.fromrgb", 3, widths[size], 1)
    conv(discriminator, "b4.conv", widths[4] + 1, widths[4], 3)
    dense(discriminator, "b4.fc", 16 * widths[4], widths[4])
    dense(discriminator, "b4.out", widths[4], widths[4] if classes else 1)
    return generator, discriminator
