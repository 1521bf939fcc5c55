"""The collective operations of a compiled program, read from its text, and their time on a ring."""

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

OPERATIONS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")

_BITS = {"pred": 8, "s4": 4, "u4": 4, "s8": 8, "u8": 8, "s16": 16, "u16": 16, "f16": 16, "bf16": 16, "s32": 32, "u32": 32, "f32": 32}
_BITS |= {"s64": 64, "u64": 64, "f64": 64, "c64": 64, "c128": 128, "f8e4m3fn": 8, "f8e5m2": 8}
_INSTRUCTION = re.compile(rf"= (?P<result>.*?) (?P<operation>{'|'.join(OPERATIONS)})(?P<start>-start)?\(")
_ARRAY = re.compile(r"(?P<type>[a-z]+[0-9]*[a-z0-9]*)\[(?P<shape>[0-9,]*)\]")
_LISTED = re.compile(r"replica_groups=\{\{([0-9,]+)\}")
_PARTITIONS = re.compile(r"num_partitions=(\d+)")
_COUNTED = re.compile(r"replica_groups=\[\d+,(\d+)\]")


class Traffic(NamedTuple):
    """One collective operation of a program.

    Attributes:
        operation: One of `OPERATIONS`.
        operand_bytes: Bytes that each device puts in.
        devices: Number of devices in one group, or 0 if the program does not say.
    """

    operation: str
    operand_bytes: int
    devices: int


def traffic(program: str) -> list[Traffic]:
    """The collective operations in the text of a compiled program.

    An operation inside a loop counts once, regardless of the number of iterations.

    Args:
        program: Optimised HLO, `jax.jit(step).lower(...).compile().as_text()`.

    Returns:
        One entry per operation, in the order of the text. Operations that the compiler has combined (a tuple of arrays) count as one.
    """
    partitions = _PARTITIONS.search(program)
    found = []
    for line in program.splitlines():
        match = _INSTRUCTION.search(line)
        if match is None:
            continue
        listed, counted = _LISTED.search(line), _COUNTED.search(line)
        devices = len(listed[1].split(",")) if listed else int(counted[1]) if counted else int(partitions[1]) if partitions else 0
        operation = match["operation"]
        if match["start"] and operation != "all-reduce":
            # An asynchronous start returns (operand, result, ...).
            found.append(Traffic(operation, _bytes(_first(match["result"])), devices))
            continue
        result = _bytes(match["result"])
        operand = {"all-gather": result // max(devices, 1), "reduce-scatter": result * max(devices, 1)}.get(operation, result)
        found.append(Traffic(operation, operand, devices))
    return found


def _bytes(types: str) -> int:
    """The bytes of all arrays in the text of a type."""
    found = [(_BITS.get(array["type"], 0), array["shape"]) for array in _ARRAY.finditer(types)]
    return sum(math.prod(int(size) for size in shape.split(",") if size) * bits // 8 for bits, shape in found)


def _first(types: str) -> str:
    """The first entry of a tuple in the text of a type: an array, or the tuple of all operands of a combined operation."""
    depth = 0
    for end, letter in enumerate(types):
        # Commas between the sizes of a shape and within a layout do not separate entries.
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 1 and letter == ",":
            return types[1:end]
    return types


class CommunicationModel(NamedTuple):
    """Time of collectives on a ring of devices, each linked to its neighbours.

    Each of n devices puts in B bytes. The bandwidth is W (bytes/s, one way) and the latency is L (s, for one message):

        all-reduce      2 (n - 1) / n B / W + 2 (n - 1) L
        reduce-scatter    (n - 1) / n B / W +   (n - 1) L
        all-gather        (n - 1)     B / W +   (n - 1) L
        all-to-all        (n - 1) / n B / W +   (n - 1) L
        permute                       B / W +           L

    Attributes:
        bandwidth: W in bytes per second.
        latency: L in seconds.

    References:
        Thakur, Rabenseifner and Gropp, "Optimization of Collective Communication Operations in MPICH", 2005, sections 4.1 to 4.5.
        Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", 2009.
    """

    bandwidth: float
    latency: float

    def seconds(self, operations: Iterable[Traffic], devices: int) -> float:
        """Seconds of the operations one after the other on a number of devices, without overlap with computation."""
        n = devices
        if n < 2:
            return 0.0
        share = (n - 1) / n
        costs = {"all-reduce": (2 * share, 2 * (n - 1)), "all-gather": (n - 1, n - 1), "collective-permute": (1.0, 1)}
        total = 0.0
        for operation, operand_bytes, _ in operations:
            volume, messages = costs.get(operation, (share, n - 1))
            total += volume * operand_bytes / self.bandwidth + messages * self.latency
        return total
