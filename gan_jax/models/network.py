"""Converts a Linen module to a `Network`, the pair of pure functions that the rest of the library uses."""

import inspect
from typing import Any

import flax.linen as nn
import jax

from gan_jax.typing import Array, DiscriminatorOutput, GeneratorOutput, Network, Players, PyTree

STREAMS = ("noise", "dropout")


def _accepted(module: nn.Module) -> frozenset[str]:
    """Returns the names of the optional arguments that the module's `__call__` accepts."""
    parameters = inspect.signature(type(module).__call__).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return frozenset({"labels", "context", "train"})
    return frozenset(parameters) & {"labels", "context", "train"}


def as_network(module: nn.Module, *, player: str | None = None) -> Network:
    """Converts a Linen module to a `Network`: two pure functions and an explicit state.

    `labels`, `context` and `train` are passed to the module only if its `__call__` names them. An unconditional model
    may therefore be called with labels, which it ignores. Collections other than "params", such as batch statistics,
    form the state. With `train=False` the state is returned unchanged.

    `init` may be jitted. Do so, because it is slow if it runs eagerly.

    Args:
        module: A module that is called as `module(inputs, labels=None, context=None, *, train=True)`. It returns an
            array, a tuple of arrays (the logits of several scales), a GeneratorOutput or a DiscriminatorOutput.
        player: "generator" or "discriminator". Determines whether a bare array is wrapped in a GeneratorOutput or in a
            DiscriminatorOutput. None: the module's attribute `player`, else a guess from its class name.

    Returns:
        The network. Its `apply` splits `rng` into the streams "noise" and "dropout". Without `rng`, a module that uses
        these streams raises Flax's InvalidRngError. It has a `mapping` if the module has a method `map_latents`, and a `last_layer`
        if the module has an attribute of this name with the path of a parameter, such as "output/kernel".

    Raises:
        ValueError: If `player` is None and cannot be determined, or if it has another value.
    """
    player = player or getattr(module, "player", None) or _player_from_name(type(module).__name__)
    if player not in Players._fields:
        raise ValueError(
            f"player must be one of {Players._fields}, set by the argument or by the module's attribute `player`; got {player!r}"
        )
    wrap = GeneratorOutput if player == "generator" else DiscriminatorOutput
    accepted = _accepted(module)

    def arguments(labels: Array | None, context: Any, train: bool) -> dict[str, Any]:
        given = {"labels": labels, "context": context, "train": train}
        return {name: value for name, value in given.items() if name in accepted and value is not None}

    def streams(rng: Array | None) -> dict[str, Array]:
        return {} if rng is None else dict(zip(STREAMS, jax.random.split(rng, len(STREAMS))))

    def init(rng: Array, inputs: Array, labels: Array | None = None, context: Any = None) -> tuple[PyTree, PyTree]:
        params_rng, draws_rng = jax.random.split(rng)
        rngs = {"params": params_rng, **streams(draws_rng)}
        state = dict(module.init(rngs, inputs, **arguments(labels, context, True)))
        return state.pop("params", {}), state

    def apply(
        params: PyTree,
        state: PyTree,
        inputs: Array,
        labels: Array | None = None,
        context: Any = None,
        *,
        rng: Array | None = None,
        train: bool = True,
    ) -> tuple[GeneratorOutput | DiscriminatorOutput, PyTree]:
        mutable = sorted(state) if train else []
        output, updates = module.apply(
            {"params": params, **state}, inputs, **arguments(labels, context, train), rngs=streams(rng), mutable=mutable
        )
        if not isinstance(output, GeneratorOutput | DiscriminatorOutput):
            output = wrap(output)
        return output, ({**state, **updates} if train else state)

    def mapping(
        params: PyTree, state: PyTree, latents: Array, labels: Array | None = None, *, truncation: float | Array | None = None
    ) -> Array:
        return module.apply({"params": params, **state}, latents, labels, truncation=truncation, method="map_latents")

    last_layer = getattr(module, "last_layer", None)
    return Network(init, apply, mapping if hasattr(module, "map_latents") else None, last_layer if isinstance(last_layer, str) else None)


def _player_from_name(name: str) -> str | None:
    lowered = name.lower()
    if any(word in lowered for word in ("discriminator", "critic")):
        return "discriminator"
    return "generator" if "generator" in lowered else None


def as_networks(modules: Players) -> Players:
    """Converts `Players` of Linen modules, as a row of `MODELS` builds them, to `Players` of `Network`s."""
    return Players(as_network(modules.generator, player="generator"), as_network(modules.discriminator, player="discriminator"))
