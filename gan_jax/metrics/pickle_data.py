"""Reads pickles as data, without executing them, in bounded time and memory.

A pickle is a program for a small stack machine. Python's own unpickler imports and calls whatever the program names. The
interpreter here builds plain values only, and delegates everything else to functions of its caller.

The program can also be an attack on the reader's time and memory. A list of two references to a list of two references to ... has a
few bytes for each level, but 2^n elements for everything that walks through it. The interpreter therefore counts a value again for
each place that refers to it, and stops at `MOST_VALUES` or at `MOST_NESTING` levels. What it returns can be walked through.
"""

import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

from gan_jax._internal.checks import printable

MOST_STEPS = 2**20  # Maximum number of opcodes. A state dict takes about 40 for each array.
MOST_VALUES = 2**22  # Maximum number of values in the result. A shared value is counted in each place.
MOST_NESTING = 64
MOST_BYTES = 2**26  # Default maximum number of bytes of a pickle.
MOST_NAME = 200
MOST_ARGUMENTS = 16
_LARGEST_KEY = 2**20
_LINE = 2**20


class Name(NamedTuple):
    """A module and a name in it, joined by a space, as they occur in a file. Nothing is imported."""

    text: str


Call = Callable[[Any, tuple], Any]
Build = Callable[[Any, Any], None]


def describe(value: Any) -> str:
    """A value of a file as a short text for error messages: text, names and small numbers as they are, otherwise the type."""
    if isinstance(value, Name):
        return printable(value.text[:MOST_NAME])
    if isinstance(value, str):
        return repr(value[:MOST_NAME])
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**64):
        return repr(value)
    return type(value).__name__


def refuse(identifier: Any) -> Any:
    """Raises ValueError. The default of `persistent`, for files that must not refer to anything outside of themselves."""
    raise ValueError(f"it refers to {describe(identifier)} outside of the file, which is not allowed")


def ignore(filled: Any, state: Any) -> None:
    """Does nothing. The default of `build`, for objects whose state is not needed."""


class _Item:
    """A value on the stack, the number of values in it, how deeply it is nested, and whether another value contains it."""

    __slots__ = ("contained", "depth", "size", "value")

    def __init__(self, value: Any, size: int = 1, depth: int = 0):
        self.value, self.size, self.depth, self.contained = value, size, depth, False

    def absorb(self, items: "list[_Item]") -> None:
        """Counts the values of items that are put into this one."""
        for item in items:
            item.contained = True
        if self.contained:
            raise ValueError("its pickle changes a value that another value contains, which plain data do not need")
        self.size += sum(item.size for item in items)
        self.depth = max([self.depth, *(item.depth + 1 for item in items)])
        if self.size > MOST_VALUES:
            raise ValueError(f"its pickle describes more than {MOST_VALUES} values")
        if self.depth > MOST_NESTING:
            raise ValueError(f"its values are nested more than {MOST_NESTING} levels deep")


def _key(item: _Item) -> Any:
    """The key of a dict. Hashing any other value can take a time without bound, and so can a dict of chosen large numbers."""
    value = item.value
    if isinstance(value, str) or (isinstance(value, int) and abs(value) <= _LARGEST_KEY):
        return value
    raise ValueError(f"a key is {describe(value)}; must be a text or a number of at most {_LARGEST_KEY}")


class _Bounded:
    """Reads at most `left` bytes of a file, and no more than is there, whatever the pickle claims."""

    def __init__(self, file: BinaryIO, left: int):
        self._file, self._left = file, left

    def read(self, size: int) -> bytes:
        if size > self._left:
            raise ValueError("its pickle claims more bytes than the file holds or than a pickle of numbers needs")
        content = self._file.read(size)
        self._left -= len(content)
        return content

    def readline(self) -> bytes:
        content = self._file.readline(min(_LINE, self._left))
        self._left -= len(content)
        return content


