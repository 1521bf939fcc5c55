"""Pickles read as data.

A pickle is a program for a small stack machine. Python's own machine imports and calls whatever the program names; the one here knows
plain values, and asks its caller for everything else.
"""

import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

_MARK = object()


class Name(NamedTuple):
    """A module and a name in it, joined by a space, that a file mentions; nothing is imported."""

    text: str


Call = Callable[[Any, tuple], Any]
Build = Callable[[Any, Any], None]


def refuse(identifier: Any) -> Any:
    """For files that must not refer to anything outside of them."""
    raise ValueError(f"it refers to {identifier!r}, outside of the file: refused")


def ignore(filled: Any, state: Any) -> None:
    """For objects whose state does not matter."""


def interpret(file: BinaryIO, call: Call, *, persistent: Callable[[Any], Any] = refuse, build: Build = ignore) -> Any:
    """Runs one pickle up to its end; what it can do is what the caller's functions can.

    Args:
        file: at the beginning of the pickle; left behind its end.
        call: (what the file calls, arguments) -> what stands for the result. The first is a `Name`, or whatever else stood there.
        persistent: a persistent identifier -> what stands for the object outside of the file.
        build: (object, state), for objects that a file fills after it has made them; changes the object. By default the state is dropped.

    Returns:
        The object, of plain values and of what these functions returned.

    Raises:
        ValueError: it holds anything else, or has no end. A damaged file can make it raise nearly every kind.
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
                raise ValueError(f"it holds {other}, which is no part of plain data: refused")
    raise ValueError("its pickle has no end")
