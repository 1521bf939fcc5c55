"""The tiny networks of tests/golden/steps_common.py as pure functions `(params, inputs, labels, context) -> output`."""

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.typing import DiscriminatorOutput, Network


def convolve(layer, x, stride=1):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, layer["kernel"], (stride, stride), [(1, 1), (1, 1)], dimension_numbers=numbers) + layer["bias"]


def dense(layer, x):
    return x @ layer["kernel"] + layer["bias"]


def generate(params, latents, labels, context):
    if "embedding" in params:
        latents = latents + params["embedding"]["embedding"][labels]
    hidden = jnp.tanh(dense(params["dense"], latents)).reshape(-1, 4, 4, 4)
    return jnp.tanh(convolve(params["conv"], hidden.repeat(2, axis=1).repeat(2, axis=2)))


def judge(params, images, labels, context):
    hidden = jax.nn.leaky_relu(convolve(params["conv_0"], images, 2), 0.2)
    features = jax.nn.leaky_relu(convolve(params["conv_1"], hidden, 2), 0.2).reshape(len(images), -1)
    logits = dense(params["dense"], features)[:, 0]
    if "embedding" in params:
        logits = logits + (params["embedding"]["embedding"][labels] * features).sum(1)
    return DiscriminatorOutput(logits, class_logits=dense(params["classes"], features) if "classes" in params else None)


def translate(params, latents, labels, context):
    return jnp.tanh(convolve(params["conv_1"], jnp.tanh(convolve(params["conv_0"], context))))


def judge_pair(params, images, labels, context):
    hidden = jax.nn.leaky_relu(convolve(params["conv_0"], jnp.concatenate([context, images], axis=-1), 2), 0.2)
    return DiscriminatorOutput(convolve(params["conv_1"], hidden, 2)[..., 0])


def judge_pixels(params, images, labels, context):
    hidden = jax.nn.leaky_relu(convolve(params["conv_0"], images), 0.2)
    return DiscriminatorOutput((dense(params["dense"], hidden.mean(axis=(1, 2)))[:, 0], convolve(params["conv_1"], hidden)[..., 0]))


def layer(*shape):
    return {"kernel": shape, "bias": shape[-1:]}


def network(function, params, output):
    def apply(params, state, inputs, labels=None, context=None, *, rng=None, train=True):
        return output(function(params, inputs, labels, context)), state

    return Network(lambda rng, inputs, labels=None, context=None: (params, {}), apply)


def assert_near(ours, theirs, *, floor):
    """Equal within 1e-4 of each value, or within `floor`."""
    for path, value in jax.tree_util.tree_leaves_with_path(ours):
        expected = theirs
        for entry in path:
            expected = expected[entry.key]
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=floor, err_msg=jax.tree_util.keystr(path))
