"""Files that no program would write, made by the grammars of their formats.

Damage to whole files (tests/support/damage.py) rarely gets past a magic number or a checksum. A grammar follows the format, and lies only
where a choice says so: lengths, counts, types, references, nesting, repetition. A file is a function of a sequence of bytes, the choices,
which hypothesis draws.
"""

import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

Value = TypeVar("Value")
WILD = (0, 1, 2, 3, 7, 63, 64, 255, 256, 2**15, 2**16 - 1, 2**20, 2**26, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**64 - 1)
WORDS = ("", "a", "storage", "0", "1", "cpu", "state_dict", "weight", "little_endian", "module", "_metadata", "\x00", "é\u202e", "x" * 300)


class Choices:
    """A sequence of choices. When it ends, the first option is always taken, so every grammar ends."""

    def __init__(self, content: bytes):
        self._content, self._at = content, 0

    def byte(self) -> int:
        """The next byte, or 0."""
        self._at += 1
        return self._content[self._at - 1] if self._at <= len(self._content) else 0

    @property
    def ended(self) -> bool:
        """Whether there are no more choices."""
        return self._at >= len(self._content)

    def below(self, count: int) -> int:
        """A number in 0, ..., count - 1."""
        return (self.byte() + (self.byte() << 8 if count > 256 else 0)) % count

    def of(self, options: Sequence[Value]) -> Value:
        """One of the options."""
        return options[self.below(len(options))]

    def lie(self, truth: int, one_in: int = 25) -> int:
        """The truth, or once in a while a number that is not."""
        return truth if not self.rarely(one_in) else self.of((*WILD, truth + 1, max(truth - 1, 0), -1))

    def rarely(self, one_in: int = 25) -> bool:
        """True once in a while. False when the choices have ended."""
        return self.byte() % one_in == one_in - 1

    def bytes(self, most: int) -> bytes:
        """Up to `most` bytes."""
        return bytes(self.byte() for _ in range(self.below(most + 1)))


# ---- pickles, as torch.save writes them


def _text(text: str, choices: Choices) -> bytes:
    content = text.encode("utf-8", "surrogatepass")
    if choices.rarely(30):
        return b"V" + content.replace(b"\n", b"") + b"\n"
    return b"X" + struct.pack("<I", choices.lie(len(content), 60) % 2**32) + content


def _integer(choices: Choices) -> bytes:
    number = choices.of((0, 1, 2, 3, 6, *WILD))
    if number < 256 and choices.byte() % 2:
        return b"K" + bytes([number])
    if choices.rarely(20):
        digits = choices.of((1, 20, 4000, 5000, 100_000))
        return choices.of((b"L" + b"9" * digits + b"L\n", b"\x8b" + struct.pack("<i", digits) + b"\xff" * digits))
    content = number.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([choices.lie(9, 40) % 256]) + content


