"""Convolution layers with Flax's parameters and results, and on the CPU with gradients that run at full speed.

Differentiated as they are, XLA's convolutions make a DCGAN step on the CPU several times slower than it needs to be.
`Conv` and `ConvTranspose` are `flax.linen.Conv` and `flax.linen.ConvTranspose` in everything but that: same arguments, same
parameter names, shapes and initialisers, same results to rounding. See `gan_jax.nn.fast_conv.bilinear` for how, and docs/performance.md.
"""

import flax.linen as nn
from flax.linen.linear import canonicalize_padding
from jax import lax

from gan_jax.nn.fast_conv.bilinear import Plan, convolve, transpose_convolve
from gan_jax.nn.fast_conv.forms import Geometry, fast_by_default
from gan_jax.typing import Array

FORMS = ("auto", "lax", "conv", "matrix")


def _use_lax(form: str) -> bool:
    """Whether this form means XLA's own convolution with JAX's own derivative."""
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
    """Padding with zeros in a form that `conv_geometry` reads, or None where it is of another kind (circular ...)."""
    padding = canonicalize_padding(padding, 2)
    return None if isinstance(padding, str) and padding not in ("SAME", "VALID") else padding


def conv_geometry(input_size: tuple[int, int], kernel_size: tuple[int, int], strides: tuple[int, int], padding) -> Geometry:
    """Geometry of `lax.conv_general_dilated` without dilation; `padding` is "SAME", "VALID" or two (low, high) pairs."""
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(input_size, kernel_size, strides, padding)
    sizes = zip(input_size, kernel_size, strides, padding)
    output_size = tuple(max(0, (n + low + high - k) // s + 1) for n, k, s, (low, high) in sizes)
    return Geometry(tuple(input_size), output_size, tuple(kernel_size), tuple(strides), tuple(low for low, _ in padding))


def conv_transpose_geometry(output_size: tuple[int, int], kernel_size: tuple[int, int], strides: tuple[int, int], padding) -> Geometry:
    """Geometry of the convolution whose adjoint is `lax.conv_transpose`; its output is what that transposes.

    Like there, explicit padding is of the stride-dilated operand: more of it makes a larger image.
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


class Conv(nn.Conv):
    """`flax.linen.Conv` whose gradients of every order are fast on the CPU; elsewhere the same program as Flax's.

    All of Flax's arguments, and:

    Attributes:
        form: "auto" takes the forms that were measured to be fastest where JAX's default backend is the CPU, and XLA's own
            convolution with JAX's own derivative elsewhere; "lax" takes the latter always; "conv" and "matrix" take the
            derivatives of `gan_jax.nn.fast_conv.bilinear`, all as convolutions or all as matrix products. Two spatial dimensions with
            zero padding, no dilation and no groups have fast forms; any other convolution is Flax's own. The environment
            variable GAN_JAX_CONVOLUTIONS=lax makes "auto" mean "lax" for a whole process.

    The backend is read when the function is traced. Of these, only "lax" has forward-mode derivatives (`jax.jvp`).
    """

    form: str = "auto"

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """Convolves [..., height, width, channels] to [..., height', width', features]; as `flax.linen.Conv`."""
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
    """`flax.linen.ConvTranspose` whose gradients of every order are fast on the CPU; elsewhere the same program as Flax's.

    All of Flax's arguments, `transpose_kernel` included, and:

    Attributes:
        form: as in `Conv`.
    """

    form: str = "auto"

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """Transposed convolution of [..., height, width, channels] to [..., height', width', features]; as Flax's."""
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
        # Flax's default kernel is that of the equivalent convolution of the dilated input: mirrored, [.., in, out].
        w = kernel if self.transpose_kernel else lax.rev(kernel, (0, 1)).swapaxes(2, 3)
        geometry = conv_transpose_geometry(images.shape[1:3], kernel_size, _pair(self.strides), padding)
        x = transpose_convolve(images, w, Plan(geometry, self.form, self.precision))
        x = x if bias is None else x + bias
        return x.reshape(*inputs.shape[:-3], *x.shape[1:])
