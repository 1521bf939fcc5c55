"""Eight simulated devices, so that the parallel paths are tested anywhere; compiled programs are kept between runs of the tests."""

import gc
import os
from pathlib import Path

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8".strip()
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the time of these tests is the compiler's; the arithmetic is the same with less of its work.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "compiled"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

import sys

import pytest


def pytest_collection_finish(session):
    """Looks for garbage more rarely. Traced programs are many objects, and the modules never become garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture
def script(monkeypatch, tmp_path, capsys):
    """Runs a program's main() in an empty directory: (status, standard output, standard error)."""
    from support.scripts import load_script

    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        status = 0
        try:
            load_script(name).main()
        except SystemExit as end:
            status = end.code or 0
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def browser():
    """A headless chromium that Playwright drives."""
    from support.browser import launched

    with launched() as browser:
        yield browser
