"""The page of one run."""

import shlex
from collections.abc import Collection
from html import escape
from pathlib import Path
from typing import Any

from gan_jax.trainer.report import markup, quality, views
from gan_jax.trainer.report.charts import drawable, group, script_json
from gan_jax.trainer.report.images import embed_frames
from gan_jax.trainer.report.reading import Run, since
from gan_jax.trainer.report.values import is_number, number
from gan_jax.trainer.report.verdict import confidence, judge, message

_NOT_ENVIRONMENT = {"status", "error", "command", "config", "recipe", "starts", "data"}
_NOT_IN_DATA_TABLE = {"summary", "notices", "class_names", "class_counts"}
_MOST_CLASSES = 200
_OF_A_START = {"command", "started", "status", "from_step", "to_step", "seconds", "processor_seconds"}


def run_page(run: Run, *, refresh_seconds: int = 30) -> str:
    """Makes the HTML page of one run.

    Args:
        run: The run.
        refresh_seconds: Interval at which the page reloads itself while the run is running.

    Returns:
        The HTML text. It needs no other file.
    """
    notes = list(run.notes)
    frames = embed_frames(run.samples, notes)
    curves, layers = group(run)
    explorer, tiles = views.explorer_section(run.explorer, notes)
    data = drawable(curves + layers, run.findings) | views.sample_data(run, frames) | tiles
    sections = [
        ("overview", "Overview", _overview(run)),
        ("samples", "Samples", views.samples_section(run, frames, notes)),
        ("explorer", "Latent explorer", explorer),
        ("pictures", "Pictures", views.pictures_section(run, notes)),
        ("numbers", "How good", _numbers(run)),
        ("findings", "Findings", _findings(run)),
        ("dataset", "Data", data_section(run)),
        ("curves", "Curves", _curves_help() + markup.chart_figures(curves) if curves else ""),
        ("layers", "Gradient norms per layer", markup.chart_figures(layers, len(curves)) if layers else ""),
        ("configuration", "Configuration", _configuration(run)),
        ("environment", "Environment", _environment(run)),
        ("notes", "Left out of this page", markup.notes_list(notes)),
    ]
    body = f"<h1>{escape(run.name)}</h1>" + "".join(markup.section(*parts) for parts in sections)
    navigation = [(key, name) for key, name, content in sections if content]
    return markup.document(
        run.name, body, script_json(data), navigation, refresh_seconds if run.status == "running" and refresh_seconds > 0 else None
    )


def reproduction(run: Run) -> str:
    """The commands that repeat this run, one a line: the recorded ones of all starts, or one that reads its configuration.

    Equal commands that follow each other are one line. Starts that trained no step are left out. Empty if nothing is known.
    """
    starts = starts_of(run)
    words = [_command(start) for start in starts if start.get("to_step") != start.get("from_step")] or [_command(run.record)]
    lines = [word for index, word in enumerate(words) if word and (index == 0 or word != words[index - 1])]
    if lines:
        home = str(Path.home())
        return "\n".join(line.replace(f"{home}/", "~/") for line in lines)
    place = Path(run.name) if run.path.is_absolute() else run.path
    return f"gan-jax train --config {shlex.quote(str(place / 'config.yaml'))}" if run.config_text else ""


def _command(record: dict[str, Any]) -> str:
    command = record.get("command")
    return shlex.join(str(word) for word in command) if isinstance(command, list) else command if isinstance(command, str) else ""


def starts_of(run: Run) -> list[dict[str, Any]]:
    """The starts in run.json, oldest first. Entries that are no starts are left out."""
    starts = run.record.get("starts")
    return [start for start in starts if isinstance(start, dict)] if isinstance(starts, list) else []


def facts(run: Run) -> list[tuple[str, Any]]:
    """The key figures of a run as pairs (name, value). Unknown ones are left out."""
    speed, memory = run.series.get("images_per_second"), run.record.get("peak_memory_bytes")
    known = [
        ("Status", run.status),
        ("Ended by", markup.shorten_paths(str(run.record["error"])) if run.record.get("error") else None),
        ("Recipe", run.record.get("recipe")),
        ("Begins with the weights of", _origin(run.record.get("init_from"))),
        ("Continues", _origin(run.record.get("parent"))),
        ("Steps", f"{run.steps:,}" if run.steps is not None else None),
        ("Time", duration(run.seconds) if run.seconds is not None else None),
        ("Images per second", number(speed.last[1]) if speed and speed.last else None),
        ("Peak memory", f"{memory / 2**30:.2f} GiB" if is_number(memory) else None),
        ("Seed", run.record.get("seed")),
        ("Findings", str(len(run.findings))),
        ("Log written", run.updated.strftime("%Y-%m-%d %H:%M UTC") if run.updated else None),
    ]
    return [(name, value) for name, value in known if value is not None]


