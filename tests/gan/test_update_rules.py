"""Exact equalities between update rules, and what each leaves alone."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax.gan.make import build_gan
from gan_jax.gan.player_losses import discriminator_loss, generator_loss
from gan_jax.gan.spec import GANSpec
from gan_jax.gan.state import named_key
from gan_jax.gan.update_rules import UPDATE_RULES, alternating, consensus, extragradient, loss_balanced, simultaneous, single_loss, unrolled
from gan_jax.gan.updates import both_gradients, forward_generator, generator_gradients, update_discriminator, update_generator
from gan_jax.latents import normal
from gan_jax.losses import ADVERSARIAL
from gan_jax.optimizers import EmaState, ema_params, per_player, track_ema
from gan_jax.replay import player_pool, replay_buffer
from gan_jax.typing import ParamTransform, Players
from support.games import assert_close, assert_same_bytes, perceptron, point_spec, points, started

RNG = jax.random.key(3)


def run(spec, rule, steps=3, batch=None):
    gan, params, state = started(spec, rule)
    step = jax.jit(gan.train_step)
    for _ in range(steps):
        params, state, metrics = step(params, state, batch or points(), RNG)
    return params, state, metrics


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("loss", ["non_saturating", "wasserstein", "relativistic"])
def test_one_pass_gradients_equal_those_of_the_players_taken_apart(loss, batch_norm):
    spec = point_spec(loss=loss, batch_norm=batch_norm)
    _, params, state = started(spec)
    minibatch = spec.prepare_minibatch(points(), RNG)
    both, _, _ = both_gradients(spec, params, state, minibatch)

    def loss_of_d(d):
        fake, _ = spec.generate(params.generator, state, minibatch)
        return discriminator_loss(spec, d, state, fake, minibatch, None)[0]

    def loss_of_g(g):
        fake, _ = spec.generate(g, state, minibatch)
        return generator_loss(spec, fake, params.discriminator, state, minibatch, g, None)[0]

    assert_close(both.discriminator, jax.grad(loss_of_d)(params.discriminator))
    assert_close(both.generator, jax.grad(loss_of_g)(params.generator))
    assert_close(both, jax.grad(lambda p: single_loss(spec, p, state, minibatch))(params))


def test_single_loss_needs_the_stop_gradient():
    spec = point_spec()
    _, params, state = started(spec)
    minibatch = spec.prepare_minibatch(points(), RNG)

    def naive(p):
        fake, _ = spec.generate(p.generator, state, minibatch)
        of_d = discriminator_loss(spec, p.discriminator, state, fake, minibatch, None, stop_gradient=False)[0]
        return of_d + generator_loss(spec, fake, p.discriminator, state, minibatch, p.generator, None)[0]

    both, _, _ = both_gradients(spec, params, state, minibatch)
    gap = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), both, jax.grad(naive)(params))
    assert max(map(float, jax.tree.leaves(gap))) > 1e-2


def test_adversarial_weight_scales_the_generator_only():
    plain, heavy = (point_spec(adversarial_weight=weight) for weight in (1.0, 3.0))
    _, params, state = started(plain)
    minibatch = plain.prepare_minibatch(points(), RNG)
    of_plain, of_heavy = (both_gradients(spec, params, state, minibatch)[0] for spec in (plain, heavy))
    assert_close(of_plain.discriminator, of_heavy.discriminator)
    assert_close(jax.tree.map(lambda leaf: 3 * leaf, of_plain.generator), of_heavy.generator)


def test_a_move_leaves_the_other_player_bit_identical():
    spec = point_spec(optimizer=per_player(optax.adam(0.1), optax.adam(0.1)))
    _, params, state = started(spec)
    minibatch = spec.prepare_minibatch(points(), RNG)
    after, new, _ = update_discriminator(spec, params, state, minibatch)
    assert_same_bytes(params.generator, after.generator)
    assert_same_bytes(state.optimizer.generator, new.optimizer.generator)
    assert not np.array_equal(params.discriminator["dense_0"]["kernel"], after.discriminator["dense_0"]["kernel"])
    after, new, _ = update_generator(spec, params, state, minibatch)
    assert_same_bytes(params.discriminator, after.discriminator)
    assert_same_bytes(state.optimizer.discriminator, new.optimizer.discriminator)
    assert not np.array_equal(params.generator["dense_0"]["kernel"], after.generator["dense_0"]["kernel"])


def test_an_opponent_of_the_past_leaves_what_the_generator_carries():
    counted = ParamTransform(lambda rng, params: jnp.int32(0), lambda params, calls: (params, calls + 1))
    spec = point_spec(transforms=Players((counted,), (counted,)))
    spec = dataclasses.replace(spec, generator=perceptron((8, 2), batch_norm=True))
    _, params, state = started(spec)
    minibatch = spec.prepare_minibatch(points(), RNG)
    past = jax.tree.map(lambda leaf: leaf + 1, params.generator)
    for parts in (1, 2):
        _, own, _ = update_discriminator(spec, params, state, minibatch, micro_batches=parts)
        assert float(jnp.abs(own.networks.generator["mean"]).max()) > 0
        assert own.transforms.generator == (parts,)
        _, other, _ = update_discriminator(spec, params, state, minibatch, generator=past, micro_batches=parts)
        assert_same_bytes(other.networks.generator, state.networks.generator)
        assert other.transforms == Players((0,), (parts,))


def test_unrolled_by_no_steps_is_alternating():
    spec = point_spec()
    assert_close(run(spec, unrolled(unroll_steps=0))[0], run(spec, alternating())[0])


def test_unrolled_gradient_equals_finite_differences():
    with jax.enable_x64(True):
        normal64 = functools.partial(normal, dtype=jnp.float64)
        spec = GANSpec(
            perceptron((3, 2)),
            perceptron((3, 1), discriminator=True),
            ADVERSARIAL["non_saturating"],
            per_player(optax.sgd(1.0), optax.sgd(0.7)),
            image_shape=(2,),
            latent_dim=2,
            sample_latents=normal64,
        )
        gan = build_gan(spec, unrolled(unroll_steps=3))
        params, state = jax.jit(gan.init)(jax.random.key(1))
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
        batch = {"image": jax.random.normal(jax.random.key(2), (4, 2), jnp.float64)}
        # D's own step first, as the strategy does, then the loss of G against the answer, as a plain function.
        step_key = jax.random.fold_in(RNG, 0)
        minibatch = spec.prepare_minibatch(batch, named_key(step_key, "round/0"))
        moved, state_after, _ = update_discriminator(spec, params, state, minibatch)
        rng = named_key(minibatch.rng, "generator/0")
        turn = minibatch._replace(rng=rng, latents=normal64(named_key(rng, "latents"), (4, 2)))

        @jax.jit
        def loss(generator):
            fake, _ = spec.generate(generator, state_after, turn)
            d = moved.discriminator
            for _ in range(3):
                gradient = jax.grad(lambda d: discriminator_loss(spec, d, state_after, fake, turn, None)[0])(d)
                d = jax.tree.map(lambda p, g: p - 0.7 * g, d, gradient)
            return generator_loss(spec, fake, d, state_after, turn, generator, None)[0]

        after, _, _ = jax.jit(gan.train_step)(params, state, batch, RNG)
        gradient = jax.tree.map(lambda old, new: old - new, params.generator, after.generator)  # learning rate 1
        for path in (("dense_0", "kernel"), ("dense_1", "bias")):
            leaf = params.generator[path[0]][path[1]]
            for index in np.ndindex(leaf.shape):
                sides = []
                for sign in (1, -1):
                    nudged = {**params.generator, path[0]: {**params.generator[path[0]], path[1]: leaf.at[index].add(sign * 1e-5)}}
                    sides.append(float(loss(nudged)))
                np.testing.assert_allclose(gradient[path[0]][path[1]][index], (sides[0] - sides[1]) / 2e-5, rtol=1e-6, atol=1e-9)


def test_several_discriminator_steps_see_parts_of_the_batch_in_turn():
    spec = point_spec()
    batch = points(32)
    params, _, _ = run(spec, alternating(discriminator_steps=2), steps=1, batch=batch)
    _, expected, state = started(spec)
    key = jax.random.fold_in(RNG, 0)
    for n in range(2):
        minibatch = spec.prepare_minibatch({"image": batch["image"][16 * n : 16 * (n + 1)]}, named_key(key, f"round/{n}"))
        expected, state, _ = update_discriminator(spec, expected, state, minibatch)
    assert_close(params.discriminator, expected.discriminator)


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"a multiple of 3 examples.*got 16"):
        run(point_spec(), alternating(discriminator_steps=3), steps=1)
    with pytest.raises(ValueError, match="micro_batches must divide the batch; got 5 and a batch of 16"):
        run(point_spec(), alternating(micro_batches=5), steps=1)


@pytest.mark.parametrize("make", [alternating, simultaneous])
def test_accumulated_gradients_equal_those_of_the_whole_batch(make):
    assert_close(run(point_spec(), make(micro_batches=4))[0], run(point_spec(), make())[0], 2e-6)


def test_no_share_of_replay_changes_no_byte():
    plain = run(point_spec(), alternating())[0]
    assert_same_bytes(plain, run(point_spec(replay=replay_buffer(capacity=8, share=0.0)), alternating())[0])
    changed = run(point_spec(replay=replay_buffer(capacity=8, share=0.5)), alternating())[0]
    assert not np.array_equal(plain.discriminator["dense_0"]["kernel"], changed.discriminator["dense_0"]["kernel"])


def test_shared_fakes_give_the_gradient_against_the_newest_discriminator():
    spec = point_spec()
    gan, params, state = started(spec, alternating(fakes="shared"))
    after, _, _ = gan.train_step(params, state, points(), RNG)
    minibatch = spec.prepare_minibatch(points(), named_key(jax.random.fold_in(RNG, 0), "round/0"))
    moved, new, _ = update_discriminator(spec, params, state, minibatch)
    forward, _ = forward_generator(spec, params.generator, state, minibatch)
    gradient, _, _ = generator_gradients(spec, moved, new, minibatch, forward)
    assert_close(after.discriminator, moved.discriminator)
    assert_close(after.generator, jax.tree.map(lambda p, g: p - 0.1 * g, params.generator, gradient))


def test_generator_first_moves_against_the_old_discriminator():
    spec = point_spec()
    gan, params, state = started(spec, alternating(order="generator_first", fakes="shared"))
    after, _, _ = gan.train_step(params, state, points(), RNG)
    minibatch = spec.prepare_minibatch(points(), named_key(jax.random.fold_in(RNG, 0), "round/0"))
    both, _, _ = both_gradients(spec, params, state, minibatch)
    # Both use the same fakes, and D does not depend on G but through them: this is the simultaneous step.
    assert_close(after, jax.tree.map(lambda p, g: p - 0.1 * g, params, both))


def test_extragradient_on_a_bilinear_game():
    """min_g max_d g d from (1, 1) with step 0.5: look ahead to (0.5, 1.5), move to (1 - 0.75, 1 + 0.25) = (0.25, 1.25)."""
    spec = bilinear_game(0.5)
    gan, params, state = started(spec, extragradient())
    params = jax.tree.map(jnp.ones_like, params)
    after, _, _ = gan.train_step(params, state, {"image": jnp.zeros((2, 1))}, RNG)
    np.testing.assert_allclose([after.generator["theta"], after.discriminator["psi"]], [0.25, 1.25], rtol=1e-6)


def test_the_average_under_extragradient_is_that_of_the_iterates():
    """From 1 to 0.25, see above: (1 + 0.25) / 2. With the point looked at, 0.5, in it: ((1 + 0.5) / 2 + 0.25) / 2 = 0.5."""
    followed = optax.chain(optax.sgd(0.5), track_ema(0.5))
    spec = dataclasses.replace(bilinear_game(0.5), optimizer=per_player(followed, followed))
    gan, params, state = started(spec, extragradient())
    after, state, _ = gan.train_step(params, state, {"image": jnp.zeros((2, 1))}, RNG)
    np.testing.assert_allclose([after.generator["theta"], ema_params(state.optimizer)["theta"]], [0.25, 0.625], rtol=1e-6)
    np.testing.assert_allclose(ema_params(state.optimizer, player="discriminator")["psi"], (1 + 1.25) / 2, rtol=1e-6)
    steps = [
        node.step for node in jax.tree.leaves(state.optimizer, is_leaf=lambda x: isinstance(x, EmaState)) if isinstance(node, EmaState)
    ]
    assert steps == [1, 1]


def test_consensus_on_a_bilinear_game():
    """F = (d, -g); half its squared norm has the gradient (g, d). From (1, 1), step 0.1, weight 2: (1 - 0.3, 1 - 0.1)."""
    spec = bilinear_game(0.1)
    gan, params, state = started(spec, consensus(consensus_weight=2.0))
    params = jax.tree.map(jnp.ones_like, params)
    after, _, _ = gan.train_step(params, state, {"image": jnp.zeros((2, 1))}, RNG)
    np.testing.assert_allclose([after.generator["theta"], after.discriminator["psi"]], [0.7, 0.9], rtol=1e-6)


def bilinear_game(learning_rate):
    """Dirac-GAN with an unbounded linear critic: L_D = psi theta, L_G = -psi theta, data at 0; so D ascends -psi theta ..."""
    from gan_jax.typing import AdversarialLoss, DiscriminatorOutput, GeneratorOutput, Network

    generator = Network(
        lambda rng, z, labels=None, context=None: ({"theta": jnp.ones(())}, {}),
        lambda p, s, z, labels=None, context=None, *, rng=None, train=True: (GeneratorOutput(jnp.broadcast_to(p["theta"], (2, 1))), s),
    )
    discriminator = Network(
        lambda rng, x, labels=None, context=None: ({"psi": jnp.ones(())}, {}),
        lambda p, s, x, labels=None, context=None, *, rng=None, train=True: (DiscriminatorOutput(p["psi"] * x[:, 0]), s),
    )
    # G minimises d g and D minimises -d g.
    loss = AdversarialLoss(lambda real, fake: -fake + 0 * real, lambda fake, real=None: fake)
    sgd = optax.sgd(learning_rate)
    return GANSpec(generator, discriminator, loss, per_player(sgd, sgd), image_shape=(1,), latent_dim=1, sample_latents=normal)


def test_loss_balanced_stops_when_the_loss_is_low_enough():
    spec = point_spec()
    _, _, metrics = run(spec, loss_balanced(loss_threshold=100.0, max_discriminator_steps=4), steps=1)
    assert metrics["discriminator_steps"] == 1
    _, _, metrics = run(spec, loss_balanced(loss_threshold=0.0, max_discriminator_steps=4), steps=1)
    assert metrics["discriminator_steps"] == 4


def test_loss_balanced_updates_the_generator_until_its_loss_is_low_enough():
    spec = point_spec()
    updates = []
    for threshold in (None, 100.0, 0.0):
        rule = loss_balanced(loss_threshold=100.0, generator_loss_threshold=threshold, max_generator_steps=3)
        _, _, metrics = run(spec, rule, steps=1)
        updates.append((int(metrics["discriminator_steps"]), float(metrics.get("generator_steps", -1))))
    assert updates == [(1, -1), (1, 1), (1, 3)]


def test_frozen_players_do_not_learn_before_their_step():
    spec = point_spec(optimizer=per_player(optax.adam(0.1), optax.adam(0.1)), freeze=Players(2, 0))
    gan, params, state = started(spec)
    first, state, _ = gan.train_step(params, state, points(), RNG)
    second, state, _ = gan.train_step(first, state, points(), RNG)
    third, _, _ = gan.train_step(second, state, points(), RNG)
    assert_same_bytes(params.generator, second.generator)
    assert not np.array_equal(second.generator["dense_0"]["kernel"], third.generator["dense_0"]["kernel"])
    assert not np.array_equal(params.discriminator["dense_0"]["kernel"], first.discriminator["dense_0"]["kernel"])


def test_generator_plays_against_the_target_discriminator():
    optimizer = per_player(optax.sgd(0.1), optax.chain(optax.sgd(0.1), track_ema(0.5)))
    spec = point_spec(optimizer=optimizer, target_discriminator=True)
    gan, params, state = started(spec)
    params, state, _ = gan.train_step(params, state, points(), RNG)
    minibatch = spec.prepare_minibatch(points(), RNG)
    forward, _ = forward_generator(spec, params.generator, state, minibatch)
    other = params._replace(discriminator=jax.tree.map(jnp.zeros_like, params.discriminator))
    # The present D does not matter: the target is what G sees.
    assert_same_bytes(
        generator_gradients(spec, params, state, minibatch, forward)[0], generator_gradients(spec, other, state, minibatch, forward)[0]
    )


def all_update_rules():
    options = {"unrolled": {"unroll_steps": 2}, "loss_balanced": {"loss_threshold": 1.0}, "consensus": {"consensus_weight": 0.1}}
    return {name: make(**options.get(name, {})) for name, make in UPDATE_RULES.items()} | {
        "pool": alternating(pool=player_pool(capacity=2, interval=3, duration=1)),
        "shared": alternating(fakes="shared", order="generator_first"),
    }


# tests/distributed/test_devices.py shards the others.
QUICK = ("alternating", "pool")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in sorted(all_update_rules())]
)
def test_every_update_rule_compiles_once_and_is_the_same_under_vmap_and_sharding(name):
    rule = all_update_rules()[name]
    spec = point_spec(batch_norm=True, replay=replay_buffer(capacity=8, share=0.25))
    gan = build_gan(spec, rule)
    keys = jax.random.split(jax.random.key(9), 3)
    step = jax.jit(gan.train_step)
    singles = []
    init = jax.jit(gan.init)
    for key in keys:
        params, state = init(key)
        for _ in range(4):
            params, state, metrics = step(params, state, points(), RNG)
        singles.append((params, metrics))
        assert all(np.isfinite(value) for value in metrics.values())
    assert step._cache_size() == 1

    many_params, many_state = jax.jit(jax.vmap(gan.init))(keys)
    many = jax.jit(jax.vmap(gan.train_step, in_axes=(0, 0, None, None)))
    for _ in range(4):
        many_params, many_state, _ = many(many_params, many_state, points(), RNG)
    for n, (params, _) in enumerate(singles):
        assert_close(params, jax.tree.map(lambda leaf, n=n: leaf[n], many_params), 1e-5)

    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    replicated, split = (jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes)) for axes in ((), ("data",)))
    params, state = jax.device_put(init(keys[0]), replicated)
    batch = jax.device_put(points(), split)
    sharded = jax.jit(gan.train_step, out_shardings=replicated)
    for _ in range(4):
        params, state, _ = sharded(params, state, batch, RNG)
    assert_close(singles[0][0], params, 1e-5)


def test_options_out_of_range_are_refused():
    for make, options, message in [
        (alternating, {"order": "both"}, "order must be"),
        (alternating, {"fakes": "old"}, "fakes must be"),
        (alternating, {"discriminator_steps": 0}, "got 0 and 1"),
        (alternating, {"fakes": "shared", "micro_batches": 2}, "excludes"),
        (unrolled, {"unroll_steps": -1}, "got -1"),
        (consensus, {"consensus_weight": -1.0}, "got -1.0"),
        (loss_balanced, {"max_discriminator_steps": 0}, "got 0"),
        (loss_balanced, {"max_generator_steps": 0}, "got 5 and 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            make(**options)
