import base64
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

from gan_jax import metrics
from support.metrics_golden import values

FILES = {name: base64.b64decode(text) for name, text in values["torch_files"]["files"].items()}


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "weights.pth"
        path.write_bytes(content)
        return path

    return write


# Written by PyTorch 2.13.0 in both of its formats; tests/golden/metrics_reference.py.
@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_reads_what_torch_wrote(written, kind):
    weights = metrics.load_torch_weights(written(FILES[kind]))
    assert weights.keys() == values["torch_files"]["values"].keys()
    for name, value in values["torch_files"]["values"].items():
        np.testing.assert_array_equal(weights[name].astype(np.float64), np.reshape(value, weights[name].shape))
    assert weights["transposed"].shape == (3, 2)
    assert weights["none"].shape == (0, 3)
    assert [str(weights[name].dtype) for name in ("plain", "part", "half", "bfloat16")] == ["float32", "int64", "float16", "bfloat16"]


def test_reads_a_module_s_state(written):
    weights = metrics.load_torch_weights(written(FILES["batch_norm"]))
    assert set(weights) == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    np.testing.assert_array_equal(weights["running_var"], [1, 1])


def test_a_whole_module_is_refused(written):
    with pytest.raises(ValueError, match="is not allowed"):
        metrics.load_torch_weights(written(FILES["module"]))


def test_a_file_that_calls_something_is_refused_and_nothing_is_called(written, tmp_path):
    target = tmp_path / "made"
    program = b"cos\nmkdir\n(V" + str(target).encode() + b"\ntR."
    with pytest.raises(ValueError, match="calls os mkdir"):
        metrics.load_torch_weights(written(program))
    path = tmp_path / "archive.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + program)
    with pytest.raises(ValueError, match="calls os mkdir"):
        metrics.load_torch_weights(path)
    assert not target.exists()


def test_a_tensor_of_something_else_is_refused(written):
    program = FILES["legacy"].replace(b"_rebuild_tensor_v2", b"_rebuild_qtensor__")
    with pytest.raises(ValueError, match=r"calls torch\._utils _rebuild_qtensor__"):
        metrics.load_torch_weights(written(program))


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_a_damaged_file_is_refused(written, kind):
    with pytest.raises(ValueError, match=r"weights\.pth"):
        metrics.load_torch_weights(written(FILES[kind][:-9]))


