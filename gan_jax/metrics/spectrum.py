"""Radial power spectrum of images. It reveals checkerboard artefacts and missing or excess detail that are hard to see by eye."""

import numpy as np

from gan_jax.metrics.arrays import as_images, to_float


def radial_power_spectrum(images) -> np.ndarray:
    """Mean power of images at each spatial frequency, averaged over directions.

        P(r) = mean over images, channels and frequencies (u, v) with round(|(u, v)|) = r of |FFT(x)(u, v)|^2 / pixels^2

    Frequencies are in cycles per shorter side, from 0 (the mean brightness) to the corner (the finest checkerboard).

    Args:
        images: uint8 or float in [-1, 1], [batch, height, width, channels]. uint8 images are first scaled to [-1, 1].

    Returns:
        float64 [1 + round(shorter side * |(floor(height / 2) / height, floor(width / 2) / width)|)], the power at r = 0, 1, 2, ...
        If both sides are even, the length is 1 + round(shorter side / sqrt(2)).

    Raises:
        ValueError: If there are no images, or if they have another rank or range.
        TypeError: If the images are neither uint8 nor floating point.

    References:
        Durall, Keuper and Keuper, "Watch your up-convolution", 2020.
    """
    (images,) = as_images(images=images)
    height, width = images.shape[1:3]
    total = np.zeros((height, width // 2 + 1))
    chunk = max(1, (1 << 22) // int(np.prod(images.shape[1:])))
    for start in range(0, len(images), chunk):
        spectrum = np.fft.rfft2(to_float(images[start : start + chunk], -1, 1).astype(np.float64), axes=(1, 2))
        total += (spectrum.real**2 + spectrum.imag**2).sum(axis=(0, 3))
    power = total / (len(images) * images.shape[3] * (height * width) ** 2)
    side = min(height, width)
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]) * side
    bins = np.rint(radius).astype(int)
    # The half spectrum represents the full one, in which every column except the first and the middle one occurs twice.
    columns = np.arange(width // 2 + 1)
    twice = np.where((columns > 0) & (2 * columns != width), 2.0, 1.0) * np.ones((height, 1))
    return np.bincount(bins.ravel(), (power * twice).ravel()) / np.bincount(bins.ravel(), twice.ravel())


def spectrum_distance(real_images, fake_images) -> float:
    """Distance between radial power spectra: root mean square over frequencies of the difference in decibels.

        sqrt(mean_{r >= 1} (10 log10 P_real(r) - 10 log10 P_fake(r))^2)

    Args:
        real_images: uint8 or float in [-1, 1], [batch, height, width, channels].
        fake_images: Images of the same shape. Their number may differ.

    Returns:
        The distance in decibels. 0 for equal spectra. Powers below a floor are set to the floor, so that flat images have a finite
        distance. The floor is the power of one grey level, (2 / 255)^2, divided by height * width.

    Raises:
        ValueError: If the images differ in shape, or as in `radial_power_spectrum`.
        TypeError: If the images are neither uint8 nor floating point.

    References:
        Durall, Keuper and Keuper, "Watch your up-convolution", 2020, compare such spectra by eye and by a classifier.
    """
    real_images, fake_images = as_images(real_images=real_images, fake_images=fake_images)
    floor = (2 / 255) ** 2 / (real_images.shape[1] * real_images.shape[2])
    real, fake = (10 * np.log10(np.maximum(radial_power_spectrum(x)[1:], floor)) for x in (real_images, fake_images))
    return float(np.sqrt(np.mean((real - fake) ** 2)))
