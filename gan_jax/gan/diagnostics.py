"""What the step itself watches: a few scalars carried from step to step, so that nothing between two log lines is lost.

Nothing here needs a reset at a log line: averages forget by themselves and counters only grow. A resumed run therefore logs the bytes
of an uninterrupted one, whatever the interval between its log lines.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax._diagnostics import LARGE_GRADIENT, RATIO_EVERY
from gan_jax.typing import Array, Metrics, Players, PyTree

FORGET = 0.05  # averages look back about 20 steps
PRIVATE = "_"  # metrics of this prefix are for the signals only, and are not logged


class Diagnostics(NamedTuple):
    """Running figures of a game; scalars.

    Attributes:
        steps: int32, finite steps seen.
        loss_mean, loss_variance: `Players` of float32, moving averages of the adversarial losses.
        spikes: int32, steps in which D's loss was more than 6 standard deviations above its mean.
        large_gradients: `Players` of int32, steps with a gradient norm above 100.
        large_layer: `Players` of int32, the layer with the largest norm at the last such step; -1 before.
        update_ratio: `Players` of float32, moving average of the norm of the update over that of the parameters; -1 before.
        real_low, real_high: float32, extremes of all the real images seen.
        fingerprint: float32 [2], of the last batch.
        repeated: int32, how many times in a row the same batch came.
        nonfinite_step: int32, the first step with a value that is not finite; -1 before.
        nonfinite_place: int32, where: an index of `PLACES`.
        nonfinite_layer: int32, in which layer of that player; -1 if it is not of a layer.
    """

    steps: Array
    loss_mean: Players
    loss_variance: Players
    spikes: Array
    large_gradients: Players
    large_layer: Players
    update_ratio: Players
    real_low: Array
    real_high: Array
    fingerprint: Array
    repeated: Array
    nonfinite_step: Array
    nonfinite_place: Array
    nonfinite_layer: Array


def init_diagnostics() -> Diagnostics:
    """Nothing seen yet."""

    def of(value: float, dtype: str) -> Array:
        return jnp.array(value, dtype)

    def both(value: float, dtype: str) -> Players:
        return Players(of(value, dtype), of(value, dtype))

    return Diagnostics(
        steps=of(0, "int32"),
        loss_mean=both(0, "float32"),
        loss_variance=both(0, "float32"),
        spikes=of(0, "int32"),
        large_gradients=both(0, "int32"),
        large_layer=both(-1, "int32"),
        update_ratio=both(-1, "float32"),
        real_low=of(jnp.inf, "float32"),
        real_high=of(-jnp.inf, "float32"),
        fingerprint=jnp.full(2, jnp.inf, "float32"),
        repeated=of(0, "int32"),
        nonfinite_step=of(-1, "int32"),
        nonfinite_place=of(-1, "int32"),
        nonfinite_layer=of(-1, "int32"),
    )


def update_diagnostics(
    player: str,
    gradient_layers: Mapping[str, PyTree],
    parameter_layers: Mapping[str, PyTree],
    updates: PyTree,
    step: Array,
    frozen: Array | bool,
) -> Metrics:
    """What one player's turn tells the monitor, as private metrics.

    The norms of the layers are those that the norm of the whole gradient is made of: the compiler finds them once. The parameters are
    looked at in full only where the gradient is not finite, and measured against their update in every eighth step.

    Args:
        player: "generator" or "discriminator".
        gradient_layers: layer -> its gradients.
        parameter_layers: layer -> its parameters before the move; the same layers.
        updates: what the optimiser adds.
        step: int32 [].
        frozen: whether the update is dropped.

    Returns:
        The index of the layer with the largest norm (the first that is not finite, where there is one), the index of the first
        layer whose parameters were not finite before the move (-1 for none), and the ratio of the norms of update and
        parameters (-1 when not measured).
    """
    norms = jnp.stack([optax.global_norm(leaves) for leaves in gradient_layers.values()])
    unhealthy = ~jnp.all(jnp.isfinite(norms))

    def first_broken() -> Array:
        broken = jnp.stack(
            [~jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(leaves)])) for leaves in parameter_layers.values()]
        )
        return jnp.where(broken.any(), jnp.argmax(broken), -1).astype(jnp.int32)

    def ratio() -> Array:
        moved = jnp.where(frozen, 0.0, optax.global_norm(updates))
        return (moved / jnp.maximum(optax.global_norm(dict(parameter_layers)), 1e-12)).astype(jnp.float32)

    broken = jax.lax.cond(unhealthy, first_broken, lambda: jnp.int32(-1))
    moved = jax.lax.cond(step % RATIO_EVERY == 0, ratio, lambda: jnp.float32(-1))
    return {
        f"{PRIVATE}{player}_largest_layer": jnp.argmax(norms).astype(jnp.int32),
        f"{PRIVATE}{player}_broken_layer": broken,
        f"{PRIVATE}{player}_update_ratio": moved,
    }


def accumulate_diagnostics(signals: Diagnostics, metrics: Metrics, real: Array, step: Array) -> tuple[Diagnostics, Metrics]:
    """Takes in one step.

    Args:
        signals: so far.
        metrics: of the step, with what `update_diagnostics` put in for each player that moved.
        real: float [batch, ...], the normalised images.
        step: int32 [], of this step.

    Returns:
        The signals, and the metrics for the log: without the private ones, with the signals under `monitor/`.
    """
    count = signals.steps.astype(jnp.float32)
    forget = jnp.maximum(FORGET, 1 / (count + 1))
    # Without penalties and tasks, whose weights would decide what counts as high.
    losses = Players(*(_scalar(metrics, f"{player}_adversarial_loss", metrics.get(f"{player}_loss", 0.0)) for player in Players._fields))
    norms = Players(*(_scalar(metrics, f"{player}_gradient_norm") for player in Players._fields))
    low, high = jnp.min(real), jnp.max(real)
    finite = jnp.all(jnp.isfinite(jnp.stack([*losses, *norms, low, high])))

    def average(old: Array, new: Array, rate: Array = forget) -> Array:
        return jnp.where(finite, old + rate * (new - old), old)

    mean = jax.tree.map(average, signals.loss_mean, losses)
    # In this form it is exactly 0 after one step, and never below.
    variance = jax.tree.map(
        lambda old, loss, before: jnp.where(finite, (1 - forget) * (old + forget * jnp.square(loss - before)), old),
        signals.loss_variance,
        losses,
        signals.loss_mean,
    )
    deviation = jnp.sqrt(jnp.maximum(signals.loss_variance.discriminator, 0.0))
    spike = (count >= 1 / FORGET) & (losses.discriminator > signals.loss_mean.discriminator + 6 * deviation + 1e-6)
    large = Players(*(norm > LARGE_GRADIENT for norm in norms))
    layers = Players(*(_index(metrics, f"{PRIVATE}{player}_largest_layer") for player in Players._fields))
    ratios = Players(*(_scalar(metrics, f"{PRIVATE}{player}_update_ratio", -1.0) for player in Players._fields))
    fingerprint = jnp.stack([jnp.mean(real), jnp.mean(real[0])]).astype(jnp.float32)
    place, layer = _place(metrics, jnp.isfinite(low) & jnp.isfinite(high), layers)
    first = (place >= 0) & (signals.nonfinite_step < 0)
    new = Diagnostics(
        steps=signals.steps + finite,
        loss_mean=mean,
        loss_variance=variance,
        spikes=signals.spikes + spike,
        large_gradients=jax.tree.map(lambda seen, now: seen + now, signals.large_gradients, large),
        large_layer=jax.tree.map(jnp.where, large, layers, signals.large_layer),
        update_ratio=jax.tree.map(
            lambda old, now: jnp.where(now >= 0, jnp.where(old >= 0, old + 0.3 * (now - old), now), old), signals.update_ratio, ratios
        ),
        real_low=jnp.minimum(signals.real_low, low.astype(jnp.float32)),
        real_high=jnp.maximum(signals.real_high, high.astype(jnp.float32)),
        fingerprint=fingerprint,
        repeated=jnp.where(jnp.all(fingerprint == signals.fingerprint), signals.repeated + 1, 0),
        nonfinite_step=jnp.where(first, step, signals.nonfinite_step),
        nonfinite_place=jnp.where(first, place, signals.nonfinite_place),
        nonfinite_layer=jnp.where(first, layer, signals.nonfinite_layer),
    )
    return new, {name: value for name, value in metrics.items() if not name.startswith(PRIVATE)} | _figures(new)


def _scalar(metrics: Metrics, name: str, default: Array | float = 0.0) -> Array:
    return jnp.asarray(metrics.get(name, default), jnp.float32)


def _index(metrics: Metrics, name: str) -> Array:
    return jnp.asarray(metrics.get(name, -1), jnp.int32)


def _place(metrics: Metrics, batch_is_finite: Array, layers: Players) -> tuple[Array, Array]:
    """The first of `PLACES` that is not finite, and its layer; -1 and -1 where all is finite."""

    def bad(*names: str) -> Array:
        values = [_scalar(metrics, name) for name in names]
        return ~jnp.all(jnp.isfinite(jnp.stack(values))) if values else jnp.bool_(False)

    broken = Players(*(_index(metrics, f"{PRIVATE}{player}_broken_layer") for player in Players._fields))
    further = [name for name in metrics if name.startswith(("penalty/", "term/"))]
    found = jnp.stack(
        [
            ~batch_is_finite,
            broken.discriminator >= 0,
            broken.generator >= 0,
            bad("real_logits"),
            bad("fake_logits"),
            bad(*further),
            bad("discriminator_loss"),
            bad("generator_loss"),
            bad("discriminator_gradient_norm"),
            bad("generator_gradient_norm"),
        ]
    )
    place = jnp.where(found.any(), jnp.argmax(found), -1).astype(jnp.int32)
    none = jnp.int32(-1)
    of_place = jnp.stack([none, broken.discriminator, broken.generator, *[none] * 5, layers.discriminator, layers.generator])
    return place, jnp.where(place >= 0, of_place[place], none)


def _figures(signals: Diagnostics) -> Metrics:
    figures = {
        "spikes": signals.spikes,
        "real_low": signals.real_low,
        "real_high": signals.real_high,
        "repeated_batches": signals.repeated,
        "nonfinite_step": signals.nonfinite_step,
        "nonfinite_place": signals.nonfinite_place,
        "nonfinite_layer": signals.nonfinite_layer,
    }
    for player in Players._fields:
        figures |= {
            f"{player}_mean": getattr(signals.loss_mean, player),
            f"{player}_deviation": jnp.sqrt(jnp.maximum(getattr(signals.loss_variance, player), 0.0)),
            f"{player}_large_gradients": getattr(signals.large_gradients, player),
            f"{player}_large_layer": getattr(signals.large_layer, player),
            f"{player}_update_ratio": getattr(signals.update_ratio, player),
        }
    return {f"monitor/{name}": value.astype(jnp.float32) for name, value in figures.items()}
