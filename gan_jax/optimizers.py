"""Optimisers for two players: optax transformations (EMA, clipping, historical averaging), chains (TTUR), and the rules by name."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax

from gan_jax.typing import Array, Players, PyTree

LearningRate: TypeAlias = float | Array | optax.Schedule


class EmaState(NamedTuple):
    """Exponential moving average of the parameters, with the same tree, shapes and dtypes as the parameters."""

    params: PyTree
    step: Array  # int32 []


class ScheduledState(NamedTuple):
    """State of an algorithm with a scheduled second moment."""

    count: Array  # int32 []
    inner: PyTree


class HistoricalAverageState(NamedTuple):
    """Mean of all parameters so far, with the same tree, shapes and dtypes as the parameters."""

    average: PyTree
    count: Array  # int32 []


def per_player(
    generator: optax.GradientTransformation, discriminator: optax.GradientTransformation
) -> optax.GradientTransformationExtraArgs:
    """Combines two optimisers into one for `Players`. Each optimiser updates its own half.

    A player whose gradients are None is skipped. Its update is None, and its optimiser state is returned unchanged. Use this
    for alternating updates and for k discriminator updates per generator update. Apply the updates with `apply_updates` of
    this module. `optax.apply_updates` works only if neither half is None.

    Args:
        generator: Optimiser of `Players.generator`.
        discriminator: Optimiser of `Players.discriminator`.

    Returns:
        Gradient transformation with `init(Players)` and `update(Players, state, Players)`. The state is `Players` of the two
        optimiser states.
    """
    optimizers = Players(*(optax.with_extra_args_support(player) for player in (generator, discriminator)))

    def init(params: Players) -> Players:
        return Players(*(optimizer.init(half) for optimizer, half in zip(optimizers, params, strict=True)))

    def update(updates: Players, state: Players, params: Players | None = None, **extra: Any) -> tuple[Players, Players]:
        halves = (None, None) if params is None else params
        results = [
            (None, old) if gradients is None else optimizer.update(gradients, old, half, **extra)
            for optimizer, gradients, old, half in zip(optimizers, updates, state, halves, strict=True)
        ]
        return Players(*(result[0] for result in results)), Players(*(result[1] for result in results))

    return optax.GradientTransformationExtraArgs(init, update)


def apply_updates(params: Players, updates: Players) -> Players:
    """Adds each player's update to its parameters. If a player's update is None, its parameters are returned unchanged.

    Args:
        params: Parameters of both players.
        updates: Updates returned by the `update` of `per_player` or `ttur`.

    Returns:
        New parameters, with the same trees and dtypes.
    """
    return Players(*(half if update is None else optax.apply_updates(half, update) for half, update in zip(params, updates, strict=True)))


def track_ema(
    decay: float | Callable[[Array], Array] = 0.999, *, start_step: int = 0, warmup: bool = False
) -> optax.GradientTransformation:
    """Tracks an exponential moving average (EMA) of the parameters. Put it last in the chain.

    ema <- d ema + (1 - d) (params + updates), with d = decay. The updates are returned unchanged. The average is initialised
    with a copy of the parameters, so no bias correction is needed. It must be a copy, because a buffer cannot be donated twice.

    Args:
        decay: Decay d, in [0, 1). Half of the weight lies on the last ln 2 / (1 - decay) steps, which is 693 for 0.999. A function of the
            number of averaged steps is a schedule, see `gan_jax.schedules.half_life_decay`.
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
        _check_decay(decay=decay)
    if start_step < 0:
        raise ValueError(f"start_step must not be negative; got {start_step}")

    def init(params: PyTree) -> EmaState:
        return EmaState(params=_copy(params), step=jnp.zeros((), jnp.int32))

    def update(updates: PyTree, state: EmaState, params: PyTree | None = None) -> tuple[PyTree, EmaState]:
        new_params = optax.apply_updates(_required(params, "track_ema"), updates)
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


