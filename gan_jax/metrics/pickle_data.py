"""Reads pickles as data, without executing them.

A pickle is a program for a small stack machine. Python's own unpickler imports and calls whatever the program names. The
interpreter here builds plain values only, and delegates everything else to functions of its caller.
"""

import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

_MARK = object()


class Name(NamedTuple):
    """A module and a name in it, joined by a space, as they occur in a file. Nothing is imported."""

    text: str


Call = Callable[[Any, tuple], Any]
Build = Callable[[Any, Any], None]


def refuse(identifier: Any) -> Any:
    """Raises ValueError. The default of `persistent`, for files that must not refer to anything outside of themselves."""
    raise ValueError(f"it refers to {identifier!r} outside of the file, which is not allowed")


def ignore(filled: Any, state: Any) -> None:
    """Does nothing. The default of `build`, for objects whose state is not needed."""


def interpret(file: BinaryIO, call: Call, *, persistent: Callable[[Any], Any] = refuse, build: Build = ignore) -> Any:
    """Interprets one pickle up to its end. Everything except plain values is made by the caller's functions.

    Args:
        file: Binary file, positioned at the start of the pickle. Afterwards it is positioned behind the end of the pickle.
        call: `(function, arguments) -> result`, called for each function call in the file. The function is normally a `Name`, but can
            be any value of the stack.
        persistent: `identifier -> object`, called for each persistent identifier, which refers to an object outside of the pickle.
        build: `(object, state)`, called for each object whose state is set after its creation. It modifies the object. By default the
            state is dropped.

    Returns:
        The object, which consists of plain values and of results of these functions.

    Raises:
        ValueError: If the pickle uses any other opcode or has no end. A damaged file can raise almost any exception.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list:
        at = len(stack) - 1 - stack[::-1].index(_MARK)
        items = stack[at + 1 :]
        del stack[at:]
        return items

    for opcode, argument, _ in pickletools.genops(file):
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                stack.append(_MARK)
            case "POP":
                stack.pop()
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "LONG4" | "INT" | "LONG" | "BINFLOAT":
                stack.append(argument)
            case "BINUNICODE" | "SHORT_BINUNICODE" | "UNICODE" | "BINSTRING" | "SHORT_BINSTRING" | "STRING" | "BINBYTES" | "SHORT_BINBYTES":
                stack.append(argument)
            case "GLOBAL":
                stack.append(Name(argument))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(Name(f"{module} {name}"))
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[opcode.name]())
            case "TUPLE" | "LIST":
                stack.append({"TUPLE": tuple, "LIST": list}[opcode.name](since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                size = int(opcode.name[-1])
                stack[-size:] = [tuple(stack[-size:])]
            case "APPEND":
                value = stack.pop()
                stack[-1].append(value)
            case "APPENDS":
                values = since_mark()
                stack[-1].extend(values)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                stack[-1][key] = value
            case "SETITEMS":
                items = since_mark()
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET" | "GET":
                stack.append(memo[argument])
            case "BINPERSID":
                stack.append(persistent(stack.pop()))
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                stack.append(call(function, arguments))
            case "BUILD":
                state = stack.pop()
                build(stack[-1], state)
            case other:
                raise ValueError(f"its pickle uses the opcode {other}, which is not allowed in plain data")
    raise ValueError("its pickle has no end")
