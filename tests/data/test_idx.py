"""IDX files as the data sets have them, and all known kinds of damage."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest

from gan_jax.data import DataError, load_source
from gan_jax.data.idx import INSTALLED, read_idx
from support.data_files import idx_bytes, write_idx_set


def test_idx_file_is_read_as_its_definition_says(tmp_path):
    # Worked by hand: two images of two rows and three columns.
    path = tmp_path / "images"
    path.write_bytes(bytes.fromhex("00000803 00000002 00000002 00000003") + bytes(range(12)))
    assert read_idx(path, 3).tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize(
    ("compressed", "joint", "place"),
    [(True, "-", ""), (False, "-", ""), (False, ".", "raw"), (True, "-", "{folder}/raw"), (True, "-", "{name}")],
)
def test_data_set_is_read_in_every_layout(tmp_path, name, compressed, joint, place):
    folder = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}[name]
    arrays = write_idx_set(tmp_path / place.format(folder=folder, name=name), compressed=compressed, joint=joint)
    source = load_source(name, data_dir=tmp_path)
    assert source.images.shape == (30, 32, 32, 1)
    assert (source.images[:, 2:30, 2:30, 0] == arrays["train-images"]).all()
    assert source.labels.tolist() == arrays["train-labels"].tolist()
    assert (source.held_out.images[:, 2:30, 2:30, 0] == arrays["t10k-images"]).all()
    assert len(source.class_names) == source.num_classes == 10
    assert len(load_source(name, data_dir=tmp_path, split="all")) == 40


def test_large_images_are_scaled_when_they_are_asked_for(tmp_path, monkeypatch):
    write_idx_set(tmp_path)
    whole = load_source("mnist", data_dir=tmp_path, image_size=64, channels=3)
    monkeypatch.setattr("gan_jax.data.images.MEMORY_SIZE", 1000)
    lazy = load_source("mnist", data_dir=tmp_path, image_size=64, channels=3)
    assert isinstance(whole.images, np.ndarray)
    assert not isinstance(lazy.images, np.ndarray)
    assert lazy.images.shape == whole.images.shape == (30, 64, 64, 3)
    assert (lazy.images[[4, 2]] == whole.images[[4, 2]]).all()
    assert (lazy.images[:] == whole.images).all()
    assert lazy.fingerprint() != load_source("mnist", data_dir=tmp_path, image_size=48, channels=3).fingerprint()
    lazy.images.images.images[4, 20, 20] ^= 1  # a pixel of the original images
    assert lazy.fingerprint() != load_source("mnist", data_dir=tmp_path, image_size=64, channels=3).fingerprint()


def image_file(header_shape=(3, 28, 28), data=3 * 784, magic="00000803"):
    return bytes.fromhex(magic) + struct.pack(f">{len(header_shape)}I", *header_shape) + bytes(data)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with 0x, expected 0x00000803"),
        (b"not an image at all", "not an IDX image file: it begins with 0x6e6f7420, expected 0x00000803"),
        (image_file(magic="00000801"), "begins with 0x00000801, expected 0x00000803"),
        (image_file(magic="00000d03"), "begins with 0x00000d03"),
        (image_file()[:9], "truncated in its header"),
        (image_file(data=3 * 784 - 1), "claims 2352 bytes of shape .3, 28, 28., more than the file holds"),
        (image_file(data=3 * 784 + 1), "longer than the 2352 bytes"),
        (image_file((2**32 - 1, 2**32 - 1, 2**32 - 1)), "more than the file holds"),
        (gzip.compress(image_file(), mtime=0)[:-20], "truncated gzip file"),
        (gzip.compress(image_file(), mtime=0)[:7], "truncated gzip file"),
        (gzip.compress(image_file(data=700), mtime=0), "truncated: 700 bytes of 2352"),
        (gzip.compress(image_file((2**20, 28, 28), 700), mtime=0), "more than the file holds"),
        (gzip.compress(image_file(), mtime=0)[:30] + b"\xff" * 10, "cannot be read|truncated"),
        (gzip.compress(image_file(), mtime=0)[:-8] + bytes(8), "cannot be read"),
        (b"\x1f\x8b" + bytes(40), "cannot be read"),
    ],
)
def test_broken_file_is_named_in_one_line(tmp_path, content, message):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path, 3)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bomb_takes_no_memory(tmp_path):
    # 1.2 GB of zeros, compressed to a megabyte, with a correct header.
    path = tmp_path / "train-images-idx3-ubyte.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(image_file((1200, 1000, 1000), 0))
        for _ in range(40):
            file.write(bytes(2**20))
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(bytes(2 * 2**20))  # the file is as large as its header claims
    assert size < 2**20
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"at most 1073741824 .1 GiB. are supported"):
            read_idx(path, 3)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r'^data_dir=".*absent": no such directory; give that of the IDX files of mnist$'):
        load_source("mnist", data_dir=tmp_path / "absent")
    with pytest.raises(DataError, match="holds no IDX files of mnist"):
        load_source("mnist", data_dir=tmp_path)
    with pytest.raises(DataError, match="absent: no such file"):
        read_idx(tmp_path / "absent", 3)
    with pytest.raises(DataError, match="is a directory"):
        read_idx(tmp_path, 3)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match='file": not a directory'):
        load_source("mnist", data_dir=tmp_path / "file")
    write_idx_set(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte.gz: no such file; the data set has four files"):
        load_source("mnist", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-labels-idx1-ubyte.gz", np.zeros(29, np.uint8), "29 labels for the 30 images of train-images-idx3-ubyte.gz"),
        ("train-labels-idx1-ubyte.gz", np.full(30, 10, np.uint8), "a label is 10; the classes are 0 to 9"),
        ("train-images-idx3-ubyte.gz", np.zeros((0, 28, 28), np.uint8), "30 labels for the 0 images"),
        ("train-images-idx3-ubyte.gz", np.zeros((30, 1, 5000), np.uint8), "images of 1x5000 pixels"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(tmp_path, name, array, message):
    write_idx_set(tmp_path)
    (tmp_path / name).write_bytes(gzip.compress(idx_bytes(array)))
    with pytest.raises(DataError, match=message):
        load_source("mnist", data_dir=tmp_path)


def test_fashion_mnist_is_looked_for_where_debian_puts_it(tmp_path, monkeypatch):
    assert str(INSTALLED["fashion_mnist"]) == "/usr/share/datasets/fashion-mnist"
    monkeypatch.setitem(INSTALLED, "fashion_mnist", tmp_path / "fashion-mnist")
    with pytest.raises(
        DataError,
        match=r"fashion-mnist: no such directory; install Debian's .*, give the directory of the IDX files, or take tfds:fashion_mnist",
    ):
        load_source("fashion_mnist")
    write_idx_set(tmp_path / "fashion-mnist")
    assert load_source("fashion_mnist").class_names[-1] == "ankle boot"


@pytest.mark.skipif(not INSTALLED["fashion_mnist"].is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_installed_fashion_mnist():
    source = load_source("fashion_mnist")
    assert (len(source), len(source.held_out)) == (60_000, 10_000)
    assert np.bincount(source.labels).tolist() == [6000] * 10
    # The mean of the pixels, 72.94, is that of the data set's own documentation of its normalisation, 0.2860 of 255.
    assert source.images[:, 2:30, 2:30].mean() / 255 == pytest.approx(0.2860, abs=1e-4)
