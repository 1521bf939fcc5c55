"""What games are conditioned on, worked by hand: an edge map of a ramp, one mask, means of 4x4 pixels."""

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.conditioning import CONDITIONS
from gan_jax.models import MODELS

RNG = jax.random.key(0)


def ramp(slope, size=6):
    """Images [1, size, size, 3] that grow by `slope` a column in the mean of their channels."""
    grey = slope * jnp.arange(float(size))
    return jnp.stack([grey - 0.1, grey, grey + 0.1], axis=-1)[None, None].repeat(size, axis=1)


def test_every_model_has_its_context():
    assert {model.context for model in MODELS.values()} <= set(CONDITIONS)


def test_edges_of_a_ramp():
    """Inside, [1 2 1] x [1 0 -1] / 8 of slope s is (1 + 2 + 1) 2 s / 8 = s; at the border, continued, half of it. e = 2 min(1, 2 s) - 1."""
    for slope, inside, border in [(0.1, -0.6, -0.8), (0.25, 0.0, -0.5), (0.5, 1.0, 0.0), (0.8, 1.0, 0.6)]:
        expected = np.tile([border, *[inside] * 4, border], (6, 1))[None, :, :, None]
        for images in (ramp(slope), ramp(-slope)):
            np.testing.assert_allclose(CONDITIONS["image"](RNG, images), expected, atol=1e-5)
        np.testing.assert_allclose(CONDITIONS["image"](RNG, ramp(slope).swapaxes(1, 2)), expected.swapaxes(1, 2), atol=1e-5)


def test_edges_go_both_ways_and_flat_images_have_none():
    """A slope of 0.3 across and 0.4 down is one of 0.5."""
    across, down = ramp(0.3), ramp(0.4).swapaxes(1, 2)
    np.testing.assert_allclose(CONDITIONS["image"](RNG, across + down)[0, 1:-1, 1:-1], 1.0, atol=1e-5)
    np.testing.assert_array_equal(CONDITIONS["image"](RNG, jnp.full((2, 5, 4, 1), 0.7)), np.full((2, 5, 4, 1), -1.0))


def test_a_mask_is_one_square_of_half_the_side_somewhere_in_the_image():
    real = jax.random.uniform(RNG, (400, 8, 6, 3), minval=0.1, maxval=1.0)
    found = np.asarray(CONDITIONS["masked"](jax.random.key(1), real))
    assert found.shape == (400, 8, 6, 4)
    image, mask = found[..., :3], found[..., 3]
    assert set(np.unique(mask)) == {0.0, 1.0}
    np.testing.assert_array_equal(mask.sum(axis=(1, 2)), 4 * 3)
    np.testing.assert_array_equal(image, real * (1 - mask[..., None]))
    tops, lefts = mask.max(axis=2).argmax(axis=1), mask.max(axis=1).argmax(axis=1)
    for one, top, left in zip(mask, tops, lefts):
        assert one[top : top + 4, left : left + 3].all()
    # Every place, the last one too: 8 - 4 and 6 - 3.
    assert (set(tops), set(lefts)) == (set(range(5)), set(range(4)))


def test_the_small_image_holds_means_of_4x4_pixels():
    real = jnp.arange(8 * 12 * 2.0).reshape(1, 8, 12, 2)
    found = CONDITIONS["small"](RNG, real)
    assert found.shape == (1, 2, 3, 2)
    # Pixel (i, j) of channel c is 24 i + 2 j + c: over rows 4 to 7 and columns 8 to 11, 24 * 5.5 + 2 * 9.5 + c.
    np.testing.assert_allclose(found[0, 1, 2], [151.0, 152.0])


def test_an_encoder_sees_the_images_and_others_nothing():
    real = jnp.ones((2, 4, 4, 1))
    assert CONDITIONS["real"](RNG, real) is real
    assert CONDITIONS[None](RNG, real) is None
