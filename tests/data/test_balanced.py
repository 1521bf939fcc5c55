"""Batches in which all classes are equally frequent, and batches of small data sets."""

import numpy as np
import pytest

from gan_jax.data import Batches, DataError, Source


def source(counts=(20, 3, 0, 7)):
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    return Source("made", np.arange(len(labels), dtype=np.uint8)[:, None, None, None], labels, len(counts), "train", "made here")


def test_each_class_with_examples_is_drawn_equally_often():
    data = source()
    indices = Batches(data, 5, seed=3, balanced=True).indices_at(0, 60).reshape(-1)
    assert np.bincount(data.labels[indices], minlength=4).tolist() == [100, 100, 0, 100]
    # Every three examples are one of each class, and not always in one order.
    rounds = data.labels[indices].reshape(-1, 3)
    assert (np.sort(rounds) == [0, 1, 3]).all()
    assert len({tuple(row) for row in rounds.tolist()}) == 6


def test_a_class_has_epochs_without_replacement():
    data = source()
    indices = Batches(data, 5, seed=3, balanced=True).indices_at(0, 60).reshape(-1)
    large = indices[data.labels[indices] == 0]
    assert [sorted(large[start : start + 20].tolist()) for start in range(0, 100, 20)] == [list(range(20))] * 5
    assert large[:20].tolist() != large[20:40].tolist()


def test_balanced_batches_are_a_function_of_seed_and_step():
    one, two = (Batches(source(), 4, seed=1, balanced=True) for _ in range(2))
    whole = one.indices_at(0, 30)
    assert (two.indices_at(17, 2) == whole[17:19]).all()
    assert (Batches(source(), 4, seed=2, balanced=True).indices_at(0, 30) != whole).any()
    assert two.indices_at(3, 0).shape == (0, 4)


def test_balanced_batches_need_labels():
    unlabelled = Source("made", np.zeros((4, 8, 8, 1), np.uint8), None, 0, "train", "made here")
    with pytest.raises(DataError, match=r"^balanced: made has no labels$"):
        Batches(unlabelled, 2, balanced=True)


def test_several_minibatches_of_a_step_may_be_larger_than_the_data_together():
    data = source((3,))
    batches = Batches(data, 6, minibatches=2)
    assert sorted(batches.indices_at(0)[0].tolist()) == [0, 0, 1, 1, 2, 2]
    with pytest.raises(DataError, match=r"^batch_size=8: the data set has 3 images$"):
        Batches(data, 8, minibatches=2)