def _tuple(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def _global(choices: Choices) -> bytes:
    names = ("torch FloatStorage", "torch LongStorage", "torch BoolStorage", "collections OrderedDict", "torch._utils _rebuild_tensor_v2")
    names += ("torch._utils _rebuild_parameter", "os system", "builtins eval", "numpy.core.multiarray _reconstruct", "torch  Storage")
    name = choices.of(names)
    module, _, attribute = name.partition(" ")
    if choices.rarely(6):
        return _text(module, choices) + _text(attribute, choices) + b"\x93"
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def _storage(choices: Choices) -> bytes:
    kind = _value(choices, 3) if choices.rarely() else b"X\x07\x00\x00\x00storage"
    storage_type = _global(choices) if choices.rarely(4) else b"ctorch\nFloatStorage\n"
    key = _value(choices, 3) if choices.rarely() else _text(choices.of(("0", "0", "0", "0", "0", "0", "1", "2")), choices)
    return _tuple(kind, storage_type, key, _text("cpu", choices), b"K" + bytes([choices.lie(6) % 256])) + b"Q"


def _tensor(choices: Choices) -> bytes:
    def numbers(sizes: Sequence[int]) -> bytes:
        return (
            _value(choices, 3)
            if choices.rarely(20)
            else _tuple(*(_integer(choices) if choices.rarely() else b"K" + bytes([n]) for n in sizes))
        )

    shape, strides = choices.of((((2, 3), (3, 1)), ((6,), (1,)), ((), ()), ((0, 3), (3, 1)), ((1,) * 40, (1,) * 40)))
    offset = _integer(choices) if choices.rarely() else b"K\x00"
    arguments = _tuple(_storage(choices), offset, numbers(shape), numbers(strides), b"\x89", b"ccollections\nOrderedDict\n)R")
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"


def _doubled(choices: Choices) -> bytes:
    """A value of two references to a value of two references ..., 2^levels values in a few bytes a level."""
    level = choices.of((b"h\x00h\x00\x86q\x000", b"](h\x00h\x00eq\x000"))
    return b")q\x000" + level * choices.of((3, 20, 40, 63, 64, 70, 200)) + b"h\x00"


def _value(choices: Choices, depth: int = 0) -> bytes:
    """The program of one value."""
    kind = 0 if choices.ended or depth > 6 else choices.below(24)
    if kind < 4:
        return choices.of((b"N", b"\x88", b"\x89", _integer(choices)))
    if kind < 8:
        return _text(choices.of(WORDS), choices)
    if kind < 10:
        return _tuple(*(_value(choices, depth + 1) for _ in range(choices.below(4))))
    if kind < 12:
        return b"](" + b"".join(_value(choices, depth + 1) for _ in range(choices.below(4))) + b"e"
    if kind < 14:
        return _dict(choices, depth + 1)
    if kind < 17:
        return _tensor(choices)
    if kind == 17:
        return _doubled(choices)
    if kind == 18:
        return choices.of((b"h", b"j\x00\x00\x00", b"h")) + bytes([choices.below(4)]) + choices.of((b"", b"\x00\x00\x00"))
    if kind == 19:
        return _value(choices, depth + 1) + b"q" + bytes([choices.below(4)])
    if kind == 20:  # nesting
        levels = choices.of((3, 63, 65, 500, 5000))
        return choices.of((b"(" * levels + b"N" + b"t" * levels, b"N" + b"\x85" * levels, b"]" * levels + b"a" * (levels - 1)))
    if kind == 21:  # calls
        return _global(choices) + _tuple(*(_value(choices, depth + 1) for _ in range(choices.below(4)))) + b"R"
    if kind == 22:  # repetition
        return b"](" + _value(choices, depth + 1) * choices.of((1, 10, 300)) + b"e"
    return _value(choices, depth + 1) + choices.of((b"Q", b"b", b"a", b"s", b"0", b"\x94", b"\x81", b"o", b"P0\n", b"i\n\n", b"\x92"))


def _dict(choices: Choices, depth: int = 0) -> bytes:
    items = b""
    for _ in range(1 + choices.below(4)):
        key = _value(choices, depth + 1) if choices.rarely(8) else _text(choices.of(WORDS), choices)
        items += key + (_value(choices, depth + 1) if choices.byte() % 2 else _tensor(choices))
    made = choices.of((b"}", b"ccollections\nOrderedDict\n)R"))
    return made + (b"" if choices.rarely(6) else b"q" + bytes([choices.below(4)])) + b"(" + items + b"u"


def pickle(choices: Choices) -> bytes:
    """A pickle of a dict of tensors, or of something like it."""
    body = choices.of((b"\x80\x02", b"\x80\x04", b"", b"\x80\xff")) + (_value(choices) if choices.rarely(5) else _dict(choices))
    return body + (b"" if choices.rarely(30) else b".")


def torch_legacy(choices: Choices) -> bytes:
    """The format before PyTorch 1.6: five pickles, then the storages with their lengths."""
    magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
    system = b"\x80\x02}X\x0d\x00\x00\x00little_endian\x88s." if not choices.rarely(30) else pickle(choices)
    protocol = b"\x80\x02M\xe9\x03." if not choices.rarely(30) else pickle(choices)
    count = choices.below(4) if choices.rarely(4) else 1
    keys = b"\x80\x02](" + b"".join(_text(choices.of(("0", "0", "1", "2")[number:]), choices) for number in range(count)) + b"e."
    data = b"".join(struct.pack("<Q", choices.lie(6) % 2**64) + bytes(24) for _ in range(max(count, 1)))
    return magic + protocol + system + pickle(choices) + (keys if not choices.rarely(15) else pickle(choices)) + data


def torch_zip(choices: Choices) -> bytes:
    """PyTorch's format since 1.6: a zip of a pickle and its storages."""
    members = {"archive/data.pkl": pickle(choices), "archive/byteorder": b"little"}
    members |= {f"archive/data/{key}": bytes(choices.of((24, 48, 23, 0))) for key in ("0", "1", "2")[: 1 + choices.below(3)]}
    return _zip(members, choices)


# ---- zip, npz and IDX


def _zip(members: dict[str, bytes], choices: Choices) -> bytes:
    """A zip of these members, with lies in its directories."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            if choices.rarely(30):
                continue
            other = choices.of((zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
            kind = other if choices.rarely(10) else zipfile.ZIP_STORED
            archive.writestr(zipfile.ZipInfo(name), content, kind)
    data = bytearray(file.getvalue())
    for _ in range(choices.of((0, 0, 0, 0, 1, 2))):
        # Fields of an entry of the central directory, of a local header and of the end record, by their offsets and sizes.
        mark, fields = choices.of(
            (
                (b"PK\x01\x02", ((6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (42, 4))),
                (b"PK\x03\x04", ((6, 2), (8, 2), (18, 4), (22, 4), (26, 2), (28, 2))),
                (b"PK\x05\x06", ((8, 2), (10, 2), (12, 4), (16, 4), (20, 2))),
            )
        )
        at, (offset, size) = data.find(mark), choices.of(fields)
        if at >= 0:
            data[at + offset : at + offset + size] = (choices.of(WILD) % 256**size).to_bytes(size, "little")
    return bytes(data)


ARRAYS = (("(3, 9, 9)", "'|u1'", 243), ("(3,)", "'<f4'", 12), ("()", "'>i8'", 8), ("(0,)", "'|b1'", 0), ("(2, 3)", "'<c16'", 96))
SHAPES = (
    "(4294967296, 0)", "(18446744073709551616, 0)", "(-3, -1)", "(3.0,)", "(True, 3)", "3", "[3]", "(3,)*99", "-" * 5000 + "1",
    "(" + "1," * 40 + ")", "(" * 10 + ")", "(" * 4000 + ")", "(0x" + "f" * 9000 + ",)",
)  # fmt: skip
DTYPES = (
    "'|O'", "'<U9'", "'|V0'", "'<U0'", "'|S2147483647'", "'<M8[ns]'", "3", "None", "''", "[]", "('|u1', (2, 2))", "{'a': 1}",
    "'|u1,|u1'", "[" * 100 + "]" * 100, "[('a', '|u1', (1073741824,)), ('b', [('c', '<f8')])]",
)  # fmt: skip
HEADERS = ("{}", "", "0", "'" * 3, "{'descr': 1L}", "{[]: 3}", "x" * 9999, "f''", "{'descr'", "1 \\ 2")


def npy(choices: Choices) -> bytes:
    """An array in NumPy's format."""
    shape, dtype, size = choices.of(ARRAYS)
    shape, dtype = choices.of(SHAPES) if choices.rarely(6) else shape, choices.of(DTYPES) if choices.rarely(6) else dtype
    order = choices.of(("1", "None", "'no'")) if choices.rarely(8) else choices.of(("False", "True"))
    header = f"{{'descr': {dtype}, 'fortran_order': {order}, 'shape': {shape}, }}"
    if choices.rarely(8):
        header = choices.of((*HEADERS, header[:-1], header + "\\", header * 2))
    version = choices.of((b"\x03\x00", b"\x09\x09")) if choices.rarely(20) else choices.of((b"\x01\x00", b"\x02\x00"))
    text = header.encode("latin1") + b" " * choices.below(40) + b"\n"
    length = choices.lie(len(text))
    prefix = struct.pack("<H", length % 2**16) if version[0] == 1 else struct.pack("<I", length % 2**32)
    return b"\x93NUMPY" + version + prefix + text + bytes(min(max(choices.lie(size), 0), 5000))


def npz(choices: Choices) -> bytes:
    """Two arrays in a zip."""
    return _zip({"images.npy": npy(choices), "labels.npy": npy(choices)}, choices)


def idx(choices: Choices) -> bytes:
    """An IDX file of images or labels, compressed or not."""
    rank = choices.of((3, 3, 3, 1, 2, 0, 255))
    shape = [choices.of((2, 3, 0, 1, 28, 2**16, 2**31, 2**32 - 1)) for _ in range(min(rank, 4))]
    size = 1
    for length in shape:
        size *= length
    data = bytes([0, 0, choices.of((8, 8, 8, 8, 13, 0)), rank]) + b"".join(struct.pack(">I", length) for length in shape)
    data += bytes(min(max(choices.lie(min(size, 5000)), 0), 5000))
    if choices.byte() % 2:
        return data
    compressed = bytearray(gzip.compress(data * choices.of((1, 1, 1, 50)), mtime=0))
    if choices.rarely(4):
        compressed[choices.below(len(compressed))] = choices.byte()
    if choices.rarely(8):
        compressed[3] = choices.of((4, 8, 16, 2, 255))
    return bytes(compressed[: len(compressed) - choices.of((0, 0, 0, 1, 8, 20))]) * choices.of((1, 1, 1, 2, 40))


# ---- safetensors, PNG, YAML


def safetensors(choices: Choices) -> bytes:
    """A safetensors file: the length of a header, the header in JSON, the data."""
    entries: dict[str, Any] = {}
    at = 0
    for _ in range(choices.below(5)):
        shape = choices.of(([2, 3], [2, 3], [2, 3], [6], [3], [], [0], [2**62, 4], [-1], [1.5], "x", None, [1] * 100))
        size = choices.of((24, 24, 24, 12, 4, 0))
        offsets = choices.of((*([at, at + size],) * 12, [0, 24], [size, at], [0, 2**63], [-1, 4], [0], "x", None))
        entry = {
            "dtype": choices.of(("F32", "F32", "F32", "F32", "F64", "BOOL", "BF16", "F8_E4M3", "X", 3, None)),
            "shape": shape,
            "data_offsets": offsets,
        }
        if choices.rarely():
            entry.pop(choices.of(tuple(entry)))
        entries[choices.of(("conv1_1/kernel", "fc.bias", "params/a", "a/b/c", "", "__metadata__", "\x00", "/", "x" * 300))] = entry
        at += size
    described = {"format": 1, "model": "mlp", "options": {"image_size": 8}, "latents": "normal", "context_shape": None}
    if choices.rarely(4):
        described[choices.of(tuple(described))] = choices.of((None, -1, 2**64, "", [], {}, "vgg", {"image_size": 10**9}, [2**40, 2**40]))
    metadata = choices.of((json.dumps(described), json.dumps(described), "", "[" * 5000, "{}", "null", 3, {"a": 1}))
    header = json.dumps({"__metadata__": {"gan_jax": metadata}, **entries} if choices.byte() % 2 else entries)
    if choices.rarely(6):
        header = choices.of((header[:-1], "[" * 3000, "{}", "", "null", "{" + '"a":' * 2000, header + "x"))
    content = header.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", choices.lie(len(content)) % 2**64) + content + bytes(choices.of((at, at, at, at, 0, at + 7)))


def png(choices: Choices) -> bytes:
    """A PNG image: chunks with lengths and checksums."""
    sides = (8, 8, 8, 8, 1, 16, 17, 300, 0, 5000, 2**16, 2**31 - 1, 2**32 - 1)
    width, height = choices.of(sides), choices.of(sides)
    depth, colour = choices.of(((8, 2), (8, 0), (8, 6), (16, 0), (16, 6), (1, 0), (8, 3), (4, 3), (16, 4), (3, 7)))
    interlaced = choices.of((0, 0, 0, 1, 9))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, choices.lie(0, 40) % 256, choices.lie(0, 40) % 256, interlaced)
    row = 1 + max(1, (min(width, 400) * depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1) + 7) // 8)
    pixels = zlib.compress(bytes([choices.of((0, 0, 1, 4, 9))]) * (row * min(height, 400) + choices.of((0, 0, -1, 100, 2**22))), 1)
    chunks = [(b"IHDR", header)]
    for _ in range(choices.below(5)):
        text = zlib.compress(b"x" * choices.of((10, 2**20, 2**23)), 1)
        extra = (
            (b"PLTE", bytes(3 * choices.of((1, 16, 256, 300)))),
            (b"tRNS", choices.bytes(8)),
            (b"iCCP", b"icc\x00\x00" + text),
            (b"zTXt", b"key\x00\x00" + text),
            (b"iTXt", b"key\x00\x01\x00\x00\x00" + text),
            (b"tEXt", b"key\x00" + b"x" * choices.of((1, 70_000))),
            (b"eXIf", b"II*\x00" + struct.pack("<I", choices.of(WILD) % 2**32) + choices.bytes(40)),
            (b"acTL", struct.pack(">II", choices.of(WILD) % 2**32, 0)),
            (b"fcTL", struct.pack(">IIIIIHHBB", 0, width, height, choices.of(WILD) % 2**32, 0, 1, 0, choices.below(4), choices.below(3))),
            (b"fdAT", bytes(4) + pixels),
            (b"IHDR", header),
            (b"gAMA", bytes(choices.lie(4) % 9)),
            (b"pHYs", bytes(choices.lie(9) % 19)),
            (b"cICP", bytes(choices.lie(4) % 9)),
            (choices.bytes(4).ljust(4, b"a"), choices.bytes(20)),
        )
        chunks.append(choices.of(extra))
    chunks += [(b"IDAT", pixels)] * choices.of((1, 1, 1, 0, 2, 50)) + [(b"IEND", b"")] * choices.of((1, 1, 1, 0))
    if choices.rarely():
        chunks.reverse()
    file = b"\x89PNG\r\n\x1a\n"
    for kind, content in chunks:
        crc = zlib.crc32(kind + content)
        file += struct.pack(">I", choices.lie(len(content), 40) % 2**32) + kind + content + struct.pack(">I", choices.lie(crc, 40) % 2**32)
    return file


