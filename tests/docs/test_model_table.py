"""docs/models.md is what `docs/_generate/model_table.py` writes."""

from pathlib import Path

from support.scripts import load_script

model_table = load_script("model_table")


def test_the_page_is_what_the_script_writes():
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    assert page == model_table.HEAD + "\n".join(model_table.lines()) + "\n"
