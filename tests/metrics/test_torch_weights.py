import base64
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
