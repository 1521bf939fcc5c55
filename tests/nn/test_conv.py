"""`Conv` and `ConvTranspose` against Flax's layers with the same parameters, and against PyTorch."""

import itertools
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from gan_jax.nn import Conv, ConvTranspose

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "conv_torch.npz")
PAIRS = {"conv": (Conv, nn.Conv), "transpose": (ConvTranspose, nn.ConvTranspose)}
OPTIONS = [
    {"kernel_size": (4, 4), "strides": (2, 2)},
    {"kernel_size": (3, 3), "strides": 2, "padding": 1, "use_bias": False},
    {"kernel_size": (5, 2), "strides": (1, 3), "padding": "VALID"},
    {"kernel_size": (3, 4), "strides": (2, 3), "padding": ((1, 3), (0, 2))},
    {"kernel_size": (1, 1), "padding": [(2, 0), (0, 1)]},
]
CYCLEGAN = {"kernel_size": (3, 3), "strides": (2, 2), "padding": ((1, 2), (1, 2))}  # its steps up


def derivatives(layer, variables, x):
    """Value, first derivatives, and derivatives of their squares (double backward), in the variables and in x."""

    def loss(variables, x):
        return jnp.sum(jnp.sin(layer.apply(variables, x)))

    def squares(variables, x):
        return sum(jnp.sum(g**2) for g in jax.tree.leaves(jax.grad(loss, argnums=(0, 1))(variables, x)))

    return layer.apply(variables, x), jax.grad(loss, argnums=(0, 1))(variables, x), jax.grad(squares, argnums=(0, 1))(variables, x)


def assert_close(got, expected, tolerance=1e-5):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(b).max())))


@pytest.mark.parametrize(("kind", "options"), [*itertools.product(PAIRS, OPTIONS), ("transpose", CYCLEGAN)], ids=str)
def test_equals_flax_in_value_first_and_second_derivative(kind, options):
    ours, flax = PAIRS[kind]
    options = options | ({"transpose_kernel": options.get("strides") == (2, 3)} if kind == "transpose" else {})
    x = jax.random.normal(jax.random.key(1), (2, 5, 6, 3))
    reference = flax(4, **options)
    variables = reference.init(jax.random.key(0), x)
    expected = jax.jit(partial(derivatives, reference))(variables, x)
    for form in ("matrix", "auto"):
        layer = ours(4, **options, form=form)
        assert_close(layer.init(jax.random.key(0), x), variables, 0)
        assert_close(jax.jit(partial(derivatives, layer))(variables, x), expected)


@pytest.mark.parametrize("kind", PAIRS)
def test_equals_pytorch(kind):
    x, w = (jnp.asarray(GOLDEN[f"{kind}_{name}"]) for name in ("x", "w"))
    if kind == "conv":
        layer, to_ours, to_torch = Conv(4, (4, 4), (2, 2), padding=1, use_bias=False), (2, 3, 1, 0), (3, 2, 0, 1)
    else:
        # PyTorch's padding p cuts; Flax's pads the dilated input: k - 1 - p, and output_padding more at the end.
        padding = ((2, 3), (2, 2))
        layer = ConvTranspose(2, (5, 4), (3, 2), padding=padding, use_bias=False, transpose_kernel=True)
        to_ours, to_torch = (2, 3, 1, 0), (3, 2, 0, 1)

    def loss(kernel, x):
        return jnp.sum(jnp.sin(layer.apply({"params": {"kernel": kernel}}, x)))

    def square(kernel, x):
        return jnp.sum(jax.grad(loss, argnums=1)(kernel, x) ** 2)

    kernel, images = w.transpose(to_ours), x.transpose(0, 2, 3, 1)
    y = layer.apply({"params": {"kernel": kernel}}, images)
    w_gradient, x_gradient = jax.grad(loss, argnums=(0, 1))(kernel, images)
    got = {"y": y.transpose(0, 3, 1, 2), "x_gradient": x_gradient.transpose(0, 3, 1, 2), "w_gradient": w_gradient.transpose(to_torch)}
    got["second"] = jax.grad(square)(kernel, images).transpose(to_torch)
    for name, value in got.items():
        assert_close(value, GOLDEN[f"{kind}_{name}"], 2e-5)


def test_hessian_vector_product_equals_flax():
    x = jax.random.normal(jax.random.key(1), (2, 6, 6, 1))
    variables = nn.Conv(3, (4, 4), (2, 2)).init(jax.random.key(0), x)
    direction = jax.tree.map(jnp.cos, variables)

    def product(layer):
        slope = jax.grad(lambda v: jnp.sum(jnp.tanh(layer.apply(v, x)) ** 2))
        return jax.grad(lambda v: sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(slope(v)), jax.tree.leaves(direction))))(variables)

    assert_close(product(Conv(3, (4, 4), (2, 2))), product(nn.Conv(3, (4, 4), (2, 2))))