FIELDS = (
    "recipe",
    "seed",
    "steps",
    "model",
    "name",
    "options",
    "optimizer",
    "generator_lr",
    "out",
    "losses",
    "data",
    "image_size",
    "zzz",
    "<<",
)


SCALARS = (
    "1", "-1", "x", "null", "true", "1e400", ".nan", ".inf", "0x" + "f" * 5000, "9" * 5000, "2001-99-99", "1:60:99", "''", "~", "=", "<<",
    "!!binary x", "!!python/object/apply:os.system [x]", "!!int x", "!!float {}", "!!set {a}", "!!omap [a]",
    "!!timestamp 2001-01-01T99:99:99Z",
)  # fmt: skip


def _node(choices: Choices, depth: int) -> str:
    """A YAML node in flow style."""
    kind = 0 if choices.ended or depth > 6 else choices.below(16)
    if kind < 6:
        return choices.of(SCALARS)
    if kind < 9:
        return "[" + ", ".join(_node(choices, depth + 1) for _ in range(choices.below(4))) + "]"
    if kind < 12:
        return "{" + ", ".join(f"{choices.of(FIELDS)}: {_node(choices, depth + 1)}" for _ in range(choices.below(4))) + "}"
    if kind == 12:
        return f"&{choices.of('ab')} {_node(choices, depth + 1)}"
    if kind == 13:
        return f"*{choices.of('ab')}"
    if kind == 14:
        levels = choices.of((10, 200, 1500))
        return choices.of(("[" * levels + "]" * levels, "{a: " * levels + "}" * levels))
    return choices.of(('"\\x"', '"\\U00110000"', '"\\ud800"', "'a", "? a", "[a", "a: b: c", "%TAG ! x", "@", "\t", "# x", "- - -"))