def average_gradients(axis_name: str | tuple[str, ...]) -> optax.GradientTransformation:
    """Averages the gradients over the devices of a mapped axis. Put it first in the chain inside `shard_map` or `pmap`.

        g <- (1 / n) sum_d g_d

    If all devices have equal shares of the batch and the losses are means, the result is the gradient of the whole batch. This
    also holds if a layer shares its statistics over the axis (batch norm with an `axis_name`), because gradients flow back
    through the collectives to all devices.

    Args:
        axis_name: Axis of the enclosing `shard_map` with `check_vma=False`, `pmap`, or `vmap`. Do not use this function with
            `check_vma=True`. There the gradients of replicated parameters are already summed, so divide them by the number of
            devices instead.

    Returns:
        Gradient transformation without a state. None and leaves that are not floating point are returned unchanged.

    References:
        Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017, section 3.
    """

    def mean(leaf: Array) -> Array:
        return jax.lax.pmean(leaf, axis_name) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact) else leaf

    def update(updates: PyTree, state: optax.EmptyState, params: PyTree | None = None) -> tuple[PyTree, optax.EmptyState]:
        del params
        return jax.tree.map(mean, updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def clip_weights(bound: float) -> optax.GradientTransformation:
    """Keeps every parameter in [-bound, bound] after the update. Put it last in the critic's chain, before `track_ema`.

    It changes the update u to clip(params + u, -bound, bound) - params. The result is corrected for rounding, so |params + u|
    never exceeds the bound.

    Args:
        bound: Positive bound, 0.01 in the paper. It is first rounded to the dtype of the parameters.

    Returns:
        Gradient transformation without a state. Its `update` needs `params`.

    Raises:
        ValueError: `bound` is not positive.

    References:
        Arjovsky et al., "Wasserstein GAN", 2017, algorithm 1. All parameters are clipped, including biases and the gains of
        norms, as in the authors' code. Use `optax.masked` to exclude some.
    """
    if isinstance(bound, int | float) and not bound > 0:
        raise ValueError(f"bound must be positive; got {bound}")

    def clip(update: Array, param: Array) -> Array:
        limit = jnp.asarray(bound, param.dtype)
        clipped = jnp.clip(param + update, -limit, limit) - param
        # The rounded sum param + clipped may exceed the bound by a unit in the last place of the larger of the two.
        correction = 2 * jnp.finfo(param.dtype).eps * (jnp.abs(param) + limit)
        reached = param + clipped
        return jnp.where(jnp.abs(reached) > limit, clipped - jnp.sign(reached) * correction, clipped)

    def update(updates: PyTree, state: optax.EmptyState, params: PyTree | None = None) -> tuple[PyTree, optax.EmptyState]:
        return jax.tree.map(clip, updates, _required(params, "clip_weights")), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


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
        params = _required(params, "historical_averaging")
        keep = state.count.astype(jnp.float32) / (state.count + 1)
        average = jax.tree.map(lambda old, new: _blend(old, new, keep), state.average, params)
        pulled = jax.tree.map(
            lambda update, param, mean: update + (2 * weight * (param - mean)).astype(update.dtype), updates, params, average
        )
        return pulled, HistoricalAverageState(average=average, count=state.count + 1)

    return optax.GradientTransformation(init, update)


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": lambda learning_rate, *, b1, b2: optax.adam(learning_rate, b1=b1, b2=b2),
    "adamw": lambda learning_rate, *, b1, b2: optax.adamw(learning_rate, b1=b1, b2=b2),
    "amsgrad": lambda learning_rate, *, b1, b2: optax.amsgrad(learning_rate, b1=b1, b2=b2),
    "adabelief": lambda learning_rate, *, b1, b2: optax.adabelief(learning_rate, b1=b1, b2=b2),
    "lion": lambda learning_rate, *, b1, b2: optax.lion(learning_rate, b1=b1, b2=b2),
    # Daskalakis et al., 2018: the step is 2 r_t - r_{t-1} of Adam's direction r.
    "optimistic_adam": lambda learning_rate, *, b1, b2: optax.optimistic_adam_v2(learning_rate, b1=b1, b2=b2, nesterov=False),
    "optimistic_gradient": lambda learning_rate, *, b1, b2: optax.optimistic_gradient_descent(learning_rate),
    "rmsprop": lambda learning_rate, *, b1, b2: optax.rmsprop(learning_rate, decay=b2, eps_in_sqrt=False),
    "sgd": lambda learning_rate, *, b1, b2: optax.sgd(learning_rate),
    "momentum": lambda learning_rate, *, b1, b2: optax.sgd(learning_rate, momentum=b1),
}
"""Rules by name. Each is a function `(learning_rate, *, b1, b2)`, which ignores a moment that the rule does not have.

`ttur` also accepts such a function, for other options. The conventions, with r the root of the second moment:

- adam: PyTorch's. Epsilon 1e-8 is added to r, after the bias correction.
- adamw: as adam, with a weight decay of 1e-4. PyTorch's default is 0.01, which `partial(optax.adamw, weight_decay=0.01)` gives.
- amsgrad: the maximum of the bias-corrected second moments. PyTorch corrects the maximum of the raw ones. Its steps are then
  larger after early large gradients.
- adabelief: epsilon 1e-16 is added to r, and in each step to the second moment under the root, as in the authors' code.
- lion: with a weight decay of 1e-3.
- optimistic_adam: adam's direction, extrapolated by one step.
- rmsprop: PyTorch's. Epsilon 1e-8 is added to r. optax's default adds it under the root. The decay is `b2`, which is 0.99 in PyTorch.
- momentum: PyTorch's without dampening, v <- b1 v + g.
"""


