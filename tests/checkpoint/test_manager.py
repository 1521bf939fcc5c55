"""Saving and restoring exactly, on any devices, and never from another configuration or another tree."""

import json
import socket
import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from safetensors.numpy import load_file

from gan_jax import checkpoint
from gan_jax.checkpoint import (
    Checkpointer,
    CheckpointNotFound,
    CheckpointWarning,
    ConfigurationMismatch,
    DamagedCheckpoint,
    TemplateMismatch,
    config_differences,
    config_hash,
    files,
    snapshot,
)
from gan_jax.typing import Players

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def every_warning_counts():
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointWarning)
        yield


def player(seed):
    key = jax.random.key(seed)
    return {"Dense_0": {"kernel": jax.random.normal(key, (6, 5)), "bias": jnp.full(5, 0.25, jnp.bfloat16)}}


def whole_state():
    """The state of a run: parameters, optimiser states of both players, EMA, key, counters, a replay buffer, special values."""
    params = Players(player(0), player(1))
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.linear_schedule(1e-3, 0, 10), mu_dtype=jnp.bfloat16))
    grads = jax.tree.map(jnp.ones_like, params.generator)
    state = optimizer.update(grads, optimizer.init(params.generator), params.generator)[1]
    opt_state = {
        "optimizers": Players(state, optax.sgd(0.1, momentum=0.9).init(params.discriminator)),
        "step": jnp.int32(7),
        "rng": jax.random.key(3),
        "rbg": jax.random.split(jax.random.key(4, impl="rbg"), 3),
        "replay": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        "odd": jnp.array([jnp.nan, -jnp.inf, -0.0, 1e-42], jnp.float32),
        "eighth": jnp.array([1.5, -2.0], jnp.float8_e4m3fn),
        "complex": np.array([1 + 2j], np.complex64),
        "empty": jnp.zeros((0, 3)),
        "flag": jnp.array([True, False]),
        "weak": jnp.asarray(2.0),
        "python": [3, 0.1, True, 2**80, "name", None],
    }
    return params, opt_state


def as_bytes(leaf):
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return str(leaf.dtype), leaf.shape, np.asarray(jax.random.key_data(leaf)).tobytes()
    if isinstance(leaf, jax.Array | np.ndarray):
        return type(leaf) is np.ndarray, str(leaf.dtype), leaf.shape, getattr(leaf, "weak_type", False), np.asarray(leaf).tobytes()
    return type(leaf), leaf


