"""Schedules: their ends, their middles, and R3GAN's values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.optimizers import SCHEDULES, cosine_between, half_life_decay, track_ema


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_schedules_start_end_and_stay(name):
    schedule = SCHEDULES[name](0.2, steps=100, end_fraction=0.1, warmup_steps=10)
    start, half, end, later = (float(schedule(step)) for step in (0, 50, 100, 1000))
    peak = float(schedule(10)) if name == "warmup_cosine" else start
    np.testing.assert_allclose(peak, 0.2, rtol=1e-6)
    # Half way: the mean; the mean; the geometric mean; 1/2 (1 + cos(pi 40 / 90)) between the ends.
    middles = {
        "constant": 0.2,
        "linear": 0.11,
        "constant_linear": 0.2 * (1 - 0.9 / 51),  # the first of 51 steps down
        "cosine": 0.11,
        "exponential": 0.2 * np.sqrt(0.1),
        "warmup_cosine": 0.02 + 0.18 * (1 + np.cos(np.pi * 4 / 9)) / 2,
    }
    np.testing.assert_allclose([half, end, later], [middles[name], *[0.2 if name == "constant" else 0.02] * 2], rtol=1e-5)


# R3GAN's training_loop.py, commit 19a7ddf: cosine_decay_with_warmup(images, base_value, total_nimg, final_value), which is
# base + (1 - d) (final - base) with d = (1 + cos(pi images / total)) / 2. The values are those of its preset CIFAR10 at 2e7 images.
@pytest.mark.parametrize(
    ("initial", "final", "expected"),
    [
        (0.05, 0.005, [0.05, 0.0434099026, 0.0275, 0.005, 0.005]),  # gamma
        (0.9, 0.99, [0.9, 0.9131801948, 0.945, 0.99, 0.99]),  # the decay of the second moment
        (0.0, 0.55, [0.0, 0.0805456347, 0.275, 0.55, 0.55]),  # the augmentation probability
        (0.0, 5e6, [0.0, 732233.0470, 2.5e6, 5e6, 5e6]),  # the half-life of the moving average in images
    ],
)
def test_values_move_over_the_burn_in_as_r3gans(initial, final, expected):
    schedule = cosine_between(initial, final, 400)
    np.testing.assert_allclose([float(schedule(step)) for step in (0, 100, 200, 400, 1000)], expected, rtol=1e-5, atol=1e-6 * final)
    assert float(jax.jit(schedule)(jnp.int32(100))) == pytest.approx(expected[1], rel=1e-5)


def test_a_burn_in_has_a_length():
    with pytest.raises(ValueError, match="steps must be at least 1; got 0"):
        cosine_between(0.0, 1.0, 0)


def test_a_half_life_may_follow_a_schedule():
    decay = half_life_decay(cosine_between(0.0, 1000.0, 10), 64)
    # R3GAN: 0.5 ** (batch / max(half-life, 1e-8)).
    decays = [float(decay(jnp.int32(step))) for step in (0, 5, 10, 99)]
    np.testing.assert_allclose(decays, [0.0, *(0.5 ** (64 / np.array([500, 1000, 1000])))])


# -- the half-life of the moving average -------------------------------------------------------------------------------


# StyleGAN2-ADA's training loop: ema_nimg = min(ema_kimg * 1000, cur_nimg * ema_rampup); ema_beta = 0.5 ** (batch_size / ema_nimg).
@pytest.mark.parametrize(
    ("step", "rampup", "expected"), [(10, 0.05, 0.5**2), (1000, 0.05, 0.5 ** (64 / 1000)), (0, None, 0.5 ** (64 / 1000))]
)
def test_a_half_life_in_images_gives_the_decay_of_stylegan2(step, rampup, expected):
    decay = half_life_decay(1000.0, 64, rampup=rampup)
    np.testing.assert_allclose(decay(jnp.int32(step)), expected, rtol=1e-6)


def test_a_half_life_does_not_change_with_the_batch_size():
    """After as many images, from 0 to constant parameters of 1, both averages are the same."""
    averages = []
    for batch, steps in ((10, 64), (40, 16)):
        link = track_ema(half_life_decay(320.0, batch))
        state = link.init(jnp.float32(0.0))
        for _ in range(steps):
            _, state = link.update(jnp.float32(0.0), state, jnp.float32(1.0))
        averages.append(float(state.params))
    np.testing.assert_allclose(averages, 1 - 0.5 ** (640 / 320), rtol=1e-5)


@pytest.mark.parametrize("arguments", [(0.0, 64, None), (10.0, 0, None), (10.0, 64, 0.0)])
def test_half_lives_are_positive(arguments):
    with pytest.raises(ValueError, match="must be positive"):
        half_life_decay(*arguments[:2], rampup=arguments[2])
