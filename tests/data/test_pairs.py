"""Pairs of an input and a target: side by side in a file, or in two folders. Both halves are read, skipped and moved together."""

import shutil
import zipfile

import jax
import numpy as np
import pytest
from PIL import Image

from gan_jax.conditioning import edges
from gan_jax.data import Batches, DataError, DataWarning, Feed, Source, load_source, summarize
from gan_jax.data.file_images import PairedImages
from gan_jax.data.jitter import jitter_images
from gan_jax.data.missing import missing_source
from support.data_files import write_tree

SIDE = 8


def half(number, domain):
    """A picture of its own for each number and domain: brighter to the right, so that mirroring shows."""
    return np.broadcast_to(20 * number + (100 if domain == "B" else 0) + np.arange(SIDE), (SIDE, SIDE)).astype(np.uint8)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_pairs(root, numbers, kind, *, a="A", b="B", names=str):
    """Writes pairs. Those of folders have different endings in A and B."""
    for number in numbers:
        if kind == "side-by-side":
            save(root / f"{names(number)}.png", np.concatenate([half(number, "A"), half(number, "B")], axis=1))
        else:
            save(root / a / f"{names(number)}.png", half(number, "A"))
            save(root / b / f"{names(number)}.bmp", half(number, "B"))
    return root


def load(root, kind, **options):
    return load_source("image_folder", data_dir=root, image_size=SIDE, pairs=kind, **options)


def numbers_of(images):
    """The numbers of pictures, from their left upper pixels."""
    return (np.asarray(images)[:, 0, 0, 0] % 100 // 20).tolist()


@pytest.mark.parametrize("direction", ["A-to-B", "B-to-A"])
@pytest.mark.parametrize("kind", ["side-by-side", "folders"])
def test_each_image_has_its_input(tmp_path, kind, direction):
    source = load(write_pairs(tmp_path, range(5), kind), kind, split="all", direction=direction)
    assert (source.shape, source.input_shape, source.labels) == ((SIDE, SIDE, 1), (SIDE, SIDE, 1), None)
    inputs, targets = (source.inputs, source.images) if direction == "A-to-B" else (source.images, source.inputs)
    np.testing.assert_array_equal(inputs[..., 0], [half(number, "A") for number in range(5)])
    np.testing.assert_array_equal(targets[..., 0], [half(number, "B") for number in range(5)])


@pytest.mark.parametrize("kind", ["side-by-side", "folders"])
def test_every_tenth_pair_is_held_out(tmp_path, kind):
    source = load(write_pairs(tmp_path, range(11), kind, names="{:02d}".format), kind)
    assert (len(source), len(source.held_out)) == (10, 1)
    np.testing.assert_array_equal(source.held_out.inputs[0, ..., 0], half(9, "A"))
    np.testing.assert_array_equal(source.held_out.images[0, ..., 0], half(9, "B"))
    assert source.nbytes == 2 * 10 * SIDE * SIDE


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (("trainA", "trainB"), ("testA", "testB")),
        (("train/A", "train/B"), ("val/A", "val/B")),
        (("A/train", "B/train"), ("A/test", "B/test")),
        (("data/train_a", "data/train_b"), ("data/valid_a", "data/valid_b")),
    ],
    ids=str,
)
def test_the_folders_of_the_domains_and_the_parts(tmp_path, train, test):
    write_pairs(tmp_path, (0, 1), "folders", a=train[0], b=train[1])
    write_pairs(tmp_path, (1, 3), "folders", a=test[0], b=test[1])
    source = load(tmp_path, "folders")
    assert numbers_of(source.images) == numbers_of(source.inputs) == [0, 1]
    assert numbers_of(source.held_out.images) == numbers_of(source.held_out.inputs) == [1, 3]
    assert summarize(source).files.held_out_by == "the folders of train and test"


def test_a_zip_archive_gives_the_same_pairs(tmp_path):
    write_pairs(tmp_path / "tree", range(3), "folders")
    with zipfile.ZipFile(tmp_path / "pairs.zip", "w") as archive:
        for path in sorted((tmp_path / "tree").rglob("*.*")):
            archive.write(path, f"facades/{path.relative_to(tmp_path / 'tree')}")
    here, there = (load(tmp_path / name, "folders", split="all") for name in ("tree", "pairs.zip"))
    np.testing.assert_array_equal(here.inputs, there.inputs)
    np.testing.assert_array_equal(here.images, there.images)