def assert_same_bytes(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for (path, a), (_, b) in zip(jax.tree_util.tree_leaves_with_path(one), jax.tree_util.tree_leaves_with_path(other)):
        assert as_bytes(a) == as_bytes(b), path


@pytest.mark.parametrize("asynchronous", [True, False])
def test_everything_comes_back_to_the_byte(tmp_path, asynchronous):
    tree = whole_state()
    with Checkpointer(tmp_path / "checkpoints", asynchronous=asynchronous) as manager:
        manager.save(7, tree, {"seed": 5, "data_position": 448})
        restored, metadata = manager.restore(tree)
    assert_same_bytes(tree, restored)
    assert (metadata["step"], metadata["seed"], metadata["data_position"], metadata["format_version"]) == (7, 5, 448, 1)
    assert metadata["versions"]["jax"] == jax.__version__


def test_a_shape_only_template_is_enough(tmp_path):
    params, _ = whole_state()
    manager = Checkpointer(tmp_path)
    manager.save(0, (params, jax.random.key(1)))
    template = jax.eval_shape(lambda: (params, jax.random.key(0)))
    assert_same_bytes((params, jax.random.key(1)), manager.restore(template)[0])


def test_arrays_open_in_any_safetensors_reader_and_equal_runs_write_equal_files(tmp_path):
    params, _ = whole_state()
    for name in ("a", "b"):
        with Checkpointer(tmp_path / name) as manager:
            manager.save(3, params, {"seed": 0})
    shard = "step_00000003/shard_00000-of-00001.safetensors"
    np.testing.assert_array_equal(
        load_file(tmp_path / "a" / shard)["generator/Dense_0/kernel"], np.asarray(params.generator["Dense_0"]["kernel"])
    )
    for name in (shard, "step_00000003/manifest.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    manifest = json.loads((tmp_path / "a" / "step_00000003" / "manifest.json").read_text().splitlines()[0])
    assert len(manifest["leaves"]["generator/Dense_0/kernel"]["pieces"][0]["sha256"]) == 64


def test_buffers_may_be_donated_while_the_save_is_under_way(tmp_path, monkeypatch):
    begin = threading.Event()
    write = files.save_arrays

    def slow(path, arrays):
        assert begin.wait(30)
        write(path, arrays)

    monkeypatch.setattr(files, "save_arrays", slow)
    step = jax.jit(lambda x: x * 2 + 1, donate_argnums=0)
    x = step(jnp.arange(1000.0))
    expected = np.array(x, copy=True)
    manager = Checkpointer(tmp_path)
    manager.save(1, {"x": x})
    for _ in range(5):
        x = step(x)
    assert manager.steps() == []
    begin.set()
    np.testing.assert_array_equal(manager.restore({"x": x})[0]["x"], expected)


def test_a_snapshot_has_memory_of_its_own():
    tree = {"device": jnp.arange(1000.0), "host": np.arange(1000.0)}
    taken = snapshot(tree)
    for name, array in tree.items():
        assert not np.shares_memory(taken.leaves[name].pieces[0].data, np.asarray(array)), name


def test_latest_steps_and_the_best_are_kept(tmp_path):
    scores = {1: 9.0, 2: 3.0, 3: float("nan"), 4: 5.0, 5: None, 6: 7.0}
    with Checkpointer(tmp_path, keep=2, best_metric="classifier_fd") as manager:
        for step, score in scores.items():
            manager.save(step, {"x": jnp.ones(2) * step}, {"metrics": {"classifier_fd": score}})
        assert manager.best() == 2
        assert manager.steps() == [2, 5, 6]
        assert manager.latest() == 6
        assert manager.restore({"x": jnp.ones(2)}, step=2)[0]["x"][0] == 2
    assert Checkpointer(tmp_path, best_metric="classifier_fd", best_mode="max").best() == 6
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["step_00000002", "step_00000005", "step_00000006"]


@pytest.mark.parametrize("keep", [1, 2])
def test_a_step_that_could_not_be_used_does_not_crowd_out_the_one_just_saved(tmp_path, keep):
    with Checkpointer(tmp_path, keep=keep) as manager:
        for step in (1000, 1500)[-keep:]:
            manager.save(step, {"x": jnp.ones(2)})
    for path in tmp_path.glob("step_*/manifest.json"):
        path.write_bytes(b"")
    manager = Checkpointer(tmp_path, keep=keep, asynchronous=False)
    with pytest.warns(CheckpointWarning, match="damaged"):
        assert manager.latest() is None
    for step, expected in ((500, [500]), (700, [500, 700]), (900, [700, 900])):
        manager.save(step, {"x": jnp.ones(2) * step})
        assert manager.steps() == expected[-keep:]
        assert manager.restore({"x": jnp.ones(2)})[1]["step"] == step


def test_the_best_step_is_kept_from_before_a_resume_but_not_from_after_it(tmp_path):
    scores = {1: 2.0, 2: 5.0, 3: 1.0}
    with Checkpointer(tmp_path, best_metric="fd") as manager:
        for step, score in scores.items():
            manager.save(step, {"x": jnp.ones(2)}, {"metrics": {"fd": score}})
    next((tmp_path / "step_00000003").glob("*.safetensors")).write_bytes(b"")
    manager = Checkpointer(tmp_path, keep=1, best_metric="fd", asynchronous=False)
    with pytest.warns(CheckpointWarning, match="step 3 is damaged"):
        assert manager.restore({"x": jnp.ones(2)})[1]["step"] == 2
    manager.save(2, {"x": jnp.ones(2)}, {"metrics": {"fd": 5.0}})
    assert manager.steps() == [1, 2]
    assert manager.best() == 1


def test_a_step_saved_again_replaces_the_old_one(tmp_path):
    manager = Checkpointer(tmp_path)
    for value in (1.0, 2.0):
        manager.save(4, {"x": jnp.full(3, value)})
    assert manager.restore({"x": jnp.zeros(3)})[0]["x"][0] == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["step_00000004"]


def test_later_steps_are_discarded_after_a_rollback(tmp_path):
    manager = Checkpointer(tmp_path)
    for step in (2, 4, 6):
        manager.save(step, {"x": jnp.full(3, step)})
    manager.discard_after(2)
    assert manager.steps() == [2]
    assert manager.latest() == 2


def test_the_leftovers_of_a_dead_process_are_swept(tmp_path):
    manager = Checkpointer(tmp_path)
    manager.save(4, {"x": jnp.ones(3)})
    manager.close()
    (tmp_path / ".step_00000008.123.partial").mkdir()
    (tmp_path / ".step_00000002.deleted").mkdir()
    (tmp_path / "step_00000004").rename(tmp_path / ".step_00000004.replaced")  # died between the two renames
    (tmp_path / "notes.txt").write_text("mine")
    again = Checkpointer(tmp_path)
    assert again.steps() == [4]
    assert again.restore({"x": jnp.zeros(3)})[0]["x"][0] == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["notes.txt", "step_00000004"]


def test_another_tree_is_refused_leaf_by_leaf(tmp_path):
    manager = Checkpointer(tmp_path)
    manager.save(1, {"a": jnp.zeros((2, 3)), "b": jnp.zeros(2), "key": jax.random.key(0), "n": 3})
    manager.wait()

    def refusal(**template):
        with pytest.raises(TemplateMismatch) as caught:
            manager.restore({"a": jnp.zeros((2, 3)), "b": jnp.zeros(2), "key": jax.random.key(0), "n": 3} | template)
        return str(caught.value)

    assert "a: expected float32 [3, 2]; the checkpoint has float32 [2, 3]" in refusal(a=jnp.zeros((3, 2)))
    assert "b: expected int32 [2]; the checkpoint has float32 [2]" in refusal(b=jnp.zeros(2, jnp.int32))
    assert "key: expected key<rbg> []; the checkpoint has key<fry> []" in refusal(key=jax.random.key(0, impl="rbg"))
    assert "n: expected float; the checkpoint has int" in refusal(n=3.0)
    message = refusal(b={"inner": jnp.zeros(2)})
    assert "b: in the checkpoint but not in the tree" in message
    assert "b/inner: not in the checkpoint" in message
    assert "and 12 more" in refusal(**{f"new_{index:02d}": jnp.zeros(1) for index in range(20)})


def test_another_configuration_is_refused_and_the_keys_named(tmp_path):
    saved = {"batch": 64, "optimizer": {"lr": 2e-4, "betas": [0.5, 0.999]}, "old": True}
    Checkpointer(tmp_path, config=saved, asynchronous=False).save(1, {"x": jnp.zeros(1)})
    now = {"optimizer": {"betas": (0.5, 0.999), "lr": 1e-3}, "batch": 64, "new": None}
    manager = Checkpointer(tmp_path, config=now)
    with pytest.raises(ConfigurationMismatch) as caught:
        manager.restore({"x": jnp.zeros(1)})
    assert str(caught.value).splitlines()[1:] == [
        "  new: (absent) in the checkpoint, null now",
        "  old: true in the checkpoint, (absent) now",
        "  optimizer.lr: 0.0002 in the checkpoint, 0.001 now",
    ]
    assert manager.restore({"x": jnp.zeros(1)}, any_configuration=True)[1]["config"] == saved
    reordered = {"old": True, "optimizer": {"betas": (0.5, 0.999), "lr": 2e-4}, "batch": 64}
    assert Checkpointer(tmp_path, config=reordered).restore({"x": jnp.zeros(1)})[1]["step"] == 1
    assert config_differences(saved, reordered) == []


def test_configuration_hash_is_the_sha256_of_sorted_json():
    # printf '{"a":[1,2],"b":{"c":0.5}}' | sha256sum   (GNU coreutils 9.1)
    assert config_hash({"b": {"c": 0.5}, "a": (1, 2)}) == "3a36d5b0e625029fae060049c66c7b7c1a7bfbf77e1e9fcf24c57733fb62c8f5"


def test_a_missing_step_is_said_to_be_missing(tmp_path):
    manager = Checkpointer(tmp_path / "none")
    assert manager.latest() is None
    assert manager.steps() == []
    with pytest.raises(CheckpointNotFound, match="no checkpoint"):
        manager.restore({})
    manager.save(3, {"x": jnp.zeros(1)})
    with pytest.raises(CheckpointNotFound, match=r"no checkpoint of step 4; there are \[3\]"):
        manager.restore({"x": jnp.zeros(1)}, step=4)


@pytest.mark.parametrize(
    ("step", "tree", "metadata", "error", "message"),
    [
        (-1, {}, {}, ValueError, "negative; got -1"),
        (1, {"a": {"b": object()}}, {}, TypeError, "a/b: .* got object"),
        (1, {"a": np.array(["text"])}, {}, TypeError, "a: arrays of dtype"),
        (1, {"a": np.array([object()])}, {}, TypeError, "a: arrays of dtype object"),
        (1, {"a/b": 1, "a": {"b": 2}}, {}, ValueError, "both named 'a/b'"),
        (1, {}, {"seed": object()}, TypeError, "JSON"),
    ],
)
def test_what_cannot_be_saved_is_refused_at_once(tmp_path, step, tree, metadata, error, message):
    manager = Checkpointer(tmp_path)
    with pytest.raises(error, match=message):
        manager.save(step, tree, metadata)
    manager.wait()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"keep": 0}, {"best_mode": "least"}, {"process_index": 2, "process_count": 2}])
