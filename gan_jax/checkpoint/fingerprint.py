"""The hash of a configuration, and the differences between two configurations."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_ABSENT = "(absent)"


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces. Equal values give equal text, independent of the order of keys.

    Raises:
        TypeError: If `value` contains a value that is not of a JSON type.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def config_hash(config: Mapping[str, Any]) -> str:
    """The sha256 of the canonical JSON of a configuration. Tuples count as lists, and the order of keys does not matter.

    Args:
        config: Nested dictionaries, lists, strings, numbers, booleans and None.

    Returns:
        64 hexadecimal digits.

    Raises:
        TypeError: If the configuration contains a value that is not of a JSON type.
    """
    return hashlib.sha256(canonical_json(config).encode()).hexdigest()


def config_differences(saved: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """The keys whose values differ, one line each. Nested keys are joined by dots, and the lines are in alphabetical order.

    Args:
        saved: The configuration in the checkpoint.
        current: The current configuration.

    Returns:
        Lines such as `"optimizer.b1: 0.5 in the checkpoint, 0.9 now"`. Empty if the configurations are equal.
    """
    old, new = _flatten(saved), _flatten(current)
    return [
        f"{key}: {old.get(key, _ABSENT)} in the checkpoint, {new.get(key, _ABSENT)} now"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, _ABSENT) != new.get(key, _ABSENT)
    ]


def _flatten(config: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(config, Mapping) and config:
        rows: dict[str, str] = {}
        for key, value in config.items():
            rows |= _flatten(value, f"{prefix}.{key}" if prefix else str(key))
        return rows
    return {prefix: canonical_json(config)}
