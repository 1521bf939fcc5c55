"""Consistency penalties, LeCam and top-k training: hand-worked values, invariances, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import penalties

RNG = jax.random.key(0)


def critic(x):
    return x.sum((1, 2, 3))


def test_consistency_by_hand():
    images, augmented = jnp.ones((2, 2, 2, 1)), jnp.stack([jnp.ones((2, 2, 1)), jnp.full((2, 2, 1), 0.5)])
    # Sums 4 and 4 against 4 and 2.
    np.testing.assert_allclose(penalties.consistency_penalty(critic, images, augmented), [0.0, 4.0])
    # A patch map adds the squares of its four logits, each (1 - 0.5)^2; a tuple adds its members.
    np.testing.assert_allclose(penalties.consistency_penalty(lambda x: x[..., 0], images, augmented), [0.0, 1.0])
    np.testing.assert_allclose(penalties.consistency_penalty(lambda x: (x[..., 0], critic(x)), images, augmented), [0.0, 5.0])
    balanced = penalties.balanced_consistency_penalty(critic, images, 2 * images, augmented, 2 * augmented, fake_weight=0.5)
    np.testing.assert_allclose(balanced, [0.0, 4.0 + 0.5 * 16.0])
    np.testing.assert_allclose(penalties.latent_consistency_penalty(critic, images, augmented), [0.0, 4.0])
    np.testing.assert_allclose(penalties.latent_diversity_loss(images, augmented), [0.0, -0.25])


def test_both_branches_of_consistency_carry_gradient():
    def loss(scale):
        return penalties.consistency_penalty(lambda x: scale * critic(x), jnp.ones((1, 1, 1, 1)), jnp.full((1, 1, 1, 1), 3.0))[0]

    # (s - 3 s)^2 = 4 s^2: slope 8 at 1; with the augmented branch detached it would be -4.
    assert jax.grad(loss)(1.0) == 8.0


def test_perturbed_latents_have_the_noise_asked_for():
    noise = np.asarray(penalties.perturb_latents(RNG, jnp.full((4000, 8), 2.0), std=0.1)) - 2.0
    np.testing.assert_allclose([noise.mean(), noise.std()], [0.0, 0.1], atol=2e-3)
    assert len(np.unique(noise)) > 30000


def test_lecam_by_hand():
    state = penalties.init_lecam()
    state = penalties.update_lecam(state, jnp.asarray([2.0, 4.0]), jnp.asarray([-1.0, -3.0]), decay=0.9)
    # Debiased, the first anchors are the first means: a_R = 3, a_F = -2.
    real, fake = jnp.asarray([1.0, -4.0]), jnp.asarray([0.0, 5.0])
    np.testing.assert_allclose(penalties.lecam_penalty(real, fake, state, one_sided=False), [9.0 + 9.0, 4.0 + 4.0], rtol=1e-5)
    np.testing.assert_allclose(penalties.lecam_penalty(real, fake, state), [9.0 + 9.0, 0.0 + 0.0], rtol=1e-5, atol=1e-6)
    state = penalties.update_lecam(state, jnp.asarray([1.0]), jnp.asarray([0.0]), decay=0.9)
    # (0.9 * 0.1 * 3 + 0.1 * 1) / 0.19 and (0.9 * 0.1 * -2) / 0.19.
    np.testing.assert_allclose(state.real / state.weight, 0.37 / 0.19, rtol=1e-5)
    np.testing.assert_allclose(state.fake / state.weight, -0.18 / 0.19, rtol=1e-5)


def test_drift_is_the_square_of_each_logit():
    logits = jnp.asarray([[2.0, -3.0], [0.0, 0.5]])
    np.testing.assert_allclose(penalties.drift_penalty(logits), [[4.0, 9.0], [0.0, 0.25]])
    assert penalties.drift_penalty(logits.astype(jnp.bfloat16)).dtype == jnp.float32
    with pytest.raises(TypeError, match="real_logits"):
        penalties.drift_penalty(jnp.arange(3))


def test_lecam_anchors_are_constants():
    def value(real):
        state = penalties.update_lecam(penalties.init_lecam(), real, jnp.zeros(1))
        return penalties.lecam_penalty(real, jnp.zeros(1), state)[0]

    # (r - 0)^2 + (a_R - 0)^2 with a_R = r constant: slope 2 r.
    np.testing.assert_allclose(jax.grad(lambda r: value(r))(jnp.asarray([3.0])), [6.0])


def test_flip_shift_moves_pixels_and_invents_none():
    images = jnp.arange(16 * 16.0).reshape(1, 16, 16, 1).repeat(64, axis=0)
    out = np.asarray(penalties.random_flip_shift(RNG, images))
    assert out.shape == images.shape
    centre = out[:, 8, 8, 0].astype(int)
    rows, columns = centre // 16, centre % 16
    assert set(rows) == set(range(6, 11))  # 8 +- 2
    assert set(columns) == set(range(5, 11))  # 8 +- 2, or 7 -+ 2 when mirrored
    # Far from the border neighbours stay neighbours, forwards or mirrored.
    steps = out[:, 8, 9, 0] - out[:, 8, 8, 0]
    assert set(steps) == {1.0, -1.0}
    still = penalties.random_flip_shift(RNG, images, max_shift=0, flip=False)
    np.testing.assert_array_equal(still, images)
    assert set(
        np.asarray(penalties.random_flip_shift(RNG, images, flip=False))[:, 8, 9, 0]
        - np.asarray(penalties.random_flip_shift(RNG, images, flip=False))[:, 8, 8, 0]
    ) == {1.0}


def test_top_k_mean_is_the_mean_of_the_best():
    logits = jnp.asarray([0.3, -1.0, 2.0, 0.5])
    loss = jnp.asarray([1.0, 10.0, 100.0, 1000.0])
    assert (loss * penalties.top_k_weights(logits, 2)).mean() == (100 + 1000) / 2
    np.testing.assert_array_equal(penalties.top_k_weights(logits, 4), 1.0)
    np.testing.assert_array_equal(jax.jit(penalties.top_k_weights)(logits, jnp.asarray(1)), [0, 0, 4, 0])
    np.testing.assert_array_equal(penalties.top_k_weights(jnp.zeros(4), 3), jnp.asarray([1, 1, 1, 0]) * 4 / 3)


def test_top_k_ranks_maps_by_their_sum_and_broadcasts():
    maps = jnp.stack([jnp.full((2, 2), 1.0), jnp.asarray([[9.0, -9.0], [-9.0, 9.0]])])
    weights = penalties.top_k_weights(maps, 1)
    assert weights.shape == (2, 1, 1)
    np.testing.assert_array_equal(weights.ravel(), [2.0, 0.0])


def test_top_k_lets_no_gradient_through():
    gradient = jax.grad(lambda x: (x * penalties.top_k_weights(x, 1)).mean())(jnp.asarray([1.0, 3.0]))
    np.testing.assert_array_equal(gradient, [0.0, 1.0])


def test_top_k_count_decays_per_epoch_to_its_floor():
    counts = [int(penalties.top_k_count(step, batch_size=64, every=10)) for step in (0, 9, 10, 20, 300, 10_000)]
    # floor(64 * 0.99^n): 64, 64, 63.36, 62.73, 64 * 0.99^30 = 47.3; the floor is 32.
    assert counts == [64, 64, 63, 62, 47, 32]
    assert int(jax.jit(lambda s: penalties.top_k_count(s, batch_size=1, decay=0.5))(50)) == 1


def test_errors():
    x = jnp.ones((2, 4, 4, 1))
    with pytest.raises(ValueError, match=r"images and augmented must have one shape; got"):
        penalties.consistency_penalty(critic, x, x[:1])
    with pytest.raises(ValueError, match="fake and perturbed_fake must have one shape"):
        penalties.latent_diversity_loss(x, x[:1])
    with pytest.raises(ValueError, match="decay must be in"):
        penalties.update_lecam(penalties.init_lecam(), jnp.ones(1), jnp.ones(1), decay=1.0)
    with pytest.raises(ValueError, match="std must not be negative"):
        penalties.perturb_latents(RNG, jnp.ones((2, 2)), std=-1.0)
    with pytest.raises(ValueError, match="max_shift must not be negative"):
        penalties.random_flip_shift(RNG, x, max_shift=-1)
    with pytest.raises(ValueError, match="4 dimensions"):
        penalties.random_flip_shift(RNG, x[0])
    with pytest.raises(ValueError, match=r"k must be in \[1, 2\]; got 3"):
        penalties.top_k_weights(jnp.ones(2), 3)
    with pytest.raises(TypeError, match="floating point"):
        penalties.top_k_weights(jnp.ones(2, jnp.int32), 1)
    with pytest.raises(TypeError, match="floating point"):
        penalties.lecam_penalty(jnp.ones(2, jnp.int32), jnp.ones(2), penalties.init_lecam())
    with pytest.raises(ValueError, match=r"decay must be in \(0, 1\]; got 1.5"):
        penalties.top_k_count(0, batch_size=4, decay=1.5)
