"""Writes the generated parts of all pages from the committed rows in docs/data. Nothing is trained.

    make docs-data                                      # the tables, and the numbers in sentences
    python -m docs._generate.pages --pictures           # and the pictures that need only the rows

`docs/_generate/tables.py` says how a page marks a generated part. The cells of docs/tricks.md are generated, too.
"""

import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from docs._generate import model_table, recipe_table, tables
from docs._generate.endurance_table import endurance_table
from experiments.benchmarks import first_grid, step_costs, sweep_cost
from experiments.benchmarks import tables as benchmarks
from experiments.benchmarks.communication import measure as communication
from experiments.rows import read_rows
from experiments.studies import advice, compare_torch, dirac, failures, mixtures, race, race_plot, stacked_mnist, transfer
from experiments.studies.ablations import page as ablations
from experiments.studies.ablations.results import Comparison
from experiments.studies.update_rules import costs
from experiments.studies.update_rules import mixtures as update_rules
from gan_jax.cli.errors import errors_as_lines
from gan_jax.cli.parsing import argument_parser

ROOT = Path(__file__).parents[2]
DATA = ROOT / "docs" / "data"
ABLATIONS = DATA / "ablations.jsonl"
Parts = dict[str, Callable[[], str]]


@cache
def _comparisons(*, with_baseline: bool = False) -> list[Comparison]:
    return ablations.compare_all(ABLATIONS, with_baseline=with_baseline)


def _evidence() -> Parts:
    rungs, rows = race.RACES["ladder"], read_rows(DATA / "ladder.jsonl")
    ladder: Parts = {
        "ladder": lambda: race.result_table(rungs, rows),
        "ladder ends": lambda: f"{race.mean_of(rungs, rows, 0, 'fd')} to {race.mean_of(rungs, rows, -2, 'fd')}",
        "certain rungs": lambda: race.verdicts(rungs, rows, certain=True),
        "other rungs": lambda: race.verdicts(rungs, rows, certain=False),
    }
    return ladder | ablations.parts(ABLATIONS, _comparisons())


def _mixtures() -> Parts:
    rows = read_rows(DATA / "mixtures.jsonl")
    return {
        "trials": lambda: mixtures.trials_table(rows),
        "ring quality": lambda: mixtures.ring_quality(rows),
        "pacgan grid": lambda: mixtures.pacgan_table(rows, "grid"),
        "pacgan ring": lambda: mixtures.pacgan_table(rows, "ring"),
        "stacked digits": lambda: stacked_mnist.page_table(read_rows(DATA / "stacked_mnist.jsonl")),
        "unrolled ring": lambda: mixtures.unrolled_table(read_rows(DATA / "unrolled_ring.jsonl")),
        "unrolled test": lambda: mixtures.unrolled_test(read_rows(DATA / "unrolled_ring.jsonl")),
        "starved": lambda: race.result_table(race.RACES["starved"], read_rows(DATA / "starved.jsonl")),
    }


def _strategies() -> Parts:
    rows = json.loads((DATA / "strategy_costs.json").read_text())
    return {
        "costs": lambda: costs.cost_table(rows),
        "savings": lambda: costs.savings(rows),
        "mixtures": lambda: update_rules.table(read_rows(DATA / "strategies.jsonl")),
    }


def _parallel() -> Parts:
    def cases() -> str:
        sys.path.insert(0, str(ROOT / "tests"))
        from support import parallel_cases

        return parallel_cases.table(read_rows(DATA / "parallel.jsonl"))

    rows = communication.read_rows(DATA / "communication.jsonl")
    return {
        "cases": cases,
        "moved": lambda: communication.moved_table(rows),
        "times on a ring": lambda: communication.time_table(rows, communication.LINKS),
    }


def _monitor() -> Parts:
    results = json.loads((DATA / "failures.json").read_text())
    return {
        "broken runs": lambda: failures.broken_table(results),
        "healthy runs": lambda: failures.healthy_table(results),
        "advice": lambda: advice.result_table(read_rows(DATA / "advice.jsonl")),
        "cost": lambda: benchmarks.monitor_table(_timings()),
    }


