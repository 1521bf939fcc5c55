"""What every model must do, for the tests of each: shapes, gradients that arrive, types, a state that is left alone."""

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.models import MODELS, build_model
from gan_jax.typing import Players

BATCH = 4


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def parameter_count(network, *inputs):
    """Number of parameters, without drawing them."""
    return count(jax.eval_shape(network.init, jax.random.key(0), *inputs)[0])


def build_small(name, **options):
    """A row of MODELS at its smallest, and inputs for both players: (networks, latents, images, labels, context)."""
    row = MODELS[name]
    tiny = {"image_size": 16, "channels": 1, "latent_dim": 3, "width": 4, "discriminator_width": 4}
    chosen = {key: value for key, value in tiny.items() if key in row.options} | options
    networks = build_model(name, **chosen)
    size, channels = chosen.get("image_size"), chosen.get("channels")
    draws = np.random.default_rng(1)
    latents = jnp.asarray(draws.normal(size=(BATCH, chosen["latent_dim"])), jnp.float32)
    shape = (BATCH, size, size, channels) if size else (BATCH, row.options["dim"])
    images = jnp.asarray(draws.uniform(-1, 1, shape), jnp.float32)
    labels = jnp.arange(BATCH) % chosen["num_classes"] if chosen.get("num_classes") else None
    mask = jnp.zeros((BATCH, size or 1, size or 1, 1)).at[:, 4:9, 4:9].set(1.0)
    context = {
        None: None,
        "image": images[..., :1],
        "masked": jnp.concatenate([images * (1 - mask), mask], -1) if size else None,
        "small": images[:, ::2, ::2] if size else None,
        "real": images,
        "domains": jnp.concatenate([images[::-1], images], -1) if size else None,
    }[row.context]
    return networks, latents, images, labels, context


def fill(network, *inputs):
    """Parameters and a state of the right shapes without compiling any initialiser; no gain or strength is zero."""
    draws = np.random.default_rng(0)

    def draw(leaf):
        values = draws.normal(0, 0.2, leaf.shape) if len(leaf.shape) > 1 else draws.uniform(0.5, 1.5, leaf.shape)
        return jnp.asarray(values, leaf.dtype)

    return jax.tree.map(draw, jax.eval_shape(network.init, jax.random.key(0), *inputs))


def run(network, params, state, *inputs, seed=0, train=True):
    """The output of one jitted pass."""
    return jax.jit(lambda *given: network.apply(*given, rng=jax.random.key(seed), train=train)[0])(params, state, *inputs)


def _total(tree):
    """A number that depends on every element of every array, each in its own way."""
    leaves = jax.tree.leaves(tree)
    return sum(jnp.vdot(np.random.default_rng(n).normal(size=leaf.shape), leaf.astype(jnp.float32)) for n, leaf in enumerate(leaves))


def init_and_gradients(network, *inputs):
    """The parameters, the gradients, the output in training, and the state before and after; one compiled program."""
    params, state = fill(network, *inputs)

    # The inputs are arguments: constants would be folded, slowly, while compiling.
    @jax.jit
    def step(params, state, rng, *inputs):
        def loss(params):
            output, new_state = network.apply(params, state, *inputs, rng=rng)
            return _total(output), (output, new_state)

        return jax.grad(loss, has_aux=True)(params)

    gradients, (output, new_state) = step(params, state, jax.random.key(3), *inputs)
    return params, gradients, output, state, new_state


def without_gradient(gradients):
    """Names of the parameters whose gradient is nothing but zeros, or not finite."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(gradients)
    return ["/".join(str(key.key) for key in path) for path, leaf in leaves if not (jnp.any(leaf != 0) and jnp.all(jnp.isfinite(leaf)))]


def run_both(name, **options):
    """Runs both players of a small model; `Players` of what `init_and_gradients` returns."""
    networks, latents, images, labels, context = build_small(name, **options)
    return Players(
        init_and_gradients(networks.generator, latents, labels, context),
        init_and_gradients(networks.discriminator, images, labels, context),
    )


def check_both(name, **options):
    """Asserts what holds of every model, and returns what was computed, for further checks."""
    results = run_both(name, **options)
    for player, (params, gradients, output, state, new_state) in results._asdict().items():
        assert without_gradient(gradients) == [], f"{name}, {player}"
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}, f"{name}, {player}"
        assert {leaf.dtype for leaf in jax.tree.leaves(state)} <= {jnp.dtype("float32")}, f"{name}, {player}"
        assert jax.tree.map(jnp.shape, state) == jax.tree.map(jnp.shape, new_state), f"{name}, {player}"
        main = output.images if player == "generator" else output.logits
        assert {leaf.dtype for leaf in jax.tree.leaves(main)} == {jnp.dtype("float32")}, f"{name}, {player}"
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(output)), f"{name}, {player}"
    return results
