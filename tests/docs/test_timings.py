"""The timings of docs/data/timings.jsonl stand on the pages that name their commands."""

import json
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
FIGURES = {row["command"]: row["figures"] for row in map(json.loads, (DOCS / "data" / "timings.jsonl").read_text().splitlines())}


def figures(script):
    return FIGURES[f"python experiments/{script}"]


def page(name):
    return (DOCS / name).read_text()


def test_the_variants_of_the_step():
    step, mixture = figures("step_variants.py dcgan32"), figures("step_variants.py mixture")
    assert mixture.keys() <= step.keys()
    for variant, milliseconds in step.items():
        other = f"{mixture[variant]:.2f} " if variant in mixture else ""
        assert f"| {variant} | {milliseconds:.0f} | {other}|" in page("performance.md")


def test_the_loop_and_the_first_step():
    loop, first = figures("loop_cost.py --rounds 3 --steps 200 --width 32"), figures("loop_cost.py --first-step --rounds 3")
    found = f"{100 * (loop['ratio'] - 1):.1f}% ({loop['bare step']:.1f} ms bare, {loop['step of a run']:.1f} in a run; width 32"
    assert found in page("performance.md")
    assert f"| {first['seconds to the first step, cold']:.2f} s; **{first['cached']:.2f} s**" in page("performance.md")


@pytest.mark.parametrize("flags", ["", " --width 32"])
def test_the_monitor(flags):
    found, text = figures(f"monitor_cost.py --seconds 45{flags}"), page("monitor.md")
    for name in ("bare, milliseconds", "watched, milliseconds"):
        assert f"{found[name]:.1f} ms" in text or f"{found[name]:.1f} and" in text
    assert flags or f"takes {found['milliseconds of a look at samples']:.0f} ms" in text


def test_the_metrics():
    found, text = figures("bench_metrics.py"), page("metrics.md")
    assert f"10,000 x 2,048 | {found['precision, recall, density, coverage of 10,000 x 2,048']:.1f} |" in text
    assert f"| the same by prdc 0.2 | {found['the same by prdc']:.1f} |" in text
    assert f"from moments, 2,048 dims | {found['Frechet distance from moments, 2,048 dims']:.2f} |" in text
    assert f"and their distance | {found['Frechet distance of 10,000 x 2,048']:.1f} |" in text
    for name, size, digits in (("digit_classifier", "5000 images", 2), ("inception_v3", "64 images", 1)):
        pair = (found[f"{name}, extractor, {size}"], found[f"{name}, bare network"])
        assert f"| {pair[0]:.{digits}f}; {pair[1]:.{digits}f} |" in text
