"""The generated parts of pages: tables, filling, and the match between pages and generators."""

import pytest

from docs._generate import model_table, pages, tables


def test_table_by_hand():
    assert tables.table(["a", "b"], [[1, "x"], ["", 2.5]]) == "| a | b |\n|---|---|\n| 1 | x |\n|  | 2.5 |"
    assert tables.table(["a"], []) == "| a |\n|---|"


def test_mean_and_deviation_by_hand():
    # The sample deviation of 1 and 3 is sqrt(2).
    assert tables.mean_and_deviation([1.0, 3.0], 1) == "2.0 ± 1.4"
    assert tables.mean_and_deviation([1.0, None], 2) == "1.00 (1 failed)"
    assert tables.mean_and_deviation([None], 2) == "-"


PAGE = "A <!-- generated: n -->1<!-- end --> b.\n<!-- generated: t -->\nold\n<!-- end -->\nend\n"


def test_parts_keep_their_form():
    page = tables.fill(tables.fill(PAGE, "n", "2"), "t", "| x |\n| y |")
    assert page == "A <!-- generated: n -->2<!-- end --> b.\n<!-- generated: t -->\n| x |\n| y |\n<!-- end -->\nend\n"
    assert tables.names(page) == ["n", "t"]


@pytest.mark.parametrize("page", ["no part", PAGE + PAGE])
def test_a_part_must_be_there_once(page):
    with pytest.raises(ValueError, match="must have one part <!-- generated: n -->"):
        tables.fill(page, "n", "2")


def test_pages_and_generators_must_have_the_same_parts():
    assert pages.filled(PAGE, {"n": lambda: "2", "t": lambda: "new"}).count("new") == 1
    for parts in ({"n": lambda: "2"}, {"n": lambda: "2", "t": lambda: "", "u": lambda: ""}):
        with pytest.raises(ValueError, match=r"generators differ: \['(t|u)'\]"):
            pages.filled(PAGE, parts)


def test_an_unknown_part_of_a_page_is_found(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("".join(f"<!-- generated: {name} -->1<!-- end -->" for name in ("default recipe", "certain rungs")))
    (tmp_path / "docs" / "other.md").write_text(PAGE)
    with pytest.raises(ValueError, match=r"docs/other.md: .*\['n', 't'\]"):
        pages.write(tmp_path)


def test_models_without_a_row_are_named(monkeypatch):
    monkeypatch.delitem(model_table.ROWS, "dcgan")
    with pytest.raises(ValueError, match="they differ in dcgan"):
        model_table.model_table()
