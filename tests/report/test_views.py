"""The sections with images, and the comparison's marks and differences."""

import json
import re

import numpy as np
import pytest

from gan_jax.trainer.image_grid import image_grid, save_png
from gan_jax.trainer.report import compare_runs, read_run, write_report
from gan_jax.trainer.report.comparison import best, difference
from gan_jax.trainer.report.views import grid_layout
from support.fake_run import METRICS, add_explorer, describe_data, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = make_run(tmp_path_factory.mktemp("views") / "run", steps=100, grids=3)
    describe_data(directory)
    add_explorer(directory)
    return directory


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.S)[1])


@pytest.mark.parametrize("scale", [1, 2])
def test_places_of_the_images_in_a_grid(tmp_path, scale):
    save_png(tmp_path / "grid.png", image_grid(np.zeros((6, 4, 8, 1), np.uint8), cols=3), scale=scale)
    places = grid_layout(tmp_path / "grid.png", {"shape": [4, 8, 1]})
    # The width is 3 * 10 + 2 = 32, and the height 2 * 6 + 2 = 14.
    assert places == {
        "columns": 3, "rows": 2, "left": 2 / 32, "top": 2 / 14, "right": 10 / 32, "down": 6 / 14, "width": 8 / 32, "height": 4 / 14,
    }  # fmt: skip


def test_input_output_and_target_of_a_translation_are_one_place(tmp_path):
    save_png(tmp_path / "grid.png", image_grid(np.zeros((6, 8, 24, 1), np.uint8), cols=2))
    places = grid_layout(tmp_path / "grid.png", {"shape": [8, 8, 1]})
    # The width is 2 * 26 + 2 = 54, and the height 3 * 10 + 2 = 32.
    assert (places["columns"], places["rows"], places["width"], places["height"]) == (2, 3, 24 / 54, 8 / 32)


@pytest.mark.parametrize("data", [None, {}, {"shape": [2]}, {"shape": [5, 8, 1]}, {"shape": ["4", 8, 1]}, {"shape": [0, 8, 1]}, [4, 8, 1]])
def test_other_images_have_no_places(tmp_path, data):
    save_png(tmp_path / "grid.png", image_grid(np.zeros((6, 4, 8, 1), np.uint8), cols=3))
    assert grid_layout(tmp_path / "grid.png", data) is None
    assert grid_layout(tmp_path / "nowhere.png", {"shape": [4, 8, 1]}) is None


def test_the_page_has_the_explorer(run, tmp_path):
    page = write_report(run, tmp_path / "report.html")
    assert data_of(page)["explorer"] == {"side": 4, "width": 8, "height": 8, "classes": ["rings", "dots"], "truncations": ["0.5", "none"]}
    assert page.read_text().count("data:image/webp") == 1
    assert 'alt="Plane of 4 x 4 tiles"' in page.read_text()
    assert data_of(page)["grid"]["columns"] == 8


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"side": 5}, "64 x 64 pixels, not 80 x 80"),
        ({"side": 0}, "explorer.json does not describe"),
        ({"side": True, "height": "8"}, "explorer.json does not describe"),
        ({"classes": [1, 2]}, "explorer.json does not describe"),
        ({"caption": None}, "explorer.json does not describe"),
    ],
)
def test_an_explorer_that_does_not_fit_is_left_out(tmp_path, change, note):
    directory = make_run(tmp_path / "run", steps=20, grids=1)
    add_explorer(directory)
    path = directory / "pictures" / "explorer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    page = write_report(directory)
    assert "explorer" not in data_of(page)
    assert "data:image/webp" not in page.read_text()
    assert note in page.read_text()


def test_an_explorer_with_damaged_or_too_many_bytes_is_left_out(tmp_path, monkeypatch):
    directory = make_run(tmp_path / "run", steps=20, grids=1)
    add_explorer(directory)
    (directory / "pictures" / "explorer.webp").write_bytes(b"RIFF....")
    assert "explorer.webp is not a readable image" in write_report(directory).read_text()
    with (directory / "pictures" / "explorer.webp").open("wb") as file:
        file.truncate(4 * 2**20)
    assert "explorer.webp has 4.0 MiB and was left out" in write_report(directory).read_text()


def test_wide_pictures_take_a_whole_row(tmp_path):
    directory = make_run(tmp_path / "run", steps=20, grids=1)
    for name, width in (("wide", 90), ("square", 30)):
        save_png(directory / "pictures" / f"{name}.png", np.zeros((30, width, 1), np.uint8))
    text = write_report(directory).read_text()
    assert [re.search(rf"<figure([^>]*)><img[^>]*><figcaption>{name}", text)[1] for name in ("Wide", "Square")] == [' class="wide"', ""]


def test_points_are_explained(tmp_path):
    directory = make_run(tmp_path / "run", steps=20, grids=1)
    describe_data(directory, (2,))
    page = write_report(directory)
    assert "Black: samples. Grey: training points." in page.read_text()
    assert "grid" not in data_of(page)


# --- comparison -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "winner"),
    [
        ("classifier_fd", [12.0, 9.0, 10.0], 1),  # Lower is better.
        ("precision", [0.5, 0.7, None], 1),  # Higher is better.
        ("precision", [0.7, 0.7], None),
        ("precision", [0.7, None], None),
        ("of my own", [1.0, 2.0], None),
    ],
)
def test_the_best_run_of_a_metric(name, values, winner):
    assert best(name, values) == winner


@pytest.mark.parametrize(
    ("value", "first", "text"),
    [
        (15.0, 12.0, "+3 (+25%)"),
        (9.0, 12.0, "−3 (−25%)"),
        (-2.0, -4.0, "+2 (+50%)"),
        (3.0, 0.0, "+3"),
        (2.0, 2.0, "0 (+0%)"),
        (None, 1.0, ""),
    ],
)
def test_differences_to_the_first_run(value, first, text):
    assert difference(value, first) == text


def test_the_comparison_marks_the_better_run(run, tmp_path):
    other = make_run(tmp_path / "other", seed=1, grids=2, steps=60)
    changed = [record | {"value": 9.0} if record["metric"] == "classifier_fd" else record for record in METRICS]
    (other / "metrics.json").write_text(json.dumps(changed))
    text = compare_runs([run, other], tmp_path / "comparison.html").read_text()
    numbers = re.search(r'<section id="numbers".*?</section>', text, re.S)[0]
    row = re.search(r'<th scope="row">classifier_fd</th>(.*?)</tr>', numbers)[1]
    cells = [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)]
    assert cells[:3] == ["12.84 (3.1)", "★best: 9 (3.1)", "−3.84 (−30%)"]
    assert "other − run" in numbers
    overview = re.search(r'<th scope="row">Metrics in which it is best</th>(.*?)</tr>', text)[1]
    assert [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", overview)] == ["0 of 1", "★best: 1 of 1"]
    assert '<th scope="col"></th>' not in text
    assert read_run(run).explorer.classes == ["rings", "dots"]
