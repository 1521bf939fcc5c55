"""The report of complete, incomplete and damaged run directories."""

import base64
import io
import json
import math
import os
import re
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_jax.trainer.image_grid import save_gif, save_png
from gan_jax.trainer.report import ReportError, compare_runs, comparison, judge, read_run, reading, write_report
from gan_jax.trainer.report.charts import script_json
from gan_jax.trainer.report.images import embed, embed_frames
from gan_jax.trainer.report.page import common_protocol, duration, facts, protocol
from gan_jax.trainer.report.series import make_series
from gan_jax.trainer.report.values import number
from support.fake_run import FINDING, METRICS, WEAK_FINDING, make_run

SCRIPT = Path(__file__).resolve().parents[2] / "experiments" / "report.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("report") / "run", steps=400, findings=(FINDING, WEAK_FINDING))


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.S)[1])


def test_everything_of_a_run_is_in_the_page(run, tmp_path):
    page = write_report(run, tmp_path / "report.html")
    text = page.read_text()
    for part in ("Failing: Mode collapse", "classifier_fd", "12.84", "EMA weights", "generator_lr", "TFRT_CPU_0"):
        assert part in text, part
    assert "python experiments/train.py dcgan_mnist --seed 0" in text
    assert "--penalty r1 --r1-weight 1" in text
    assert "Samples (left) and their nearest real images" in text
    assert 'alt="Two rows of rings beside rings"' in text
    assert "Some picture</figcaption>" in text
    assert text.count("data:image/gif") == 1
    data = data_of(page)
    assert [step for step, _ in data["frames"]["samples"]] == [400 * (index + 1) // 12 for index in range(12)]
    titles = [chart["title"] for chart in data["charts"]]
    assert titles[0] == "Losses"
    assert "Gradient norms of the generator, per layer" in titles
    assert [finding["step"] for finding in data["findings"]] == [900, 2400]
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    curve = next(series for series in data["charts"][0]["series"] if series["name"] == "generator_loss")
    assert curve["x"] == [line["step"] for line in logged]
    np.testing.assert_allclose(curve["y"], [line["generator_loss"] for line in logged], rtol=1e-5)


def test_nothing_in_the_page_comes_from_elsewhere(run, tmp_path):
    text = write_report(run, tmp_path / "report.html").read_text()
    links = re.findall(r'(?:src|href)="([^"]{0,20})', text)
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text


def test_all_data_in_a_page_is_read_by_its_script(run, tmp_path):
    script = "".join(path.read_text() for path in Path(reading.__file__).parent.glob("*.js"))
    for page in (write_report(run, tmp_path / "one.html"), compare_runs([run, run], tmp_path / "two.html")):
        assert [name for name in data_of(page) if not re.search(rf"\bdata\.{name}\b", script)] == []


def test_default_place_and_no_leftovers(run):
    assert write_report(str(run)) == run / "report.html"
    assert not [entry.name for entry in run.iterdir() if "partial" in entry.name]


# --- series ---------------------------------------------------------------------------------------------------------------------------


def test_a_short_curve_is_kept_as_it_is():
    series = make_series(np.array([0.0, 5, 10]), np.array([1.5, -2.25, 3.0]))
    assert (series.steps, series.values, series.lows) == ([0, 5, 10], [1.5, -2.25, 3.0], [])
    assert (series.first, series.last, series.lowest, series.highest) == ((0, 1.5), (10, 3.0), -2.25, 3.0)


def test_thinning_worked_by_hand():
    # 12 values in 3 bins of 4: means 1.5, 5.5, 9.5; middles of steps 4..7 is 5.5 -> 5; the ends are the first and the last step.
    series = make_series(np.arange(12.0), np.arange(12.0), bins=3)
    assert series.steps == [0, 5, 11]
    assert series.values == [1.5, 5.5, 9.5]
    assert series.lows == [0, 4, 8]
    assert series.highs == [3, 7, 11]
    assert series.count == 12


def test_no_spike_is_lost_and_the_size_is_bounded():
    values = np.random.default_rng(0).normal(size=100_003)
    values[70_001] = 1e4
    values[1234] = -1e4
    series = make_series(np.arange(len(values)) * 3.0, values)
    assert len(series.values) + len(series.lows) + len(series.highs) <= 1000
    assert max(series.highs) == 1e4
    assert min(series.lows) == -1e4
    assert all(low <= mean <= high for low, mean, high in zip(series.lows, series.values, series.highs))
    np.testing.assert_allclose(np.mean(series.values), values.mean(), atol=1e-3)
    assert series.steps == sorted(series.steps)


def test_steps_logged_twice_after_a_resume_count_once_and_the_later_line_wins():
    series = make_series(np.array([0.0, 10, 20, 10, 20, 30]), np.array([0.0, 1, 2, 11, 12, 13]))
    assert series.steps == [0, 10, 20, 30]
    assert series.values == [0, 11, 12, 13]


def test_values_that_are_not_finite_are_told_apart():
    values = np.arange(300.0)
    values[100:300:2] = np.nan
    values[7] = np.inf
    series = make_series(np.arange(300.0), values)
    assert series.count == 199
    assert series.broken_count == 101
    assert series.broken[0] == 7
    assert len(series.broken) <= 50
    assert all(map(math.isfinite, series.values))
    empty = make_series(np.array([1.0]), np.array([np.nan]))
    assert (empty.values, empty.first, empty.broken) == ([], None, [1])


# --- what is left of a run ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["metrics.jsonl", "run.json", "config.yaml", "metrics.json", "findings.jsonl", "samples", "pictures"])
def test_any_part_may_be_missing(tmp_path, missing):
    directory = make_run(tmp_path / "run", steps=100, grids=2, findings=(FINDING,))
    path = directory / missing
    path.rename(tmp_path / "away")
    assert "<h1>run</h1>" in write_report(directory).read_text()


@pytest.mark.parametrize("only", ["metrics.jsonl", "run.json", "config.yaml", "metrics.json", "samples"])
def test_any_part_alone_is_enough(tmp_path, only):
    full = make_run(tmp_path / "full", steps=100, grids=2)
    (tmp_path / "run").mkdir()
    (full / only).rename(tmp_path / "run" / only)
    assert "<h1>run</h1>" in write_report(tmp_path / "run").read_text()


@pytest.mark.parametrize(
    "damaged", ["metrics.jsonl", "run.json", "config.yaml", "metrics.json", "findings.jsonl", "samples/step_00000100.png"]
)
@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xff\xfe\x80" * 50, b"[[[[[" * 30000, b'{"step": 1e999, "metric": {}}\n[1,2]\n7\nnull\n', b'"' + b"a" * 3_000_000],
)
def test_any_part_may_be_damaged(tmp_path, damaged, content):
    directory = make_run(tmp_path / "run", steps=100, grids=2, findings=(FINDING,))
    (directory / damaged).write_bytes(content)
    page = write_report(directory)
    data_of(page)
    name = damaged.split("/")[-1]
    if content and name != "config.yaml" and not (name == "metrics.json" and b"metric" in content):
        assert name in re.search(r'<section id="notes".*</section>', page.read_text(), re.S)[0]


def test_a_half_written_last_line_is_named_and_the_rest_is_used(tmp_path):
    directory = make_run(tmp_path / "run", steps=100, grids=0)
    with (directory / "metrics.jsonl").open("a") as log:
        log.write('{"step": 120, "generator_lo')
    run = read_run(directory)
    assert run.steps == 100
    assert run.notes == ["the last line of metrics.jsonl is incomplete and was left out"]


def test_nan_and_infinity_in_the_log_are_shown_as_what_they_are(tmp_path):
    directory = make_run(tmp_path / "run", steps=100, grids=0)
    with (directory / "metrics.jsonl").open("a") as log:
        log.write('{"step": 120, "generator_loss": NaN, "penalty": {"r1": -Infinity}, "discriminator_loss": "inf"}\n')
    page = write_report(directory)
    assert (
        "generator_loss was not finite at step 120" in page.read_text()
        or "discriminator_loss was not finite at step 120" in page.read_text()
    )
    series = {one["name"]: one for chart in data_of(page)["charts"] for one in chart["series"]}
    assert [series[name]["broken"] for name in ("generator_loss", "r1", "discriminator_loss")] == [[120]] * 3
    assert judge(read_run(directory)).level == "bad"


def test_a_log_larger_than_the_limit_is_read_in_spread_blocks(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with path.open("w") as log:
        log.writelines(f'{{"step": {step}, "generator_loss": {step / 100}}}\n' for step in range(200_000))
    notes = []
    steps = [record["step"] for record in reading.lines_of(path, notes, limit=4 * 2**20)]
    assert path.stat().st_size > 8 * 2**20
    assert steps == sorted(steps)
    assert steps[0] == 0
    assert steps[-1] == 199_999
    assert 90_000 < len(steps) < 110_000
    assert max(b - a for a, b in pairwise(steps)) < 50_000
    assert notes == [f"metrics.jsonl has {path.stat().st_size / 2**20:,.0f} MiB; 4 MiB, evenly spaced, were read"]


def test_a_run_of_five_gigabytes_is_read_in_bounded_time_and_memory(tmp_path):
    # Sparse files: 5 GB of checkpoints that must never be opened, and a 5 GB line in the log.
    directory = make_run(tmp_path / "run", steps=100, grids=2)
    (directory / "checkpoints").mkdir()
    for path in (directory / "checkpoints" / "shard.safetensors", directory / "metrics.jsonl"):
        with path.open("ab") as file:
            file.truncate(5 * 2**30)
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, -1));"
        "from gan_jax.trainer.report import write_report; write_report(sys.argv[1]);"
        # Not ru_maxrss, which begins at the size of the process that started this one.
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])}
    done = subprocess.run([sys.executable, "-c", program, str(directory)], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 600 * 1024  # KiB
    assert "5,120 MiB; 256 MiB, evenly spaced, were read" in (directory / "report.html").read_text()


def test_many_and_large_samples_are_embedded_within_a_budget(tmp_path):
    directory = make_run(tmp_path / "run", steps=100, grids=3)
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), np.uint8)
    for step in range(200, 300):
        os.link(directory / "samples" / "step_00000100.png", directory / "samples" / f"step_{step:08d}.png")
    save_png(directory / "samples" / "step_00000300.png", noise)
    page = write_report(directory)
    assert page.stat().st_size < 40 * 2**20
    frames = data_of(page)["frames"]["samples"]
    assert frames[0][0] == 33
    assert frames[-1][0] == 300
    assert len(frames) <= 3
    assert re.search(r"\d+ of 104 sample grids are in this page", page.read_text())


