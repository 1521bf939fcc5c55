"""Every layer against PyTorch's operator or the paper's arithmetic; values by tests/golden/layers_torch.py (PyTorch 2.13)."""

from pathlib import Path

import flax.linen as flax_nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import nn

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "layers_torch.npz")

# case -> (module, further inputs in the order of its call)
MODULES = {
    "instance_norm": (nn.InstanceNorm(), ()),
    "layer_norm": (nn.LayerNorm(), ()),
    "switchable_norm": (nn.SwitchableNorm(), ()),
    "virtual_batch_norm": (nn.VirtualBatchNorm(3), ()),
    "conditional_batch_norm_labels": (nn.ConditionalBatchNorm(3), ("labels",)),
    "conditional_batch_norm_vectors": (nn.ConditionalBatchNorm(), ("condition",)),
    "upsample_transposed": (nn.Upsample(5, "transposed"), ()),
    "upsample_nearest": (nn.Upsample(5, "nearest"), ()),
    "upsample_bilinear": (nn.Upsample(5, "bilinear"), ()),
    "upsample_pixel_shuffle": (nn.Upsample(2, "pixel_shuffle"), ()),
    "downsample_strided": (nn.Downsample(5, "strided"), ()),
    "downsample_average": (nn.Downsample(5, "average"), ()),
    "downsample_max": (nn.Downsample(5, "max"), ()),
    "gated_conv": (nn.GatedConv(5, kernel_dilation=(2, 2)), ()),
    "grouped_conv": (nn.GroupedConv(8, 4, use_bias=False), ()),
    "self_attention": (nn.SelfAttention(), ()),
    "minibatch_discrimination": (nn.MinibatchDiscrimination(3, 2), ()),
    "projection": (nn.ProjectionHead(3), ("labels",)),
    "equalized_conv": (nn.EqualizedConv(5), ()),
    "equalized_dense": (nn.EqualizedDense(3, gain=1.0), ()),
    "class_embedding": (nn.ClassEmbedding(3, 2, size=2), ("labels",)),
}
FUNCTIONS = {
    "pixel_norm": nn.pixel_norm,
    "pixel_shuffle": lambda x: nn.pixel_shuffle(x, 2),
    "average_pool": nn.average_pool,
    "max_pool": nn.max_pool,
    "resize_nearest": lambda x: nn.resize_nearest(x, 3),
    "resize_bilinear": nn.resize_bilinear,
    "filtered_upsample": nn.filtered_upsample,
    "filtered_downsample": nn.filtered_downsample,
    "minibatch_stddev": nn.minibatch_stddev,
    "minibatch_stddev_groups": lambda x: nn.minibatch_stddev(x, 2),
}


def kept(case):
    """The kept arrays of a case, and its parameters as a tree."""
    rows = {name.removeprefix(f"{case}/"): jnp.asarray(GOLDEN[name]) for name in GOLDEN.files if name.startswith(f"{case}/")}
    params = {tuple(name.split("/")[1:]): rows.pop(name) for name in list(rows) if name.startswith("params/")}
    tree = {}
    for path, value in params.items():
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = value
    return rows, tree


def function_of(case):
    """The layer as a function of x alone, with the kept parameters, and the kept arrays."""
    rows, params = kept(case)
    if case in FUNCTIONS:
        return FUNCTIONS[case], rows
    module, inputs = MODULES[case]
    further = [rows[name] for name in inputs]
    variables = jax.eval_shape(module.init, jax.random.key(0), rows["x"], *further)
    assert jax.tree.map(jnp.shape, variables.get("params", {})) == jax.tree.map(jnp.shape, params)
    state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), {k: v for k, v in variables.items() if k != "params"})
    return (lambda x: module.apply({"params": params, **state}, x, *further, mutable=list(state))[0]), rows


def test_every_kept_case_is_tested():
    assert {name.split("/")[0] for name in GOLDEN.files} == MODULES.keys() | FUNCTIONS.keys()


@pytest.mark.parametrize("case", [*MODULES, *FUNCTIONS])
def test_layer_and_its_gradient_equal_pytorch(case):
    function, rows = function_of(case)

    @jax.jit
    def both(x, g):
        y, pullback = jax.vjp(function, x)
        return y, *pullback(g)

    y, dx = both(rows["x"], rows["g"])
    np.testing.assert_allclose(y, rows["y"], atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(dx, rows["dx"], atol=2e-5, rtol=2e-5)


def test_attention_map_equals_pytorch_and_is_sown():
    rows, params = kept("self_attention")
    module = nn.SelfAttention()
    (y, attention), sown = module.apply({"params": params}, rows["x"], return_map=True, mutable=["intermediates"])
    np.testing.assert_allclose(attention, rows["map"], atol=1e-5)
    np.testing.assert_allclose(y, rows["y"], atol=1e-5)
    np.testing.assert_array_equal(sown["intermediates"]["attention_map"][0], attention)


# What R1 needs: the gradient of a squared gradient, also at a point where all examples and all pixels are equal.
@pytest.mark.parametrize("case", [*MODULES, *FUNCTIONS])
def test_second_derivatives_are_finite(case):
    function, rows = function_of(case)

    @jax.jit
    @jax.grad
    def gradient_of_penalty(x):
        return jnp.sum(jax.grad(lambda x: jnp.sum(jnp.sin(function(x))))(x) ** 2)

    for x in rows["x"], jnp.zeros_like(rows["x"]):
        assert np.isfinite(np.asarray(gradient_of_penalty(x))).all()


@pytest.mark.parametrize("case", MODULES)
def test_bfloat16_computes_narrow_and_keeps_float32_parameters(case):
    module, inputs = MODULES[case]
    rows, params = kept(case)
    further = [rows[name] for name in inputs]
    narrow = module.clone(dtype=jnp.bfloat16)
    shapes = jax.eval_shape(narrow.init, jax.random.key(1), rows["x"], *further)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
    state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), {k: v for k, v in shapes.items() if k != "params"})
    y, _ = jax.jit(lambda x: narrow.apply({"params": params, **state}, x, *further, mutable=list(state)))(rows["x"].astype(jnp.bfloat16))
    # A projection's logits are float32 by contract: their sums are long.
    assert y.dtype == (jnp.float32 if case == "projection" else jnp.bfloat16)
    np.testing.assert_allclose(y.astype(jnp.float32), rows["y"], atol=0.1, rtol=0.1)


@pytest.mark.parametrize("kernel_size", [(3, 3), (4, 4), (2, 5)])
def test_grouped_convolution_equals_flax(kernel_size):
    rows, _ = kept("grouped_conv")
    flax_conv = flax_nn.Conv(8, kernel_size, feature_group_count=4)
    variables = flax_conv.init(jax.random.key(0), rows["x"])
    ours = nn.GroupedConv(8, 4, kernel_size).apply(variables, rows["x"])
    np.testing.assert_allclose(ours, flax_conv.apply(variables, rows["x"]), atol=1e-5)
