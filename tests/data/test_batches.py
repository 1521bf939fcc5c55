"""The batch of a step is a pure function of (seed, step). It is the same on the host, on the device and streamed."""

import hashlib
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.data import Batches, DataError, DeviceBatches, Feed, Source, StreamBatches, load_source
from gan_jax.data.batches import permutation
from gan_jax.data.source import LazyImages


def numbered(count, labels=True, size=4):
    """Images whose values are their own index, so that a batch shows its examples."""
    images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, size, size, 1)).copy()
    images[:, :, 0] = 255  # the left edge, to detect mirrored images
    return Source("numbered", images, np.arange(count, dtype=np.int32) % 7 if labels else None, 7 if labels else 0, "train", "made here")


def chunk_of(form, step, count):
    return jax.jit(form.gather)(form.chunk(step, count))


def test_order_of_an_epoch_is_the_sorted_stream_of_philox():
    # From the stream itself, drawn by NumPy's Philox with the key (seed, epoch), ranked by SciPy's definition of ordinal ranks.
    from scipy.stats import rankdata

    order = permutation(5, 3, 100)
    draws = np.random.Philox(key=[5, 3]).random_raw(100)
    assert (rankdata(draws, method="ordinal")[order] == np.arange(1, 101)).all()


def test_orders_are_permutations_that_differ_by_seed_and_epoch():
    orders = [permutation(seed, epoch, 50) for seed in (0, 1, -1) for epoch in (0, 1)]
    assert all((np.sort(order) == np.arange(50)).all() for order in orders)
    assert len({order.tobytes() for order in orders}) == len(orders)


def test_orders_are_uniform():
    counts = np.zeros((5, 5))
    for epoch in range(4000):
        counts[np.arange(5), permutation(0, epoch, 5)] += 1
    # 16 degrees of freedom: mean 16, standard deviation 5.7.
    assert ((counts - 800) ** 2 / 800).sum() < 16 + 5 * 5.7


@pytest.mark.parametrize("batch_size", [1, 7, 10, 23])
def test_every_example_is_used_once_an_epoch(batch_size):
    batches = Batches(numbered(23), batch_size, seed=3)
    steps = 23 * 4
    used = np.concatenate([batches.indices_at(step)[0] for step in range(steps)])
    for epoch in used.reshape(-1, 23):
        assert np.sort(epoch).tolist() == list(range(23))
    assert (used.reshape(-1, 23)[0] != used.reshape(-1, 23)[1]).any()


def test_batch_is_a_function_of_seed_and_step_alone():
    walked = Batches(numbered(50), 8, seed=1)
    path = [walked.at(step) for step in range(40)]
    for step in (39, 0, 17, 6, 17):
        asked = Batches(numbered(50), 8, seed=1).at(step)
        for name in ("image", "label"):
            assert (asked[name] == path[step][name]).all()
    assert (Batches(numbered(50), 8, seed=2).indices_at(0) != walked.indices_at(0)).any()


def test_batch_is_the_same_in_another_process():
    program = (
        "from gan_jax.data import Batches, load_source; import hashlib;"
        "print(hashlib.sha256(Batches(load_source('mnist5k'), 64, 7).at(123)['image'].tobytes()).hexdigest())"
    )
    here = Batches(load_source("mnist5k"), 64, 7).at(123)["image"].tobytes()
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert there == hashlib.sha256(here).hexdigest()


def test_batch_has_its_images_with_their_labels():
    source = numbered(50)
    batch = Batches(source, 8, seed=0).at(3)
    assert (batch["image"].shape, batch["image"].dtype) == ((8, 4, 4, 1), np.uint8)
    assert (batch["label"].shape, batch["label"].dtype) == ((8,), np.int32)
    assert (batch["image"][:, 0, 1, 0] % 7 == batch["label"]).all()
    assert Batches(numbered(50, labels=False), 8).at(0).keys() == {"image"}