def test_images_without_a_partner_are_counted_and_named(tmp_path):
    write_pairs(tmp_path, range(3), "folders")
    write_tree(
        tmp_path, {"A/only_a.png": 1, "B/only_b.png": 2, "B/also_b.png": 3, "cover.png": 4, "A/0.jpg": 5}, mode="L", size=(SIDE, SIDE)
    )
    summary = summarize(load(tmp_path, "folders", split="all"))
    text = "\n".join([*summary.lines(), *(notice.text for notice in summary.notices)])
    for part in (
        "3 pairs of 8x8",
        "pairs: 3 pairs of equal names; A is the input, B the target",
        "1 image of A without a partner of the same name in B left out: A/only_a.png",
        "2 images of B without a partner of the same name in A left out: B/also_b.png, B/only_b.png",
        "1 image with the name of another one left out: A/0.png",
        "1 image outside of the folders A and B left out: cover.png",
        "11 image files in",
        "only 3 pairs to train on; D soon knows them by heart without augmentation",
    ):
        assert part in text
    assert summary.notices[-1].advice == "data.flip True data.jitter 1"  # 8 pixels by 30 of 256.
    assert summary.to_dict()["left_out"]["outside of the folders A and B"] == 1


def test_a_third_part_is_left_out_and_named(tmp_path):
    for part in ("train", "test", "val"):
        write_pairs(tmp_path, (1, 2), "folders", a=f"{part}A", b=f"{part}B")
    source = load(tmp_path, "folders")
    assert (len(source), len(source.held_out)) == (2, 2)
    assert source.files.left_out == {"of a second part to test on": 4}


def test_a_pair_with_a_damaged_file_is_left_out_as_a_whole(tmp_path):
    write_pairs(tmp_path, range(4), "folders")
    (tmp_path / "B" / "2.bmp").write_text("no image")
    with pytest.warns(DataWarning, match=r"skipped 1 of 4 files: .*2\.bmp: not a readable picture"):
        source = load(tmp_path, "folders", split="all")
    assert numbers_of(source.inputs) == numbers_of(source.images) == [0, 1, 3]
    assert source.passed_over()["count"] == 1


def test_pairs_that_are_read_on_access_are_those_in_memory(tmp_path, monkeypatch):
    write_pairs(tmp_path, range(5), "folders")
    in_memory = load(tmp_path, "folders", split="all", direction="B-to-A")
    (tmp_path / "B" / "2.bmp").write_text("no image")
    monkeypatch.setattr("gan_jax.data.folder.MEMORY_SIZE", 0)
    streamed, reads = load(tmp_path, "folders", split="all", direction="B-to-A"), []
    read = PairedImages.read
    monkeypatch.setattr(PairedImages, "read", lambda self, index: reads.append(index) or read(self, index))
    rows = np.array([4, 2, 0])
    with pytest.warns(DataWarning):
        images, inputs = streamed.images[rows], streamed.inputs[rows]
    # Pair 3 is the next one after the damaged pair 2. Each pair is decoded once for both of its images.
    np.testing.assert_array_equal(images, in_memory.images[[4, 3, 0]])
    np.testing.assert_array_equal(inputs, in_memory.inputs[[4, 3, 0]])
    assert reads == [4, 2, 0]
    assert streamed.passed_over()["count"] == 1


def test_the_fingerprint_covers_the_inputs_and_a_record_keeps_their_shape(tmp_path):
    source = load(write_pairs(tmp_path, range(3), "side-by-side"), "side-by-side", split="all")
    save(tmp_path / "1.png", np.concatenate([half(2, "A"), half(1, "B")], axis=1))
    changed = load(tmp_path, "side-by-side", split="all")
    np.testing.assert_array_equal(source.images, changed.images)
    assert source.fingerprint() != changed.fingerprint()
    assert missing_source(source.describe(), "gone").input_shape == (SIDE, SIDE, 1)


