"""The discriminator on frozen features against its authors' code."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from gan_jax import make_gan
from gan_jax.models import as_network, build_model
from gan_jax.models.projected import ProjectedDiscriminator, RandomMixing, enlarge
from gan_jax.nn.resize import average_pool
from gan_jax.transforms import spectral_norm
from gan_jax.typing import Players

# autonomousvision/projected-gan, commit e1c246b, see tests/golden/critics_torch.py.
with np.load(pathlib.Path(__file__).parents[1] / "golden" / "critics_torch.npz") as file:
    GOLDEN = {name.removeprefix("projected/"): file[name] for name in file if name.startswith("projected/")}


def averages(images):
    """The features of the golden script: averages of the image over 2x2, 4x4, 8x8 and 16x16 pixels, with a tanh after the first."""
    maps = [jnp.tanh(average_pool(images))]
    for _ in range(3):
        maps.append(average_pool(maps[-1]))
    return maps


def nested(prefix):
    leaves = {name.removeprefix(f"{prefix}/"): jnp.asarray(GOLDEN[name]) for name in GOLDEN if name.startswith(f"{prefix}/")}
    return traverse_util.unflatten_dict(leaves, sep="/")


SMALL = {"size": None, "channels": 4, "widths": (4,) * 6}


def test_logits_and_gradients_are_those_of_the_authors_code():
    network = as_network(ProjectedDiscriminator(averages, **SMALL))
    images, weights, params = jnp.asarray(GOLDEN["images"]), jnp.asarray(GOLDEN["weights"]), nested("params")
    shapes, state = jax.eval_shape(network.init, jax.random.key(0), images)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, shapes)
    state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), state) | {"projection": nested("projection")}

    def total(params, images):
        output, _ = network.apply(params, state, images)
        return (output.logits[..., 0] * weights).sum(), output

    (_, output), (of_params, of_images) = jax.jit(jax.value_and_grad(total, argnums=(0, 1), has_aux=True))(params, images)
    np.testing.assert_allclose(output.features["scale_0"], GOLDEN["finest"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(output.logits[..., 0], GOLDEN["logits"], rtol=1e-4, atol=1e-4)
    expected = GOLDEN["image_gradient"]
    np.testing.assert_allclose(of_images, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    for (path, found), wanted in zip(jax.tree_util.tree_leaves_with_path(of_params), jax.tree.leaves(nested("gradients")), strict=True):
        scale = float(jnp.abs(wanted).max())
        # A bias in front of batch norm has a gradient of rounding errors.
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * scale + 1e-4, err_msg=jax.tree_util.keystr(path))


def test_enlarging_is_linear_and_keeps_the_corners():
    x = jnp.arange(3.0).reshape(1, 1, 3, 1)
    np.testing.assert_allclose(enlarge(x)[0, :, :, 0], [np.linspace(0, 2, 6)] * 2, atol=1e-6)


@pytest.mark.parametrize(("mixing", "shapes"), [("none", [(8, 3), (4, 3)]), ("channels", [(8, 2), (4, 4)]), ("scales", [(16, 2), (8, 2)])])
def test_shapes_of_the_mixings(mixing, shapes):
    features = [jnp.ones((1, 8, 8, 3)), jnp.ones((1, 4, 4, 3))]
    variables = jax.eval_shape(RandomMixing(2, mixing).init, jax.random.key(0), features)
    assert "params" not in variables
    found = jax.eval_shape(RandomMixing(2, mixing).apply, variables, features)
    assert [(one.shape[1], one.shape[-1]) for one in found] == shapes


def test_a_step_trains_the_discriminators_and_neither_the_projection_nor_the_features():
    generator, _ = build_model("dcgan", image_size=16, channels=3, width=4)
    module = ProjectedDiscriminator(averages, size=32, channels=4, widths=(4,) * 6)
    gan = make_gan(
        generator,
        as_network(module),
        image_shape=(16, 16, 3),
        latent_dim=4,
        loss="hinge",
        transforms=Players((), (spectral_norm(),)),
    )
    params, state = jax.jit(gan.init)(jax.random.key(0))
    batch = {"image": jax.random.uniform(jax.random.key(1), (4, 16, 16, 3), minval=-1)}
    after, new, metrics = jax.jit(gan.train_step)(params, state, batch, jax.random.key(2))
    assert all(np.isfinite(value) for value in metrics.values())
    assert metrics["generator_gradient_norm"] > 0
    before, now = (one.networks.discriminator["projection"] for one in (state, new))
    assert jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b), before, now))
    moved = [np.any(a != b) for a, b in zip(jax.tree.leaves(params.discriminator), jax.tree.leaves(after.discriminator), strict=True)]
    assert sum(moved) >= len(moved) - 3  # Biases in front of batch norm may stand still.


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (lambda x: [x, x], r"half the sides of the one before it; got \[\(32, 32\), \(32, 32\)\]"),
        (lambda x: [x.mean(axis=(1, 2))], r"must return maps \[batch, height, width, channels\] of 2 images; got shapes \[\(2, 3\)\]"),
        (lambda x: [], "must return maps"),
        (lambda x: [x[:, :1, :1]], "at least 4 pixels a side after mixing"),
    ],
)
def test_features_that_do_not_fit_are_refused(features, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(ProjectedDiscriminator(features, **SMALL).init, jax.random.key(0), jnp.zeros((2, 32, 32, 3)))
    with pytest.raises(ValueError, match="mixing must be one of none, channels, scales; got 'all'"):
        jax.eval_shape(RandomMixing(2, "all").init, jax.random.key(0), [jnp.zeros((1, 4, 4, 1))])
