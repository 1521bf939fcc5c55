"""Frozen layers: which parameters a pattern selects, and that nothing changes them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax.optimizers import ema_params, freeze_layers, frozen_paths, ttur, with_ema_params
from gan_jax.transforms import weight_norm
from gan_jax.typing import Players

PARAMS = {"block_1": {"conv": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}, "block_10": {"kernel": jnp.ones(3)}, "gain": jnp.ones(1)}


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("block_1", ["block_1/conv/bias", "block_1/conv/kernel"]),  # The whole name: not block_10.
        ("block_1/conv/bias", ["block_1/conv/bias"]),
        ("block_.*", ["block_1/conv/bias", "block_1/conv/kernel", "block_10/kernel"]),
        (".*/kernel", ["block_1/conv/kernel", "block_10/kernel"]),
        ("gain|block_10", ["block_10/kernel", "gain"]),
    ],
)
def test_a_pattern_selects_whole_layers(pattern, paths):
    assert frozen_paths(PARAMS, pattern) == paths


def test_patterns_that_select_nothing_list_the_layers():
    with pytest.raises(ValueError, match=r"pattern 'block' must match a layer; the layers are block_1/conv, block_10, gain$"):
        freeze_layers("block").init(PARAMS)
    with pytest.raises(ValueError, match="is no regular expression"):
        freeze_layers("block_(")


def test_layers_of_weight_norm_have_their_own_names():
    assert frozen_paths(weight_norm().prepare(PARAMS), "block_1") == [
        "direction/block_1/conv/bias",
        "direction/block_1/conv/kernel",
        "gain/block_1/conv/kernel",
    ]


# adamw decays its weights, and historical averaging pulls them, even if the gradient is zero.
@pytest.mark.parametrize("rule", ["adamw", "lion", "momentum"])
def test_nothing_moves_a_frozen_layer(rule):
    optimizer = ttur(
        0.1,
        0.1,
        generator=rule,
        discriminator=rule,
        historical_weight=0.5,
        discriminator_bound=0.5,
        ema_decay=0.9,
        freeze=Players("block_10", "block_1"),
    )
    params = Players(PARAMS, PARAMS)
    state = optimizer.init(params)
    for _ in range(3):
        updates, state = optimizer.update(jax.tree.map(jnp.ones_like, params), state, params)
        params = optax.apply_updates(params, updates)
    for player, layer, moved in (("generator", "block_10", "block_1"), ("discriminator", "block_1", "block_10")):
        for old, new in zip(jax.tree.leaves(PARAMS[layer]), jax.tree.leaves(getattr(params, player)[layer]), strict=True):
            np.testing.assert_array_equal(old, new)
        assert not np.array_equal(jax.tree.leaves(PARAMS[moved])[0], jax.tree.leaves(getattr(params, player)[moved])[0])
    np.testing.assert_array_equal(ema_params(state)["block_10"]["kernel"], PARAMS["block_10"]["kernel"])
    assert not np.array_equal(ema_params(state)["gain"], PARAMS["gain"])


def test_frozen_gradients_do_not_count_for_clipping():
    # |g| = 1 over the one trained parameter, so a bound of 1 clips nothing. With the frozen gradients the norm were 2.83.
    optimizer = ttur(1.0, 1.0, generator="sgd", discriminator="sgd", clip_norm=1.0, freeze=Players("block_.*", None))
    params = Players(PARAMS, PARAMS)
    updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params), params)
    np.testing.assert_allclose(updates.generator["gain"], [-1.0], rtol=1e-6)
    assert float(updates.discriminator["gain"][0]) > -0.5


def test_an_average_is_replaced():
    optimizer = ttur(0.1, 0.1, ema_decay=0.9, discriminator_ema_decay=0.9)
    state = optimizer.init(Players(PARAMS, PARAMS))
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    changed = with_ema_params(state, zeros)
    assert float(ema_params(changed)["gain"][0]) == 0
    assert float(ema_params(changed, player="discriminator")["gain"][0]) == 1
    assert jax.tree.structure(changed) == jax.tree.structure(state)
    with pytest.raises(ValueError, match="expected one moving average of the generator"):
        with_ema_params(ttur(0.1, 0.1).init(Players(PARAMS, PARAMS)), zeros)
