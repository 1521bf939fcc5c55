"""What every model of the ResNet family must do, as functions that the tests of each model call."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.models import MODELS
from gan_jax.models.network import as_networks

BATCH = 4


def inputs_of(options, latent_dim=8):
    """Latents, images and labels of a small batch that fit the options."""
    keys = jax.random.split(jax.random.key(0), 2)
    size, channels, classes = (options.get(name, default) for name, default in (("image_size", 32), ("channels", 3), ("num_classes", 0)))
    labels = jnp.arange(BATCH, dtype=jnp.int32) % classes if classes else None
    return jax.random.normal(keys[0], (BATCH, latent_dim)), jax.random.normal(keys[1], (BATCH, size, size, channels)), labels


def parameter_counts(name, latent_dim, **options):
    """Parameters of (generator, discriminator), from shapes alone."""
    latents, images, labels = inputs_of(options, latent_dim)
    counts = []
    for network, inputs in zip(as_networks(MODELS[name](**options)), (latents, images)):
        params, _ = jax.eval_shape(network.init, jax.random.key(0), inputs, labels)
        counts.append(sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)))
    return tuple(counts)


def names_without_gradient(gradients):
    """Names of the leaves that are zero or not finite somewhere they must not be."""
    flat, _ = jax.tree_util.tree_flatten_with_path(gradients)
    bad = [(path, leaf) for path, leaf in flat if not np.isfinite(leaf).all() or not np.any(leaf)]
    return ["/".join(str(key.key) for key in path) for path, _ in bad]


def random_variables(module, inputs, labels=None, *, equalized=False):
    """Variables of a Linen module, drawn by NumPy: no initialisation to compile, and no layer that starts at zero.

    `equalized`: weights of unit variance, for layers that scale them themselves.
    (Attention's gamma and fix-up's last layer do, and would hide the layers behind them from a gradient.)
    """
    draws = np.random.default_rng(0)

    def draw(path, leaf):
        name = path[-1].key
        scale = 0.3 if len(leaf.shape) < 2 else 1.0 if equalized else np.prod(leaf.shape[:-1]) ** -0.5
        values = scale * draws.normal(size=leaf.shape)
        return jnp.asarray(values + (name in ("scale", "var")), leaf.dtype)

    shapes = jax.eval_shape(module.init, jax.random.key(0), inputs, labels)
    return jax.tree_util.tree_map_with_path(draw, dict(shapes))


def gradients_of(name, change_state=lambda state: state, **options):
    """One jitted game: images, output of D, gradients of both players by the logits (and classes), parameters."""
    latents, images, labels = inputs_of(options)
    modules = MODELS[name](**options)
    generator, discriminator = as_networks(modules)
    g_state, d_state = random_variables(modules.generator, latents, labels), random_variables(modules.discriminator, images, labels)
    params = g_state.pop("params"), d_state.pop("params")

    @jax.jit
    def play(params, g_state, d_state, rng):
        def loss(params):
            fake, _ = generator.apply(params[0], g_state, latents, labels, rng=rng)
            judged, _ = discriminator.apply(params[1], d_state, fake.images, labels, rng=rng)
            value = jnp.sum(jnp.sin(judged.logits) * jnp.arange(1.0, BATCH + 1))
            if judged.class_logits is not None:
                value += jnp.sum(jnp.sin(judged.class_logits))
            if judged.embeddings is not None:
                value += jnp.sum(jnp.sin(judged.embeddings)) + jnp.sum(jnp.sin(judged.proxies))
            return value, (fake.images, judged)

        gradients, (images, judged) = jax.grad(loss, has_aux=True)(params)
        return images, judged, gradients

    return *play(params, change_state(g_state), change_state(d_state), jax.random.key(3)), params


def check_model(name, **options):
    """Shapes, dtypes and gradients of a model with these options; the game compiles once."""
    images, judged, gradients, params = gradients_of(name, **options)
    size, channels = options.get("image_size", 32), options.get("channels", 3)
    assert images.shape == (BATCH, size, size, channels)
    assert judged.logits.shape == (BATCH,)
    assert {a.dtype for a in (images, judged.logits)} == {jnp.dtype("float32")}
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert np.isfinite(images).all()
    assert np.isfinite(judged.logits).all()
    assert names_without_gradient(gradients[0]) == []
    assert names_without_gradient(gradients[1]) == []
    return images, judged


def output_with(network, params, inputs, labels=None, state=None):
    """The output of one network with given parameters, which must be all it has; norms by the batch."""
    shapes, states = jax.eval_shape(network.init, jax.random.key(0), inputs, labels)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, shapes)
    state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), states) if state is None else state
    return jax.jit(network.apply)(params, state, inputs, labels)[0]