class _Machine:
    """The stack, the memo and the marks of one pickle."""

    def __init__(self, call: Call, persistent: Callable[[Any], Any], build: Build):
        self._call, self._persistent, self._build = call, persistent, build
        self._stack: list[_Item] = []
        self._marks: list[int] = []
        self._memo: dict[int, _Item] = {}
        self._copied = 0

    def push(self, value: Any) -> None:
        self._stack.append(_Item(value))

    def pop(self) -> _Item:
        return self._last(1)[0]

    def _last(self, count: int) -> list[_Item]:
        """Removes the last items. They are above the last mark."""
        if len(self._stack) - count < (self._marks[-1] if self._marks else 0):
            raise ValueError("its pickle takes values from an empty stack")
        items = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return items

    def _since_mark(self) -> list[_Item]:
        if not self._marks:
            raise ValueError("its pickle lacks a mark")
        at = self._marks.pop()
        items = self._stack[at:]
        del self._stack[at:]
        return items

    def _top(self, kind: type | None = None) -> _Item:
        item = self.pop()
        self._stack.append(item)
        if kind is not None and type(item.value) is not kind:
            raise ValueError(f"its pickle fills {describe(item.value)} as if it were a {kind.__name__}")
        return item

    def _collect(self, kind: type, items: list[_Item]) -> None:
        made = _Item(kind(item.value for item in items))
        made.absorb(items)
        self._stack.append(made)

    def _extend(self, items: list[_Item]) -> None:
        target = self._top(list)
        target.absorb(items)
        target.value.extend(item.value for item in items)

    def _update(self, items: list[_Item]) -> None:
        target = self._top(dict)
        target.absorb(items)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target.value[_key(key)] = value.value

    def _name(self) -> None:
        module, name = (item.value for item in self._last(2))
        if not (isinstance(module, str) and isinstance(name, str) and len(module) + len(name) <= MOST_NAME):
            raise ValueError("its pickle names something that is not a short text")
        self.push(Name(f"{module} {name}"))

    def _reduce(self) -> None:
        function, arguments = self._last(2)
        if type(arguments.value) is not tuple or len(arguments.value) > MOST_ARGUMENTS:
            raise ValueError(f"its pickle calls {describe(function.value)} without a short tuple of arguments")
        # The function can copy its arguments, so those of all calls together are limited.
        self._copied += arguments.size
        if self._copied > MOST_VALUES:
            raise ValueError(f"its pickle describes more than {MOST_VALUES} values")
        made = _Item(self._call(function.value, arguments.value))
        made.absorb([arguments])
        made.contained = any(made.value is argument for argument in arguments.value)
        self._stack.append(made)

    def step(self, opcode: str, argument: Any) -> None:
        """Executes one opcode other than STOP."""
        match opcode:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                self._marks.append(len(self._stack))
            case "POP":
                self.pop()
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                self.push({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "LONG4" | "INT" | "LONG" | "BINFLOAT":
                self.push(argument)
            case "BINUNICODE" | "SHORT_BINUNICODE" | "UNICODE" | "BINSTRING" | "SHORT_BINSTRING" | "STRING" | "BINBYTES" | "SHORT_BINBYTES":
                self.push(argument)
            case "GLOBAL":
                self.push(Name(argument))
            case "STACK_GLOBAL":
                self._name()
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                self.push({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[opcode]())
            case "TUPLE" | "LIST":
                self._collect({"TUPLE": tuple, "LIST": list}[opcode], self._since_mark())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self._collect(tuple, self._last(int(opcode[-1])))
            case "APPEND":
                self._extend([self.pop()])
            case "APPENDS":
                self._extend(self._since_mark())
            case "SETITEM":
                self._update(self._last(2))
            case "SETITEMS":
                self._update(self._since_mark())
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                self._memo[argument] = self._top()
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._top()
            case "BINGET" | "LONG_BINGET" | "GET":
                if argument not in self._memo:
                    raise ValueError("its pickle refers to a value that it has not stored")
                self._stack.append(self._memo[argument])
            case "BINPERSID":
                self.push(self._persistent(self.pop().value))
            case "REDUCE":
                self._reduce()
            case "BUILD":
                state = self.pop()
                self._build(self._top().value, state.value)
            case other:
                raise ValueError(f"its pickle uses the opcode {other}, which is not allowed in plain data")


def interpret(
    file: BinaryIO,
    call: Call,
    *,
    persistent: Callable[[Any], Any] = refuse,
    build: Build = ignore,
    most_bytes: int = MOST_BYTES,
) -> Any:
    """Interprets one pickle up to its end. Everything except plain values is made by the caller's functions.

    Args:
        file: Binary file, positioned at the start of the pickle. Afterwards it is positioned behind the end of the pickle.
        call: `(function, arguments) -> result`, called for each function call in the file. The function is normally a `Name`, but can
            be any value of the stack. The result is new, or one of the arguments.
        persistent: `identifier -> object`, called for each persistent identifier, which refers to an object outside of the pickle.
        build: `(object, state)`, called for each object whose state is set after its creation. It modifies the object. By default the
            state is dropped.
        most_bytes: Maximum number of bytes of the pickle.

    Returns:
        The object, which consists of plain values and of results of these functions. It has at most `MOST_VALUES` values, where a shared
        value counts in each place, and at most `MOST_NESTING` levels. The keys of its dicts are texts and small numbers.

    Raises:
        ValueError: If the pickle uses any other opcode, has no end, or exceeds one of the limits. A damaged file can raise almost any
            exception.
    """
    machine = _Machine(call, persistent, build)
    for steps, (opcode, argument, _) in enumerate(pickletools.genops(_Bounded(file, most_bytes))):
        if opcode.name == "STOP":
            return machine.pop().value
        if steps >= MOST_STEPS:
            raise ValueError(f"its pickle has more than {MOST_STEPS} steps")
        machine.step(opcode.name, argument)
    raise ValueError("its pickle has no end")
