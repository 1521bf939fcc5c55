"""The doors of the house open one way, and importing it is quick and touches no device."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gan_jax"
LEAVES = {
    "losses",
    "penalties",
    "spectral",
    "weight_norm",
    "inputs",
    "latents",
    "replay",
    "optimizers",
    "nn",
    "metrics",
    "contexts",
    "data",
    "checkpoint",
    "pictures",
    "monitor",
    "evidence",
}
# Shared by leaves; they import nothing of the house but each other.
GROUND = {"typing", "checks", "matrices", "pieces"}
MAY = {
    "models": {"nn"},
    "fields": {"optimizers"},
    "game": {"optimizers", "replay"},
    "objectives": {"game", "optimizers"},
    "moves": {"game", "monitor", "objectives"},
    "strategies": {"game", "moves", "objectives", "replay"},
    "gan": {"game", "latents", "losses", "monitor", "optimizers", "strategies"},
    "report": {"pictures"},
    "export": {"models", "latents"},
}


def rooms_imported(path: Path) -> set[str]:
    """Rooms of gan_jax that a file imports, at any depth of the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "gan_jax" else [node.module]
        found |= {name.split(".")[1] for name in names if name.startswith("gan_jax.")}
    return found


def files_of(room: str) -> list[Path]:
    return [PACKAGE / f"{room}.py"] if (PACKAGE / f"{room}.py").exists() else sorted((PACKAGE / room).rglob("*.py"))


@pytest.mark.parametrize("room", sorted(LEAVES | GROUND | set(MAY)))
def test_imports_go_one_way(room):
    files = files_of(room)
    assert files, f"no room {room}"
    allowed = {room} | GROUND | (MAY.get(room, set()) if room not in GROUND else set())
    for file in files:
        assert rooms_imported(file) - allowed == set(), f"{file.name} of {room}"


def test_only_networks_import_flax():
    for file in PACKAGE.rglob("*.py"):
        room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room in ("nn", "models"):
            continue
        imported = {
            name
            for node in ast.walk(ast.parse(file.read_text()))
            for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None) or ""])
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        assert not {name for name in imported if name.split(".")[0] == "flax"}, file


def test_every_file_is_in_a_known_room():
    known = (
        LEAVES
        | GROUND
        | set(MAY)
        | {
            "__init__",
            "build",
            "build_optimizer",
            "combinations",
            "config",
            "terms",
            "run",
            "run_directory",
            "records",
            "watch",
            "progress",
            "evaluation",
            "showcase",
            "standing_statistics",
            "started_run",
            "stored_run",
            "verify",
            "parallel",
            "sweep",
        }
    )
    assert {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()} <= known


def test_import_is_quick_and_touches_no_device():
    code = """
import sys, time
start = time.perf_counter()
import gan_jax
elapsed = time.perf_counter() - start
import gan_jax.losses, gan_jax.penalties, gan_jax.spectral, gan_jax.optimizers, gan_jax.latents, gan_jax.gan
from jax._src import xla_bridge
print(elapsed, "flax" in sys.modules, bool(xla_bridge._backends))
"""
    elapsed, flax, device = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert float(elapsed) < 2
    assert (flax, device) == ("False", "False")


def test_no_module_initialises_a_device():
    modules = sorted(
        ".".join(("gan_jax", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__") for path in PACKAGE.rglob("*.py")
    )
    code = f"""
import importlib
for name in {modules!r}: importlib.import_module(name)
from jax._src import xla_bridge
print(bool(xla_bridge._backends))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == ["False"]


def test_unknown_names_are_refused():
    import gan_jax

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gan_jax.nothing  # noqa: B018
    assert "make_gan" in dir(gan_jax)