NOISE = np.random.default_rng(0).integers(0, 256, (600, 900, 3), np.uint8)  # 1.6 MB that cannot be compressed


def decoded(embedded):
    """The content of an embedded picture, and the picture."""
    kind, content = re.fullmatch(r"data:image/(\w+);base64,(.*)", embedded.uri).groups()
    content = base64.b64decode(content)
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format.lower() == kind
        assert picture.size == (embedded.width, embedded.height)
        picture.load()
    return content, picture


def test_a_picture_over_the_limit_is_halved_until_it_fits(tmp_path):
    path, notes = tmp_path / "noise.png", []
    save_png(path, NOISE)
    # 1,620,000 bytes of 900 x 600 pixels; at most a quarter of them of 450 x 300, and again of 225 x 150.
    for limit, size in ((2_000_000, (900, 600)), (410_000, (450, 300)), (200_000, (225, 150))):
        picture = embed(path, notes, limit)
        assert (picture.width, picture.height) == size
        assert len(decoded(picture)[0]) <= limit
    assert notes == [f"noise.png is scaled down: {size} of 900 x 600" for size in ("450 x 300", "225 x 150")]
    assert len(decoded(embed(path, notes, 1))[0]) < 100  # a single pixel; there is an end


def test_a_wide_picture_is_brought_to_1600_pixels(tmp_path):
    path, notes = tmp_path / "wide.png", []
    save_png(path, np.zeros((10, 3200, 1), np.uint8))
    picture = embed(path, notes)
    assert decoded(picture)[1].size == (1600, 5)
    assert notes == ["wide.png is scaled down: 1600 x 5 of 3200 x 10"]


