"""Imports point downward through the layers of the package, and importing it is quick and touches no device."""

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import mutations
import pytest

PACKAGE = Path(__file__).parents[1] / "gan_jax"
# From the bottom to the top. A package may import packages of lower layers, and those of its own that stand before it.
LAYERS = [
    ["typing", "_internal"],
    ["losses", "penalties", "transforms", "augment", "latents", "conditioning", "replay", "optimizers", "dynamics"],
    ["nn", "models"],
    ["gan", "distributed"],
    ["data", "metrics", "checkpoint", "monitor", "export"],
    ["trainer"],
    ["recipes"],
    ["cli"],
    ["__main__"],
]
ORDER = [name for layer in LAYERS for name in layer]
# A pure function imports none of its neighbours; `gan` needs no Flax, and what stands around the step does not know how it is made.
ALONE = {"losses", "penalties", "transforms", "augment", "latents", "conditioning", "optimizers", "nn"}
ALONE |= {"data", "metrics", "checkpoint"}
NOT_BELOW = {"gan": {"nn", "models"}, "monitor": {"gan", "distributed"}, "export": {"gan", "distributed", "data", "metrics", "checkpoint"}}


def imported(path: Path) -> set[str]:
    """Names of modules that a file imports, at any depth of the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "gan_jax" else {node.module}
    return names


def packages_imported(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imported(path) if name.startswith("gan_jax.")} & set(ORDER)


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.name != "__init__.py")


@pytest.mark.parametrize("name", ORDER)
def test_imports_point_downward(name):
    for path in (path for path in FILES if path.relative_to(PACKAGE).parts[0].removesuffix(".py") == name):
        allowed = {name, *ORDER[: ORDER.index(name)]} - NOT_BELOW.get(name, set())
        if name in ALONE:
            allowed &= {name, *LAYERS[0]}
        assert packages_imported(path) <= allowed, path


def test_every_entry_has_a_layer():
    entries = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert entries == set(ORDER)


def test_only_networks_import_flax():
    for path in FILES:
        if path.relative_to(PACKAGE).parts[0] not in ("nn", "models"):
            assert not {name for name in imported(path) if name.split(".")[0] == "flax"}, path


def literals(path: Path) -> list[str]:
    """The string literals of a file without its docstrings."""
    tree = ast.parse(path.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings and type(node.value) is str
    ]


def test_no_flags_below_the_trainer():
    def with_flags(paths: list[Path]) -> set[tuple[str, str]]:
        texts = {(path.relative_to(PACKAGE).as_posix(), re.sub("pip .*", "", text)) for path in paths for text in literals(path)}
        return {(path, text) for path, text in texts if re.search("--[a-z]", text)}

    above = [path for path in FILES if path.relative_to(PACKAGE).parts[0] in ("trainer", "recipes", "cli", "__main__.py")]
    assert with_flags(above)
    assert with_flags([path for path in FILES if path not in above]) == set()


def test_import_is_quick_and_touches_no_device():
    code = """
import sys, time
start = time.perf_counter()
import gan_jax
elapsed = time.perf_counter() - start
import gan_jax.losses, gan_jax.penalties, gan_jax.transforms, gan_jax.optimizers, gan_jax.latents, gan_jax.gan.make
from jax._src import xla_bridge
print(elapsed, "flax" in sys.modules, bool(xla_bridge._backends))
"""
    elapsed, flax, device = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert float(elapsed) < 2
    assert (flax, device) == ("False", "False")


def test_no_module_initialises_a_device_or_imports_scipys_distances():
    modules = sorted(
        ".".join(("gan_jax", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for path in FILES
        if path.name != "__main__.py"
    )
    code = f"""
import importlib
import sys
for name in {modules!r}: importlib.import_module(name)
from jax._src import xla_bridge
print(bool(xla_bridge._backends), "scipy.spatial" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == ["False", "False"]


def test_unknown_names_are_refused():
    import gan_jax

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gan_jax.nothing  # noqa: B018
    assert "make_gan" in dir(gan_jax)


def test_each_line_that_the_mutation_test_breaks_still_exists():
    found = {(name, line): (mutations.ROOT / name).read_text().count(line) for name, line, *_ in (*mutations.MUTANTS, *mutations.FAULTS)}
    assert [row for row, number in found.items() if number != 1] == []
    groups = Counter("build" if name.startswith(mutations.BUILD) else name for name, *_ in mutations.MUTANTS)
    assert len(groups) == 5
    assert min(groups.values()) >= 10


def test_the_top_of_the_package_can_be_read_at_a_glance():
    assert len([name for name in ORDER if not name.startswith("_")]) <= 22
