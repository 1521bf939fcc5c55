"""docs/evidence.md, its picture, and the cells of docs/tricks.md, all of them from the file of results."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.studies.ablations import baselines, interactions, plot, results
from experiments.studies.ablations.results import Comparison
from experiments.studies.ablations.tricks import GROUPS, NOT_COMPARED_HERE, NOT_ON_MIXTURES, NOT_SWITCHED, as_flags, tricks

DATA = tuple(data for sources in GROUPS.values() for data in sources)
TITLES = {"ring": "Ring of 8 Gaussians", "grid": "Grid of 25 Gaussians", "mnist5k": "Embedded digits"}
SHOWN = {"ring": "ring", "grid": "grid", "mnist5k": "digits"}
HEAD = 8  # rows in the README
HEAD_BEGINS, HEAD_ENDS = "<!-- written by experiments/studies/ablations/ablate.py --write -->", "<!-- until here -->"
MARKS = {"helps": "*", "hurts": "*"}
DEAREST = 2.0  # times the time of a step: above it, a trick is not among those to reach for first

INTRODUCTION = """# Evidence: what each trick does, measured

Every trick of [tricks.md](tricks.md) that can be switched on alone, against the same game without it: the same seeds, the same number of
steps, one thing changed. Written by a script from [data/ablations.jsonl](data/ablations.jsonl), which has every run:

```
python -m experiments.studies.ablations.ablate --group mixture
python -m experiments.studies.ablations.ablate --group images
python -m experiments.studies.ablations.ablate --group interactions
python -m experiments.studies.ablations.ablate --group costs
python -m experiments.studies.ablations.ablate --write
```

A short budget shows what a trick does early, in these small games, at the strength given; not what it would do in a long run, on other
data, or at another strength. Nothing was tuned for any trick. The mixtures' baseline lowers its learning rate by a cosine, which does much
of the work of a moving average of G: without it the average helps much ([update_rules.md](update_rules.md), and the pair in *Ten tricks
together*). The grid's game is far from its end in this budget, as its baseline below shows: there modes and quality are traded for each
other, and the columns beside the outcome tell them apart.

## How it is measured
{protocol}

**Differences** are with the trick minus without it, mean over the seeds; brackets hold the 95% percentile interval of a paired bootstrap
over the seeds (10,000 resamples). Of few seeds that interval is too narrow, so the **verdict** asks more: *helps* or *hurts* only
where both it and Student's paired 95% interval leave out 0, *no effect* where all runs are identical, otherwise *unclear*. There are
{comparisons} comparisons: if no trick did anything, about one in forty would still be said to help, and as many to hurt. **Gap closed** is
the share of the way from the control to real examples. **Failed** counts the runs that fail, with the trick and without it: not finite, or
fewer than half of the modes or classes. **Time** is that of a step over its control's, timed in turn, of a single run.
"""

PICTURE = """![Effects with their intervals](images/evidence.png)

Share of the gap between the control and real examples that each trick closes, with its 95% bootstrap interval.
"""


def protocol() -> str:
    """The baselines and the outcomes, in words and numbers."""
    points, images = baselines.MIXTURE, baselines.IMAGES
    flags = {config: as_flags(_chosen(config)) for config in ("points", "images")}
    real = {data: baselines.real_row(data) for data in DATA}
    ring, grid, digits = real["ring"]["recovered"], real["grid"]["recovered"], real["mnist5k"]["classifier_fd"]
    return f"""On the **mixtures** (ring of 8, grid of 25; `experiments/studies/mixtures.py`): perceptrons, {points.steps:,} steps of
{points.batch_size} points, samples of the last step:

    {flags["points"]}

Outcome: *recovered*, the share of high quality of 2,500 samples times the share of modes in effect (the exponential of the entropy of
the modes of the good samples, over the number of modes). Perfect samples have 1, real points {ring:.3f} (ring) and {grid:.3f} (grid).
Modes, share of high quality and reverse KL stand beside it.