def test_a_picture_that_was_stored_carelessly_is_not_said_to_be_smaller(tmp_path):
    path, notes = tmp_path / "grey.png", []
    Image.new("RGB", (500, 500), "grey").save(path, compress_level=0, icc_profile=bytes(100_000))
    assert path.stat().st_size > 700_000
    content, picture = decoded(embed(path, notes, 50_000))
    assert len(content) < 50_000
    assert picture.size == (500, 500)
    assert notes == []


def test_an_animation_is_embedded_as_it_is_or_left_out(tmp_path):
    notes = []
    (tmp_path / "samples").mkdir()
    for name, side in (("small", 160), ("wide", 1610)):
        frames = [np.full((8, side, 1), value, np.uint8) for value in (0, 255)]
        save_gif(tmp_path / "samples" / f"{name}.gif", frames)
    content, picture = decoded(embed(tmp_path / "samples" / "small.gif", notes))
    assert content == (tmp_path / "samples" / "small.gif").read_bytes()
    assert picture.n_frames == 2
    assert embed(tmp_path / "samples" / "wide.gif", notes) is None
    assert embed(tmp_path / "samples" / "small.gif", notes, 10) is None
    assert notes == [
        "wide.gif has 1610 x 8 pixels and was left out of this page; it is in samples/",
        "small.gif has 0.0 MiB and was left out of this page; it is in samples/",
    ]


