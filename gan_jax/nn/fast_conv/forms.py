"""The three bilinear maps of a convolution, each in several exactly equal forms of different speed.

For a kernel w and a fixed geometry, the convolution y = F(x, w), its adjoint in the input x = T(y, w) (which is the transposed
convolution) and its adjoint in the kernel w = DW(x, y) all contract the same three indices: kernel tap, channel, feature.
A form says how the contraction is laid out for the machine. Nothing here is differentiated: `gan_jax.nn.fast_conv.bilinear` does that.

Layouts: x [batch, H, W, channels], w [kh, kw, channels, features], y [batch, h, w, features].
"""

import os
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax.nn.fast_conv.choices import CHOICES
from gan_jax.typing import Array

SWITCH = "GAN_JAX_CONVOLUTIONS"
_NHWC = ("NHWC", "HWIO", "NHWC")


class Geometry(NamedTuple):
    """The static numbers of a two-dimensional convolution; each a (vertical, horizontal) pair.

    Row a of the output reads rows a * stride - low ... a * stride - low + kernel - 1 of the input; rows outside are zero.

    Attributes:
        input_size: size of x.
        output_size: size of y.
        kernel_size: size of w.
        strides: steps in x between neighbours in y.
        low: zero rows (columns) before x; negative where the first ones are skipped.
    """

    input_size: tuple[int, int]
    output_size: tuple[int, int]
    kernel_size: tuple[int, int]
    strides: tuple[int, int]
    low: tuple[int, int]

    @property
    def padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(before, after) for each dimension: exactly what the last output needs, negative where rows of x go unread."""
        sizes = zip(self.input_size, self.output_size, self.kernel_size, self.strides, self.low)
        vertical, horizontal = ((low, (m - 1) * s + k - n - low) for n, m, k, s, low in sizes)
        return vertical, horizontal

    @property
    def adjoint_padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Padding of the stride-dilated y when T is written as a convolution with the flipped kernel."""
        vertical, horizontal = ((k - 1 - low, k - 1 - high) for k, (low, high) in zip(self.kernel_size, self.padding))
        return vertical, horizontal


def _spatial_padding(padding) -> list[tuple[int, int, int]]:
    (top, bottom), (left, right) = padding
    return [(0, 0, 0), (top, bottom, 0), (left, right, 0), (0, 0, 0)]


def _pad(x: Array, geometry: Geometry) -> Array:
    """Adds (or cuts) rows and columns so that the convolution needs no padding any more."""
    return lax.pad(x, jnp.zeros((), x.dtype), _spatial_padding(geometry.padding))


def _unpad(x: Array, geometry: Geometry) -> Array:
    """The adjoint of `_pad`."""
    padding = tuple((-low, -high) for low, high in geometry.padding)
    return lax.pad(x, jnp.zeros((), x.dtype), _spatial_padding(padding))


def _product(a: Array, b: Array, contract: tuple[int, int], precision) -> Array:
    """Matrix product with float32 accumulation for narrow operands; the result has the operands' dtype."""
    wide = jnp.promote_types(a.dtype, jnp.float32)
    dims = (((contract[0],), (contract[1],)), ((), ()))
    return lax.dot_general(a, b, dims, precision=precision, preferred_element_type=wide).astype(a.dtype)


def _taps(x: Array, geometry: Geometry) -> list[Array]:
    """For each tap of the kernel, row by row, what it reads for each output: [batch, h, w, channels]."""
    x = _pad(x, geometry)
    (height, width), (sy, sx) = geometry.output_size, geometry.strides
    batch, _, _, channels = x.shape
    return [
        lax.slice(x, (0, i, j, 0), (batch, i + (height - 1) * sy + 1, j + (width - 1) * sx + 1, channels), (1, sy, sx, 1))
        for i in range(geometry.kernel_size[0])
        for j in range(geometry.kernel_size[1])
    ]


def _patches(x: Array, geometry: Geometry) -> Array:
    """[batch, h, w, kh * kw * channels]: what each output reads, taps in the order of the kernel."""
    taps = _taps(x, geometry)
    return taps[0] if len(taps) == 1 else lax.concatenate(taps, 3)