@pytest.mark.parametrize("flip", [False, True])
def test_parts_of_the_processes_make_up_the_batch(flip):
    batches = Batches(numbered(50), 12, seed=0, flip=flip)
    whole = batches.at(5)
    parts = [batches.at(5, index, 3) for index in range(3)]
    for name in whole:
        assert (np.concatenate([part[name] for part in parts]) == whole[name]).all()
    with pytest.raises(DataError, match=r"^batch_size=12: 5 processes cannot share it evenly"):
        batches.at(0, 0, 5)
    with pytest.raises(ValueError, match="process_index must be from 0 to 2; got 3"):
        batches.at(0, 3, 3)


def test_half_of_the_images_are_mirrored_by_seed_and_step():
    batches = Batches(numbered(60), 50, seed=0, flip=True)
    plain = Batches(numbered(60), 50, seed=0)
    flips = batches.flips_at(0, 100)
    assert abs(flips.mean() - 0.5) < 5 * 0.5 / np.sqrt(flips.size)
    assert (flips[3:5] == batches.flips_at(3, 2)).all()
    assert len({row.tobytes() for row in flips}) == 100
    assert (flips != Batches(numbered(60), 50, seed=1, flip=True).flips_at(0, 100)).any()
    mirrored, upright = batches.at(4)["image"], plain.at(4)["image"]
    assert (mirrored[flips[4]] == upright[flips[4]][:, :, ::-1]).all()
    assert (mirrored[~flips[4]] == upright[~flips[4]]).all()
    assert (mirrored != upright).any()
    assert not plain.flips_at(0, 5).any()


def test_batch_larger_than_the_data_set_is_refused():
    with pytest.raises(DataError, match=r"^batch_size=51: the data set has 50 images$"):
        Batches(numbered(50), 51)
    with pytest.raises(DataError, match=r"^batch_size=0: must be at least 1"):
        Batches(numbered(50), 0)
    with pytest.raises(DataError, match=r"^batch_size=320: the data set has 200 points$"):
        Feed(load_source("ring", count=200), batch_size=64 * 5)
    with pytest.raises(DataError, match=r"^batch_size=10: 3 processes cannot share it evenly; use a multiple of 3$"):
        Feed(numbered(50), batch_size=2 * 5, process_count=3)
    with pytest.raises(ValueError, match="step must not be negative; got -1"):
        Batches(numbered(50), 5).at(-1)
    with pytest.raises(DataError, match=r"^flip: ring has points, not images$"):
        Batches(load_source("ring", count=10), 2, flip=True)


def test_far_step_is_as_quick_as_the_first():
    source = Source("many", np.zeros((1, 1, 1, 1), np.uint8).repeat(10_000, 0), None, 0, "train", "made here")
    batches = Batches(source, 64, seed=0)
    assert batches.at(10**9)["image"].shape == (64, 1, 1, 1)
    # The order of an epoch is computed once, and the cache keeps at most two.
    for step in range(0, 10**6, 10**5):
        batches.indices_at(step)
    assert batches._order.cache_info().currsize == 2


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("pipeline", ["memory", "stream"])
def test_device_forms_give_the_batches_of_the_host(pipeline, flip):
    source = numbered(50)
    with Feed(source, batch_size=8, seed=4, pipeline=pipeline, workers=2, flip=flip) as feed:
        assert feed.in_memory == (pipeline == "memory")
        for step, count in ((0, 3), (3, 3), (6, 3), (9, 1), (2, 3), (1000, 2)):
            got = chunk_of(feed, step, count)
            assert got["image"].shape == (count, 8, 4, 4, 1)
            for row in range(count):
                expected = Batches(source, 8, seed=4, flip=flip).at(step + row)
                for name in expected:
                    assert got[name].dtype == expected[name].dtype
                    assert (np.asarray(got[name][row]) == expected[name]).all()


def test_device_forms_give_points_and_unlabelled_images():
    points, unlabelled = load_source("ring", count=100), numbered(20, labels=False)
    for pipeline in ("memory", "stream"):
        for source in (points, unlabelled):
            with Feed(source, batch_size=10, pipeline=pipeline, workers=0) as feed:
                got, expected = chunk_of(feed, 3, 1), Batches(source, 10).at(3)
                assert got.keys() == expected.keys()
                assert (np.asarray(got["image"][0]) == expected["image"]).all()


