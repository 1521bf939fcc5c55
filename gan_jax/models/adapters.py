"""Networks of other kinds as `Network`s: plain functions, and Equinox modules. `gan_jax.models.as_network` converts Flax modules."""

import inspect
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from gan_jax.models.network import as_network
from gan_jax.typing import Array, DiscriminatorOutput, GeneratorOutput, Network, Players, PyTree


def to_network(part: Any, *, player: str) -> Network:
    """Converts a network of any supported kind to a `Network`.

    Args:
        part: A `Network`, a Linen module, a pair of functions `(init, apply)` (see `from_functions`), or a function `key -> Equinox module`
            (see `from_equinox`).
        player: "generator" or "discriminator".

    Raises:
        TypeError: The part is of none of these kinds.
    """
    if isinstance(part, Network):
        return part
    if isinstance(part, nn.Module):
        return as_network(part, player=player)
    if isinstance(part, tuple | list) and len(part) == 2 and all(map(callable, part)):
        return from_functions(*part, player=player)
    if callable(part) and not isinstance(part, type) and type(part).__module__.partition(".")[0] in ("builtins", "functools"):
        return from_equinox(part, player=player)
    kinds = "a Network, a Linen module, a pair of functions (init, apply), or a function key -> Equinox module"
    if any(base.__module__.partition(".")[0] == "equinox" for base in type(part).__mro__):
        raise TypeError(f"the {player} must be made from a key, to be initialised by the run's seed: pass lambda key: Module(..., key=key)")
    raise TypeError(f"the {player} must be {kinds}; got {type(part).__name__}")


def from_functions(init: Callable[[Array], PyTree], apply: Callable[..., Any], *, player: str) -> Network:
    """Makes a `Network` without a state of two functions.

    Args:
        init: `rng -> params`, any pytree of arrays.
        apply: `(params, inputs) -> output`. It may also name the arguments `labels`, `context`, `rng` and `train`, see `Network`. The
            output is an array, a `GeneratorOutput` or a `DiscriminatorOutput`.
        player: "generator" or "discriminator".
    """
    accepted, wrap = _names(apply, ("labels", "context", "rng", "train")), _wrap(player)

    def init_network(rng: Array, inputs: Array, labels: Array | None = None, context: Any = None) -> tuple[PyTree, dict[str, Any]]:
        del inputs, labels, context
        return init(rng), {}

    def apply_network(
        params: PyTree, state: PyTree, inputs: Array, labels: Any = None, context: Any = None, *, rng: Any = None, train: bool = True
    ) -> tuple[Any, PyTree]:
        given = {"labels": labels, "context": context, "rng": rng, "train": train}
        return wrap(apply(params, inputs, **{name: given[name] for name in accepted})), state

    return Network(init_network, apply_network)


def from_equinox(make: Callable[[Array], Any], *, player: str) -> Network:
    """Makes a `Network` of an Equinox module. Needs the package equinox.

    The module is called on one example, as usual in Equinox: `module(x)`. It may also name the arguments `label` (int32 []), `context`
    and `key`. In sampling it is in inference mode, so dropout is off. Its floating-point arrays are trained.

    Args:
        make: `key -> module`.
        player: "generator" or "discriminator".

    Raises:
        TypeError: `make` returns something else.
        ValueError: The module has layers with a state (`eqx.nn.BatchNorm`, `eqx.nn.SpectralNorm`), which the train state cannot carry.
    """
    try:
        import equinox as eqx
    except ModuleNotFoundError as error:
        advice = 'pip install "gan-jax[equinox]"'
        raise ImportError(f"a function as the {player} makes an Equinox module, which needs equinox: {advice}") from error

    example = make(jax.random.key(0))
    if not isinstance(example, eqx.Module):
        raise TypeError(f"the {player} must be a function key -> Equinox module; it returns {type(example).__name__}")
    nodes = jax.tree.leaves(example, is_leaf=lambda node: isinstance(node, eqx.nn.StateIndex))
    if any(isinstance(node, eqx.nn.StateIndex) for node in nodes):
        raise ValueError(f"the {player} has layers with a state; use GroupNorm or LayerNorm instead")
    static = eqx.partition(example, eqx.is_inexact_array)[1]
    accepted, wrap = _names(type(example).__call__, ("label", "context", "key")), _wrap(player)
    del example

    def init(rng: Array, inputs: Array, labels: Array | None = None, context: Any = None) -> tuple[PyTree, dict[str, Any]]:
        del inputs, labels, context
        return eqx.partition(make(rng), eqx.is_inexact_array)[0], {}

    def apply(
        params: PyTree, state: PyTree, inputs: Array, labels: Any = None, context: Any = None, *, rng: Any = None, train: bool = True
    ) -> tuple[Any, PyTree]:
        module = eqx.combine(params, static)
        module = module if train else eqx.nn.inference_mode(module)
        keys = None if rng is None else jax.random.split(rng, inputs.shape[0])
        given = {"label": labels, "context": context, "key": keys}
        chosen = {name: given[name] for name in accepted if given[name] is not None}
        return wrap(jax.vmap(lambda x, extra: module(x, **extra))(inputs, chosen)), state

    return Network(init, apply)


def _names(function: Callable[..., Any], known: tuple[str, ...]) -> tuple[str, ...]:
    """The names of arguments that a function declares."""
    return tuple(name for name in known if name in inspect.signature(function).parameters)


def _wrap(player: str) -> Callable[[Any], Any]:
    if player not in Players._fields:
        raise ValueError(f"player must be one of {', '.join(Players._fields)}; got {player!r}")
    kind = GeneratorOutput if player == "generator" else DiscriminatorOutput
    return lambda output: output if isinstance(output, GeneratorOutput | DiscriminatorOutput) else kind(output)