On the **embedded digits**: DCGAN, {images.steps} steps of {images.batch_size} images, samples from the moving average of G:

    {flags["images"]}

Outcome: `classifier_fd`, the Fréchet distance of 1,000 samples to the 4,000 training images in the features of the shipped digit
classifier (no FID); of 1,000 held-out digits {digits:.2f}. A class counts with at least 1% of the samples."""


def _chosen(name: str) -> dict[str, Any]:
    from experiments.studies import mixtures
    from gan_jax.trainer.config import Config

    config = {"points": baselines.MIXTURE, "images": baselines.IMAGES}[name]
    return mixtures.changes(config, Config())


def compare_all(path: Path, data: str) -> list[Comparison]:
    """What there is about every trick on a source, in the order of the table."""
    name, _ = baselines.OUTCOME[baselines.group_of(data)]
    real = baselines.real_row(data)[name]
    found = (results.compare(row, data, path, real) for row in tricks(baselines.group_of(data)))
    return [comparison for comparison in found if comparison is not None]


def signed(value: float | None, digits: int) -> str:
    """A difference with its sign, and no sign for what rounds to 0."""
    if value is None:
        return "-"
    text = f"{value:+.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text


def table(comparisons: Sequence[Comparison]) -> str:
    """One source's comparisons as a Markdown table."""
    group = baselines.group_of(comparisons[0].data)
    name, _ = baselines.OUTCOME[group]
    digits = 3 if group == "mixture" else 1
    heads = ["id", "trick", "flags", name, "95%", "gap closed", *(figure.replace("_", " ") for figure in results.DETAILS[group])]
    heads += ["failed", "seeds", "time", "verdict"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for one in comparisons:
        flags = f"`{as_flags(one.trick.on)}`" if one.trick.on else "the baseline"
        flags += f" against `{as_flags(one.trick.off)}`" if one.trick.off else ""
        bounds = f"{signed(one.outcome.low, digits)} to {signed(one.outcome.high, digits)}"
        cells = [one.trick.id, one.trick.name, flags, signed(one.outcome.mean, digits), bounds, f"{signed(100 * one.closed, 0)}%"]
        cells += [signed(value, 1 if figure in ("modes", "classes") else 3) for figure, value in one.details.items()]
        cells += [f"{one.failed[0]}, {one.failed[1]}", str(one.seeds), "-" if one.cost is None else f"{one.cost:.2f}"]
        lines.append(f"| {' | '.join(cells)} | {f'**{one.verdict}**' if one.verdict in MARKS else one.verdict} |")
    return "\n".join(lines)


def controls(path: Path) -> str:
    """What the baselines reach: mean and deviation over the seeds."""
    from experiments.studies import mixtures

    lines = []
    for data in DATA:
        rows = results.runs(path).get(results.key(data, {}), [])
        figures = (baselines.OUTCOME[baselines.group_of(data)][0], *results.DETAILS[baselines.group_of(data)])
        shown = [f"{figure.replace('_', ' ')} {mixtures.mean_and_deviation([row[figure] for row in rows], 3)}" for figure in figures]
        if rows:
            lines.append(f"- {TITLES[data]}, {len(rows)} seeds: {', '.join(shown)}; failed: {sum(row['failed'] for row in rows)}.")
    return "\n".join(lines)


def by_trick(comparisons: Sequence[Comparison]) -> dict[tuple[str, str], list[Comparison]]:
    """The comparisons of each trick, over the sources."""
    found: dict[tuple[str, str], list[Comparison]] = {}
    for one in comparisons:
        found.setdefault((one.trick.id, one.trick.name), []).append(one)
    return found


def first_choices(comparisons: Sequence[Comparison]) -> list[list[Comparison]]:
    """The tricks to reach for first: help somewhere, hurt nowhere, make no more runs fail, cost at most `DEAREST`; first those that help
    on more data."""
    chosen = []
    for of in by_trick(comparisons).values():
        verdicts = [one.verdict for one in of]
        dear = any(one.cost is not None and one.cost > DEAREST for one in of)
        fails = any(one.failed[0] > one.failed[1] for one in of)
        if "helps" in verdicts and "hurts" not in verdicts and not dear and not fails:
            chosen.append(of)
    return sorted(chosen, key=lambda of: (-sum(one.verdict == "helps" for one in of), -sum(one.closed for one in of) / len(of)))


def told(of: Sequence[Comparison]) -> str:
    """One trick's effects on all data, in a line."""
    parts = [f"{SHOWN[one.data]} {signed(100 * one.closed, 0)}%{f' ({one.verdict})' if one.verdict in MARKS else ''}" for one in of]
    costs = [one.cost for one in of if one.cost is not None]
    return f"{', '.join(parts)}" + (f"; time {' and '.join(f'{cost:.2f}' for cost in dict.fromkeys(costs))}" if costs else "")


def lists(comparisons: Sequence[Comparison]) -> str:
    """What to reach for first, what hurts, and what depends, each by its rule."""
    first = first_choices(comparisons)
    rest = {name: of for name, of in by_trick(comparisons).items() if of not in first}
    hurts = {name: of for name, of in rest.items() if any(c.verdict == "hurts" for c in of) and not any(c.verdict == "helps" for c in of)}
    mixed = {name: of for name, of in rest.items() if name not in hurts and any(c.verdict == "helps" for c in of)}

    def lines(rows: Sequence[Sequence[Comparison]]) -> str:
        return "\n".join(f"- **{of[0].trick.name}** ({of[0].trick.id}): {told(of)}" for of in rows) or "- none"

    return f"""## Which to reach for first
The rule: a trick is on this list if it helps on at least one of the data sets, hurts on none, makes no more runs fail on any, and takes
at most {DEAREST:g} times the time of a step where that was measured. First those that help on more of them, then those that close more of
the gap, on average. Percentages: gap closed.

{lines(first)}

## What hurt
Hurts on at least one data set, helps on none.

{lines(list(hurts.values()))}

## What helped at a price
Helps on one data set, but hurts on another, makes more runs fail, or costs more than that.

{lines(list(mixed.values()))}
"""


def missing(path: Path) -> str:
    """What was not compared, and why."""
    reasons = NOT_SWITCHED | NOT_COMPARED_HERE
    lines = []
    for reason in dict.fromkeys(reasons.values()):
        ids = sorted((id for id, own in reasons.items() if own == reason), key=_order)
        lines.append(f"- {', '.join(ids)}: {reason}.")
    only_images = sorted({row.id for row in tricks("images")} - {row.id for row in tricks("mixture")}, key=_order)
    lines.append(f"- Not on the mixtures: {', '.join(only_images)}: {NOT_ON_MIXTURES}.")
    played = results.runs(path)
    for data in DATA:
        needed = [(row, {results.key(data, row.on), results.key(data, row.off)}) for row in tricks(baselines.group_of(data))]
        rows = [row for row, keys in needed if not keys <= played.keys()]
        if rows:
            lines.append(f"- Not run yet on {data}: {'; '.join(f'{row.name} ({row.id})' for row in rows)}.")
    return "\n".join(lines)


def _order(id: str) -> tuple[int, int]:
    families = ["in", "loss", "label", "gp", "layer", "model", "train", "watch", "beyond"]
    family, number = id.rsplit("-", 1)
    return families.index(family), int(number)


def page(path: Path) -> str:
    """The whole page."""
    found = {data: compare_all(path, data) for data in DATA}
    everything = [one for of in found.values() for one in of]
    parts = [INTRODUCTION.format(protocol=protocol(), comparisons=len(everything)), "The baselines reach:\n\n" + controls(path) + "\n"]
    parts += [lists(everything)]
    parts += [PICTURE]
    parts += [f"## {TITLES[data]}\n{table(of)}\n" for data, of in found.items() if of]
    parts += [interactions.section(path), f"## Not compared\n{missing(path)}\n"]
    return "\n".join(parts)


def cell(id: str, comparisons: Sequence[Comparison]) -> str | None:
    """The evidence cell of a row of docs/tricks.md: the outcome's difference on each data set, or the least and the greatest of several
    variants; a star where it helps or hurts."""
    of = [one for one in comparisons if one.trick.id == id]
    if not of:
        return "[not switched alone](evidence.md)" if id in NOT_SWITCHED else None
    parts = []
    for data in DATA:
        variants = sorted((one for one in of if one.data == data), key=lambda one: one.outcome.mean)
        ends = variants if len(variants) < 2 else [variants[0], variants[-1]]
        shown = [f"{signed(one.outcome.mean, 2 if data != 'mnist5k' else 0)}{MARKS.get(one.verdict, '')}" for one in ends]
        if shown:
            parts.append(f"{SHOWN[data]} {' to '.join(shown)}" + (f" ({len(variants)} variants)" if len(variants) > 1 else ""))
    return f"[{', '.join(parts)}](evidence.md)"


def fill_cells(text: str, comparisons: Sequence[Comparison]) -> str:
    """docs/tricks.md with the evidence cells of what was measured; cells that say "rule" or "recipe" stay."""
    lines = []
    for line in text.splitlines():
        match = re.match(r"\| ([a-z]+-\d+) \|", line)
        cells = line.split(" | ")
        filled = cell(match[1], comparisons) if match else None
        if filled is not None and cells[-1].rstrip(" |") not in ("rule", "recipe"):
            line = " | ".join([*cells[:-1], f"{filled} |"])
        lines.append(line)
    return "\n".join(lines) + "\n"


def head(comparisons: Sequence[Comparison]) -> str:
    """The tricks to reach for first as a short table, for the README."""
    lines = [f"| trick | flags | {' | '.join(SHOWN[data] for data in DATA)} |", "|---" * (2 + len(DATA)) + "|"]
    for of in first_choices(comparisons)[:HEAD]:
        by_data = {one.data: one for one in of}
        flags = "; ".join(dict.fromkeys(f"`{as_flags(one.trick.on)}`" if one.trick.on else "the default" for one in of))
        shares = [
            f"{signed(100 * by_data[data].closed, 0)}%{MARKS.get(by_data[data].verdict, '')}" if data in by_data else "" for data in DATA
        ]
        lines.append(f"| {of[0].trick.name} | {flags} | {' | '.join(shares)} |")
    return "\n".join(lines)


def fill_head(text: str, comparisons: Sequence[Comparison]) -> str:
    """The README with that table between its two marks; as it is where it has none."""
    before, mark, rest = text.partition(HEAD_BEGINS)
    if not mark:
        return text
    _, end, after = rest.partition(HEAD_ENDS)
    return f"{before}{mark}\n{head(comparisons)}\n{end}{after}"


def write(path: Path, docs: Path) -> None:
    """Writes the page, the picture, the cells, and the head of the README's table."""
    comparisons = [one for data in DATA for one in compare_all(path, data)]
    if not comparisons:
        from gan_jax.trainer.config import ConfigError

        raise ConfigError(f"--write: {path} has no comparison of the present baselines yet")
    (docs / "images").mkdir(parents=True, exist_ok=True)
    plot.forest(comparisons, docs / "images" / "evidence.png")
    (docs / "evidence.md").write_text(page(path))
    index = docs / "tricks.md"
    index.write_text(fill_cells(index.read_text(), comparisons))
    readme = docs.parent / "README.md"
    if readme.is_file():
        readme.write_text(fill_head(readme.read_text(), comparisons))
    print(f"wrote {docs / 'evidence.md'}: {len(comparisons)} comparisons")
