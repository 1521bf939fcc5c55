"""Optimisers of two players: optax links (EMA, clipping, historical averaging) and chains (TTUR), and tables by name."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax

from gan_jax.typing import Array, Players, PyTree

LearningRate: TypeAlias = float | Array | optax.Schedule


class EmaState(NamedTuple):
    """Exponential moving average of the parameters; same tree, shapes and dtypes as the parameters."""

    params: PyTree
    step: Array  # int32 []


class HistoricalAverageState(NamedTuple):
    """Mean of all parameters seen so far; same tree, shapes and dtypes as the parameters."""

    average: PyTree
    count: Array  # int32 []


def per_player(
    generator: optax.GradientTransformation, discriminator: optax.GradientTransformation
) -> optax.GradientTransformationExtraArgs:
    """One optimiser for both players: each updates its own half of `Players`, or nothing where its gradients are None.

    A player whose gradients are None is untouched: its update is None and its state is returned as it came, not
    advanced, which is how alternating updates and k discriminator steps per generator step are played.
    Apply the updates with `apply_updates` of this module; `optax.apply_updates` does where neither half is None.

    Args:
        generator: optimiser of `Players.generator`.
        discriminator: optimiser of `Players.discriminator`.

    Returns:
        Gradient transformation with `init(Players)` and `update(Players, state, Players)`; the state is
        `Players` of the two states.
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
    """Adds each player's update to its parameters; a player whose update is None is returned as it came.

    Args:
        params: parameters of both players.
        updates: what the `update` of `per_player` or `ttur` returned.

    Returns:
        New parameters, same trees and dtypes.
    """
    return Players(*(half if update is None else optax.apply_updates(half, update) for half, update in zip(params, updates, strict=True)))


def track_ema(decay: float = 0.999, *, start_step: int = 0, warmup: bool = False) -> optax.GradientTransformation:
    """Follows the parameters with an exponential moving average; put it last in the chain.

    ema <- d ema + (1 - d) (params + updates), with d = decay; the updates pass through unchanged. It starts as a copy of the
    parameters (a copy, because donating one buffer twice fails), so there is no bias to correct.

    Args:
        decay: in [0, 1). Half of the weight lies on the last ln 2 / (1 - decay) steps: 693 for 0.999.
        start_step: for this many updates the average is just the newest parameters.
        warmup: use d = min(decay, (1 + n) / (10 + n)) after n averaged steps, so that early averages forget the initialisation.

    Returns:
        Gradient transformation; its `update` needs `params`. State: `EmaState`, found with `ema_params`.

    Raises:
        ValueError: `decay` outside [0, 1), or a negative `start_step`.

    References:
        Yazıcı et al., "The Unusual Effectiveness of Averaging in GAN Training", 2019; used by PGGAN (2018) and its successors.
        The warm-up is that of TensorFlow's `ExponentialMovingAverage(num_updates)`. Averages of half-precision parameters are
        computed in float32 but stored in their dtype.
    """
    _check_decay(decay=decay)
    if start_step < 0:
        raise ValueError(f"start_step must not be negative; got {start_step}")

    def init(params: PyTree) -> EmaState:
        return EmaState(params=_copy(params), step=jnp.zeros((), jnp.int32))

    def update(updates: PyTree, state: EmaState, params: PyTree | None = None) -> tuple[PyTree, EmaState]:
        new_params = optax.apply_updates(_required(params, "track_ema"), updates)
        averaged = jnp.maximum(state.step - start_step, 0).astype(jnp.float32)
        rate = jnp.minimum(decay, (1 + averaged) / (10 + averaged)) if warmup else jnp.asarray(decay, jnp.float32)
        rate = jnp.where(state.step < start_step, 0.0, rate)
        average = jax.tree.map(lambda old, new: _blend(old, new, rate), state.params, new_params)
        return updates, EmaState(params=average, step=state.step + 1)

    return optax.GradientTransformation(init, update)


