import numpy as np
import pytest

from gan_jax import metrics
from support.metrics_golden import reference, values


# PGGAN's code at commit 2504c3f; tests/golden/metrics_reference.py.
def test_pyramid_equals_pggan():
    pyramid = metrics.laplacian_pyramid(reference.image_pairs(4, 64)[0].astype(np.float32), 3)
    for level, golden in zip(pyramid, values["pyramid"], strict=True):
        np.testing.assert_allclose(level[1, ::5, ::7, 2], golden, atol=1e-3)


# The same code, mean and deviation of 8 runs on 256 images; ours draws other patches and directions.
@pytest.mark.parametrize("size", [32, 64])
def test_distance_equals_pggan_within_its_noise(size):
    golden = values["sliced_wasserstein"][str(size)]
    result = metrics.sliced_wasserstein(*reference.image_pairs(256, size), seed=3)
    ours = [*result.per_level.values(), result.value]
    assert list(result.per_level) == [size >> i for i in range(len(result.per_level))]
    for value, mean, deviation in zip(ours, golden["mean"], golden["deviation"], strict=True):
        assert value == pytest.approx(mean, abs=4 * deviation + 1e-3 * mean)


def test_equal_sets_are_near_zero_and_brightness_and_contrast_do_not_count():
    real, _ = reference.image_pairs(64, 16)
    other = reference.image_pairs(128, 16)[0][64:]
    noise = metrics.sliced_wasserstein(real, other).value
    changed = (real / 2 + 30).astype(np.float32) / 127.5 - 1
    assert metrics.sliced_wasserstein(real, changed).value < 1.5 * noise
    assert metrics.sliced_wasserstein(real, real[..., [2, 0, 1]]).value < 2 * noise
    assert metrics.sliced_wasserstein(real, np.full_like(real, 7)).value > 10 * noise


def test_fine_texture_shows_at_the_finest_level():
    real, _ = reference.image_pairs(64, 32)
    other = reference.image_pairs(128, 32)[0][64:].astype(int)
    checkered = np.clip(other + 40 * (np.indices((32, 32)).sum(axis=0) % 2)[None, :, :, None], 0, 255).astype(np.uint8)
    result = metrics.sliced_wasserstein(real, checkered)
    assert result.per_level[32] > 3 * result.per_level[16]


def test_float_and_uint8_and_grey_images_are_taken():
    real, fake = (x[..., :1] for x in reference.image_pairs(16, 16))
    first = metrics.sliced_wasserstein(real, fake)
    second = metrics.sliced_wasserstein(real / np.float32(127.5) - 1, fake)
    assert second.value == pytest.approx(first.value, rel=1e-4)
    assert metrics.sliced_wasserstein(real, fake) == first


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        ((4, 8, 8, 3), (4, 8, 8, 3), "at least 16 pixels per side; got 8x8"),
        ((4, 16, 16, 3), (3, 16, 16, 3), "same number of images; got 4 and 3"),
        ((4, 33, 33, 1), (4, 33, 33, 1), "divisible by 2; got 33x33"),
        ((4, 16, 16, 1), (4, 16, 16, 3), "one shape"),
        ((16, 16, 3), (16, 16, 3), "must be images"),
    ],
)
def test_images_that_cannot_be_measured_are_refused(real, fake, message):
    with pytest.raises(ValueError, match=message):
        metrics.sliced_wasserstein(np.zeros(real, np.uint8), np.zeros(fake, np.uint8))


def test_values_that_are_no_images_are_refused():
    images = np.zeros((2, 16, 16, 1), np.uint8)
    with pytest.raises(ValueError, match=r"in \[-1, 1\]; got values from 0.0 to 255.0"):
        metrics.sliced_wasserstein(images, np.tile(np.float32([0, 255]), (2, 16, 8))[..., None])
    with pytest.raises(ValueError, match="finite"):
        metrics.sliced_wasserstein(images, np.full((2, 16, 16, 1), np.nan))
    with pytest.raises(TypeError, match="int64"):
        metrics.sliced_wasserstein(images, images.astype(np.int64))
