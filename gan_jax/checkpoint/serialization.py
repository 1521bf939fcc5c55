"""Converts a pytree to named host arrays and back, exact to the bit."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.checkpoint.errors import TemplateMismatch
from gan_jax.typing import PyTree

_PYTHON_TYPES = {"bool": bool, "int": int, "float": float, "str": str}


class Piece(NamedTuple):
    """A rectangular part of a leaf, on the host.

    Attributes:
        start: Index of its first element in the leaf.
        data: The values. They are a copy, so that reuse of a donated device buffer cannot change them.
    """

    start: tuple[int, ...]
    data: np.ndarray


class Leaf(NamedTuple):
    """One leaf of a tree.

    Attributes:
        record: Its entry in the manifest: `kind` ("array", "key" for typed PRNG keys, or the name of a Python type), `dtype` and `shape`
            of the leaf, `impl` of a key, `value` of a Python scalar.
        pieces: The parts that this process saves. There is one piece unless the array is sharded over processes.
    """

    record: dict[str, Any]
    pieces: list[Piece]


class Snapshot(NamedTuple):
    """A tree on the host. It maps the path of each leaf, e.g. "generator/Dense_0/kernel", to the leaf."""

    leaves: dict[str, Leaf]


def leaf_paths(tree: PyTree) -> dict[str, Any]:
    """The leaves of a tree by their paths, with "/" between the keys.

    Raises:
        ValueError: If two leaves have the same path, because a key contains "/" or two keys differ only in type.
    """
    leaves: dict[str, Any] = {}
    for keys, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        path = jax.tree_util.keystr(keys, simple=True, separator="/")
        if path in leaves:
            raise ValueError(f"two leaves of the tree are both named {path!r}; rename a key of the tree")
        leaves[path] = leaf
    return leaves


def snapshot(tree: PyTree, *, process_index: int = 0) -> Snapshot:
    """Copies a tree to the host. The device buffers can be donated as soon as the function returns.

    Args:
        tree: Any pytree of jax and numpy arrays, typed PRNG keys, and Python bool, int, float and str.
        process_index: Index of this process. Values that every process has (numpy arrays, replicated arrays) are saved by process 0 only.

    Returns:
        The leaves, with the pieces that this process saves.

    Raises:
        TypeError: If a leaf is of another type. The message names its path.
        ValueError: If two leaves have the same path.
    """
    leaves = leaf_paths(tree)
    for leaf in leaves.values():
        if isinstance(leaf, jax.Array) and not _is_key(leaf):
            leaf.copy_to_host_async()
    return Snapshot({path: _snapshot_leaf(path, leaf, process_index) for path, leaf in leaves.items()})


def _snapshot_leaf(path: str, leaf: Any, process_index: int) -> Leaf:
    if type(leaf).__name__ in _PYTHON_TYPES and type(leaf) is _PYTHON_TYPES[type(leaf).__name__]:
        value = leaf.hex() if isinstance(leaf, float) else leaf
        return Leaf({"kind": type(leaf).__name__, "value": value}, [])
    record: dict[str, Any] = {"kind": "array"}
    if _is_key(leaf):
        record = {"kind": "key", "impl": str(jax.random.key_impl(leaf)), "key_dtype": str(leaf.dtype)}
        leaf = jax.random.key_data(leaf)
    if not isinstance(leaf, jax.Array | np.ndarray | np.generic):
        raise TypeError(f"{path}: must be an array, a PRNG key or a Python scalar; got {type(leaf).__name__}")
    dtype = np.dtype(leaf.dtype)
    if dtype.hasobject or dtype.kind in "USMm":
        raise TypeError(f"{path}: arrays of dtype {dtype} cannot be checkpointed")
    record |= {"dtype": dtype.name, "shape": list(leaf.shape)}
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        shards = [shard for shard in leaf.addressable_shards if shard.replica_id == 0]
        return Leaf(record, [Piece(tuple(index.start or 0 for index in shard.index), _host_copy(shard.data)) for shard in shards])
    if process_index != 0:
        return Leaf(record, [])
    return Leaf(record, [Piece((0,) * len(leaf.shape), _host_copy(leaf))])


def _host_copy(array: Any) -> np.ndarray:
    # On CPU np.asarray gives a view of the device buffer, which the next step can overwrite.
    host = np.array(array, order="C", copy=True)
    return host.astype(host.dtype.newbyteorder("=")) if host.dtype.byteorder == ">" else host


def restore_onto(template: PyTree, leaves: Mapping[str, Leaf]) -> PyTree:
    """Restores leaves to the structure, the types and the shardings of a template.

    A jax array or a `ShapeDtypeStruct` of the template becomes a jax array. It has the template's sharding if the template is committed to
    one. The devices that the checkpoint was written on do not matter. numpy arrays and Python scalars keep their types.

    Args:
        template: The tree to restore. Only its structure, shapes, dtypes and shardings are used.
        leaves: Complete leaves by path.

    Returns:
        A tree with the template's structure.

    Raises:
        TemplateMismatch: If paths are missing or unexpected, or if a shape, dtype or kind differs. The message names the leaves.
    """
    wanted = leaf_paths(template)
    missing, unexpected = sorted(wanted.keys() - leaves.keys()), sorted(leaves.keys() - wanted.keys())
    problems = [f"{path}: not in the checkpoint" for path in missing]
    problems += [f"{path}: in the checkpoint but not in the tree" for path in unexpected]
    for path in wanted.keys() & leaves.keys():
        expected, saved = describe(wanted[path]), leaves[path].record
        saved_text = _record_text(saved)
        if expected != saved_text:
            problems.append(f"{path}: expected {expected}; the checkpoint has {saved_text}")
    if problems:
        more = f"\n  and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise TemplateMismatch("the checkpoint has another tree:\n  " + "\n  ".join(sorted(problems)[:8]) + more)
    restored = [_restore_leaf(target, leaves[path]) for path, target in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(template), restored)


def describe(leaf: Any) -> str:
    """The type and shape of a leaf as text, e.g. "float32 [128, 64]", "int", "key<fry> [4]"."""
    if _is_key(leaf):
        return f"{leaf.dtype} {list(leaf.shape)}"
    if type(leaf) in _PYTHON_TYPES.values():
        return type(leaf).__name__
    if hasattr(leaf, "dtype") and hasattr(leaf, "shape"):
        return _record_text({"kind": "array", "dtype": np.dtype(leaf.dtype).name, "shape": list(leaf.shape)})
    return type(leaf).__name__


def _record_text(record: Mapping[str, Any]) -> str:
    if record["kind"] == "array":
        return f"{record['dtype']} {record['shape']}"
    if record["kind"] == "key":
        return f"{record['key_dtype']} {record['shape'][:-1]}"
    return str(record["kind"])


def _restore_leaf(target: Any, leaf: Leaf) -> Any:
    kind = leaf.record["kind"]
    if kind in _PYTHON_TYPES:
        value = leaf.record["value"]
        return float.fromhex(value) if kind == "float" else value
    host = assemble(leaf)
    if isinstance(target, np.ndarray | np.generic):
        return host if isinstance(target, np.ndarray) else host[()]
    sharding = getattr(target, "sharding", None)
    committed = sharding is not None and getattr(target, "committed", True)
    if kind == "key":
        keys = jax.random.wrap_key_data(jnp.asarray(host), impl=leaf.record["impl"])
        return jax.device_put(keys, sharding) if committed else keys
    if committed and not sharding.is_fully_addressable:
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
    array = jax.device_put(host, sharding) if committed else jnp.asarray(host)
    return _weak(array) if getattr(target, "weak_type", False) else array


def check_pieces(leaf: Leaf) -> None:
    """Raises TypeError or ValueError unless a leaf matches its record: a Python value, or pieces that fill its shape.

    A damaged record can claim any size. The function allocates nothing of that size.
    """
    kind, record = leaf.record["kind"], leaf.record
    if kind in _PYTHON_TYPES:
        value = float.fromhex(record["value"]) if kind == "float" else record["value"]
        if type(value) is not _PYTHON_TYPES[kind] or leaf.pieces:
            raise ValueError(f"{kind} of value {record['value']!r}")
        return
    if kind not in ("array", "key"):
        raise ValueError(f"unknown kind {kind!r}")
    shape, dtype = tuple(record["shape"]), np.dtype(record["dtype"])
    for start, data in leaf.pieces:
        ends = [first + size for first, size in zip(start, data.shape, strict=True)]
        if data.dtype != dtype or min(start, default=0) < 0 or any(end > size for end, size in zip(ends, shape, strict=True)):
            raise ValueError(f"a piece at {start} of {data.dtype} {data.shape} in {dtype} {shape}")
    _check_filled(leaf.pieces, shape)


def _check_filled(pieces: list[Piece], shape: tuple[int, ...]) -> None:
    size = sum(piece.data.size for piece in pieces)
    if size != math.prod(shape):
        raise ValueError(f"pieces of {size} values do not fill a leaf of shape {shape}")


def assemble(leaf: Leaf) -> np.ndarray:
    """The array of a leaf from its pieces.

    Raises:
        ValueError: If the pieces do not fill the leaf.
    """
    shape, dtype = tuple(leaf.record["shape"]), np.dtype(leaf.record["dtype"])
    if len(leaf.pieces) == 1 and leaf.pieces[0].data.shape == shape:
        return leaf.pieces[0].data
    _check_filled(leaf.pieces, shape)
    host = np.empty(shape, dtype)
    for start, data in leaf.pieces:
        host[tuple(slice(first, first + size) for first, size in zip(start, data.shape))] = data
    return host


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _weak(array: jax.Array) -> jax.Array:
    # If a weakly typed leaf were restored with a strong type, type promotion and hence the program of the resumed run would change. Only
    # the default dtypes can be weak. `at[...]` keeps the weak type of the array that it updates.
    zero = jnp.asarray({"f": 0.0, "i": 0, "c": 0j}.get(array.dtype.kind, 0))
    if zero.dtype != array.dtype:
        return array
    restored = jnp.broadcast_to(zero, array.shape).at[...].set(array)
    return jax.device_put(restored, array.sharding) if array.committed else restored
