"""What a notebook shows. IPython is replaced by a module that keeps what is displayed; the notebooks of docs/ use the real one."""

import base64
import dataclasses
import io
import re
import sys
import types

import jax
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import gan_jax
from gan_jax._internal import notebook_html
from gan_jax.export.generator import GeneratorConfig, save_generator
from gan_jax.models import build_model
from gan_jax.trainer import notebook
from gan_jax.trainer.loop import TrainResult, train
from gan_jax.trainer.notebook import NotebookBar, progress_bar
from gan_jax.trainer.progress import ProgressBar
from gan_jax.typing import Players
from support.fake_run import make_run
from support.small_runs import SMALL
from support.stored_runs import loaded_mlp

GREY = np.full((20, 30, 1), 100, np.uint8)


@pytest.fixture
def displayed(monkeypatch):
    """Each output of the notebook as the list of the bundles that it showed one after the other."""
    outputs = []

    def display(content, *, raw=False, display_id=None):
        outputs.append([content if raw else {"text/html": content.html}])  # rich displays objects with `html`.
        shown = outputs[-1]
        return types.SimpleNamespace(update=lambda content, *, raw: shown.append(content)) if display_id else None

    package, module = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    package.display, module.display = module, display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return outputs


def steps_of(html):
    """The steps of the pictures in their order."""
    return [int(step) for step in re.findall(r'alt="Samples at step (\d+)"', html)]


def pictures(html):
    """The pictures of some HTML as arrays."""
    found = re.findall(r"data:image/png;base64,([\w+/=]+)", html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in found]


