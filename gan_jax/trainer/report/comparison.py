"""The page that compares several runs."""

from collections import Counter
from html import escape
from typing import Any

from gan_jax.trainer.report import markup, quality
from gan_jax.trainer.report.charts import LAYERS, compare, drawable, script_json
from gan_jax.trainer.report.images import FRAMES_BYTES, embed, embed_frames
from gan_jax.trainer.report.page import common_protocol, facts, flatten, protocol, reproduction
from gan_jax.trainer.report.reading import Run
from gan_jax.trainer.report.values import is_number, number
from gan_jax.trainer.report.verdict import judge, message

IMAGES_BYTES = 12 * 2**20


def comparison_page(runs: list[Run], *, refresh_seconds: int = 30) -> str:
    """Makes the HTML page of several runs.

    Args:
        runs: The runs.
        refresh_seconds: Interval at which the page reloads itself while any run is running.

    Returns:
        The HTML text. It needs no other file.
    """
    labels = distinct_names(runs)
    notes = [f"{label}: {note}" for label, run in zip(labels, runs) for note in run.notes]
    frames = {}
    for index, (label, run) in enumerate(zip(labels, runs)):
        run_notes: list[str] = []
        frames[f"run-{index}"] = embed_frames(run.samples, run_notes, FRAMES_BYTES // len(runs))
        notes += [f"{label}: {note}" for note in run_notes]
    charts = compare(runs, labels)
    curves = [chart for chart in charts if not chart["title"].startswith(LAYERS)]
    layers = [chart for chart in charts if chart["title"].startswith(LAYERS)]
    uris = {key: [[step, image.uri] for step, image in run_frames] for key, run_frames in frames.items()}
    data = drawable(curves + layers, []) | {"frames": uris}
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
    """A distinct name for each run: the name of its directory, with the parent directory or a number if that is needed."""
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = ["/".join(run.path.resolve().parts[-2:]) for run in runs]
    return [f"{name} ({names[: index + 1].count(name)})" if names.count(name) > 1 else name for index, name in enumerate(names)]


def _overview(runs: list[Run], labels: list[str]) -> str:
    known = [dict(facts(run)) for run in runs]
    names = list(dict.fromkeys(name for run_facts in known for name in run_facts))
    rows: list[list[Any]] = [["Verdict", *(judge(run).headline for run in runs)]]
    winners = [best(name, [value_of(record) for record in records]) for (name, _), records in _measured(runs).items()]
    judged = [winner for winner in winners if winner is not None]
    if judged:
        counts = [judged.count(index) for index in range(len(runs))]
        cells = [f"{count} of {len(judged)}" for count in counts]
        rows.append(["Metrics in which it is best", *mark(cells, counts.index(max(counts)) if counts.count(max(counts)) == 1 else None)])
    rows += [[name, *(run_facts.get(name, "") for run_facts in known)] for name in names]
    rows.append(["First finding", *(message(run.findings[0]) if run.findings else "" for run in runs)])
    return markup.table(["", *labels], rows, caption="The runs")


def _samples(labels: list[str], frames: dict[str, list]) -> str:
    figures = ""
    for label, (key, run_frames) in zip(labels, frames.items()):
        if run_frames:
            step, embedded = run_frames[-1]
            grid = markup.image(embedded, f"Grid of generated samples of {label} at step {step:,}", f'data-frames="{key}" class="grid"')
            figures += f"<figure>{grid}<figcaption>{escape(label)}, <span data-step-of='{key}'>step {step:,}</span></figcaption></figure>"
    steps = sorted({step for run_frames in frames.values() for step, _ in run_frames})
    return markup.slider("*", steps) + f'<div class="gallery">{figures}</div>' if figures else ""


def _pictures(runs: list[Run], labels: list[str], notes: list[str]) -> str:
    """Pictures of the same name side by side. Pictures of one run only are left to the report of that run."""
    counts = Counter(picture.path.stem for run in runs for picture in run.pictures)
    names = [name for name in dict.fromkeys(picture.path.stem for run in runs for picture in run.pictures) if counts[name] > 1]
    content = ""
    for name in names:
        figures = ""
        for label, run in zip(labels, runs):
            for picture in run.pictures:
                embedded = embed(picture.path, notes, IMAGES_BYTES // len(runs) // len(names)) if picture.path.stem == name else None
                if embedded:
                    image = markup.image(embedded, f"{label}: {picture.alt}", "class=grid")
                    figures += f"<figure>{image}<figcaption>{escape(label)}</figcaption></figure>"
        content += f'<h3>{escape(name.replace("_", " ").capitalize())}</h3><div class="gallery">{figures}</div>' if figures else ""
    return content


# Records that differ only in these parts of the protocol are the same metric.
_OF_ONE_RUN = frozenset({"details", "seed"})


def _common(runs: list[Run]) -> dict[str, str]:
    agreed = common_protocol([record for run in runs for record in run.metrics])
    return {name: words for name, words in agreed.items() if name not in _OF_ONE_RUN}


def _measured(runs: list[Run]) -> dict[tuple[str, str], list[dict[str, Any] | None]]:
    """Maps (metric, protocol) to the record of each run. None if a run has none. Parts that all protocols share are left out."""
    without = _OF_ONE_RUN | set(_common(runs))
    measured: dict[tuple[str, str], list[dict[str, Any] | None]] = {}
    for index, run in enumerate(runs):
        for record in run.metrics:
            row = measured.setdefault((str(record["metric"]), protocol(record, without=without)), [None] * len(runs))
            row[index] = record
    return measured


def value_of(record: dict[str, Any] | None) -> float | None:
    """The value of a metric, or None if it is missing or not finite."""
    value = None if record is None else record.get("value")
    return value if is_number(value) else None


def best(name: str, values: list[float | None]) -> int | None:
    """Index of the best value of a metric. None if its direction is unknown, if fewer than two runs have it, or if two are equally good."""
    meaning = quality.MEANINGS.get(name)
    known = [value for value in values if value is not None]
    if meaning is None or len(known) < 2:
        return None
    winner = min(known) if meaning.better == "lower" else max(known)
    return values.index(winner) if known.count(winner) == 1 else None


def mark(cells: list[str], winner: int | None) -> list[str]:
    """The cells of a row with the winner marked."""
    return [markup.Marked(cell) if index == winner else cell for index, cell in enumerate(cells)]


def difference(value: float | None, first: float | None) -> str:
    """The difference of a value to that of the first run as text, with its share of that value: "+0.25 (+12%)"."""
    if value is None or first is None:
        return ""
    change = value - first
    share = f" ({100 * change / abs(first):+.0f}%)".replace("-", "\u2212") if first else ""
    return f"{'+' if change > 0 else ''}{number(float(f'{change:.3g}'))}{share}"


def _numbers(runs: list[Run], labels: list[str]) -> str:
    common, rows, header = _common(runs), [], ["metric", labels[0]]
    for label in labels[1:]:
        header += [label, f"{label} \u2212 {labels[0]}"]
    for (name, how), records in _measured(runs).items():
        values = [value_of(record) for record in records]
        cells = []
        for record in records:
            real = "" if record is None or record.get("real") is None else f" ({number(record['real'])})"
            cells.append("" if record is None else f"{number(record.get('value'))}{real}")
        first, *others = mark(cells, best(name, values))
        pairs = [text for cell, value in zip(others, values[1:], strict=True) for text in (cell, difference(value, values[0]))]
        rows.append([name, first, *pairs, how])
    if not rows:
        return ""
    shared = f"<p class='note'>All of them: {escape(', '.join(common.values()))}.</p>" if common else ""
    stars = (
        "<p class='note'>A star marks the best run. Each run is one seed, so a small difference can be chance.</p>" if len(runs) > 1 else ""
    )
    caption = "Metrics of the samples; in brackets the same for real against held-out real images"
    return shared + stars + markup.table([*header, "protocol"], rows, caption=caption, numeric=range(1, 2 * len(runs)))


def _differences(runs: list[Run], labels: list[str]) -> str:
    configurations = [dict(configuration(run.config_text)) for run in runs]
    keys = list(dict.fromkeys(key for config in configurations for key in config))
    rows = [[key, *(config.get(key, "(absent)") for config in configurations)] for key in keys]
    rows = [row for row in rows if len(set(row[1:])) > 1]
    if not rows:
        return "<p>The configurations are equal.</p>" if any(configurations) else ""
    return markup.table(["key", *labels], rows, caption="Keys of the configuration that differ")


def configuration(text: str) -> list[tuple[str, str]]:
    """A YAML text as rows (dotted key, value). If it is not YAML, or no YAML reader is installed, its lines with their numbers."""
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
    return "".join(f"<h3>{escape(label)}</h3>{markup.command(command)}" for label, command in commands if command)
