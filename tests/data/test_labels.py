"""Labels from labels.csv and from StyleGAN's dataset.json."""

import json
import zipfile

import pytest

from gan_jax.data import DataError, summarize
from support.data_files import folder, write_tree

FILES = {f"img{number}.png": number for number in range(4)}


def test_labels_of_a_csv_file_name_the_classes(tmp_path):
    write_tree(tmp_path, FILES)
    (tmp_path / "labels.csv").write_text("img0.png,dog\nimg1.png,cat\nimg2.png,dog\nimg3.png,cat\n")
    source = folder(tmp_path, split="all")
    assert (source.class_names, source.labels.tolist()) == (("cat", "dog"), [1, 0, 1, 0])
    assert summarize(source).files.classes_by == "labels.csv"


@pytest.mark.parametrize(
    "text",
    [
        "id;width;Label\nimg0;1;10\nimg1;1;9\nimg2;1;10\nimg3;1;9\n",  # the names without endings, as in Kaggle's data
        "\ufefflabel,file\n10,train/img0.png\n9,train/img1.png\n10,.\\train\\img2.png\n9,train/img3.png\n",
    ],
)
def test_columns_are_found_by_their_names_and_numbers_are_ordered(tmp_path, text):
    write_tree(tmp_path / "train", FILES)
    (tmp_path / "labels.csv").write_text(text)
    source = folder(tmp_path, split="all")
    assert (source.class_names, source.labels.tolist()) == (("9", "10"), [1, 0, 1, 0])


def test_images_without_a_label_and_labels_without_an_image_are_named(tmp_path):
    write_tree(tmp_path, FILES)
    (tmp_path / "labels.csv").write_text("img0.png,dog\nimg1.png,cat\nimg9.png,cat\n")
    source = folder(tmp_path, split="all")
    texts = [notice.text for notice in summarize(source).notices]
    assert len(source) == 2
    assert "2 images without a label in labels.csv, so without a class, left out: img2.png, img3.png" in texts
    assert "labels.csv names 1 file that no image is: img9.png" in texts


@pytest.mark.parametrize("archive", [False, True])
def test_the_layout_of_stylegan(tmp_path, archive):
    write_tree(tmp_path / "set", {f"0000{part}/img{part}{number}.png": number for part in range(2) for number in range(3)})
    labels = [[f"0000{part}/img{part}{number}.png", 7 if number else 3] for part in range(2) for number in range(3)]
    (tmp_path / "set" / "dataset.json").write_text(json.dumps({"labels": labels}))
    place = tmp_path / "set"
    if archive:
        place = tmp_path / "set.zip"
        with zipfile.ZipFile(place, "w") as file:
            for path in sorted((tmp_path / "set").rglob("*.*")):
                file.write(path, str(path.relative_to(tmp_path / "set")))
    source = folder(place, split="all")
    assert (source.class_names, source.labels.tolist()) == (("3", "7"), [0, 1, 1, 0, 1, 1])


def test_a_dataset_json_without_labels_gives_none_and_its_folders_are_used(tmp_path):
    write_tree(tmp_path, {"a/0.png": 0, "b/1.png": 1})
    (tmp_path / "dataset.json").write_text('{"labels": null}')
    assert folder(tmp_path, split="all").class_names == ("a", "b")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labels.csv", "", "is empty; write a file and its label in each row"),
        ("labels.csv", "img0.png,\n", "entry 1 is 'img0.png,'; expected a file and its label"),
        ("labels.csv", "img0.png,a\nimg0.png,b\n", "gives img0.png the labels a and b; keep one of them"),
        ("labels.csv", b"\xff\xfe\x00", "is not UTF-8 text; save it again as UTF-8"),
        ("dataset.json", "{", "not a readable JSON file"),
        ("dataset.json", '{"labels": [["img0.png", [0.5, 0.5]]]}', "a label is .*; expected .file, label. with a whole number or a name"),
        ("dataset.json", '{"labels": 3}', "a label is 3; expected"),
    ],
)
def test_labels_that_cannot_be_read_are_named(tmp_path, name, text, message):
    write_tree(tmp_path, FILES)
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=f"{name}: {message}"):
        folder(tmp_path)