def test_the_frames_of_many_runs_and_their_pictures_keep_to_their_bytes(tmp_path, monkeypatch):
    runs = [make_run(tmp_path / name, steps=100, grids=2) for name in "ab"]
    for run in runs:
        for place in ("samples/step_00000050.png", "samples/step_00000100.png", "pictures/nearest_neighbours.png"):
            save_png(run / place, NOISE)
    frames = embed_frames([(step, runs[0] / "samples" / f"step_{step:08d}.png") for step in (50, 100)], [], 600_000)
    assert [step for step, _ in frames] == [50, 100]
    assert sum(len(decoded(picture)[0]) for _, picture in frames) <= 600_000
    monkeypatch.setattr(comparison, "FRAMES_BYTES", 400_000)
    monkeypatch.setattr(comparison, "IMAGES_BYTES", 400_000)
    text = compare_runs(runs, tmp_path / "two.html").read_text()
    assert [len(own) for own in data_of(tmp_path / "two.html")["frames"].values()] == [2, 2]
    # The last frames are there twice, in the data and as what is shown first; four characters stand for three bytes.
    assert len(text) < (2 * 400_000 + 400_000) * 4 / 3 + 300_000
    assert "nearest_neighbours.png is scaled down: 225 x 150 of 900 x 600" in text


def test_a_running_run_reloads_and_a_finished_one_does_not(tmp_path):
    live = make_run(tmp_path / "live", steps=100, grids=2, status="running")
    text = write_report(live, refresh_seconds=7).read_text()
    assert '<html lang="en" data-refresh="7">' in text
    assert '<noscript><meta http-equiv="refresh" content="7"></noscript>' in text
    assert 'id="pause"' in text
    assert "refresh" not in write_report(live, refresh_seconds=0).read_text().split("<body>")[0].split("<style>")[0]
    done = make_run(tmp_path / "done", steps=100, grids=2)
    assert "data-refresh=" not in write_report(done).read_text()


