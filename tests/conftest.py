"""Eight simulated devices, compiled programs kept between runs of the tests, and the list of slow cases.

`slow_cases.txt` names cases that take seconds of one core and that a cheaper case of `make test` represents. They get the marker `slow`.
"""

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


SLOW_CASES = Path(__file__).with_name("slow_cases.txt")
WHOLE_RUNS = ("cli", "trainer", "report")
FAST_FORMS = ("test_killed_runs", "test_other_commands", "test_precision", "test_build")


def pytest_collection_modifyitems(session, config, items):
    """Marks the slow cases. If the whole suite is collected, each of them must exist."""
    names = set(SLOW_CASES.read_text().splitlines())
    for item in items:
        if item.nodeid in names:
            item.add_marker(pytest.mark.slow)
            names.discard(item.nodeid)
    whole = config.args == config.getini("testpaths") and not config.option.keyword and not config.option.deselect
    if names and whole and not session.testsfailed:
        raise pytest.UsageError(f"{SLOW_CASES.name} names cases that do not exist: {sorted(names)}")


@pytest.fixture(autouse=True, scope="module")
def plain_convolutions(request):
    """Tests of whole runs use XLA's own convolutions, which compile faster.

    The fast forms are tested in `nn`, `models`, `gan`, `distributed` and `recipes`, and in the files of `FAST_FORMS`.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.path.parent.name in WHOLE_RUNS and request.path.stem not in FAST_FORMS:
            patch.setenv("GAN_JAX_CONVOLUTIONS", "lax")
        yield


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