def yaml(choices: Choices) -> bytes:
    """A configuration, or something like it."""
    lines = []
    if choices.rarely(4):  # each level has nine references to the level before it
        lines.append("a0: &a0 [x,x,x,x,x,x,x,x,x]")
        lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, choices.of((3, 9, 12)))]
    lines += [f"{choices.of(FIELDS)}: {_node(choices, 0)}" for _ in range(1 + choices.below(6))]
    text = "\n".join(lines) + choices.of(("\n", "\n", "\n", "\n", "\n", "", "\n---\na: b\n", "\n...\n", "\x00", "\n\t"))
    start = choices.of((b"\xef\xbb\xbf", b"\xff\xfe", b"%YAML 9.9\n---\n")) if choices.rarely(8) else b""
    return start + text.encode("utf-8", "surrogatepass")


GRAMMARS: dict[str, Callable[[Choices], bytes]] = {
    "torch.legacy": torch_legacy,
    "torch.zip": torch_zip,
    "npz": npz,
    "idx": idx,
    "safetensors": safetensors,
    "png": png,
    "yaml": yaml,
}


def files(kind: str) -> st.SearchStrategy[bytes]:
    """Files of one kind."""
    return st.binary(min_size=20, max_size=400).map(lambda content: GRAMMARS[kind](Choices(content)))
