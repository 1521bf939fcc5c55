"""Files are opened by one function that accepts regular files only."""

import ast
import errno
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest

import gan_jax
from gan_jax._internal.files import NotRegularFile, check_regular, open_regular, read_bytes, read_text
from gan_jax.data import DataError
from gan_jax.data.decode import decode
from gan_jax.data.idx import read_idx
from gan_jax.data.npz import read_npz
from gan_jax.metrics import classifier, inception, load_torch_weights
from gan_jax.metrics.cache import cached
from gan_jax.models.vgg import load_vgg16
from gan_jax.trainer.config import ConfigError, load_config
from gan_jax.trainer.differences import read_rows
from gan_jax.trainer.image_grid import load_png
from gan_jax.trainer.report.reading import read_run
from gan_jax.trainer.run_directory import RunError, read_record

PACKAGE = Path(gan_jax.__file__).parent


def test_a_regular_file_and_a_link_to_it_are_read(tmp_path):
    (tmp_path / "text").write_text("é")
    (tmp_path / "link").symlink_to(tmp_path / "text")
    for name in ("text", "link"):
        check_regular(tmp_path / name)
        assert read_text(tmp_path / name) == "é"
        assert read_bytes(tmp_path / name) == b"\xc3\xa9"
        with open_regular(tmp_path / name) as file:
            assert file.read(1) == b"\xc3"


@pytest.mark.parametrize("read", [open_regular, check_regular, read_bytes, read_text])
def test_everything_else_is_refused_at_once(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    for path, reason in ((tmp_path / "pipe", "not a regular file"), (tmp_path, "is a directory"), ("/dev/zero", "not a regular file")):
        with pytest.raises(NotRegularFile, match=reason) as caught:
            read(path)
        assert caught.value.strerror
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none")
    with pytest.raises(OSError, match="NUL"):
        read(f"{tmp_path}/a\0b")


def test_a_file_above_the_limit_is_not_read(tmp_path):
    (tmp_path / "log").write_bytes(bytes(11))
    assert len(read_bytes(tmp_path / "log", limit=11)) == 11
    with pytest.raises(OSError, match="larger than 10 bytes") as caught:
        read_text(tmp_path / "log", limit=10)
    assert caught.value.errno == errno.EFBIG


def test_no_descriptor_is_left_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with pytest.raises(NotRegularFile):
            open_regular(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


# `open` of a pipe waits for a writer: without the check these calls never return.
@pytest.mark.parametrize(
    ("name", "read", "error"),
    [
        ("a.npz", lambda path: read_npz(path, ("images",)), DataError),
        ("a.idx", lambda path: read_idx(path, 3), DataError),
        ("a.png", lambda path: decode(path, size=8, channels=1), DataError),
        ("config.yaml", load_config, ConfigError),
        ("run.json", lambda path: read_record(path.parent), RunError),
        ("a.pth", load_torch_weights, ValueError),
        ("a.safetensors", inception.load, FileNotFoundError),
        ("a.safetensors", classifier.load, FileNotFoundError),
        ("a.safetensors", load_vgg16, FileNotFoundError),
        ("a.safetensors", gan_jax.load_generator, FileNotFoundError),
        ("a.png", load_png, OSError),
        ("metrics.jsonl", read_rows, OSError),
    ],
)
def test_a_pipe_in_place_of_a_file_is_named(tmp_path, name, read, error):
    os.mkfifo(tmp_path / name)
    with pytest.raises(error, match=name.replace(".", r"\.")) as caught:
        read(tmp_path / name)
    assert str(caught.value).splitlines()


def test_a_pipe_in_a_run_or_a_cache_does_not_stop_anything(tmp_path):
    for name in ("metrics.jsonl", "run.json", "features.npz"):
        os.mkfifo(tmp_path / name)
    assert [note for note in read_run(tmp_path).notes if "not a regular file" in note]
    assert cached(tmp_path / "features.npz", lambda: {"x": np.ones(2)})["x"].tolist() == [1, 1]


# Names of functions that open a file by its name, with the files that may call them, and why.
OPENERS = {"open", "read_text", "read_bytes", "load_file", "safe_open", "memmap", "fromfile", "loadtxt", "genfromtxt"}
ALLOWED = {
    "_internal/files.py",  # the functions themselves
    "nn/fast_conv/tables.py",  # /proc/cpuinfo
    "trainer/environment.py",  # /proc/cpuinfo
    "trainer/report/markup.py",  # the package's own files
    "trainer/theatre/page.py",  # the package's own files
}
CHECKED = ("check_regular", "is_file", "open_regular")  # A function that lets a library open a file looks at it first.


def calls(node):
    for child in ast.walk(node):
        if isinstance(child, ast.Call):
            yield child, child.func.attr if isinstance(child.func, ast.Attribute) else getattr(child.func, "id", "")


def writes(call):
    texts = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    return any(isinstance(text, str) and text and text[0] in "wax" and set(text) <= set("wax+bt") for text in texts)


def test_every_reader_opens_files_through_these_functions():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        for function in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)):
            named = {called for _, called in calls(function)}
            for call, called in calls(function):
                method = isinstance(call.func, ast.Attribute)
                if called not in OPENERS or name in ALLOWED or writes(call) or named & set(CHECKED):
                    continue
                if (called in ("read_text", "read_bytes") and not method) or "BytesIO" in ast.unparse(call):
                    continue
                # `Image.open` and `archive.open` of an open file, `os.open` of a directory to sync it.
                if method and isinstance(call.func.value, ast.Name) and call.func.value.id in ("archive", "os"):
                    continue
                found.append(f"{name}:{call.lineno}: {ast.unparse(call)[:80]}")
    assert found == []


def safetensors_of(shape, size):
    header = json.dumps({"a\u202e": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


@pytest.mark.parametrize("read", [inception.load, classifier.load, load_vgg16, gan_jax.load_generator])
def test_arrays_that_numpy_cannot_hold_are_named(tmp_path, read):
    path = tmp_path / "weights.safetensors"
    for shape, size in (([1] * 100, 4), ([2], 8)):
        path.write_bytes(safetensors_of(shape, size))
        with pytest.raises(ValueError, match=r"weights\.safetensors") as caught:
            read(path)
        assert str(caught.value).isprintable()
        assert ("not a safetensors file" in str(caught.value)) == (len(shape) == 100)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfname: 1\n---\na: b\n", b"\xe2\x80\xae: 1\n", b"a: " + b"[" * 33 + b"]" * 33])
def test_a_configuration_is_refused_in_one_printable_line(tmp_path, content):
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.yaml") as caught:
        load_config(tmp_path / "config.yaml")
    assert str(caught.value).isprintable()


def test_a_small_file_is_read_without_memory_for_the_largest(tmp_path):
    import tracemalloc

    path = tmp_path / "small"
    path.write_bytes(b"12345")
    tracemalloc.start()
    try:
        assert read_bytes(path) == b"12345"
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
