"""The cache of decoded images: the same bytes in every case, and files are decoded once."""

import concurrent.futures
import errno
import os
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from gan_jax.data import DataWarning, decoded_cache, file_images, load_source
from gan_jax.data.decoded_cache import DecodedCache


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(decoded_cache, "LEAST", 2)


@pytest.fixture
def place(tmp_path):
    """Images of different colours and sizes in two classes."""
    draws = np.random.default_rng(0)
    for number in range(12):
        path = tmp_path / "images" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.integers(0, 256, (16, 12 + number, 3), np.uint8)).save(path)
    return tmp_path / "images"


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that were decoded."""
    names = []
    original = file_images.decode

    def recorded(file, *, name, **options):
        names.append(name)
        return original(file, name=name, **options)

    monkeypatch.setattr(file_images, "decode", recorded)
    return names


def load(place, cache, **options):
    return load_source("image_folder", data_dir=place, **{"image_size": 8, "split": "all", "cache": cache, **options})


def cache_file(folder):
    (path,) = folder.glob("*.npy")
    return path


@pytest.mark.parametrize("memory", [2**30, 0])
def test_files_are_decoded_once_and_the_bytes_are_the_same(place, tmp_path, decoded, monkeypatch, memory):
    monkeypatch.setattr("gan_jax.data.folder.MEMORY_SIZE", memory)
    plain = load(place, None)
    expected = plain.images[:]
    assert len(decoded) == 12
    first = load(place, tmp_path / "cache")
    np.testing.assert_array_equal(first.images[:], expected)
    assert len(decoded) == 24
    second = load(place, tmp_path / "cache")
    np.testing.assert_array_equal(second.images[:], expected)
    assert len(decoded) == 24
    assert plain.fingerprint() == first.fingerprint() == second.fingerprint()
    np.testing.assert_array_equal(second.labels, plain.labels)
    stored = np.load(cache_file(tmp_path / "cache"), mmap_mode="r")
    np.testing.assert_array_equal(stored[:, :-4].reshape(expected.shape), expected)


def test_another_size_method_or_file_gives_another_cache(place, tmp_path, decoded):
    cache = tmp_path / "cache"
    for options in ({}, {"image_size": 9}, {"resize": "pad"}, {"channels": 1}):
        with_cache, without = load(place, cache, **options), load(place, None, **options)
        np.testing.assert_array_equal(with_cache.images[:], without.images[:])
    assert len(list(cache.glob("*.npy"))) == 4
    # The same name and time of change, but other pixels.
    path = place / "a" / "0.png"
    facts = path.stat()
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    np.testing.assert_array_equal(load(place, cache).images[:], load(place, None).images[:])


def test_an_archive_and_pairs_have_a_cache(place, tmp_path, decoded):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for path in sorted(place.rglob("*.png")):
            archive.write(path, path.relative_to(place))
    for source, options in ((tmp_path / "images.zip", {}), (place, {"pairs": "folders"})):
        if options:
            for path in sorted((place / "b").iterdir()):
                path.rename(path.with_name(f"{int(path.stem) - 1}.png"))
            for path in sorted(place.rglob("*.png")):
                Image.open(path).resize((12, 12)).save(path)
            (place / "a").rename(place / "A")
            (place / "b").rename(place / "B")
        expected = load(source, None, **options)
        load(source, tmp_path / "cache", **options)
        before = len(decoded)
        again = load(source, tmp_path / "cache", **options)
        assert len(decoded) == before
        np.testing.assert_array_equal(again.images[:], expected.images[:])
        if options:
            np.testing.assert_array_equal(again.inputs[:], expected.inputs[:])


@pytest.mark.parametrize("damage", ["an image", "the end", "the header", "empty"])
def test_a_damaged_cache_is_mended(place, tmp_path, decoded, damage):
    expected = load(place, tmp_path / "cache").images[:]
    path = cache_file(tmp_path / "cache")
    content = bytearray(path.read_bytes())
    if damage == "an image":
        content[-200] ^= 1
    elif damage == "the header":
        content[12] ^= 255
    content = content[:-100] if damage == "the end" else content[:0] if damage == "empty" else content
    path.write_bytes(bytes(content))
    decoded.clear()
    np.testing.assert_array_equal(load(place, tmp_path / "cache").images[:], expected)
    assert len(decoded) == (1 if damage == "an image" else 12)
    decoded.clear()
    np.testing.assert_array_equal(load(place, tmp_path / "cache").images[:], expected)
    assert not decoded


def test_a_full_disk_changes_nothing(place, tmp_path, monkeypatch):
    expected = load(place, None).images[:]
    written = []

    def pwrite(file, row, offset):
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(offset)
        return len(row)  # A disk that lost the bytes.

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.warns(DataWarning, match=r"no more decoded images are stored \(No space left on device\)") as caught:
        np.testing.assert_array_equal(load(place, tmp_path / "cache").images[:], expected)
    assert len(caught) == 1
    monkeypatch.undo()
    np.testing.assert_array_equal(load(place, tmp_path / "cache").images[:], expected)


def test_a_folder_that_cannot_be_made_is_a_warning(place, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(DataWarning, match="decoded images are not stored"):
        images = load(place, tmp_path / "file" / "cache").images[:]
    np.testing.assert_array_equal(images, load(place, None).images[:])


def test_few_images_and_little_space_mean_no_cache(place, tmp_path, monkeypatch):
    monkeypatch.setattr(decoded_cache, "LEAST", 13)
    load(place, tmp_path / "cache")
    monkeypatch.setattr(decoded_cache, "LEAST", 2)
    monkeypatch.setattr(decoded_cache, "SPARE", 2**60)
    load(place, tmp_path / "cache")
    assert not list((tmp_path).glob("cache/*"))


def test_unreadable_files_are_skipped_as_without_a_cache(place, tmp_path):
    (place / "a" / "2.png").write_text("no image")
    for _ in range(2):
        with pytest.warns(DataWarning, match="skipped 1 of 12 files"):
            source = load(place, tmp_path / "cache")
        assert len(source) == 11
        assert source.skipped


def test_two_runs_fill_one_cache_at_once(tmp_path):
    path, barrier = tmp_path / "cache.npy", threading.Barrier(4)

    def fill(start):
        barrier.wait()
        cache = DecodedCache(path, (64, 8, 8, 3))
        for index in range(64):
            number = (index + start) % 64
            stored = cache.read(number)
            assert stored is None or (stored == number).all()
            cache.write(number, np.full((8, 8, 3), number, np.uint8))

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        list(threads.map(fill, (0, 16, 32, 48)))
    cache = DecodedCache(path, (64, 8, 8, 3))
    # If two runs made the file at the same moment, the one that lost wrote into a file without a name.
    for index in range(64):
        assert (stored := cache.read(index)) is None or (stored == index).all()
    fill_alone = DecodedCache(path, (64, 8, 8, 3))
    fill_alone.write(3, np.full((8, 8, 3), 3, np.uint8))
    assert (cache.read(3) == 3).all()


def test_another_file_at_the_place_is_replaced(tmp_path):
    np.save(tmp_path / "cache.npy", np.zeros((64, 10)))
    cache = DecodedCache(tmp_path / "cache.npy", (64, 8, 8, 3))
    assert cache.read(0) is None
    cache.close()
    assert np.load(tmp_path / "cache.npy").shape == (64, 8 * 8 * 3 + 4)
