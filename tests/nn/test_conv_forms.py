"""Every form of the three bilinear maps against XLA's convolution and JAX's transposes of it, over a grid of geometries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gan_jax.nn.fast_conv import forms, tables
from gan_jax.nn.fast_conv.bilinear import Plan, _weight, convolve, transpose_convolve
from gan_jax.nn.fast_conv.choices import TABLES
from gan_jax.nn.fast_conv.conv import conv_geometry, conv_transpose_geometry

# (image, kernel, strides, padding, channels, features): even and odd sizes, kernels smaller than the stride, uneven and negative
# padding, single channels, kernels that are and are not a whole number of strides.
GRID = [
    ((8, 8), (4, 4), (2, 2), "SAME", 3, 5),
    ((7, 9), (3, 3), (2, 2), "SAME", 1, 4),
    ((9, 6), (5, 3), (2, 1), "VALID", 2, 1),
    ((6, 7), (4, 3), (3, 2), ((2, 1), (0, 3)), 2, 3),
    ((5, 6), (3, 3), (1, 1), "SAME", 2, 3),
    ((7, 8), (1, 1), (2, 3), "VALID", 3, 2),
    ((8, 7), (2, 2), (3, 3), ((-1, 0), (0, -2)), 2, 2),
    ((4, 4), (4, 4), (1, 1), "VALID", 2, 3),
    ((1, 1), (3, 3), (1, 1), "SAME", 1, 1),
]


def normals(*shapes, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return [jax.random.normal(key, shape).astype(dtype) for key, shape in zip(keys, shapes)]


def operands(image, kernel, strides, padding, channels, features, dtype=jnp.float32):
    geometry = conv_geometry(image, kernel, strides, padding)
    shapes = (2, *image, channels), (*kernel, channels, features), (2, *geometry.output_size, features)
    return geometry, *normals(*shapes, dtype=dtype)


def reference(x, w, y, strides, padding):
    """XLA's convolution, and JAX's own transposes of it in x and in w."""

    def forward(x, w):
        return lax.conv_general_dilated(x, w, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))

    return forward(x, w), *jax.vjp(forward, x, w)[1](y)


@pytest.mark.parametrize("case", GRID, ids=str)
def test_all_forms_equal_lax(case):
    geometry, x, w, y = operands(*case)
    f, t, dw = reference(x, w, y, *case[2:4])
    tables = (forms.FORWARD, (x, w), f), (forms.TRANSPOSE, (y, w), t), (forms.WEIGHT, (x, y), dw)
    # One program for all of them: compiling is what this test's time goes to.
    got = jax.jit(lambda: [{name: form(*arguments, geometry) for name, form in table.items()} for table, arguments, _ in tables])()
    for values, (_, _, expected) in zip(got, tables):
        for name, value in values.items():
            np.testing.assert_allclose(value, expected, rtol=1e-5, atol=2e-5, err_msg=name)


def test_narrow_operands_are_accumulated_in_float32():
    # 4096 products of ones exceed what bfloat16 can count to (256): a sum kept in it would stop there.
    geometry = conv_geometry((4, 4), (4, 4), (1, 1), "VALID")
    x, w = jnp.ones((1, 4, 4, 256), jnp.bfloat16), jnp.ones((4, 4, 256, 1), jnp.bfloat16)
    for form in (forms.forward_matrix, forms.forward_blocks):
        y = form(x, w, geometry)
        assert y.dtype == jnp.bfloat16
        assert float(y.squeeze()) == 4096


@pytest.mark.parametrize("form", ["auto", "conv", "matrix"])
def test_bfloat16_equals_float32_to_its_rounding(form):
    geometry, x, w, y = operands((9, 9), (4, 4), (2, 2), "SAME", 24, 17, dtype=jnp.bfloat16)
    wide = [a.astype(jnp.float32) for a in (x, w, y)]
    f, t, dw = reference(*wide, (2, 2), "SAME")
    plan = Plan(geometry, form)
    for got, expected in ((convolve(x, w, plan), f), (transpose_convolve(y, w, plan), t), (_weight(x, y, plan), dw)):
        assert got.dtype == jnp.bfloat16
        np.testing.assert_allclose(got.astype(jnp.float32), expected, rtol=0.02, atol=0.01 * float(jnp.abs(expected).max()))


def test_maps_are_adjoint():
    """<g, F(x, w)> = <T(g, w), x> = <DW(x, g), w>, for the geometry of a transposed convolution too."""
    geometry = conv_transpose_geometry((5, 4), (3, 4), (2, 3), ((3, 1), (2, 2)))
    x, w, g = normals((2, *geometry.input_size, 3), (3, 4, 3, 2), (2, 5, 4, 2))
    plan = Plan(geometry, "matrix")
    expected = jnp.vdot(g, convolve(x, w, plan))
    np.testing.assert_allclose(jnp.vdot(transpose_convolve(g, w, plan), x), expected, rtol=1e-4)
    np.testing.assert_allclose(jnp.vdot(_weight(x, g, plan), w), expected, rtol=1e-4)


# Which operands of each map are mapped: one, the other, both. None may reach XLA as a grouped convolution.
@pytest.mark.parametrize("mapped", [(0, None), (None, 0), (0, 0)], ids=["first", "second", "both"])
@pytest.mark.parametrize("form", ["conv", "matrix"])
def test_vmap_equals_loop_without_grouped_convolutions(mapped, form):
    geometry = conv_geometry((6, 5), (4, 3), (2, 1), "SAME")
    x, w, y = normals((3, 2, 6, 5, 2), (3, 4, 3, 2, 4), (3, 2, *geometry.output_size, 4))
    for function, pair in ((convolve, (x, w)), (transpose_convolve, (y, w)), (_weight, (x, y))):
        pair = [a if axis == 0 else a[0] for a, axis in zip(pair, mapped)]

        def call(a, b, function=function):
            return function(a, b, Plan(geometry, form))

        batched = jax.vmap(call, mapped)
        expected = [call(*(a[i] if axis == 0 else a for a, axis in zip(pair, mapped))) for i in range(3)]
        np.testing.assert_allclose(batched(*pair), jnp.stack(expected), rtol=1e-5, atol=1e-5)
        program = jax.jit(batched).lower(*pair).as_text()
        assert "feature_group_count = 3" not in program
        assert "batch_group_count = 3" not in program


def test_nested_vmap_of_a_second_derivative_equals_loop():
    geometry = conv_geometry((4, 4), (3, 3), (2, 2), "SAME")
    x, w = normals((2, 3, 1, 4, 4, 1), (3, 3, 3, 1, 2))

    def penalty(x, w):
        return jnp.sum(jax.grad(lambda x: jnp.sum(jnp.sin(convolve(x, w, Plan(geometry)))))(x) ** 2)

    slope = jax.grad(penalty, argnums=1)
    got = jax.vmap(jax.vmap(slope), (0, None))(x, w)
    for i in range(2):
        for j in range(3):
            np.testing.assert_allclose(got[i, j], slope(x[i, j], w[j]), rtol=1e-4, atol=1e-5)


def test_choice_depends_on_the_channels_and_leaves_named_forms_alone():
    geometry = conv_geometry((8, 8), (4, 4), (2, 2), "SAME")
    for kind, table in (("forward", forms.FORWARD), ("transpose", forms.TRANSPOSE), ("weight", forms.WEIGHT)):
        for dtype in (jnp.float32, jnp.bfloat16):
            for channels, features in ((1, 64), (64, 1), (64, 128)):
                assert forms.choose(kind, "auto", geometry, channels, features, dtype) in table
        assert forms.choose(kind, "conv", geometry, 1, 64, jnp.float32) == "conv"


def test_the_table_is_that_of_the_version_and_the_processor(monkeypatch):
    rows = {"0.10 avx512_bf16": {}, "0.12 avx512_bf16": {}, "0.9 amx_bf16": {}}
    monkeypatch.setattr(tables, "TABLES", rows)
    names = [tables.table_name(version, "avx512_bf16") for version in ("0.10.2", "0.11.2", "0.12.0.1", "0.13.0", "0.9")]
    assert names == ["0.10 avx512_bf16"] * 2 + ["0.12 avx512_bf16"] * 2 + [tables.DEFAULT]
    assert tables.table_name("0.12", "amx_bf16") == "0.9 amx_bf16"
    assert tables.table_name("0.12", "aarch64") == tables.DEFAULT


def test_every_table_has_a_form_for_every_class_of_shapes():
    classes = set(TABLES[tables.DEFAULT])
    assert len(classes) == 2 * 2 * 4
    for name, table in TABLES.items():
        assert set(table) <= classes, name
        for row in table.values():
            assert row["forward"] in forms.FORWARD
            assert row["transpose"] in forms.TRANSPOSE
            assert row["weight"] in forms.WEIGHT


def test_classes_that_were_not_measured_have_the_default_form(monkeypatch):
    measured = {"forward": "taps", "transpose": "phases", "weight": "blocks"}
    default = TABLES[tables.DEFAULT]
    monkeypatch.setattr(tables, "TABLES", {tables.DEFAULT: default, "0.12 kind": {"bfloat16 dense few-few": measured}})
    monkeypatch.setattr(tables, "table_name", lambda: "0.12 kind")
    found = tables.choices.__wrapped__()
    assert set(found) == set(default)
    assert {name for name in found if found[name] != default[name]} == {"bfloat16 dense few-few"}
    assert found["bfloat16 dense few-few"] == measured


def test_every_derivative_is_again_one_of_the_three_maps():
    """No derivative may be one of JAX's own transposes of a convolution: those have other layouts, and are the slow ones."""
    geometry = conv_geometry((6, 6), (4, 4), (2, 2), "SAME")
    x, w = normals((2, 6, 6, 2), (4, 4, 2, 3))

    def penalty(w, x):
        return jnp.sum(jax.grad(lambda x: jnp.sum(jnp.sin(convolve(x, w, Plan(geometry, "conv")))))(x) ** 2)

    def twice(w, x):
        return jnp.sum(jax.grad(penalty)(w, x) ** 2)

    program = str(jax.make_jaxpr(jax.grad(twice, argnums=(0, 1)))(w, x))
    canonical = "ConvDimensionNumbers(lhs_spec=(0, 3, 1, 2), rhs_spec=(3, 2, 0, 1), out_spec=(0, 3, 1, 2))"
    assert program.count("ConvDimensionNumbers(") > 5
    assert program.count("ConvDimensionNumbers(") == program.count(canonical)
