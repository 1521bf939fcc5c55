import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models.common import ACTIVATIONS, OUTPUT_ACTIVATIONS, PLAIN_NORMS
from support.model_checks import build_small


def shapes(name, player, **options):
    """Parameters of one player of a small model, as shapes."""
    networks, latents, images, labels, context = build_small(name, **options)
    inputs = {"generator": latents, "discriminator": images}[player]
    return jax.eval_shape(getattr(networks, player).init, jax.random.key(0), inputs, labels, context)[0]


# Pixel norm takes no mean away and learns nothing: without these biases a network would have none.
@pytest.mark.parametrize(
    ("name", "player", "option"),
    [
        ("dcgan", "generator", "norm"),
        ("dcgan", "discriminator", "discriminator_norm"),
        ("pix2pix", "generator", "norm"),
        ("pix2pix", "discriminator", "norm"),
        ("multiscale", "discriminator", "discriminator_norm"),
        ("stacked", "generator", "norm"),
        ("vaegan", "generator", "norm"),
    ],
)
def test_layers_have_biases_of_their_own_where_the_norm_has_none(name, player, option):
    found = {norm: shapes(name, player, **{option: norm}) for norm in PLAIN_NORMS}
    assert jax.tree.structure(found["pixel"]) == jax.tree.structure(found["none"])
    for norm in set(PLAIN_NORMS) - {"pixel", "none"}:
        kernels = {path[:-1] for path, _ in jax.tree_util.tree_leaves_with_path(found[norm]) if path[-1].key == "kernel"}
        bare = {path for path in kernels if not _has_bias(found[norm], path)}
        assert bare, norm
        assert all(_has_bias(found["pixel"], path) for path in bare), norm


def _has_bias(tree, path):
    for key in path:
        tree = tree[key.key]
    return "bias" in tree


# At -1, 0 and 2, worked by hand: exp(-1) - 1 = -0.632121, sigmoid(-1) = 0.268941, 2 sigmoid(2) = 1.761594, tanh(1) = 0.761594.
@pytest.mark.parametrize(
    ("table", "name", "expected"),
    [
        (ACTIVATIONS, "leaky_relu", (-0.2, 0, 2)),
        (ACTIVATIONS, "relu", (0, 0, 2)),
        (ACTIVATIONS, "elu", (-0.632121, 0, 2)),
        (ACTIVATIONS, "swish", (-0.268941, 0, 1.761594)),
        (ACTIVATIONS, "tanh", (-0.761594, 0, 0.964028)),
        (OUTPUT_ACTIVATIONS, "tanh", (-0.761594, 0, 0.964028)),
        (OUTPUT_ACTIVATIONS, "linear", (-1, 0, 2)),
    ],
)
def test_activations_by_hand(table, name, expected):
    np.testing.assert_allclose(table[name](jnp.array([-1.0, 0.0, 2.0])), expected, atol=1e-6)
