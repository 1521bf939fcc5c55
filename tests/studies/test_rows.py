"""Files of rows and the origin that each row states."""

import sys

import pytest

from experiments import rows
from gan_jax.trainer import environment


def test_the_command_leaves_out_what_does_not_change_the_measurement(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x.py", "ring", "--out", "a b", "--seeds", "4", "--out=c", "--name", "two words"])
    assert rows.command_of("experiments.x") == "python -m experiments.x ring --seeds 4 --name 'two words'"
    assert rows.command_of("m", without=("--out", "--seeds")) == "python -m m ring --name 'two words'"


def test_rows_of_other_code_or_machines_are_not_compared():
    row = rows.origin("command", devices=2, form="vmap", runs=8)
    assert row["code"] == environment.code_hash()
    assert len(row["code"]) == 12
    rows.check_comparable([row, row | {"command": "another", "commit": "another"}], "pair")
    for name in rows.COMPARABLE:
        with pytest.raises(ValueError, match=f"pair: rows differ in '{name}'"):
            rows.check_comparable([row, row | {name: "another"}], "pair")
        with pytest.raises(ValueError, match="measure it again"):
            rows.check_comparable([{key: value for key, value in row.items() if key != name}], "pair")


def test_the_hash_follows_the_code(monkeypatch, tmp_path):
    import gan_jax

    package = tmp_path / "gan_jax"
    (package / "nn").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "nn" / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(gan_jax, "__file__", str(package / "__init__.py"))
    before = environment.code_hash()
    (package / "notes.txt").write_text("not code")
    assert environment.code_hash() == before
    (package / "nn" / "a.py").write_text("x = 2\n")
    changed = environment.code_hash()
    (package / "nn" / "a.py").rename(package / "a.py")
    assert len({before, changed, environment.code_hash()}) == 3
