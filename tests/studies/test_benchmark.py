"""The benchmark's arithmetic: what it throws away, what it divides by what, and that every row builds."""

import json
import os
import platform
import shutil
import sys
from pathlib import Path

import pytest

from experiments.benchmarks import benchmark, jax_steps, pipelines, step_variants, timing
from experiments.benchmarks.workloads import WORKLOADS
from gan_jax.trainer import environment, run_directory


def test_samples_beside_slow_probes_are_thrown_away():
    rows = [(1.0, 10.0), (1.1, 12.0), (5.0, 99.0), (1.0, 11.0)]
    assert timing._summary(rows, limit=1.2) == timing.Timing(median=11.0, least=10.0, greatest=12.0, kept=3, rejected=1)


def test_where_all_is_slow_the_half_with_the_best_probes_stays():
    rows = [(9.0, 99.0), (3.0, 1.0), (4.0, 2.0), (5.0, 3.0), (8.0, 98.0), (7.0, 97.0)]
    assert timing._summary(rows, limit=1.2).median == 2.0


def test_candidates_take_turns_and_calls_of_several_steps_are_divided():
    order = []
    candidates = {name: timing.Candidate(lambda name=name: order.append(name), steps) for name, steps in (("a", 1), ("b", 1000))}
    timings = timing.interleave(candidates, seconds=0, least_rounds=5, sample_seconds=0)
    assert order == ["a", "a", "b", "b"] + ["a", "b"] * 5
    assert timings["b"].median < timings["a"].median


def test_ratios_and_share_of_peak():
    # 2e9 operations in 10 ms are 200 GFLOP/s: half of a peak of 400. PyTorch's best float32 takes 15 ms: 1.5 times our best.
    program = jax_steps.Program(lambda: None, 8, 2e9, 2**21, 3.0, 4.0)
    times = {"gan_jax": 0.012, "gan_jax cores": 0.010, "gan_jax bfloat16": 0.008, "eager": 0.015, "compile": 0.020, "autocast": 0.006}
    timings = {column: timing.Timing(t, t, t, 5, 0) for column, t in times.items()}
    row = benchmark.row_of("dcgan32", WORKLOADS["dcgan32"], {"gan_jax cores": program}, timings, {"float32": 400e9, "bfloat16": 800e9}, [])
    assert row["ratio"] == pytest.approx(1.5)
    assert row["bfloat16_ratio"] == pytest.approx(0.75)
    assert row["gan_jax cores"]["share_of_peak"] == pytest.approx(0.5)
    assert row["gan_jax cores"]["peak_megabytes"] == pytest.approx(2.0)
    text = benchmark.as_markdown({"machine": HERE, "rows": [row, row | {"peaks": {"float32": 450e9, "bfloat16": 800e9}}]})
    assert "| 12.0 | 10.0 | 8.000 |" in text
    assert text.startswith("d, 2 cores; JAX j, PyTorch t; matrix products: float32 400 to 450 GFLOP/s, bfloat16 800 GFLOP/s\n")


HERE = {"device": "d", "cores": 2, "jax": "j", "torch": "t"}


def row(name, milliseconds):
    timings = {"gan_jax": timing.Timing(1e-3 * milliseconds, 0.0, 1.0, 5, 0)}
    return benchmark.row_of(name, WORKLOADS[name], {}, timings, {"float32": 400e9, "bfloat16": 800e9}, [])


def test_a_call_adds_its_rows_to_the_file_or_replaces_those_of_the_same_workload(tmp_path):
    path = tmp_path / "new" / "benchmark.json"
    for name, milliseconds in (("mixture", 1), ("sampling", 2), ("mixture", 3)):
        benchmark.write(row(name, milliseconds), path, HERE)
    written = json.loads(path.read_text())
    assert written["machine"] == HERE
    assert [(row["workload"], row["milliseconds"]["gan_jax"]) for row in written["rows"]] == [("mixture", 3.0), ("sampling", 2.0)]
    table = path.with_suffix(".md").read_text()
    assert "| mixture: " in table
    assert "| sampling: " in table


@pytest.mark.parametrize("name", ["benchmark", "benchmark_scaling"])
def test_a_row_of_a_committed_file_can_be_measured_again(tmp_path, name):
    path = tmp_path / "benchmark.json"
    shutil.copy(Path(__file__).parents[2] / "docs" / "data" / f"{name}.json", path)
    before = json.loads(path.read_text())
    again = row(before["rows"][0]["workload"], 3)
    benchmark.write(again, path, before["machine"])
    rows = json.loads(path.read_text())["rows"]
    assert rows[0] == again
    kept = {row["workload"]: row["milliseconds"] for row in before["rows"]} | {again["workload"]: again["milliseconds"]}
    assert [(row["workload"], row["milliseconds"]) for row in rows] == list(kept.items())
    assert all(row["peaks"]["float32"] > 1e11 and "benchmark.py" in row["command"] for row in rows[1:])