def _block_counts(geometry: Geometry) -> tuple[int, int]:
    """How many blocks as large as the stride cover the kernel."""
    vertical, horizontal = (-(-k // s) for k, s in zip(geometry.kernel_size, geometry.strides))
    return vertical, horizontal


def _kernel_blocks(w: Array, geometry: Geometry) -> Array:
    """The kernel in blocks as large as the stride, [block rows, phases, block columns, phases, channels, features].

    Tap i lies in block i // stride at phase i % stride; taps beyond the kernel are zero.
    """
    (rows, columns), (sy, sx), (kh, kw) = _block_counts(geometry), geometry.strides, geometry.kernel_size
    w = jnp.pad(w, ((0, rows * sy - kh), (0, columns * sx - kw), (0, 0), (0, 0)))
    return w.reshape(rows, sy, columns, sx, *w.shape[2:])


def _block_patches(x: Array, geometry: Geometry) -> Array:
    """[batch, h, w, block rows * block columns * phases * phases * channels]: `_patches` by way of space-to-depth.

    The patches then are a few slices of long rows instead of many slices of short ones.
    """
    (rows, columns), (sy, sx) = _block_counts(geometry), geometry.strides
    (top, _), (left, _) = geometry.padding
    (batch, height, width, channels), (m_y, m_x) = x.shape, geometry.output_size
    bottom, right = (m_y + rows - 1) * sy - height - top, (m_x + columns - 1) * sx - width - left
    x = lax.pad(x, jnp.zeros((), x.dtype), _spatial_padding(((top, bottom), (left, right))))
    x = x.reshape(batch, m_y + rows - 1, sy, m_x + columns - 1, sx, channels).transpose(0, 1, 3, 2, 4, 5)
    x = x.reshape(batch, m_y + rows - 1, m_x + columns - 1, sy * sx * channels)
    taps = [x[:, i : i + m_y, j : j + m_x] for i in range(rows) for j in range(columns)]
    return taps[0] if len(taps) == 1 else lax.concatenate(taps, 3)


def forward_conv(x: Array, w: Array, geometry: Geometry, precision=None) -> Array:
    """F as XLA's own convolution."""
    return lax.conv_general_dilated(x, w, geometry.strides, geometry.padding, dimension_numbers=_NHWC, precision=precision)


def forward_matrix(x: Array, w: Array, geometry: Geometry, precision=None) -> Array:
    """F as one matrix product of patches (im2col) with the kernel."""
    patches = _patches(x, geometry)
    rows = patches.reshape(-1, patches.shape[-1])
    y = _product(rows, w.reshape(-1, w.shape[-1]), (1, 0), precision)
    return y.reshape(*patches.shape[:-1], w.shape[-1])


def forward_blocks(x: Array, w: Array, geometry: Geometry, precision=None) -> Array:
    """F as one matrix product of patches, made by space-to-depth, with the kernel."""
    patches = _block_patches(x, geometry)
    kernel = _kernel_blocks(w, geometry).transpose(0, 2, 1, 3, 4, 5).reshape(-1, w.shape[-1])
    y = _product(patches.reshape(-1, patches.shape[-1]), kernel, (1, 0), precision)
    return y.reshape(*patches.shape[:-1], w.shape[-1])


def transpose_conv(y: Array, w: Array, geometry: Geometry, precision=None) -> Array:
    """T as XLA's own convolution of the dilated y with the flipped kernel."""
    return lax.conv_general_dilated(
        y,
        lax.rev(w, (0, 1)).swapaxes(2, 3),
        (1, 1),
        geometry.adjoint_padding,
        lhs_dilation=geometry.strides,
        dimension_numbers=_NHWC,
        precision=precision,
    )


def transpose_matrix(y: Array, w: Array, geometry: Geometry, precision=None) -> Array:
    """T as one matrix product to all the taps, and an overlap-add of blocks as large as the stride (col2im)."""
    (rows, columns), (sy, sx), (kh, kw) = _block_counts(geometry), geometry.strides, geometry.kernel_size
    kernel = _kernel_blocks(w, geometry)
    batch, height, width, features = y.shape
    taps = _product(y.reshape(-1, features), kernel.reshape(-1, features), (1, 1), precision)
    taps = taps.reshape(batch, height, width, *kernel.shape[:-1])
    # [batch, block row, phase, block column, phase, channels] is the order of the image's own pixels.
    image = sum(
        lax.pad(
            taps[:, :, :, i, :, j].transpose(0, 1, 3, 2, 4, 5),
            jnp.zeros((), taps.dtype),
            [(0, 0, 0), (i, rows - 1 - i, 0), (0, 0, 0), (j, columns - 1 - j, 0), (0, 0, 0), (0, 0, 0)],
        )
        for i in range(rows)
        for j in range(columns)
    )
    image = image.reshape(batch, (height + rows - 1) * sy, (width + columns - 1) * sx, w.shape[2])
    return _unpad(image[:, : (height - 1) * sy + kh, : (width - 1) * sx + kw], geometry)


def transpose_blocks(y: Array, w: Array, geometry: Geometry, precision=None) -> Array:
    """T as a convolution of stride 1 to all phases of a block at once, and depth-to-space (sub-pixel convolution)."""
    (rows, columns), (sy, sx), (kh, kw) = _block_counts(geometry), geometry.strides, geometry.kernel_size
    channels, features = w.shape[2:]
    # Output block a gets y[a - i] through kernel block i: a convolution with the blocks in reverse order.
    kernel = _kernel_blocks(w, geometry).transpose(0, 2, 5, 1, 3, 4).reshape(rows, columns, features, sy * sx * channels)
    padding = ((rows - 1, rows - 1), (columns - 1, columns - 1))
    blocks = lax.conv_general_dilated(y, lax.rev(kernel, (0, 1)), (1, 1), padding, dimension_numbers=_NHWC, precision=precision)
    batch, height, width, _ = blocks.shape
    image = blocks.reshape(batch, height, width, sy, sx, channels).transpose(0, 1, 3, 2, 4, 5)
    image = image.reshape(batch, height * sy, width * sx, channels)
    (_, m_y, m_x, _) = y.shape
    return _unpad(image[:, : (m_y - 1) * sy + kh, : (m_x - 1) * sx + kw], geometry)


def weight_conv(x: Array, y: Array, geometry: Geometry, precision=None) -> Array:
    """DW as XLA's own convolution, brought to the canonical layout by hand: the batch is the contracted feature.

    XLA canonicalises such convolutions itself, but not inside `scan` or `while` (github.com/jax-ml/jax issue 12868).
    """
    w = lax.conv_general_dilated(
        x.transpose(3, 1, 2, 0),
        y.transpose(1, 2, 0, 3),
        (1, 1),
        geometry.padding,
        rhs_dilation=geometry.strides,
        dimension_numbers=_NHWC,
        precision=precision,
    )
    return w.transpose(1, 2, 0, 3)


def weight_matrix(x: Array, y: Array, geometry: Geometry, precision=None) -> Array:
    """DW as one matrix product of transposed patches with y."""
    patches = _patches(x, geometry)
    w = _product(patches.reshape(-1, patches.shape[-1]), y.reshape(-1, y.shape[-1]), (0, 0), precision)
    return w.reshape(*geometry.kernel_size, x.shape[-1], y.shape[-1])


def weight_blocks(x: Array, y: Array, geometry: Geometry, precision=None) -> Array:
    """DW as one matrix product of transposed patches, made by space-to-depth, with y."""
    patches = _block_patches(x, geometry)
    w = _product(patches.reshape(-1, patches.shape[-1]), y.reshape(-1, y.shape[-1]), (0, 0), precision)
    (rows, columns), (sy, sx), (kh, kw) = _block_counts(geometry), geometry.strides, geometry.kernel_size
    w = w.reshape(rows, columns, sy, sx, x.shape[-1], y.shape[-1]).transpose(0, 2, 1, 3, 4, 5)
    return w.reshape(rows * sy, columns * sx, x.shape[-1], y.shape[-1])[:kh, :kw]


def weight_taps(x: Array, y: Array, geometry: Geometry, precision=None) -> Array:
    """DW as one matrix product for each tap of the kernel; no patch matrix is ever made."""
    rows = y.reshape(-1, y.shape[-1])
    taps = [_product(tap.reshape(-1, tap.shape[-1]), rows, (0, 0), precision) for tap in _taps(x, geometry)]
    return jnp.stack(taps).reshape(*geometry.kernel_size, x.shape[-1], y.shape[-1])


FORWARD = {"conv": forward_conv, "matrix": forward_matrix, "blocks": forward_blocks}
TRANSPOSE = {"conv": transpose_conv, "matrix": transpose_matrix, "blocks": transpose_blocks}
WEIGHT = {"conv": weight_conv, "matrix": weight_matrix, "blocks": weight_blocks, "taps": weight_taps}


def shape_class(geometry: Geometry, channels: int, features: int, dtype) -> str:
    """The row of the table of choices that a convolution belongs to, e.g. "float32 strided few-many".

    Wide or narrow operands; stride 1, or more; fewer than 16 channels of x, or more; the same of y.
    """
    width = "bfloat16" if jnp.dtype(dtype).itemsize < 4 else "float32"
    stride = "strided" if max(geometry.strides) > 1 else "dense"
    few_or_many = ["few" if count < 16 else "many" for count in (channels, features)]
    return f"{width} {stride} {'-'.join(few_or_many)}"


def choose(kind: str, form: str, geometry: Geometry, channels: int, features: int, dtype) -> str:
    """The form that measurement says is fastest on the CPU for this map, or what `form` asks for.

    Args:
        kind: "forward", "transpose" or "weight".
        form: "auto", or the name of a form.
        geometry: of the convolution.
        channels: channels of x.
        features: channels of y.
        dtype: dtype of the operands.
    """
    return CHOICES[shape_class(geometry, channels, features, dtype)][kind] if form == "auto" else form


def is_cpu() -> bool:
    """Whether what is traced now is going to run on the CPU, as far as JAX knows at trace time."""
    device = getattr(jax.config, "jax_default_device", None)
    platform = jax.default_backend() if device is None else getattr(device, "platform", device)
    return platform == "cpu"


def fast_by_default() -> bool:
    """Whether layers of form "auto" take the fast forms: on the CPU, unless `GAN_JAX_CONVOLUTIONS=lax` is in the environment.

    That variable turns them off for a whole process. It is read when a function is traced, not when it runs: what has been
    traced stays as it is.
    """
    wanted = os.environ.get(SWITCH, "auto")
    if wanted not in ("auto", "lax"):
        raise ValueError(f"{SWITCH} must be auto or lax; got {wanted!r}")
    return wanted == "auto" and is_cpu()
