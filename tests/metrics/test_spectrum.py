import numpy as np
import pytest

from gan_jax import metrics
from support.metrics_golden import reference


# By hand: a cosine of amplitude 1/2 and 3 cycles has power (1/4)^2 at each of two of the 16 frequencies (by angle) of its radius.
def test_a_wave_has_its_power_at_its_radius():
    wave = 0.5 * np.cos(2 * np.pi * 3 * np.arange(16) / 16)
    images = np.broadcast_to(wave[None, :, None, None], (2, 16, 16, 1)).astype(np.float32)
    for taken in (images, images.transpose(0, 2, 1, 3)):
        spectrum = metrics.radial_power_spectrum(taken)
        frequencies = np.fft.fftfreq(16) * 16
        members = (np.rint(np.hypot(frequencies[:, None], frequencies)) == 3).sum()
        assert spectrum.shape == (12,)
        np.testing.assert_allclose(spectrum, np.where(np.arange(12) == 3, 2 / 16 / members, 0), atol=1e-9)


def test_total_power_is_that_of_the_pixels():
    images, _ = reference.image_pairs(3, 16)
    spectrum = metrics.radial_power_spectrum(images)
    frequencies = np.fft.fftfreq(16) * 16
    members = np.bincount(np.rint(np.hypot(frequencies[:, None], frequencies)).astype(int).ravel())
    pixels = images / 127.5 - 1
    assert (spectrum * members).sum() == pytest.approx((pixels**2).mean(), rel=1e-5)
    for height, width in ((9, 15), (5, 5), (8, 8), (8, 6)):
        length = len(metrics.radial_power_spectrum(np.zeros((1, height, width, 2), np.uint8)))
        assert length == 1 + round(min(height, width) * np.hypot((height // 2) / height, (width // 2) / width))


def test_a_checkerboard_is_caught_at_the_corner():
    real, _ = reference.image_pairs(32, 32)
    other = reference.image_pairs(64, 32)[0][32:].astype(int)
    checkered = np.clip(other + 16 * (np.indices((32, 32)).sum(axis=0) % 2)[None, :, :, None], 0, 255).astype(np.uint8)
    clean = metrics.spectrum_distance(real, other.astype(np.uint8))
    assert metrics.spectrum_distance(real, checkered) > 2 * clean
    ratio = metrics.radial_power_spectrum(checkered) / metrics.radial_power_spectrum(real)
    assert ratio.argmax() == len(ratio) - 1


# By hand: half the contrast is a quarter of the power, 10 log10 4 dB at every frequency.
def test_half_the_contrast_is_six_decibels():
    real = np.random.default_rng(0).uniform(-1, 1, (8, 16, 16, 1)).astype(np.float32)
    assert metrics.spectrum_distance(real, real / 2) == pytest.approx(10 * np.log10(4), rel=1e-5)
    assert metrics.spectrum_distance(real, real) == 0
    assert np.isfinite(metrics.spectrum_distance(real, np.zeros_like(real)))


def test_images_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        metrics.spectrum_distance(np.zeros((1, 8, 8, 1), np.uint8), np.zeros((1, 16, 16, 1), np.uint8))