@pytest.mark.parametrize("pipeline", ["memory", "stream"])
def test_both_images_of_a_pair_are_mirrored_and_cropped_alike(pipeline):
    if pipeline == "stream":
        pytest.importorskip("grain")
    images = np.random.default_rng(0).integers(60, 190, (20, SIDE, SIDE, 1), np.uint8)
    source = Source("pairs", images, None, 0, "all", "made here", inputs=images.copy())
    with Feed(source, batch_size=6, seed=1, flip=True, jitter=3, pipeline=pipeline, workers=0) as feed:
        batches = jax.jit(feed.gather)(feed.chunk(2, 2))
    assert sorted(batches) == ["image", "input"]
    assert batches["image"].shape == (2, 6, SIDE, SIDE, 1)
    np.testing.assert_array_equal(batches["image"], batches["input"])
    plain = Batches(source, 6, 1)
    flips, crops = (getattr(Batches(source, 6, 1, flip=True, jitter=3), f"{name}_at")(2, 2) for name in ("flips", "crops"))
    assert (len(np.unique(flips)), crops.min(), crops.max()) == (2, 0, 3)
    for step in range(2):
        for row, image in enumerate(plain.at(2 + step)["image"]):
            large = Image.fromarray((image[:, ::-1] if flips[step, row] else image)[..., 0]).resize(
                (SIDE + 3,) * 2, Image.Resampling.BICUBIC
            )
            top, left = crops[step, row]
            expected = np.asarray(large)[top : top + SIDE, left : left + SIDE].astype(int)
            assert np.abs(expected - np.asarray(batches["image"])[step, row, ..., 0]).max() <= 1


def test_crops_are_uniform_and_a_function_of_seed_and_step():
    source = Source("images", np.zeros((9, SIDE, SIDE, 1), np.uint8), None, 0, "all", "made here")
    crops = Batches(source, 9, 5, jitter=2).crops_at(0, 200)
    counts = np.array([[(crops[..., 0] == top).__and__(crops[..., 1] == left).sum() for left in range(3)] for top in range(3)])
    # 8 degrees of freedom: mean 8, standard deviation 4.
    assert ((counts - 200) ** 2 / 200).sum() < 8 + 5 * 4
    np.testing.assert_array_equal(Batches(source, 9, 5, jitter=2).at(7)["crop"], crops[7])
    assert (Batches(source, 9, 6, jitter=2).crops_at(0) != crops[0]).any()
    with pytest.raises(DataError, match=r"^jitter: ring has points, not images$"):
        Batches(load_source("ring", count=20), 4, jitter=2)


def test_an_enlarged_image_is_that_of_pillow():
    # Pillow rounds and clips between the two directions, so the values stay away from 0 and 255.
    image = np.random.default_rng(1).integers(60, 190, (12, 9, 3), np.uint8)
    places = np.array([[0, 0], [4, 4], [1, 3]], np.int32)
    cropped = np.asarray(jitter_images(np.stack([image] * 3), places, jitter=4))
    large = np.asarray(Image.fromarray(image).resize((13, 16), Image.Resampling.BICUBIC)).astype(int)
    for result, (top, left) in zip(cropped, places, strict=True):
        assert np.abs(result - large[top : top + 12, left : left + 9]).max() <= 1


def odd_width(root):
    write_pairs(root, range(2), "side-by-side")
    save(root / "odd.png", np.zeros((SIDE, 2 * SIDE + 1), np.uint8))


def two_sizes(root):
    write_pairs(root, range(2), "folders")
    save(root / "B" / "1.bmp", np.zeros((SIDE, SIDE + 2), np.uint8))


