"""What the loader of folders decides, and says: classes, splits, endings, modes and levels. Each case was once decided in silence."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from gan_jax.data import DataError, summarize
from gan_jax.data.layout import PARTS, count_of, natural
from support.data_files import folder, write_tree


def notices(source):
    return " | ".join(notice.text for notice in summarize(source).notices)


def said(source):
    return "\n".join(summarize(source).lines())


def test_one_grey_file_that_sorts_first_leaves_the_others_in_colour(tmp_path):
    write_tree(tmp_path, {"0.png": 7}, mode="L")
    for number in (1, 2):
        Image.new("RGB", (12, 12), (255, 0, 0)).save(tmp_path / f"{number}.png")
    source = folder(tmp_path, split="all")
    assert source.images[:, 0, 0].tolist() == [[7, 7, 7], [255, 0, 0], [255, 0, 0]]
    assert "1 of 3 files are grey and 2 in colour; all are read in colour" in notices(source)
    assert "2 of 3 files are in colour" in said(source)
    grey = folder(tmp_path, split="all", channels=1)
    assert (grey.shape, "2 of 3 files are in colour and are read as grey" in notices(grey)) == ((12, 12, 1), True)


def test_files_in_colour_that_look_grey_are_named(tmp_path):
    write_tree(tmp_path, {"0.png": 7, "1.png": 90})
    assert ("the files are stored in colour but look grey", "data.channels 1") in [
        (text.split(";")[0], advice) for text, advice in summarize(folder(tmp_path)).notices
    ]


# Twelve formats and modes: every file is used, and a class made only of other endings than .png keeps its images.
MIXTURE = {
    **{"a/1.png": ("RGB", "PNG"), "a/2.png": ("L", "PNG"), "a/3.jpg": ("RGB", "JPEG"), "a/4.jpeg": ("CMYK", "JPEG")},
    **{"b/1.webp": ("RGBA", "WEBP"), "b/2.tif": ("LAB", "TIFF"), "b/3.bmp": ("RGB", "BMP"), "b/4.gif": ("P", "GIF")},
    **{"c/1.tiff": ("I;16", "TIFF"), "c/2.pgm": ("L", "PPM"), "c/3.TGA": ("RGB", "TGA"), "c/4.png": ("LA", "PNG")},
    **{"d/1.jp2": ("RGB", "JPEG2000"), "d/2.png": ("1", "PNG"), "d/3.tif": ("F", "TIFF"), "d/4.ico": ("RGB", "ICO")},
}


def write_mixture(root):
    for name, (mode, form) in MIXTURE.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if mode in ("I;16", "F"):
            Image.fromarray(np.full((16, 16), 32896 if mode == "I;16" else 0.5, "u2" if mode == "I;16" else "f4")).save(path, form)
        else:
            color = {"LAB": (128, 128, 128), "RGBA": (128, 128, 128, 255), "LA": (128, 255), "1": 1}.get(mode, 128)
            Image.new(mode, (16, 16), (128,) * 3 if mode == "RGB" else (0, 0, 0, 127) if mode == "CMYK" else color).save(path, form)
    return root


def test_every_file_of_a_mixture_of_formats_and_modes_is_used(tmp_path):
    source = folder(write_mixture(tmp_path), split="all")
    assert (len(source), source.skipped, source.class_names) == (len(MIXTURE), (), ("a", "b", "c", "d"))
    grey = {name: int(value) for name, value in zip(sorted(MIXTURE), source.images[:, 6, 6, 0])}
    # "1" has no middle grey; LAB's 128 is a lightness of 50%, which is 119 in sRGB; palettes of GIF index web colours.
    others = {"d/2.png": 255, "b/2.tif": 119}
    assert {name: value for name, value in grey.items() if name != "b/4.gif"} == {
        name: pytest.approx(others.get(name, 128), abs=1) for name in MIXTURE if name != "b/4.gif"
    }


def test_files_that_are_not_read_are_counted_by_ending_and_their_class_stays(tmp_path):
    write_tree(tmp_path, {"a/0.png": 0, "c/0.png": 1})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.heic").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    source = folder(tmp_path, split="all")
    assert (source.class_names, source.labels.tolist()) == (("a", "b", "c"), [0, 2])
    assert summarize(source).files.ignored == {".heic": 1, ".txt": 1}
    assert "not read: 1 .heic, 1 .txt" in said(source)
    assert "class without an image to train on: b; G cannot learn it; remove the folder to renumber the classes" in notices(source)


@pytest.mark.parametrize("train", ["Train", "TRAINING", "train"])
@pytest.mark.parametrize("test", ["Test", "VAL", "Validation", "testing"])
def test_folders_of_parts_in_capitals_are_the_parts(tmp_path, train, test):
    write_tree(tmp_path, {f"{train}/cat/1.png": 1, f"{train}/dog/2.png": 2, f"{test}/dog/3.png": 3})
    source = folder(tmp_path)
    assert (source.class_names, source.labels.tolist(), len(source.held_out)) == (("cat", "dog"), [0, 1], 1)
    assert f"held out for the metrics: 1 (by the folders {train} and {test})" in said(source)


@pytest.mark.parametrize("above", ["train", "Train", "images", "data/train"])
def test_a_folder_that_holds_everything_is_passed_through(tmp_path, above):
    write_tree(tmp_path, {f"{above}/{kind}/{number}.png": number for kind in ("cat", "dog") for number in range(10)})
    source = folder(tmp_path)
    assert (source.class_names, len(source), len(source.held_out)) == (("cat", "dog"), 18, 2)


def test_one_folder_of_images_is_no_class(tmp_path):
    write_tree(tmp_path, {"celeba/1.png": 1, "celeba/2.png": 2})
    source = folder(tmp_path)
    assert (source.labels, source.num_classes, source.class_names) == (None, 0, ())
    assert "classes: none: the images are in one folder" in said(source)


def test_annotations_beside_the_images_are_no_class(tmp_path):
    write_tree(tmp_path, {"images/cat/1.png": 1, "images/dog/2.png": 2})
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances.json").write_text("[]")
    assert folder(tmp_path).class_names == ("cat", "dog")


def test_an_empty_folder_for_the_test_images_is_no_class(tmp_path):
    write_tree(tmp_path, {f"train/{kind}/{number}.png": number for kind in ("cat", "dog") for number in range(5)})
    (tmp_path / "test").mkdir()
    source = folder(tmp_path)
    assert (source.class_names, len(source.held_out)) == (("cat", "dog"), 1)


def test_images_of_other_folders_than_the_parts_are_named(tmp_path):
    write_tree(tmp_path, {"train/cat/1.png": 1, "train/dog/1.png": 1, "test/cat/2.png": 2, "val/cat/3.png": 3, "other/4.png": 4})
    source = folder(tmp_path)
    assert (len(source), len(source.held_out)) == (2, 1)
    assert "2 images outside of train and test left out: other, val" in notices(source)
    assert "2 outside of the folders for train and test" in said(source)


def test_test_images_without_classes_are_named_and_others_held_out(tmp_path):
    write_tree(tmp_path, {f"train/{kind}/{number}.png": number for kind in ("cat", "dog") for number in range(10)})
    write_tree(tmp_path, {f"test/{number}.png": number for number in range(30)})
    source = folder(tmp_path)
    assert (len(source), len(source.held_out), source.class_names) == (18, 2, ("cat", "dog"))
    assert "30 images beside the class folders, so without a class, left out" in notices(source)


def test_a_few_files_beside_class_folders_are_left_out_and_named(tmp_path):
    write_tree(tmp_path, {"cat/1.png": 1, "dog/2.png": 2, "dog/3.png": 3, "thumbnail.png": 9})
    source = folder(tmp_path, split="all")
    assert (source.class_names, source.images[:, 0, 0, 0].tolist()) == (("cat", "dog"), [1, 2, 3])
    assert "1 image beside the class folders, so without a class, left out: thumbnail.png" in notices(source)


def test_folders_beside_most_of_the_files_are_no_classes(tmp_path):
    write_tree(tmp_path, {"more/1.png": 1, "2.png": 2, "3.png": 3})
    source = folder(tmp_path, split="all")
    assert (source.labels, sorted(source.images[:, 0, 0, 0].tolist())) == (None, [1, 2, 3])
    assert "2 images beside the folders more, which hold 1, so the folders are not used as classes" in notices(source)


def test_an_empty_class_folder_keeps_its_number(tmp_path):
    write_tree(tmp_path, {"0/1.png": 1, "2/2.png": 2})
    (tmp_path / "1").mkdir()
    source = folder(tmp_path, split="all")
    assert (source.class_names, source.labels.tolist()) == (("0", "1", "2"), [0, 2])
    assert source.describe()["class_counts"] == [1, 0, 1]
    assert "class without an image to train on: 1" in notices(source)


def test_a_class_of_unreadable_files_keeps_its_number(tmp_path):
    write_tree(tmp_path, {"a/1.png": 1, "b/2.png": 2, "c/3.png": 3})
    (tmp_path / "b" / "2.png").write_text("no image")
    with pytest.warns(UserWarning, match=r"2\.png"):
        source = folder(tmp_path, split="all")
    assert (source.labels.tolist(), summarize(source).unreadable) == ([0, 2], 1)
    assert "class without an image to train on: b" in notices(source)
    assert "1 file cannot be read, e.g. " in notices(source)


def test_numeric_folder_names_are_in_numeric_order(tmp_path):
    write_tree(tmp_path, {f"{number}/0.png": number for number in (10, 9, 2, 100)})
    assert folder(tmp_path, split="all").class_names == ("2", "9", "10", "100")
    assert sorted(["b1", "a10", "a2", "a", "02", "2"], key=natural) == ["a", "a2", "a10", "b1", "02", "2"]


def test_classes_that_differ_in_capitals_and_deeper_folders_are_named(tmp_path):
    write_tree(tmp_path, {"Cat/1.png": 1, "cat/small/2.png": 2})
    text = notices(folder(tmp_path, split="all"))
    assert "classes whose names differ in capitals only: Cat, cat" in text
    assert "folders below the class folders are read as part of their class: cat/small" in text


@pytest.mark.parametrize(("highest", "bits"), [(255, 8), (1000, 10), (4095, 12), (16383, 14), (65535, 16)])
def test_16_bit_files_are_scaled_by_the_values_of_the_whole_set(tmp_path, highest, bits):
    for number, value in enumerate((highest, highest // 2)):
        Image.fromarray(np.full((12, 12), value, np.uint16)).save(tmp_path / f"{number}.png")
    source = folder(tmp_path, split="all")
    assert source.images[:, 0, 0, 0].tolist() == [highest >> (bits - 8), (highest // 2) >> (bits - 8)]
    values = f"integers from {highest // 2} to {highest}, which are read as {bits} bits"
    assert f"2 grey files with more than 8 bits have {values}" in notices(source)


@pytest.mark.parametrize(
    ("values", "expected"),
    [((0.0, 1.0), (0, 255)), ((-1.0, 1.0), (0, 255)), ((0.0, 51.0), (0, 51)), ((-50.0, 950.0), (0, 255))],
)
def test_floating_point_files_are_scaled_by_the_values_of_the_whole_set(tmp_path, values, expected):
    for number, value in enumerate(values):
        Image.fromarray(np.full((12, 12), value, np.float32)).save(tmp_path / f"{number}.tif")
    assert tuple(folder(tmp_path, split="all").images[:, 0, 0, 0].tolist()) == expected


def test_transparency_becomes_white_or_a_fourth_channel_and_is_named(tmp_path):
    for number in range(2):
        Image.new("RGBA", (12, 12), (10, 20, 30, 0 if number else 255)).save(tmp_path / f"{number}.png")
    source = folder(tmp_path, split="all")
    assert source.images[:, 0, 0].tolist() == [[10, 20, 30], [255, 255, 255]]
    assert "2 files of 2 can have transparent parts, which become white" in notices(source)
    assert folder(tmp_path, split="all", channels=4).images[:, 0, 0].tolist() == [[10, 20, 30, 255], [10, 20, 30, 0]]


def test_animations_small_files_and_odd_proportions_are_named(tmp_path):
    frames = [Image.new("L", (4, 12), 80 * number) for number in range(3)]
    frames[0].save(tmp_path / "0.gif", save_all=True, append_images=frames[1:])
    text = notices(folder(tmp_path, split="all"))
    assert "1 file with several frames or pages; the first is read" in text
    assert "1 of 1 files are smaller than 12x12 pixels and are enlarged" in text
    assert "most files have other proportions than 12x12: resize crop loses 67% of the median file" in text


def test_dark_images_and_uneven_classes_are_named(tmp_path):
    write_tree(tmp_path, {f"a/{number}.png": number for number in range(8)} | {"b/0.png": 0})
    text = notices(folder(tmp_path, split="all"))
    assert "the images are nearly black: no value is above 7 of 255" in text
    assert "the largest class has 8 images and the smallest 1" in text
    assert "only 9 images to train on" in text


def test_an_image_with_a_camera_orientation_is_counted_as_it_is_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (16, 8)).save(tmp_path / "sideways.jpg", exif=exif)
    Image.new("L", (16, 8)).save(tmp_path / "sideways.png", exif=exif)
    assert summarize(folder(tmp_path)).files.sizes == {"8x16": 2}


def test_an_archive_gives_the_images_of_its_folder(tmp_path):
    write_tree(tmp_path / "tree", {"cat/1.png": 1, "dog/2.png": 2, "dog/10.png": 3})
    with zipfile.ZipFile(tmp_path / "tree.zip", "w") as archive:
        for path in sorted((tmp_path / "tree").rglob("*.png")):
            archive.write(path, f"wrapped/{path.relative_to(tmp_path / 'tree')}")
        archive.writestr("__MACOSX/wrapped/cat/._1.png", b"")
    ours, theirs = folder(tmp_path / "tree.zip", split="all"), folder(tmp_path / "tree", split="all")
    assert (ours.class_names, ours.labels.tolist()) == (theirs.class_names, theirs.labels.tolist())
    assert (ours.images == theirs.images).all()


def test_archives_and_members_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "no.zip").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"no\.zip: not a readable zip archive"):
        folder(tmp_path / "no.zip")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("1.png", b"no image")
    with pytest.raises(DataError, match=r"some\.zip:1\.png: not a readable picture"):
        folder(tmp_path / "some.zip")


def test_names_of_parts_are_lower_case_and_counts_have_plurals():
    assert all(name == name.lower() for names in PARTS.values() for name in names)
    assert [count_of(1, "class"), count_of(2, "class"), count_of(2, "image")] == ["1 class", "2 classes", "2 images"]
