"""The buffer of past fakes and the pool of past players: what they keep, what they give, what they leave alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import replay
from gan_jax.typing import Players

RNG = jax.random.key(0)


def numbered(first: int, count: int):
    """Images [count, 1] that hold their own number."""
    return jnp.arange(first, first + count, dtype=jnp.float32)[:, None]


def filled(mode: str, pushes: int, batch: int = 3, capacity: int = 5, rng=RNG):
    state = replay.init(capacity, (1,))
    for number in range(pushes):
        state = replay.push(state, numbered(number * batch, batch), jax.random.fold_in(rng, number), mode=mode)
    return state


@pytest.mark.parametrize("batch", [1, 3, 5, 12])  # 12 is above the capacity
def test_fifo_keeps_the_newest(batch):
    state = filled("fifo", 4, batch)
    kept = sorted(state.images[:, 0].tolist())
    expected = list(range(4 * batch))[-5:]
    assert kept == (expected if len(expected) == 5 else [0.0] * (5 - len(expected)) + expected)
    assert int(state.count) == 4 * batch


def test_fifo_agrees_with_a_deque_one_by_one():
    state, many = replay.init(5, (1,)), replay.init(5, (1,))
    for number in range(13):
        state = replay.push(state, numbered(number, 1), RNG, mode="fifo")
    many = replay.push(replay.push(many, numbered(0, 6), RNG, mode="fifo"), numbered(6, 7), RNG, mode="fifo")
    np.testing.assert_array_equal(state.images, many.images)
    np.testing.assert_array_equal(np.roll(state.images[:, 0], -3), [8, 9, 10, 11, 12])


def test_reservoir_is_a_uniform_sample_of_all_images():
    """Each of 24 images is kept with probability 5 / 24; a chi-squared test over 4000 runs, all in one vmap."""
    runs = 4000
    pushes = jax.jit(jax.vmap(lambda rng: filled("reservoir", 6, batch=4, rng=rng).images[:, 0]))
    kept = np.asarray(pushes(jax.random.split(RNG, runs))).astype(int)
    assert all(len(set(row)) == 5 for row in kept[:100])  # no image twice
    counts = np.bincount(kept.ravel(), minlength=24)
    expected = runs * 5 / 24
    # The counts are dependent (their sum is fixed, no image twice), which shrinks the statistic by (1 - 5/24) 24/23.
    statistic = ((counts - expected) ** 2 / expected).sum() / ((1 - 5 / 24) * 24 / 23)
    assert 8 < statistic < 49.7  # the middle 99.8% of chi-squared with 23 degrees of freedom


def test_reservoir_fills_in_order():
    state = filled("reservoir", 1)
    assert state.images[:, 0].tolist() == [0, 1, 2, 0, 0]
    assert int(state.count) == 3


def test_counters_do_not_overflow():
    for mode in ("fifo", "reservoir"):
        state = replay.ReplayState(jnp.zeros((5, 1)), jnp.int32(2**30 - 2))
        for number in range(4):
            state = replay.push(state, numbered(1 + number, 3), jax.random.fold_in(RNG, number), mode=mode)
            assert 0 < int(state.count) <= 2**30
    fifo = replay.ReplayState(jnp.zeros((5, 1)), jnp.int32(2**30 - 1))
    after = replay.push(replay.push(fifo, numbered(1, 2), RNG, mode="fifo"), numbered(3, 3), RNG, mode="fifo")
    assert sorted(after.images[:, 0].tolist()) == [1, 2, 3, 4, 5]  # the ring goes on at its place


def test_mix_replaces_exactly_a_share_by_stored_images():
    state, fakes = filled("fifo", 4), -numbered(1, 8)
    for share, count in [(0.25, 2), (0.5, 4), (1.0, 8)]:
        mixed = np.asarray(replay.mix(state, fakes, RNG, share=share))
        past = mixed >= 0
        assert past.sum() == count
        assert set(mixed[past]) <= {7.0, 8.0, 9.0, 10.0, 11.0}
        np.testing.assert_array_equal(mixed[~past], np.asarray(fakes)[~past])


def test_mix_draws_places_and_images_uniformly():
    state, fakes = filled("fifo", 4), -numbered(1, 4)
    mixed = np.asarray(jax.jit(jax.vmap(lambda rng: replay.mix(state, fakes, rng, share=0.5)))(jax.random.split(RNG, 2000)))[..., 0]
    np.testing.assert_allclose((mixed >= 0).mean(axis=0), np.full(4, 0.5), atol=5 * 0.5 / np.sqrt(2000))
    counts = np.bincount(mixed[mixed >= 0].astype(int), minlength=12)[7:]
    np.testing.assert_allclose(counts / counts.sum(), np.full(5, 0.2), atol=5 * 0.4 / np.sqrt(4000))


def test_share_of_0_changes_no_byte():
    fakes = jax.random.normal(RNG, (6, 4, 4, 3), jnp.bfloat16).at[0, 0, 0].set(jnp.array([jnp.nan, -0.0, jnp.inf], jnp.bfloat16))
    buffer = replay.replay_buffer(capacity=5, share=0.0)
    state = buffer.init((4, 4, 3))
    for number in range(3):
        seen, state = jax.jit(buffer.apply)(state, fakes, jax.random.fold_in(RNG, number))
        assert np.asarray(seen).tobytes() == np.asarray(fakes).tobytes()


def test_an_empty_buffer_gives_nothing():
    fakes = -numbered(1, 4)
    np.testing.assert_array_equal(replay.mix(replay.init(5, (1,)), fakes, RNG, share=1.0), fakes)
    half = replay.push(replay.init(5, (1,)), numbered(7, 1), RNG)  # one of five places is filled
    np.testing.assert_array_equal(replay.mix(half, fakes, RNG, share=1.0), np.full((4, 1), 7.0))


def test_buffer_mixes_the_past_before_it_remembers_the_present():
    buffer = replay.replay_buffer(capacity=4, share=1.0, mode="fifo")
    first, state = buffer.apply(buffer.init((1,)), numbered(1, 4), RNG)
    np.testing.assert_array_equal(first, numbered(1, 4))
    second, state = buffer.apply(state, numbered(5, 4), RNG)
    assert set(second[:, 0].tolist()) <= {1.0, 2.0, 3.0, 4.0}
    assert sorted(state.images[:, 0].tolist()) == [5, 6, 7, 8]


def test_past_fakes_carry_no_gradient():
    state = filled("fifo", 4)

    def total(fakes):
        mixed = replay.mix(state, fakes, RNG, share=0.5)
        return mixed.sum() + replay.mix(replay.push(state, fakes, RNG), fakes, RNG, share=1.0).sum()

    gradient = jax.grad(total)(-numbered(1, 4))
    assert sorted(gradient[:, 0].tolist()) == [0, 0, 1, 1]


def test_seeds_under_vmap_are_what_they_are_alone():
    def play(rng):
        state = filled("reservoir", 4, rng=rng)
        return state, replay.mix(state, -numbered(1, 4), rng, share=0.5)

    keys = jax.random.split(RNG, 3)
    together, alone = jax.jit(jax.vmap(play))(keys), jax.jit(play)
    for index, key in enumerate(keys):
        jax.tree.map(lambda a, b, i=index: np.testing.assert_array_equal(a[i], b), together, alone(key))


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "capacity must be at least 1; got 0", lambda: replay.init(0, (1,))),
        (ValueError, r"share must be in \[0, 1\]; got 1.5", lambda: replay.replay_buffer(share=1.5)),
        (ValueError, "mode must be 'reservoir' or 'fifo'; got 'lifo'", lambda: replay.replay_buffer(mode="lifo")),
        (ValueError, r"fakes must have the shape \[batch, 1\]; got \(3, 2\)", lambda: _mix(jnp.zeros((3, 2)))),
        (TypeError, "fakes must be floating point; got uint8", lambda: _mix(jnp.zeros((3, 1), jnp.uint8))),
        (ValueError, "fakes must not be empty", lambda: _mix(jnp.zeros((0, 1)))),
        (ValueError, "duration must be at least 1 and below interval, 5; got 5", lambda: _pool(interval=5, duration=5)),
        (ValueError, "capacity must be at least 1; got 0", lambda: replay.player_pool(capacity=0)),
    ],
)
def test_errors_say_what_came(error, message, call):
    with pytest.raises(error, match=message):
        call()


def _mix(fakes):
    return replay.mix(replay.init(5, (1,)), fakes, RNG, share=0.5)


def _pool(**settings):
    return replay.player_pool(**({"capacity": 3, "interval": 4, "duration": 2} | settings))


def players_at(step):
    return Players({"w": jnp.full((2,), step, jnp.float32)}, {"w": jnp.full((3,), -step, jnp.float32)})


def opponents_over(pool, steps: int, rng=RNG):
    """Which step's players were met at each step; players carry the step as their parameters."""

    def step(state, number):
        params = players_at(number)
        state = pool.push(state, params, number, jax.random.fold_in(rng, number))
        met = pool.opponents(state, params, number)
        return state, (met.generator["w"][0], met.discriminator["w"][0])

    state, met = jax.lax.scan(step, pool.init(players_at(0)), jnp.arange(steps))
    return state, np.asarray(met)


