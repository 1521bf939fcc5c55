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
