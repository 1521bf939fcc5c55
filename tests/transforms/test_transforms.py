"""Spectral and weight normalisation against PyTorch, exact decompositions and the definition."""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax._internal.kernels import as_matrix, is_kernel
from gan_jax.transforms import SpectralNormState, spectral_norm, weight_norm

# PyTorch 2.13.0, see the script of the same name.
GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden" / "penalties_torch.json").read_text())
RNG = jax.random.key(0)


def tree():
    kernels = jax.random.split(RNG, 3)
    return {
        "conv": {"kernel": jax.random.normal(kernels[0], (3, 3, 4, 8)), "bias": jnp.ones(8)},
        "dense": {"kernel": 5 * jax.random.normal(kernels[1], (16, 6)), "bias": jnp.ones(6)},
        "norm": {"scale": jnp.full(6, 2.0)},
        "embed": {"embedding": jax.random.normal(kernels[2], (10, 6))},
    }


def top(kernel):
    return np.linalg.svd(np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1]), compute_uv=False)[0]


def from_torch(kernel):
    """[out, in, h, w] -> [h, w, in, out]."""
    return jnp.asarray(np.transpose(np.asarray(kernel), (2, 3, 1, 0)))


def test_three_calls_and_the_gradient_equal_pytorch():
    golden = GOLDEN["spectral_norm"]
    with jax.enable_x64(True):
        params = {"kernel": from_torch(golden["kernel"])}
        state = SpectralNormState({"kernel": jnp.asarray(golden["vector"])}, {"kernel": jnp.zeros(())})
        transform = spectral_norm(2)
        for expected in golden["weights"]:
            before = state
            normalised, state = transform.apply(params, state)
            np.testing.assert_allclose(normalised["kernel"], from_torch(expected), rtol=1e-10)
        np.testing.assert_allclose(state.vectors["kernel"], golden["vector_after"], rtol=1e-10)
        cotangent = from_torch(golden["cotangent"])
        gradient = jax.grad(lambda p: jnp.vdot(transform.apply(p, before)[0]["kernel"], cotangent))(params)
        np.testing.assert_allclose(gradient["kernel"], from_torch(golden["gradient"]), rtol=1e-9)


def test_sigma_is_one_after_convergence_and_other_leaves_are_untouched():
    params = tree()
    transform = spectral_norm(predicate=is_kernel)
    state = transform.init(RNG, params)
    apply = jax.jit(transform.apply)
    for _ in range(200):
        normalised, state = apply(params, state)
    assert set(state.sigma) == {"conv/kernel", "dense/kernel"}
    for name in ("conv", "dense"):
        np.testing.assert_allclose(top(normalised[name]["kernel"]), 1.0, atol=1e-3)
        np.testing.assert_allclose(state.sigma[f"{name}/kernel"], top(params[name]["kernel"]), rtol=1e-3)
        np.testing.assert_allclose(normalised[name]["kernel"] * top(params[name]["kernel"]), params[name]["kernel"], rtol=2e-3, atol=1e-3)
    for module, leaf in (("conv", "bias"), ("norm", "scale"), ("embed", "embedding")):
        np.testing.assert_array_equal(normalised[module][leaf], params[module][leaf])


def test_exact_mode_equals_the_decomposition_and_its_gradient():
    with jax.enable_x64(True):
        params = jax.tree.map(lambda x: x.astype(float), tree())
        transform = spectral_norm(exact=True)
        state = transform.init(RNG, params)
        normalised, after = transform.apply(params, state)
        np.testing.assert_allclose(normalised["dense"]["kernel"] * top(params["dense"]["kernel"]), params["dense"]["kernel"], rtol=1e-10)
        np.testing.assert_array_equal(after.vectors["dense/kernel"], state.vectors["dense/kernel"])

        def loss(kernel):
            return jnp.sum(jnp.sin(transform.apply(params | {"dense": {"kernel": kernel}}, state)[0]["dense"]["kernel"]))

        kernel = params["dense"]["kernel"]
        # With exact singular vectors the paper's gradient is the true one: finite differences of loss.
        direction = jnp.cos(jnp.arange(kernel.size, dtype=float)).reshape(kernel.shape)
        numeric = (loss(kernel + 1e-6 * direction) - loss(kernel - 1e-6 * direction)) / 2e-6
        np.testing.assert_allclose(jnp.vdot(jax.grad(loss)(kernel), direction), numeric, rtol=1e-6)


