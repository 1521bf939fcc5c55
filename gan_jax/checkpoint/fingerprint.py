"""A configuration as one hash, and two configurations as the list of what differs."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_ABSENT = "(absent)"


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text, whatever order they were written in.

    Raises:
        TypeError: something in `value` is no JSON type.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def config_hash(config: Mapping[str, Any]) -> str:
    """sha256 of the canonical JSON of a configuration; tuples count as lists, the order of keys does not matter.

    Args:
        config: nested dictionaries, lists, strings, numbers, booleans and None.

    Returns:
        64 hexadecimal digits.

    Raises:
        TypeError: something in the configuration is no JSON type.
    """
    return hashlib.sha256(canonical_json(config).encode()).hexdigest()


def config_differences(saved: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Every key whose value differs, one line each, nested keys joined by dots, in alphabetical order.

    Args:
        saved: the configuration in the checkpoint.
        current: the configuration of now.

    Returns:
        Lines such as `"optimizer.learning_rate: 0.0002 in the checkpoint, 0.001 now"`; empty where they are equal.
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