def other_names(root):
    write_pairs(root, range(2), "folders")
    shutil.move(root / "B", root / "other")
    for path in (root / "other").iterdir():
        save(root / "B" / f"b{path.name}", np.asarray(Image.open(path)))
    shutil.rmtree(root / "other")


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (odd_width, "side-by-side", r"1 of 3 files have an odd width, .*odd\.png is 17 pixels wide"),
        (two_sizes, "folders", r"A/1\.png and .*B/1\.bmp have 8x8 and 10x8 pixels; the images of a pair must have one size"),
        (other_names, "folders", r"no image of A has the name of one of B, e\.g\. .*A/0\.png and .*B/b0\.bmp; give both"),
        (lambda root: write_pairs(root, (1,), "folders", b="C"), "folders", r"has no images in a folder B .*; it holds A/, C/$"),
        (lambda root: write_pairs(root, (1,), "side-by-side"), "folders", r"no images in a folder A or B .*; it holds no folders$"),
        (lambda root: write_pairs(root, (1,), "folders"), "diagonal", r"must be one of side-by-side, folders, unpaired$"),
    ],
)
def test_what_are_no_pairs_is_one_line(tmp_path, make, kind, message):
    make(tmp_path)
    with pytest.raises(DataError, match=message) as raised:
        load(tmp_path, kind, split="all")
    assert str(raised.value).startswith(f'pairs="{kind}": ')
    assert "\n" not in str(raised.value)


def test_a_late_fault_of_a_streamed_pair_follows_on_corrupt(tmp_path, monkeypatch):
    """Headers beyond the first 20,000 are not read at the start, so such a pair is found when it is decoded."""
    for kind, make in (("side-by-side", odd_width), ("folders", two_sizes)):
        make(tmp_path / kind)
        monkeypatch.setattr("gan_jax.data.folder.read_some", lambda *arguments: {})
        with pytest.raises(DataError, match=r"odd\.png: is 17 pixels wide|have 8x8 and 10x8 pixels"):
            load(tmp_path / kind, kind, split="all", channels=1, on_corrupt="stop")
        with pytest.warns(DataWarning, match="skipped 1 of"):
            assert len(load(tmp_path / kind, kind, split="all", channels=1)) == (2 if kind == "side-by-side" else 1)


def test_an_input_for_each_image():
    images = np.zeros((3, SIDE, SIDE, 1), np.uint8)
    with pytest.raises(DataError, match="3 images but 2 inputs"):
        Source("pairs", images, None, 0, "all", "made here", inputs=images[:2])
    with pytest.raises(DataError, match=r'^direction="C-to-A": must be one of A-to-B, B-to-A$'):
        load_source("image_folder", data_dir=".", direction="C-to-A")
    with pytest.raises(DataError, match="the source mnist5k does not take it"):
        load_source("mnist5k", pairs="folders")


def write_domains(root, a=3, b=5, **folders):
    """Two domains of different numbers of images."""
    for letter, count in (("A", a), ("B", b)):
        for number in range(count):
            save(root / folders.get(letter, letter) / f"{letter}{number}.png", half(number, letter))
    return root


@pytest.mark.parametrize("direction", ["A-to-B", "B-to-A"])
def test_two_domains_need_no_pairs(tmp_path, direction):
    source = load(write_domains(tmp_path), "unpaired", split="all", direction=direction)
    domains = {"A": [half(number, "A") for number in range(3)], "B": [half(number, "B") for number in range(5)]}
    np.testing.assert_array_equal(source.inputs[..., 0], domains[direction[0]])
    np.testing.assert_array_equal(source.images[..., 0], domains[direction[-1]])
    assert not source.paired
    (tmp_path / "cover.png").write_bytes((tmp_path / "A" / "A0.png").read_bytes())
    summary = summarize(load(tmp_path, "unpaired", split="all", direction=direction))
    text = "\n".join([*summary.lines(), *(notice.text for notice in summary.notices)])
    counts = {"A": 3, "B": 5}
    assert f"pairs: none: {counts[direction[0]]} images of {direction[0]} are the inputs, {counts[direction[-1]]} images of" in text
    assert "9 image files in" in text
    assert text.count("1 image outside of the folders A and B left out: cover.png") == 1


