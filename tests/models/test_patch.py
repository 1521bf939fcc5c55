import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import as_network
from gan_jax.models.patch import PatchDiscriminator, largest_patch, receptive_field, smallest_image
from support import model_golden as golden
from support.model_checks import fill, run


def test_equals_pytorch():
    weights, images, expected = golden.load("patch")
    network = as_network(PatchDiscriminator(width=2, layers=2))
    params = {
        "conv_0": golden.conv(weights, "0"),
        "conv_1": golden.conv(weights, "2"),
        "norm_1": golden.norm(weights, "3"),
        "conv_2": golden.conv(weights, "5"),
        "norm_2": golden.norm(weights, "6"),
        "output": golden.conv(weights, "8"),
    }
    context, images = images[..., :1], images[..., 1:]
    _, state = fill(network, images, None, context)
    output = run(network, params, state, images, None, context)
    np.testing.assert_allclose(output.logits, expected[..., 0], atol=1e-5)
    assert list(output.features) == ["layer_0", "layer_1", "layer_2"]


# Isola et al., 2017, appendix 6.1.2: patches of 16x16 and 70x70; 34x34 by the same recursion.
@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_a_logit_sees_its_patch_and_no_more(layers, field):
    assert receptive_field(layers) == field
    network = as_network(PatchDiscriminator(width=1, layers=layers, norm="none"))
    images = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (1, 96, 96, 1)), jnp.float32)
    params, state = fill(network, images)

    def middle(images):
        logits = network.apply(params, state, images)[0].logits
        return logits[0, logits.shape[1] // 2, logits.shape[2] // 2]

    seen = np.any(np.asarray(jax.jit(jax.grad(middle))(images)) != 0, axis=(0, 2, 3))
    assert seen.sum() == field


def test_the_largest_patch_that_fits():
    assert [largest_patch(size) for size in (8, 32, 64, 128, 256)] == [1, 1, 2, 3, 3]


@pytest.mark.parametrize("padding", [1, 2])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_images_too_small_to_leave_a_logit_are_refused(layers, padding):
    smallest = smallest_image(layers, padding)
    network = as_network(PatchDiscriminator(width=1, layers=layers, norm="none", padding=padding))

    def logits(side):
        images = jnp.zeros((1, side, side + 1, 1))
        return jax.eval_shape(lambda: network.apply(*network.init(jax.random.key(0), images), images)[0].logits)

    assert all(logits(smallest).shape)
    assert smallest == {1: 3 * 2**layers, 2: 1}[padding]
    if smallest > 1:
        with pytest.raises(
            ValueError, match=rf"at least {smallest} pixels a side for {layers} strided layers; got shape \(1, {smallest - 1}"
        ):
            logits(smallest - 1)
