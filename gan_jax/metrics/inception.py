"""Inception-v3 as the FID literature uses it: the graph of 2015-12-05 with its own pooling, resize and input scaling.

It consists of plain JAX functions on a flat dict of parameters. No weights are shipped. `load` reads the weight file that
pytorch-fid and torch-fidelity download.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax._internal.checks import one_line, printable
from gan_jax._internal.files import read_safetensors
from gan_jax.metrics.torch_weights import load_torch_weights
from gan_jax.typing import Array

SIZE = 299
FEATURES = 2048
CLASSES = 1008
_BATCH_NORM_EPSILON = 1e-3


class InceptionOutput(NamedTuple):
    """Outputs of the network.

    Attributes:
        features: float [batch, 2048], averaged over space, at least 0.
        logits: float [batch, 1008].
        unbiased_logits: float [batch, 1008], without the last bias. The Inception score uses the softmax of these, as in the original
            code and in torch-fidelity.
    """

    features: Array
    logits: Array
    unbiased_logits: Array


class _Conv(NamedTuple):
    inputs: int
    outputs: int
    height: int
    width: int


def _block_a(pool: int):
    def convs(inputs):
        return {
            "branch1x1": _Conv(inputs, 64, 1, 1),
            "branch5x5_1": _Conv(inputs, 48, 1, 1),
            "branch5x5_2": _Conv(48, 64, 5, 5),
            "branch3x3dbl_1": _Conv(inputs, 64, 1, 1),
            "branch3x3dbl_2": _Conv(64, 96, 3, 3),
            "branch3x3dbl_3": _Conv(96, 96, 3, 3),
            "branch_pool": _Conv(inputs, pool, 1, 1),
        }

    return convs


def _block_b(inputs):
    return {
        "branch3x3": _Conv(inputs, 384, 3, 3),
        "branch3x3dbl_1": _Conv(inputs, 64, 1, 1),
        "branch3x3dbl_2": _Conv(64, 96, 3, 3),
        "branch3x3dbl_3": _Conv(96, 96, 3, 3),
    }


def _block_c(width: int):
    def convs(inputs):
        return {
            "branch1x1": _Conv(inputs, 192, 1, 1),
            "branch7x7_1": _Conv(inputs, width, 1, 1),
            "branch7x7_2": _Conv(width, width, 1, 7),
            "branch7x7_3": _Conv(width, 192, 7, 1),
            "branch7x7dbl_1": _Conv(inputs, width, 1, 1),
            "branch7x7dbl_2": _Conv(width, width, 7, 1),
            "branch7x7dbl_3": _Conv(width, width, 1, 7),
            "branch7x7dbl_4": _Conv(width, width, 7, 1),
            "branch7x7dbl_5": _Conv(width, 192, 1, 7),
            "branch_pool": _Conv(inputs, 192, 1, 1),
        }

    return convs


def _block_d(inputs):
    return {
        "branch3x3_1": _Conv(inputs, 192, 1, 1),
        "branch3x3_2": _Conv(192, 320, 3, 3),
        "branch7x7x3_1": _Conv(inputs, 192, 1, 1),
        "branch7x7x3_2": _Conv(192, 192, 1, 7),
        "branch7x7x3_3": _Conv(192, 192, 7, 1),
        "branch7x7x3_4": _Conv(192, 192, 3, 3),
    }


def _block_e(inputs):
    return {
        "branch1x1": _Conv(inputs, 320, 1, 1),
        "branch3x3_1": _Conv(inputs, 384, 1, 1),
        "branch3x3_2a": _Conv(384, 384, 1, 3),
        "branch3x3_2b": _Conv(384, 384, 3, 1),
        "branch3x3dbl_1": _Conv(inputs, 448, 1, 1),
        "branch3x3dbl_2": _Conv(448, 384, 3, 3),
        "branch3x3dbl_3a": _Conv(384, 384, 1, 3),
        "branch3x3dbl_3b": _Conv(384, 384, 3, 1),
        "branch_pool": _Conv(inputs, 192, 1, 1),
    }


def _convolutions() -> dict[str, _Conv]:
    stem = {
        "Conv2d_1a_3x3": _Conv(3, 32, 3, 3),
        "Conv2d_2a_3x3": _Conv(32, 32, 3, 3),
        "Conv2d_2b_3x3": _Conv(32, 64, 3, 3),
        "Conv2d_3b_1x1": _Conv(64, 80, 1, 1),
        "Conv2d_4a_3x3": _Conv(80, 192, 3, 3),
    }
    blocks = {
        "Mixed_5b": _block_a(32)(192),
        "Mixed_5c": _block_a(64)(256),
        "Mixed_5d": _block_a(64)(288),
        "Mixed_6a": _block_b(288),
        "Mixed_6b": _block_c(128)(768),
        "Mixed_6c": _block_c(160)(768),
        "Mixed_6d": _block_c(160)(768),
        "Mixed_6e": _block_c(192)(768),
        "Mixed_7a": _block_d(768),
        "Mixed_7b": _block_e(1280),
        "Mixed_7c": _block_e(2048),
    }
    return stem | {f"{block}.{name}": conv for block, convs in blocks.items() for name, conv in convs.items()}


def file_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the arrays in a weight file, in PyTorch's layout (convolutions [out, in, height, width])."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, conv in _convolutions().items():
        shapes[f"{name}.conv.weight"] = (conv.outputs, conv.inputs, conv.height, conv.width)
        for statistic in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{statistic}"] = (conv.outputs,)
    return shapes | {"fc.weight": (CLASSES, FEATURES), "fc.bias": (CLASSES,)}


def from_state_dict(state_dict: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Converts PyTorch's weights to the parameters of `apply`. The batch norms are folded into the convolutions in float64.

    Args:
        state_dict: Maps names to arrays as in `file_shapes`. Counters (`num_batches_tracked`) and auxiliary heads are ignored.

    Returns:
        A flat dict from names to float32 arrays: `Conv2d_1a_3x3/kernel` [height, width, in, out], `Conv2d_1a_3x3/bias` [out], ...

    Raises:
        ValueError: If a weight is missing, unexpected or of another shape. The file is then of another architecture, e.g. torchvision's
            ImageNet Inception with 1,000 classes. Also if a weight is not finite.
    """
    expected = file_shapes()
    found = {k: tuple(v.shape) for k, v in state_dict.items() if not k.endswith("num_batches_tracked") and not k.startswith("AuxLogits.")}
    wrong = [name for name in expected if found.get(name) != expected[name]] + sorted(found.keys() - expected.keys())
    if wrong:
        name = wrong[0]
        raise ValueError(
            f"not the weights of the FID literature's Inception-v3 (2015-12-05, 1,008 classes): {len(wrong)} of {len(expected)} weights "
            f"differ; first {name}: expected {expected.get(name, 'no weight of this name')}, got {found.get(name, 'none')}"
        )
    params = {}
    for name in _convolutions():
        weight, scale, bias, mean, variance = (
            np.asarray(state_dict[f"{name}.{part}"], np.float64)
            for part in ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
        )
        scale = scale / np.sqrt(variance + _BATCH_NORM_EPSILON)
        params[f"{name}/kernel"] = (weight * scale[:, None, None, None]).transpose(2, 3, 1, 0).astype(np.float32)
        params[f"{name}/bias"] = (bias - mean * scale).astype(np.float32)
    params["fc/kernel"] = np.asarray(state_dict["fc.weight"], np.float32).T.copy()
    params["fc/bias"] = np.asarray(state_dict["fc.bias"], np.float32)
    if not all(np.isfinite(value).all() for value in params.values()):
        raise ValueError("the weights must be finite")
    return params


