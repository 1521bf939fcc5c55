"""Many runs at once equal single runs: under vmap, one after the other, and distributed over devices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax.distributed.sweep import init_many, sample_many, split_runs, train_many
from gan_jax.gan.make import build_gan
from gan_jax.gan.types import GradientPenalty
from gan_jax.gan.update_rules import alternating, consensus, extragradient, loss_balanced, simultaneous, unrolled
from gan_jax.optimizers import per_player, ttur
from gan_jax.penalties import PENALTIES
from gan_jax.replay import player_pool, replay_buffer
from support.games import point_spec

RUNS, STEPS, BATCH = 4, 3, 8
KEYS = np.arange(RUNS)


def keys():
    return jax.vmap(jax.random.key)(jnp.asarray(KEYS))


def data():
    return {"image": jax.random.normal(jax.random.key(9), (50, 2)) + jnp.array([1.0, -1.0])}


def indices(rounds=1):
    return np.random.default_rng(0).integers(0, 50, (RUNS, STEPS, BATCH * rounds)).astype(np.int32)


def alone(gan, number, rounds=1, start=None):
    """Run `number` by itself, step by step."""
    key = jax.random.key(int(KEYS[number]))
    params, state = start or jax.jit(gan.init)(key)
    step, history = jax.jit(gan.train_step), []
    for chosen in indices(rounds)[number]:
        params, state, metrics = step(params, state, {"image": data()["image"][chosen]}, key)
        history.append(metrics)
    return params, state, jax.tree.map(lambda *values: jnp.stack(values), *history)


def begun(gan, settings=None):
    return jax.jit(partial(init_many, gan))(keys(), settings)


def together(gan, rounds=1, settings=None, start=None, **how):
    return jax.jit(partial(train_many, gan, **how))(*(start or begun(gan, settings)), data(), indices(rounds), keys(), settings)


def plain(leaf):
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def assert_close(first, second, tolerance=2e-5):
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_allclose(plain(a), plain(b), rtol=tolerance, atol=tolerance)


def run_of(tree, number):
    return jax.tree.map(lambda leaf: leaf[number], tree)


UPDATE_RULES = {
    "alternating": (
        alternating(discriminator_steps=2, micro_batches=2, pool=player_pool(capacity=2, interval=2, duration=1)),
        {"replay": replay_buffer(capacity=6)},
    ),
    "shared_fakes": (alternating(fakes="shared"), {}),
    "simultaneous": (simultaneous(), {"batch_norm": True, "penalties": (GradientPenalty("r1", PENALTIES["r1"], 1.0, 2),)}),
    "unrolled": (unrolled(unroll_steps=2), {}),
    "extragradient": (extragradient(), {}),
    "consensus": (consensus(consensus_weight=0.1), {}),
    "loss_balanced": (loss_balanced(loss_threshold=1.3), {}),
}


@pytest.mark.parametrize("name", UPDATE_RULES)
def test_each_run_is_what_it_is_alone(name):
    rule, options = UPDATE_RULES[name]
    gan = build_gan(point_spec(**options), rule)
    start = begun(gan)
    many = together(gan, rule.batches_per_step, start=start)
    assert_close(run_of(many, 2), alone(gan, 2, rule.batches_per_step, start=run_of(start, 2)))
    # Not one run repeated: other keys and other batches give other weights.
    assert not np.allclose(*(run_of(many[0].generator, n)["dense_0"]["kernel"] for n in (1, 2)))


def test_each_run_begins_as_it_does_alone():
    gan = build_gan(point_spec(), alternating())
    assert_close(run_of(begun(gan), 2), gan.init(jax.random.key(2)))


def test_one_after_the_other_is_the_same():
    gan = build_gan(point_spec(), alternating())
    start = begun(gan)
    assert_close(together(gan, start=start, form="map"), together(gan, start=start))
    assert_close(init_many(gan, keys(), form="map"), start)


def test_spread_over_devices_is_the_same():
    gan, devices = build_gan(point_spec(), alternating()), 2
    chosen = jax.devices()[:devices]
    params, state = split_runs(partial(init_many, gan), devices=chosen)(keys())
    train = split_runs(partial(train_many, gan), devices=chosen, shared=(2,), donate=(0, 1))
    params, state, metrics = train(params, state, data(), indices(), keys())
    assert len(metrics["discriminator_loss"].sharding.device_set) == devices
    assert_close((params, state, metrics), together(gan))


def test_runs_that_devices_cannot_share_are_refused():
    gan = build_gan(point_spec(), alternating())
    with pytest.raises(ValueError, match="3 devices cannot share 4 runs evenly"):
        split_runs(partial(init_many, gan), devices=jax.devices()[:3])(keys())


def test_stretches_join():
    gan = build_gan(point_spec(), alternating())
    params, state = begun(gan)
    train = jax.jit(partial(train_many, gan))
    for part in (indices()[:, :1], indices()[:, 1:]):
        params, state, _ = train(params, state, data(), part, keys())
    assert_close((params, state), together(gan)[:2])


def swept(settings):
    """A GAN whose learning rates and penalty weight are settings of the run."""
    optimizer = ttur(settings["rate"], 4 * settings["rate"], b1=settings["b1"])
    spec = point_spec(optimizer=optimizer, penalties=(GradientPenalty("r1", PENALTIES["r1"], settings["r1"]),))
    return build_gan(spec, alternating())


def test_hyperparameters_are_swept():
    settings = {"rate": jnp.array([1e-3, 1e-2, 3e-2, 0.1]), "b1": jnp.array([0.0, 0.5, 0.9, 0.5]), "r1": jnp.array([0.0, 0.1, 1.0, 10.0])}
    many = together(swept, settings=settings)
    for number in (1, 3):
        assert_close(run_of(many, number), alone(swept(jax.tree.map(lambda row, n=number: float(row[n]), settings)), number))


def test_samples_of_many_runs():
    gan = build_gan(point_spec(), alternating())
    params, state, _ = together(gan)
    samples = sample_many(gan, params, state, keys(), count=5)
    assert samples.shape == (RUNS, 5, 2)
    assert_close(samples[3], gan.sample(run_of(params, 3), run_of(state, 3), jax.random.key(3), 5))


def test_metrics_are_of_every_step():
    gan = build_gan(point_spec(optimizer=per_player(optax.sgd(0.1), optax.sgd(0.1))), alternating())
    metrics = together(gan)[2]
    assert {value.shape for value in metrics.values()} == {(RUNS, STEPS)}


def test_wrong_shapes_are_refused():
    gan = build_gan(point_spec(), alternating())
    params, state = begun(gan)
    with pytest.raises(ValueError, match=r"indices must be \[runs, steps, batch\]; got shape \(4, 3\)"):
        train_many(gan, params, state, data(), indices()[..., 0], keys())
    with pytest.raises(ValueError, match=r"every leaf of params must be \[3, \.\.\.\]"):
        train_many(gan, params, state, data(), indices()[:3], keys()[:3])
    with pytest.raises(ValueError, match="keys must be typed keys"):
        init_many(gan, jax.random.key(0))
    with pytest.raises(ValueError, match="form must be vmap or map; got 'pmap'"):
        init_many(gan, keys(), form="pmap")
