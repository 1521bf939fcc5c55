"""The page and the table of a sweep: ranking, best of k, failure map, response to each flag, curves."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from gan_jax._internal.files import write_text
from gan_jax.trainer.evaluate import best_mode
from gan_jax.trainer.report import markup
from gan_jax.trainer.report.charts import compare, drawable, script_json
from gan_jax.trainer.report.reading import ReportError, read_run
from gan_jax.trainer.report.values import number
from gan_jax.trainer.sweep.directory import Sweep
from gan_jax.trainer.sweep.outcome import RunOutcome, SettingOutcome, best_of, best_of_quantile, rank, read_outcomes, search_values
from gan_jax.trainer.sweep.picture import curves, scatter
from gan_jax.trainer.sweep.plan import Axis, describe_axis

CURVES = 24  # Runs whose curves are drawn: those of the best settings.
DRAWN = (
    *("discriminator_loss", "generator_loss", "real_accuracy", "fake_accuracy"),
    *("discriminator_gradient_norm", "generator_gradient_norm"),
)


def write_page(sweep: Sweep) -> Path:
    """Writes sweep.html of the finished runs, and returns its path."""
    path = sweep.directory / "sweep.html"
    write_text(path, sweep_page(sweep))
    return path


def sweep_page(sweep: Sweep) -> str:
    """The page of a sweep as HTML. It needs no other file."""
    outcomes = read_outcomes(sweep)
    settings = rank(sweep, outcomes)
    highest = best_mode(sweep.base.evaluation.best) == "max"
    metric = next((outcome.metric for outcome in outcomes if outcome.metric), "")
    charts = _charts(sweep, settings)
    swept = [axis for axis in sweep.axes if axis.paths != ("seed",)]
    sections = [
        ("overview", "Overview", _overview(sweep, outcomes)),
        ("ranking", "Settings", _ranking(swept, settings, metric, highest)),
        ("search", "Best of k settings", _search(settings, metric, highest)),
        ("failures", "Failure map", _failure_map(sweep, swept, settings, outcomes)),
        ("response", f"{metric} against each flag", _responses(sweep, swept, outcomes, metric)),
        ("curves", "Curves of the best settings", markup.chart_figures(charts) if charts else ""),
        ("programs", "Programs", _programs(sweep)),
    ]
    title = f"Sweep of {sweep.base.recipe}: {len(sweep.runs)} runs"
    body = f"<h1>{escape(title)}</h1>" + "".join(markup.section(*parts) for parts in sections)
    navigation = [(key, name) for key, name, content in sections if content]
    return markup.document(title, body, script_json(drawable(charts, []) | {"frames": {}}), navigation, None)


def ranking_rows(axes: Sequence[Axis], settings: Sequence[SettingOutcome], *, highest: bool) -> list[list[str]]:
    """The rows of the ranking: the values of the flags, median, range over the seeds, failed runs, and the number of the best run."""
    rows = []
    for setting in settings:
        known = sorted(run.value for run in setting.runs if run.value is not None)
        best = next((run for run in setting.runs if run.value in (known[-1:] if highest else known[:1])), None)
        rows.append(
            [
                *(number(setting.settings[axis.name]) for axis in axes),
                "" if setting.median is None else number(setting.median),
                f"{number(known[0])} to {number(known[-1])}" if known else "",
                f"{setting.failed} of {len(setting.runs)}",
                "" if best is None else f"{best.run:04d}",
            ]
        )
    return rows


def ranking_heads(axes: Sequence[Axis], metric: str) -> list[str]:
    """The heads of `ranking_rows`."""
    return [*(f"--{axis.name}" for axis in axes), f"{metric or 'outcome'}, median", "over the seeds", "failed", "best run"]


def _overview(sweep: Sweep, outcomes: Sequence[RunOutcome]) -> str:
    unfinished = sum(len(sweep.programs[program]) for program in sweep.unfinished())
    facts = [
        ("Recipe", sweep.base.recipe),
        ("Runs", f"{len(sweep.runs):,}"),
        ("Not finished", f"{unfinished:,}"),
        ("Failed", f"{sum(bool(outcome.failure) for outcome in outcomes):,}"),
        ("Programs", f"{len(sweep.programs):,}"),
    ]
    axes = "".join(f"<li><code>{escape(describe_axis(axis))}</code></li>" for axis in sweep.axes)
    command = f"<h3>Do it again</h3><pre class='command' tabindex='0'><code>{escape(sweep.command)}</code></pre>"
    return markup.tiles(facts) + f"<ul>{axes}</ul>" + command


def _ranking(axes: Sequence[Axis], settings: Sequence[SettingOutcome], metric: str, highest: bool) -> str:
    if not settings:
        return ""
    heads = ranking_heads(axes, metric)
    rows = ranking_rows(axes, settings, highest=highest)
    return markup.table(heads, rows, caption="Settings, the best median first", numeric=range(len(heads)))


def _search_help(settings: Sequence[SettingOutcome]) -> str:
    failed = sum(setting.median is None for setting in settings)
    counted = f" {failed} settings failed, and count as the worst of the others." if failed else ""
    return (
        "<p class='note'>The best of k settings that are drawn at random from the "
        f"{len(settings)} of this sweep. The mean is over all subsets of k settings.{counted}</p>"
    )


def _search(settings: Sequence[SettingOutcome], metric: str, highest: bool) -> str:
    values = search_values(settings, highest=highest)
    if len(values) < 2:
        return ""
    series = [
        ("mean", best_of(values, highest=highest)),
        ("10% of the draws are as good", best_of_quantile(values, 0.1, highest=highest)),
        ("90% of the draws are as good", best_of_quantile(values, 0.9, highest=highest)),
    ]
    rows = [[f"{k}", *(number(values[k - 1]) for _, values in series)] for k in _some(len(values))]
    table = markup.table(["k", *(name for name, _ in series)], rows, caption=f"{metric} of the best of k settings", numeric=range(4))
    return _search_help(settings) + f"<figure>{curves(series, 'k', f'{metric}, best of k')}</figure>" + table


def _some(count: int) -> list[int]:
    """1, 2, 4, 8 ... and the count."""
    return sorted({2**power for power in range(count.bit_length())} | {count})


def _charts(sweep: Sweep, settings: Sequence[SettingOutcome]) -> list[dict[str, Any]]:
    runs, labels = [], []
    for outcome in [outcome for setting in settings for outcome in setting.runs][:CURVES]:
        try:
            runs.append(read_run(sweep.run_directory(outcome.run)))
        except ReportError:
            continue
        words = [f"{name} {number(value)}" for name, value in sweep.runs[outcome.run].settings.items()]
        labels.append(f"{outcome.run:04d}: " + ", ".join([*words, f"seed {outcome.seed}"]))
    return [chart for chart in compare(runs, labels) if chart["title"] in DRAWN]


def _failure_map(sweep: Sweep, axes: Sequence[Axis], settings: Sequence[SettingOutcome], outcomes: Sequence[RunOutcome]) -> str:
    """Failed runs against the first two flags: a table for listed values, a picture for intervals."""
    if not settings or not axes:
        return ""
    x, y = axes[0], axes[1] if len(axes) > 1 else None
    if any(axis.is_interval for axis in (x, y) if axis is not None):
        if y is None or not all(_is_numeric(sweep, axis) for axis in (x, y)):
            return ""
        points = [
            (sweep.runs[outcome.run].settings[x.name], sweep.runs[outcome.run].settings[y.name], outcome.failure) for outcome in outcomes
        ]
        note = f"<p class='note'>A cross is a failed run, a dot is another one. {escape(_failure_names(outcomes))}</p>"
        return note + scatter([(a, b, bool(failure), failure or "not failed") for a, b, failure in points], f"--{x.name}", f"--{y.name}")
    columns = y.values if y is not None else ("",)
    rows = []
    for value in x.values:
        cells = []
        for column in columns:
            chosen = [row for row in settings if row.settings[x.name] == value and (y is None or row.settings[y.name] == column)]
            runs, failed = sum(len(row.runs) for row in chosen), sum(row.failed for row in chosen)
            medians = [row.median for row in chosen if row.median is not None]
            cells.append(f"{failed} of {runs} failed" + (f"; {number(min(medians))} to {number(max(medians))}" if medians else ""))
        rows.append([number(value), *cells])
    heads = [f"--{x.name}", *(f"--{y.name} {number(column)}" if y is not None else "runs" for column in columns)]
    note = f"<p class='note'>Failed runs, and the range of the medians. {escape(_failure_names(outcomes))}</p>"
    return note + markup.table(heads, rows, caption="Failed runs by the values of the first two flags")


def _failure_names(outcomes: Sequence[RunOutcome]) -> str:
    names = [outcome.failure for outcome in outcomes if outcome.failure]
    return ", ".join(f"{name}: {names.count(name)}" for name in dict.fromkeys(names))


def _responses(sweep: Sweep, axes: Sequence[Axis], outcomes: Sequence[RunOutcome], metric: str) -> str:
    """One picture for each numeric flag: the outcome of every run against its value."""
    pictures = ""
    for axis in axes:
        if not _is_numeric(sweep, axis):
            continue
        points = [
            (
                sweep.runs[outcome.run].settings[axis.name],
                outcome.value,
                bool(outcome.failure),
                f"run {outcome.run:04d}, seed {outcome.seed}",
            )
            for outcome in outcomes
            if outcome.value is not None
        ]
        if points:
            pictures += f"<figure>{scatter(points, f'--{axis.name}', metric)}</figure>"
    return f'<div class="charts">{pictures}</div>' if pictures else ""


def _is_numeric(sweep: Sweep, axis: Axis) -> bool:
    values = {run.settings[axis.name] for run in sweep.runs}
    return len(values) > 1 and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _programs(sweep: Sweep) -> str:
    heads = ["program", "runs", "steps", "form", "devices", "traced", "seconds", "ms per run and step", "measuring, s"]
    rows = []
    for program, numbers in enumerate(sweep.programs):
        result = sweep.result(program)
        if result is None:
            rows.append([f"{program:04d}", str(len(numbers)), "not finished", *[""] * 6])
            continue
        cost = result["milliseconds_per_run_and_step"]
        rows.append(
            [
                f"{program:04d}",
                str(result["runs"]),
                f"{result['steps']:,}",
                result["form"],
                f"{result['devices']} x {result['device']}",
                ", ".join(result["traced"]),
                number(result["seconds"]),
                "" if cost is None else number(cost),
                number(result["measuring_seconds"]),
            ]
        )
    return markup.table(heads, rows, caption="Programs: runs that differ only in traced numbers share one", numeric=(1, 2, 6, 7, 8))
