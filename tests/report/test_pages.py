"""The report in a real browser, driven by Playwright: samples, explorer, dialog, copy button, and axe-core.

Skipped without them (`pip install playwright axe-playwright-python`, `apt-get install chromium`).
"""

import base64
import importlib.resources
import io
import json

import numpy as np
import pytest
from PIL import Image

from gan_jax.trainer.image_grid import load_png
from gan_jax.trainer.report import compare_runs, write_report
from support.browser import needs_chromium, visits
from support.fake_run import FINDING, WEAK_FINDING, add_explorer, describe_data, make_run

pytestmark = needs_chromium
SIDE = 4


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = make_run(tmp_path_factory.mktemp("pages") / "run", steps=600, grids=5, findings=(FINDING, WEAK_FINDING))
    describe_data(directory)
    add_explorer(directory, side=SIDE)
    with (directory / "metrics.jsonl").open("a") as log:
        log.write('{"step": 600, "evaluation/classifier_fd": 12.5}\n')
    return directory


@pytest.fixture(scope="module")
def paths(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    other = make_run(folder / "other", seed=1, grids=3, steps=300)
    return {"report": write_report(run, folder / "report.html"), "comparison": compare_runs([run, other], folder / "comparison.html")}


@pytest.fixture
def visit(browser, paths):
    """Opens a page with some options. At the end only the page itself must have been requested, with no message on the console."""
    ready = "[...document.querySelectorAll('canvas')].every(canvas => canvas.width > 1)"
    with visits(browser, lambda page: page.wait_for_function(ready)) as open_page:
        yield lambda name="report", **options: open_page(paths[name], **options)


def pixels(page, selector):
    """The pixels of a canvas, uint8 [height, width, 3]."""
    uri = page.eval_on_selector(selector, "canvas => canvas.toDataURL()")
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as file:
        return np.asarray(file.convert("RGB"))


def grids(run):
    return [load_png(path).astype(int) for path in sorted((run / "samples").glob("step_*.png"))]


def set_slider(page, value):
    page.eval_on_selector(
        ".slider input", "(input, value) => { input.value = value; input.dispatchEvent(new Event('input', {bubbles: true})); }", value
    )


def test_the_change_since_the_step_before(visit, run):
    page, frames = visit(), grids(run)
    canvas = "[data-view=change] canvas"
    for index in (4, 2):
        set_slider(page, index)
        page.wait_for_function(f"document.querySelector('[data-view=change] figcaption').textContent.includes('step {120 * index}:')")
        change = frames[index] - frames[index - 1]
        np.testing.assert_allclose(pixels(page, canvas)[..., 0].astype(int), np.clip(128 + change[..., 0] / 2, 0, 255), atol=1)
        # Of the grid, 64 images of 32 x 32 in 274 x 274 pixels change.
        mean = 100 * np.abs(change).sum() / 255 / (64 * 32 * 32)
        assert f"step {120 * index}: {mean:.1f}% of the range" in page.inner_text("[data-view=change] figcaption")
    set_slider(page, 0)
    page.wait_for_function("document.querySelector('[data-view=change] figcaption').textContent.includes('first grid')")
    assert (pixels(page, canvas) == 128).all()


def test_a_single_image_is_enlarged_by_click_and_by_keys(visit, run):
    page, last = visit(), grids(run)[-1]
    canvas, caption = "[data-view=single] canvas", "[data-view=single] figcaption"

    def shows(row, column):
        page.wait_for_function(f"document.querySelector('{caption}').textContent.includes('row {row + 1}, column {column + 1})')")
        top, left = 2 + 34 * row, 2 + 34 * column
        np.testing.assert_array_equal(pixels(page, canvas), last[top : top + 32, left : left + 32].repeat(3, axis=2))

    shows(0, 0)
    box = page.query_selector(".views .cells").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 5.5 / 8, box["y"] + box["height"] * 2.5 / 8)
    shows(2, 5)
    page.focus(".views .cells")
    for key, place in (("ArrowLeft", (2, 4)), ("ArrowDown", (3, 4)), ("ArrowRight", (3, 5)), ("ArrowUp", (2, 5))):
        page.keyboard.press(key)
        shows(*place)
    for _ in range(4):
        page.keyboard.press("ArrowRight")  # A row has an end.
    shows(2, 7)
    # The strip has the same latent at each of the five steps.
    strip = pixels(page, "[data-view=single] canvas + canvas")
    assert strip.shape == (32, 5 * 34 - 2, 3)
    for index, frame in enumerate(grids(run)):
        np.testing.assert_array_equal(strip[:, 34 * index : 34 * index + 32, 0], frame[70:102, 240:272, 0])


