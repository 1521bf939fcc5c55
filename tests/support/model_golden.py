"""PyTorch's weights and outputs of small networks, and the way from its layout to ours."""

from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parents[1] / "golden"


def load(name):
    """(weights, input, output) of one network of models_torch.npz, images as [batch, height, width, channels]."""
    with np.load(GOLDEN / "models_torch.npz") as file:
        prefix = f"{name}/weights/"
        weights = {key.removeprefix(prefix): file[key] for key in file.files if key.startswith(prefix)}
        return weights, nhwc(file[f"{name}/input"]), nhwc(file[f"{name}/output"])


def nhwc(x):
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x


def conv(weights, name):
    """Flax's parameters of a PyTorch convolution: kernel [out, in, h, w] -> [h, w, in, out]."""
    return _with_bias(weights, name, weights[f"{name}.weight"].transpose(2, 3, 1, 0))


def conv_transpose(weights, name):
    """The same of a transposed one, [in, out, h, w], which in PyTorch is the adjoint: its kernel is turned around."""
    return _with_bias(weights, name, weights[f"{name}.weight"].transpose(2, 3, 0, 1)[::-1, ::-1])


def dense(weights, name):
    return _with_bias(weights, name, weights[f"{name}.weight"].T)


def norm(weights, name):
    return {"scale": weights[f"{name}.weight"], "bias": weights[f"{name}.bias"]}


def _with_bias(weights, name, kernel):
    bias = {"bias": weights[f"{name}.bias"]} if f"{name}.bias" in weights else {}
    return {"kernel": kernel, **bias}


def labels(name):
    with np.load(GOLDEN / "models_torch.npz") as file:
        return file[f"{name}/labels"]


def pointwise(weights, name):
    """A 1x1 convolution, as the dense layer over the channels that it is."""
    return _with_bias(weights, name, weights[f"{name}.weight"][:, :, 0, 0].T)


def to_map(weights, name, side=4):
    """A dense layer whose features are seen as a map, [channels, side, side] there and [side, side, channels] here."""
    kernel = weights[f"{name}.weight"].reshape(-1, side, side, weights[f"{name}.weight"].shape[1])
    mapped = {"kernel": kernel.transpose(3, 1, 2, 0).reshape(kernel.shape[-1], -1)}
    if f"{name}.bias" in weights:
        mapped["bias"] = weights[f"{name}.bias"].reshape(-1, side, side).transpose(1, 2, 0).reshape(-1)
    return mapped


def from_map(weights, name, side=4):
    """A dense layer of a flattened map."""
    kernel = weights[f"{name}.weight"]
    return _with_bias(weights, name, kernel.reshape(len(kernel), -1, side, side).transpose(2, 3, 1, 0).reshape(-1, len(kernel)))


def attention(weights, name):
    return {part: pointwise(weights, f"{name}.{part}") for part in ("query", "key", "value", "output")} | {
        "gamma": weights[f"{name}.gamma"]
    }


def residual_block(weights, name, condition=None):
    """One block of the ResNets; its norms are plain, or conditional by a "table" or a "vector"."""
    names = {key.removeprefix(f"{name}.").split(".")[0] for key in weights if key.startswith(f"{name}.")}
    block = {part: conv(weights, f"{name}.{part}") for part in names if not part.startswith("norm")}
    for part in names - block.keys():
        if condition is None:
            block[part] = norm(weights, f"{name}.{part}")
        else:
            tables = {key: weights[f"{name}.{part}.{key}.weight"] for key in ("scale", "bias")}
            block[part] = tables if condition == "table" else {key: {"kernel": table.T} for key, table in tables.items()}
    return block


def residual_generator(weights, condition=None):
    params = {f"block_{index}": residual_block(weights, f"blocks.{index}", condition) for index in range(3)}
    return params | {"project": to_map(weights, "project"), "norm": norm(weights, "norm"), "output": conv(weights, "output")}


def residual_discriminator(weights):
    params = {f"block_{index}": residual_block(weights, f"blocks.{index}") for index in range(4)}
    return params | {"head": {"linear": dense(weights, "linear"), "embedding": {"embedding": weights["embedding.weight"]}}}
