"""A step of CycleGAN against the authors' code: both translators and both discriminators, from their weights (cyclegan_torch.py)."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax.gan import loss_terms
from gan_jax.gan.make import build_gan
from gan_jax.optimizers import SCHEDULES
from gan_jax.recipes import recipes
from gan_jax.replay import init, query_pool, replay_buffer, split_replay
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.resume import RUN_ONCE
from gan_jax.typing import Players

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "cyclegan_torch.npz")
# Layers of the authors' `nn.Sequential` by ours.
TRANSLATOR = {
    "input": "model.1",
    "down_1": "model.4",
    "down_2": "model.7",
    "block_0_0": "model.10.conv_block.1",
    "block_0_1": "model.10.conv_block.5",
    "up_1": "model.11",
    "up_0": "model.14",
    "output": "model.18",
}
JUDGE = {"conv_0": "model.0", "conv_1": "model.2", "output": "model.5"}
# The authors' G_A translates A to B, and their D_A judges B.
NETWORKS = Players({"a_to_b": ("G_A", TRANSLATOR), "b_to_a": ("G_B", TRANSLATOR)}, {"a": ("D_B", JUDGE), "b": ("D_A", JUDGE)})


def kernel(weight, layer):
    """A kernel in the layout of Flax. PyTorch stores that of a transposed convolution as [in, out, height, width], not mirrored."""
    return weight.transpose(2, 3, 0, 1)[::-1, ::-1] if layer.startswith("up_") else weight.transpose(2, 3, 1, 0)


def tree(group):
    """The arrays of a group of the golden file as our parameters."""

    def network(name, layers):
        arrays = {ours: [GOLDEN[f"{group}/{name}/{theirs}.{kind}"] for kind in ("weight", "bias")] for ours, theirs in layers.items()}
        return {ours: {"kernel": kernel(weight, ours), "bias": bias} for ours, (weight, bias) in arrays.items()}

    return Players(*({ours: network(*theirs) for ours, theirs in networks.items()} for networks in NETWORKS))


def batch(step):
    return {name: jnp.asarray(GOLDEN[f"real_{letter}"][step].transpose(0, 2, 3, 1)) for name, letter in (("input", "A"), ("image", "B"))}


def image(name):
    return GOLDEN[name].transpose(0, 2, 3, 1)


@pytest.fixture(scope="module")
def built():
    """The GAN of the recipe at the size of the golden file, without the decay of the learning rate."""
    config = recipes()["cyclegan"][1]
    config = dataclasses.replace(
        config,
        batch_size=2,
        model=dataclasses.replace(config.model, width=3, options={"blocks": 1, "patch_layers": 1}),
        optimizer=dataclasses.replace(config.optimizer, schedule="constant"),
    )
    return build(config, (16, 16, 3), input_shape=(16, 16, 3))


@pytest.fixture(scope="module")
def states(built):
    """The parameters, the state and the metrics after one and after two steps from the weights of the golden file."""
    weights = tree("weights")
    gan = build_gan(built.spec, built.rule)  # Without diagnostics, a smaller program.
    params, _ = jax.eval_shape(gan.init, jax.random.key(0))
    assert jax.tree.map(lambda leaf: leaf.shape, params) == jax.tree.map(lambda leaf: leaf.shape, weights)
    _, state = built.spec.init_state(jax.random.key(0), weights, Players({}, {}))
    params, step, after = weights, jax.jit(gan.train_step, compiler_options=RUN_ONCE), []
    with pytest.MonkeyPatch.context() as patch:
        # This compiles faster. That our convolutions equal these is in tests/nn/test_conv.py.
        patch.setenv("GAN_JAX_CONVOLUTIONS", "lax")
        for number in range(2):
            params, state, metrics = step(params, state, batch(number), jax.random.key(1))
            after.append(jax.device_get((params, state, metrics)))
    return after


def losses(step, *names):
    return sum(GOLDEN[f"losses/{name}"][step] for name in names)


@pytest.mark.parametrize("number", [0, 1])
def test_losses_are_those_of_the_authors(states, number):
    metrics = states[number][2]
    np.testing.assert_allclose(2 * metrics["generator_adversarial_loss"], losses(number, "G_A", "G_B"), rtol=1e-4)
    np.testing.assert_allclose(10 * metrics["term/cycle"], losses(number, "cycle_A", "cycle_B"), rtol=1e-4)
    np.testing.assert_allclose(5 * metrics["term/identity"], losses(number, "idt_A", "idt_B"), rtol=1e-4)
    np.testing.assert_allclose(metrics["discriminator_loss"], losses(number, "D_A", "D_B"), rtol=1e-4)
    total = losses(number, "G_A", "G_B", "cycle_A", "cycle_B", "idt_A", "idt_B")
    np.testing.assert_allclose(metrics["generator_loss"], total, rtol=1e-4)


def test_gradients_of_all_four_networks_are_those_of_the_authors(states):
    # After one step the first moment of Adam is (1 - 0.5) times the gradient.
    moments = [node.mu for node in jax.tree.leaves(states[0][1].optimizer, is_leaf=is_adam) if is_adam(node)]
    assert len(moments) == 2
    theirs = jax.tree.leaves(tree("gradients"))
    for ours, leaf in zip(jax.tree.leaves(Players(*moments)), theirs, strict=True):
        # Biases in front of instance norm have gradients of rounding errors, below 1e-5.
        np.testing.assert_allclose(2 * ours, leaf, rtol=1e-3, atol=max(1e-4 * float(np.abs(leaf).max()), 1e-5))
    assert sum(np.abs(leaf).max() > 1e-3 for leaf in theirs) > 24  # of the 32 kernels and biases


def is_adam(node):
    return isinstance(node, optax.ScaleByAdamState)


def test_parameters_after_two_steps_are_those_of_the_authors(states):
    compared = 0
    # Adam makes gradients of rounding errors as large as any other, so parameters with such gradients are left out.
    rows = zip(*map(jax.tree.leaves, (states[1][0], *map(tree, ("after", "gradients", "weights")))), strict=True)
    for ours, theirs, gradient, before in rows:
        clear = np.abs(gradient) > 1e-4
        np.testing.assert_allclose((ours - before)[clear], (theirs - before)[clear], atol=2e-5)
        compared += clear.sum()
    assert compared > 3000


def test_pools_hold_the_fakes_of_their_domain(states):
    pools = states[1][1].replay
    assert [int(pool.count) for pool in pools] == [4, 4]
    np.testing.assert_allclose(pools[0].images[:2], image("fake_A"), atol=1e-5)
    np.testing.assert_allclose(pools[1].images[:2], image("fake_B"), atol=1e-5)


def test_the_pool_decides_as_the_authors():
    pool, query = init(4, (1,)), jax.jit(query_pool)
    for number, (uniform, places, results) in enumerate(
        zip(*(GOLDEN[f"pool/{name}"] for name in ("uniform", "places", "results")), strict=True)
    ):
        shown, pool = query(pool, jnp.arange(3.0)[:, None] + 3 * number, uniform, places)
        np.testing.assert_array_equal(shown[:, 0], results)
    np.testing.assert_array_equal(pool.images[:, 0], GOLDEN["pool/images"])
    assert len({*GOLDEN["pool/results"].ravel()}) < 36  # Some were shown twice, and others never.


def test_half_of_the_shown_images_are_stored_ones_and_domains_decide_apart():
    replay = split_replay(replay_buffer(capacity=8, mode="pool"))
    state, apply = replay.init((1, 1, 2)), jax.jit(replay.apply)
    past = []
    for number in range(60):
        fakes = jnp.full((8, 1, 1, 2), float(number)) + jnp.arange(8.0)[:, None, None, None] / 8
        shown, state = apply(state, fakes, jax.random.key(number))
        if number:
            past.append(np.asarray(shown != fakes)[:, 0, 0])
        else:
            np.testing.assert_array_equal(shown, fakes)
    share = np.stack(past).reshape(-1, 2)
    # Binomial: 472 draws with a deviation of 0.023.
    np.testing.assert_allclose(share.mean(axis=0), 0.5, atol=5 * 0.023)
    assert (share[:, 0] != share[:, 1]).mean() > 0.3
    with pytest.raises(ValueError, match=r"2 parts must divide the channels; got shape \(4, 4, 3\)"):
        replay.init((4, 4, 3))


def test_the_learning_rate_is_that_of_the_authors():
    schedule = SCHEDULES["constant_linear"](1.0, steps=8)
    np.testing.assert_allclose([float(schedule(step)) for step in range(8)], GOLDEN["schedule"], atol=1e-6)


def test_a_batch_without_the_other_domain_is_named(built):
    with pytest.raises(ValueError, match=r"batch\['input'\] must be images of the other domain, of the shape \(2, 16, 16, 3\)"):
        built.spec.prepare_minibatch({"image": batch(0)["image"]}, jax.random.key(0))
    assert (built.spec.image_shape, built.spec.sample_shape) == ((16, 16, 6), (16, 16, 3))
    context = SimpleNamespace(fake=SimpleNamespace(extras={}))
    with pytest.raises(ValueError, match="need a model that translates between two domains"):
        loss_terms.cycle_consistency(context)
