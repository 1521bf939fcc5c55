"""Convolution layers with the parameters and results of Flax, and with fast gradients on the CPU.

With JAX's own derivatives of XLA's convolutions, a DCGAN step on the CPU is several times slower than necessary. `Conv`
and `ConvTranspose` replace `flax.linen.Conv` and `flax.linen.ConvTranspose`. They have the same arguments, the same
parameter names, shapes and initialisers, and the same results up to rounding.

See `gan_jax.nn.fast_conv.bilinear` for the method and docs/performance.md for measured times.
"""

import flax.linen as nn
from flax.linen.linear import canonicalize_padding
from jax import lax

from gan_jax.nn.fast_conv.bilinear import Plan, convolve, transpose_convolve
from gan_jax.nn.fast_conv.forms import Geometry, fast_by_default
from gan_jax.typing import Array

FORMS = ("auto", "lax", "conv", "matrix")


def _use_lax(form: str) -> bool:
    """Whether this form uses XLA's own convolution with JAX's own derivative."""
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}; got {form!r}")
    return form == "lax" or (form == "auto" and not fast_by_default())


def _pair(value) -> tuple[int, int]:
    return (1, 1) if value is None else (value, value) if isinstance(value, int) else tuple(value)


def _spatial_rank(kernel_size) -> int:
    return 1 if isinstance(kernel_size, int) else len(kernel_size)


def _is_one(dilation) -> bool:
    return _pair(dilation) == (1, 1)


def _plain_padding(padding):
    """Returns zero padding in a form that `conv_geometry` accepts.

    Returns None for every other kind of padding, such as circular padding.
    """
    padding = canonicalize_padding(padding, 2)
    return None if isinstance(padding, str) and padding not in ("SAME", "VALID") else padding