# A stride that reaches past the storage would read foreign memory. BININT1 3 is the stride of the first tensor, [2, 3].
def test_a_tensor_past_its_storage_is_refused(written):
    plain = FILES["legacy"]
    at = plain.index(b"K\x03K\x01\x86")
    with pytest.raises(ValueError, match="reaches past its storage"):
        metrics.load_torch_weights(written(plain[:at] + b"K\x7f" + plain[at + 2 :]))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        metrics.load_torch_weights(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(ValueError, match=r"text\.pth is not a PyTorch weight file"):
        metrics.load_torch_weights(tmp_path / "text.pth")


def doubled(levels):
    """A tuple of two references to a tuple of two references ...: 2^levels values in eight bytes a level."""
    return b")q\x000" + b"h\x00h\x00\x86q\x000" * levels + b"h\x00"


TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"
TENSOR += b"K\x00K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\nOrderedDict\n)RtR"


def zipped(tmp_path, program, storages=None):
    path = tmp_path / "crafted.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + program + b".")
        for key, content in ({"0": bytes(24)} if storages is None else storages).items():
            archive.writestr(f"archive/data/{key}", content)
    return path


def state(*names, tensor=TENSOR):
    return b"}(" + b"".join(b"X" + struct.pack("<I", len(name)) + name.encode() + tensor for name in names) + b"u"


def test_a_crafted_file_is_read_if_it_is_whole(tmp_path):
    weights = metrics.load_torch_weights(zipped(tmp_path, state("a", "b"), {"0": np.arange(6, dtype="<f4").tobytes()}))
    assert weights["b"].tolist() == [[0, 1, 2], [3, 4, 5]]


# Each of these files has 700 to 1,300 bytes. A reader that hashes, prints or walks through such values never ends.
@pytest.mark.parametrize(
    ("program", "message"),
    [
        (doubled(60), "more than 4194304 values"),
        (doubled(100), "more than 4194304 values"),
        (b"}" + doubled(20) + b"K\x01s", "a key is tuple; must be a text or a number"),
        (b"}" + doubled(60) + b"K\x01s", "more than 4194304 values"),
        (doubled(20) + b"Q", "it refers to tuple"),
        (b"(X\x07\x00\x00\x00storage" + doubled(20) + b"X\x01\x00\x00\x000tQ", "it refers to 'storage' tuple"),
        (doubled(20) + b")R", "it calls tuple"),
        (b"cos\nsystem\n" + doubled(20) + b"\x85R", "it calls os system"),
        (doubled(20) + b"X\x01\x00\x00\x00a\x93", "names something that is not a short text"),
        (b"N" + b"\x85" * 1000, "nested more than 64 levels"),
        (b"]" * 1000 + b"a" * 999, "nested more than 64 levels"),
        (b"]q\x00h\x00a", "changes a value that another value contains"),
        (b"]q\x00]q\x01h\x00ah\x00N\x61", "changes a value that another value contains"),
        (b"}\x8a\x09" + bytes(7) + b"\x40\x00Ns", "a key is 4611686018427387904"),
        (b"t", "lacks a mark"),
        (b"X\xff\xff\xff\x7f", "claims more bytes"),
        (b"I" + b"9" * 5000 + b"\n", "digits|limit"),
    ],
)
def test_hostile_values_are_refused_at_once(tmp_path, program, message):
    started = time.monotonic()
    with pytest.raises(ValueError, match=rf"crafted\.pth is not .*({message})") as caught:
        metrics.load_torch_weights(zipped(tmp_path, program))
    assert time.monotonic() - started < 10
    assert "\n" not in str(caught.value)


def test_a_million_steps_are_the_most(tmp_path):
    with pytest.raises(ValueError, match="more than 1048576 steps"):
        metrics.load_torch_weights(zipped(tmp_path, b"N" * (2**20 + 1)))


def test_calls_cannot_multiply_a_list(tmp_path):
    pairs = b"](" + b"X\x01\x00\x00\x00aN\x86" * 1000 + b"e\x85q\x00"  # ([("a", None)] * 1000,)
    with pytest.raises(ValueError, match="more than 4194304 values"):
        metrics.load_torch_weights(zipped(tmp_path, pairs + b"ccollections\nOrderedDict\nh\x00R" * 5000))


def test_tensors_of_one_storage_share_its_memory(tmp_path):
    tensor = TENSOR.replace(b"K\x02K\x03\x86K\x03K\x01\x86", b"J\x00\x00\x20\x00\x85K\x01\x85")  # 2^21 numbers
    path = zipped(tmp_path, state(*(f"w{number}" for number in range(400)), tensor=tensor), {"0": bytes(2**23)})
    tracemalloc.start()
    try:
        weights = metrics.load_torch_weights(path)
        assert len(weights) == 400
        assert tracemalloc.get_traced_memory()[1] < 3 * 2**23
    finally:
        tracemalloc.stop()
    assert np.shares_memory(weights["w0"], weights["w399"])
    assert not weights["w0"].flags.writeable


def test_a_compressed_file_is_refused_before_it_is_expanded(tmp_path):
    with zipfile.ZipFile(tmp_path / "compressed.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + state("a") + b".")
        archive.writestr("archive/data/0", bytes(2**24))
    with pytest.raises(ValueError, match="is compressed"):
        metrics.load_torch_weights(tmp_path / "compressed.pth")


def test_one_storage_has_one_type(tmp_path):
    other = TENSOR.replace(b"FloatStorage", b"LongStorage")
    with pytest.raises(ValueError, match="one storage two types"):
        metrics.load_torch_weights(zipped(tmp_path, b"}(X\x01\x00\x00\x00a" + TENSOR + b"X\x01\x00\x00\x00b" + other + b"u"))