def _origin(record: Any) -> str | None:
    """The checkpoint or file that a run began with, and the settings that it changed: "runs/a/checkpoints/step_4, with steps 4 to 6"."""
    if not isinstance(record, dict) or not isinstance(record.get("path"), str):
        return None
    changed = record.get("changed")
    pairs = changed.items() if isinstance(changed, dict) else ()
    words = [f"{name} {' to '.join(map(str, values))}" for name, values in pairs if isinstance(values, list)]
    return record["path"] + (f", with {', '.join(words)}" if words else "")


def duration(seconds: float) -> str:
    """Seconds as text: "45 s", "3 min 20 s", "2 h 05 min"."""
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60:02d} s"
    return f"{rounded // 3600} h {rounded % 3600 // 60:02d} min"


def metric_rows(records: list[dict[str, Any]], *, without: Collection[str] = ()) -> list[list[str]]:
    """The rows of the table of metrics: name, value, the value for real images, their ratio, and the protocol.

    The ratio is empty if a value is not positive.

    Args:
        records: Records of metrics.json.
        without: Keys of parts of the protocol to leave out.
    """
    rows = []
    for record in records:
        times = quality.ratio(record)
        cells = [number(record.get("value")), number(record.get("real")), "" if times is None else number(times)]
        rows.append([str(record["metric"]), *cells, protocol(record, without=without)])
    return rows


def protocol(record: dict[str, Any], *, without: Collection[str] = ()) -> str:
    """The protocol of a metric as text, e.g. "extractor classifier_v1, 5,000 samples, EMA weights"."""
    return ", ".join(words for name, words in protocol_parts(record).items() if name not in without)


def protocol_parts(record: dict[str, Any]) -> dict[str, str]:
    """The parts of a metric's protocol. Maps keys of the record to text."""
    parts = {}
    for name, value in record.items():
        if name in ("metric", "value", "real") or value is None or value in ({}, []):
            continue
        if name == "samples":
            parts[name] = f"{number(value)} samples"
        elif name == "ema" and isinstance(value, bool):
            parts[name] = "EMA weights" if value else "raw weights"
        elif isinstance(value, dict):
            parts[name] = ", ".join(f"{inner.replace('_', ' ')} {_words(of)}" for inner, of in value.items() if of is not None)
        else:
            parts[name] = f"{name.replace('_', ' ')} {value if name == 'seed' else _words(value)}"
    return parts


def _words(value: Any) -> str:
    return " / ".join(number(inner) for inner in value) if isinstance(value, list) else number(value)


def common_protocol(records: list[dict[str, Any]]) -> dict[str, str]:
    """The parts of the protocol that all records share. Maps keys to text. Empty for a single record."""
    if len(records) < 2:
        return {}
    first, *others = (protocol_parts(record) for record in records)
    return {name: words for name, words in first.items() if all(other.get(name) == words for other in others)}


def _overview(run: Run) -> str:
    command = reproduction(run)
    again = f"<h3>Do it again</h3>{markup.command(command)}" if command else ""
    return markup.verdict_box(judge(run)) + markup.tiles(facts(run)) + again


def _numbers(run: Run) -> str:
    if not run.metrics:
        return ""
    common = common_protocol(run.metrics)
    shared = f"<p class='note'>All of them: {escape(', '.join(common.values()))}.</p>" if common else ""
    meanings = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in quality.explanations(run.metrics))
    table = markup.table(
        ["metric", "value", "real images", "ratio", "protocol"],
        metric_rows(run.metrics, without=common),
        caption="Metrics of the samples, and the same for real against held-out real images",
        numeric=(1, 2, 3),
    )
    return shared + table + (f"<details><summary>What these numbers mean</summary><dl>{meanings}</dl></details>" if meanings else "")


def _findings(run: Run) -> str:
    if not run.findings:
        return ""
    last = max([run.steps or 0, *(since(finding) for finding in run.findings), 1])
    marks, cards = "", ""
    for index, finding in enumerate(run.findings):
        at = 100 * since(finding) / last
        level = "bad" if confidence(finding) >= 0.8 else "warning"
        label = f"Step {since(finding):,}: {message(finding)}"
        link = f'class="mark {level}" style="left:{at:.2f}%" href="#finding-{index}" title="{escape(label)}"'
        marks += f'<a {link}><span class="hidden">{escape(label)}</span></a>'
        cards += _card(finding, index, level)
    ends = f'<span class="start">0</span><span class="end">{last:,}</span>'
    line = f'<div class="timeline" role="group" aria-label="Findings over the steps">{marks}{ends}</div>'
    return f'{line}<div class="cards">{cards}</div>'