def ema_params(opt_state: PyTree, *, player: str = "generator") -> PyTree:
    """The averaged parameters, wherever in a tree of states `track_ema` keeps them.

    Args:
        opt_state: any pytree that holds an `EmaState`: an optax state, a `Players` of them, a whole training state.
        player: "generator" or "discriminator": whose average, where both are tracked. One tracked outside any `Players`
            belongs to either.

    Returns:
        The parameters' tree.

    Raises:
        ValueError: no average of this player is tracked, or several are.
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
    """Averages the updates over the devices of a mapped axis; put it first in the chain of a step inside `shard_map` or `pmap`.

        g <- (1 / n) sum_d g_d

    With equal shares of the batch and losses that are means, that is the gradient of the whole batch. Where a layer shares its
    statistics over the axis (batch norm with an `axis_name`), it is so too: what the examples of one device do to the losses of the
    others flows back through the collectives.

    Args:
        axis_name: of the enclosing `shard_map` with `check_vma=False`, `pmap`, or `vmap`. Not for `check_vma=True`, under which
            gradients of replicated parameters arrive summed: divide them by the number of devices there.

    Returns:
        Gradient transformation without a state. Leaves that are not floating point pass unchanged, as does None.

    References:
        Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017, section 3.
    """

    def mean(leaf: Array) -> Array:
        return jax.lax.pmean(leaf, axis_name) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact) else leaf

    def update(updates: PyTree, state: optax.EmptyState, params: PyTree | None = None) -> tuple[PyTree, optax.EmptyState]:
        del params
        return jax.tree.map(mean, updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def polyak_target(target: PyTree, params: PyTree, *, decay: float) -> PyTree:
    """One step of a target network: decay * target + (1 - decay) * params.

    Args:
        target: parameters of the slow network.
        params: parameters it follows, same tree.
        decay: in [0, 1).

    Returns:
        New target, same tree, shapes and dtypes.

    Raises:
        ValueError: `decay` outside [0, 1).

    References:
        Lillicrap et al., "Continuous control with deep reinforcement learning", 2016; for GANs the stability trick of actor-critic
        learning in Pfau and Vinyals, "Connecting Generative Adversarial Networks and Actor-Critic Methods", 2016. There
        tau = 1 - decay. As a link of a chain the same average is `track_ema`.
    """
    _check_decay(decay=decay)
    return jax.tree.map(lambda old, new: _blend(old, new, decay), target, params)


def clip_weights(bound: float) -> optax.GradientTransformation:
    """Keeps every parameter in [-bound, bound] after the update; put it last in the critic's chain (before `track_ema`).

    The link changes the update u to clip(params + u, -bound, bound) - params. Rounding included, no |params + u| exceeds the bound.

    Args:
        bound: positive; 0.01 in the paper. In half precision it is first rounded to the parameters' dtype.

    Returns:
        Gradient transformation; its `update` needs `params`. No state.

    Raises:
        ValueError: `bound` is not positive.

    References:
        Arjovsky et al., "Wasserstein GAN", 2017, algorithm 1. As in the authors' code all parameters are clipped, gains of norms
        and biases too; exempt some with `optax.masked`.
    """
    if isinstance(bound, int | float) and not bound > 0:
        raise ValueError(f"bound must be positive; got {bound}")

    def clip(update: Array, param: Array) -> Array:
        limit = jnp.asarray(bound, param.dtype)
        clipped = jnp.clip(param + update, -limit, limit) - param
        # Adding the difference back may round to just beyond the bound, by a unit in the last place of the larger of the two.
        correction = 2 * jnp.finfo(param.dtype).eps * (jnp.abs(param) + limit)
        reached = param + clipped
        return jnp.where(jnp.abs(reached) > limit, clipped - jnp.sign(reached) * correction, clipped)

    def update(updates: PyTree, state: optax.EmptyState, params: PyTree | None = None) -> tuple[PyTree, optax.EmptyState]:
        return jax.tree.map(clip, updates, _required(params, "clip_weights")), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def historical_averaging(weight: float) -> optax.GradientTransformation:
    """Pulls the parameters towards the mean of their past: adds the gradient of weight * |params - average|^2; put it first in the chain.

    average = mean of the parameters at every update so far, the current ones included and held constant in the gradient
    2 * weight * (params - average).

    Args:
        weight: not negative.

    Returns:
        Gradient transformation; its `update` needs `params`. State: `HistoricalAverageState`.

    Raises:
        ValueError: `weight` is negative.

    References:
        Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.3. The paper gives no weight. Deviation: the
        average is a constant; differentiating the 1/t share of the current parameters in it too would scale the term by 1 - 1/t.
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


# Each row: (learning_rate, *, b1, b2) -> gradient transformation; rows without such a moment ignore it.
OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": lambda learning_rate, *, b1, b2: optax.adam(learning_rate, b1=b1, b2=b2),
    "adamw": lambda learning_rate, *, b1, b2: optax.adamw(learning_rate, b1=b1, b2=b2),
    "amsgrad": lambda learning_rate, *, b1, b2: optax.amsgrad(learning_rate, b1=b1, b2=b2),
    "adabelief": lambda learning_rate, *, b1, b2: optax.adabelief(learning_rate, b1=b1, b2=b2),
    "lion": lambda learning_rate, *, b1, b2: optax.lion(learning_rate, b1=b1, b2=b2),
    # Daskalakis et al., 2018: the step is 2 r_t - r_{t-1} of Adam's direction r.
    "optimistic_adam": lambda learning_rate, *, b1, b2: optax.optimistic_adam_v2(learning_rate, b1=b1, b2=b2, nesterov=False),
    "optimistic_gradient": lambda learning_rate, *, b1, b2: optax.optimistic_gradient_descent(learning_rate),
    # The decay of PyTorch's RMSprop, which the WGAN paper's experiments ran on.
    "rmsprop": lambda learning_rate, *, b1, b2: optax.rmsprop(learning_rate, decay=0.99),
    "sgd": lambda learning_rate, *, b1, b2: optax.sgd(learning_rate),
    "momentum": lambda learning_rate, *, b1, b2: optax.sgd(learning_rate, momentum=b1),
}


