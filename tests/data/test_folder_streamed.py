"""Image folders that are read during training: unreadable and removed files, and the labels of their replacements."""

import warnings

import jax
import numpy as np
import pytest

from gan_jax.data import Batches, DataError, DataWarning, Feed, check_unchanged
from support.data_files import folder, streamed, tree, write_tree


def test_streamed_files_that_cannot_be_read_are_replaced_alike_each_time(tmp_path, monkeypatch):
    source = streamed(monkeypatch, tree(tmp_path, broken=(4, 7)), split="all")
    assert len(source) == 20
    with pytest.warns(DataWarning, match=r"skipped .*004.png") as caught:
        values = source.images[:][:, 0, 0, 0].tolist()
    order = list(range(0, 20, 2)) + list(range(1, 20, 2))
    assert values == [{4: 6, 7: 9}.get(number, number) for number in order]
    assert len(caught) == len(source.images.problems) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # each is named once
        assert source.images[:][:, 0, 0, 0].tolist() == values
    again = streamed(monkeypatch, tmp_path, split="all")
    with pytest.warns(DataWarning):
        assert (Batches(again, 5).at(9)["image"] == Batches(source, 5).at(9)["image"]).all()


def test_streamed_file_that_cannot_be_read_stops_the_run_if_asked(tmp_path, monkeypatch):
    source = streamed(monkeypatch, tree(tmp_path, broken=(4,)), split="all", on_corrupt="stop")
    with Feed(source, batch_size=20, workers=2, pipeline="stream") as feed, pytest.raises(DataError, match=r"004.png: not a readable"):
        feed.chunk(0, 1)


def test_data_set_that_shrinks_is_noticed(tmp_path, monkeypatch):
    source = streamed(monkeypatch, tree(tmp_path), split="all")
    recorded = source.describe()
    (tmp_path / "a" / "004.png").unlink()
    with pytest.warns(DataWarning, match=r"skipped .*004.png: no such file .1 of 20 files so far"):
        source.images[:]
    with pytest.raises(DataError, match="shrank from 20 to 19 examples since the run began"):
        check_unchanged(recorded, streamed(monkeypatch, tmp_path, split="all"))
    for number in (6, 8, 10):
        (tmp_path / "a" / f"{number:03d}.png").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DataError, match=r"the data set shrank: 3 of 20 files are gone, e.g. .*; restore it"):
            source.images[:]


def test_file_replaced_by_another_is_noticed(tmp_path):
    recorded = folder(tree(tmp_path), split="all").describe()
    write_tree(tmp_path, {"a/004.png": 200})
    with pytest.raises(DataError, match="not the one that the run began with"):
        check_unchanged(recorded, folder(tmp_path, split="all"))


def labelled(tmp_path, kinds=("a", "b", "c"), count=6):
    """Images whose grey value is ten times their label, class by class."""
    write_tree(tmp_path, {f"{kind}/{number}.png": 10 * label for label, kind in enumerate(kinds) for number in range(count)})
    return tmp_path


def break_files(tmp_path, *names):
    for name in names:
        (tmp_path / name).write_text("this is a text")


def gathered(source, pipeline="stream"):
    """Grey values and labels of one epoch, as the training loop gets them."""
    with Feed(source, batch_size=len(source), pipeline=pipeline, workers=2) as feed:
        batches = jax.jit(feed.gather)(feed.chunk(0, 1))
    return np.asarray(batches["image"][0, :, 0, 0, 0]), np.asarray(batches["label"][0])


@pytest.mark.filterwarnings("ignore::gan_jax.data.DataWarning")
@pytest.mark.parametrize("pipeline", ["stream", "memory"])
def test_a_substituted_picture_has_a_label_of_its_own_class(tmp_path, monkeypatch, pipeline):
    labelled(tmp_path)
    break_files(tmp_path, "a/5.png", "b/0.png", "b/4.png", "b/5.png", "c/5.png")  # the last of each class, among others
    source = streamed(monkeypatch, tmp_path, split="all")
    values, labels = gathered(source, pipeline)
    assert values.tolist() == (10 * labels).tolist()
    assert np.bincount(labels).tolist() == [6, 6, 6]  # a class stays as large as it was
    assert (source.images[:][:, 0, 0, 0] == 10 * source.labels).all()  # as the metrics pair them


@pytest.mark.filterwarnings("ignore::gan_jax.data.DataWarning")
@pytest.mark.parametrize("pipeline", ["stream", "memory"])
def test_where_nothing_of_a_class_can_be_read_the_label_is_that_of_the_picture(tmp_path, monkeypatch, pipeline):
    labelled(tmp_path, count=3)
    break_files(tmp_path, *(f"b/{number}.png" for number in range(3)))
    values, labels = gathered(streamed(monkeypatch, tmp_path, split="all"), pipeline)
    assert values.tolist() == (10 * labels).tolist()
    assert np.bincount(labels).tolist() == [3, 0, 6]


def test_the_next_file_of_the_class_takes_the_place_of_one(tmp_path, monkeypatch):
    write_tree(tmp_path, {"a/0.png": 0, "a/1.png": 1, "b/0.png": 10, "b/1.png": 11, "b/2.png": 12})
    break_files(tmp_path, "a/1.png", "b/1.png")
    source = streamed(monkeypatch, tmp_path, split="all")
    with pytest.warns(DataWarning, match="a/1.png"):
        assert source.images[:][:, 0, 0, 0].tolist() == [0, 0, 10, 12, 12]
    assert source.images.stand_ins(np.arange(5)).tolist() == [0, 0, 2, 4, 4]
    assert source.labels_of(np.arange(5)).tolist() == [0, 0, 1, 1, 1]


def test_a_file_of_another_size_or_name_changes_the_fingerprint_of_a_streamed_tree(tmp_path, monkeypatch):
    source = streamed(monkeypatch, labelled(tmp_path), split="all")
    recorded = source.describe()
    check_unchanged(recorded, streamed(monkeypatch, tmp_path, split="all"))
    whole = (tmp_path / "a" / "3.png").read_bytes()
    (tmp_path / "a" / "3.png").write_bytes(whole + b" ")
    with pytest.raises(DataError, match="not the one that the run began with"):
        check_unchanged(recorded, streamed(monkeypatch, tmp_path, split="all"))
    (tmp_path / "a" / "3.png").unlink()
    assert source.fingerprint() != recorded["fingerprint"]  # removed after it was listed
    (tmp_path / "a" / "7.png").write_bytes(whole)
    with pytest.raises(DataError, match="not the one that the run began with"):
        check_unchanged(recorded, streamed(monkeypatch, tmp_path, split="all"))
    assert not source.images.problems  # no picture is decoded for it