def _card(finding: dict[str, Any], index: int, level: str) -> str:
    evidence = finding.get("evidence")
    rows = [[str(name), number(value)] for name, value in evidence.items()] if isinstance(evidence, dict) else []
    facts_table = (
        markup.table(["evidence", "value"], rows, caption="Evidence", numeric=(1,), label=f"Evidence of finding {index + 1}")
        if rows
        else ""
    )
    causes = _list("Likely causes", finding.get("causes"), code=False)
    advice = _list("What usually helps", finding.get("advice"), code=True)
    about = [f"since step {since(finding):,}"]
    if finding.get("confidence") is not None:
        about.append(f"confidence {number(finding['confidence'])}")
    about += [str(finding[key]) for key in ("id", "trick") if finding.get(key)]
    heading = f'<h3>{escape(message(finding))}</h3><p class="note">{escape(" · ".join(about))}</p>'
    return f'<article class="card {level}" id="finding-{index}" tabindex="-1">{heading}{facts_table}{causes}{advice}</article>'


def _list(title: str, items: Any, *, code: bool) -> str:
    if not items:
        return ""
    texts = [str(item) for item in items] if isinstance(items, list) else [str(items)]
    entries = "".join(f"<li><code>{escape(text)}</code></li>" if code else f"<li>{escape(text)}</li>" for text in texts)
    return f"<h4>{escape(title)}</h4><ul>{entries}</ul>"


def _curves_help() -> str:
    return (
        "<p class='note'>Drag over a chart to zoom all of them; double-click or Escape to see everything again. With the keyboard: focus a "
        "chart, arrow keys read the values, + and − zoom, Shift with an arrow key moves. Dashed lines are findings.</p>"
    )


def _configuration(run: Run) -> str:
    if not run.config_text:
        return ""
    text = escape(markup.shorten_paths(run.config_text))
    return f"<details open><summary>config.yaml</summary><pre class='columns' tabindex='0'><code>{text}</code></pre></details>"


def flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested JSON as rows (dotted key, text)."""
    if isinstance(value, dict) and value:
        return [row for key, inner in value.items() for row in flatten(inner, f"{prefix}.{key}" if prefix else str(key))]
    if isinstance(value, list) and all(not isinstance(inner, dict | list) for inner in value):
        return [(prefix, ", ".join(str(inner) for inner in value))]
    return [(prefix, "" if value is None else str(value))]


def data_section(run: Run) -> str:
    """The data set of the run: what was found and used, the classes, and what the user may not expect."""
    data = run.record.get("data")
    if not isinstance(data, dict):
        return ""
    summary: Any = data.get("summary")
    summary = summary if isinstance(summary, dict) else {}
    notices, names, counts = summary.get("notices"), data.get("class_names"), data.get("class_counts")
    rows = flatten({key: value for key, value in {**data, **summary}.items() if key not in _NOT_IN_DATA_TABLE and value not in ({}, [])})
    content = markup.halves(["name", "value"], rows, caption="Data of the run (run.json)")
    if isinstance(counts, list) and counts:
        names = names if isinstance(names, list) and len(names) == len(counts) else range(len(counts))
        classes = [[str(name), number(count)] for name, count in zip(names, counts)]
        more = f" (the first {_MOST_CLASSES} of {len(classes)})" if len(classes) > _MOST_CLASSES else ""
        content += markup.table(["class", "images"], classes[:_MOST_CLASSES], caption=f"Classes{more}", numeric=(1,))
    return _list("What to know about them", notices, code=False) + content


def _environment(run: Run) -> str:
    flat = flatten({key: value for key, value in run.record.items() if key not in _NOT_ENVIRONMENT})
    rows = [[name, markup.shorten_paths(value)] for name, value in flat]
    if not run.record or not rows:
        return ""
    return markup.halves(["name", "value"], rows, caption="Environment of the run (run.json)") + _starts(run)


def _starts(run: Run) -> str:
    starts = starts_of(run)
    if len(starts) < 2:
        return ""
    first, rows = dict(_machine(starts[0])), []
    for start in starts:
        changed = ", ".join(f"{name} {value}" for name, value in _machine(start) if first.get(name) != value)
        cells = [start.get("started"), number(start.get("from_step")), number(start.get("to_step")), number(start.get("seconds"))]
        rows.append([*cells, start.get("status"), changed])
    heads = ["started", "from step", "to step", "seconds", "ended", "other than at the first start"]
    return markup.table(heads, rows, caption="Starts of the run", numeric=(1, 2, 3))


def _machine(start: dict[str, Any]) -> list[tuple[str, str]]:
    return flatten({key: value for key, value in start.items() if key not in _OF_A_START})
