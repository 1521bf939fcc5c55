"""Images in .npy and .npz files."""

import struct
import zipfile

import numpy as np
import pytest

from gan_jax.data import DataError, summarize
from support.data_files import folder

IMAGES = np.arange(20, dtype=np.uint8)[:, None, None].repeat(12, 1).repeat(12, 2)


def test_an_npz_file_gives_images_and_labels(tmp_path):
    np.savez(tmp_path / "x.npz", images=IMAGES, labels=np.arange(20) % 2 + 9)
    source = folder(tmp_path / "x.npz")
    assert (source.shape, len(source), len(source.held_out), source.class_names) == ((12, 12, 1), 18, 2, ("9", "10"))
    assert source.images[:, 0, 0, 0].tolist() == [number for number in range(20) if number not in (9, 19)]
    assert (source.labels == source.images[:, 0, 0, 0] % 2).all()
    assert folder(tmp_path / "x.npz", split="test").labels.tolist() == source.held_out.labels.tolist() == [1, 1]
    assert "held out for the metrics: 2 (by every 10th image)" in "\n".join(summarize(source).lines())


def test_the_parts_of_keras_are_the_parts_and_share_the_classes(tmp_path):
    np.savez(tmp_path / "x.npz", x_train=IMAGES, y_train=[10] * 20, x_test=IMAGES[:3], y_test=[10, 9, 10])
    source = folder(tmp_path / "x.npz")
    assert (source.class_names, set(source.labels.tolist())) == (("9", "10"), {1})
    assert source.held_out.labels.tolist() == [1, 0, 1]
    assert len(folder(tmp_path / "x.npz", split="all")) == 23


@pytest.mark.parametrize("form", ["last", "first", "float", "signed", "12 bits"])
def test_a_npy_file_of_any_layout_and_type(tmp_path, form):
    colors = np.random.default_rng(0).integers(0, 256, (9, 12, 12, 3), np.uint8)
    colors[0, 0, 0] = (0, 255, 0)
    array = {
        "last": colors,
        "first": np.moveaxis(colors, -1, 1),
        "float": colors / np.float32(255),
        "signed": colors / np.float32(127.5) - 1,
        "12 bits": colors.astype(np.uint16) << 4,
    }[form]
    np.save(tmp_path / "x.npy", array)
    np.save(tmp_path / "x_labels.npy", np.eye(3, dtype=np.uint8)[np.arange(9) % 3])
    source = folder(tmp_path / "x.npy", split="all")
    assert (source.images == colors).all()
    assert source.labels.tolist() == [0, 1, 2] * 3


def test_a_large_npy_file_is_read_on_access_and_resized(tmp_path, monkeypatch):
    monkeypatch.setattr("gan_jax.data.arrays.MEMORY_SIZE", 0)
    np.save(tmp_path / "x.npy", np.full((11, 24, 24), 7, np.uint8))
    source = folder(tmp_path / "x.npy", channels=3)
    assert (source.shape, len(source), source.images[3][5, 5].tolist()) == ((12, 12, 3), 10, [7, 7, 7])
    assert not isinstance(source.images, np.ndarray)


class Trap:
    def __reduce__(self):
        return (print, ("unpickled",))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((3, 5))}, r"x\.npz:images: has shape \(3, 5\); expected images"),
        ({"images": np.zeros((3, 8, 8, 2))}, r"has shape \(3, 8, 8, 2\); expected images"),
        ({"images": np.zeros((3, 8, 8), complex)}, "holds complex128; expected numbers"),
        ({"images": np.zeros((3, 8, 8)), "labels": np.zeros(2, int)}, r"labels: has shape \(2,\) of int64 for 3 images"),
        ({"images": np.zeros((3, 8, 8)), "labels": np.zeros(3)}, r"labels: has shape \(3,\) of float64"),
        ({"pictures": np.zeros((3, 8, 8))}, r"holds no array named images, image, x, data, arr_0 or x_train; got no arrays"),
        ({"images": np.array([Trap()], object)}, "images holds Python objects, which are not allowed"),
    ],
)
def test_arrays_that_are_no_images_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=message):
        folder(tmp_path / "x.npz")


def test_damaged_npy_files_are_named_and_not_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-5])
    with pytest.raises(DataError, match=r"x\.npy: not a readable npy file"):
        folder(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", np.array([Trap()], object))
    with pytest.raises(DataError, match=r"x\.npy: not a readable npy file"):
        folder(tmp_path / "x.npy")


# NumPy parses a header as a Python literal. These make the parser raise TokenError, TypeError, and MemoryError or RecursionError.
@pytest.mark.parametrize("literal", ["(", "{[]: 1}", "-" * 9000 + "1"])
@pytest.mark.parametrize(("kind", "message"), [("npy", "not a readable npy file"), ("npz", "has no readable npy header")])
def test_headers_that_python_cannot_parse_are_named(tmp_path, kind, message, literal):
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(literal)) + literal.encode() + bytes(64)
    path = tmp_path / f"images.{kind}"
    if kind == "npy":
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("images.npy", content)
    with pytest.raises(DataError, match=rf"images\.{kind}.* {message}") as caught:
        folder(path)
    assert str(caught.value).isprintable()
