"""The benchmark: which samples it rejects, what its tables compute, and that every case builds."""

import json
import os
import platform
import sys
from pathlib import Path

import pytest

from experiments import rows
from experiments.benchmarks import cases, jax_steps, pipelines, run, surroundings, tables, timing, torch_process, variants
from experiments.benchmarks.workloads import WORKLOADS
from experiments.tools import choose_convs
from gan_jax.nn.fast_conv.choices import TABLES
from gan_jax.trainer import environment

DATA = Path(__file__).parents[2] / "docs" / "data" / "timings.jsonl"


def test_samples_next_to_slow_probes_are_rejected():
    rows = [(1.0, 10.0), (1.1, 12.0), (5.0, 99.0), (1.0, 11.0)]
    assert timing._summary(rows, limit=1.2) == timing.Timing(median=11.0, least=10.0, greatest=12.0, kept=3, rejected=1)


def test_if_all_is_slow_the_half_with_the_best_probes_stays():
    rows = [(9.0, 99.0), (3.0, 1.0), (4.0, 2.0), (5.0, 3.0), (8.0, 98.0), (7.0, 97.0)]
    assert timing._summary(rows, limit=1.2).median == 2.0


def test_candidates_are_timed_in_turn_and_calls_of_several_steps_are_divided():
    order = []
    candidates = {name: timing.Candidate(lambda name=name: order.append(name), steps) for name, steps in (("a", 1), ("b", 1000))}
    timings = timing.interleave(candidates, seconds=0, least_rounds=5, sample_seconds=0)
    assert order == ["a", "a", "b", "b"] + ["a", "b"] * 5
    assert timings["b"].median < timings["a"].median


def test_a_candidate_with_its_own_clock_is_not_warmed_up_and_reports_its_own_seconds():
    calls = iter(range(1, 100))
    timings = timing.interleave({"run": timing.Candidate(lambda: next(calls), steps=2, own_clock=True)}, seconds=0, least_rounds=3)
    assert next(calls) == 4
    assert timings["run"].greatest <= 1.5  # 1, 2 and 3 seconds for two steps each
    assert timings["run"].least == 0.5


def test_ratio_and_share_of_peak():
    # 2e9 operations in 10 ms are 200 GFLOP/s: half of a peak of 400. PyTorch's best float32 takes 15 ms: 1.5 times our best.
    times = {"gan_jax": 0.012, "gan_jax cores": 0.010, "gan_jax bfloat16": 0.008, "eager": 0.015, "compile": 0.020, "autocast": 0.006}
    timings = {column: timing.Timing(t, t, t, 5, 0) for column, t in times.items()}
    program = jax_steps.Program(lambda: None, 8, 2e9, 2**21, 3.0, 4.0)
    peaks = {"float32": 400e9, "bfloat16": 800e9}
    row = run.row_of("dcgan32", timings, {"gan_jax cores": program.candidate().facts}, [], peaks)
    assert tables.ratio(row) == pytest.approx(1.5)
    assert tables.share_of_peak(row, "gan_jax cores") == pytest.approx(0.5)
    assert row["facts"]["gan_jax cores"]["peak_megabytes"] == pytest.approx(2.0)
    again = row | {"case": "dcgan32_shared", "peaks": {"float32": 450e9, "bfloat16": 800e9}}
    text = tables.workload_table([row, again])
    assert "| 12.0 | 10.0 | 15.0 | 1.50 | 0.50 | 2.0 | 4.0 |" in text
    assert "Matrix products in float32 run at 400 to 450 GFLOP/s." in text


def test_the_last_row_of_a_case_counts_and_machines_are_told_apart():
    rows = [{"case": "mixture", "milliseconds": {"gan_jax": ms}, "machine": HERE} for ms in (1.0, 2.0)]
    assert tables.latest(rows)["mixture"]["milliseconds"]["gan_jax"] == 2.0
    with pytest.raises(ValueError, match="mixture and sampling were measured on different machines or versions"):
        tables.one_machine([rows[0], rows[0] | {"case": "sampling", "machine": HERE | {"jax": "k"}}])


def test_a_measurement_adds_its_row_with_the_machine_and_the_command(tmp_path, monkeypatch, capsys):
    small = cases.Case("two calls", lambda scan: {"one": lambda: timing.Candidate(lambda: None), "two": broken}, 0.0, 3)
    monkeypatch.setitem(cases.CASES, "small", small)
    path = tmp_path / "new" / "timings.jsonl"
    for words in (["small", "--out", str(path)], [f"--out={path}", "small", "--only", "one"]):
        monkeypatch.setattr(sys, "argv", ["run.py", *words])
        run.main()
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert first["notes"] == ["two: RuntimeError: out of order"]
    assert second["notes"] == []
    assert first["milliseconds"].keys() == {"one"}
    assert first["command"] == "python -m experiments.benchmarks.run small"
    assert second["command"] == "python -m experiments.benchmarks.run small --only one"
    assert first["machine"]["cores"] == environment.cpus_allowed()
    assert "small: two calls" in capsys.readouterr().out


def broken():
    raise RuntimeError("out of order")


@pytest.mark.parametrize(
    ("words", "message"),
    [(["none"], "none: no such case; see --list"), (["small", "--only", "three"], "--only 'three': small has one")],
)
def test_what_is_not_there_is_named_in_one_line(words, message, monkeypatch, capsys):
    small = cases.Case("one call", lambda scan: {"one": lambda: timing.Candidate(lambda: None)}, 0.0, 3)
    monkeypatch.setitem(cases.CASES, "small", small)
    with pytest.raises(SystemExit) as end:
        run.main(words)
    assert end.value.code == 2
    assert f"error: {message}\n" in capsys.readouterr().err


