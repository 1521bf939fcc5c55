"""Chooses the table of convolution forms for this JAX version and this processor."""

import functools
import platform
import re
from pathlib import Path

import jax

from gan_jax.nn.fast_conv.choices import TABLES

DEFAULT = "0.10 avx512_bf16"  # For processors that were not measured.
# What decides about the speed of matrix products, the best first.
FEATURES = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")


@functools.cache
def processor_kind() -> str:
    """The best of `FEATURES` that the processor has, or the name of its architecture."""
    try:
        words = set(re.findall(r"\w+", Path("/proc/cpuinfo").read_text(errors="replace")))
    except OSError:
        words = set()
    return next((feature for feature in FEATURES if feature in words), platform.machine() or "unknown")


def _numbers(version: str) -> tuple[int, ...]:
    """(0, 12) of "0.12.1"."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def table_name(version: str | None = None, kind: str | None = None) -> str:
    """The key of `TABLES` for a JAX version and a kind of processor.

    It is the table of the newest measured version that is not newer, for the same kind of processor. If there is none, it is
    `DEFAULT`. All tables compute the same up to rounding.

    Args:
        version: Version of JAX. By default the installed one.
        kind: See `processor_kind`. By default that of this machine.
    """
    version, kind = version or jax.__version__, kind or processor_kind()
    older = [name for name in TABLES if name.split()[1] == kind and _numbers(name) <= _numbers(version)]
    return max(older, key=_numbers, default=DEFAULT)


@functools.cache
def choices() -> dict[str, dict[str, str]]:
    """The table of this machine: class of shapes -> map -> form. Classes that were not measured for it have the rows of `DEFAULT`."""
    return TABLES[DEFAULT] | TABLES[table_name()]