def test_gradient_is_orthogonal_to_the_weights():
    # W / sigma(W) does not move along W, so neither may the loss.
    params = {"kernel": tree()["dense"]["kernel"]}
    transform = spectral_norm()
    state = transform.init(RNG, params)
    gradient = jax.grad(lambda p: jnp.sum(jnp.sin(3 * transform.apply(p, state)[0]["kernel"])))(params)["kernel"]
    cosine = jnp.vdot(gradient, params["kernel"]) / jnp.linalg.norm(gradient) / jnp.linalg.norm(params["kernel"])
    assert abs(cosine) < 1e-6
    assert jnp.linalg.norm(gradient) > 1e-3


def test_scale_invariance_and_determinism_in_evaluation():
    params = {"kernel": tree()["dense"]["kernel"]}
    transform = spectral_norm()
    state = transform.init(RNG, params)
    once, _ = transform.apply(params, state)
    again, _ = transform.apply(params, state)
    np.testing.assert_array_equal(once["kernel"], again["kernel"])
    scaled, _ = transform.apply({"kernel": 100 * params["kernel"]}, state)
    np.testing.assert_allclose(scaled["kernel"], once["kernel"], rtol=1e-5, atol=1e-7)


def test_zero_kernel_is_left_alone_and_wakes_up_later():
    params = {"kernel": jnp.zeros((4, 3))}
    transform = spectral_norm()
    state = transform.init(RNG, params)
    gradient = jax.grad(lambda p: transform.apply(p, state)[0]["kernel"].sum())(params)["kernel"]
    assert np.all(np.isfinite(gradient))
    normalised, state = transform.apply(params, state)
    np.testing.assert_array_equal(normalised["kernel"], 0.0)
    np.testing.assert_allclose(jnp.linalg.norm(state.vectors["kernel"]), 1.0, rtol=1e-6)
    for _ in range(60):
        normalised, state = transform.apply({"kernel": jnp.diag(jnp.asarray([1.0, 2.0, 4.0, 0.0]))[:, :3]}, state)
    np.testing.assert_allclose(top(normalised["kernel"]), 1.0, atol=1e-3)


def test_more_steps_come_closer():
    params = {"kernel": tree()["dense"]["kernel"]}
    state = spectral_norm().init(RNG, params)
    errors = [abs(top(spectral_norm(n).apply(params, state)[0]["kernel"]) - 1) for n in (0, 1, 5, 50)]
    assert errors[0] > errors[1] > errors[2] > errors[3]
    assert errors[3] < 1e-3
    # No iteration: the vector stays, and sigma is |W v|, not above the true one.
    normalised, after = spectral_norm(0).apply(params, state)
    np.testing.assert_array_equal(after.vectors["kernel"], state.vectors["kernel"])
    stretch = jnp.linalg.norm(params["kernel"] @ state.vectors["kernel"])
    np.testing.assert_allclose(normalised["kernel"], params["kernel"] / stretch, rtol=1e-5)


def test_bfloat16_kernels_keep_their_dtype():
    params = {"kernel": tree()["dense"]["kernel"].astype(jnp.bfloat16)}
    transform = spectral_norm(20)
    normalised, state = transform.apply(params, transform.init(RNG, params))
    assert normalised["kernel"].dtype == jnp.bfloat16
    assert state.vectors["kernel"].dtype == jnp.float32
    np.testing.assert_allclose(top(normalised["kernel"].astype(jnp.float32)), 1.0, atol=1e-2)


def test_any_pytree_and_any_layout_by_predicate():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Linear:
        weight: jax.Array  # [out, in]
        bias: jax.Array

    module = Linear(jax.random.normal(RNG, (3, 7)), jnp.ones(3))
    transform = spectral_norm(100, predicate=lambda path, leaf: path.endswith("weight"), output_axis=0)
    normalised, state = transform.apply(module, transform.init(RNG, module))
    assert isinstance(normalised, Linear)
    assert state.vectors["weight"].shape == (3,)
    np.testing.assert_allclose(top(normalised.weight), 1.0, atol=1e-4)


