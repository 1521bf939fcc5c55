"""The measurement for an accelerator: its limit of time, resuming, its parts, and the file that carries the images."""

import json
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks.accelerator import correctness, recipe, scale, search, steps
from experiments.benchmarks.accelerator.run import main
from experiments.benchmarks.accelerator.session import RESERVE, TRIES, Session
from experiments.benchmarks.accelerator.summary import parts_without_rows, summary
from experiments.tools.pack_images import read_folder, write_npz
from gan_jax.data.npz import read_npz
from gan_jax.trainer.build.traced import traceable
from support.scripts import ROOT, assert_one_line


def session(tmp_path, seconds=100.0):
    return Session(tmp_path / "rows.json", seconds + RESERVE)


def test_rows_are_written_at_once_and_an_earlier_call_is_continued(tmp_path):
    first = session(tmp_path)
    assert first.item("a/one", lambda: {"x": 1}, needs=1) == {"x": 1}
    stored = json.loads((tmp_path / "rows.json").read_text())
    assert stored["rows"]["a/one"]["values"] == {"x": 1}
    second = session(tmp_path)
    assert second.item("a/one", lambda: pytest.fail("measured again"), needs=1) == {"x": 1}
    assert second.values("a/") == {"one": {"x": 1}}
    assert len(second.calls) == 2


def test_an_item_that_does_not_fit_is_left_out_by_name(tmp_path):
    rows = session(tmp_path, seconds=10)
    assert rows.item("a/long", lambda: pytest.fail("started"), needs=20) is None
    assert rows.skipped["a/long"] == "needs about 20 s, 10 s are left"
    with rows.part(1):
        assert rows.item("a/later", lambda: pytest.fail("started"), needs=5) is None
    assert rows.item("a/later", lambda: 3, needs=5) == 3
    assert "a/later" not in rows.skipped


def test_the_time_of_an_item_sizes_those_of_its_kind(tmp_path, monkeypatch):
    rows, clock = session(tmp_path, seconds=100), [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def slow():
        clock[0] += 60
        return 1

    assert rows.item("a/first", slow, needs=1, kind="k") == 1
    assert rows.item("a/second", lambda: pytest.fail("started"), needs=1, kind="k") is None
    assert rows.skipped["a/second"].startswith("needs about 72 s")


def test_an_error_is_a_row_and_an_item_that_ends_the_process_is_given_up(tmp_path):
    rows = session(tmp_path)
    assert rows.item("a/wrong", lambda: 1 / 0, needs=1) is None
    assert rows.rows["a/wrong"]["error"] == "ZeroDivisionError: division by zero"
    rows.started["a/fatal"] = TRIES
    assert rows.item("a/fatal", lambda: pytest.fail("started"), needs=1) is None
    assert "ended the process" in rows.skipped["a/fatal"]


def test_the_process_ends_in_time_and_keeps_its_rows(tmp_path):
    code = (
        "import time, pathlib\n"
        "from experiments.benchmarks.accelerator.session import Session, RESERVE\n"
        f"rows = Session(pathlib.Path({str(tmp_path / 'rows.json')!r}), RESERVE + 1, on_timeout=lambda: 5)\n"
        "rows.watch()\n"
        "rows.item('a/one', lambda: 1, needs=0)\n"
        "rows.item('a/endless', lambda: time.sleep(60), needs=0)\n"
    )
    begin = time.monotonic()
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=50)
    assert time.monotonic() - begin < 30
    assert result.returncode == 5
    stored = json.loads((tmp_path / "rows.json").read_text())
    assert stored["rows"].keys() == {"a/one"}
    assert stored["started"]["a/endless"] == 1
    assert stored["calls"][0]["ended"] == "time"


def test_images_travel_as_one_file(tmp_path):
    draws = np.random.default_rng(0)
    arrays = {
        "train_images": draws.integers(0, 256, (5, 28, 28), np.uint8),
        "train_labels": draws.integers(0, 10, 5, np.uint8),
        "test_images": draws.integers(0, 256, (3, 28, 28), np.uint8),
        "test_labels": draws.integers(0, 10, 3, np.uint8),
    }
    write_npz(tmp_path / "images.npz", arrays)
    recipe.unpack_images(tmp_path / "images.npz", tmp_path / "idx")
    for found in (read_folder(tmp_path / "idx"), read_npz(tmp_path / "images.npz", tuple(arrays))):
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)


