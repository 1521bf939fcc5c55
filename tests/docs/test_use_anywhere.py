"""The code blocks of docs/use_anywhere.md run and train, and need only the modules that they import."""

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

TEXT = (pathlib.Path(__file__).parents[2] / "docs" / "use_anywhere.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def execute(block):
    names = {"__name__": "documented"}
    sys.modules.setdefault("documented", type(sys)("documented"))  # dataclasses look up their module
    exec(compile(block, "docs/use_anywhere.md", "exec"), names)
    return names


def test_both_examples_are_there():
    assert len(BLOCKS) == 2


def test_equinox_style_module():
    names = execute(BLOCKS[0])
    assert names["losses"][-1] < 0.6 * names["losses"][0]
    effective, _ = names["normalise"].apply(names["critic"], names["state"])
    np.testing.assert_allclose(np.linalg.norm(effective.first.weight, 2), 1.0, atol=1e-2)
    assert set(names["state"].vectors) == {"first/weight", "second/weight"}


def test_nnx_model():
    pytest.importorskip("flax")
    names = execute(BLOCKS[1])
    assert names["losses"][-1] < names["losses"][0]
    assert names["logits"].shape == (8,)
    assert len(names["state"].vectors) == 2
    assert names["logits"].mean() > np.mean(names["averaged"](names["fake"]))


def test_the_pure_functions_import_neither_flax_nor_a_model():
    code = (
        "import sys, gan_jax.losses, gan_jax.penalties, gan_jax.transforms;"
        "import gan_jax.latents, gan_jax.optimizers, gan_jax.dynamics;"
        "print([name for name in sys.modules if name == 'flax' or name.startswith(('flax.', 'gan_jax.nn', 'gan_jax.models'))])"
    )
    root = pathlib.Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert result.stdout.strip() == "[]"
