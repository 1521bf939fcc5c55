"""The report of running, resumed and very large runs, the grouping of charts, and comparisons."""

import dataclasses
import json
import os
import re
import resource
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from gan_jax.trainer.loop import train
from gan_jax.trainer.report import LivePage, ReportError, compare_runs, judge, read_run, write_report
from gan_jax.trainer.report.charts import compare, group
from support.fake_run import METRICS, log_line, make_run
from support.small_runs import SMALL

ROOT = Path(__file__).resolve().parents[2]


def words_of(page):
    return re.sub(r"(<[^>]+>)+", "|", page.read_text().split("<script")[0])


# -- while it trains -------------------------------------------------------------------------------------------


def test_the_live_page_takes_a_hundredth_of_the_time(tmp_path, monkeypatch):
    directory = make_run(tmp_path / "run", steps=20, grids=0, status="running")
    now, written = [0.0], []

    def slow(path):
        written.append(now[0])
        now[0] += 2.0  # seconds that writing takes
        return path

    monkeypatch.setattr("gan_jax.trainer.report.write_report", slow)
    page = LivePage(directory, clock=lambda: now[0])
    for _ in range(900):
        page()
        now[0] += 1.0
    # 2 s of writing, then 200 s without.
    assert written == [0, 202, 404, 606, 808]


def test_a_live_page_that_cannot_be_written_is_not_tried_at_every_grid(tmp_path):
    now = [0.0]

    def clock():
        now[0] += 1.0
        return now[0]

    page = LivePage(tmp_path / "nowhere", clock=clock)
    with pytest.raises(ReportError, match="nowhere"):
        page()
    assert page() is None


def test_a_run_writes_its_page_while_it_trains(tmp_path, monkeypatch):
    seen = []

    def look(directory, step, samples, bounds, **options):
        path = directory / "report.html"
        seen.append((step, path.exists() and 'data-refresh="30"' in path.read_text()))

    monkeypatch.setattr("gan_jax.trainer.writers.samples.write_samples", look)
    monkeypatch.setattr("gan_jax.trainer.writers.samples.LivePage", lambda directory: LivePage(directory, share=1e9))
    train(dataclasses.replace(SMALL, steps=12, out=tmp_path / "run"), console=Console(quiet=True))
    assert seen == [(0, False), (6, True), (12, True)]
    assert "data-refresh=" not in (tmp_path / "run" / "report.html").read_text()


def test_a_run_that_was_killed_is_not_said_to_be_running(tmp_path):
    run = read_run(make_run(tmp_path / "run", steps=20, grids=0, status="running"))
    assert judge(run, now=run.updated + timedelta(minutes=29)).headline == "Running: no failure found so far"
    verdict = judge(run, now=run.updated + timedelta(hours=2))
    assert (verdict.level, verdict.headline) == ("warning", "The status is running, but nothing was logged for 120 minutes")
    assert judge(run._replace(record={"status": "finished"}), now=run.updated + timedelta(days=9)).headline.startswith("No failure found")


# -- time ------------------------------------------------------------------------------------------------------


