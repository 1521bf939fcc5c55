"""Input checks of all metrics: bring arrays to the host and validate their shapes, types and values."""

import numpy as np


def as_features(*, at_least: int = 2, **named) -> tuple[np.ndarray, ...]:
    """Brings features to the host as floating-point matrices of the same width.

    Integers become float64. float16 and bfloat16 become float32.

    Args:
        at_least: Smallest number of rows for which the metric is defined.
        **named: Maps a name, for the error messages, to real numbers [samples, dim].

    Returns:
        The arrays in the order of the arguments, float32 or float64.

    Raises:
        ValueError: If an array is not a matrix, has too few rows, or holds NaN or infinity, or if the widths differ.
        TypeError: If an array does not hold real numbers.
    """
    arrays = []
    for name, value in named.items():
        array = np.asarray(value)
        if array.ndim != 2 or array.shape[1] == 0:
            raise ValueError(f"{name} must be [samples, dim]; got shape {array.shape}")
        if len(array) < at_least:
            raise ValueError(f"{name} must have at least {at_least} rows; got {len(array)}")
        if array.dtype.kind not in "iubf" and "float" not in array.dtype.name:
            raise TypeError(f"{name} must hold real numbers; got {array.dtype}")
        if array.dtype.kind in "iub":
            array = array.astype(np.float64)
        elif array.dtype not in (np.float32, np.float64):
            array = array.astype(np.float32)
        bad = sum(int((~np.isfinite(array[i : i + 4096]).all(axis=1)).sum()) for i in range(0, len(array), 4096))
        if bad:
            raise ValueError(f"{name} must be finite; {bad} of {len(array)} rows hold NaN or infinity")
        arrays.append(array)
    if len({array.shape[1] for array in arrays}) > 1:
        shapes = " and ".join(f"{name} {array.shape}" for name, array in zip(named, arrays))
        raise ValueError(f"features must have one width; got {shapes}")
    return tuple(arrays)


def as_images(*, at_least: int = 1, **named) -> tuple[np.ndarray, ...]:
    """Brings images to the host. `uint8` images are not changed, and floating-point images are checked to be in [-1, 1].

    Args:
        at_least: Smallest number of images for which the metric is defined.
        **named: Maps a name, for the error messages, to images [batch, height, width, channels], uint8 in [0, 255] or floating point
            in [-1, 1].

    Returns:
        The arrays in the order of the arguments, uint8 or float32.

    Raises:
        ValueError: If an array has another rank, too few images, or values that are not finite or outside of [-1, 1], or if the
            image shapes differ.
        TypeError: If an array is neither uint8 nor floating point.
    """
    arrays = []
    for name, value in named.items():
        array = np.asarray(value)
        if array.ndim != 4 or 0 in array.shape[1:]:
            raise ValueError(f"{name} must be images [batch, height, width, channels]; got shape {array.shape}")
        if len(array) < at_least:
            raise ValueError(f"{name} must have at least {at_least} images; got {len(array)}")
        if array.dtype != np.uint8:
            if "float" not in array.dtype.name:
                raise TypeError(f"{name} must be uint8 in [0, 255] or floating point in [-1, 1]; got {array.dtype}")
            array = array.astype(np.float32, copy=False)
            low, high = float(array.min()), float(array.max())
            if not (low >= -1.001 and high <= 1.001):
                raise ValueError(f"floating-point {name} must be finite and in [-1, 1]; got values from {low} to {high}")
        arrays.append(array)
    if len({array.shape[1:] for array in arrays}) > 1:
        shapes = " and ".join(f"{name} {array.shape}" for name, array in zip(named, arrays))
        raise ValueError(f"images must have one shape; got {shapes}")
    return tuple(arrays)


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Converts images in [-1, 1] to `uint8` by rounding, as for saving. Returns `uint8` images unchanged."""
    if images.dtype == np.uint8:
        return images
    return np.clip(np.rint((images + 1) * 127.5), 0, 255).astype(np.uint8)


def to_float(images: np.ndarray, low: float, high: float) -> np.ndarray:
    """Converts images, `uint8` or float in [-1, 1], to float32 in [low, high]."""
    unit = images.astype(np.float32) / 255 if images.dtype == np.uint8 else (images.astype(np.float32) + 1) / 2
    return unit * np.float32(high - low) + np.float32(low)