def test_each_domain_has_its_own_held_out_images_and_order(tmp_path):
    write_domains(tmp_path, 4, 3, A="trainA", B="trainB")
    write_domains(tmp_path, 2, 1, A="testA", B="testB")
    source = load(tmp_path, "unpaired")
    assert [len(part) for part in (source.inputs, source.images, source.held_out.inputs, source.held_out.images)] == [4, 3, 2, 1]
    batches = Batches(source, 3, seed=0, flip=True)
    for inputs, count in ((False, 3), (True, 4)):
        used = batches.indices_at(0, 4, inputs=inputs).reshape(-1, count)
        assert (np.sort(used) == np.arange(count)).all()
    assert (batches.flips_at(0, 20) != batches.flips_at(0, 20, inputs=True)).any()
    record = source.describe()
    assert (record["paired"], record["input_examples"], record["examples"]) == (False, 4, 3)
    gone = missing_source(record, "gone")
    assert (gone.paired, len(gone.inputs), len(gone)) == (False, 4, 3)


@pytest.mark.parametrize("pipeline", ["memory", "stream"])
def test_unpaired_batches_are_the_same_on_the_host_on_the_device_and_streamed(pipeline):
    if pipeline == "stream":
        pytest.importorskip("grain")
    images = np.random.default_rng(0).integers(60, 190, (7, SIDE, SIDE, 1), np.uint8)
    source = Source("domains", images[:3], None, 0, "all", "made here", inputs=images[3:], paired=False)
    with Feed(source, batch_size=2, seed=3, flip=True, jitter=2, pipeline=pipeline, workers=0) as feed:
        batches = jax.jit(feed.gather)(feed.chunk(1, 2))
    host = Batches(source, 2, 3, flip=True, jitter=2)
    for row in range(2):
        batch = host.at(1 + row)
        for name, crops in (("image", "crop"), ("input", "input_crop")):
            expected = jitter_images(batch[name], batch[crops], jitter=2)
            np.testing.assert_array_equal(batches[name][row], expected)
    assert sorted(batches) == ["image", "input"]
    assert (host.crops_at(0, 20) != host.crops_at(0, 20, inputs=True)).any()


def test_a_grey_domain_gets_the_channels_of_a_coloured_one(tmp_path):
    write_domains(tmp_path)
    Image.new("RGB", (SIDE, SIDE), (200, 10, 10)).save(tmp_path / "B" / "red.png")
    source = load(tmp_path, "unpaired", split="all")
    assert source.input_shape == source.shape == (SIDE, SIDE, 3)
    (tmp_path / "B" / "B1.png").write_text("no image")
    with pytest.warns(DataWarning):
        assert load(tmp_path, "unpaired", split="all").passed_over()["count"] == 1
    shutil.rmtree(tmp_path / "A")
    with pytest.raises(DataError, match=r'^pairs="unpaired": .* has no images in a folder A .*; it holds B/$'):
        load(tmp_path, "unpaired")


def test_digits_and_edges_of_other_digits():
    digits = load_source("mnist5k")
    source = load_source("digit_edges")
    assert (len(source), len(source.inputs), source.paired, len(source.held_out)) == (2000, 2000, False, 1000)
    np.testing.assert_array_equal(source.images, digits.images[::2])
    np.testing.assert_array_equal(source.labels, digits.labels[::2])
    assert np.bincount(source.labels).tolist() == [200] * 10
    few = digits.images[1:40:2]
    expected = np.asarray(edges(jax.random.key(0), few / np.float32(127.5) - 1))
    np.testing.assert_allclose(source.inputs[:20], (expected + 1) * 127.5, atol=1)
    # The edges of the Sobel kernel at one pixel of the second digit, by hand: e = min(1, 2 |grad|) of values in [-1, 1].
    image = digits.images[1, ..., 0].astype(float) / 127.5 - 1
    row, column = np.argwhere((image[1:-1, 1:-1] > -0.9) & (image[1:-1, 1:-1] < 0.9))[0] + 1
    window, kernel = image[row - 1 : row + 2, column - 1 : column + 2], np.outer([1, 2, 1], [-1, 0, 1]) / 8
    magnitude = np.hypot((window * kernel).sum(), (window * kernel.T).sum())
    assert source.inputs[0, row, column, 0] == pytest.approx(255 * min(1, 2 * magnitude), abs=1)
    held_out = source.held_out
    assert held_out.paired
    np.testing.assert_array_equal(held_out.images, digits.held_out.images)
    assert [len(load_source("digit_edges", split="all").inputs), len(load_source("digit_edges", split="test"))] == [2500, 1000]
