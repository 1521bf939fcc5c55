"""Paths in a configuration."""

import dataclasses
from pathlib import Path
from typing import get_args


class PathsFromStrings:
    """Base class of groups with paths. They accept strings, too: `Config(out="runs/mine")`."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, str) and Path in get_args(field.type):
                object.__setattr__(self, field.name, Path(value))