@pytest.mark.parametrize("form", [DeviceBatches, StreamBatches])
def test_device_forms_give_each_process_its_part(form):
    batches = Batches(numbered(50), 12, seed=0)
    parts = []
    for index in range(2):
        each = form(batches, process_index=index, process_count=2)
        parts.append(np.asarray(chunk_of(each, 7, 2)["image"]))
        each.close()
    assert (np.concatenate(parts, axis=1)[1] == batches.at(8)["image"]).all()


def test_gathering_copies_no_data_set_into_the_program():
    feed = Feed(numbered(200), batch_size=8)
    lowered = jax.jit(feed.gather).lower(feed.chunk(0, 2)).as_text()
    assert "tensor<200x4x4x1xui8>" in lowered.split("->")[0]  # an argument
    assert "dense" not in lowered or "200x4x4x1xui8> : dense" not in lowered


def test_gathering_works_under_donation():
    feed = Feed(numbered(50), batch_size=8)

    def step(params, opt_state, chunk):
        return params + feed.gather(chunk)["image"].astype(jnp.float32).sum(), opt_state + 1

    program = jax.jit(step, donate_argnums=(0, 1))
    params, opt_state = jnp.zeros(()), jnp.zeros(())
    for number in range(3):
        params, opt_state = program(params, opt_state, feed.chunk(number, 1))
    expected = sum(int(feed.batches.at(number)["image"].sum(dtype=np.int64)) for number in range(3))
    assert float(params) == expected


class Failing(LazyImages):
    shape = (50, 4, 4, 1)

    def read(self, index):
        if index == 13:
            raise DataError("picture 13: not readable")
        return np.full((4, 4, 1), index, np.uint8)


def test_failure_in_a_worker_reaches_the_loop():
    source = Source("failing", Failing(), None, 0, "train", "made here")
    feed = Feed(source, batch_size=10, pipeline="stream", workers=2)

    def play():
        for step in range(5):
            feed.chunk(step, 1)

    with pytest.raises(DataError, match="picture 13: not readable"):
        play()
    feed.close()


def test_feed_leaves_no_thread_behind():
    before = threading.active_count()
    with Feed(numbered(50), batch_size=8, pipeline="stream", workers=2) as feed:
        feed.chunk(0, 2)
    assert not [thread for thread in threading.enumerate() if "batches-to-device" in thread.name]
    assert threading.active_count() <= before + 2  # grain's readers end when they are collected


def test_pipeline_is_chosen_by_size(monkeypatch):
    monkeypatch.setattr("gan_jax.data.feed.MEMORY_LIMIT", 500)
    with Feed(numbered(50), batch_size=8) as large, Feed(numbered(30), batch_size=8) as small:
        assert not large.in_memory
        assert small.in_memory
    with pytest.raises(DataError, match=r"^pipeline=\"disk\": must be auto, memory or stream"):
        Feed(numbered(50), batch_size=8, pipeline="disk")


def test_stream_without_grain_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(DataError, match=r"^pipeline=\"stream\": needs grain; install it with: pip install 'gan-jax\[grain\]'"):
        Feed(numbered(50), batch_size=8, pipeline="stream")


def test_lazy_images_are_indexed_like_an_array():
    class Squares(LazyImages):
        shape = (10, 2, 2, 1)

        def read(self, index):
            return np.full((2, 2, 1), index * index, np.uint8)

    lazy = Squares()
    array = np.asarray(lazy)
    assert array.shape == (10, 2, 2, 1)
    for index in (
        3,
        -1,
        np.int64(4),
        slice(2, 9, 3),
        slice(None, None, -4),
        [1, 5, 5],
        np.array([[0, 9], [-2, 3]]),
        np.array([], np.int64),
    ):
        assert np.array_equal(lazy[index], array[index])
    for index in (10, -11, [3, 10]):
        with pytest.raises(IndexError, match="there are 10 images"):
            lazy[index]
    with pytest.raises(IndexError, match="indexed by integers"):
        lazy[np.ones(10, bool)]
