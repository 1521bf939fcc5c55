"""Trees of image files: classes, splits, sizes, and files that cannot be read or that disappear."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gan_jax.data import DataError, DataWarning
from gan_jax.data.decode import DEFAULT_MOST_PIXELS, decode
from gan_jax.data.images import fit, to_channels
from gan_jax.data.tree import DirectoryTree
from support.data_files import folder, streamed, tree, write_tree


def test_labels_are_the_folders(tmp_path):
    source = folder(tree(tmp_path), split="all")
    assert (source.class_names, source.num_classes, len(source)) == (("a", "b"), 2, 20)
    assert sorted(source.images[source.labels == 1, 0, 0, 0].tolist()) == list(range(1, 20, 2))
    assert source.images.dtype == np.uint8
    assert source.held_out is None


def test_every_tenth_file_is_held_out(tmp_path):
    source = folder(tree(tmp_path))
    held_out = source.held_out.images[:, 0, 0, 0].tolist()
    assert (len(source), held_out) == (18, [18, 19])  # the tenth and twentieth of a/000, a/002, ..., b/019
    assert sorted(source.images[:, 0, 0, 0].tolist() + held_out) == list(range(20))
    assert folder(tmp_path, split="test").images[:, 0, 0, 0].tolist() == held_out


@pytest.mark.parametrize("test", ["test", "val"])
def test_folders_of_the_parts_are_the_parts(tmp_path, test):
    write_tree(tmp_path, {"train/cat/1.png": 1, "train/dog/2.png": 2, f"{test}/dog/3.png": 3, "other/4.png": 4})
    source = folder(tmp_path)
    assert (source.class_names, source.labels.tolist()) == (("cat", "dog"), [0, 1])
    assert (source.held_out.labels.tolist(), source.held_out.images[0, 0, 0, 0]) == ([1], 3)
    assert len(folder(tmp_path, split="all")) == 3


def test_flat_folder_has_no_labels_and_endings_and_hidden_files_are_minded(tmp_path):
    write_tree(tmp_path, {"1.png": 1, "2.JPG": 2, "3.jpeg": 3, ".4.png": 4, ".hidden/5.png": 5})
    (tmp_path / "notes.txt").write_text("not an image, and not called one")
    source = folder(tmp_path, split="all")
    assert source.labels is None
    assert source.num_classes == 0
    assert source.images[:, 0, 0, 0].tolist() == [1, 2, 3]


def test_channels_are_those_of_the_files_or_as_asked(tmp_path):
    write_tree(tmp_path / "grey", {"1.png": 7}, mode="L")
    (tmp_path / "red").mkdir()
    Image.new("RGB", (12, 12), (255, 0, 0)).save(tmp_path / "red" / "1.png")
    assert folder(tmp_path / "grey", split="all").shape == (12, 12, 1)
    assert folder(tmp_path / "grey", split="all", channels=3).images[0, 0, 0].tolist() == [7, 7, 7]
    assert folder(tmp_path / "red", split="all").images[0, 0, 0].tolist() == [255, 0, 0]
    assert folder(tmp_path / "red", split="all", channels=1).images[0, 0, 0].tolist() == [76]  # 0.299 * 255


def test_grey_is_what_pillow_makes_it():
    colors = np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)
    assert (to_channels(colors, 1)[..., 0] == np.asarray(Image.fromarray(colors).convert("L"))).all()


@pytest.mark.parametrize(
    ("resize", "expected"),
    [
        # At the left edge and in the middle, in rows 4, 24 and 44: the sides of the wide picture are white, its middle is dark.
        ("crop", [[10, 10], [10, 10], [10, 10]]),
        ("pad", [[0, 0], [255, 10], [0, 0]]),
        ("stretch", [[255, 10], [255, 10], [255, 10]]),
    ],
)
def test_wide_picture_is_brought_to_a_square(resize, expected):
    wide = np.full((16, 48), 10, np.uint8)
    wide[:, :10] = wide[:, 38:] = 255
    square = np.asarray(fit(Image.fromarray(wide), 48, resize))
    assert square.shape == (48, 48)
    assert [[int(square[row, 2]), int(square[row, 24])] for row in (4, 24, 44)] == expected


def test_small_picture_grows_and_one_that_fits_is_left_alone():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8))
    assert fit(noise, 16) is noise
    assert fit(noise, 32).size == (32, 32)
    # A constant stays that constant, whatever the filter.
    assert set(np.asarray(fit(Image.new("L", (5, 7), 9), 16)).reshape(-1).tolist()) == {9}


def test_kinds_of_pictures_are_read_as_documented(tmp_path):
    transparent = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    transparent.putpixel((0, 0), (10, 20, 30, 255))
    transparent.save(tmp_path / "transparent.png")
    pixels = decode(tmp_path / "transparent.png", size=8, channels=3)
    assert (pixels[0, 0].tolist(), pixels[4, 4].tolist()) == ([10, 20, 30], [255, 255, 255])
    Image.fromarray(np.full((8, 8), 0x1234, np.uint16)).save(tmp_path / "deep.png")
    assert decode(tmp_path / "deep.png", size=8, channels=1)[0, 0] == 0x12
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    palette.save(tmp_path / "palette.png")
    assert decode(tmp_path / "palette.png", size=8, channels=3)[0, 0].tolist() == [9, 8, 7]
    sideways = Image.new("L", (16, 8))
    sideways.paste(200, (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees clockwise: the left half becomes the top half
    sideways.save(tmp_path / "sideways.jpg", exif=exif, quality=100)
    shown = decode(tmp_path / "sideways.jpg", size=16, channels=1, resize="stretch")[..., 0]
    assert shown[:6].min() > 180
    assert shown[-6:].max() < 20


def test_text_named_png_is_skipped_counted_and_named(tmp_path):
    tree(tmp_path, broken=(4, 7))
    with pytest.warns(DataWarning, match=r"skipped 2 of 20 files: .*004.png: not a readable picture.*007.png"):
        source = folder(tmp_path, split="all")
    assert len(source) == len(source.labels) == 18
    assert sorted(source.images[:, 0, 0, 0].tolist()) == [number for number in range(20) if number not in (4, 7)]
    assert [line.split(":")[0].rsplit("/", 1)[1] for line in source.skipped] == ["004.png", "007.png"]
    with pytest.raises(DataError, match=r"004.png: not a readable picture; replace or delete it"):
        folder(tmp_path, split="all", on_corrupt="stop")


def test_tree_without_a_readable_picture_is_refused(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"holds no images that can be used .*; it holds no files"):
        folder(tmp_path)
    with pytest.raises(
        DataError, match=r'^data_dir=".*absent": no such directory, zip archive, .npy or .npz file; give that of the images$'
    ):
        folder(tmp_path / "absent")
    tree(tmp_path, 3, broken=(0, 1, 2))
    with pytest.raises(DataError, match="none of the 3 files can be read, "):
        folder(tmp_path, split="all")
    source = streamed(monkeypatch, tmp_path, split="all")
    with pytest.warns(DataWarning), pytest.raises(DataError, match="none of the 3 files can be read"):
        source.images[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resize": "fold"}, r'^resize="fold": must be one of crop, pad, stretch$'),
        ({"on_corrupt": "ignore"}, r'^on_corrupt="ignore": must be skip or stop$'),
        ({"split": "validation"}, r'^split="validation": image_folder has train, test, all$'),
        ({"channels": 2}, r"^channels=2: must be 1"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        folder(tree(tmp_path, 3), **options)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width, height, data):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def test_picture_that_claims_to_be_huge_is_refused(tmp_path):
    path = tmp_path / "huge.png"
    side = int(DEFAULT_MOST_PIXELS**0.5)
    path.write_bytes(png_claiming(10, 10, bytes(110)))
    assert decode(path, size=10, channels=1).sum() == 0
    for width in (side + 10, 9_000, 2**31 - 1):
        path.write_bytes(png_claiming(width, width, bytes(110)))
        with pytest.raises(DataError, match=r"huge.png: .*(pixels; at most|not a readable)"):
            decode(path, size=10, channels=1)


def test_strange_files_are_named(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "drawing.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")
    for name, message in (
        ("folder.png", "is a directory"),
        ("empty.png", "not a readable"),
        ("drawing.png", "not a readable"),
        ("none.png", "no such file"),
    ):
        with pytest.raises(DataError, match=f"{name}: {message}"):
            decode(tmp_path / name, size=8, channels=1)


def test_links_to_folders_are_followed(tmp_path):
    write_tree(tmp_path / "elsewhere", {"dogs/1.png": 1, "dogs/small/2.png": 2})
    write_tree(tmp_path / "pictures", {"cat/0.png": 0})
    (tmp_path / "pictures" / "dog").symlink_to(tmp_path / "elsewhere" / "dogs")
    source = folder(tmp_path / "pictures", split="all")
    assert (source.class_names, source.labels.tolist()) == (("cat", "dog"), [0, 1, 1])
    assert source.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    (tmp_path / "all").symlink_to(tmp_path / "pictures")
    assert folder(tmp_path / "all", split="all").fingerprint() == source.fingerprint()


def test_links_in_a_circle_end_and_are_named(tmp_path):
    write_tree(tmp_path, {"a/0.png": 0, "b/1.png": 1})
    (tmp_path / "a" / "other").symlink_to("../b")  # each link leads to the other folder ...
    (tmp_path / "b" / "other").symlink_to("../a")
    (tmp_path / "b" / "up").symlink_to("..")  # ... and one to the root
    with pytest.warns(DataWarning) as caught:
        names = DirectoryTree(tmp_path).listing().files
    assert names == ("a/0.png", "b/1.png")  # folders of the tree are listed before links
    said = [str(warning.message) for warning in caught]
    assert [f"{tmp_path}/{name}: leads to " in text for name, text in zip(("a/other", "b/other", "b/up"), said, strict=True)] == [True] * 3


def test_of_two_links_to_one_folder_the_second_is_named(tmp_path):
    write_tree(tmp_path / "elsewhere", {"0.png": 0})
    (tmp_path / "pictures").mkdir()
    for name in ("y", "x"):
        (tmp_path / "pictures" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.warns(DataWarning, match=r"pictures/y: leads to .*elsewhere, which is already listed; skipped"):
        assert DirectoryTree(tmp_path / "pictures").listing().files == ("x/0.png",)
