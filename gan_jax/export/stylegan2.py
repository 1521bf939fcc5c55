"""Converts state dicts of the authors' StyleGAN2 code to parameters of the model "stylegan2".

The names are those of `training/networks.py` in NVlabs/stylegan2-ada-pytorch, which NVlabs/stylegan3 keeps in `networks_stylegan2.py`.
Save them there by `torch.save(G_ema.state_dict(), "G_ema.pt")`, and read the file by `gan_jax.metrics.load_torch_weights`, which executes
nothing.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from gan_jax.export.generator import GeneratorConfig
from gan_jax.models.stylegan2 import NOISE_MODES, SIZES
from gan_jax.nn.resampling_conv import FILTER
from gan_jax.nn.upfirdn import fir_filter
from gan_jax.typing import PyTree

Weights = Mapping[str, np.ndarray]


def stylegan2_generator(
    weights: Weights, *, clamp: float = 256.0, lr_multiplier: float = 0.01, noise_mode: str = "random"
) -> tuple[GeneratorConfig, PyTree, PyTree]:
    """Converts the state dict of a generator.

    The architecture is read off the shapes. What no shape shows is an argument.

    Args:
        weights: Arrays by their names in the authors' code.
        clamp: `conv_clamp` of the authors' code. Its train.py sets 256, and no bound (here 0) with --fp32.
        lr_multiplier: Learning-rate multiplier of the mapping network.
        noise_mode: How the converted generator uses its noise inputs, see `gan_jax.models.stylegan2.stylegan2`.

    Returns:
        The configuration, the parameters and the state, for `save_generator`.

    Raises:
        ValueError: If the arrays are not those of a skip generator of this code.
    """
    if noise_mode not in NOISE_MODES:
        raise ValueError(f"noise_mode must be one of {', '.join(NOISE_MODES)}; got {noise_mode!r}")
    reader = _Reader(weights, "a StyleGAN2 generator of NVlabs/stylegan2-ada-pytorch")
    sizes = reader.sizes("synthesis.")
    noise = "synthesis.b4.conv1.noise_strength" in weights
    params: dict[str, Any] = {"constant": reader.take("synthesis.b4.const").transpose(1, 2, 0)}
    images: dict[str, Any] = {}
    for stage, size in enumerate(sizes):
        for theirs, ours in (("conv0", f"up_{stage - 1}"), ("conv1", f"conv_{stage}"), ("torgb", f"to_image_{stage}")):
            if theirs == "conv0" and stage == 0:
                continue
            prefix = f"synthesis.b{size}.{theirs}"
            params[ours] = reader.conv(prefix) | {"affine": {"dense": reader.dense(f"{prefix}.affine")}}
            if noise and theirs != "torgb":
                params[ours]["noise_strength"] = reader.take(f"{prefix}.noise_strength")
                images[ours] = {"image": reader.take(f"{prefix}.noise_const")}
    params["mapping"], layers = reader.mapping()
    state: dict[str, Any] = {"moving_average": {"mapping": {"w": reader.take("mapping.w_avg")}}}
    if noise:
        state["noise"] = images
    reader.finish()
    classes = params["mapping"]["embed"]["dense"]["kernel"].shape[0] if "embed" in params["mapping"] else 0
    style_dim = params["mapping"]["fc0"]["dense"]["kernel"].shape[1]
    inputs = params["mapping"]["fc0"]["dense"]["kernel"].shape[0]
    options = {
        "image_size": sizes[-1],
        "channels": params["to_image_0"]["kernel"].shape[-1],
        "latent_dim": inputs - (style_dim if classes else 0),
        "num_classes": classes,
        "style_dim": style_dim,
        "mapping_layers": layers,
        "lr_multiplier": lr_multiplier,
        "noise": noise,
        "noise_mode": noise_mode,
        "clamp": clamp,
        **reader.widths([params[f"conv_{stage}"]["kernel"].shape[-1] for stage in range(len(sizes))], sizes),
    }
    return GeneratorConfig("stylegan2", options), params, state


def stylegan2_discriminator(weights: Weights) -> PyTree:
    """Converts the state dict of a residual discriminator of the authors' code to parameters of ours.

    Args:
        weights: Arrays by their names in the authors' code.

    Returns:
        The parameters of the discriminator of `gan_jax.models.stylegan2.stylegan2` with the same options.

    Raises:
        ValueError: If the arrays are not those of such a discriminator.
    """
    reader = _Reader(weights, "a residual StyleGAN2 discriminator of NVlabs/stylegan2-ada-pytorch")
    sizes = reader.sizes("")[::-1]
    params: dict[str, Any] = {"from_image_0": reader.conv(f"b{sizes[0]}.fromrgb")}
    for stage, size in enumerate(sizes[:-1]):
        for theirs, ours in (("conv0", "conv"), ("conv1", "down"), ("skip", "skip")):
            params[f"{ours}_{stage}"] = reader.conv(f"b{size}.{theirs}")
    params["last_conv"] = reader.conv("b4.conv")
    dense, head = reader.dense("b4.fc"), reader.dense("b4.out")
    # The authors flatten [channels, 4, 4], and this library [4, 4, channels].
    kernel = dense["kernel"].reshape(-1, 4, 4, dense["kernel"].shape[-1])
    dense["kernel"] = kernel.transpose(1, 2, 0, 3).reshape(-1, kernel.shape[-1])
    params |= {"dense": {"dense": dense}, "head": {"dense": head}}
    if any(name.startswith("mapping.") for name in weights):
        params["mapping"], _ = reader.mapping()
    reader.finish()
    return params


class _Reader:
    """Takes arrays out of a state dict by name, and checks at the end that none is left."""

    def __init__(self, weights: Weights, kind: str) -> None:
        self.weights, self.kind, self.left = weights, kind, set(weights)

    def fail(self, reason: str) -> ValueError:
        return ValueError(f"the weights are not those of {self.kind}: {reason}")

    def take(self, name: str) -> np.ndarray:
        if name not in self.weights:
            raise self.fail(f"{name} is missing")
        self.left.discard(name)
        return np.asarray(self.weights[name], np.float32)

    def conv(self, prefix: str) -> dict[str, Any]:
        kernel = self.take(f"{prefix}.weight")
        if kernel.ndim != 4:
            raise self.fail(f"{prefix}.weight has shape {kernel.shape}")
        bias = {"bias": self.take(f"{prefix}.bias")} if f"{prefix}.bias" in self.weights else {}
        return {"kernel": kernel.transpose(2, 3, 1, 0), **bias}

    def dense(self, prefix: str) -> dict[str, Any]:
        kernel = self.take(f"{prefix}.weight")
        if kernel.ndim != 2:
            raise self.fail(f"{prefix}.weight has shape {kernel.shape}")
        return {"kernel": kernel.T, "bias": self.take(f"{prefix}.bias")}

    def mapping(self) -> tuple[dict[str, Any], int]:
        layers = sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", name)) for name in self.weights)
        if not layers:
            raise self.fail("mapping.fc0.weight is missing")
        params = {f"fc{index}": {"dense": self.dense(f"mapping.fc{index}")} for index in range(layers)}
        if "mapping.embed.weight" in self.weights:
            params["embed"] = {"dense": self.dense("mapping.embed")}
        return params, layers

    def sizes(self, prefix: str) -> list[int]:
        found = {int(match[1]) for name in self.weights if (match := re.match(rf"{re.escape(prefix)}b(\d+)\.", name))}
        expected = [2**level for level in range(2, max(found, default=0).bit_length())]
        if sorted(found) != expected or not expected or expected[-1] not in SIZES:
            raise self.fail(f"it has stages of {sorted(found) or 'no'} pixels; the last must be one of {', '.join(map(str, SIZES))}")
        return expected

    def widths(self, widths: list[int], sizes: list[int]) -> dict[str, int]:
        """The options `width` and `channel_base` that give these numbers of channels."""
        width, base = max(widths), widths[-1] * sizes[-1]
        if widths != [min(base // size, width) for size in sizes]:
            raise self.fail(f"no channel_base gives stages of {widths} channels")
        return {"width": width, "channel_base": base}

    def finish(self) -> None:
        taps = fir_filter(FILTER)
        for name in sorted(self.left):
            array = np.asarray(self.weights[name])
            if not name.endswith("resample_filter"):
                raise self.fail(f"{name} is unknown")
            if array.shape != (4, 4) or not np.allclose(array, np.outer(taps, taps), atol=1e-6):
                raise self.fail(f"{name} is not the filter [1, 3, 3, 1]")
