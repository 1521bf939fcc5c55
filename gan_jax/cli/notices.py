"""Notices on standard error about a run that was loaded."""

import sys
from typing import Any


def notice_missing_data(run: Any) -> None:
    """Prints a line if the images of a loaded run are gone."""
    from gan_jax.data.missing import why_missing

    reason = why_missing(run.source)
    if reason:
        print(f"notice: {reason}; shape and classes come from run.json", file=sys.stderr)
