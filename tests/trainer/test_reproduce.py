"""Repeating a run: each difference is named with its size."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.checkpoint import Checkpointer, read_step, write_step
from gan_jax.checkpoint.serialization import Leaf, Snapshot, snapshot
from gan_jax.cli.verify import recorded_xla_flags
from gan_jax.trainer.config import Config, DataConfig, EvaluationConfig, ModelConfig
from gan_jax.trainer.differences import (
    Difference,
    compare_environment,
    compare_leaves,
    compare_rows,
    compare_samples,
    describe_values,
)
from gan_jax.trainer.image_grid import load_png, save_png
from gan_jax.trainer.loop import train
from gan_jax.trainer.reproduce import Verification, describe, verify
from gan_jax.trainer.run_directory import RunError
from support.scripts import assert_one_line

SMALL = Config(
    recipe="mlp_mnist",
    steps=4,
    batch_size=4,
    log_every=1,
    sample_every=2,
    sample_grid=2,
    checkpoint_every=2,
    tensorboard=False,
    data=DataConfig(image_size=8),
    model=ModelConfig(name="mlp", latent_dim=4, options={"generator_hidden": "8", "discriminator_hidden": "8"}),
    evaluation=EvaluationConfig(samples=0),
)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """A run of four steps. No test changes it."""
    return train(dataclasses.replace(SMALL, out=tmp_path_factory.mktemp("runs") / "run")).directory


@pytest.fixture
def run(whole_run, tmp_path):
    """A copy of the run that a test may change."""
    return shutil.copytree(whole_run, tmp_path / "run")


def test_a_run_reproduces_itself(script, whole_run):
    before = {path: path.stat().st_mtime_ns for path in whole_run.rglob("*")}
    status, out, _ = script("verify", whole_run, "--all", "--compilation-cache", "none")
    assert status == 0, out
    assert "reproduced to the byte in its first 4 steps" in out
    # There are four rows of train steps, three rows of samples, grids at 0, 2 and 4, and two checkpoints with equally many leaves.
    leaves = len(read_step(whole_run / "checkpoints" / "step_00000004").leaves)
    assert f"(7 rows of metrics, 3 grids of samples, {2 * leaves} leaves of checkpoints)" in out
    assert {path: path.stat().st_mtime_ns for path in whole_run.rglob("*")} == before


def test_a_changed_seed_is_named(script, run):
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("seed: 0", "seed: 1"))
    status, out, _ = script("verify", run, "--steps", "2", "--compilation-cache", "none")
    assert status == 1
    assert "NOT reproduced in its first 2 steps" in out
    assert "trained with: seed: 0 in run.json, 1 in config.yaml" in out
    assert "trained with: seed: 0 in the checkpoint, 1 in config.yaml" in out
    assert "metrics: " in out
    assert "checkpoints: " in out
    assert "leaf 0/" in out


def test_one_changed_digit_of_the_metrics_is_found(run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if json.loads(line)["step"] == 3)
    row = json.loads(lines[number])
    row["generator_loss"] += 2**-10
    (run / "metrics.jsonl").write_text("\n".join([*lines[:number], json.dumps(row), *lines[number + 1 :]]) + "\n")
    result = verify(run, steps=4)
    (difference,) = result.differences
    assert (difference.step, difference.what) == (3, "generator_loss")
    assert "difference 0.000977" in difference.detail
    assert not result.settings
    assert "metrics: 1 differ; first at step 3: generator_loss" in describe(result)


@pytest.mark.parametrize("damage", ["bracket", "deleted"])
def test_a_broken_or_missing_row_is_found(run, damage):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if json.loads(line)["step"] == 3)
    lines[number : number + 1] = ["[" + lines[number][1:]] if damage == "bracket" else []
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    details = [difference.detail for difference in verify(run, steps=4).differences]
    assert "the run has 0 rows of this step; now there are 1" in details
    if damage == "bracket":
        assert any(f"line {number + 1} of metrics.jsonl is no row of metrics" in detail for detail in details)


def rewrite_leaf(run, name, change):
    """Saves the last checkpoint again with one changed leaf and correct hashes."""
    place = run / "checkpoints" / "step_00000004"
    contents = read_step(place)
    leaves = {path: change(leaf) if path == name else leaf for path, leaf in contents.leaves.items()}
    metadata = {key: value for key, value in contents.metadata.items() if key not in ("step", "versions", "format_version")}
    write_step(place, Snapshot(leaves), metadata, step=4, versions=contents.metadata["versions"])


def test_a_changed_leaf_is_named_with_its_size(run):
    leaves = read_step(run / "checkpoints" / "step_00000004").leaves
    name = next(path for path in leaves if path.endswith("kernel"))

    def change(leaf):
        data = leaf.pieces[0].data.copy()
        data.flat[5] += 0.25
        return leaf._replace(pieces=[leaf.pieces[0]._replace(data=data)])

    rewrite_leaf(run, name, change)
    (difference,) = verify(run, steps=4).differences
    assert (difference.step, difference.what) == (4, f"leaf {name}")
    assert difference.detail.startswith(f"1 of {leaves[name].pieces[0].data.size} values differ, by up to 0.25 (relative ")


def test_a_flipped_byte_of_a_checkpoint_is_named(run):
    path = run / "checkpoints" / "step_00000002" / "shard_00000-of-00001.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    result = verify(run, steps=2)
    (difference,) = result.differences
    assert (difference.step, difference.what) == (2, "checkpoint")
    assert "differs from what was written" in difference.detail


def test_a_changed_image_is_measured_in_pixels(run):
    picture = run / "samples" / "step_00000002.png"
    pixels = load_png(picture).copy()
    pixels[0, :3] ^= 4
    save_png(picture, pixels)
    (difference,) = verify(run, steps=2).differences
    assert difference.what == "samples/step_00000002.png"
    assert difference.detail == f"3 of {pixels[..., 0].size} pixels differ, by up to 4 of 255"
    # Without this image the rest is still compared.
    picture.unlink()
    assert verify(run, steps=2).reproduced


def test_differences_are_grouped_by_kind():
    of = [Difference(2, what, "") for what in ("samples/pairwise_distance", "samples/step_00000002.png", "leaf 0/a", "checkpoint", "loss")]
    text = describe(Verification(Path("run"), 2, {}, of, [], [], []))
    for line in ("metrics: 2 differ", "samples: 1 differ", "checkpoints: 2 differ"):
        assert line in text


def test_a_run_that_cannot_be_repeated_fails_in_one_line(script, run, tmp_path):
    assert_one_line(script("verify", tmp_path / "none"), "none", "no run there")
    assert_one_line(script("verify", run, "--steps", "0"), "--steps 0")
    assert_one_line(script("verify", run, "--steps", "2", "--all"), "--steps and --all")
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"rollbacks": [{"to_step": 2}]}))
    assert_one_line(script("verify", run), "rolled back")
    (run / "run.json").write_text(json.dumps(record | {"data": record["data"] | {"examples": 7}}))
    assert_one_line(script("verify", run), "grew from 7 to 4000")
    (run / "run.json").write_text("[]")
    assert_one_line(script("verify", run), "run.json", "list")
    (run / "run.json").unlink()
    assert_one_line(script("verify", run), "run.json", "No such file")
    (run / "run.json").write_text(json.dumps({"step": 0}))
    shutil.rmtree(run / "checkpoints")
    (run / "metrics.jsonl").unlink()
    assert_one_line(script("verify", run), "no steps")


@pytest.mark.slow
def test_an_interrupted_run_is_repeated_with_its_own_schedule(tmp_path):
    # The learning rates depend on the configured number of steps, not on the number of repeated steps.
    config = dataclasses.replace(SMALL, out=tmp_path / "run", steps=6, optimizer=dataclasses.replace(SMALL.optimizer, schedule="linear"))
    assert train(config, until=4).step == 4
    result = verify(tmp_path / "run", steps=3)
    assert result.reproduced, describe(result)
    assert result.steps == 3
    assert result.compared["rows of metrics"] == 5


def test_rows_are_compared_by_step_and_quantity():
    old = {1: [{"step": 1, "a": 1.0, "b": float("nan")}], 2: [{"step": 2, "a": 2.0}], 3: [{"step": 3, "a": 0.0}]}
    assert compare_rows(old, old, 3) == ([], 3)
    new = {1: [{"step": 1, "a": 1.0, "b": float("nan")}], 2: [{"step": 2, "a": 4.0, "c": 1.0}], 3: [{"step": 3, "a": -0.0}]}
    differences, count = compare_rows(old, new, 2)
    assert count == 2
    assert [(d.step, d.what, d.detail) for d in differences] == [
        (2, "a", "2.0 recorded, 4.0 now: difference 2 (relative 0.5)"),
        (2, "c", "nothing recorded, 1.0 now"),
    ]
    # The sign of a zero counts as a difference.
    assert [d.what for d in compare_rows(old, new, 3)[0]] == ["a", "c", "a"]
    assert describe_values(float("inf"), 1.0) == "inf recorded, 1.0 now"


def test_leaves_are_compared_by_their_bytes():
    def leaf(value) -> Leaf:
        return snapshot({"x": value}).leaves["x"]

    assert compare_leaves(leaf(jnp.array([0.0, jnp.nan])), leaf(jnp.array([0.0, jnp.nan]))) == ""
    assert compare_leaves(leaf(jnp.array([0.0])), leaf(jnp.array([-0.0]))) == "1 of 1 values differ, by up to 0 (relative 0)"
    assert compare_leaves(leaf(jnp.array([1.0, 2.0])), leaf(jnp.array([1.0, jnp.inf]))) == "1 of 2 values differ, some of them not finite"
    assert compare_leaves(leaf(jnp.bfloat16(2)), leaf(jnp.bfloat16(4))) == "1 of 1 values differ, by up to 2 (relative 0.5)"
    assert "int32" in compare_leaves(leaf(jnp.zeros(2)), leaf(jnp.zeros(2, jnp.int32)))
    assert compare_leaves(leaf(jax.random.key(1)), leaf(jax.random.key(1))) == ""
    assert compare_leaves(leaf(3), leaf(3)) == ""
    assert "3" in compare_leaves(leaf(3), leaf(4))
    assert compare_leaves(None, leaf(3)) == "not in the run"


def test_environments_are_compared_by_fact():
    then = {"versions": {"jax": "0.10.2", "numpy": "2.4.6"}, "cpus": 2, "command": "one", "jax_options": {"jax_enable_x64": False}}
    now = {"versions": {"jax": "0.12.0", "numpy": "2.4.6"}, "cpus": 2, "command": "two", "cpu": "new fact", "jax_options": {}}
    assert compare_environment(then, now) == [
        "versions.jax: 0.10.2 then, 0.12.0 now",
        "jax_options.jax_enable_x64: False then, nothing now",
    ]


def test_images_with_other_shapes_differ(tmp_path):
    for name, size in (("a", 4), ("b", 6)):
        save_png(tmp_path / name / "step_00000001.png", np.zeros((size, size, 1), np.uint8))
    (difference,), count = compare_samples(tmp_path / "a", tmp_path / "b", 1)
    assert (count, difference.detail) == (1, "(4, 4, 1) recorded, (6, 6, 1) now")
    (tmp_path / "a" / "step_00000001.png").write_bytes(b"no picture")
    assert "cannot be read" in compare_samples(tmp_path / "a", tmp_path / "b", 1)[0][0].detail


def test_a_reader_keeps_a_save_in_progress(tmp_path):
    under_way = tmp_path / ".step_00000004.1234.partial"
    under_way.mkdir(parents=True)
    Checkpointer(tmp_path, owner=False)
    assert under_way.exists()
    Checkpointer(tmp_path)
    assert not under_way.exists()
    with pytest.raises(RunError, match="no run there"):
        verify(tmp_path)


def test_only_harmless_xla_flags_of_a_run_are_taken(run):
    record = json.loads((run / "run.json").read_text())

    def flags(text, **options):
        (run / "run.json").write_text(json.dumps(record | {"xla_flags": text}))
        return recorded_xla_flags(run, **options)

    harmless = "--xla_gpu_deterministic_ops=true --xla_force_host_platform_device_count=8"
    assert flags(harmless) == (harmless, [])
    bad = ["--xla_dump_to=/tmp/x", "--xla_dump_hlo_as_text", "--xla_gpu_deterministic_ops=/tmp/x", "--flagfile=x", "file_of_flags"]
    assert flags(f"{harmless} {' '.join(bad)}") == (harmless, bad)
    assert flags(bad[0], trusted=True) == (bad[0], [])
    for damaged in (3, None, ["--xla_dump_to=x"]):
        assert flags(damaged) == ("--xla_gpu_deterministic_ops=true", [])


def test_verify_writes_nothing_where_the_run_asks_for_it(script, run, tmp_path, monkeypatch):
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"xla_flags": f"--xla_dump_to={tmp_path / 'dump'} --xla_cpu_enable_fast_math=false"}))
    monkeypatch.delenv("XLA_FLAGS")
    _, _, error = script("verify", run, "--steps", "2", "--compilation-cache", "none")
    assert "notice: these recorded XLA flags are not used: --xla_dump_to=" in error
    assert "--trust-xla-flags" in error
    assert os.environ["XLA_FLAGS"] == "--xla_cpu_enable_fast_math=false"