HERE = {"device": "d", "cores": 2, "jax": "j", "torch": "t"}


def test_every_committed_row_names_a_case_and_its_candidates():
    """A row of a case or a candidate that was renamed would disappear from the documentation."""
    for row in rows.read_rows(DATA):
        known = cases.CASES[row["case"]].builders(None)
        assert row["milliseconds"].keys() <= known.keys(), row["case"]


def test_without_an_affinity_all_cores_are_allowed(monkeypatch):
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
    monkeypatch.setattr(environment.Path, "read_text", lambda path, **options: text)
    assert environment.cpu_model() == model


@pytest.mark.parametrize("name", [name for name, workload in WORKLOADS.items() if workload.kind != "pipeline"])
def test_every_workload_can_be_made(name):
    jax_steps.make(**WORKLOADS[name].spec)


@pytest.mark.slow
def test_each_core_as_a_device_makes_the_same_steps():
    """A program over all devices and one over a single device: as many operations, the same number of steps."""
    spec = {"model": "points", "image_shape": (2,), "latent_dim": 2, "generator_hidden": (32, 32), "discriminator_hidden": (32, 32)}
    placement = jax_steps.every_core()
    run = {"image_shape": (2,), "batch": 64 * placement.devices, "scan": 2}
    alone = jax_steps.training(jax_steps.make(**spec), **run)
    spread = jax_steps.training(jax_steps.make(**spec, placement=placement), **run, placement=placement)
    assert spread.steps == alone.steps == 2
    assert spread.flops == pytest.approx(alone.flops, rel=0.5)


@pytest.mark.parametrize("cores", [False, True])
def test_seeds_at_once_count_as_that_many_steps(cores):
    gan = jax_steps.make("points", image_shape=(2,), latent_dim=2, generator_hidden=(4,), discriminator_hidden=(4,))
    one = jax_steps.training(gan, image_shape=(2,), batch=16, scan=3)
    many = jax_steps.sweep(gan, seeds=8, image_shape=(2,), batch=16, scan=3, cores=cores)
    assert many.steps == 24
    assert many.flops == pytest.approx(one.flops, rel=0.5)


@pytest.mark.parametrize("kind", ["memory", "folder", "cached"])
def test_pipelines_give_batches_again_and_again(kind, monkeypatch):
    monkeypatch.setattr(pipelines, "FILES", 8)
    monkeypatch.setattr(pipelines, "BATCHES", 3)
    call = pipelines.feed_call(kind, 4)
    call()
    call()


@pytest.mark.slow
def test_variants_of_the_step_are_other_programs_for_the_same_steps():
    """What a variant takes away is absent from its program only."""
    spec = {"model": "points", "image_shape": (2,), "latent_dim": 2, "generator_hidden": (4,), "discriminator_hidden": (4,)}
    small = WORKLOADS["mixture"]._replace(spec=spec, run={"image_shape": (2,), "batch": 16, "scan": 2})
    made = variants.step_variants(small)
    whole, bare, again = (made[name]() for name in ("one device", "one device, the monitor left out", "one device"))
    flops = "gigaflops_a_step"
    assert bare.facts[flops] < whole.facts[flops] == again.facts[flops]
    assert made["one device, one step a call"]().steps == 1
    flat = made["one device, the optimiser flattened"]()
    assert flat.steps == whole.steps == 2
    assert flat.facts["peak_megabytes"] != whole.facts["peak_megabytes"]


@pytest.mark.slow
def test_the_loop_and_the_monitor_are_timed():
    made = surroundings.loop(2, steps=20)
    assert made["bare step"]().steps == 20
    assert 0 < made["step of a run"]().call() < 10
    assert {"bare", "watched", "a look at samples"} == surroundings.monitor(2).keys()
    surroundings.monitor(2)["a look at samples"]().call()


def test_the_table_of_convolutions_is_what_the_tool_writes():
    assert choose_convs.source_of(TABLES) == choose_convs.TABLE.read_text()
    # Form a takes 1 and 4 times the best, b 2 and 1: geometric means 2 and 1.4. Form c did not run for one shape.
    assert choose_convs.decide([{"a": 1.0, "b": 2.0, "c": 0.5}, {"a": 4.0, "b": 1.0}]) == "b"


STEPS = """
def training(*, image_shape, fails=False):
    assert image_shape == (2, 3)
    if fails:
        raise ValueError
    return lambda: None
"""


def test_calls_in_the_python_of_torch(monkeypatch, tmp_path):
    package = tmp_path / "experiments" / "benchmarks"
    package.mkdir(parents=True)
    for file in (package / "__init__.py", package.parent / "__init__.py"):
        file.write_text("")
    (package / "torch_process.py").write_text(Path(torch_process.__file__).read_text())
    (package / "torch_steps.py").write_text(STEPS)
    monkeypatch.setattr(torch_process, "ROOT", tmp_path)
    monkeypatch.setenv(torch_process.VARIABLE, sys.executable)
    call = torch_process.remote_call("training", image_shape=(2, 3))
    call()
    call()
    with pytest.raises(RuntimeError, match="training failed in PyTorch"):
        torch_process.remote_call("training", image_shape=(2, 3), fails=True)


def test_a_single_step_is_not_put_into_a_loop():
    """Inside a loop XLA:CPU runs its own convolutions on one thread."""
    gan = jax_steps.make("points", image_shape=(2,), latent_dim=2, generator_hidden=(4,), discriminator_hidden=(4,))
    run = {"image_shape": (2,), "batch": 16}
    one, two = jax_steps.training(gan, **run, scan=1), jax_steps.training(gan, **run, scan=2)
    assert (one.steps, two.steps) == (1, 2)
    assert one.flops == pytest.approx(two.flops, rel=0.2)