def test_relative_errors():
    assert correctness.relative_error({"a": np.array([3.0, 4.0])}, {"a": np.array([3.0, 4.0])}) == 0
    assert correctness.relative_error([np.array([3.0, 4.5])], [np.array([3.0, 4.0])]) == pytest.approx(0.1)
    assert correctness.relative_error([np.array([np.nan])], [np.array([1.0])]) == float("inf")
    assert correctness.relative_error([np.array([1e-3])], [np.array([0.0])]) == pytest.approx(1e-3)


def test_references_are_computed_in_float64():
    found = correctness.reference64(lambda x: x + 1e-12, np.ones(3, np.float32))
    assert found.dtype == np.float64
    assert (found > 1).all()
    assert jnp.ones(1).dtype == jnp.float32


@pytest.mark.parametrize("method", search.METHODS)
def test_every_method_of_the_search_can_be_traced(method):
    config = search.method_config(method, "ring")
    settings = search.draw_settings(method, 32)
    assert set(settings) <= set(traceable(config))
    assert set(search.METHODS[method][1].split()) <= set(settings)
    plain = search.draw_settings("non-saturating", 32)
    for name, values in settings.items():
        assert values.shape == (32,)
        if name in plain:
            np.testing.assert_array_equal(values, plain[name])


def test_a_search_that_collapsed_fails():
    source = search.load_points("ring")
    good = np.asarray(source.images[:2500])
    one_mode = np.repeat(source.centers[:1], 2500, 0)
    found = search.summarise(np.stack([good, one_mode, np.full_like(good, np.nan)]), "ring")
    assert found["failed"] == pytest.approx(2 / 3)
    assert found["all_modes"] == pytest.approx(1 / 3)
    energies = [row[found["columns"].index("energy")] for row in found["rows"]]
    assert abs(energies[0]) < 0.02 < energies[1]
    assert energies[2] is None
    # The failed run counts as the worst of the others: the mean of (good, bad, bad).
    assert found["best_of_k_energy"][1] == pytest.approx((energies[0] + 2 * energies[1]) / 3)


def test_operations_of_a_step_are_counted():
    workload = scale.TOY.workloads["dcgan8"]
    gan, batch = steps.make_gan_of(workload, "float32")
    twice, _ = steps.make_gan_of(workload._replace(batch=2 * workload.batch), "float32")
    double = {"image": jax.ShapeDtypeStruct((2 * workload.batch, *batch["image"].shape[1:]), jnp.uint8)}
    assert steps.count_operations(twice, double) == pytest.approx(2 * steps.count_operations(gan, batch), rel=0.1)


def test_the_table_names_what_is_missing_and_what_failed(tmp_path):
    rows = session(tmp_path)
    rows.item("steps/dcgan64 gan_jax tf32", lambda: {"milliseconds": 1.5, "share_of_peak": 0.5, "megabytes": 10.0}, needs=1)
    rows.item("correctness/losses", lambda: {"error": 1.0, "passed": False, "worst": "hinge"}, needs=1)
    rows.item("data/folder", lambda: 1 / 0, needs=1)
    rows.skipped["steps/PyTorch"] = "not installed"
    text = summary(rows, scale.FULL)
    assert "gan_jax tf32 1.50 (50%, 10)" in text
    assert "WRONG losses: 1.0e+00 (hinge)" in text
    assert "data/folder: ZeroDivisionError" in text
    assert "steps/PyTorch: not installed" in text
    assert set(parts_without_rows(rows)) == set(scale.PARTS) - {"steps", "correctness"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--minutes", "0"], "--minutes 0.0: must be from 0.2 to 600"),
        (["--only", "speed"], "--only speed: must be of correctness, steps"),
        (["--images", "nowhere.npz"], "--images nowhere.npz: there is no such file"),
        ([], "JAX finds no accelerator here"),
    ],
)
def test_errors_are_one_line(words, message, capsys, tmp_path):
    with pytest.raises(SystemExit) as end:
        main(["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work"), *words])
    assert_one_line((end.value.code, "", capsys.readouterr().err), message)


@pytest.mark.parametrize(
    ("seconds", "steps"),
    [(160.0, 10_000), (1e6, 12_000), (50.0, 3_000), (30.0, 3_750), (9.0, 2_500), (-5.0, 2_500)],
)
def test_the_search_has_as_many_steps_as_fit(seconds, steps):
    # 8 methods on 2 data sets, with 1 ms a step of all runs, else 4, else 2. Whole chunks of 250 steps.
    assert search.choose_steps(seconds, scale.FULL, 1e-3, 250) == steps
