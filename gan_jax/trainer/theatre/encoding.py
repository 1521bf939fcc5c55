"""Compact arrays for the page: quantised to bytes, differences between frames, deflate, base64. theatre.js decodes them."""

import base64
import zlib

import numpy as np

LEVELS = 1022  # Coordinates have 1,023 levels over the square.
MISSING = 1023  # Code of a coordinate that is not finite.


def encode_points(points: np.ndarray, bounds: float) -> np.ndarray:
    """Codes of coordinates: 0 ... 1022 over [-bounds, bounds], clipped at the border; 1023 if not finite.

    Args:
        points: float [..., 2].
        bounds: Half the side of the square.

    Returns:
        uint16 [..., 2].
    """
    finite = np.isfinite(points)
    scaled = (np.where(finite, points, 0).astype(np.float64) + bounds) / (2 * bounds) * LEVELS
    return np.where(finite, np.clip(np.rint(scaled), 0, LEVELS), MISSING).astype(np.uint16)


def encode_surface(surface: np.ndarray) -> tuple[np.ndarray, list[list[float] | None]]:
    """Codes of a surface: 0 ... 255 between the lowest and the highest value of each frame.

    Args:
        surface: float [frames, side, side].

    Returns:
        uint8 [frames, side, side], and the lowest and highest values [low, high] of each frame. A frame that has a value which is not
        finite is 0 everywhere, and has None.
    """
    codes, ranges = np.zeros(surface.shape, np.uint8), list[list[float] | None]()
    for number, frame in enumerate(surface.astype(np.float64)):
        if not np.isfinite(frame).all():
            ranges.append(None)
            continue
        low, high = float(frame.min()), float(frame.max())
        codes[number] = np.rint(255 * (frame - low) / (high - low)) if high > low else 0
        ranges.append([round_to(low), round_to(high)])
    return codes, ranges


def round_to(value: float, digits: int = 4) -> float:
    """A number with this many significant digits."""
    return float(f"{value:.{digits}g}")


def pack_points(codes: np.ndarray) -> str:
    """uint16 codes as text: all low bytes, then all high bytes."""
    flat = codes.reshape(-1)
    return _deflate(np.concatenate([flat & 255, flat >> 8]).astype(np.uint8))


def pack_surface(codes: np.ndarray) -> str:
    """uint8 codes [frames, side, side] as text: each frame as the difference from the frame before it, modulo 256."""
    return _deflate(np.diff(codes, axis=0, prepend=np.zeros_like(codes[:1])))


def _deflate(content: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(np.ascontiguousarray(content).tobytes(), 9)).decode()
