"""Averages of the parameters over time, as optax transformations: the exponential moving average (EMA), and historical averaging."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.optimizers.transformations import required_params
from gan_jax.typing import Array, Players, PyTree


class EmaState(NamedTuple):
    """Exponential moving average of the parameters, with the same tree, shapes and dtypes as the parameters."""

    params: PyTree
    step: Array  # int32 []


class HistoricalAverageState(NamedTuple):
    """Mean of all parameters so far, with the same tree, shapes and dtypes as the parameters."""

    average: PyTree
    count: Array  # int32 []


def track_ema(
    decay: float | Callable[[Array], Array] = 0.999, *, start_step: int = 0, warmup: bool = False
) -> optax.GradientTransformation:
    """Tracks an exponential moving average (EMA) of the parameters. Put it last in the chain.

    ema <- d ema + (1 - d) (params + updates), with d = decay. The updates are returned unchanged. The average is initialised
    with a copy of the parameters, so no bias correction is needed. It must be a copy, because a buffer cannot be donated twice.

    Args:
        decay: Decay d, in [0, 1). Half of the weight lies on the last ln 2 / (1 - decay) steps, which is 693 for 0.999. A function of the
            number of averaged steps is a schedule, see `gan_jax.optimizers.half_life_decay`.
        start_step: For this many updates the average equals the newest parameters.
        warmup: If True, use d = min(decay, (1 + n) / (10 + n)) after n averaged steps, so that early averages forget the
            initialisation. A larger decay than (1 + n) / (10 + n) has no effect in a run of n steps.

    Returns:
        Gradient transformation with an `EmaState`. Its `update` needs `params`. Read the average with `ema_params`.

    Raises:
        ValueError: `decay` is outside [0, 1), or `start_step` is negative.

    References:
        Yazıcı et al., "The Unusual Effectiveness of Averaging in GAN Training", 2019. PGGAN (2018) and its successors use it.
        The warm-up is that of TensorFlow's `ExponentialMovingAverage(num_updates)`. Averages of half-precision parameters are
        computed in float32 and stored in the dtype of the parameters.
    """
    if not callable(decay):
        check_decay(decay=decay)
    if start_step < 0:
        raise ValueError(f"start_step must not be negative; got {start_step}")

    def init(params: PyTree) -> EmaState:
        return EmaState(params=_copy(params), step=jnp.zeros((), jnp.int32))

    def update(updates: PyTree, state: EmaState, params: PyTree | None = None) -> tuple[PyTree, EmaState]:
        new_params = optax.apply_updates(required_params(params, "track_ema"), updates)
        averaged = jnp.maximum(state.step - start_step, 0).astype(jnp.float32)
        largest = decay(averaged) if callable(decay) else jnp.asarray(decay, jnp.float32)
        rate = jnp.minimum(largest, (1 + averaged) / (10 + averaged)) if warmup else largest
        rate = jnp.where(state.step < start_step, 0.0, rate)
        average = jax.tree.map(lambda old, new: _blend(old, new, rate), state.params, new_params)
        return updates, EmaState(params=average, step=state.step + 1)

    return optax.GradientTransformation(init, update)


def ema_params(opt_state: PyTree, *, player: str = "generator") -> PyTree:
    """Returns the averaged parameters that `track_ema` keeps anywhere in a tree of states.

    Args:
        opt_state: Pytree that contains an `EmaState`, e.g. an optax state, `Players` of optax states, or a whole train state.
        player: "generator" or "discriminator". It selects the average if both players are tracked. An average that is outside
            any `Players` matches both names.

    Returns:
        The averaged parameters.

    Raises:
        ValueError: `player` is unknown, no average of this player is tracked, or several are.
    """
    if player not in Players._fields:
        raise ValueError(f"player must be one of {', '.join(Players._fields)}; got {player!r}")
    leaves = jax.tree_util.tree_leaves_with_path(opt_state, is_leaf=lambda node: isinstance(node, EmaState))
    found = [(path, node.params) for path, node in leaves if isinstance(node, EmaState)]
    own = [(path, params) for path, params in found if _names(path) & {player}]
    candidates = own or [(path, params) for path, params in found if not _names(path) & set(Players._fields)]
    if len(candidates) != 1:
        places = ", ".join(jax.tree_util.keystr(path) for path, _ in found) or "none"
        raise ValueError(f"expected one moving average of the {player} in the optimiser state (see track_ema); found {places}")
    return candidates[0][1]


def with_ema_params(opt_state: PyTree, average: PyTree, *, player: str = "generator") -> PyTree:
    """Replaces the averaged parameters that `ema_params` returns.

    Args:
        opt_state: Pytree that contains an `EmaState`.
        average: The new averaged parameters, with the same tree.
        player: See `ema_params`.

    Returns:
        A tree of the same structure. The number of averaged steps does not change.

    Raises:
        ValueError: As `ema_params`.
    """
    old = ema_params(opt_state, player=player)

    def replaced(node: PyTree) -> PyTree:
        return node._replace(params=average) if isinstance(node, EmaState) and node.params is old else node

    return jax.tree.map(replaced, opt_state, is_leaf=lambda node: isinstance(node, EmaState))


def historical_averaging(weight: float) -> optax.GradientTransformation:
    """Adds the gradient of weight * |params - average|^2 to the updates. Put it first in the chain.

    It pulls the parameters towards their mean over all updates so far. The mean includes the current parameters and is held
    constant in the gradient, which is 2 * weight * (params - average).

    Args:
        weight: Weight of the penalty, not negative.

    Returns:
        Gradient transformation with a `HistoricalAverageState`. Its `update` needs `params`.

    Raises:
        ValueError: `weight` is negative.

    References:
        Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.3. The paper gives no weight. Deviation: the
        average is a constant. Differentiating through the 1/t share of the current parameters would scale the term by 1 - 1/t.
    """
    if isinstance(weight, int | float) and weight < 0:
        raise ValueError(f"weight must not be negative; got {weight}")

    def init(params: PyTree) -> HistoricalAverageState:
        return HistoricalAverageState(average=_copy(params), count=jnp.zeros((), jnp.int32))

    def update(updates: PyTree, state: HistoricalAverageState, params: PyTree | None = None) -> tuple[PyTree, HistoricalAverageState]:
        params = required_params(params, "historical_averaging")
        keep = state.count.astype(jnp.float32) / (state.count + 1)
        average = jax.tree.map(lambda old, new: _blend(old, new, keep), state.average, params)
        pulled = jax.tree.map(
            lambda update, param, mean: update + (2 * weight * (param - mean)).astype(update.dtype), updates, params, average
        )
        return pulled, HistoricalAverageState(average=average, count=state.count + 1)

    return optax.GradientTransformation(init, update)


def check_decay(**decays: float) -> None:
    """Raises a ValueError if a decay is not in [0, 1). Schedules are not checked."""
    for name, decay in decays.items():
        if isinstance(decay, int | float) and not 0 <= decay < 1:
            raise ValueError(f"{name} must be in [0, 1); got {decay}")


def _copy(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), tree)


def _blend(old: Array, new: Array, keep: Array | float) -> Array:
    """keep * old + (1 - keep) * new, in at least float32. Leaves that are not floating point take the new value."""
    if not jnp.issubdtype(new.dtype, jnp.inexact):
        return new
    wide = jnp.promote_types(new.dtype, jnp.float32)
    keep = jnp.asarray(keep, wide)
    return (keep * old.astype(wide) + (1 - keep) * new.astype(wide)).astype(old.dtype)


def _names(path: tuple[Any, ...]) -> set[str]:
    return {str(getattr(key, "name", getattr(key, "key", ""))) for key in path}