def test_the_explorer_moves_by_drag_and_keys(visit):
    page = visit()
    sample = "[data-explorer] .panes > div:nth-child(2) canvas"

    def shows(row, column, label, truncation):
        np.testing.assert_array_equal(
            np.unique(pixels(page, sample).reshape(-1, 3), axis=0), [[30 + 60 * column, 30 + 60 * row, 40 + 40 * truncation + 100 * label]]
        )

    shows(2, 2, 0, 1)
    plane = page.query_selector(".plane")
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    at = lambda row, column: (box["x"] + box["width"] * (column + 0.5) / SIDE, box["y"] + box["height"] * (row + 0.5) / SIDE)  # noqa: E731
    page.mouse.move(*at(0, 1))
    page.mouse.down()
    shows(0, 1, 0, 1)
    page.mouse.move(*at(3, 0))
    shows(3, 0, 0, 1)
    page.mouse.up()
    page.mouse.move(*at(1, 1))
    shows(3, 0, 0, 1)
    page.focus(".plane")
    for key, place in (("ArrowUp", (2, 0)), ("ArrowRight", (2, 1)), ("ArrowDown", (3, 1)), ("ArrowDown", (3, 1)), ("Home", (2, 2))):
        page.keyboard.press(key)
        shows(*place, 0, 1)
    page.select_option("[data-explorer] select", "1")
    shows(2, 2, 1, 1)
    page.focus("[data-explorer] input")
    page.keyboard.press("ArrowLeft")
    shows(2, 2, 1, 0)
    assert page.inner_text("[data-explorer] .where") == f"Row 3, column 3 of {SIDE} x {SIDE}, class dots, truncation 0.5"
    assert page.get_attribute("[data-explorer] input", "aria-valuetext") == "0.5"
    assert not page.is_visible("[data-explorer] img")
    page.reload()
    page.wait_for_function("document.querySelector('[data-explorer] .where').textContent")
    shows(2, 2, 1, 0)


def test_pictures_open_in_a_dialog(visit):
    page = visit()
    page.focus(".gallery .zoom >> nth=0")
    page.keyboard.press("Enter")
    assert page.is_visible("dialog[open] img")
    shown, small = (page.query_selector(selector).bounding_box() for selector in ("dialog img", ".gallery .zoom >> nth=0"))
    assert shown["width"] > small["width"]
    assert page.get_attribute("dialog img", "alt") == page.get_attribute(".gallery img >> nth=0", "alt")
    page.keyboard.press("Escape")
    assert not page.is_visible("dialog")
    assert page.evaluate("document.activeElement.className") == "zoom"


def test_a_command_is_copied(visit):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.click(".copy")
    page.wait_for_function("document.querySelector('.copy').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()") == "python experiments/train.py dcgan_mnist --seed 0"


def test_a_curve_of_one_point_is_visible(visit):
    page = visit()
    dots = page.eval_on_selector_all(".point", "dots => dots.map(dot => dot.getBoundingClientRect().width)")
    assert len(dots) == 1
    assert dots[0] > 5


def test_reduced_motion_plays_slowly(visit):
    page = visit(reduced_motion="reduce")
    page.click(".play")
    page.wait_for_timeout(700)
    assert page.input_value(".slider input") == "0"


@pytest.mark.parametrize("name", ["report", "comparison"])
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1440, "dark")])
def test_accessibility(visit, name, width, scheme):
    pytest.importorskip("axe_playwright_python", reason="needs axe-core; `pip install axe-playwright-python` runs these tests")
    page = visit(name, viewport={"width": width, "height": 900}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate((importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text())
    check = "axe.run().then(result => result.violations.map(rule => [rule.id, rule.nodes.map(node => node.html)]))"
    assert page.evaluate(check) == []
    if page.query_selector(".zoom"):
        page.click(".zoom >> nth=0")
        assert page.evaluate(check) == []


def test_samples_and_explorer_fill_the_width(visit):
    page = visit()
    for selector in (".views > figure", ".panes > div"):
        boxes = [one.bounding_box() for one in page.query_selector_all(selector)]
        assert len(boxes) == 3
        assert sum(box["width"] for box in boxes) > 0.9 * 1248
        assert max(box["y"] for box in boxes) == min(box["y"] for box in boxes)


def test_the_data_of_the_explorer_is_that_of_its_files(run, paths):
    """The sprite in the page is the file."""
    text = paths["report"].read_text()
    with Image.open(run / "pictures" / "explorer.webp") as file:
        assert f'width="{file.width}" height="{file.height}"' in text
    assert json.loads((run / "pictures" / "explorer.json").read_text())["side"] == SIDE