def test_options_out_of_range_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Checkpointer(tmp_path, **options)


def test_the_library_never_unpickles():
    sources = [path.read_text() for path in Path(checkpoint.__file__).parent.glob("*.py")]
    assert len(sources) >= 5
    assert not any(word in source for source in sources for word in ("import pickle", "allow_pickle", "np.load("))


def on_devices(count, script, *arguments):
    program = f"import os\nos.environ['XLA_FLAGS'] = '--xla_force_host_platform_device_count={count}'\n" + textwrap.dedent(script)
    environment = {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_device_four_devices_and_back(tmp_path):
    tree = {"kernel": jnp.arange(32.0).reshape(8, 4), "key": jax.random.key(9)}
    Checkpointer(tmp_path, asynchronous=False).save(1, tree)
    out = on_devices(
        4,
        """
        import sys
        import jax, jax.numpy as jnp
        from jax.sharding import AxisType, NamedSharding, PartitionSpec
        from gan_jax.checkpoint import Checkpointer
        mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
        split, everywhere = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
        template = {"kernel": jax.device_put(jnp.zeros((8, 4)), split), "key": jax.device_put(jax.random.key(0), everywhere)}
        keeper = Checkpointer(sys.argv[1])
        tree, _ = keeper.restore(template)
        assert tree["kernel"].sharding == split and tree["key"].sharding == everywhere
        print([tuple(shard.data.shape) for shard in tree["kernel"].addressable_shards])
        keeper.save(2, tree)
        keeper.close()
        """,
        tmp_path,
    )
    assert out.strip() == str([(2, 4)] * 4)
    restored, metadata = Checkpointer(tmp_path).restore(tree)
    assert metadata["step"] == 2
    assert_same_bytes(tree, restored)


PEER = """
import sys
import jax
jax.distributed.initialize(f"127.0.0.1:{sys.argv[2]}", num_processes=2, process_id=int(sys.argv[3]))
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from gan_jax.checkpoint import Checkpointer
mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))
split, everywhere = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
values = np.arange(12.0, dtype=np.float32).reshape(4, 3)
make = lambda data, sharding: jax.make_array_from_callback(data.shape, sharding, lambda index: data[index])
tree = {"split": make(values, split), "everywhere": make(values + 100, everywhere), "host": np.arange(3), "n": 5}
keeper = Checkpointer(sys.argv[1])
keeper.save(1, tree, {"seed": 0})
assert keeper.wait()
from jax.experimental import multihost_utils
multihost_utils.sync_global_devices("saved")
back, _ = keeper.restore(tree)
mine = back["split"].addressable_shards[0]
np.testing.assert_array_equal(mine.data, values[mine.index])
assert back["split"].sharding == split and back["n"] == 5
"""


def test_two_real_processes_save_their_parts_and_one_process_restores_the_whole(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", PEER, str(tmp_path), str(port)]
    peers = [
        subprocess.Popen([*command, str(index)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for index in (0, 1)
    ]
    outputs = [peer.communicate(timeout=300)[0] for peer in peers]
    assert [peer.returncode for peer in peers] == [0, 0], "\n".join(outputs)
    template = {"split": jnp.zeros((4, 3)), "everywhere": jnp.zeros((4, 3)), "host": np.zeros(3, int), "n": 0}
    restored, _ = Checkpointer(tmp_path).restore(template)
    values = np.arange(12.0, dtype=np.float32).reshape(4, 3)
    np.testing.assert_array_equal(restored["split"], values)
    np.testing.assert_array_equal(restored["everywhere"], values + 100)
    assert restored["n"] == 5
    manifest = json.loads((tmp_path / "step_00000001" / "manifest.json").read_text().splitlines()[0])
    assert [piece["start"] for piece in manifest["leaves"]["split"]["pieces"]] == [[0, 0], [2, 0]]


def test_explicitly_asked_damage_is_an_error(tmp_path):
    manager = Checkpointer(tmp_path)
    manager.save(1, {"x": jnp.zeros(1)})
    manager.wait()
    (tmp_path / "step_00000001" / "shard_00000-of-00001.safetensors").unlink()
    with pytest.raises(DamagedCheckpoint, match=r"shard_00000-of-00001.safetensors: No such file"):
        manager.restore({"x": jnp.zeros(1)}, step=1)