def test_time_and_speed_come_from_the_log_of_times_over_all_sessions(tmp_path):
    directory = make_run(tmp_path / "run", steps=100, grids=0)
    lines = [(10, 5.0, 900.0), (20, 10.0, 1000.0), (30, 4.0, 1100.0), (40, 9.0, 1200.0)]
    records = ({"step": step, "time": seconds, "images_per_second": speed} for step, seconds, speed in lines)
    (directory / "timing.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    run = read_run(directory)
    assert run.seconds == 19.0
    assert run.series["images_per_second"].values == [900, 1000, 1100, 1200]
    assert "|Time|19 s|" in words_of(write_report(directory))
    (directory / "timing.jsonl").unlink()
    assert read_run(directory).seconds is None
    (directory / "run.json").write_text('{"seconds": 61.2}')
    assert "|Time|1 min 01 s|" in words_of(write_report(directory))


# -- charts ----------------------------------------------------------------------------------------------------


def write_log(directory, **columns):
    lines = [{"step": step} | {name: value(step) for name, value in columns.items()} for step in range(5)]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return read_run(directory)


def test_what_has_one_scale_is_in_one_chart(tmp_path):
    names = {
        "Losses": ["discriminator_loss", "generator_loss", "term/kl_loss"],
        "Gradient norms": ["adversarial_gradient_norm", "task_gradient_norm"],
        "Samples relative to reals (reals have 1)": ["samples/pairwise_distance", "samples/nearest_real"],
        "Shares of the samples, or of their pixels": ["samples/copied"],
        "Classes among the samples": ["samples/classes"],
        "Spread within the classes": ["samples/class_spread", "samples/least_class_spread"],
        "Losses, mean and deviation of about 20 steps": ["monitor/generator_mean"],
        "Update norm relative to weight norm": ["monitor/generator_update_ratio"],
        "Counts of the monitor": ["monitor/spikes", "monitor/generator_large_gradients"],
        "classifier_fd, while training": ["evaluation/classifier_fd"],
        "precision, while training": ["evaluation/precision"],
        "Learning rate": ["learning_rate/generator"],
        "Terms of the losses": ["term/kl", "term/reconstruction"],
        "Penalties": ["penalty/r1"],
    }
    hidden = ["monitor/generator_large_layer", "monitor/nonfinite_step", "samples/least_varied_class"]
    logged = [name for group_names in names.values() for name in group_names] + hidden
    make_run(tmp_path / "run", steps=20, grids=0)
    (tmp_path / "run" / "timing.jsonl").unlink()
    run = write_log(tmp_path / "run", **{name: lambda step, n=n: n + step for n, name in enumerate(logged)})
    charts, _ = group(run)
    assert {chart["title"]: len(chart["series"]) for chart in charts} == {title: len(of) for title, of in names.items()}
    shown = {name for chart in charts for name, _ in chart["series"]}
    assert {"term/kl_loss", "nearest_real", "generator_update_ratio"} <= shown
    assert [chart["title"] for chart in charts if chart["log"]] == ["Gradient norms", "Update norm relative to weight norm"]
    assert not {chart["title"] for chart in compare([run], ["run"])} & set(hidden)


def test_a_curve_that_is_another_one_is_drawn_once(tmp_path):
    make_run(tmp_path / "run", steps=20, grids=0)
    (tmp_path / "run" / "timing.jsonl").unlink()
    columns = {
        "generator_loss": lambda step: step + 1.0,
        "generator_adversarial_loss": lambda step: step + 1.0,
        "discriminator_loss": lambda step: step + 2.0,
        "discriminator_adversarial_loss": lambda step: step + 1.5,  # the rest is a penalty
    }
    run = write_log(tmp_path / "run", **columns)
    (chart,), _ = group(run)
    expected = ["discriminator_adversarial_loss", "discriminator_loss", "generator_loss"]
    assert [name for name, _ in chart["series"]] == expected
    assert sorted(chart["title"] for chart in compare([run], ["run"])) == expected


# -- two runs --------------------------------------------------------------------------------------------------


def test_one_metric_of_two_runs_is_one_row(tmp_path):
    runs = [make_run(tmp_path / name, steps=20, grids=1) for name in ("a", "b")]
    for seed, directory in enumerate(runs):
        record = METRICS[0] | {"value": 12.5 + seed, "seed": seed, "details": {"standard_error": 0.1 + seed}}
        (directory / "metrics.json").write_text(json.dumps([record]))
    words = words_of(compare_runs(runs, tmp_path / "two.html"))
    assert "|classifier_fd|★|best:| 12.5 (3.1)|13.5 (3.1)|+1 (+8%)|" in words
    assert "All of them: extractor digits_classifier_v1, 5,000 samples, reference split test, resize none, EMA weights." in words
    # Another number of samples is another metric.
    (runs[1] / "metrics.json").write_text(json.dumps([METRICS[0] | {"samples": 10}]))
    assert words_of(compare_runs(runs, tmp_path / "two.html")).count("|classifier_fd|") == 2


def test_pictures_that_both_have_stand_side_by_side(tmp_path):
    runs = [make_run(tmp_path / name, steps=20, grids=1) for name in ("a", "b")]
    (runs[1] / "pictures" / "some_picture.png").unlink()
    text = compare_runs(runs, tmp_path / "two.html").read_text()
    section = re.search(r'<section id="pictures".*?</section>', text, re.S)[0]
    assert re.findall(r"<h3>([^<]*)</h3>", section) == ["Nearest neighbours"]
    assert re.findall(r'alt="([^"]*)"', section) == ["a: Two rows of rings beside rings", "b: Two rows of rings beside rings"]


def test_pictures_of_a_run_come_in_order_each_with_something_to_read_aloud(tmp_path):
    directory = make_run(tmp_path / "run", steps=20, grids=1)
    for name in ("attention", "interpolations", "aardvark"):
        os.link(directory / "pictures" / "some_picture.png", directory / "pictures" / f"{name}.png")
    (directory / "pictures" / "attention.json").write_text('{"caption": "Where it looks", "alt": 7}')
    shown = read_run(directory).pictures
    assert [one.path.stem for one in shown] == ["interpolations", "nearest_neighbours", "attention", "aardvark", "some_picture"]
    assert [one.alt for one in shown][2:4] == ["Where it looks", "Aardvark: an image of this run"]


# -- a long log ------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_log_of_hundreds_of_megabytes_is_read_as_it_streams(tmp_path):
    directory = make_run(tmp_path / "run", steps=100, grids=2)
    rng = np.random.default_rng(0)
    block = [json.dumps(log_line(0, rng, layers=8)).split(" ", 2)[2] for _ in range(500)]
    with (directory / "metrics.jsonl").open("w") as log:
        for step in range(500_000):
            log.write(f'{{"step": {step}, {block[step % 500]}\n')
        log.write('{"step": 500000, "generator_lo')
    size = (directory / "metrics.jsonl").stat().st_size
    assert size > 500 * 2**20
    program = (
        "import sys; from gan_jax.trainer.report import write_report; write_report(sys.argv[1]);"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program, str(directory)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, -1)),
    )
    assert done.returncode == 0, done.stderr
    print(f"{size / 2**20:.0f} MiB: {time.monotonic() - start:.0f} s, {int(done.stdout) / 1024:.0f} MiB at most")
    assert int(done.stdout) < 400 * 1024  # KiB
    text = (directory / "report.html").read_text()
    assert "256 MiB, evenly spaced, were read" in text
    assert "the last line of metrics.jsonl is incomplete" in text
    assert len(text) < 20 * 2**20