def load(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the weight file of pytorch-fid or torch-fidelity, or a safetensors file converted from it.

    Args:
        path: Path of a `.safetensors` file, or of a PyTorch file (`pt_inception-2015-12-05-6726825d.pth`). Pickled code in a PyTorch
            file is not executed.

    Returns:
        The parameters of `apply`.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is damaged, of another architecture or of another file type.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"no Inception weights at {path}; pass the file of pytorch-fid or torch-fidelity, or a safetensors file converted from it"
        )
    state_dict = read_safetensors(path)[0] if Path(path).suffix == ".safetensors" else load_torch_weights(path)
    try:
        return from_state_dict(state_dict)
    except ValueError as error:
        raise ValueError(printable(f"{path}: ") + one_line(error, limit=500)) from error


def resize(images: Array, size: int = SIZE) -> Array:
    """Resizes bilinearly as TensorFlow 1 did: corners at the origin, no half-pixel centres, no antialiasing.

        out[i] = in[floor(s)] + (in[floor(s) + 1] - in[floor(s)]) frac(s), s = i in_size / out_size

    Args:
        images: float [batch, height, width, channels].
        size: Height and width of the result in pixels.

    Returns:
        float [batch, size, size, channels]. Images that already have this size do not change.
    """
    for axis in (1, 2):
        count = images.shape[axis]
        position = np.arange(size, dtype=np.float32) * np.float32(count / size)
        low = position.astype(np.int32)
        fraction = (position - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(4)])
        lower = jnp.take(images, low, axis=axis)
        upper = jnp.take(images, np.minimum(low + 1, count - 1), axis=axis)
        images = lower + (upper - lower) * fraction
    return images