def schedule_b2(rule: Callable[..., optax.GradientTransformation], schedule: optax.Schedule) -> Callable[..., optax.GradientTransformation]:
    """Makes a rule whose decay of the second moment follows a schedule over its own steps. The `b2` that it receives is ignored.

    The bias correction uses the decay of the current step, as PyTorch's Adam does if its betas are changed.

    Args:
        rule: A row of `OPTIMIZERS`, or a function `(learning_rate, *, b1, b2)`.
        schedule: `step -> b2`.

    Returns:
        A function `(learning_rate, *, b1, b2)`. The state of its transformation is a `ScheduledState`.
    """

    def scheduled(learning_rate: LearningRate, *, b1: float, b2: float) -> optax.GradientTransformation:
        del b2

        def init(params: PyTree) -> ScheduledState:
            return ScheduledState(jnp.zeros((), jnp.int32), rule(learning_rate, b1=b1, b2=schedule(0)).init(params))

        def update(updates: PyTree, state: ScheduledState, params: PyTree | None = None) -> tuple[PyTree, ScheduledState]:
            updates, inner = rule(learning_rate, b1=b1, b2=schedule(state.count)).update(updates, state.inner, params)
            return updates, ScheduledState(state.count + 1, inner)

        return optax.GradientTransformation(init, update)

    return scheduled