def test_figures_of_another_machine_are_left_alone(tmp_path, capsys):
    path = tmp_path / "benchmark.json"
    benchmark.write(row("mixture", 1), path, HERE)
    before = path.read_bytes()
    with pytest.raises(SystemExit) as end:
        benchmark.write(row("mixture", 2), path, HERE | {"jax": "k"})
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --out {tmp_path}: benchmark.json is of another machine or of other versions (d, 2 cores; JAX j,")
    assert path.read_bytes() == before
    path.write_text("{")
    with pytest.raises(SystemExit):
        benchmark.earlier_rows(path, HERE)
    assert "not JSON" in capsys.readouterr().err


def test_where_the_system_does_not_say_all_cores_are_allowed(monkeypatch):
    assert 1 <= environment.cpus_allowed() <= os.cpu_count()
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # as on macOS
    assert environment.cpus_allowed() == os.cpu_count()


@pytest.mark.parametrize(
    ("text", "model"),
    [
        (
            2 * "cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nstepping\t: 1\n\n",
            "AMD EPYC (family 25, model 17, stepping 1)",
        ),
        ("processor\t: 0\nHardware\t: BCM2835\nModel\t: Raspberry Pi 4\n", "BCM2835"),
        ("", platform.machine()),
    ],
)
def test_processors_of_one_name_are_told_apart(text, model, monkeypatch):
    monkeypatch.setattr(run_directory.Path, "read_text", lambda path, **options: text)
    assert environment.cpu_model() == model


@pytest.mark.parametrize("name", [name for name, workload in WORKLOADS.items() if workload.kind != "pipeline"])
def test_every_row_names_a_game_that_exists(name):
    jax_steps.make_spec(**WORKLOADS[name].spec)


def test_each_core_as_a_device_makes_the_same_steps():
    """A program over all devices and one over a single device: as many operations, the same number of steps."""
    spec = {"model": "points", "image_shape": (2,), "latent_dim": 2, "generator_hidden": (32, 32), "discriminator_hidden": (32, 32)}
    placement = jax_steps.every_core()
    run = {"image_shape": (2,), "batch": 64 * placement.devices, "scan": 2}
    alone = jax_steps.training(jax_steps.make_spec(**spec), **run)
    spread = jax_steps.training(jax_steps.make_spec(**spec, placement=placement), **run, placement=placement)
    assert spread.steps == alone.steps == 2
    assert spread.flops == pytest.approx(alone.flops, rel=0.5)


@pytest.mark.parametrize("cores", [False, True])
def test_seeds_at_once_count_as_that_many_steps(cores):
    spec = jax_steps.make_spec("points", image_shape=(2,), latent_dim=2, generator_hidden=(4,), discriminator_hidden=(4,))
    one = jax_steps.training(spec, image_shape=(2,), batch=16, scan=3)
    many = jax_steps.sweep(spec, seeds=8, image_shape=(2,), batch=16, scan=3, cores=cores)
    assert many.steps == 24
    assert many.flops == pytest.approx(one.flops, rel=0.5)


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_pipelines_give_batches_again_and_again(kind, monkeypatch):
    monkeypatch.setattr(pipelines, "FILES", 8)
    monkeypatch.setattr(pipelines, "BATCHES", 3)
    call = pipelines.feed_call(kind, 4)
    call()
    call()


def test_variants_of_the_step_are_other_programs_for_the_same_steps(monkeypatch):
    """What a variant takes away is gone from its program, and comes back afterwards."""
    spec = {"model": "points", "image_shape": (2,), "latent_dim": 2, "generator_hidden": (4,), "discriminator_hidden": (4,)}
    small = WORKLOADS["mixture"]._replace(spec=spec, run={"image_shape": (2,), "batch": 16, "scan": 2})
    monkeypatch.setitem(WORKLOADS, "mixture", small)
    made = step_variants.variants("mixture")
    whole, bare, again = (made[name]() for name in ("one device", "one device, the monitor left out", "one device"))
    assert bare.flops < whole.flops == again.flops
    assert made["one device, one step a call"]().steps == 1
    flat = made["one device, the optimiser flattened"]()
    assert flat.steps == whole.steps == 2
    assert flat.peak_bytes != whole.peak_bytes


def test_a_single_step_is_not_put_into_a_loop():
    """Inside a loop XLA:CPU runs its own convolutions on one thread."""
    spec = jax_steps.make_spec("points", image_shape=(2,), latent_dim=2, generator_hidden=(4,), discriminator_hidden=(4,))
    run = {"image_shape": (2,), "batch": 16}
    one, two = jax_steps.training(spec, **run, scan=1), jax_steps.training(spec, **run, scan=2)
    assert (one.steps, two.steps) == (1, 2)
    assert one.flops == pytest.approx(two.flops, rel=0.2)


def test_kept_figures_name_the_command_that_makes_them(tmp_path, monkeypatch):
    from experiments.benchmarks import kept

    path = tmp_path / "new" / "timings.jsonl"
    for words in (["--width", "32", "--out", str(path)], [f"--out={path}", "--first-step"]):
        monkeypatch.setattr(sys, "argv", ["experiments/benchmarks/loop_cost.py", *words])
        kept.keep({"bare step": 42.1234567, "rounds": 3}, path)
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert first["command"] == "python -m experiments.benchmarks.loop_cost --width 32"
    assert second["command"] == "python -m experiments.benchmarks.loop_cost --first-step"
    assert first["figures"] == {"bare step": 42.123, "rounds": 3}
    kept.keep({}, None)
