import numpy as np
import pytest

from gan_jax import metrics
from support.metrics_golden import reference, values


# The code of TensorFlow's compression models, in PGGAN at commit 2504c3f; tests/golden/metrics_reference.py. At 16 and 32 pixels the
# window shrinks with the scale.
@pytest.mark.parametrize("size", [16, 32, 64])
def test_equals_pggan(size):
    np.testing.assert_allclose(metrics.ms_ssim(*reference.image_pairs(8, size)), values["ms_ssim"][str(size)], rtol=1e-5)


def test_equal_images_have_one_and_order_does_not_matter():
    first, second = reference.image_pairs(5, 28)
    np.testing.assert_allclose(metrics.ms_ssim(first, first), 1, atol=1e-12)
    np.testing.assert_allclose(metrics.ms_ssim(first, second), metrics.ms_ssim(second, first), rtol=1e-12)


# By hand, flat images: no contrast, so only luminance at the last scale counts, to the power of its weight.
def test_flat_images_worked_by_hand():
    first, second = np.full((1, 16, 16, 1), 100, np.uint8), np.full((1, 16, 16, 1), 200, np.uint8)
    c1 = 2.55**2
    expected = ((2 * 100 * 200 + c1) / (100**2 + 200**2 + c1)) ** 0.1333
    assert metrics.ms_ssim(first, second)[0] == pytest.approx(expected, rel=1e-9)


# 28 pixels give 3 scales, of weights 0.0448, 0.2856, 0.3001 scaled to the sum of all five, 1.0001.
def test_sides_that_do_not_halve_evenly_have_fewer_scales():
    first, second = np.full((1, 28, 28, 1), 100, np.uint8), np.full((1, 28, 28, 1), 200, np.uint8)
    c1 = 2.55**2
    expected = ((2 * 100 * 200 + c1) / (100**2 + 200**2 + c1)) ** (0.3001 * 1.0001 / 0.6305)
    assert metrics.ms_ssim(first, second)[0] == pytest.approx(expected, rel=1e-9)


def test_a_collapsed_set_is_alike_and_a_varied_one_is_not():
    images, _ = reference.image_pairs(40, 16)
    varied = metrics.ms_ssim_diversity(images)
    assert varied.per_class == {}
    assert metrics.ms_ssim_diversity(np.repeat(images[:1], 10, axis=0)).value == pytest.approx(1)
    assert varied.value < 0.5
    assert metrics.ms_ssim_diversity(images, pairs=300).value == pytest.approx(varied.value, abs=0.15)


def test_a_collapsed_class_is_named():
    images, _ = reference.image_pairs(40, 16)
    labels = np.arange(40) % 2
    images[labels == 1] = images[1]
    result = metrics.ms_ssim_diversity(images, labels, pairs=50)
    assert result.per_class[1] == pytest.approx(1)
    assert result.per_class[0] < 0.5
    assert result.value == pytest.approx((result.per_class[0] + result.per_class[1]) / 2)


def test_no_image_meets_itself():
    images = np.stack([np.zeros((16, 16, 1), np.uint8), np.full((16, 16, 1), 255, np.uint8)])
    assert metrics.ms_ssim_diversity(images, pairs=50).value < 0.5


def test_sets_without_pairs_are_refused():
    images, _ = reference.image_pairs(4, 16)
    with pytest.raises(ValueError, match="class 1 needs at least 2 images; got 1"):
        metrics.ms_ssim_diversity(images, np.array([0, 0, 0, 1]))
    with pytest.raises(ValueError, match="at least 2 images; got 1"):
        metrics.ms_ssim_diversity(images[:1])
    with pytest.raises(ValueError, match=r"labels must have shape \(4,\)"):
        metrics.ms_ssim_diversity(images, np.zeros(3, int))
    with pytest.raises(ValueError, match="same number of images; got 4 and 3"):
        metrics.ms_ssim(images, images[:3])
    with pytest.raises(ValueError, match="pairs must be at least 1"):
        metrics.ms_ssim_diversity(images, pairs=0)
