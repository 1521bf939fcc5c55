"""The three bilinear maps of a convolution, each in several exactly equal forms of different speed.

For a kernel w and a fixed geometry, the maps are the convolution y = F(x, w), its adjoint in the input x = T(y, w),
which is the transposed convolution, and its adjoint in the kernel w = DW(x, y). All three contract the same indices:
kernel tap, channel, feature. A form determines how the contraction is laid out for the machine.

Nothing in this file defines derivatives. `gan_jax.nn.fast_conv.bilinear` does that.

Layouts: x [batch, H, W, channels], w [kh, kw, channels, features], y [batch, h, w, features].
"""

import contextlib
import contextvars
import os
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax.nn.fast_conv.tables import choices
from gan_jax.typing import Array

SWITCH = "GAN_JAX_CONVOLUTIONS"
_PLAIN = contextvars.ContextVar("plain_convolutions", default=False)
_NHWC = ("NHWC", "HWIO", "NHWC")


class Geometry(NamedTuple):
    """The static sizes of a two-dimensional convolution. Each field is a (vertical, horizontal) pair.

    Row a of the output reads the input rows a * stride - low ... a * stride - low + kernel - 1. Rows outside the input
    are zero.

    Attributes:
        input_size: Size of x.
        output_size: Size of y.
        kernel_size: Size of w.
        strides: Step in x between neighbouring outputs.
        low: Number of zero rows (columns) before x. Negative if the first rows are skipped.
    """

    input_size: tuple[int, int]
    output_size: tuple[int, int]
    kernel_size: tuple[int, int]
    strides: tuple[int, int]
    low: tuple[int, int]

    @property
    def padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Padding (before, after) of each dimension.

        This is exactly what the last output needs. It is negative if rows of x are not read.
        """
        sizes = zip(self.input_size, self.output_size, self.kernel_size, self.strides, self.low)
        vertical, horizontal = ((low, (m - 1) * s + k - n - low) for n, m, k, s, low in sizes)
        return vertical, horizontal

    @property
    def adjoint_padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Padding of the stride-dilated y if T is written as a convolution with the flipped kernel."""
        vertical, horizontal = ((k - 1 - low, k - 1 - high) for k, (low, high) in zip(self.kernel_size, self.padding))
        return vertical, horizontal


def _spatial_padding(padding) -> list[tuple[int, int, int]]:
    (top, bottom), (left, right) = padding
    return [(0, 0, 0), (top, bottom, 0), (left, right, 0), (0, 0, 0)]


def _pad(x: Array, geometry: Geometry) -> Array:
    """Adds or removes rows and columns, so that the convolution needs no padding."""
    return lax.pad(x, jnp.zeros((), x.dtype), _spatial_padding(geometry.padding))


def _unpad(x: Array, geometry: Geometry) -> Array:
    """Adjoint of `_pad`."""
    padding = tuple((-low, -high) for low, high in geometry.padding)
    return lax.pad(x, jnp.zeros((), x.dtype), _spatial_padding(padding))


def _product(a: Array, b: Array, contract: tuple[int, int], precision) -> Array:
    """Matrix product in the dtype of the operands. Narrow dtypes are accumulated in float32."""
    wide = jnp.promote_types(a.dtype, jnp.float32)
    dims = (((contract[0],), (contract[1],)), ((), ()))
    return lax.dot_general(a, b, dims, precision=precision, preferred_element_type=wide).astype(a.dtype)


def _taps(x: Array, geometry: Geometry) -> list[Array]:
    """Returns, for each kernel tap in row-major order, the pixel that each output reads: [batch, h, w, channels]."""
    x = _pad(x, geometry)
    (height, width), (sy, sx) = geometry.output_size, geometry.strides
    batch, _, _, channels = x.shape
    return [
        lax.slice(x, (0, i, j, 0), (batch, i + (height - 1) * sy + 1, j + (width - 1) * sx + 1, channels), (1, sy, sx, 1))
        for i in range(geometry.kernel_size[0])
        for j in range(geometry.kernel_size[1])
    ]


