import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import build_model
from gan_jax.models.multiscale import halve
from support import model_golden as golden
from support.model_checks import build_small, check_both, fill, run


def test_the_pyramid_equals_pytorch():
    _, images, expected = golden.load("pyramid")
    np.testing.assert_allclose(halve(images), expected, atol=1e-6)


@pytest.mark.parametrize("options", [pytest.param({}, marks=pytest.mark.slow), {"channels": 3, "dtype": "bfloat16"}])
def test_both_players_train(options):
    results = check_both("multiscale", scales=2, patch_layers=1, **options)
    output = results.discriminator[2]
    assert [logits.shape for logits in output.logits] == [(4, 11, 11), (4, 7, 7)]
    assert list(output.features) == ["scale_0/layer_0", "scale_0/layer_1", "scale_1/layer_0", "scale_1/layer_1"]


def test_each_scale_has_its_own_parameters_and_sees_its_own_size():
    networks, _, images, _, _ = build_small("multiscale", scales=2, patch_layers=1)
    params, state = fill(networks.discriminator, images)
    assert jax.tree.map(jnp.shape, params["scale_0"]) == jax.tree.map(jnp.shape, params["scale_1"])
    fine, coarse = run(networks.discriminator, params, state, images).logits
    changed = params | {"scale_1": jax.tree.map(lambda leaf: -leaf, params["scale_1"])}
    same, other = run(networks.discriminator, changed, state, images).logits
    assert jnp.array_equal(fine, same)
    assert not jnp.allclose(coarse, other)
    # The coarse discriminator on its own, given the reduced image.
    alone = run(networks.discriminator, {"scale_0": params["scale_1"], "scale_1": params["scale_1"]}, state, halve(images)).logits[0]
    np.testing.assert_allclose(coarse, alone, rtol=1e-4, atol=1e-5)


def test_too_many_scales_are_refused():
    with pytest.raises(ValueError, match="must divide image_size=16 and leave at least 4 pixels"):
        build_model("multiscale", image_size=16, scales=4)
