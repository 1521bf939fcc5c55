"""One train step on many devices equals that on one device in every placement. Also what each device stores, computes and sends."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.benchmarks.communication.hlo import traffic
from gan_jax import nn
from gan_jax.augment import adaptive_augment, pseudo_augment
from gan_jax.conditioning import Condition
from gan_jax.distributed import PLACEMENTS, distribute, make_placement, state_shardings
from gan_jax.distributed.spmd import BatchShard
from gan_jax.gan.make import build_gan
from gan_jax.gan.types import GradientPenalty
from gan_jax.gan.update_rules import alternating, consensus, extragradient, loss_balanced, simultaneous, unrolled
from gan_jax.latents import normal
from gan_jax.losses import ADVERSARIAL, soft_targets
from gan_jax.models import MODELS
from gan_jax.optimizers import average_gradients
from gan_jax.penalties import PENALTIES, top_k_count, top_k_weights
from gan_jax.replay import replay_buffer
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import Config, ConfigError, ModelConfig, ParallelConfig, UpdateConfig, check
from gan_jax.trainer.setup import config_fingerprint, placement_of
from support.games import point_spec, points
from support.parallel_cases import (
    DRAWS_IN_NETWORKS,
    RNG,
    ROUNDING,
    difference,
    far,
    gradient_error,
    largest,
    of_loss,
    of_model,
    one_step,
    table,
)
from support.small_recipes import RECIPES, shrunk

# float64: the relative error is below 1e-13; the parameters of least squares, whose gradients are the largest, differ by 3e-10.
SAME_PROGRAM = 1e-9
UPDATE_RULES = {
    "alternating": (alternating(), 1),
    "several turns in micro batches": (alternating(discriminator_steps=2, generator_steps=2, micro_batches=2), 2),
    "shared fakes": (alternating(fakes="shared", order="generator_first"), 1),
    "simultaneous in micro batches": (simultaneous(micro_batches=4), 4),
    "unrolled": (unrolled(unroll_steps=2), 1),
    "extragradient": (extragradient(), 1),
    "consensus": (consensus(consensus_weight=0.1), 1),
    "loss balanced": (loss_balanced(loss_threshold=0.9), 1),
    "both players balanced": (loss_balanced(loss_threshold=0.9, generator_loss_threshold=0.6), 1),
}


def play_points(spec, rule, kind=None, devices=4, micro_batches=1, steps=2, **options):
    """State and metrics after some steps of a small GAN."""
    gan = build_gan(spec, rule)
    state = gan.init(jax.random.key(0))
    batch, places = points(32), {}
    if kind is not None:
        placement = make_placement(kind, devices=devices, **options)
        gan = build_gan(spec, distribute(rule, placement, micro_batches=micro_batches))
        state, batch = jax.device_put(state, placement.replicated), jax.device_put(batch, placement.batch)
        places["out_shardings"] = placement.replicated
    step = jax.jit(gan.train_step, **places)
    for _ in range(steps):
        *state, metrics = step(*state, batch, RNG)
    return jax.device_get(state), jax.device_get(metrics)


def assert_equal_runs(one, many):
    """Asserts equal parameters, state and metrics up to rounding."""
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


MICRO = "several turns in micro batches"
QUICK = [("shard_map", name) for name in UPDATE_RULES] + [("jit", MICRO), ("pmap", MICRO)]


@pytest.mark.parametrize(
    ("kind", "name"),
    [pytest.param(kind, name, marks=() if (kind, name) in QUICK else pytest.mark.long) for kind in PLACEMENTS for name in UPDATE_RULES],
)
def test_every_strategy_is_the_same_on_four_devices(kind, name):
    rule, micro_batches = UPDATE_RULES[name]
    spec = point_spec(loss="relativistic_average")
    one, many = (
        play_points(spec, rule, steps=1),
        play_points(spec, rule, kind, micro_batches=micro_batches, steps=1),
    )
    assert_equal_runs(one, many)


def everything_that_means_the_batch():
    """A GAN spec in which the examples of a batch are coupled in every way that needs no network."""

    def targets(rng, shape):
        real, fake = jax.random.split(rng)
        return soft_targets(real, shape, 0.7, 1.2), soft_targets(fake, shape, 0.0, 0.3)

    def top_k(logits, step):
        return top_k_weights(logits, top_k_count(step, batch_size=logits.shape[0], decay=0.5, every=1, minimum=0.25))

    def context(rng, real):
        return jax.random.normal(rng, real.shape)  # random, and different for each example

    watch = adaptive_augment(0.1, interval=1, images_to_full=64.0)
    return point_spec(
        targets=targets,
        top_k=top_k,
        context=Condition(context, draws=True),
        replay=replay_buffer(capacity=24, share=0.5),
        penalties=(GradientPenalty("r1", PENALTIES["r1"], 0.5, 2), GradientPenalty("r2", PENALTIES["r2"], 0.5)),
        pseudo_augmentation=pseudo_augment(0.1, interval=1, images_to_full=64.0, initial_probability=0.2)._replace(
            mix=lambda real, fake, rng, probability: real + probability * (fake - real)  # Without draws.
        ),
        # Only the controller: the augmentation itself is for images.
        augmentations=(watch._replace(apply=lambda images, state, rng, step: images * (1 + 0.1 * state.probability)),),
    )


@pytest.mark.parametrize("kind", ["jit", "shard_map"])
def test_draws_replay_top_k_and_controllers_are_those_of_the_whole_batch(kind):
    spec, rule = everything_that_means_the_batch(), alternating(micro_batches=2)
    one = play_points(spec, rule, steps=4)
    assert float(one[0][1].augmentations[0].probability) > 0  # the controller has changed it
    assert int(one[0][1].replay.count) == 4 * 32
    assert_equal_runs(one, play_points(spec, rule, kind, micro_batches=2, steps=4))


def test_feature_matching_and_lecam_mean_the_whole_batch():
    config = dataclasses.replace(
        Config(model=ModelConfig(name="points", latent_dim=2), batch_size=32),
        loss=dataclasses.replace(Config().loss, feature_matching=1.0),
        penalty=dataclasses.replace(Config().penalty, lecam=0.3),
        optimizer=dataclasses.replace(Config().optimizer, generator="sgd", discriminator="sgd", generator_lr=1e-3, discriminator_lr=1e-3),
    )
    built = build(config, (2,))
    assert {term.name for term in built.spec.terms} == {"feature_matching", "lecam"}
    one = play_points(built.spec, built.rule)
    assert_equal_runs(one, play_points(built.spec, built.rule, "shard_map"))


def check_case(case, devices, kinds=PLACEMENTS, draws=False):
    one, state, metrics = one_step(case)
    results = {}
    for kind in kinds:
        many, other_state, found = one_step(case, kind, devices)
        results[kind] = many, other_state
        if kind == "jit" or not draws:
            assert gradient_error(state, other_state) < ROUNDING, kind
            assert largest(one, many) < 1e-6, kind
            assert not far(metrics, found), kind
    if {"shard_map", "pmap"} <= set(kinds):
        (mapped, mapped_state), (other, other_state) = results["shard_map"], results["pmap"]
        assert gradient_error(mapped_state, other_state) < 1e-6
        assert largest(mapped, other) < 1e-6


def test_a_dcgan_with_every_layer_that_couples_examples_is_the_same_on_two_devices():
    check_case(of_loss("relativistic_average"), 2, kinds=("jit", "shard_map"))


@pytest.mark.long
@pytest.mark.parametrize("devices", [2, 4, 8])
@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_the_same_on_many_devices(name, devices):
    check_case(of_model(name), devices, draws=name in DRAWS_IN_NETWORKS)


@pytest.mark.long
@pytest.mark.parametrize("devices", [2, 4, 8])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_every_loss_is_the_same_on_many_devices(name, devices):
    check_case(of_loss(name), devices)


def check_in_float64(name, devices):
    """One step in a separate process, see `parallel_cases`. Draws of a device are compared only among placements that have them."""
    script = Path(__file__).parents[1] / "support" / "parallel_cases.py"
    command = [sys.executable, str(script), devices, name, "--float64"]
    rows = [json.loads(line) for line in subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()]
    assert len(rows) == 4 * len(devices.split(","))
    for row in rows:
        assert row["dtype"] == "float64"
        if name not in DRAWS_IN_NETWORKS or row["compared"] in ("jit", "shard_map, pmap"):
            assert row["gradient"] < SAME_PROGRAM, row
            assert row["parameter"] < SAME_PROGRAM, row
            assert not row["metrics"], row


@pytest.mark.slow
def test_a_small_game_is_the_same_on_two_devices_in_float64():
    check_in_float64("points", "2")


@pytest.mark.long
@pytest.mark.parametrize("name", [*MODELS, *ADVERSARIAL])
def test_every_model_and_loss_is_the_same_on_many_devices_in_float64(name):
    check_in_float64(name, "2,4,8")


def test_a_normalising_network_outside_flax_is_averaged_where_statistics_are_local():
    """Local statistics change the result, and the running mean that is kept is the same on all devices: their average."""
    spec = point_spec(batch_norm=True)
    one, _ = play_points(spec, alternating(), steps=1)
    local, _ = play_points(spec, alternating(), "shard_map", steps=1, statistics="local")
    # The mean of the devices' means is the mean of the batch, and so is what is kept of it.
    np.testing.assert_allclose(one[1].networks.discriminator["mean"], local[1].networks.discriminator["mean"], rtol=1e-4, atol=1e-5)
    assert difference(build_gan(spec, alternating()).init(jax.random.key(0))[0], one[0], local[0]) > 1e-3


@pytest.mark.slow
def test_local_statistics_are_those_of_each_device():
    """Relativistic averages: with local ones, the step of SGD is the mean of the steps that the devices would make by themselves.

    Both players move at once: of two turns, the second would meet the other player as the devices have moved it together.
    """
    spec, rule = point_spec(loss="relativistic_average"), simultaneous()
    whole, _ = play_points(spec, rule, "shard_map", steps=1)
    local, _ = play_points(spec, rule, "shard_map", steps=1, statistics="local")
    mapped, _ = play_points(spec, rule, "pmap", steps=1, statistics="local")
    start = build_gan(spec, rule).init(jax.random.key(0))

    def alone(device):
        def own_latents(rng, shape):
            return normal(rng, (4 * shape[0], *shape[1:]))[8 * device : 8 * (device + 1)]

        gan = build_gan(dataclasses.replace(spec, sample_latents=own_latents), rule)
        return gan.train_step(*start, {"image": points(32)["image"][8 * device : 8 * (device + 1)]}, RNG)[0]

    mean = jax.tree.map(lambda *leaves: sum(leaves) / 4, *(alone(device) for device in range(4)))
    assert difference(start[0], mean, local[0]) < 1e-5
    assert difference(start[0], mapped[0], local[0]) < 1e-6
    assert difference(start[0], whole[0], local[0]) > 1e-3


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.BatchNorm(False), (8, 3, 3, 4)),
        (nn.SwitchableNorm(), (8, 3, 3, 4)),
        (nn.MinibatchDiscrimination(3, 2), (8, 5)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers_without_an_axis_share_the_batch_while_it_is_open(module, shape):
    x = jax.random.normal(jax.random.key(0), shape) * 2 + 1
    variables = module.init(jax.random.key(1), x)

    def alone(x):
        return module.apply(variables, x, mutable=["batch_stats"])[0]

    def shared(x):
        with nn.sharing_batch("devices"):
            return alone(x)

    halves = x.reshape(2, 4, *shape[1:])
    np.testing.assert_allclose(jax.vmap(shared, axis_name="devices")(halves).reshape(alone(x).shape), alone(x), rtol=1e-5, atol=1e-5)
    assert not np.allclose(jax.vmap(alone, axis_name="devices")(halves).reshape(alone(x).shape), alone(x), atol=1e-2)


@pytest.mark.parametrize("group_size", [None, 2, 4])
def test_minibatch_stddev_over_devices_has_the_groups_of_one(group_size):
    x = jax.random.normal(jax.random.key(0), (8, 2, 2, 3)) * jnp.arange(1.0, 9.0)[:, None, None, None]
    whole = nn.minibatch_stddev(x, group_size)
    parts = jax.vmap(lambda part: nn.minibatch_stddev(part, group_size, axis_name="d"), axis_name="d")(x.reshape(4, 2, 2, 2, 3))
    np.testing.assert_allclose(parts.reshape(whole.shape), whole, rtol=1e-6)


def test_rows_are_cut_and_gathered_in_the_order_of_one_device():
    global_batch = jnp.arange(24)  # two blocks of four devices with three rows

    def device(_):
        shard = BatchShard("d", 3)
        rows = shard.local(global_batch)
        return rows, shard.gather(rows), shard.local(jnp.arange(8))

    rows, gathered, packed = jax.vmap(device, axis_name="d")(jnp.arange(4))
    np.testing.assert_array_equal(rows[1], [3, 4, 5, 15, 16, 17])
    np.testing.assert_array_equal(gathered, np.broadcast_to(global_batch, (4, 24)))
    np.testing.assert_array_equal(packed[1], [2, 3])  # logits of packed samples: fewer than a device's rows


def test_average_gradients_is_a_link():
    link = optax.chain(average_gradients("d"), optax.scale(-1.0))
    gradients = {"w": jnp.array([[1.0, 2.0], [5.0, 8.0]]), "count": jnp.array([3, 3])}

    def device(gradients):
        updates, _ = link.update(gradients | {"none": None}, link.init(gradients))
        return updates["w"]

    np.testing.assert_array_equal(jax.vmap(device, axis_name="d")(gradients), [[-3.0, -5.0], [-3.0, -5.0]])


def of_recipe(name, batch_size=16):
    config = dataclasses.replace(shrunk(RECIPES[name][1]), batch_size=batch_size)
    shape = (config.data.image_size, config.data.image_size, 1)
    return config, shape


def compiled(kind=None, devices=4, **options):
    """The compiled step of a small DCGAN, and its placement."""
    config, shape = of_recipe("dcgan_mnist")
    placement = None if kind is None else make_placement(kind, devices=devices, **options)
    built = build(config, shape, 0, placement)
    state = jax.eval_shape(built.gan.init, jax.random.key(0))
    batch = {"image": jax.ShapeDtypeStruct((16, *shape), jnp.uint8)}
    places = {}
    if placement is not None:
        shardings = state_shardings(placement, state, threshold=64)
        state = jax.tree.map(lambda leaf, at: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=at), state, shardings)
        batch = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=placement.batch), batch)
        places["out_shardings"] = (*shardings, placement.replicated)
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.jit(built.gan.train_step, **places).lower(*state, batch, key).compile(), state


def test_each_device_computes_its_share_and_sends_its_gradients():
    """Without a constraint the compiler lets every device generate all the fakes."""
    alone, state = compiled()
    assert traffic(alone.as_text()) == []
    size = sum(leaf.size * 4 for leaf in jax.tree.leaves(state[0]))
    spread, _ = compiled("jit")
    assert spread.cost_analysis()["flops"] < 0.4 * alone.cost_analysis()["flops"]
    found = traffic(spread.as_text())
    reduced = sum(operation.operand_bytes for operation in found if operation.operation == "all-reduce")
    assert size <= reduced < 2.5 * size  # the gradients, batch statistics and metrics
    assert {operation.devices for operation in found if operation.operation == "all-reduce"} == {4}


def test_sharded_parameters_are_smaller_and_equal():
    config, shape = of_recipe("dcgan_mnist")
    config = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, ema_decay=0.9))
    built = build(config, shape)
    state = jax.jit(built.gan.init)(jax.random.key(1))
    batch = {"image": (jax.random.uniform(jax.random.key(2), (16, *shape)) * 255).astype(jnp.uint8)}
    whole = {}
    for sharded in (False, True):
        placement = make_placement("jit", devices=4, shard_parameters=sharded)
        shardings = state_shardings(placement, state, threshold=64)
        gan = build_gan(built.spec, distribute(built.rule, placement))
        step = jax.jit(gan.train_step, out_shardings=(*shardings, placement.replicated))
        after = jax.device_put(state, shardings)
        for _ in range(2):
            *after, _ = step(*after, jax.device_put(batch, placement.batch), RNG)
        held = sum(shard.data.nbytes for leaf in jax.tree.leaves(after) for shard in leaf.addressable_shards[:1])
        whole[sharded] = (held, jax.device_get(after[0]))
    assert whole[True][0] < 0.4 * whole[False][0]
    # Adam divides by the size of the gradient: where that is all rounding, so is the direction of its step, of 2e-4.
    assert difference(state[0], whole[False][1], whole[True][1]) < 0.02


def test_where_leaves_lie():
    placement = make_placement("jit", devices=4, shard_parameters=True)
    tree = {"kernel": jnp.zeros((6, 8, 12)), "odd": jnp.zeros((7, 9)), "bias": jnp.zeros(4), "key": jax.random.key(0)}
    places = jax.tree.map(lambda sharding: sharding.spec, state_shardings(placement, tree, threshold=8))
    spec = jax.sharding.PartitionSpec
    assert places == {"kernel": spec(None, None, "data"), "odd": spec(), "bias": spec(), "key": spec()}
    alone = jax.tree.leaves(state_shardings(make_placement("jit", devices=4), tree, threshold=0))
    assert all(sharding.is_fully_replicated for sharding in alone)


@pytest.mark.parametrize(
    ("fields", "groups", "message"),
    [
        ({"statistics": "local"}, {}, "--parallel.statistics local: jit computes statistics over the whole batch"),
        ({"placement": "pmap", "shard_parameters": True}, {}, "--parallel.shard-parameters.*--parallel.placement jit"),
        (
            {"placement": "shard_map"},
            {"update": UpdateConfig(joint_batches=True)},
            "--update.joint-batches.*--parallel.placement jit",
        ),
        ({"devices": 0}, {}, "--parallel.devices 0: must be at least 1"),
    ],
)
def test_what_cannot_be_placed_is_refused(fields, groups, message):
    with pytest.raises(ConfigError, match=message):
        check(dataclasses.replace(Config(), parallel=ParallelConfig(**fields), **groups))


def test_devices_of_a_run():
    def of(**fields):
        return placement_of(dataclasses.replace(Config(), parallel=ParallelConfig(**fields)))

    assert of() is None  # one CPU device by default
    assert of(devices=4).devices == 4
    with pytest.raises(ConfigError, match=r"--parallel\.devices 9: there are 8 cpu devices"):
        of(devices=9)
    config, shape = of_recipe("dcgan_mnist", batch_size=6)
    with pytest.raises(ConfigError, match=r"--batch-size 6: must be a multiple of 4 \(4 devices"):
        build(config, shape, 0, of(devices=4))
    gan = build_gan(point_spec(), distribute(alternating(), make_placement("shard_map", devices=4)))
    with pytest.raises(ValueError, match=r"multiple of 4 examples \(4 devices, 1 parts\); got 6"):
        jax.eval_shape(gan.train_step, *gan.init(RNG), points(6), RNG)


def test_devices_are_not_part_of_a_runs_fingerprint_but_local_statistics_are():
    def of(**fields):
        return config_fingerprint(dataclasses.replace(Config(), parallel=ParallelConfig(**fields)))

    assert of() == of(placement="shard_map", devices=8) == of(shard_parameters=True)
    assert not [name for name in of() if name.startswith(("parallel", "distributed"))]
    assert of(placement="pmap", statistics="local")["parallel.statistics"] == "local"


def test_no_placement_name_is_unknown_to_the_configuration():
    kinds = re.findall(r"\w+", str(ParallelConfig.__annotations__["placement"]))
    assert set(PLACEMENTS) <= set(kinds)
    with pytest.raises(ValueError, match=r'^placement="xmap": must be one of jit, shard_map, pmap$'):
        make_placement("xmap")


def test_several_cpu_devices_have_one_thread_each():
    assert make_placement("shard_map", devices=1).compiler_options is None
    assert make_placement("shard_map", devices=4).compiler_options == {"xla_cpu_multi_thread_eigen": False}


def test_the_page_has_the_table_of_the_committed_rows():
    docs = Path(__file__).parents[2] / "docs"
    rows = [json.loads(line) for line in (docs / "data" / "parallel.jsonl").read_text().splitlines()]
    assert table(rows) in (docs / "distributed.md").read_text()