def _performance() -> Parts:
    report = json.loads((DATA / "compare_torch.json").read_text())
    equal_time: Parts = {
        f"equal time {name}": lambda name=name: compare_torch.result_table(report, name)  # type: ignore[misc]
        for name in ("dcgan", "sngan")
    }
    sweeps: Parts = {"sweep costs": lambda: sweep_cost.cost_table(read_rows(DATA / "sweep_costs.jsonl"))}
    first: Parts = {"first grid": lambda: first_grid.page_text(read_rows(DATA / "first_grid.jsonl"))}
    return benchmarks.performance(_timings()) | equal_time | sweeps | first


def _timings() -> dict[str, benchmarks.Row]:
    return benchmarks.latest(read_rows(DATA / "timings.jsonl"))


# Page -> its generated parts.
PAGES: dict[str, Callable[[], Parts]] = {
    "README.md": lambda: {
        "default recipe": lambda: recipe_table.default_recipe(read_rows(DATA / "recipes.jsonl")),
        "certain rungs": lambda: race.verdicts(race.RACES["ladder"], read_rows(DATA / "ladder.jsonl"), certain=True),
    },
    "docs/dirac.md": lambda: {"radii": lambda: dirac.radii(read_rows(DATA / "dirac.jsonl"))},
    "docs/evidence.md": _evidence,
    "docs/metrics.md": lambda: {"speed": lambda: benchmarks.metrics_table(_timings())},
    "docs/mixtures.md": _mixtures,
    "docs/models.md": lambda: {
        "models": model_table.model_table,
        "step costs": lambda: step_costs.page_table(read_rows(DATA / "step_costs.jsonl")),
    },
    "docs/monitor.md": _monitor,
    "docs/distributed.md": _parallel,
    "docs/next_run.md": lambda: {"transfer": lambda: transfer.page_table(read_rows(DATA / "transfer.jsonl"))},
    "docs/performance.md": _performance,
    "docs/reliability.md": lambda: {"endurance": lambda: endurance_table(read_rows(DATA / "endurance.jsonl"))},
    "docs/recipes.md": lambda: recipe_table.parts(read_rows(DATA / "recipes.jsonl"), read_rows(DATA / "default_search.jsonl")),
    "docs/update_rules.md": _strategies,
}


def filled(page: str, parts: Parts) -> str:
    """A page with all its generated parts.

    Raises:
        ValueError: The page has a part without a generator, or a generator has no part in the page.
    """
    names = tables.names(page)
    if sorted(names) != sorted(parts):
        unknown = sorted(set(names) ^ set(parts)) or "a name twice"
        raise ValueError(f"the generated parts of the page and their generators differ: {unknown}")
    for name, make in parts.items():
        page = tables.fill(page, name, make())
    return page


def write(root: Path = ROOT) -> list[str]:
    """Writes the generated parts of all pages below `root`. Returns the names of the pages that changed.

    Raises:
        ValueError: A page has a generated part that `PAGES` does not know, or lacks one.
    """
    changed = []
    for path in sorted([root / "README.md", *(root / "docs").rglob("*.md")]):
        name, before = path.relative_to(root).as_posix(), path.read_text()
        try:
            after = filled(before, PAGES[name]() if name in PAGES else {})
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        if name == "docs/tricks.md":
            after = ablations.fill_cells(after, _comparisons())
        if after != before:
            path.write_text(after)
            changed.append(name)
    return changed


def draw() -> None:
    """Draws the pictures that need only committed rows. Their bytes depend on the version of Pillow."""
    images = ROOT / "docs" / "images"
    ablations.draw(_comparisons(), images / "evidence.png")
    race_plot.draw(race.RACES["ladder"], read_rows(DATA / "ladder.jsonl"), images / "ladder.png")
    compare_torch.draw(json.loads((DATA / "compare_torch.json").read_text()), images / "compare_torch.png")


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--pictures", action="store_true", help="draw the pictures, too")
    options = parser.parse_args()
    with errors_as_lines():
        print("\n".join(f"wrote {name}" for name in write()) or "all pages are up to date")
        if options.pictures:
            draw()


if __name__ == "__main__":
    main()