# --- verdict, numbers -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("findings", "status", "metrics", "level", "headline"),
    [
        ((), "finished", [{"metric": "fid", "value": 5.0, "real": 3.0}], "good", "the samples are near real images"),
        ((), "finished", METRICS, "warning", "No failure found, but the samples are not yet near real images"),
        ((), "finished", [{"metric": "inception_score", "value": 5.0, "real": 9.0}], "unknown", "nothing tells how near"),
        ((), "finished", [], "unknown", "the run was not evaluated"),
        ((WEAK_FINDING,), "finished", METRICS, "warning", "Look closer: Spikes"),
        ((WEAK_FINDING, FINDING), "finished", METRICS, "bad", "Failing: Mode collapse"),
        ((FINDING | {"confidence": "high"},), "finished", METRICS, "bad", "Mode collapse"),
        ((FINDING | {"confidence": "low"},), "finished", METRICS, "warning", "Mode collapse"),
        (({"id": "odd"},), "finished", METRICS, "bad", "odd"),
        ((), "interrupted", METRICS, "warning", "interrupted"),
        ((), "running", [], "unknown", "so far"),
        ((), "running", METRICS, "unknown", "so far"),
        ((), "unknown", METRICS, "unknown", "whether the run finished is not recorded"),
    ],
)
def test_verdict(tmp_path, findings, status, metrics, level, headline):
    directory = make_run(tmp_path / "run", steps=100, grids=0, findings=findings, status=status)
    (directory / "metrics.json").write_text(json.dumps(metrics))
    verdict = judge(read_run(directory))
    assert verdict.level == level
    assert headline in verdict.headline


def test_a_wasserstein_run_says_how_far_the_distance_fell(tmp_path):
    directory = make_run(tmp_path / "run", steps=100, grids=0)
    # Distances 40, 39, ... 1: at most 40, and 4, 3, 2, 1 in the last tenth.
    lines = [{"step": step, "discriminator_adversarial_loss": step - 40.0, "discriminator_loss": 0.0} for step in range(40)]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (directory / "config.yaml").write_text("seed: 0\nloss:\n  halve: false\n  name: wasserstein\npenalty:\n  wgan_gp: 10.0\n")
    reason = "The critic estimated a distance of at most 40, and of 2.5 in the last tenth of the run. It should approach 0."
    assert judge(read_run(directory)).reasons[0] == reason
    (directory / "config.yaml").write_text("loss:\n  name: hinge\npenalty:\n  name: wasserstein\n")
    assert reason not in judge(read_run(directory)).reasons


def test_the_time_to_judge_does_not_grow_with_the_number_of_settings(tmp_path):
    directory = make_run(tmp_path / "run", steps=100, grids=0)
    settings = "".join(f"  setting_{number}: 1\n" for number in range(60))
    (directory / "config.yaml").write_text(f"loss:\n{settings}model:\n  name: dcgan\n")
    start = time.process_time()
    judge(read_run(directory))
    assert time.process_time() - start < 5  # A search that tries every way to split the lines would not end.


def test_metrics_stand_beside_the_real_figure_with_their_protocol(tmp_path):
    directory = make_run(tmp_path / "run", steps=100, grids=0)
    text = re.sub(r"<[^>]+>", "|", write_report(directory).read_text())
    assert "All of them: 5,000 samples, EMA weights." in text
    assert re.search(
        r"classifier_fd\|+12\.84\|+3\.1\|+4\.142\|+extractor digits_classifier_v1, reference split test, resize none, seed 0", text
    )
    assert protocol({"metric": "fd", "value": 1, "real": 2, "ema": False, "seed": 1234}) == "raw weights, seed 1234"
    details = {"metric": "m", "details": {"k": 3, "subset_size": 1000, "shares": [0.25, 0.75]}, "reference": "mnist5k/train"}
    assert protocol(details) == "k 3, subset size 1,000, shares 0.25 / 0.75, reference mnist5k/train"
    assert protocol(details, without={"details"}) == "reference mnist5k/train"
    assert common_protocol([details]) == {}
    assert common_protocol([details, details | {"details": {"k": 5}}]) == {"reference": "reference mnist5k/train"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12345, "12,345"),
        (18412.3, "18,412"),
        (0.00012345, "0.0001234"),
        (-3.5, "−3.5"),
        (10.0, "10"),
        (float("nan"), "NaN"),
        (float("-inf"), "−∞"),
        (None, ""),
        (True, "True"),
        ("x", "x"),
    ],
)
def test_numbers_for_a_reader(value, text):
    assert number(value) == text


