"""Ranges of numbers, written beside the fields of a configuration: `b1: Annotated[float, Range(0, 1, half_open=True)]`."""

import dataclasses
from typing import Annotated, Any, TypeAlias


@dataclasses.dataclass(frozen=True)
class Range:
    """Allowed values of a number.

    Attributes:
        low: Smallest allowed value.
        high: Largest allowed value.
        half_open: If True, `high` itself is not allowed.
    """

    low: float
    high: float
    half_open: bool = False

    def problem(self, value: Any) -> str | None:
        """Returns what is wrong with the value, or None."""
        if self.half_open:
            return None if self.low <= value < self.high else f"must be in [{self.low}, {self.high})"
        if value < self.low:
            return f"must be at least {self.low}"
        return f"must be at most {self.high}" if value > self.high else None


Weight: TypeAlias = Annotated[float, Range(0, 1e9)]
Probability: TypeAlias = Annotated[float, Range(0, 1)]
Decay: TypeAlias = Annotated[float, Range(0, 1, half_open=True)]
Count: TypeAlias = Annotated[int, Range(0, 10**9)]
Interval: TypeAlias = Annotated[int, Range(1, 10**9)]
