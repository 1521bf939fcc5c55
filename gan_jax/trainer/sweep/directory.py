"""The directory of a sweep: its plan, and where its runs and programs keep their files.

SWEEP/config.yaml          the configuration without the swept flags
SWEEP/sweep.json           the plan: axes, runs, and the runs of each program
SWEEP/runs/0000/           a run: config.yaml, metrics.jsonl, findings.jsonl, run.json, metrics.json; checkpoints of the best ones
SWEEP/programs/0000/       a program: the checkpoints of its runs while it trains, and result.json when it has finished
SWEEP/sweep.html           the page
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gan_jax.trainer.config import Config, load_config, save_config
from gan_jax.trainer.run_directory import RunError, read_json, write_json
from gan_jax.trainer.sweep.plan import Axis, PlannedRun, with_changes

PLAN = "sweep.json"


class Sweep(NamedTuple):
    """A planned sweep.

    Attributes:
        directory: Its directory.
        base: The configuration without the swept flags.
        axes: The flags with several values.
        runs: The runs.
        programs: The indices of the runs of each program.
        keep: Number of best runs of each program whose weights are kept.
        command: The command line.
    """

    directory: Path
    base: Config
    axes: list[Axis]
    runs: list[PlannedRun]
    programs: list[list[int]]
    keep: int
    command: str

    def config(self, run: int) -> Config:
        """The configuration of a run."""
        return with_changes(self.base, self.runs[run].changes)

    def run_directory(self, run: int) -> Path:
        """The directory of a run."""
        return self.directory / "runs" / f"{run:04d}"

    def program_directory(self, program: int) -> Path:
        """The directory of a program."""
        return self.directory / "programs" / f"{program:04d}"

    def result(self, program: int) -> dict[str, Any] | None:
        """The result of a program, or None if it has not finished."""
        path = self.program_directory(program) / "result.json"
        return read_json(path) if path.exists() else None

    def unfinished(self) -> list[int]:
        """The programs that have not finished."""
        return [program for program in range(len(self.programs)) if self.result(program) is None]


def save_sweep(sweep: Sweep) -> None:
    """Writes the plan."""
    plan = {
        "command": sweep.command,
        "keep": sweep.keep,
        "axes": [axis._asdict() for axis in sweep.axes],
        "runs": [{"settings": run.settings, "changes": _plain(run.changes)} for run in sweep.runs],
        "programs": sweep.programs,
    }
    save_config(sweep.base, sweep.directory / "config.yaml")
    write_json(sweep.directory / PLAN, plan)


def load_sweep(directory: Path) -> Sweep:
    """Reads a plan.

    Raises:
        RunError: The directory has no sweep, or the plan is damaged. The message names the file.
    """
    path = directory / PLAN
    if not path.is_file():
        raise RunError(f"--resume {directory}: no sweep there (it has no {PLAN})")
    plan, base = read_json(path), load_config(directory / "config.yaml")
    try:
        axes = [Axis(**axis | {"paths": tuple(axis["paths"]), "values": tuple(axis["values"])}) for axis in plan["axes"]]
        runs = [PlannedRun(run["settings"], run["changes"]) for run in plan["runs"]]
        programs: Sequence[list[int]] = plan["programs"]
        if sorted(index for program in programs for index in program) != list(range(len(runs))):
            raise ValueError("its programs do not hold every run once")
        return Sweep(directory, base, axes, runs, list(programs), int(plan["keep"]), str(plan["command"]))
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path}: not the plan of a sweep: {error}") from error


def _plain(changes: dict[str, Any]) -> dict[str, Any]:
    return {path: str(value) if isinstance(value, Path) else value for path, value in changes.items()}
