"""Links and chains of two players' optimisers: closed forms, untouched players, bounds, errors."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax.optimizers import (
    OPTIMIZERS,
    EmaState,
    apply_updates,
    clip_weights,
    ema_params,
    historical_averaging,
    per_player,
    schedule_b2,
    track_ema,
    ttur,
)
from gan_jax.typing import Players

PARAMS = Players({"w": jnp.asarray([1.0, -2.0])}, {"w": jnp.asarray([0.5, 0.25, 4.0]), "b": jnp.asarray(1.0)})
GRADIENTS = jax.tree.map(jnp.cos, PARAMS)


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
        np.testing.assert_array_equal(x, y)


def run(optimizer, params, gradients):
    state = optimizer.init(params)
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def test_each_player_follows_its_own_rule():
    optimizer = per_player(optax.sgd(0.1), optax.adam(0.3))
    updates, _ = optimizer.update(GRADIENTS, optimizer.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates.generator["w"], -0.1 * GRADIENTS.generator["w"], rtol=1e-6)
    # Adam's first step is the learning rate times the sign.
    np.testing.assert_allclose(updates.discriminator["w"], -0.3 * jnp.sign(GRADIENTS.discriminator["w"]), rtol=1e-4)


@pytest.mark.parametrize("player", Players._fields)
def test_a_player_without_gradients_is_bit_identical(player):
    optimizer = ttur(1e-2, 1e-2, ema_decay=0.9, discriminator_bound=0.3, clip_norm=1.0, historical_weight=0.1)
    state = optimizer.init(PARAMS)
    updates, state = optimizer.update(GRADIENTS, state, PARAMS)
    params = apply_updates(PARAMS, updates)

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(GRADIENTS._replace(**{player: None}), state, params)
        assert getattr(updates, player) is None
        return apply_updates(params, updates), state

    new_params, new_state = step(params, state)
    other = next(name for name in Players._fields if name != player)
    same(getattr(new_params, player), getattr(params, player))
    same(getattr(new_state, player), getattr(state, player))
    assert not np.array_equal(getattr(new_params, other)["w"], getattr(params, other)["w"])
    assert any(not np.array_equal(x, y) for x, y in zip(jax.tree.leaves(getattr(new_state, other)), jax.tree.leaves(getattr(state, other))))


def test_ttur_is_two_adams_of_the_given_rates_and_moments():
    optimizer = ttur(1e-3, 4e-3, b1=0.3, b2=0.8)
    params, _ = _play(optimizer, 3)
    for half, start, gradient, rate in zip(params, PARAMS, GRADIENTS, (1e-3, 4e-3)):
        expected, _ = run(optax.adam(rate, b1=0.3, b2=0.8), start, [gradient] * 3)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), half, expected)


def _play(optimizer, steps):
    params, state = PARAMS, optimizer.init(PARAMS)
    for _ in range(steps):
        updates, state = optimizer.update(GRADIENTS, state, params)
        params = apply_updates(params, updates)
    return params, state


@pytest.mark.parametrize("name", ["adam", "amsgrad", "rmsprop"])
def test_a_scheduled_second_moment_is_that_of_each_step(name):
    """Each step equals one of the plain rule with the decay of this step, from the same state."""
    decays = [0.5, 0.9, 0.99]
    scheduled = schedule_b2(OPTIMIZERS[name], lambda step: jnp.asarray(decays)[step])(0.1, b1=0.5, b2=0.0)
    value, state = jnp.float32(1.0), None
    state = scheduled.init(value)
    for decay, gradient in zip(decays, (1.0, -3.0, 0.5)):
        plain = OPTIMIZERS[name](0.1, b1=0.5, b2=decay)
        expected, inner = plain.update(jnp.float32(gradient), state.inner_state, value)
        update, state = jax.jit(scheduled.update)(jnp.float32(gradient), state, value)
        np.testing.assert_allclose(update, expected, rtol=1e-5)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), state.inner_state, inner)
        value = optax.apply_updates(value, update)


def test_schedules_count_each_players_own_steps():
    optimizer = ttur(lambda count: 1.0 / (1 + count), 1.0, generator="sgd", discriminator="sgd")
    state = optimizer.init(PARAMS)
    for _ in range(3):  # D moves, G does not
        _, state = optimizer.update(GRADIENTS._replace(generator=None), state, PARAMS)
    updates, state = optimizer.update(GRADIENTS, state, PARAMS)
    np.testing.assert_allclose(updates.generator["w"], -GRADIENTS.generator["w"], rtol=1e-6)
    updates, _ = optimizer.update(GRADIENTS, state, PARAMS)
    np.testing.assert_allclose(updates.generator["w"], -GRADIENTS.generator["w"] / 2, rtol=1e-6)


def test_ema_closed_form():
    # Parameters 1, then 1 - n after n steps of SGD at rate 1 and gradient 1.
    optimizer = optax.chain(optax.sgd(1.0), track_ema(0.75))
    params, state = run(optimizer, jnp.asarray(1.0), [jnp.asarray(1.0)] * 4)
    assert params == -3.0
    # 0.75^4 * 1 + 0.25 * (0.75^3 * 0 + 0.75^2 * -1 + 0.75 * -2 + -3)
    np.testing.assert_allclose(ema_params(state), 0.31640625 + 0.25 * (-0.5625 - 1.5 - 3), rtol=1e-6)


def test_ema_start_step_and_warmup():
    optimizer = optax.chain(optax.sgd(1.0), track_ema(0.5, start_step=2))
    _, state = run(optimizer, jnp.asarray(0.0), [jnp.asarray(-1.0)] * 2)
    assert ema_params(state) == 2.0
    _, state = run(optimizer, jnp.asarray(0.0), [jnp.asarray(-1.0)] * 3)
    assert ema_params(state) == 2.5
    optimizer = optax.chain(optax.sgd(1.0), track_ema(0.999, warmup=True))
    _, state = run(optimizer, jnp.asarray(0.0), [jnp.asarray(-1.0)] * 2)
    # Rates 1/10 and 2/11: 0.9 * 1 = 0.9, then 2/11 * 0.9 + 9/11 * 2.
    np.testing.assert_allclose(ema_params(state), 0.9 * 2 / 11 + 2 * 9 / 11, rtol=1e-6)


def test_ema_survives_donation_jitted_or_not():
    optimizer = optax.chain(optax.sgd(1.0), track_ema(0.9))

    def step(params, state):
        updates, state = optimizer.update(params, state, params)
        return optax.apply_updates(params, updates), state

    for init in (optimizer.init, jax.jit(optimizer.init)):
        params = {"w": jnp.arange(4.0)}
        params, state = jax.jit(step, donate_argnums=(0, 1))(params, init(params))
        np.testing.assert_allclose(ema_params(state)["w"], 0.9 * np.arange(4.0), rtol=1e-6)


def test_ema_keeps_dtypes_and_takes_integers_as_they_are():
    params = {"w": jnp.ones(2, jnp.bfloat16), "n": jnp.asarray(3)}
    link = track_ema(0.5)
    _, state = link.update({"w": jnp.ones(2, jnp.bfloat16), "n": jnp.asarray(1)}, link.init(params), params)
    assert (state.params["w"].dtype, state.params["n"].dtype) == (jnp.bfloat16, jnp.int32)
    np.testing.assert_array_equal(state.params["w"].astype(float), 1.5)
    assert state.params["n"] == 4


def test_ema_params_finds_the_right_one_or_says_why_not():
    generator, discriminator = (EmaState(value, jnp.zeros((), int)) for value in ("g", "d"))
    nested = {"optimizer": (Players((optax.EmptyState(), generator), {"x": [discriminator]}),), "step": 3}
    assert ema_params(nested) == "g"
    assert ema_params(nested, player="discriminator") == "d"
    assert ema_params((1, [discriminator])) == "d"
    with pytest.raises(ValueError, match=r"of the generator.*found none"):
        ema_params(optax.adam(1e-3).init(PARAMS))
    with pytest.raises(ValueError, match=r"of the generator.*found \.discriminator"):
        ema_params(Players(optax.EmptyState(), discriminator))
    with pytest.raises(ValueError, match=r"found \[0\], \[1\]"):
        ema_params((generator, discriminator))
    with pytest.raises(ValueError, match="player must be one of generator, discriminator; got 'critic'"):
        ema_params(nested, player="critic")


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_clipped_weights_never_leave_the_bound(dtype):
    keys = jax.random.split(jax.random.key(0))
    params = {"w": (0.05 * jax.random.normal(keys[0], (20000,))).astype(dtype)}
    updates = {"w": (0.1 * jax.random.normal(keys[1], (20000,))).astype(dtype)}
    link = clip_weights(0.01)
    clipped, _ = link.update(updates, link.init(params), params)
    bound = jnp.asarray(0.01, dtype)
    new = optax.apply_updates(params, clipped)["w"]
    assert jnp.abs(new).max() <= bound
    wanted = jnp.clip(params["w"] + updates["w"], -bound, bound)
    np.testing.assert_allclose(new.astype(float), wanted.astype(float), atol=float(jnp.finfo(dtype).eps) * 0.5)


def test_clipping_leaves_small_weights_alone():
    link = clip_weights(1.0)
    updates, _ = link.update(jnp.asarray([0.25, -0.5]), link.init(None), jnp.asarray([0.5, -0.25]))
    np.testing.assert_array_equal(updates, [0.25, -0.5])


def test_historical_averaging_link_by_hand():
    link = historical_averaging(0.5)
    state = link.init(jnp.asarray(0.0))
    pulls = []
    for value in (1.0, 3.0, 8.0):
        pull, state = link.update(jnp.asarray(10.0), state, jnp.asarray(value))
        pulls.append(float(pull))
    # Averages 1, 2, 4; 10 + 2 * 0.5 * (value - average).
    np.testing.assert_allclose(pulls, [10.0, 11.0, 14.0], rtol=1e-6)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_rule_goes_down_a_bowl(name):
    optimizer = ttur(0.03, 0.03, generator=name, discriminator=name)

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(params, state, params)
        return (apply_updates(params, updates), state), None

    (params, _), _ = jax.jit(lambda: jax.lax.scan(step, (PARAMS, optimizer.init(PARAMS)), length=400))()
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(params)) < 0.3  # from 4


# A parameter that starts at 1, with lr 0.1 and moments 0.5 and 0.9. PyTorch 2.13: torch.optim.Adam, AdamW (weight_decay 1e-4 and 0.01),
# RMSprop (alpha 0.9) and SGD (momentum 0.5), computed in float64.
GRADIENT_SEQUENCE = (1.0, -3.0, 0.5, 0.0, 0.25)
TORCH = {
    "adam": (OPTIMIZERS["adam"], [0.9, 0.97301431, 0.99632526, 1.00924272, 1.00685624]),
    "adamw": (OPTIMIZERS["adamw"], [0.89999, 0.97299531, 0.99629653, 1.00920403, 1.00680745]),
    "adamw with PyTorch's decay": (partial(optax.adamw, weight_decay=0.01), [0.899, 0.97111531, 0.99345515, 1.00537915, 1.00198729]),
    "rmsprop": (OPTIMIZERS["rmsprop"], [0.68377224, 0.98528359, 0.93304129, 0.93304129, 0.90413927]),
    "momentum": (OPTIMIZERS["momentum"], [0.9, 1.15, 1.225, 1.2625, 1.25625]),
}


def path_of(rule):
    optimizer, value = rule(0.1, b1=0.5, b2=0.9), jnp.float32(1.0)
    state, values = optimizer.init(value), []
    for gradient in GRADIENT_SEQUENCE:
        update, state = optimizer.update(jnp.float32(gradient), state, value)
        value = optax.apply_updates(value, update)
        values.append(float(value))
    return values


@pytest.mark.parametrize("name", TORCH)
def test_rules_follow_pytorch(name):
    rule, expected = TORCH[name]
    np.testing.assert_allclose(path_of(rule), expected, rtol=1e-5)


def test_amsgrad_takes_the_maximum_of_bias_corrected_moments():
    first, second, most, value, expected = 0.0, 0.0, 0.0, 1.0, []
    for step, gradient in enumerate(GRADIENT_SEQUENCE, 1):
        first, second = 0.5 * first + 0.5 * gradient, 0.9 * second + 0.1 * gradient**2
        most = max(most, second / (1 - 0.9**step))
        value -= 0.1 * first / (1 - 0.5**step) / (np.sqrt(most) + 1e-8)
        expected.append(value)
    np.testing.assert_allclose(path_of(OPTIMIZERS["amsgrad"]), expected, rtol=1e-5)
    # torch.optim.Adam(amsgrad=True) corrects the maximum of the raw moments. It agrees up to the largest gradient.
    torch = [0.9, 0.97301431, 0.99543713, 1.00722481, 1.00515012]
    np.testing.assert_allclose(expected[:2], torch[:2], rtol=1e-6)
    assert torch[2] - torch[1] > 1.1 * (expected[2] - expected[1])


def test_optimistic_adam_is_daskalakis_rule():
    # theta <- theta - 2 lr r_t + lr r_(t-1), r Adam's direction; the first step has no past and is lr r.
    gradients = [jnp.asarray(value) for value in (1.0, 3.0, -2.0)]
    adam = optax.scale_by_adam(b1=0.5, b2=0.9)
    state, directions = adam.init(jnp.asarray(0.0)), []
    for gradient in gradients:
        direction, state = adam.update(gradient, state)
        directions.append(float(direction))
    expected = -0.1 * (directions[0] + (2 * directions[1] - directions[0]) + (2 * directions[2] - directions[1]))
    params, _ = run(OPTIMIZERS["optimistic_adam"](0.1, b1=0.5, b2=0.9), jnp.asarray(0.0), gradients)
    np.testing.assert_allclose(params, expected, rtol=1e-5)


def test_errors():
    for decay in (1.0, -0.1):
        with pytest.raises(ValueError, match=rf"decay must be in \[0, 1\); got {decay}"):
            track_ema(decay)
    with pytest.raises(ValueError, match=r"start_step must not be negative; got -1"):
        track_ema(start_step=-1)
    with pytest.raises(ValueError, match=r"generator_lr must not be negative; got -0\.1"):
        ttur(-0.1, 0.1)
    with pytest.raises(ValueError, match=r"discriminator_lr must not be negative; got -0\.1"):
        ttur(0.1, -0.1)
    with pytest.raises(ValueError, match=r"generator must be one of adam, .*; got 'adma'"):
        ttur(0.1, 0.1, generator="adma")
    with pytest.raises(ValueError, match=r"b1 must be in \[0, 1\); got 1.0"):
        ttur(0.1, 0.1, b1=1.0)
    with pytest.raises(ValueError, match="clip_norm must be positive; got 0"):
        ttur(0.1, 0.1, clip_norm=0)
    with pytest.raises(ValueError, match="bound must be positive; got -1"):
        clip_weights(-1)
    with pytest.raises(ValueError, match="weight must not be negative"):
        historical_averaging(-1.0)
    for link in (track_ema(), clip_weights(1.0), historical_averaging(1.0)):
        with pytest.raises(ValueError, match=r"needs the parameters: call update\(updates, state, params\)"):
            link.update(PARAMS, link.init(PARAMS))
