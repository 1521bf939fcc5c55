"""The generated parts of docs/evidence.md, docs/tricks.md and the README, from the rows of the ablations."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from docs._generate.tables import mean_and_deviation, table
from experiments.studies import mixtures
from experiments.studies.ablations import baselines, interactions, plot, results
from experiments.studies.ablations.results import Comparison
from experiments.studies.ablations.tricks import GROUPS, NOT_COMPARED_HERE, NOT_ON_MIXTURES, NOT_SWITCHED, as_flags, tricks
from gan_jax.trainer.config import Config, ConfigError

DATA = tuple(data for sources in GROUPS.values() for data in sources)
TITLES = {"ring": "Ring of 8 Gaussians", "grid": "Grid of 25 Gaussians", "mnist5k": "Embedded digits"}
LABELS = {"ring": "ring", "grid": "grid", "mnist5k": "digits"}
MARKS = {"helps": "*", "hurts": "*", "trades": "*"}
MAX_COST = 2.0  # largest time of a step over its control's for a trick of the first list


def parts(path: Path, comparisons: Sequence[Comparison]) -> dict[str, Callable[[], str]]:
    """The generated parts of docs/evidence.md from the file of results: name -> function that returns the text."""
    points, images = baselines.MIXTURE, baselines.IMAGES
    first, hurt, mixed = lists(comparisons)
    found: dict[str, Callable[[], str]] = {
        "points budget": lambda: f"{points.steps:,} steps of {points.batch_size} points",
        "points flags": lambda: f"    {as_flags(mixtures.changes(points, Config()))}",
        "points real": lambda: " and ".join(
            f"{row['reverse_kl']:.3f} and {row['high_quality']:.3f} ({data})"
            for data in GROUPS["mixture"]
            for row in [baselines.real_row(data)]
        ),
        "images budget": lambda: f"{images.steps} steps of {images.batch_size} images",
        "images flags": lambda: f"    {as_flags(mixtures.changes(images, Config()))}",
        "images real": lambda: f"{baselines.real_row('mnist5k')['classifier_fd']:.2f}",
        "comparisons": lambda: str(len(comparisons)),
        "cost limit": lambda: f"{MAX_COST:g}",
        "baselines": partial(controls, path),
        "first choices": partial(bullets, first),
        "hurt": partial(bullets, hurt),
        "at a price": partial(bullets, mixed),
        "factors": interactions.factor_list,
        "not compared": partial(missing, path),
    }
    default = {(one.trick.id, one.trick.name, one.data): one for one in compare_all(path, with_baseline=True)}
    found |= {data: partial(comparison_table, [one for one in comparisons if one.data == data], default) for data in DATA}
    return found | {f"interactions {data}": partial(interactions.analysis, path, data) for data in GROUPS["mixture"]}


def compare_all(path: Path, *, with_baseline: bool = False) -> list[Comparison]:
    """Every comparison of the file, by source and in the order of the tables.

    Args:
        path: File of results.
        with_baseline: Whether the runs with a trick are compared with the plain baseline. Otherwise they are compared with the control
            of the trick, which may differ from the baseline, too.

    Raises:
        ConfigError: The file has no comparison with the present baselines.
    """
    found = []
    for data in DATA:
        real = baselines.real_row(data)[baselines.OUTCOMES[baselines.group_of(data)][0][0]]
        rows = tricks(baselines.group_of(data))
        if with_baseline:
            rows = [row._replace(name=row.name.partition(", against ")[0], off={}) for row in rows if row.on]
        found += [results.compare(row, data, path, real) for row in rows]
    comparisons = [comparison for comparison in found if comparison is not None]
    if not comparisons:
        raise ConfigError(f"{path}: has no comparison with the present baselines")
    return results.adjusted(comparisons)


def signed(value: float | None, digits: int) -> str:
    """A difference with its sign. A value that rounds to 0 has no sign, and a missing one is a dash."""
    if value is None:
        return "-"
    text = f"{value:+.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text


def heading(figure: str) -> str:
    """A figure of a row in the words of the page."""
    return {"reverse_kl": "reverse KL", "classifier_fd": "`classifier_fd`"}.get(figure, figure.replace("_", " "))


def p_text(value: float) -> str:
    """A p-value with two digits."""
    return "below 0.001" if value < 0.001 else f"{value:.2g}"


def comparison_table(comparisons: Sequence[Comparison], against_default: dict[tuple[str, str, str], Comparison]) -> str:
    """The comparisons on one source, sorted by the effect on the first outcome.

    Args:
        comparisons: The comparisons of one source, each with its own control.
        against_default: The comparisons with the plain baseline, by id, name and source.
    """
    if not comparisons:
        return "No comparison yet."
    group = baselines.group_of(comparisons[0].data)
    heads = ["id", "trick", "flags"]
    for figure, _ in baselines.OUTCOMES[group]:
        heads += [heading(figure), "95% interval", "p, adjusted"]
    heads += [*map(heading, results.DETAILS[group]), "failed", "seeds", "time", "verdict", "against the default"]
    lines = []
    for one in sorted(comparisons, key=lambda one: -one.closed):
        flags = f"`{as_flags(one.trick.on)}`" if one.trick.on else "the baseline"
        flags += f" against `{as_flags(one.trick.off)}`" if one.trick.off else ""
        cells = [one.trick.id, one.trick.name, flags]
        for change in one.changes:
            digits = 1 if change.figure == "classifier_fd" else 3
            low, mean, high = ("-",) * 3
            if change.interval is not None:
                mean, low, high = (signed(value, digits) for value in change.interval)
            cells += [mean, f"{low} to {high}", p_text(change.adjusted)]
        cells += [signed(value, 1 if figure in ("modes", "classes") else 3) for figure, value in one.details.items()]
        cells += [f"{one.failed[0]}, {one.failed[1]}", str(one.seeds), "-" if one.cost is None else f"{one.cost:.2f}"]
        default = against_default.get((one.trick.id, one.trick.name.partition(", against ")[0], one.data))
        lines.append([*cells, _marked(one), "" if default is None else _marked(default)])
    return table(heads, lines)


def _marked(one: Comparison) -> str:
    return f"**{one.verdict}**" if one.verdict in MARKS else one.verdict


def controls(path: Path) -> str:
    """The outcomes of the baselines: mean and sample deviation over the seeds."""
    lines = []
    for data in DATA:
        rows = results.runs(path).get(results.key(data, {}), [])
        group = baselines.group_of(data)
        figures = (*(figure for figure, _ in baselines.OUTCOMES[group]), *results.DETAILS[group])
        cells = [f"{heading(figure)} {mean_and_deviation([row[figure] for row in rows], 3)}" for figure in figures]
        if rows:
            lines.append(f"- {TITLES[data]}, {len(rows)} seeds: {', '.join(cells)}, failed runs {sum(row['failed'] for row in rows)}.")
    return "\n".join(lines)


def by_trick(comparisons: Sequence[Comparison]) -> dict[tuple[str, str], list[Comparison]]:
    """The comparisons of each trick, over the sources."""
    found: dict[tuple[str, str], list[Comparison]] = {}
    for one in comparisons:
        found.setdefault((one.trick.id, one.trick.name), []).append(one)
    return found


def first_choices(comparisons: Sequence[Comparison]) -> list[list[Comparison]]:
    """The tricks that help on a source, neither hurt nor trade on another, make no more runs fail, and cost at most `MAX_COST`.

    Tricks that help on more sources come first, then tricks that close more of the gap on average.
    """
    chosen = []
    for group in by_trick(comparisons).values():
        verdicts = [one.verdict for one in group]
        dear = any(one.cost is not None and one.cost > MAX_COST for one in group)
        fails = any(one.failed[0] > one.failed[1] for one in group)
        if "helps" in verdicts and not {"hurts", "trades"} & set(verdicts) and not dear and not fails:
            chosen.append(group)
    return sorted(chosen, key=lambda group: (-sum(one.verdict == "helps" for one in group), -sum(one.closed for one in group) / len(group)))


def lists(comparisons: Sequence[Comparison]) -> tuple[list[list[Comparison]], ...]:
    """The first choices, the tricks that hurt and never help, and the tricks that help at a price."""
    first = first_choices(comparisons)
    rest = [group for group in by_trick(comparisons).values() if group not in first]
    helps = [any(one.verdict in ("helps", "trades") for one in group) for group in rest]
    hurts = [any(one.verdict == "hurts" for one in group) for group in rest]
    hurt = [group for group, helping, hurting in zip(rest, helps, hurts, strict=True) if hurting and not helping]
    return first, hurt, [group for group, helping in zip(rest, helps, strict=True) if helping]


def bullets(groups: Sequence[Sequence[Comparison]]) -> str:
    """One line per trick with its effects on all sources and its relative time."""
    lines = []
    for group in groups:
        effects = [f"{LABELS[one.data]} {_closed(one)}{f' ({one.verdict})' if one.verdict in MARKS else ''}" for one in group]
        costs = dict.fromkeys(f"{one.cost:.2f}" for one in group if one.cost is not None)
        time = f", time {' and '.join(costs)}" if costs else ""
        lines.append(f"- **{group[0].trick.name}** ({group[0].trick.id}): {', '.join(effects)}{time}")
    return "\n".join(lines) or "- none"


def _closed(one: Comparison) -> str:
    return f"{signed(100 * one.closed, 0)}%"


def missing(path: Path) -> str:
    """The tricks that were not compared, with the reasons."""
    reasons = NOT_SWITCHED | NOT_COMPARED_HERE
    lines = []
    for reason in dict.fromkeys(reasons.values()):
        ids = sorted((id for id, own in reasons.items() if own == reason), key=_order)
        lines.append(f"- {', '.join(ids)}: {reason}.")
    only_images = sorted({row.id for row in tricks("images")} - {row.id for row in tricks("mixture")}, key=_order)
    lines.append(f"- {', '.join(only_images)}: not on the mixtures, because each {NOT_ON_MIXTURES}.")
    measured = results.runs(path)
    for data in DATA:
        needed = [(row, {results.key(data, row.on), results.key(data, row.off)}) for row in tricks(baselines.group_of(data))]
        rows = [row for row, keys in needed if not keys <= measured.keys()]
        if rows:
            lines.append(f"- Not measured yet on {data}: {'; '.join(f'{row.name} ({row.id})' for row in rows)}.")
    return "\n".join(lines)


def _order(id: str) -> tuple[int, int]:
    families = ["in", "loss", "label", "gp", "layer", "model", "train", "watch", "beyond"]
    family, number = id.rsplit("-", 1)
    return families.index(family), int(number)


def cell(id: str, comparisons: Sequence[Comparison]) -> str | None:
    """The evidence cell of a row of docs/tricks.md, or None if the row has no comparison.

    It holds the difference of the outcome on each source, or the least and the greatest difference of several variants. A star marks
    the verdicts "helps" and "hurts".
    """
    own = [one for one in comparisons if one.trick.id == id]
    if not own:
        return "[not switched alone](evidence.md)" if id in NOT_SWITCHED else None
    parts = []
    for data in DATA:
        variants = [one for one in own if one.data == data and one.changes[0].interval is not None]
        variants = sorted(variants, key=lambda one: one.changes[0].interval.mean)  # type: ignore[union-attr]
        ends = variants if len(variants) < 2 else [variants[0], variants[-1]]
        digits = 2 if data != "mnist5k" else 0
        texts = [f"{signed(one.changes[0].interval.mean, digits)}{MARKS.get(one.verdict, '')}" for one in ends]  # type: ignore[union-attr]
        if texts:
            parts.append(f"{LABELS[data]} {' to '.join(texts)}" + (f" ({len(variants)} variants)" if len(variants) > 1 else ""))
    return f"[{', '.join(parts)}](evidence.md)" if parts else "not measured"


def fill_cells(text: str, comparisons: Sequence[Comparison]) -> str:
    """docs/tricks.md with the evidence cells of what was measured. Cells that say "rule" or "recipe" do not change."""
    lines = []
    for line in text.splitlines():
        match = re.match(r"\| ([a-z]+-\d+) \|", line)
        cells = line.split(" | ")
        filled = cell(match[1], comparisons) if match else None
        if match and filled is None and "(evidence.md)" in cells[-1]:
            filled = "not measured"  # The rows of this trick were removed.
        if filled is not None and cells[-1].rstrip(" |") not in ("rule", "recipe"):
            line = " | ".join([*cells[:-1], f"{filled} |"])
        lines.append(line)
    return "\n".join(lines) + "\n"


def draw(comparisons: Sequence[Comparison], path: Path) -> None:
    """Draws the forest plot of all comparisons."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plot.forest(comparisons, path)
