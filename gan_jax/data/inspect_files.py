"""What the headers and values of image files decide about a data set: channels, levels, and what the user may not expect."""

import concurrent.futures
import os
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from gan_jax.data.decode import DEFAULT_LEVELS, Header, Levels, float_levels, integer_levels, value_range
from gan_jax.data.errors import DataError
from gan_jax.data.layout import Notice, count_of
from gan_jax.data.tree import Tree

HEADERS = 20_000  # Of a larger tree, this many evenly spaced files decide about channels and are counted by size.
DEEP = 256  # Number of evenly spaced files whose values decide how samples of more than 8 bits become bytes.

Value = TypeVar("Value")


def read_some(tree: Tree, names: Sequence[str], most: int, read: Callable[..., Value]) -> dict[str, Value]:
    """Applies `read` to at most `most` evenly spaced files. Files that cannot be read are left out, because decoding reports them."""
    chosen = names if len(names) <= most else [names[index] for index in np.linspace(0, len(names) - 1, most).astype(int)]

    def attempt(name: str) -> Value | None:
        try:
            return read(tree.file(name), tree.path(name))
        except DataError:
            return None

    with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        return {name: value for name, value in zip(chosen, threads.map(attempt, chosen), strict=True) if value is not None}


def choose_channels(headers: Sequence[Header], channels: int | None) -> tuple[int, str, list[Notice]]:
    """The number of channels of a data set, the reason, and what the user may not expect.

    Images are grey if all files are grey. A single file in colour makes them colour, so that nothing is lost.

    Args:
        headers: Headers of the files.
        channels: The requested number. None leaves the choice to the files.
    """
    grey = sum(header.grey for header in headers)
    colored, see_through = len(headers) - grey, sum(header.alpha for header in headers)
    notices = []
    reason = (
        "as asked" if channels else "all files are grey" if headers and not colored else f"{colored} of {len(headers)} files are in colour"
    )
    chosen = channels or (1 if headers and not colored else 3)
    if channels is None and grey and colored:
        notices.append(
            Notice(f"{grey} of {len(headers)} files are grey and {colored} in colour; all are read in colour", "data.channels 1")
        )
    if chosen == 1 and colored:
        notices.append(Notice(f"{colored} of {len(headers)} files are in colour and are read as grey"))
    if chosen != 4 and see_through:
        text = f"{count_of(see_through, 'file')} of {len(headers)} can have transparent parts, which become white"
        notices.append(Notice(text, "data.channels 4"))
    return chosen, "as asked" if channels else reason, notices


def choose_levels(tree: Tree, headers: dict[str, Header]) -> tuple[Levels, list[Notice]]:
    """The rule by which samples of more than 8 bits become bytes, from the values in the files, and what the user may not expect."""
    levels, notices = DEFAULT_LEVELS, []
    for kind in ("integer", "float"):
        names = [name for name, header in headers.items() if header.deep == kind]
        ranges = list(read_some(tree, names, DEEP, value_range).values())
        if not ranges:
            continue
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        if kind == "integer":
            levels = levels._replace(bits=integer_levels(high).bits)
            text = f"integers from {low:g} to {high:g}, which are read as {levels.bits} bits"
        else:
            chosen = float_levels(low, high)
            levels = levels._replace(low=chosen.low, high=chosen.high)
            text = f"numbers from {low:g} to {high:g}, of which {levels.low:g} becomes black and {levels.high:g} white"
        notices.append(Notice(f"{count_of(len(names), 'grey file')} with more than 8 bits {'has' if len(names) == 1 else 'have'} {text}"))
    return levels, notices


def notices_of_sizes(headers: Sequence[Header], size: tuple[int, int], resize: str) -> list[Notice]:
    """What the user may not expect about the sizes of the files and their frames."""
    notices = []
    height, width = size
    small = sum(header.width < width or header.height < height for header in headers)
    if small > len(headers) // 2:
        text = f"{small} of {len(headers)} files are smaller than {width}x{height} pixels and are enlarged"
        notices.append(Notice(text, "data.image_size " + str(int(np.median([min(header.width, header.height) for header in headers])))))
    shares = [min(header.width * height, header.height * width) / max(header.width * height, header.height * width) for header in headers]
    if shares and float(np.median(shares)) < 0.7 and resize != "pad":
        lost = f"loses {100 * (1 - float(np.median(shares))):.0f}% of the median file" if resize == "crop" else "distorts most files"
        notices.append(Notice(f"most files have other proportions than {width}x{height}: resize {resize} {lost}", "data.resize pad"))
    moving = sum(header.animated for header in headers)
    if moving:
        notices.append(Notice(f"{count_of(moving, 'file')} with several frames or pages; the first is read"))
    return notices
