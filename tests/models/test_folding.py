"""Generators whose batch norm is folded into the layers in front of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.export import Generator, GeneratorConfig
from gan_jax.models import MODELS, as_network, build_model
from gan_jax.models.folding import fold_batch_norm
from support.small_recipes import SIZES

WIDTHS = {"sagan": 8}
# (model, further options, number of batch norms that leave a factor behind)
CASES = [
    ("dcgan", {}, 0),
    ("dcgan", {"up": "pixel_shuffle", "output_kernel": 3, "noise": True}, 0),
    ("dcgan", {"up": "bilinear", "norm": "conditional_batch", "num_classes": 3}, 0),
    ("mlp", {"generator_hidden": "8,8", "num_classes": 3}, 0),
    ("points", {"generator_hidden": "8,8", "norm": "batch"}, 0),
    ("sngan", {}, 3),
    ("sagan", {"num_classes": 3}, 3),
    ("biggan", {"num_classes": 3, "shared_dim": 4}, 3),
    ("unet_gan", {"num_classes": 3, "shared_dim": 4}, 2),
    ("multiscale", {"patch_layers": 1}, 0),
    ("pix2pix", {}, 0),
    ("stacked", {"blocks": 1}, 0),
    ("vaegan", {}, 1),  # The encoder's.
    ("klgan", {}, 1),
]
WITHOUT = {"r3gan", "progressive", "stylegan2", "inpaint", "cyclegan"}


def built(name, **options):
    """A small generator with random parameters and statistics, and inputs: (module, params, state, inputs)."""
    tiny = {"image_size": SIZES.get(name, 32), "channels": 2, "latent_dim": 16, "width": WIDTHS.get(name, 4)}
    chosen = {key: value for key, value in tiny.items() if key in MODELS[name].options} | options
    module = MODELS[name](**chosen).generator
    draws = np.random.default_rng(0)
    size, channels = chosen.get("image_size", 8), chosen.get("channels", 1)
    side = size // 2 if MODELS[name].context == "small" else size
    context = None
    if MODELS[name].context is not None:
        context = jnp.asarray(draws.uniform(-1, 1, (3, side, side, channels)), jnp.float32)
    labels = jnp.array([0, 2, 1], jnp.int32) if chosen.get("num_classes") else None
    inputs = (jnp.asarray(draws.normal(size=(3, 16)), jnp.float32), labels, context)
    rngs = {name: jax.random.key(0) for name in ("params", "noise", "dropout")}
    given = {name: value for name, value in (("labels", labels), ("context", context)) if value is not None}
    variables = dict(jax.eval_shape(lambda latents, given: module.init(rngs, latents, **given), inputs[0], given))
    params, state = variables.pop("params"), variables
    # Positive variances, and scales, biases and means that differ from channel to channel.
    params = jax.tree.map(lambda leaf: jnp.asarray(0.3 * draws.normal(size=leaf.shape), leaf.dtype), params)
    state = jax.tree.map(lambda leaf: jnp.asarray(draws.uniform(0.2, 2.0, leaf.shape), leaf.dtype), state)
    return module, params, state, inputs, chosen


def images(network, params, state, inputs):
    apply = jax.jit(lambda *leaves: network.apply(*leaves, rng=jax.random.key(1), train=False)[0].images)
    return np.asarray(apply(params, state, *inputs))


@pytest.mark.parametrize(("name", "options", "unfolded"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_folded_batch_norm_gives_the_same_images(name, options, unfolded):
    module, params, state, inputs, _ = built(name, **options)
    network, folded, rest = fold_batch_norm(module, params, state, *inputs)
    expected = images(as_network(module, player="generator"), params, state, inputs)
    assert expected.std() > 1e-3
    np.testing.assert_allclose(images(network, folded, rest, inputs), expected, rtol=0, atol=5e-4)
    assert sum("factor" in norm for norm in folded["norms"].values()) == unfolded
    assert len(folded["norms"]) > unfolded
    assert "batch_stats" not in rest


def test_every_model_with_batch_norm_has_a_case():
    assert {name for name, *_ in CASES} | WITHOUT == set(MODELS)
    for name in sorted(WITHOUT):
        with_norm = {leaf for leaf in MODELS[name].options if "norm" in leaf}
        assert not with_norm, name


def test_a_generator_without_batch_norm_is_unchanged():
    module, params, state, inputs, _ = built("dcgan", norm="instance")
    _, same, rest = fold_batch_norm(module, params, state, *inputs)
    assert same is params
    assert rest is state


def test_a_folded_generator_samples_in_parts_of_a_batch():
    _, params, state, _, options = built("dcgan")
    generator = Generator(build_model("dcgan", **options).generator, params, state, GeneratorConfig("dcgan", options))
    folded = generator.folded()
    expected = generator.sample(3, 7)
    np.testing.assert_allclose(folded.sample(3, 7, batch_size=3), expected, rtol=2e-4, atol=2e-5)
    # Bfloat16 has 8 bits: images in [-1, 1] differ by a few hundredths.
    narrow = generator.folded(dtype="bfloat16").sample(3, 7)
    assert narrow.dtype == jnp.float32
    difference = np.abs(np.asarray(narrow) - expected)
    assert 0 < difference.max() < 0.1
    with pytest.raises(ValueError, match="cannot be trained; got train=True"):
        folded.network.apply(folded.params, folded.state, jnp.zeros((2, 16)), train=True)
    with pytest.raises(ValueError, match="initialise the original"):
        folded.network.init(jax.random.key(0), jnp.zeros((2, 16)))