def test_the_bar_is_one_output_that_changes(displayed, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(notebook.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr("gan_jax.trainer.progress.time.monotonic", lambda: clock[0])
    with progress_bar(40, 0, Console(force_jupyter=True)) as bar:
        assert isinstance(bar, NotebookBar)
        bar.print_above("<b>a line</b>")
        bar.show(10, {"discriminator_loss": 1.25, "generator_loss": 0.5})
        drawn = len(displayed[0])
        clock[0] += 0.1
        bar.advance(9)  # Too early to draw again.
        assert len(displayed[0]) == drawn
        clock[0] += 4.9
        bar.advance(10)
        assert len(displayed[0]) == drawn + 1
    assert len(displayed) == 1
    last = displayed[0][-1]
    # 10 steps in 5 seconds, and 30 steps to do in 15.
    assert last["text/plain"] == "step 10/40, 2.0 steps/s, 0:15 left  D   1.250  G   0.500"
    assert '<progress value="10" max="40"' in last["text/html"]
    assert "<pre>&lt;b&gt;a line&lt;/b&gt;</pre>" in last["text/html"]


def test_the_pictures_grow_and_earlier_ones_stay_evenly_spaced(displayed):
    with progress_bar(100, 0, Console(force_jupyter=True)) as bar:
        for step in range(12):
            bar.show_samples(step, np.full((20, 300, 1), step, np.uint8))
    html = displayed[0][-1]["text/html"]
    assert steps_of(html) == [0, 2, 4, 6, 8, 10, 11]
    *earlier, newest = pictures(html)
    assert newest.shape == (20, 300)
    assert (newest == 11).all()
    assert {picture.shape[1] for picture in earlier} == {192}
    assert [int(picture[0, 0]) for picture in earlier] == [0, 2, 4, 6, 8, 10]


def test_old_lines_make_room(displayed):
    with progress_bar(1, 0, Console(force_jupyter=True)) as bar:
        for number in range(30):
            bar.print_above(f"line {number}.")
    html = displayed[0][-1]["text/html"]
    assert "line 9." not in html
    assert "line 10." in html
    assert "line 29." in html


@pytest.mark.parametrize("options", [{}, {"force_jupyter": True, "quiet": True}])
def test_outside_of_a_notebook_the_bar_is_that_of_the_terminal(displayed, options):
    with progress_bar(10, 0, Console(file=io.StringIO(), **options)) as bar:
        bar.show_samples(1, GREY)
    assert type(bar) is ProgressBar
    assert displayed == []


def test_without_ipython_the_bar_is_that_of_the_terminal(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    assert type(progress_bar(10, 0, Console(file=io.StringIO(), force_jupyter=True))) is ProgressBar


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("notebook") / "run"
    return train(dataclasses.replace(SMALL, steps=12, out=out), console=Console(quiet=True))


def test_a_run_in_a_notebook_shows_its_pictures(displayed, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("gan_jax.trainer.loop.write_figures", lambda *arguments: None)
    config = dataclasses.replace(SMALL, steps=12, out=tmp_path / "run")
    result = train(config, console=Console(force_jupyter=True))
    (bar,) = [shown for shown in displayed if "<progress" in shown[-1]["text/html"]]
    assert steps_of(bar[-1]["text/html"]) == [0, 6, 12]
    assert bar[-1]["text/plain"].startswith("step 12/12")
    assert "compiling the train step" in bar[-1]["text/html"]
    printed = " ".join(shown[-1]["text/html"] for shown in displayed)
    assert "report.html" in printed
    # Where a run is shown does not change its numbers.
    assert (result.directory / "metrics.jsonl").read_bytes() == (trained.directory / "metrics.jsonl").read_bytes()


def test_a_result_shows_its_figures_and_its_last_grid(trained):
    html = trained._repr_html_()
    assert f"TrainResult: {trained.directory}, step 12" in html
    assert ">finished<" in html
    assert "discriminator loss" in html
    assert steps_of(html) == [12]
    assert f'href="{trained.directory}/report.html"' in html
    assert len(html) < 40_000


def test_a_result_shows_the_metrics_beside_those_of_real_images(tmp_path):
    make_run(tmp_path / "run")
    html = TrainResult(tmp_path / "run", Players({}, {}), None, 4000, saved=False)._repr_html_()
    row = re.search(r"<tr><th[^>]*>classifier_fd</th><td[^>]*>([^<]*)</td><td[^>]*>([^<]*)</td><td[^>]*>([^<]*)</td></tr>", html)
    assert row.groups() == ("12.84", "3.1", "lower")
    assert "the last step is not saved" in html


def test_a_result_of_a_directory_that_is_gone_says_so(tmp_path):
    html = TrainResult(tmp_path / "<gone>", Players({}, {}), None, 3)._repr_html_()
    assert "not a readable run directory" in html
    assert "<gone>" not in html


def test_a_damaged_grid_is_left_out(trained, tmp_path):
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "step_00000003.png").write_bytes(b"no image")
    assert "<img" not in TrainResult(tmp_path, Players({}, {}), None, 3)._repr_html_()


def test_a_loaded_run_shows_samples():
    html = loaded_mlp()._repr_html_()
    (row,) = pictures(html)
    assert row.shape == (8 + 2 * 2, 8 * (8 + 2) + 2)  # 8 images of 8x8 with margins of 2.
    assert row.std() > 1
    assert "generator " in html


def test_a_loaded_run_of_points_shows_a_scatter_image(trained):
    (scatter,) = pictures(gan_jax.load_run(trained.directory)._repr_html_())
    assert scatter.shape == (256, 256)


def test_large_samples_and_those_of_a_context_are_not_drawn():
    def sample(rng, count):
        raise AssertionError

    assert "<img" not in notebook.loaded_run_html([("a", 1)], sample, (256, 256, 3))
    assert "<img" not in notebook.loaded_run_html([("a", 1)], None, (8, 8, 1))


def test_a_generator_shows_its_samples(tmp_path):
    options = {"image_size": 8, "channels": 1, "latent_dim": 2, "generator_hidden": (4,)}
    params, state = build_model("mlp", **options).generator.init(jax.random.key(0), np.zeros((1, 2), np.float32))
    path = tmp_path / "generator.safetensors"
    save_generator(path, GeneratorConfig("mlp", options, "normal"), params, state)
    generator = gan_jax.load_generator(path)
    html = generator._repr_html_()
    (row,) = pictures(html)
    np.testing.assert_array_equal(row, np.hstack(generator.as_uint8(generator.sample(0, 8))[..., 0]))
    assert "8x8x1" in html
    assert "classes" not in html


def test_every_text_is_escaped():
    html = notebook_html.block(
        "<t>", notebook_html.facts_table([("<a>", "<b>"), ("none", None)]), notebook_html.table(["<c>"], [["<d>", "<e>"]])
    )
    html += notebook_html.image(GREY, '"<f>')
    assert not re.search("<[a-f]>", html)
    assert "none" not in html
    assert "&lt;t&gt;" in html
    assert 'alt="&quot;&lt;f&gt;"' in html
