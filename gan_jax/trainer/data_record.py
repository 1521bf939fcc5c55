"""The data set of a run in run.json, in the terminal and in the report."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from gan_jax.data import DataError, DataSummary, Source, summarize
from gan_jax.data.source import class_number
from gan_jax.trainer.config import ConfigError
from gan_jax.trainer.config.flags import settings_as_flags


def notice_lines(summary: DataSummary) -> list[str]:
    """What the user may not expect about the data, one line each, with the flag that changes it."""
    return [f"{text}; try {settings_as_flags(advice)}" if advice else text for text, advice in summary.notices]


def without_followed(summary: DataSummary, fields: Mapping[str, Any]) -> DataSummary:
    """The summary without the notices whose advice the configuration follows already.

    Args:
        summary: The summary.
        fields: The values of the configuration by field.
    """

    def followed(path: str, word: str) -> bool:
        value = fields.get(path)
        return str(value) == word or (isinstance(value, float) and value > 0 and path.startswith("augment."))

    def kept(advice: str) -> bool:
        words = advice.split()
        return not words or not all(map(followed, words[::2], words[1::2]))

    return dataclasses.replace(summary, notices=tuple(notice for notice in summary.notices if kept(notice.advice)))


def data_record(source: Source, summary: DataSummary) -> dict[str, Any]:
    """The data set for run.json: `Source.describe`, and its summary under `summary`."""
    return source.describe() | {"summary": summary.to_dict() | {"notices": notice_lines(summary)}}


def summary_lines(summary: DataSummary) -> list[str]:
    """The facts about the data, and what the user may not expect, as lines for the terminal."""
    return [*summary.lines(), *(f"  note: {line}" for line in notice_lines(summary))]


def summarize_data(source: Source, fields: Mapping[str, Any]) -> tuple[DataSummary, dict[str, Any]]:
    """The summary of a data set for a configuration, given as its values by field, and its record for run.json."""
    summary = without_followed(summarize(source), fields)
    return summary, data_record(source, summary)


def class_names(run: Any) -> tuple[str, ...]:
    """The names of the classes of the generator of a loaded run. Empty if its classes are not those of the data."""
    return run.source.class_names if run.built.spec.num_classes == run.source.num_classes else ()


def class_of_flag(run: Any, label: str | None, *, flag: str = "--label") -> int | None:
    """The number of the class that a flag names, by the name or the number of the class. None stays None.

    Raises:
        ConfigError: The model has no such class. The message lists the classes.
    """
    if label is None:
        return None
    try:
        return class_number(label, run.built.spec.num_classes, class_names(run))
    except DataError as error:
        raise ConfigError(f"{flag} {label}: {error.problem}") from error


def class_words(run: Any, number: int) -> str:
    """A class of a loaded run in words: its name if it has one, otherwise its number."""
    names = class_names(run)
    return names[number] if names else str(number)
