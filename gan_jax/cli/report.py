"""Writes the report of a run, or of several runs side by side, as one HTML file that needs no network.

python experiments/report.py RUN                      writes RUN/report.html
python experiments/report.py RUN RUN ... --out FILE   compares; FILE is comparison.html by default
python experiments/report.py RUN --pictures           draws the run's pictures first, from its newest checkpoint
"""

import sys
from pathlib import Path

from gan_jax.cli import common
from gan_jax.trainer.report import ReportError, compare_runs, write_report


def draw_pictures(runs: list[Path]) -> None:
    """Draws the pictures of runs that were made before; a run that cannot be read ends the program with one line."""
    with common.errors_as_lines():
        from gan_jax.trainer.figures import write_figures
        from gan_jax.trainer.restore import load_run

        common.compilation_cache(None)
        for run in runs:
            for path in write_figures(run, load_run(run), lambda line: print(line, file=sys.stderr)):
                print(path)


def main(arguments: list[str] | None = None) -> int:
    parser = common.argument_parser(__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="directory of a run")
    parser.add_argument("--out", type=Path, help="file to write; by default RUN/report.html, or comparison.html for several runs")
    parser.add_argument("--refresh", type=int, default=30, metavar="SECONDS", help="how often the page of a running run reloads; 0: never")
    parser.add_argument("--pictures", action="store_true", help="draw interpolations, nearest neighbours ... again, as at the end of a run")
    options = parser.parse_args(arguments)
    if options.refresh < 0:
        common.fail(f"--refresh {options.refresh}: must not be negative")
    if options.out is not None and options.out.is_dir():
        common.fail(f"--out {options.out}: is a directory; name a file")
    if options.pictures:
        draw_pictures(options.runs)
    try:
        if len(options.runs) == 1:
            written = write_report(options.runs[0], options.out, refresh_seconds=options.refresh)
        else:
            written = compare_runs(options.runs, options.out or Path("comparison.html"), refresh_seconds=options.refresh)
    except ReportError as error:
        common.fail(str(error))
    print(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
