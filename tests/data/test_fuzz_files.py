"""Thousands of damaged files: readers never crash or hang, allocate no memory for missing data, and name the file."""

import gzip
import io
import resource
import time

import numpy as np
import pytest
from PIL import Image

from gan_jax.data import DataError
from gan_jax.data.decode import decode
from gan_jax.data.idx import read_idx
from gan_jax.data.npz import read_npz
from support.damage import mutate
from support.data_files import idx_bytes

SAMPLE, MANY = 60, 2500
PILLOW = {"webp": "WEBP", "gif": "GIF", "bmp": "BMP", "tiff": "TIFF", "ppm": "PPM", "tga": "TGA", "jp2": "JPEG2000"}
PILLOW |= {"avif": "AVIF", "ico": "ICO", "sgi": "SGI", "dds": "DDS", "qoi": "QOI"}
MEMORY = 2**30 // 1024  # kilobytes by which the process can grow during the test
SECONDS = 5.0


def seed_file(kind, rng):
    """An intact file of this kind."""
    file = io.BytesIO()
    array = rng.integers(0, 256, (3, 9, 9), np.uint8)
    if kind.startswith("idx"):
        data = idx_bytes(array)
        return gzip.compress(data, mtime=0) if kind == "idx.gz" else data
    if kind == "npz":
        np.savez_compressed(file, images=array, labels=np.arange(3, dtype=np.uint8))
    elif kind == "npz.plain":
        np.savez(file, images=array, labels=np.arange(3, dtype=np.uint8))
    elif kind in PILLOW:
        Image.fromarray(rng.integers(0, 256, (17, 13, 3), np.uint8)).save(file, PILLOW[kind])
    else:
        noise = rng.integers(0, 256, (17, 13, {"png": 3, "png.alpha": 4, "png.grey": 1, "jpeg": 3}[kind]), np.uint8)
        picture = Image.fromarray(noise[..., 0] if kind == "png.grey" else noise)
        picture.save(file, "JPEG" if kind == "jpeg" else "PNG")
    return file.getvalue()


def readers(path):
    return {
        "idx": lambda: read_idx(path, 3),
        "npz": lambda: read_npz(path, ("images", "labels")),
        "png": lambda: decode(path, size=16, channels=3),
        "jpeg": lambda: decode(path, size=16, channels=1),
    } | {kind: lambda: decode(path, size=16, channels=3) for kind in PILLOW}


def message_of(read):
    """The message of the reader's DataError, or None. Any other exception fails the test."""
    try:
        read()
    except DataError as error:
        return str(error)
    return ""


def damage_and_read(kind, count, tmp_path, seed):
    """Reads `count` damaged files. Returns how many of them raised an error."""
    rng = np.random.default_rng(seed)
    path = tmp_path / f"file.{kind}"
    read = readers(path)[kind.split(".")[0]]
    whole = seed_file(kind, rng)
    path.write_bytes(whole)
    read()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for number in range(count):
        data = mutate(whole, rng)
        path.write_bytes(data)
        started = time.monotonic()
        message = message_of(read)
        if message:
            refused += 1
            assert str(path) in message, f"{number}: {message}"
            assert "\n" not in message
        assert time.monotonic() - started < SECONDS, f"{number}: {data.hex()}"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY
    return refused


KINDS = ("idx", "idx.gz", "npz", "npz.plain", "png", "png.grey", "png.alpha", "jpeg", *PILLOW)


def refused_share(kind):
    """The least share of damaged files that must be refused. Formats without checksums accept damaged pixels."""
    return 0.05 if kind in PILLOW else 0.15 if kind == "jpeg" else 0.4


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_refused_by_name(kind, tmp_path):
    # JPEG decoders accept much damage silently, and the ends of a zip file need not be intact for its beginning to be.
    assert damage_and_read(kind, SAMPLE, tmp_path, seed=0) > SAMPLE * refused_share(kind)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_damaged_files_are_refused_by_name(kind, tmp_path):
    assert damage_and_read(kind, MANY, tmp_path, seed=1) > MANY * refused_share(kind)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in PILLOW])
def test_every_truncation_is_refused(kind, tmp_path):
    path = tmp_path / f"file.{kind}"
    read = readers(path)[kind.split(".")[0]]
    whole = seed_file(kind, np.random.default_rng(0))
    # The last 24 bytes of a PNG (the ends of its checksums, and the chunk IEND) and the end marker of a JPEG carry no pixels, and
    # decoders may do without.
    needed = len(whole) - (24 if kind.startswith("png") else 4 if kind == "jpeg" else 0)
    for size in range(0, needed, 1 if len(whole) < 300 else 7):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match="file"):
            read()


def test_objects_in_an_npz_are_not_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (print, ("unpickled",))

    path = tmp_path / "trap.npz"
    np.savez(path, images=np.array([Trap()], dtype=object), labels=np.zeros(1, np.uint8))
    with pytest.raises(DataError, match=r"trap.npz: images holds Python objects, which are not allowed"):
        read_npz(path, ("images", "labels"))


def test_npz_bomb_is_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, images=np.zeros(2**28 + 1000, np.uint8), labels=np.zeros(1, np.uint8))
    assert path.stat().st_size < 2**20
    with pytest.raises(DataError, match=r"bomb.npz: images claims 26843\d+ bytes, more than"):
        read_npz(path, ("images",))


def test_npz_without_the_array_is_named(tmp_path):
    np.savez(tmp_path / "other.npz", pictures=np.zeros(3))
    with pytest.raises(DataError, match=r"other.npz: holds no array named images; got pictures.npy"):
        read_npz(tmp_path / "other.npz", ("images",))
    with pytest.raises(DataError, match=r"none.npz: no such file"):
        read_npz(tmp_path / "none.npz", ("images",))
