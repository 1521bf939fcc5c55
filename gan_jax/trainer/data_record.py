"""The data set of a run in run.json, in the terminal and in the report."""

from typing import Any

from gan_jax.data import DataSummary, Source, summarize
from gan_jax.trainer.config.flags import settings_as_flags


def notice_lines(summary: DataSummary) -> list[str]:
    """What the user may not expect about the data, one line each, with the flag that changes it."""
    return [f"{text}; try {settings_as_flags(advice)}" if advice else text for text, advice in summary.notices]


def data_record(source: Source, summary: DataSummary) -> dict[str, Any]:
    """The data set for run.json: `Source.describe`, and its summary under `summary`."""
    return source.describe() | {"summary": summary.to_dict() | {"notices": notice_lines(summary)}}


def summary_lines(summary: DataSummary) -> list[str]:
    """The facts about the data, and what the user may not expect, as lines for the terminal."""
    return [*summary.lines(), *(f"  note: {line}" for line in notice_lines(summary))]


def summarize_data(source: Source) -> tuple[DataSummary, dict[str, Any]]:
    """The summary of a data set, and its record for run.json."""
    summary = summarize(source)
    return summary, data_record(source, summary)


def class_names(run: Any) -> tuple[str, ...]:
    """The names of the classes of the generator of a loaded run. Empty if its classes are not those of the data."""
    return run.source.class_names if run.built.spec.num_classes == run.source.num_classes else ()
