"""Convolution, transposed convolution and weight correlation with fast derivatives of every order.

For an input x, a kernel w and an output y, the three maps are

    y = F(x, w)    T(y, w) is the adjoint of F in x    DW(x, y) is the adjoint of F in w

All three are bilinear, and the derivatives of each are the other two:

    <g, F(x, w)>:  T(g, w), DW(x, g)      <g, T(y, w)>:  F(g, w), DW(g, y)      <g, DW(x, y)>:  T(y, g), F(x, g)

Every derivative of every order is therefore one of three maps, and each map has a fast form. Without these rules,
XLA:CPU runs the weight gradient of a transposed convolution, and with it every double backward, many times slower.

Only reverse-mode differentiation is defined: `jax.grad` and `jax.vjp`, in any nesting. `jax.jvp`, `jax.jacfwd` and
`jax.hessian` are not supported. Compute a Hessian-vector product as reverse over reverse.

If `vmap` maps one operand, the mapped axis is folded into the batch or the channels. If it maps both operands, the
members run one after the other, because XLA:CPU has no fast grouped convolution.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax.nn.fast_conv import forms
from gan_jax.nn.fast_conv.forms import Geometry
from gan_jax.typing import Array


class Plan(NamedTuple):
    """The static settings of one convolution: its geometry, the requested form, and the precision of its products."""

    geometry: Geometry
    form: str = "auto"
    precision: lax.Precision | None = None


def _fold(a: Array, axis: int) -> Array:
    """Merges the mapped leading axis into `axis`. `axis` does not count the mapped axis."""
    a = jnp.moveaxis(a, 0, axis)
    return a.reshape(*a.shape[:axis], -1, *a.shape[axis + 2 :])


def _unfold(a: Array, axis: int, size: int) -> Array:
    """Inverse of `_fold`."""
    a = a.reshape(*a.shape[:axis], size, -1, *a.shape[axis + 1 :])
    return jnp.moveaxis(a, axis, 0)


def _mappable(function: Callable[[Array, Array], Array], axes: tuple[tuple[int, int], tuple[int, int]]) -> Callable[[Array, Array], Array]:
    """Adds a `vmap` rule to a bilinear map.

    `axes` holds one pair (operand axis, result axis) for each operand. If only that operand is mapped, the mapped axis
    is folded into these axes.
    """

    @jax.custom_batching.custom_vmap
    def mapped(a, b):
        return function(a, b)

    @mapped.def_vmap
    def _(size, is_batched, a, b):
        if all(is_batched):
            return lax.map(lambda pair: mapped(*pair), (a, b)), True
        (operand, result) = axes[0] if is_batched[0] else axes[1]
        out = mapped(_fold(a, operand), b) if is_batched[0] else mapped(a, _fold(b, operand))
        return _unfold(out, result, size), True

    return mapped


def _varying_axes(a: Array) -> frozenset[str]:
    """Returns the axes of the `shard_map` mesh over which an array varies.

    The name of this field of the array's type depends on the JAX version.
    """
    aval = jax.typeof(a)
    return getattr(getattr(aval, "manual_axis_type", aval), "varying", None) or getattr(aval, "vma", frozenset())


def same_variation(*arrays: Array) -> list[Array]:
    """Marks all arrays as varying over the same mesh axes under `shard_map`.

    Hand-written cotangent rules require this.
    """
    axes = [_varying_axes(a) for a in arrays]
    union = frozenset().union(*axes)
    return [lax.pcast(a, tuple(sorted(union - own)), to="varying") if union - own else a for a, own in zip(arrays, axes)]


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _forward(x, w, plan):
    form = forms.FORWARD[forms.choose("forward", plan.form, plan.geometry, *w.shape[2:], x.dtype)]
    return _mappable(partial(form, geometry=plan.geometry, precision=plan.precision), ((0, 0), (3, 3)))(x, w)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _transpose(y, w, plan):
    form = forms.TRANSPOSE[forms.choose("transpose", plan.form, plan.geometry, *w.shape[2:], y.dtype)]
    return _mappable(partial(form, geometry=plan.geometry, precision=plan.precision), ((0, 0), (2, 3)))(y, w)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _weight(x, y, plan):
    form = forms.WEIGHT[forms.choose("weight", plan.form, plan.geometry, x.shape[3], y.shape[3], x.dtype)]
    return _mappable(partial(form, geometry=plan.geometry, precision=plan.precision), ((3, 2), (3, 3)))(x, y)


# The forward rules call the wrapped functions, so that an outer gradient differentiates these and not the raw convolutions.
_forward.defvjp(
    lambda x, w, plan: (_forward(x, w, plan), (x, w)),
    lambda plan, xw, g: (_transpose(g, xw[1], plan), _weight(xw[0], g, plan)),
)
_transpose.defvjp(
    lambda y, w, plan: (_transpose(y, w, plan), (y, w)),
    lambda plan, yw, g: (_forward(g, yw[1], plan), _weight(g, yw[0], plan)),
)
_weight.defvjp(
    lambda x, y, plan: (_weight(x, y, plan), (x, y)),
    lambda plan, xy, g: (_transpose(xy[1], g, plan), _forward(xy[0], g, plan)),
)


def convolve(x: Array, w: Array, plan: Plan) -> Array:
    """Convolution F: y[n, a, b, d] = sum_ijc x[n, a s + i - low, b s + j - low, c] w[i, j, c, d].

    Args:
        x: float [batch, *input_size, channels].
        w: [*kernel_size, channels, features], same dtype as x.
        plan: Geometry and form.

    Returns:
        [batch, *output_size, features], same dtype as x. The matrix forms accumulate narrow dtypes in float32.
    """
    return _forward(*same_variation(x, w), plan)


def transpose_convolve(y: Array, w: Array, plan: Plan) -> Array:
    """Transposed convolution T, the adjoint of `convolve` in x: <T(y, w), x> = <y, F(x, w)>.

    Args:
        y: float [batch, *output_size, features].
        w: [*kernel_size, channels, features], same dtype as y.
        plan: Geometry of F, and form.

    Returns:
        [batch, *input_size, channels], same dtype as y.
    """
    return _transpose(*same_variation(y, w), plan)