def _max_pool(x, stride):
    padding = "VALID" if stride == 2 else "SAME"
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, stride, stride, 1), padding)


def _average_pool(x):
    # Padding is excluded from the mean, unlike in PyTorch's default.
    window, strides = (1, 3, 3, 1), (1, 1, 1, 1)
    total = jax.lax.reduce_window(x, 0.0, jax.lax.add, window, strides, "SAME")
    rows, columns = (np.convolve(np.ones(n), np.ones(3), "same") for n in x.shape[1:3])
    return total / np.outer(rows, columns).astype(np.float32)[None, :, :, None]


def _block(params, block: str, x, last: bool):
    def conv(x, name, **kwargs):
        return _conv(params, f"{block}.{name}", x, **kwargs)

    def chain(prefix, count, stride=1):
        y = x
        for i in range(1, count + 1):
            y = conv(y, f"{prefix}_{i}", stride=stride if i == count else 1)
        return y

    kind = block[-2:]
    if kind in ("6a", "7a"):  # These blocks halve height and width.
        if kind == "6a":
            branches = [conv(x, "branch3x3", stride=2), chain("branch3x3dbl", 3, stride=2)]
        else:
            branches = [chain("branch3x3", 2, stride=2), chain("branch7x7x3", 4, stride=2)]
        return jnp.concatenate([*branches, _max_pool(x, 2)], axis=-1)
    branches = [conv(x, "branch1x1")]
    if kind[0] == "5":
        branches += [chain("branch5x5", 2), chain("branch3x3dbl", 3)]
    elif kind[0] == "6":
        branches += [chain("branch7x7", 3), chain("branch7x7dbl", 5)]
    else:
        for prefix, count in (("branch3x3", 1), ("branch3x3dbl", 2)):
            y = chain(prefix, count)
            branches += [conv(y, f"{prefix}_{count + 1}a"), conv(y, f"{prefix}_{count + 1}b")]
    # The last block of the 2015 graph uses max pooling. All other blocks use average pooling.
    branches.append(conv(_max_pool(x, 1) if last else _average_pool(x), "branch_pool"))
    return jnp.concatenate(branches, axis=-1)


def _conv(params, name, x, stride=1, padding="SAME"):
    y = jax.lax.conv_general_dilated(
        x,
        params[f"{name}/kernel"],
        (stride, stride),
        "VALID" if stride == 2 else padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=jax.lax.Precision.HIGHEST,
    )
    return jax.nn.relu(y + params[f"{name}/bias"])


def apply(params: Mapping[str, Array], images: Array) -> InceptionOutput:
    """Runs Inception-v3 on images of any size: resize to 299, (x - 128) / 128, network.

    All products are computed in float32 on every device.

    Args:
        params: Parameters from `load` or `from_state_dict`.
        images: uint8 [batch, height, width, 3], or float in the same range, 0 to 255.

    Returns:
        Features and logits, float32.

    Raises:
        ValueError: If the images are not [batch, height, width, 3].

    References:
        Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016.
        Heusel et al., "GANs trained by a two time-scale update rule", 2017, use the frozen graph of 2015-12-05. The outputs equal those
        of torch-fidelity 0.4.0 within 1e-4.
    """
    if jnp.ndim(images) != 4 or jnp.shape(images)[3] != 3 or 0 in jnp.shape(images)[1:]:
        raise ValueError(f"images must be [batch, height, width, 3]; got shape {jnp.shape(images)}")
    x = (resize(images.astype(jnp.float32)) - 128) / 128
    x = _conv(params, "Conv2d_1a_3x3", x, stride=2)
    x = _conv(params, "Conv2d_2a_3x3", x, padding="VALID")
    x = _max_pool(_conv(params, "Conv2d_2b_3x3", x), 2)
    x = _conv(params, "Conv2d_3b_1x1", x)
    x = _max_pool(_conv(params, "Conv2d_4a_3x3", x, padding="VALID"), 2)
    for block in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
        x = _block(params, f"Mixed_{block}", x, last=block == "7c")
    features = x.mean(axis=(1, 2))
    unbiased = jnp.matmul(features, params["fc/kernel"], precision=jax.lax.Precision.HIGHEST)
    return InceptionOutput(features, unbiased + params["fc/bias"], unbiased)