def ttur(
    generator_lr: LearningRate,
    discriminator_lr: LearningRate,
    *,
    b1: float = 0.5,
    b2: float = 0.999,
    generator: str | Callable[..., optax.GradientTransformation] = "adam",
    discriminator: str | Callable[..., optax.GradientTransformation] = "adam",
    clip_norm: float | None = None,
    adaptive_clip: float | None = None,
    historical_weight: float = 0.0,
    discriminator_bound: float | None = None,
    ema_decay: float | Callable[[Array], Array] | None = None,
    ema_start_step: int = 0,
    ema_warmup: bool = False,
    discriminator_ema_decay: float | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Two time-scale update rule (TTUR): one optimiser for both players, each with its own learning rate and algorithm.

    A player's chain is global-norm clipping, adaptive clipping, historical averaging, the algorithm, weight clipping (D
    only), and the moving average. Links that are not requested are omitted. With two equal learning rates this is the
    ordinary optimiser of a GAN.

    Args:
        generator_lr: Learning rate of G, or an optax schedule over G's own steps.
        discriminator_lr: Learning rate of D, or an optax schedule over D's own steps. In the paper it is the larger one.
        b1: Decay of the first moment, or the momentum of the algorithm "momentum".
        b2: Decay of the second moment. `schedule_b2` makes a rule in which it follows a schedule.
        generator: Algorithm of G. A row of `OPTIMIZERS`, or a function `(learning_rate, *, b1, b2)`.
        discriminator: Algorithm of D. A row of `OPTIMIZERS`, or a function `(learning_rate, *, b1, b2)`.
        clip_norm: Largest global norm of a player's gradient. None disables clipping.
        adaptive_clip: Clipping factor of `optax.adaptive_grad_clip` for both players. None disables it.
        historical_weight: Weight of `historical_averaging` for both players. 0 disables it.
        discriminator_bound: Bound of `clip_weights` for D. None disables it.
        ema_decay: Decay of `track_ema` for G. None disables it.
        ema_start_step: Argument `start_step` of `track_ema`.
        ema_warmup: Argument `warmup` of `track_ema`.
        discriminator_ema_decay: Decay of `track_ema` for D, as for a target network. None disables it.

    Returns:
        Gradient transformation over `Players`. See `per_player` and `apply_updates`.

    Raises:
        ValueError: A learning rate is negative, an algorithm is unknown, a decay is outside [0, 1), `clip_norm` or
            `discriminator_bound` is not positive, or `historical_weight` or `ema_start_step` is negative.

    References:
        Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", 2017.
    """
    _check_decay(b1=b1, b2=b2)
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"clip_norm must be positive; got {clip_norm}")

    def before() -> list[optax.GradientTransformation]:
        links = [] if clip_norm is None else [optax.clip_by_global_norm(clip_norm)]
        if adaptive_clip is not None:
            links.append(optax.adaptive_grad_clip(adaptive_clip))
        return [*links, historical_averaging(historical_weight)] if historical_weight else links

    generator_chain = [*before(), _rule("generator", generator, generator_lr, b1, b2)]
    if ema_decay is not None:
        generator_chain.append(track_ema(ema_decay, start_step=ema_start_step, warmup=ema_warmup))
    discriminator_chain = [*before(), _rule("discriminator", discriminator, discriminator_lr, b1, b2)]
    if discriminator_bound is not None:
        discriminator_chain.append(clip_weights(discriminator_bound))
    if discriminator_ema_decay is not None:
        discriminator_chain.append(track_ema(discriminator_ema_decay))
    return per_player(optax.chain(*generator_chain), optax.chain(*discriminator_chain))


def _rule(name: str, rule: str | Callable[..., Any], learning_rate: LearningRate, b1: float, b2: float) -> optax.GradientTransformation:
    if isinstance(learning_rate, int | float) and not learning_rate >= 0:
        raise ValueError(f"{name}_lr must not be negative; got {learning_rate}")
    if isinstance(rule, str):
        if rule not in OPTIMIZERS:
            raise ValueError(f"{name} must be one of {', '.join(OPTIMIZERS)}; got {rule!r}")
        rule = OPTIMIZERS[rule]
    return rule(learning_rate, b1=b1, b2=b2)


def _check_decay(**decays: float) -> None:
    for name, decay in decays.items():
        if isinstance(decay, int | float) and not 0 <= decay < 1:
            raise ValueError(f"{name} must be in [0, 1); got {decay}")


def _required(params: PyTree | None, link: str) -> PyTree:
    if params is None:
        raise ValueError(f"{link} needs the parameters: call update(updates, state, params)")
    return params


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
