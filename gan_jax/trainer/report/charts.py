"""Groups curves into charts, and converts them to the JSON that the page draws."""

import json
import re
from typing import Any

from gan_jax.trainer.report.reading import Run, since
from gan_jax.trainer.report.series import Series
from gan_jax.trainer.report.verdict import confidence, message

LAYERS = "gradient_norm/"
# Title, pattern of the names of its curves, and whether its axis is logarithmic at first. In the order of the page.
_FAMILIES = [
    ("Losses", r".*_loss", False),
    ("Accuracy of the discriminator", r".*_accuracy", False),
    ("Logits of the discriminator", r".*_logits", False),
    ("Gradient norms", r".*_gradient_norm", True),
    ("Samples relative to reals (reals have 1)", r"samples/(pairwise_distance|dimension|nearest_real|ema_progress|critic_slope)", False),
    ("Shares of the samples, or of their pixels", r"samples/(copied|saturated|saturated_excess|confident)", False),
    ("Spectrum of the samples, excess in decibels", r"samples/(spectrum|checkerboard)", False),
    ("Classes among the samples", r"samples/classes", False),
    ("Spread within the classes", r"samples/(class_spread|least_class_spread)", False),
    ("Losses, mean and deviation of about 20 steps", r"monitor/.*_(mean|deviation)", False),
    ("Update norm relative to weight norm", r"monitor/.*_update_ratio", True),
    ("Counts of the monitor", r"monitor/(spikes|repeated_batches|.*_large_gradients)", False),
    ("Range of the real images", r"monitor/real_(low|high)", False),
]
# These are indices of layers, places and classes. The findings give their names.
_NOT_DRAWN = re.compile(r"monitor/(.*_layer|nonfinite_.*)|samples/least_varied_class")
_TITLES = {"images_per_second": "Speed (images per second)", "term": "Terms of the losses", "penalty": "Penalties"}


def group(run: Run) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Groups the curves of one run.

    Args:
        run: The run.

    Returns:
        The charts of curves, and the charts of gradient norms per layer. Each chart is a dict with `title`, `log` (whether its axis is
        logarithmic at first) and `series`, a list of (name, Series).
    """
    charts: dict[str, dict[str, Any]] = {}
    layers: dict[str, dict[str, Any]] = {}
    for title, _, log in _FAMILIES:
        charts[title] = {"title": title, "log": log, "series": []}
    for name, series in sorted(run.series.items()):
        if (not series.count and not series.broken_count) or _NOT_DRAWN.fullmatch(name) or _is_repeated(name, run):
            continue
        if name.startswith(LAYERS):
            player, _, layer = name.removeprefix(LAYERS).partition("/")
            chart = layers.setdefault(player, {"title": f"Gradient norms of the {player}, per layer", "log": True, "series": []})
            chart["series"].append((layer or player, series))
            continue
        family = next((title for title, names, _ in _FAMILIES if re.fullmatch(names, name)), None)
        prefix, slash, rest = name.partition("/")
        # Each metric of an evaluation has its own scale and chart.
        alone = f"{rest}, while training" if prefix == "evaluation" and slash else None
        title = family or alone or _TITLES.get(prefix) or _readable(prefix)
        chart = charts.setdefault(title, {"title": title, "log": False, "series": []})
        of_prefix = bool(slash) and (not family or prefix in ("monitor", "samples"))
        chart["series"].append((rest if of_prefix else name, series))
    return [chart for chart in charts.values() if chart["series"]], list(layers.values())


def _is_repeated(name: str, run: Run) -> bool:
    """Whether the curve is that of an adversarial loss which equals the total loss, because the loss has no other part."""
    total = run.series.get(name.replace("_adversarial_loss", "_loss"))
    return name.endswith("_adversarial_loss") and total is not None and total == run.series[name]


def compare(runs: list[Run], labels: list[str]) -> list[dict[str, Any]]:
    """Makes one chart for each metric, with one curve for each run.

    Args:
        runs: The runs.
        labels: A distinct name for each run.

    Returns:
        Charts as `group` returns them. Losses and other plain metrics come first, then those with "/" in their names.
    """
    names = {name for run in runs for name in run.series if not all(_is_repeated(name, run) for run in runs if name in run.series)}
    charts = []
    for name in sorted(names, key=lambda name: ("/" in name, not name.endswith("_loss"), name)):
        if _NOT_DRAWN.fullmatch(name):
            continue
        curves = [(label, run.series[name]) for label, run in zip(labels, runs) if name in run.series and run.series[name].count]
        if curves:
            charts.append({"title": name, "log": "gradient_norm" in name, "series": curves})
    return charts


def drawable(charts: list[dict[str, Any]], findings: list[dict[str, Any]]) -> dict[str, Any]:
    """Converts charts and findings to the JSON that charts.js draws."""

    def curve(name: str, series: Series) -> dict[str, Any]:
        values = {"x": series.steps, "y": series.values, "low": series.lows, "high": series.highs, "broken": series.broken}
        return {"name": name} | values

    drawn = [{"title": chart["title"], "log": chart["log"], "series": [curve(*one) for one in chart["series"]]} for chart in charts]
    marks = [{"step": since(finding), "text": message(finding), "sure": confidence(finding) >= 0.8} for finding in findings]
    return {"charts": drawn, "findings": marks}


def thinning(series: list[Series]) -> str:
    """A note for charts with down-sampled curves. Empty if all curves show every value."""
    thinned = [one for one in series if one.lows]
    if not thinned:
        return ""
    most = max(thinned, key=lambda one: one.count)
    return f"Down-sampled: {most.count:,} values in {len(most.values):,} bins. The line is the mean of each bin, the band its range."


def script_json(value: Any) -> str:
    """JSON that is safe inside a script element, because it has no "<", ">" or "&"."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _readable(name: str) -> str:
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]
