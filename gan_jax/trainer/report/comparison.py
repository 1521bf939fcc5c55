"""The page that shows several runs side by side."""

from collections import Counter
from html import escape
from typing import Any

from gan_jax.trainer.report import markup
from gan_jax.trainer.report.charts import LAYERS, compare, drawable, script_json
from gan_jax.trainer.report.images import FRAMES_BYTES, embed, embed_frames
from gan_jax.trainer.report.page import common_protocol, facts, flatten, metric_rows, reproduction
from gan_jax.trainer.report.reading import Run
from gan_jax.trainer.report.verdict import judge, what

PICTURES_BYTES = 12 * 2**20


def comparison_page(runs: list[Run], *, refresh_seconds: int = 30) -> str:
    """Several runs as one HTML page.

    Args:
        runs: as read.
        refresh_seconds: how often it reloads itself while any of them is running.

    Returns:
        A page that needs nothing else.
    """
    labels = distinct_names(runs)
    notes = [f"{label}: {note}" for label, run in zip(labels, runs) for note in run.notes]
    frames = {}
    for index, (label, run) in enumerate(zip(labels, runs)):
        own: list[str] = []
        frames[f"run-{index}"] = embed_frames(run.samples, own, FRAMES_BYTES // len(runs))
        notes += [f"{label}: {note}" for note in own]
    charts = compare(runs, labels)
    curves = [chart for chart in charts if not chart["title"].startswith(LAYERS)]
    layers = [chart for chart in charts if chart["title"].startswith(LAYERS)]
    data = drawable(curves + layers, []) | {
        "frames": {key: [[step, picture.uri] for step, picture in own] for key, own in frames.items()},
    }
    sections = [
        ("overview", "Overview", _overview(runs, labels)),
        ("samples", "Samples", _samples(labels, frames)),
        ("pictures", "Pictures", _pictures(runs, labels, notes)),
        ("numbers", "How good", _numbers(runs, labels)),
        ("differences", "What differs", _differences(runs, labels)),
        ("curves", "Curves", markup.chart_figures(curves) if curves else ""),
        ("layers", "Gradient norms per layer", markup.chart_figures(layers, len(curves)) if layers else ""),
        ("commands", "Do it again", _commands(runs, labels)),
        ("notes", "Left out of this page", markup.notes_list(notes)),
    ]
    title = f"{len(runs)} runs: {', '.join(labels)}" if len(runs) <= 4 else f"{len(runs)} runs"
    body = f"<h1>{escape(title)}</h1>" + "".join(markup.section(*parts) for parts in sections)
    running = any(run.status == "running" for run in runs) and refresh_seconds > 0
    return markup.document(
        title, body, script_json(data), [(key, name) for key, name, content in sections if content], refresh_seconds if running else None
    )


def distinct_names(runs: list[Run]) -> list[str]:
    """A name for each run: its directory's, with as many parents, or a number, as it takes to tell them apart."""
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = ["/".join(run.path.resolve().parts[-2:]) for run in runs]
    return [f"{name} ({names[: index + 1].count(name)})" if names.count(name) > 1 else name for index, name in enumerate(names)]


def _overview(runs: list[Run], labels: list[str]) -> str:
    known = [dict(facts(run)) for run in runs]
    names = list(dict.fromkeys(name for one in known for name in one))
    rows: list[list[Any]] = [["Verdict", *(judge(run).headline for run in runs)]]
    rows += [[name, *(one.get(name, "") for one in known)] for name in names]
    rows.append(["First finding", *(what(run.findings[0]) if run.findings else "" for run in runs)])
    return markup.table(["", *labels], rows, caption="The runs")


def _samples(labels: list[str], frames: dict[str, list]) -> str:
    figures = ""
    for label, (key, own) in zip(labels, frames.items()):
        if own:
            step, picture = own[-1]
            shown = markup.image(picture, f"Grid of generated samples of {label} at step {step:,}", f'data-frames="{key}" class="grid"')
            figures += f"<figure>{shown}<figcaption>{escape(label)}, <span data-step-of='{key}'>step {step:,}</span></figcaption></figure>"
    steps = sorted({step for own in frames.values() for step, _ in own})
    return markup.slider("*", steps) + f'<div class="gallery">{figures}</div>' if figures else ""


def _pictures(runs: list[Run], labels: list[str], notes: list[str]) -> str:
    """Pictures of one name side by side; those that only one run has are in its own report."""
    counts = Counter(shown.path.stem for run in runs for shown in run.pictures)
    names = [name for name in dict.fromkeys(shown.path.stem for run in runs for shown in run.pictures) if counts[name] > 1]
    content = ""
    for name in names:
        figures = ""
        for label, run in zip(labels, runs):
            for shown in run.pictures:
                picture = embed(shown.path, notes, PICTURES_BYTES // len(runs) // len(names)) if shown.path.stem == name else None
                if picture:
                    image = markup.image(picture, f"{label}: {shown.alt}", "class=grid")
                    figures += f"<figure>{image}<figcaption>{escape(label)}</figcaption></figure>"
        content += f'<h3>{escape(name.replace("_", " ").capitalize())}</h3><div class="gallery">{figures}</div>' if figures else ""
    return content


# The details are measured figures, and the seeds are the runs' own: neither makes two numbers another metric.
_OF_ONE_RUN = frozenset({"details", "seed"})


def _numbers(runs: list[Run], labels: list[str]) -> str:
    agreed = common_protocol([record for run in runs for record in run.metrics])
    common = {name: words for name, words in agreed.items() if name not in _OF_ONE_RUN}
    measured: dict[tuple[str, str], list[str]] = {}
    for index, run in enumerate(runs):
        for name, value, real, _, how in metric_rows(run.metrics, without=_OF_ONE_RUN | set(common)):
            row = measured.setdefault((name, how), [""] * len(runs))
            row[index] = f"{value} ({real})" if real else value
    rows = [[name, *values, how] for (name, how), values in measured.items()]
    if not rows:
        return ""
    shared = f"<p class='note'>All of them: {escape(', '.join(common.values()))}.</p>" if common else ""
    caption = "Metrics of the samples; in brackets the same for real against held-out real images"
    return shared + markup.table(["metric", *labels, "protocol"], rows, caption=caption, numeric=range(1, len(runs) + 1))


def _differences(runs: list[Run], labels: list[str]) -> str:
    configurations = [dict(configuration(run.config_text)) for run in runs]
    keys = list(dict.fromkeys(key for one in configurations for key in one))
    rows = [[key, *(one.get(key, "(absent)") for one in configurations)] for key in keys]
    rows = [row for row in rows if len(set(row[1:])) > 1]
    if not rows:
        return "<p>The configurations are equal.</p>" if any(configurations) else ""
    return markup.table(["key", *labels], rows, caption="Keys of the configuration that differ")


def configuration(text: str) -> list[tuple[str, str]]:
    """A YAML text as (dotted key, value) rows; without a YAML reader, or for what is no YAML, its lines by their number."""
    try:
        import yaml
    except ImportError:
        return [(f"line {number}", line) for number, line in enumerate(text.splitlines(), 1)]
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        content = None
    if isinstance(content, dict):
        return flatten(content)
    return [(f"line {number}", line) for number, line in enumerate(text.splitlines(), 1)]


def _commands(runs: list[Run], labels: list[str]) -> str:
    commands = [(label, reproduction(run)) for label, run in zip(labels, runs)]
    return "".join(
        f"<h3>{escape(label)}</h3><pre class='command' tabindex='0'><code>{escape(command)}</code></pre>"
        for label, command in commands
        if command
    )
