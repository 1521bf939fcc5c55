"""Which curves go into which chart, and what the page needs to draw them."""

import json
from typing import Any

from gan_jax.report.reading import Run, since
from gan_jax.report.series import Series
from gan_jax.report.verdict import confidence, what

LAYERS = "gradient_norm/"
_FAMILIES = [
    ("Losses", "_loss"),
    ("Accuracy of the discriminator", "_accuracy"),
    ("Logits of the discriminator", "_logits"),
    ("Gradient norms", "_gradient_norm"),
]
_TITLES = {"images_per_second": "Speed (images per second)"}


def group(run: Run) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Groups the curves of one run.

    Args:
        run: as read.

    Returns:
        The charts of curves and the charts of gradient norms per layer; each chart has `title`, `log` (whether it opens with a
        logarithmic axis) and `series`, a list of (name, Series).
    """
    charts: dict[str, dict[str, Any]] = {}
    layers: dict[str, dict[str, Any]] = {}
    for title, _ in _FAMILIES:
        charts[title] = {"title": title, "log": title == "Gradient norms", "series": []}
    for name, series in sorted(run.series.items()):
        if not series.count and not series.broken_count:
            continue
        if name.startswith(LAYERS):
            player, _, layer = name.removeprefix(LAYERS).partition("/")
            chart = layers.setdefault(player, {"title": f"Gradient norms of the {player}, per layer", "log": True, "series": []})
            chart["series"].append((layer or player, series))
            continue
        family = next((title for title, ending in _FAMILIES if name.endswith(ending)), None)
        prefix, slash, rest = name.partition("/")
        title = family or _TITLES.get(name) or _readable(prefix)
        chart = charts.setdefault(title, {"title": title, "log": False, "series": []})
        chart["series"].append((rest if slash and not family else name, series))
    return [chart for chart in charts.values() if chart["series"]], list(layers.values())


def compare(runs: list[Run], labels: list[str]) -> list[dict[str, Any]]:
    """One chart for each metric, one curve in it for each run.

    Args:
        runs: as read.
        labels: a distinct name for each run.

    Returns:
        Charts as `group` returns them: losses and other plain metrics first, then those with "/" in their names.
    """
    names = sorted({name for run in runs for name in run.series}, key=lambda name: ("/" in name, not name.endswith("_loss"), name))
    charts = []
    for name in names:
        curves = [(label, run.series[name]) for label, run in zip(labels, runs) if name in run.series and run.series[name].count]
        if curves:
            charts.append({"title": name, "log": "gradient_norm" in name, "series": curves})
    return charts


def drawable(charts: list[dict[str, Any]], findings: list[dict[str, Any]]) -> dict[str, Any]:
    """Charts and findings as the JSON that report.js draws."""
    return {
        "charts": [
            {
                "title": chart["title"],
                "log": chart["log"],
                "series": [
                    {
                        "name": name,
                        "x": series.steps,
                        "y": series.values,
                        "low": series.lows,
                        "high": series.highs,
                        "broken": series.broken,
                    }
                    for name, series in chart["series"]
                ],
            }
            for chart in charts
        ],
        "findings": [{"step": since(finding), "text": what(finding), "sure": confidence(finding) >= 0.8} for finding in findings],
    }


def thinning(series: list[Series]) -> str:
    """What a reader must know about curves that do not show every point; "" where all do."""
    thinned = [one for one in series if one.lows]
    if not thinned:
        return ""
    most = max(thinned, key=lambda one: one.count)
    counts = f"{most.count:,} values in {len(most.values):,} stretches"
    return f"Down-sampled: {counts}; the line is the mean of each, the band its lowest and highest."


def script_json(value: Any) -> str:
    """JSON that is safe inside a script element: no "<", no ">" and no "&" are left in it."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _readable(name: str) -> str:
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]