def test_scan_over_training_steps_equals_loop():
    x = jax.random.normal(jax.random.key(1), (2, 6, 6, 2))
    layer = ConvTranspose(3, (4, 4), (2, 2))
    params = layer.init(jax.random.key(0), x)

    def step(params, _):
        slope = jax.grad(lambda p: jnp.mean(layer.apply(p, x) ** 2))(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, slope), None

    looped = params
    for _ in range(3):
        looped, _ = step(looped, None)
    assert_close(jax.jit(lambda p: jax.lax.scan(step, p, None, 3)[0])(params), looped)


def test_shard_map_with_replication_checks_equals_one_device():
    if jax.device_count() < 2:
        pytest.skip("needs two devices")
    x = jax.random.normal(jax.random.key(1), (4, 6, 6, 2))
    layer = Conv(3, (3, 3), (2, 2))
    params = layer.init(jax.random.key(0), x)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:2])

    def slope(params, x):
        # Gradients of replicated parameters arrive summed over the devices.
        return jax.grad(lambda p: jnp.sum(jnp.sin(layer.apply(p, x))))(params)

    data = PartitionSpec("data")
    sharded = jax.jit(jax.shard_map(slope, mesh=mesh, in_specs=(PartitionSpec(), data), out_specs=PartitionSpec()))
    assert_close(sharded(params, x), slope(params, x))


def test_bfloat16_computes_narrow_and_keeps_float32_parameters():
    x = jax.random.normal(jax.random.key(1), (2, 6, 6, 8))
    for ours, flax in PAIRS.values():
        variables = ours(4, (4, 4), (2, 2), dtype=jnp.bfloat16).init(jax.random.key(0), x)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
        y = ours(4, (4, 4), (2, 2), dtype=jnp.bfloat16).apply(variables, x)
        assert y.dtype == jnp.bfloat16
        assert_close(y.astype(jnp.float32), flax(4, (4, 4), (2, 2)).apply(variables, x), 0.02)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": (3, 3), "feature_group_count": 2},
        {"kernel_size": (3, 3), "kernel_dilation": (2, 2)},
        {"kernel_size": (3, 3), "padding": "CIRCULAR"},
        {"kernel_size": (3, 3), "mask": jnp.triu(jnp.ones((3, 3)))[..., None, None] * jnp.ones((2, 4))},
    ],
    ids=["groups", "dilation", "circular", "mask"],
)
def test_convolutions_without_a_fast_form_are_flax_own(options):
    x = jax.random.normal(jax.random.key(1), (2, 5, 5, 2))
    variables = nn.Conv(4, **options).init(jax.random.key(0), x)
    assert_close(Conv(4, **options).init(jax.random.key(0), x), variables, 0)
    assert_close(Conv(4, **options).apply(variables, x), nn.Conv(4, **options).apply(variables, x))


def test_one_dimension_and_single_examples_work_as_in_flax():
    x = jax.random.normal(jax.random.key(1), (6, 3))
    variables = nn.Conv(4, 3).init(jax.random.key(0), x)
    assert_close(Conv(4, 3).apply(variables, x), nn.Conv(4, 3).apply(variables, x))
    x = jax.random.normal(jax.random.key(1), (2, 3, 4, 4, 2))
    for ours, flax in PAIRS.values():
        for image in (x, x[0, 0]):
            variables = flax(3, (3, 3), (2, 2)).init(jax.random.key(0), image)
            assert_close(ours(3, (3, 3), (2, 2)).apply(variables, image), flax(3, (3, 3), (2, 2)).apply(variables, image))


def test_lax_form_is_the_same_program_as_flax():
    x = jnp.ones((2, 6, 6, 2))
    for ours, flax in PAIRS.values():
        variables = flax(3, (4, 4), (2, 2)).init(jax.random.key(0), x)
        programs = [
            str(jax.make_jaxpr(jax.grad(lambda v, layer=layer: layer.apply(v, x).sum()))(variables))
            for layer in (ours(3, (4, 4), (2, 2), form="lax"), flax(3, (4, 4), (2, 2)))
        ]
        assert programs[0] == programs[1]
        jax.jvp(lambda x, ours=ours, v=variables: ours(3, (4, 4), (2, 2), form="lax").apply(v, x), (x,), (x,))


def test_environment_variable_turns_the_fast_forms_off(monkeypatch):
    x = jnp.ones((2, 6, 6, 2))
    layer, flax = (kind(3, (4, 4), (2, 2)) for kind in PAIRS["conv"])
    variables = flax.init(jax.random.key(0), x)
    expected = str(jax.make_jaxpr(flax.apply)(variables, x))
    assert str(jax.make_jaxpr(layer.apply)(variables, x)) != expected
    monkeypatch.setenv("GAN_JAX_CONVOLUTIONS", "lax")
    assert str(jax.make_jaxpr(lambda *a: layer.apply(*a))(variables, x)) == expected
    monkeypatch.setenv("GAN_JAX_CONVOLUTIONS", "fast")
    with pytest.raises(ValueError, match="GAN_JAX_CONVOLUTIONS must be auto or lax; got 'fast'"):
        layer.init(jax.random.key(0), x)


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="form must be one of auto, lax, conv, matrix; got 'fast'"):
        Conv(3, (3, 3), form="fast").init(jax.random.key(0), jnp.ones((1, 4, 4, 1)))