def test_as_matrix_layouts():
    kernel = jnp.arange(24.0).reshape(2, 3, 4)
    assert as_matrix(kernel).shape == (6, 4)
    np.testing.assert_array_equal(as_matrix(kernel)[:, 1], kernel[..., 1].ravel())
    assert as_matrix(kernel, output_axis=0).shape == (12, 2)
    np.testing.assert_array_equal(as_matrix(kernel, output_axis=-2)[:, 2], kernel[:, 2].ravel())


def test_default_predicate():
    matrix, vector = jnp.ones((2, 2)), jnp.ones(2)
    assert is_kernel("a/kernel", matrix)
    assert is_kernel("a/kernel/value", matrix)
    assert not is_kernel("a/kernel", vector)
    assert not is_kernel("a/bias", matrix)
    assert not is_kernel("a/my_kernel", matrix)


def test_errors():
    with pytest.raises(ValueError, match="n_steps and eps must not be negative; got -1"):
        spectral_norm(-1)
    with pytest.raises(ValueError, match="at least one leaf; it chose none of bias"):
        spectral_norm().init(RNG, {"bias": jnp.ones(3)})
    with pytest.raises(ValueError, match=r"bias must have at least 2 dimensions.*\(3,\)"):
        spectral_norm(predicate=lambda path, leaf: True).init(RNG, {"bias": jnp.ones(3)})


def test_weight_norm_equals_pytorch():
    golden = GOLDEN["weight_norm"]
    with jax.enable_x64(True):
        transform = weight_norm()
        params = transform.prepare({"kernel": jnp.asarray(golden["kernel"]).T})
        np.testing.assert_allclose(params.gain["kernel"], np.ravel(golden["gain_start"]), rtol=1e-12)
        params = params._replace(
            direction={"kernel": jnp.asarray(golden["direction"]).T}, gain={"kernel": jnp.ravel(jnp.asarray(golden["gain"]))}
        )
        state = transform.init(RNG, params)

        def loss(params):
            weight = transform.apply(params, state)[0]["kernel"]
            return jnp.vdot(weight, jnp.asarray(golden["cotangent"]).T), weight

        gradients, weight = jax.grad(loss, has_aux=True)(params)
        np.testing.assert_allclose(weight.T, golden["weight"], rtol=1e-10)
        np.testing.assert_allclose(gradients.direction["kernel"].T, golden["direction_gradient"], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(gradients.gain["kernel"], np.ravel(golden["gain_gradient"]), rtol=1e-9)


def test_weight_norm_starts_at_the_weights_it_was_given():
    transform = weight_norm()
    params = transform.prepare(tree())
    effective, state = transform.apply(params, transform.init(RNG, params))
    assert state == ()
    assert jax.tree.structure(effective) == jax.tree.structure(tree())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), effective, tree())
    # The gain is per output feature: doubling one scales that feature alone.
    doubled = params._replace(gain=params.gain | {"conv/kernel": params.gain["conv/kernel"].at[2].multiply(2.0)})
    kernel = transform.apply(doubled, ())[0]["conv"]["kernel"]
    np.testing.assert_allclose(kernel[..., 2], 2 * tree()["conv"]["kernel"][..., 2], rtol=1e-5)
    np.testing.assert_allclose(kernel[..., 3], tree()["conv"]["kernel"][..., 3], rtol=1e-5)


def test_weight_norm_of_zero_weights_has_finite_gradients():
    transform = weight_norm()
    params = transform.prepare({"kernel": jnp.zeros((3, 2))})
    gradients = jax.grad(lambda p: transform.apply(p, ())[0]["kernel"].sum())(params)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradients))


def test_weight_norm_wants_prepared_parameters():
    with pytest.raises(TypeError, match="as `prepare` returns them; got dict"):
        weight_norm().init(RNG, tree())
    with pytest.raises(ValueError, match="eps must not be negative"):
        weight_norm(eps=-1.0)