def test_pool_plays_past_players_for_a_while_and_then_stops():
    state, (generators, discriminators) = opponents_over(_pool(), 40)
    np.testing.assert_array_equal(generators, -discriminators)  # both from the same time
    steps = np.arange(40)
    window = (steps % 4 < 2) & (steps >= 8)  # the first copy is stored at step 6
    np.testing.assert_array_equal(generators[~window], steps[~window])
    assert (generators[window] < steps[window]).all()
    assert set(generators[window]) <= set(range(6, 40, 4))
    np.testing.assert_array_equal(generators[8::4], generators[9::4])  # one opponent for the whole window
    assert sorted(state.players.generator["w"][:, 0].tolist()) == [30, 34, 38]


def test_pool_of_one_meets_the_last_window():
    _, (generators, _) = opponents_over(_pool(capacity=1), 20)
    np.testing.assert_array_equal(generators[8:], [6, 6, 10, 11, 10, 10, 14, 15, 14, 14, 18, 19])


def test_pool_chooses_uniformly():
    met = jax.jit(jax.vmap(opponents_over_last))(jax.random.split(RNG, 1500))
    values, counts = np.unique(np.asarray(met), return_counts=True)
    assert values.tolist() == [10, 14, 18]
    np.testing.assert_allclose(counts / 1500, np.full(3, 1 / 3), atol=5 * np.sqrt(2 / 9 / 1500))


def opponents_over_last(rng):
    pool = _pool()
    state = pool.init(players_at(0))
    for number in (10, 14, 18, 20):  # three times to store, one to choose
        state = pool.push(state, players_at(number), jnp.int32(number), jax.random.fold_in(rng, number))
    return pool.opponents(state, players_at(20), jnp.int32(20)).generator["w"][0]


def test_reservoir_pool_keeps_old_players_as_well():
    final = jax.jit(jax.vmap(partial(_final_players, _pool(mode="reservoir"))))(jax.random.split(RNG, 400))
    counts = np.bincount(((np.asarray(final).astype(int) - 6) // 4).ravel(), minlength=9)
    np.testing.assert_allclose(counts / 400, np.full(9, 3 / 9), atol=5 * np.sqrt(2 / 9 / 400))


def _final_players(pool, rng):
    def step(state, number):
        return pool.push(state, players_at(number), number, jax.random.fold_in(rng, number)), None

    return jax.lax.scan(step, pool.init(players_at(0)), jnp.arange(40))[0].players.generator["w"][:, 0]
