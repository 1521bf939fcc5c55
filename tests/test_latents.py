"""Samplers, spherical interpolation and the diagrams made of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial
import scipy.stats

from gan_jax import latents

RNG = jax.random.key(0)


def test_normal_uniform_and_truncated_have_their_distributions():
    # Kolmogorov-Smirnov against SciPy's distributions.
    for sample, distribution in [
        (latents.normal(RNG, (200, 50)), scipy.stats.norm()),
        (latents.uniform(RNG, (200, 50)), scipy.stats.uniform(-1, 2)),
        (latents.truncated_normal(RNG, (200, 50), threshold=0.7), scipy.stats.truncnorm(-0.7, 0.7)),
    ]:
        assert scipy.stats.kstest(np.ravel(sample), distribution.cdf).pvalue > 0.01
    assert np.abs(latents.truncated_normal(RNG, (200, 50), threshold=0.7)).max() <= 0.7
    assert np.abs(latents.truncated_normal(RNG, (200, 50))).max() > 1.5


def test_spherical_lies_on_the_sphere_uniformly():
    sample = np.asarray(latents.spherical(RNG, (2000, 8)))
    np.testing.assert_allclose(np.linalg.norm(sample, axis=1), np.sqrt(8), rtol=1e-5)
    np.testing.assert_allclose(sample.mean(0), 0.0, atol=0.08)
    np.testing.assert_allclose(sample.T @ sample / 2000, np.eye(8), atol=0.08)
    # A coordinate of the unit sphere in 3 dimensions is uniform (Archimedes); a normalised cube's is not.
    height = np.asarray(latents.spherical(RNG, (5000, 3)))[:, 0] / np.sqrt(3)
    assert scipy.stats.kstest(height, scipy.stats.uniform(-1, 2).cdf).pvalue > 0.01


@pytest.mark.parametrize("name", sorted(latents.LATENTS))
def test_every_sampler_follows_its_key_shape_and_dtype(name):
    sampler = latents.LATENTS[name]
    sample = sampler(RNG, (3, 5))
    assert sample.shape == (3, 5)
    assert sample.dtype == jnp.float32
    assert sampler(RNG, (3, 5), jnp.bfloat16).dtype == jnp.bfloat16
    np.testing.assert_array_equal(sample, sampler(RNG, (3, 5)))
    assert not np.array_equal(sample, sampler(jax.random.key(1), (3, 5)))
    np.testing.assert_allclose(jax.jit(sampler, static_argnums=1)(RNG, (3, 5)), sample, rtol=1e-6)
    for shape in ((5,), (0, 5)):
        with pytest.raises(ValueError, match=r"\(count, dim\), all at least 1; got"):
            sampler(RNG, shape)


def test_slerp_equals_scipy_on_the_unit_sphere():
    a, b = (np.asarray(latents.normal(key, (1, 6)), np.float64)[0] for key in jax.random.split(RNG))
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    expected = scipy.spatial.geometric_slerp(a, b, np.linspace(0, 1, 7))
    np.testing.assert_allclose(latents.slerp(jnp.asarray(a)[None], jnp.asarray(b)[None], np.linspace(0, 1, 7)), expected, atol=1e-6)


def test_slerp_equals_the_formula_for_any_norms():
    a, b = jax.random.normal(RNG, (4, 9)), 3 * jax.random.normal(jax.random.key(1), (4, 9))
    t = np.asarray([0.0, 0.2, 0.7, 1.0])
    x, y = np.asarray(a, float), np.asarray(b, float)
    omega = np.arccos(np.sum(x * y, 1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1))
    expected = (np.sin((1 - t) * omega) / np.sin(omega))[:, None] * x + (np.sin(t * omega) / np.sin(omega))[:, None] * y
    np.testing.assert_allclose(latents.slerp(a, b, t), expected, rtol=1e-4, atol=1e-5)


def test_slerp_keeps_the_norm_ends_where_it_should_and_is_symmetric():
    a, b = (latents.spherical(key, (5, 12)) for key in jax.random.split(RNG))
    path = latents.slerp(a, b, jnp.linspace(0, 1, 9)[:, None])
    assert path.shape == (9, 5, 12)
    np.testing.assert_allclose(jnp.linalg.norm(path, axis=-1), np.sqrt(12), rtol=1e-5)
    np.testing.assert_allclose(path[0], a, atol=1e-5)
    np.testing.assert_allclose(path[-1], b, atol=1e-5)
    np.testing.assert_allclose(path, latents.slerp(b, a, 1 - jnp.linspace(0, 1, 9)[:, None]), atol=1e-5)
    # Equal steps of angle.
    cosines = jnp.sum(path[1:] * path[:-1], -1) / 12
    np.testing.assert_allclose(cosines, jnp.broadcast_to(cosines[0], cosines.shape), atol=1e-5)


def test_slerp_of_equal_and_zero_vectors_is_the_straight_line():
    a = jax.random.normal(RNG, (3, 6))
    np.testing.assert_allclose(latents.slerp(a, a, 0.3), a, rtol=1e-6)
    np.testing.assert_allclose(latents.slerp(a, 2 * a, 0.25), 1.25 * a, rtol=1e-5)
    np.testing.assert_allclose(latents.slerp(jnp.zeros_like(a), a, 0.25), 0.25 * a, rtol=1e-6)
    np.testing.assert_allclose(latents.slerp(a, jnp.zeros_like(a), 0.25), 0.75 * a, rtol=1e-6)
    np.testing.assert_array_equal(latents.slerp(jnp.zeros((2, 3)), jnp.zeros((2, 3)), 0.5), 0.0)


def test_slerp_of_opposite_vectors_goes_around_the_sphere():
    a = latents.spherical(RNG, (4, 6))
    path = latents.slerp(a, -a, jnp.linspace(0, 1, 5)[:, None])
    np.testing.assert_allclose(jnp.linalg.norm(path, axis=-1), np.sqrt(6), rtol=1e-5)
    np.testing.assert_allclose(path[0], a, atol=1e-5)
    np.testing.assert_allclose(path[-1], -a, atol=1e-5)
    np.testing.assert_allclose(jnp.sum(path[2] * a, -1), 0.0, atol=1e-4)
    # By hand: from (2, 0) the axis of least weight is the second, half way to (-4, 0) is (0, 3).
    np.testing.assert_allclose(latents.slerp(jnp.asarray([2.0, 0.0]), jnp.asarray([-4.0, 0.0]), 0.5), [0.0, 3.0], atol=1e-6)
    np.testing.assert_allclose(latents.slerp(jnp.asarray([2.0]), jnp.asarray([-2.0]), 0.25), [1.0])


@pytest.mark.parametrize("other", [lambda a: a, lambda a: -a, lambda a: 0 * a, lambda a: a[::-1]])
def test_slerp_has_finite_gradients_in_the_corners(other):
    a = jax.random.normal(RNG, (2, 4))
    gradients = jax.grad(lambda a, b, t: latents.slerp(a, b, t).sum(), argnums=(0, 1, 2))(a, other(a), 0.4)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


def test_slerp_is_accurate_for_nearly_equal_vectors_in_float32():
    a = np.asarray(latents.normal(RNG, (1, 100)), np.float64)
    b = a + 1e-3 * np.asarray(latents.normal(jax.random.key(1), (1, 100)), np.float64)
    with jax.enable_x64(True):
        exact = latents.slerp(jnp.asarray(a), jnp.asarray(b), 0.5)
    np.testing.assert_allclose(latents.slerp(jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32), 0.5), exact, atol=1e-6)


def test_slerp_refuses_what_does_not_fit():
    a = jnp.ones((3, 4))
    with pytest.raises(ValueError, match=r"a and b must have one shape; got \(3, 4\) and \(4,\)"):
        latents.slerp(a, a[0], 0.5)
    with pytest.raises(ValueError, match=r"t must broadcast with the batch shape \(3,\); got \(4,\)"):
        latents.slerp(a, a, jnp.ones(4))
    with pytest.raises(TypeError, match="a must be floating point; got int32"):
        latents.slerp(a.astype(int), a.astype(int), 0.5)


def test_strips():
    a, b = (latents.normal(key, (3, 7)) for key in jax.random.split(RNG))
    strip = latents.great_circle_strip(a, b, steps=5)
    assert strip.shape == (3, 5, 7)
    np.testing.assert_allclose(strip[1, 2], latents.slerp(a[1], b[1], 0.5), rtol=1e-5)
    np.testing.assert_allclose(strip[:, 0], a, atol=1e-6)
    with pytest.raises(ValueError, match="steps must be at least 2; got 1"):
        latents.great_circle_strip(a, b, steps=1)


def test_j_diagram_has_the_analogy_in_its_corner():
    source, right, down = latents.normal(RNG, (3, 7))
    grid = latents.j_diagram(source, right, down, rows=3, columns=4)
    assert grid.shape == (3, 4, 7)
    corners = np.asarray([grid[0, 0], grid[0, -1], grid[-1, 0], grid[-1, -1]])
    np.testing.assert_allclose(corners, [source, right, down, right + down - source], atol=1e-5)
    np.testing.assert_allclose(grid[1, 0], latents.slerp(source, down, 0.5), atol=1e-5)
    np.testing.assert_allclose(grid[0, 1], latents.slerp(source, right, 1 / 3), atol=1e-5)
    with pytest.raises(ValueError, match="at least 2; got 1 and 4"):
        latents.j_diagram(source, right, down, rows=1, columns=4)


def test_mine_grid_keeps_its_anchors_and_fills_between_them():
    anchors = jax.random.normal(RNG, (2, 3, 5))
    grid = latents.mine_grid(anchors, spacing=4)
    assert grid.shape == (5, 9, 5)
    np.testing.assert_allclose(grid[::4, ::4], anchors, atol=1e-5)
    np.testing.assert_allclose(grid[0, 1], latents.slerp(anchors[0, 0], anchors[0, 1], 0.25), atol=1e-5)
    np.testing.assert_allclose(grid[2, 8], latents.slerp(anchors[0, 2], anchors[1, 2], 0.5), atol=1e-5)
    np.testing.assert_allclose(grid[3, 5], latents.slerp(grid[0, 5], grid[4, 5], 0.75), atol=1e-5)
    np.testing.assert_allclose(latents.mine_grid(anchors, spacing=1), anchors, atol=1e-6)
    with pytest.raises(ValueError, match=r"2 x 2; got shape \(1, 3, 5\)"):
        latents.mine_grid(anchors[:1], spacing=2)
    with pytest.raises(ValueError, match="spacing must be at least 1"):
        latents.mine_grid(anchors, spacing=0)


def test_neighbor_layout_finds_a_hidden_grid_again():
    rows, columns = np.meshgrid(np.arange(3.0), 2.5 * np.arange(4.0), indexing="ij")
    plane = np.stack([rows.ravel(), columns.ravel()], 1) @ np.linalg.qr(np.random.default_rng(0).normal(size=(6, 2)))[0].T
    shuffled = np.random.default_rng(1).permutation(12)
    grid = np.asarray(latents.neighbor_layout(jnp.asarray(plane[shuffled]), rows=3, columns=4))
    assert {tuple(np.round(x, 4)) for x in grid.reshape(12, 6)} == {tuple(np.round(x, 4)) for x in plane.astype(np.float32)}
    np.testing.assert_allclose(np.linalg.norm(np.diff(grid, axis=1), axis=-1), 2.5, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(np.diff(grid, axis=0), axis=-1), 1.0, rtol=1e-4)
    with pytest.raises(ValueError, match=r"\[12, dim\].*got shape \(11, 6\)"):
        latents.neighbor_layout(jnp.asarray(plane[:11]), rows=3, columns=4)


def test_truncation_threshold_must_be_positive():
    with pytest.raises(ValueError, match="threshold must be positive; got 0"):
        latents.truncated_normal(RNG, (2, 2), threshold=0)


def test_a_walk_passes_its_points_at_a_constant_speed():
    points = latents.spherical(RNG, (4, 6))
    path = latents.great_circle_walk(points, steps=5)
    assert path.shape == (16, 6)
    np.testing.assert_allclose(path[::5], points, atol=1e-6)
    np.testing.assert_allclose(path[7], latents.slerp(points[1], points[2], 0.4), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), np.sqrt(6), rtol=1e-5)
    closed = latents.great_circle_walk(points, steps=5, closed=True)
    assert closed.shape == (20, 6)
    np.testing.assert_allclose(closed[:16], path, atol=1e-6)
    np.testing.assert_allclose(closed[18], latents.slerp(points[3], points[0], 0.6), atol=1e-6)


@pytest.mark.parametrize(("shape", "steps", "message"), [((1, 3), 2, "at least 2; got shape"), ((2, 3), 0, "steps must be at least 1")])
def test_a_walk_needs_two_points_and_a_step(shape, steps, message):
    with pytest.raises(ValueError, match=message):
        latents.great_circle_walk(jnp.ones(shape), steps=steps)
