"""The long tests in parts: what is missing, what a part records, and the table of the page. And the tests that the page names exist."""

import re
from pathlib import Path

import endurance
import pytest

from docs._generate.endurance_table import endurance_table
from experiments.rows import read_rows

ROOT = Path(__file__).parents[2]


def row(**fields):
    return {"test": "files", "kind": "npz", "seed": 1, "count": 15_000, "refused": 9, "slowest": 1.0, "seconds": 60.0} | fields


def test_parts_go_on_where_the_rows_end_and_the_kind_with_the_smallest_share_is_next():
    kinds = ("torch.legacy", "torch.zip", "idx", "safetensors", "png", "yaml")
    rows = [row(kind=kind, count=5000, seed=4) for kind in kinds] + [row(count=14_900, seed=30)]
    parts = list(endurance.missing("files", rows))
    # Of 20,000, 10,000 and 15,000 files 5,000 are there: 25, 50 and 33%.
    assert parts[0] == ("torch.legacy", 5, 500)
    assert [part for part in parts if part[0] == "npz"] == [("npz", 31, 100)]
    assert sum(inputs for *_, inputs in parts) + 6 * 5000 + 14_900 == 100_000
    assert len({part[:2] for part in parts}) == len(parts)
    last = list(endurance.missing("directories", [row(test="directories", kind="sequences", count=992)]))
    assert last == [("sequences", 2, 5), ("sequences", 3, 3)]


def test_a_part_is_recorded_and_the_next_one_has_other_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(endurance, "GOALS", {"files": 100, "directories": 0})
    monkeypatch.setattr(endurance, "PARTS", {"files": 5, "directories": 0})
    options = ["files", "--rows", str(tmp_path / "rows.jsonl"), "--minutes"]
    seen = []
    monkeypatch.setattr(endurance, "run_part", lambda *part, run=endurance.run_part: seen.append(part) or run(*part))
    endurance.main([*options, "0"])
    assert not seen
    endurance.main([*options, "10"])
    rows = read_rows(tmp_path / "rows.jsonl")
    assert sum(row["count"] for row in rows) == 100
    assert all(row["read"] + row["refused"] >= row["count"] for row in rows)
    assert all({"commit", "processor", "command", "date", "seconds"} <= row.keys() for row in rows)
    assert len({(row["kind"], row["seed"]) for row in rows}) == len(rows) == len(seen)
    assert "files: 100 of 100" in capsys.readouterr().out
    endurance.main([*options, "10"])
    assert len(seen) == len(rows)


def test_a_part_that_fails_is_not_recorded(tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise AssertionError("a reader hung")

    monkeypatch.setattr(endurance, "run_part", fail)
    with pytest.raises(AssertionError):
        endurance.main(["directories", "--rows", str(tmp_path / "rows.jsonl")])
    assert "the part with seed 1 failed" in capsys.readouterr().err
    assert not (tmp_path / "rows.jsonl").exists()


def test_the_table_of_the_page():
    origin = {"date": "2026-11-27", "commit": "0123456789"}
    rows = [row(**origin), row(kind="idx", count=10, refused=2, slowest=2.0, **origin | {"date": "2026-11-28"})]
    lines = endurance_table(rows).splitlines()
    assert "| npz | 15,000 | 9 | 1.0 s | 1 min | 2026-11-27 | 0123456 |" in lines
    assert "| 15,010 | 11 | 2.0 s | 2 min | 2026-11-27 to 2026-11-28 | 0123456 |" in lines[-2]
    assert "not run yet" in lines[-1]


def test_the_tests_that_the_page_names_exist():
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "reliability.md").read_text())
    assert len(named) > 20
    for file, name in named:
        text = (ROOT / file).read_text()
        assert not name or f"def {name}(" in text, (file, name)
