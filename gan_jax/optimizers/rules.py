"""The optimisation rules by name, and `ttur`, which composes a player's chain."""

from collections.abc import Callable
from typing import Any, TypeAlias

import optax

from gan_jax.optimizers.freezing import freeze_layers
from gan_jax.optimizers.moving_average import check_decay, historical_averaging, track_ema
from gan_jax.optimizers.players import per_player
from gan_jax.optimizers.transformations import clip_weights
from gan_jax.typing import Array, Players

LearningRate: TypeAlias = float | Array | optax.Schedule
NO_LAYERS = Players(None, None)


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
        A function `(learning_rate, *, b1, b2)`. Its transformation is one of `optax.inject_hyperparams`.
    """

    def scheduled(learning_rate: LearningRate, *, b1: float, b2: float) -> optax.GradientTransformation:
        del b2
        return optax.inject_hyperparams(rule, static_args="b1")(learning_rate, b1=b1, b2=schedule)

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
    freeze: Players = NO_LAYERS,
) -> optax.GradientTransformationExtraArgs:
    """Two time-scale update rule (TTUR): one optimiser for both players, each with its own learning rate and algorithm.

    A player's chain is the frozen layers, global-norm clipping, adaptive clipping, historical averaging, the algorithm, weight
    clipping (D only), the frozen layers again, and the moving average. Links that are not requested are omitted. With two equal
    learning rates this is the ordinary optimiser of a GAN.

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
        freeze: `Players` of the regular expressions of the layers that are not trained, see `freeze_layers`. None freezes none.

    Returns:
        Gradient transformation over `Players`. See `per_player` and `apply_updates`.

    Raises:
        ValueError: A learning rate is negative, an algorithm is unknown, a decay is outside [0, 1), `clip_norm` or
            `discriminator_bound` is not positive, or `historical_weight` or `ema_start_step` is negative.

    References:
        Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", 2017.
    """
    check_decay(b1=b1, b2=b2)
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"clip_norm must be positive; got {clip_norm}")

    frozen = Players(*([] if pattern is None else [freeze_layers(pattern)] for pattern in freeze))

    def before(player: str) -> list[optax.GradientTransformation]:
        links = list(getattr(frozen, player))
        if clip_norm is not None:
            links.append(optax.clip_by_global_norm(clip_norm))
        if adaptive_clip is not None:
            links.append(optax.adaptive_grad_clip(adaptive_clip))
        return [*links, historical_averaging(historical_weight)] if historical_weight else links

    generator_chain = [*before("generator"), _rule("generator", generator, generator_lr, b1, b2), *frozen.generator]
    if ema_decay is not None:
        generator_chain.append(track_ema(ema_decay, start_step=ema_start_step, warmup=ema_warmup))
    discriminator_chain = [*before("discriminator"), _rule("discriminator", discriminator, discriminator_lr, b1, b2)]
    if discriminator_bound is not None:
        discriminator_chain.append(clip_weights(discriminator_bound))
    discriminator_chain += frozen.discriminator
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
