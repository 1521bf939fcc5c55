"""The notebooks are in step with their pairs, hold no outputs, become pages of the site, and run in a real kernel at small size."""

import base64
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from docs._generate import site

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "notebooks"
NAMES = ("first_gan", "own_penalty")
# Replaces the values of the cell with the tag "parameters".
SMALL = {
    "first_gan": "STEPS, BATCH_SIZE, WIDTH, SAMPLE_EVERY, SAMPLES, LOOP_STEPS = 4, 8, 4, 2, 40, 200",
    "own_penalty": "STEPS, HIDDEN, RUN_STEPS = 60, 16, 10",
}


def notebook(name):
    return json.loads((FOLDER / f"{name}.ipynb").read_text())


def cells_of_pair(name):
    """(kind, source) of each cell of the pair of a notebook, a file in the percent format."""
    text = re.sub(r"\A# ---\n.*?\n# ---\n", "", (FOLDER / f"{name}.py").read_text(), flags=re.S)
    before, *parts = re.split(r"^# %%(.*)\n", text, flags=re.M)
    assert not before.strip()
    cells = []
    for options, source in zip(parts[::2], parts[1::2]):
        kind = "markdown" if "[markdown]" in options else "code"
        lines = source.strip().splitlines()
        cells.append((kind, "\n".join(re.sub("^# ?", "", line) if kind == "markdown" else line for line in lines)))
    return cells


def test_every_notebook_is_tested():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == {path.stem for path in FOLDER.glob("*.py")} == set(NAMES) == set(SMALL)


@pytest.mark.parametrize("name", NAMES)
def test_the_pair_is_in_step(name):
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in notebook(name)["cells"]] == cells_of_pair(name)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_stripped(name):
    for cell in notebook(name)["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files_of_the_repository(name):
    for cell in notebook(name)["cells"]:
        for target in re.findall(r"\]\(([^)]+)\)", "".join(cell["source"]) if cell["cell_type"] == "markdown" else ""):
            assert (FOLDER / target).is_file(), target


def test_a_notebook_becomes_a_page():
    page = site.generated_pages()["notebooks/first_gan.md"]
    assert page.startswith("# Your first GAN\n\nThis page is the notebook [first_gan.ipynb](../notebooks/first_gan.ipynb)")
    assert "```python\nimport dataclasses\n" in page
    assert "(../notebooks/own_penalty.md)" in page


@pytest.fixture
def executed(tmp_path):
    """Runs a notebook at small size in an empty directory. Returns its code cells with their outputs."""
    nbclient = pytest.importorskip("nbclient", reason="executing a notebook needs nbclient: make test-notebooks installs it")
    pytest.importorskip("ipykernel", reason="executing a notebook needs ipykernel: make test-notebooks installs it")
    pytest.importorskip("matplotlib", reason="the notebooks draw with matplotlib: make test-notebooks installs it")
    nbformat = pytest.importorskip("nbformat")

    def run(name):
        document = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
        (place,) = [index for index, cell in enumerate(document.cells) if "parameters" in cell.metadata.get("tags", ())]
        document.cells.insert(place + 1, nbformat.v4.new_code_cell(SMALL[name]))
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
        resources = {"metadata": {"path": str(tmp_path)}}
        nbclient.NotebookClient(document, timeout=300, kernel_name="python3", resources=resources).execute(env=environment)
        return [cell for cell in document.cells if cell.cell_type == "code"]

    return run


def outputs(cells, kind):
    """The outputs of one media type."""
    return ["".join(output["data"][kind]) for cell in cells for output in cell.outputs if kind in output.get("data", {})]


def test_the_first_gan(executed, tmp_path):
    cells = executed("first_gan")
    html = outputs(cells, "text/html")
    (bar,) = [text for text in html if "<progress" in text]
    assert '<progress value="4" max="4"' in bar
    assert re.findall(r'alt="Samples at step (\d+)"', bar) == ["0", "2", "4"]
    (result,) = [text for text in html if "TrainResult: runs/dcgan_mnist, step 4" in text]
    assert "classifier_fd" in result
    assert any("LoadedRun" in text for text in html)
    images = [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in outputs(cells, "image/png")]
    assert len(images) == 4  # The losses, the samples, the interpolations and the circle.
    assert [image.shape for image in images].count((2 * (4 * 34 + 2), 2 * (8 * 34 + 2))) == 2
    assert (tmp_path / "runs" / "dcgan_mnist" / "report.html").is_file()
    assert not any(output.output_type == "stream" and output.name == "stderr" for cell in cells for output in cell.outputs)


def test_an_own_penalty(executed, tmp_path):
    cells = executed("own_penalty")
    assert len(outputs(cells, "image/png")) == 1
    rows = [json.loads(line) for line in (tmp_path / "runs" / "slope_limit" / "metrics.jsonl").read_text().splitlines()]
    assert any("term/slope_limit" in row for row in rows)
    assert any("<progress" in text for text in outputs(cells, "text/html"))
