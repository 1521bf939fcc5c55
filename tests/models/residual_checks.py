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


def gradients_of(name, change_state=lambda state: state, **options):
    """One jitted game at random parameters: images, output of D, gradients of both players by the logits (and classes).

    Zero-initialised layers (attention's gamma, fix-up's last layer) would hide what is behind them: all parameters are moved.
    """
    latents, _, labels = inputs_of(options)
    generator, discriminator = as_networks(MODELS[name](**options))

    def moved(rng, params):
        leaves, tree = jax.tree.flatten(params)
        keys = jax.random.split(rng, len(leaves))
        return jax.tree.unflatten(tree, [leaf + 0.1 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves)])

    @jax.jit
    def play(rng):
        g_params, g_state = generator.init(rng, latents, labels)
        d_params, d_state = discriminator.init(rng, inputs_of(options)[1], labels)
        g_params, d_params = moved(rng, g_params), moved(rng, d_params)

        def loss(g_params, d_params):
            fake, new_state = generator.apply(g_params, change_state(g_state), latents, labels, rng=rng)
            judged, _ = discriminator.apply(d_params, change_state(d_state), fake.images, labels, rng=rng)
            value = jnp.sum(jnp.sin(judged.logits) * jnp.arange(1.0, BATCH + 1))
            if judged.class_logits is not None:
                value += jnp.sum(jnp.sin(judged.class_logits))
            return value, (fake.images, judged, new_state)

        gradients, (images, judged, new_state) = jax.grad(loss, argnums=(0, 1), has_aux=True)(g_params, d_params)
        return images, judged, gradients, new_state, (g_params, d_params)

    return play(jax.random.key(3))


def check_model(name, latent_dim=8, **options):
    """Shapes, dtypes and gradients of a model with these options; the game compiles once."""
    images, judged, gradients, _, params = gradients_of(name, **options)
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
