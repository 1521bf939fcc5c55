"""docs/models.md is what `experiments/model_table.py` writes."""

from pathlib import Path

from test_command_line import load_script

model_table = load_script("model_table")


def test_the_page_is_what_the_script_writes():
    page = (Path(__file__).parents[1] / "docs" / "models.md").read_text()
    assert page == model_table.HEAD + "\n".join(model_table.lines()) + "\n"