def ttur(
    generator_lr: LearningRate,
    discriminator_lr: LearningRate,
    *,
    b1: float = 0.5,
    b2: float = 0.999,
    generator: str | Callable[..., optax.GradientTransformation] = "adam",
    discriminator: str | Callable[..., optax.GradientTransformation] = "adam",
    clip_norm: float | None = None,
    historical_weight: float = 0.0,
    discriminator_bound: float | None = None,
    ema_decay: float | None = None,
    ema_start_step: int = 0,
    ema_warmup: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Two time-scale update rule: one optimiser for both players, each with its own learning rate (and rule).

    A player's chain is: global-norm clipping, historical averaging, the rule, weight clipping (D), moving average (G); those
    not asked for are left out. With two equal rates it is the ordinary optimiser of a GAN.

    Args:
        generator_lr: learning rate or optax schedule (over that player's own steps) of the generator.
        discriminator_lr: the same of the discriminator. The paper's is the larger.
        b1: decay of the first moment, or the momentum of the rule "momentum".
        b2: decay of the second moment.
        generator: row of `OPTIMIZERS`, or a function `(learning_rate, *, b1, b2)`.
        discriminator: the same.
        clip_norm: largest global norm of a player's gradient.
        historical_weight: weight of `historical_averaging`, for both players.
        discriminator_bound: bound of `clip_weights`, for D.
        ema_decay: decay of `track_ema`, for G; None tracks nothing.
        ema_start_step: see `track_ema`.
        ema_warmup: see `track_ema`.

    Returns:
        Gradient transformation over `Players`; see `per_player` and `apply_updates`.

    Raises:
        ValueError: a negative rate, an unknown rule, a decay outside [0, 1), a `clip_norm` or bound that is not positive.

    References:
        Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", 2017.
    """
    _check_decay(b1=b1, b2=b2)
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"clip_norm must be positive; got {clip_norm}")

    def before() -> list[optax.GradientTransformation]:
        links = [] if clip_norm is None else [optax.clip_by_global_norm(clip_norm)]
        return [*links, historical_averaging(historical_weight)] if historical_weight else links

    generator_chain = [*before(), _rule("generator", generator, generator_lr, b1, b2)]
    if ema_decay is not None:
        generator_chain.append(track_ema(ema_decay, start_step=ema_start_step, warmup=ema_warmup))
    discriminator_chain = [*before(), _rule("discriminator", discriminator, discriminator_lr, b1, b2)]
    if discriminator_bound is not None:
        discriminator_chain.append(clip_weights(discriminator_bound))
    return per_player(optax.chain(*generator_chain), optax.chain(*discriminator_chain))


# Each row: (learning_rate, *, steps, end_fraction, warmup_steps) -> schedule. `end_fraction` is the share of the
# learning rate left after `steps` (an exponential never reaches 0: there 0 stands for 0.01); rows without a warm-up
# or a decay ignore those.
SCHEDULES: dict[str, Callable[..., optax.Schedule]] = {
    "constant": lambda learning_rate, *, steps, end_fraction=0.0, warmup_steps=0: optax.constant_schedule(learning_rate),
    "linear": lambda learning_rate, *, steps, end_fraction=0.0, warmup_steps=0: optax.linear_schedule(
        learning_rate, learning_rate * end_fraction, steps
    ),
    "cosine": lambda learning_rate, *, steps, end_fraction=0.0, warmup_steps=0: optax.cosine_decay_schedule(
        learning_rate, steps, alpha=end_fraction
    ),
    "exponential": lambda learning_rate, *, steps, end_fraction=0.0, warmup_steps=0: optax.exponential_decay(
        learning_rate, steps, end_fraction or 0.01, end_value=learning_rate * (end_fraction or 0.01)
    ),
    "warmup_cosine": lambda learning_rate, *, steps, end_fraction=0.0, warmup_steps=0: optax.warmup_cosine_decay_schedule(
        0.0, learning_rate, warmup_steps, steps, end_value=learning_rate * end_fraction
    ),
}


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
    """keep * old + (1 - keep) * new in at least float32; leaves that are not floating point take the new value."""
    if not jnp.issubdtype(new.dtype, jnp.inexact):
        return new
    wide = jnp.promote_types(new.dtype, jnp.float32)
    keep = jnp.asarray(keep, wide)
    return (keep * old.astype(wide) + (1 - keep) * new.astype(wide)).astype(old.dtype)


def _names(path: tuple[Any, ...]) -> set[str]:
    return {str(getattr(key, "name", getattr(key, "key", ""))) for key in path}
