"""Writes the report of a run, or a comparison of several runs, as one HTML file that needs no network.

gan-jax report RUN                      writes RUN/report.html
gan-jax report RUN RUN ... --out FILE   compares runs, in comparison.html by default
gan-jax report RUN --pictures           first draws the figures again, from the newest checkpoint
"""

import sys
from pathlib import Path

from gan_jax.cli.errors import errors_as_lines, fail
from gan_jax.cli.parsing import argument_parser
from gan_jax.trainer.report import ReportError, compare_runs, write_report


def draw_pictures(runs: list[Path]) -> None:
    """Draws the figures of runs again."""
    with errors_as_lines():
        from gan_jax.cli.compilation_cache import use_compilation_cache
        from gan_jax.trainer.figures import write_figures
        from gan_jax.trainer.loaded_run import load_run

        use_compilation_cache()
        for run in runs:
            for path in write_figures(run, load_run(run), lambda line: print(line, file=sys.stderr)):
                print(path)


def main(arguments: list[str] | None = None) -> int:
    """Writes the report and prints its path."""
    parser = argument_parser(__doc__, "gan-jax report")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="directory of a run")
    parser.add_argument("--out", type=Path, help="file to write. By default RUN/report.html, or comparison.html for several runs")
    parser.add_argument(
        "--refresh",
        type=int,
        default=30,
        metavar="SECONDS",
        help="interval at which the page reloads while the run is running. 0 disables it",
    )
    parser.add_argument("--pictures", action="store_true", help="draw the figures again, such as interpolations and nearest neighbours")
    options = parser.parse_args(arguments)
    if options.refresh < 0:
        fail(f"--refresh {options.refresh}: must not be negative")
    if options.out is not None and options.out.is_dir():
        fail(f"--out {options.out}: is a directory; name a file")
    if options.pictures:
        draw_pictures(options.runs)
    try:
        if len(options.runs) == 1:
            written = write_report(options.runs[0], options.out, refresh_seconds=options.refresh)
        else:
            written = compare_runs(options.runs, options.out or Path("comparison.html"), refresh_seconds=options.refresh)
    except ReportError as error:
        fail(str(error))
    print(written)
    return 0