def conv_geometry(input_size: tuple[int, int], kernel_size: tuple[int, int], strides: tuple[int, int], padding) -> Geometry:
    """Returns the geometry of `lax.conv_general_dilated` without dilation.

    `padding` is "SAME", "VALID" or two (low, high) pairs.
    """
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(input_size, kernel_size, strides, padding)
    sizes = zip(input_size, kernel_size, strides, padding)
    output_size = tuple(max(0, (n + low + high - k) // s + 1) for n, k, s, (low, high) in sizes)
    return Geometry(tuple(input_size), output_size, tuple(kernel_size), tuple(strides), tuple(low for low, _ in padding))


def conv_transpose_geometry(output_size: tuple[int, int], kernel_size: tuple[int, int], strides: tuple[int, int], padding) -> Geometry:
    """Returns the geometry of the convolution F whose adjoint is `lax.conv_transpose`.

    `output_size` is the output size of F, which is the input size of the transposed convolution. As in
    `lax.conv_transpose`, explicit padding applies to the stride-dilated operand, so more padding makes a larger image.
    """
    if padding == "SAME":
        total = [k + s - 2 for k, s in zip(kernel_size, strides)]
        before = [k - 1 if s > k - 1 else -(-t // 2) for k, s, t in zip(kernel_size, strides, total)]
        padding = [(b, t - b) for b, t in zip(before, total)]
    elif padding == "VALID":
        padding = [(k - 1, max(s, k) - 1) for k, s in zip(kernel_size, strides)]
    sizes = zip(output_size, kernel_size, strides, padding)
    input_size = tuple((m - 1) * s + 2 + low + high - k for m, k, s, (low, high) in sizes)
    low = tuple(k - 1 - before for k, (before, _) in zip(kernel_size, padding))
    return Geometry(input_size, tuple(output_size), tuple(kernel_size), tuple(strides), low)


def conv2d(x: Array, kernel: Array, *, stride: int = 1, padding: int = 0, form: str = "auto") -> Array:
    """Correlates images with a kernel, as a function: the computation of `Conv` with explicit symmetric padding.

    Args:
        x: float [batch, height, width, channels].
        kernel: [height, width, channels, features], same dtype as x.
        stride: Stride along both axes.
        padding: Zeros to add to each side.
        form: See `Conv`.

    Returns:
        [batch, height', width', features].
    """
    strides, pads = (stride, stride), ((padding, padding), (padding, padding))
    if _use_lax(form):
        return lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return convolve(x, kernel, Plan(conv_geometry(x.shape[1:3], kernel.shape[:2], strides, pads), form))


def conv2d_transpose(x: Array, kernel: Array, *, stride: int, form: str = "auto") -> Array:
    """Transposed convolution without padding, as a function: each pixel adds its multiple of the kernel to the output.

    Args:
        x: float [batch, height, width, channels].
        kernel: [k, k, channels, features], same dtype as x. It is not mirrored, as in PyTorch's `conv_transpose2d`.
        stride: Distance of the output pixels of neighbouring inputs.
        form: See `Conv`.

    Returns:
        [batch, (height - 1) * stride + k, (width - 1) * stride + k, features].
    """
    w = kernel.swapaxes(2, 3)
    if _use_lax(form):
        return lax.conv_transpose(x, w, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"), transpose_kernel=True)
    large = tuple((size - 1) * stride + k for size, k in zip(x.shape[1:3], kernel.shape[:2]))
    geometry = conv_geometry(large, kernel.shape[:2], (stride, stride), ((0, 0), (0, 0)))
    return transpose_convolve(x, w, Plan(geometry, form))


class Conv(nn.Conv):
    """`flax.linen.Conv` with fast gradients of every order on the CPU.

    On other backends it runs the same program as Flax's layer. It takes all arguments of Flax's layer and `form`.

    Fast forms exist for two spatial dimensions with zero padding, no dilation and no groups. Any other convolution uses
    Flax's own code.

    The backend is read when the function is traced. Only "lax" supports forward-mode differentiation (`jax.jvp`).

    Attributes:
        form: One of `FORMS`. "auto" uses the forms that were measured to be fastest if JAX's default backend is the
            CPU, and "lax" otherwise. "lax" uses XLA's own convolution with JAX's own derivative. "conv" and "matrix"
            use the derivatives of `gan_jax.nn.fast_conv.bilinear`, either all as convolutions or all as matrix products. The
            environment variable GAN_JAX_CONVOLUTIONS=lax makes "auto" mean "lax" for a whole process.
    """

    form: str = "auto"

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """Convolves [..., height, width, channels] to [..., height', width', features], as `flax.linen.Conv` does."""
        plain = (
            self.feature_group_count == 1
            and _is_one(self.input_dilation)
            and _is_one(self.kernel_dilation)
            and self.mask is None
            and self.conv_general_dilated is None
            and self.conv_general_dilated_cls is None
        )
        padding = _plain_padding(self.padding)
        if not plain or padding is None or _use_lax(self.form) or _spatial_rank(self.kernel_size) != 2:
            return super().__call__(inputs)
        kernel_size = tuple(self.kernel_size)
        kernel = self.param("kernel", self.kernel_init, (*kernel_size, inputs.shape[-1], self.features), self.param_dtype)
        bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype) if self.use_bias else None
        inputs, kernel, bias = self.promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        images = inputs.reshape(-1, *inputs.shape[-3:])
        geometry = conv_geometry(images.shape[1:3], kernel_size, _pair(self.strides), padding)
        y = convolve(images, kernel, Plan(geometry, self.form, self.precision))
        y = y if bias is None else y + bias
        return y.reshape(*inputs.shape[:-3], *y.shape[1:])


class ConvTranspose(nn.ConvTranspose):
    """`flax.linen.ConvTranspose` with fast gradients of every order on the CPU.

    On other backends it runs the same program as Flax's layer. It takes all arguments of Flax's layer, including
    `transpose_kernel`, and `form`.

    Attributes:
        form: See `Conv`.
    """

    form: str = "auto"

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """Maps [..., height, width, channels] to [..., height', width', features], as `flax.linen.ConvTranspose` does."""
        padding = _plain_padding(self.padding)
        plain = _is_one(self.kernel_dilation) and self.mask is None and self.preferred_element_type is None
        if not plain or padding is None or _use_lax(self.form) or _spatial_rank(self.kernel_size) != 2:
            return super().__call__(inputs)
        kernel_size = tuple(self.kernel_size)
        channels = (self.features, inputs.shape[-1]) if self.transpose_kernel else (inputs.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, (*kernel_size, *channels), self.param_dtype)
        bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype) if self.use_bias else None
        inputs, kernel, bias = self.promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        images = inputs.reshape(-1, *inputs.shape[-3:])
        # By default, Flax stores the kernel of the equivalent convolution of the dilated input: mirrored, [.., in, out].
        w = kernel if self.transpose_kernel else lax.rev(kernel, (0, 1)).swapaxes(2, 3)
        geometry = conv_transpose_geometry(images.shape[1:3], kernel_size, _pair(self.strides), padding)
        x = transpose_convolve(images, w, Plan(geometry, self.form, self.precision))
        x = x if bias is None else x + bias
        return x.reshape(*inputs.shape[:-3], *x.shape[1:])
