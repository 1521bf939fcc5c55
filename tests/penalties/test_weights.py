"""Penalties of weights against PyTorch, hand-worked values and their definitions."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import penalties

# PyTorch 2.13.0, see the script of the same name.
GOLDEN = json.loads((pathlib.Path(__file__).parent.parent / "golden" / "penalties_torch.json").read_text())["orthogonal"]
RNG = jax.random.key(0)


def test_orthogonal_and_spectral_values_equal_pytorch():
    params = {"kernel": jnp.asarray(np.transpose(np.asarray(GOLDEN["kernel"]), (2, 3, 1, 0)), jnp.float32)}
    np.testing.assert_allclose(penalties.orthogonal_penalty(params), GOLDEN["off_diagonal"], rtol=1e-5)
    np.testing.assert_allclose(penalties.orthogonal_penalty(params, off_diagonal=False), GOLDEN["full"], rtol=1e-5)
    np.testing.assert_allclose(penalties.spectral_norm_penalty(params)[0], GOLDEN["sigma_squared"], rtol=1e-5)
    torch_layout = {"kernel": jnp.asarray(GOLDEN["kernel"], jnp.float32)}
    np.testing.assert_allclose(penalties.orthogonal_penalty(torch_layout, output_axis=0), GOLDEN["off_diagonal"], rtol=1e-5)


def test_orthogonal_penalty_by_hand():
    # Columns (1, 0) and (1, 2): Gram [[1, 1], [1, 5]]; off-diagonal 1 + 1; minus identity 0 + 1 + 1 + 16.
    params = {"a": {"kernel": jnp.asarray([[1.0, 1.0], [0.0, 2.0]])}, "b": {"bias": jnp.ones(9)}}
    assert penalties.orthogonal_penalty(params) == 2.0
    assert penalties.orthogonal_penalty(params, off_diagonal=False) == 18.0
    # BigGAN's closed-form gradient: 4 W (gram * (1 - I)).
    gradient = jax.grad(penalties.orthogonal_penalty)(params)["a"]["kernel"]
    np.testing.assert_allclose(gradient, 4 * params["a"]["kernel"] @ jnp.asarray([[0.0, 1.0], [1.0, 0.0]]))
    assert penalties.orthogonal_penalty({"kernel": jnp.eye(3) * 7}) == 0.0


def test_spectral_penalty_by_power_iteration_reaches_the_exact_one_with_its_gradient():
    params = {"a": {"kernel": jax.random.normal(RNG, (3, 3, 2, 5))}, "b": {"kernel": jax.random.normal(RNG, (7, 4))}}
    state = penalties.init_spectral_norm_penalty(RNG, params)
    for _ in range(100):
        value, state = penalties.spectral_norm_penalty(params, state)
    exact, none = penalties.spectral_norm_penalty(params)
    assert none is None
    sigmas = [np.linalg.svd(np.asarray(p["kernel"]).reshape(-1, p["kernel"].shape[-1]))[1][0] for p in params.values()]
    np.testing.assert_allclose(exact, np.sum(np.square(sigmas)), rtol=1e-5)
    np.testing.assert_allclose(value, exact, rtol=1e-4)
    gradient = jax.grad(lambda p: penalties.spectral_norm_penalty(p, state)[0])(params)["b"]["kernel"]
    u, s, vt = np.linalg.svd(np.asarray(params["b"]["kernel"]))
    np.testing.assert_allclose(gradient, 2 * s[0] * np.outer(u[:, 0], vt[0]), atol=1e-3)


def test_nothing_to_penalise_is_an_error():
    for penalty in (penalties.orthogonal_penalty, penalties.spectral_norm_penalty):
        with pytest.raises(ValueError, match="at least one leaf"):
            penalty({"bias": jnp.ones((2, 2))})
