"""One optimiser for two players."""

from typing import Any

import optax

from gan_jax.typing import Players


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