def test_durations_for_a_reader():
    assert [duration(seconds) for seconds in (59.4, 200, 7500)] == ["59 s", "3 min 20 s", "2 h 05 min"]


def test_the_origin_of_a_run_is_a_fact(tmp_path):
    run = make_run(tmp_path / "run", steps=20, grids=1)
    record = json.loads((run / "run.json").read_text())
    record["init_from"] = {"path": "runs/a/checkpoints/step_00000004", "step": 4}
    record["parent"] = {"path": "runs/b/checkpoints/step_00000006", "changed": {"steps": ["6", "9"], "batch_size": ["8", "16"]}}
    (run / "run.json").write_text(json.dumps(record))
    known = dict(facts(read_run(run)))
    assert known["Begins with the weights of"] == "runs/a/checkpoints/step_00000004"
    assert known["Continues"] == "runs/b/checkpoints/step_00000006, with steps 6 to 9, batch_size 8 to 16"
    (run / "run.json").write_text(json.dumps(record | {"init_from": 3, "parent": {"path": "x", "changed": "damaged"}}))
    known = dict(facts(read_run(run)))
    assert ("Begins with the weights of" in known, known["Continues"]) == (False, "x")


def test_script_json_cannot_end_the_script():
    text = script_json({"a": "</script><!--&"})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"a": "</script><!--&"}


# --- comparison, command line -------------------------------------------------------------------------------------------------------------


def test_comparison_shows_what_differs_and_one_curve_for_each_run(run, tmp_path):
    other = make_run(tmp_path / "a" / "run", steps=200, grids=4, seed=3)
    page = compare_runs([run, other], tmp_path / "comparison.html")
    text = page.read_text()
    rows = re.sub(r"<[^>]+>", "|", text)
    assert re.search(r"\|optimizer\.generator_lr\|+0\.0002\|+0\.0008\|", rows)
    assert "batch_size" not in re.search(r'<section id="differences".*?</section>', text, re.S)[0]
    data = data_of(page)
    losses = next(chart for chart in data["charts"] if chart["title"] == "generator_loss")
    assert [len(series["x"]) for series in losses["series"]] == [21, 11]
    assert len({series["name"] for series in losses["series"]}) == 2
    assert sorted(data["frames"]) == ["run-0", "run-1"]


def cli(*arguments):
    done = subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def test_command_line_writes_one_or_compares_several(run, tmp_path):
    assert cli(run, "--out", tmp_path / "one.html") == (0, f"{tmp_path / 'one.html'}\n", "")
    assert cli(run, run, "--out", tmp_path / "two.html")[0] == 0
    assert "2 runs" in (tmp_path / "two.html").read_text()


def test_command_line_refuses_in_one_line(run, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    cases = [
        ((tmp_path / "nowhere",), "nowhere: not a readable run directory: No such file or directory"),
        ((tmp_path / "file",), "Not a directory"),
        ((tmp_path / "empty",), "empty: not a run directory: it has none of run.json"),
        ((run, "--out", tmp_path / "file" / "report.html"), "cannot be written"),
        ((run, "--out", tmp_path / "empty"), "is a directory; name a file"),
        ((run, "--refresh", "-1"), "--refresh -1"),
    ]
    for arguments, message in cases:
        code, out, err = cli(*arguments)
        assert (code, out) == (2, "")
        assert message in err.splitlines()[-1]
        assert "Traceback" not in err
    with pytest.raises(ReportError, match="at least one"):
        compare_runs([])