def _patches(x: Array, geometry: Geometry) -> Array:
    """Returns the patch that each output reads: [batch, h, w, kh * kw * channels].

    The taps are in the order of the kernel.
    """
    taps = _taps(x, geometry)
    return taps[0] if len(taps) == 1 else lax.concatenate(taps, 3)


def _block_counts(geometry: Geometry) -> tuple[int, int]:
    """Returns the number of blocks of the size of the stride that cover the kernel, as (rows, columns)."""
    vertical, horizontal = (-(-k // s) for k, s in zip(geometry.kernel_size, geometry.strides))
    return vertical, horizontal


def _kernel_blocks(w: Array, geometry: Geometry) -> Array:
    """Splits the kernel into blocks of the size of the stride.

    The result is [block rows, phases, block columns, phases, channels, features]. Tap i is in block i // stride at phase
    i % stride. Taps beyond the kernel are zero.
    """
    (rows, columns), (sy, sx), (kh, kw) = _block_counts(geometry), geometry.strides, geometry.kernel_size
    w = jnp.pad(w, ((0, rows * sy - kh), (0, columns * sx - kw), (0, 0), (0, 0)))
    return w.reshape(rows, sy, columns, sx, *w.shape[2:])


def _block_patches(x: Array, geometry: Geometry) -> Array:
    """Computes patches by space-to-depth: [batch, h, w, block rows * block columns * phases * phases * channels].

    The patches consist of a few slices of long rows. Those of `_patches` consist of many slices of short rows.
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
    """Computes F with XLA's own convolution."""
    return lax.conv_general_dilated(x, w, geometry.strides, geometry.padding, dimension_numbers=_NHWC, precision=precision)


def forward_matrix(x: Array, w: Array, geometry: Geometry, precision=None) -> Array:
    """Computes F as one matrix product of patches (im2col) with the kernel."""
    patches = _patches(x, geometry)
    rows = patches.reshape(-1, patches.shape[-1])
    y = _product(rows, w.reshape(-1, w.shape[-1]), (1, 0), precision)
    return y.reshape(*patches.shape[:-1], w.shape[-1])


def forward_blocks(x: Array, w: Array, geometry: Geometry, precision=None) -> Array:
    """Computes F as one matrix product of patches with the kernel. The patches are made by space-to-depth."""
    patches = _block_patches(x, geometry)
    kernel = _kernel_blocks(w, geometry).transpose(0, 2, 1, 3, 4, 5).reshape(-1, w.shape[-1])
    y = _product(patches.reshape(-1, patches.shape[-1]), kernel, (1, 0), precision)
    return y.reshape(*patches.shape[:-1], w.shape[-1])


def transpose_conv(y: Array, w: Array, geometry: Geometry, precision=None) -> Array:
    """Computes T with XLA's own convolution of the dilated y with the flipped kernel."""
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
    """Computes T as one matrix product for all taps, then an overlap-add of blocks of the size of the stride (col2im)."""
    (rows, columns), (sy, sx), (kh, kw) = _block_counts(geometry), geometry.strides, geometry.kernel_size
    kernel = _kernel_blocks(w, geometry)
    batch, height, width, features = y.shape
    taps = _product(y.reshape(-1, features), kernel.reshape(-1, features), (1, 1), precision)
    taps = taps.reshape(batch, height, width, *kernel.shape[:-1])
    # The axes [batch, block row, phase, block column, phase, channels] are in the order of the pixels of the image.
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
    """Computes T as one convolution of stride 1 for all phases of a block, then depth-to-space (sub-pixel convolution)."""
    (rows, columns), (sy, sx), (kh, kw) = _block_counts(geometry), geometry.strides, geometry.kernel_size
    channels, features = w.shape[2:]
    # Output block a receives y[a - i] through kernel block i. This is a convolution with the blocks in reverse order.
    kernel = _kernel_blocks(w, geometry).transpose(0, 2, 5, 1, 3, 4).reshape(rows, columns, features, sy * sx * channels)
    padding = ((rows - 1, rows - 1), (columns - 1, columns - 1))
    blocks = lax.conv_general_dilated(y, lax.rev(kernel, (0, 1)), (1, 1), padding, dimension_numbers=_NHWC, precision=precision)
    batch, height, width, _ = blocks.shape
    image = blocks.reshape(batch, height, width, sy, sx, channels).transpose(0, 1, 3, 2, 4, 5)
    image = image.reshape(batch, height * sy, width * sx, channels)
    (_, m_y, m_x, _) = y.shape
    return _unpad(image[:, : (m_y - 1) * sy + kh, : (m_x - 1) * sx + kw], geometry)


def transpose_phases(y: Array, w: Array, geometry: Geometry, precision=None) -> Array:
    """Computes T as one matrix product for each phase of the output within a block of the size of the stride.

    Pixel s q + p of the output reads the same taps of the kernel for all q. For a 4x4 kernel with stride 2 these are 2x2
    of the 16 taps, so each product is one of patches of 2x2 pixels of y.
    """
    batch, height, width, _ = y.shape
    (rows, columns), channels = (-(-size // s) for size, s in zip(geometry.input_size, geometry.strides)), w.shape[2]
    vertical, horizontal = (_phase_taps(axis, geometry) for axis in (0, 1))
    # Every phase reads the rows a + shift of y for its output a. Rows outside of y are zero.
    top, left = (-min((shift for taps in phases for _, shift in taps), default=0) for phases in (vertical, horizontal))
    bottom = rows - height + max((shift for taps in vertical for _, shift in taps), default=0)
    right = columns - width + max((shift for taps in horizontal for _, shift in taps), default=0)
    y = lax.pad(y, jnp.zeros((), y.dtype), _spatial_padding(((top, bottom), (left, right))))
    phases = []
    for down in vertical:
        for across in horizontal:
            pairs = [(tap, other) for tap in down for other in across]
            if not pairs:  # The stride is larger than the kernel.
                phases.append(jnp.zeros((batch * rows * columns, channels), y.dtype))
                continue
            parts = [y[:, top + a : top + a + rows, left + b : left + b + columns] for (_, a), (_, b) in pairs]
            kernel = jnp.concatenate([w[i, j] for (i, _), (j, _) in pairs], axis=-1)
            patches = parts[0] if len(parts) == 1 else lax.concatenate(parts, 3)
            phases.append(_product(patches.reshape(-1, patches.shape[-1]), kernel, (1, 1), precision))
    sy, sx = geometry.strides
    image = jnp.stack(phases).reshape(sy, sx, batch, rows, columns, channels).transpose(2, 3, 0, 4, 1, 5)
    image = image.reshape(batch, rows * sy, columns * sx, channels)
    return image[:, : geometry.input_size[0], : geometry.input_size[1]]


def _phase_taps(axis: int, geometry: Geometry) -> list[list[tuple[int, int]]]:
    """For each phase of the output along an axis, its (kernel tap, shift): output s q + p reads y[q + shift] through the tap."""
    stride, low, size = geometry.strides[axis], geometry.low[axis], geometry.kernel_size[axis]
    return [[(tap, (phase + low - tap) // stride) for tap in range(size) if (phase + low - tap) % stride == 0] for phase in range(stride)]


def weight_conv(x: Array, y: Array, geometry: Geometry, precision=None) -> Array:
    """Computes DW with XLA's own convolution in the canonical layout: the batch is the contracted feature.

    The operands are transposed here because XLA does not canonicalise such convolutions inside `scan` or `while`
    (github.com/jax-ml/jax issue 12868).
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
    """Computes DW as one matrix product of transposed patches with y."""
    patches = _patches(x, geometry)
    w = _product(patches.reshape(-1, patches.shape[-1]), y.reshape(-1, y.shape[-1]), (0, 0), precision)
    return w.reshape(*geometry.kernel_size, x.shape[-1], y.shape[-1])


def weight_blocks(x: Array, y: Array, geometry: Geometry, precision=None) -> Array:
    """Computes DW as one matrix product of transposed patches with y. The patches are made by space-to-depth."""
    patches = _block_patches(x, geometry)
    w = _product(patches.reshape(-1, patches.shape[-1]), y.reshape(-1, y.shape[-1]), (0, 0), precision)
    (rows, columns), (sy, sx), (kh, kw) = _block_counts(geometry), geometry.strides, geometry.kernel_size
    w = w.reshape(rows, columns, sy, sx, x.shape[-1], y.shape[-1]).transpose(0, 2, 1, 3, 4, 5)
    return w.reshape(rows * sy, columns * sx, x.shape[-1], y.shape[-1])[:kh, :kw]


def weight_taps(x: Array, y: Array, geometry: Geometry, precision=None) -> Array:
    """Computes DW as one matrix product for each kernel tap. This needs no patch matrix."""
    rows = y.reshape(-1, y.shape[-1])
    taps = [_product(tap.reshape(-1, tap.shape[-1]), rows, (0, 0), precision) for tap in _taps(x, geometry)]
    return jnp.stack(taps).reshape(*geometry.kernel_size, x.shape[-1], y.shape[-1])


FORWARD = {"conv": forward_conv, "matrix": forward_matrix, "blocks": forward_blocks}
TRANSPOSE = {"conv": transpose_conv, "matrix": transpose_matrix, "blocks": transpose_blocks, "phases": transpose_phases}
WEIGHT = {"conv": weight_conv, "matrix": weight_matrix, "blocks": weight_blocks, "taps": weight_taps}


def shape_class(geometry: Geometry, channels: int, features: int, dtype) -> str:
    """Returns the key of a convolution in a table of `TABLES`, such as "float32 strided few-many".

    The key depends on whether the dtype is narrower than 32 bits ("bfloat16") or not ("float32"), whether a stride is
    above 1 ("strided") or all are 1 ("dense"), and whether x and y have fewer than 16 channels ("few") or 16
    and more ("many").
    """
    width = "bfloat16" if jnp.dtype(dtype).itemsize < 4 else "float32"
    stride = "strided" if max(geometry.strides) > 1 else "dense"
    few_or_many = ["few" if count < 16 else "many" for count in (channels, features)]
    return f"{width} {stride} {'-'.join(few_or_many)}"


def choose(kind: str, form: str, geometry: Geometry, channels: int, features: int, dtype) -> str:
    """Returns the name of the form to use for one map.

    Args:
        kind: "forward", "transpose" or "weight".
        form: Name of a form, which is returned unchanged, or "auto" for the form that was measured to be fastest on the
            CPU.
        geometry: Geometry of the convolution.
        channels: Number of channels of x.
        features: Number of channels of y.
        dtype: Dtype of the operands.

    Returns:
        A key of `FORWARD`, `TRANSPOSE` or `WEIGHT`. For "auto" this is the entry of `choices()`.
    """
    return choices()[shape_class(geometry, channels, features, dtype)][kind] if form == "auto" else form


def is_cpu() -> bool:
    """Whether the function that is being traced will run on the CPU, as far as JAX knows at trace time.

    Reads `jax_default_device` if it is set, else the default backend.
    """
    device = getattr(jax.config, "jax_default_device", None)
    platform = jax.default_backend() if device is None else getattr(device, "platform", device)
    return platform == "cpu"


def fast_by_default() -> bool:
    """Whether layers with form "auto" use the fast forms.

    True on the CPU, unless the environment variable `GAN_JAX_CONVOLUTIONS=lax` turns the fast forms off for the whole
    process, or `plain_convolutions` for a block. Both are read when a function is traced. A function that has been traced
    does not change.

    Raises:
        ValueError: If the variable is neither "auto" nor "lax".
    """
    wanted = os.environ.get(SWITCH, "auto")
    if wanted not in ("auto", "lax"):
        raise ValueError(f"{SWITCH} must be auto or lax; got {wanted!r}")
    return wanted == "auto" and is_cpu() and not _PLAIN.get()


@contextlib.contextmanager
def plain_convolutions() -> Iterator[None]:
    """Layers with form "auto" that are traced in this block use XLA's own convolutions.

    Use it for programs that leave this process: other tools and other devices know only these.
    """
    token = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(token)
