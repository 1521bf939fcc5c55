"""Random damage to the bytes of a file."""

import numpy as np


def mutate(data, rng):
    """The file with one to four kinds of damage: bytes changed, removed, duplicated or moved."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        size = len(data)
        if not size:
            break
        # Half of all damage goes to the first bytes, where the sizes are.
        at = int(rng.integers(size)) if rng.random() < 0.5 else int(rng.integers(min(size, 40)))
        kind = rng.integers(6)
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"\x00\x01\x00\x00"])
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + int(rng.integers(1, 30))]
        elif kind == 4:
            data[at:at] = bytes(rng.integers(0, 256, int(rng.integers(1, 30)), np.uint8))
        else:
            data += data[at:]
    return bytes(data)
