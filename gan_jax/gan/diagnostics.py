"""Diagnostics of the train step for the monitor: a few scalars that are carried from step to step.

`with_diagnostics` adds them to a GAN. A GAN without it neither computes nor carries them.

Nothing is reset when metrics are logged: averages forget by themselves and counters only grow. A resumed run therefore logs the bytes
of an uninterrupted one, whatever the interval between its log lines.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax._internal.diagnostics import FORGET, LARGE_GRADIENT, RATIO_EVERY
from gan_jax.gan.make import build_gan, with_default_promotion
from gan_jax.gan.spec import GANSpec
from gan_jax.gan.state import TrainState
from gan_jax.gan.types import normalize_images
from gan_jax.gan.update_rules import UpdateRule
from gan_jax.gan.updates import group_by_layer
from gan_jax.typing import GAN, Array, Metrics, Players, PyTree

PRIVATE = "_"  # metrics with this prefix are only used here, and are not logged


class Diagnostics(NamedTuple):
    """Running figures of a training; scalars.

    Attributes:
        steps: int32, number of finite steps.
        loss_mean, loss_variance: `Players` of float32, moving averages of the adversarial losses.
        spikes: int32, number of steps in which D's loss was more than 6 standard deviations above its mean.
        large_gradients: `Players` of int32, number of steps with a gradient norm above 100.
        large_layer: `Players` of int32, the layer with the largest norm in the last such step, or -1.
        update_ratio: `Players` of float32, moving average of the norm of the update divided by that of the parameters, or -1.
        real_low, real_high: float32, extremes of all real images so far.
        fingerprint: float32 [2], fingerprint of the last batch.
        repeated: int32, how often in a row the same batch was received.
        logit_low, logit_high: float32, extremes of all logits of D so far.
        label_low, label_high: int32, extremes of all labels so far. 0 and -1 without labels.
        nonfinite_step: int32, the first step with a value that is not finite, or -1.
        nonfinite_place: int32, its index in `PLACES`.
        nonfinite_layer: int32, its layer of that player, or -1.
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
    logit_low: Array
    logit_high: Array
    label_low: Array
    label_high: Array
    nonfinite_step: Array
    nonfinite_place: Array
    nonfinite_layer: Array


def with_diagnostics(spec: GANSpec, rule: UpdateRule) -> GAN:
    """A GAN whose step also carries `Diagnostics` and reports them as metrics under `monitor/`.

    Args:
        spec: The GAN.
        rule: Its update rule.

    Returns:
        The GAN. Its parameters and its other metrics are those of `build_gan(spec, rule)`.
    """
    gan = build_gan(dataclasses.replace(spec, observe_update=observe_update), rule)

    def init(rng: Array) -> tuple[Players, TrainState]:
        params, state = gan.init(rng)
        return params, state._replace(diagnostics=init_diagnostics())

    def train_step(params: Players, opt_state: TrainState, batch: Mapping[str, Array], rng: Array) -> tuple[Players, TrainState, Metrics]:
        # The compiler computes the curriculum of the step and this one once.
        real = batch if spec.curriculum is None else spec.curriculum(batch, opt_state)[0]
        params, state, metrics = gan.train_step(params, opt_state, batch, rng)
        labels = batch["label"] if spec.num_classes and spec.sample_labels is None else None
        images = normalize_images(real["image"])
        diagnostics, metrics = accumulate_diagnostics(opt_state.diagnostics, metrics, images, opt_state.step, labels)
        return params, state._replace(diagnostics=diagnostics), metrics

    return gan._replace(init=with_default_promotion(init), train_step=with_default_promotion(train_step))


def observe_update(player: str, gradients: PyTree, params: PyTree, updates: PyTree, step: Array, frozen: Array | bool) -> Metrics:
    """The `GANSpec.observe_update` of the diagnostics; see `update_diagnostics`."""
    return update_diagnostics(player, group_by_layer(gradients), group_by_layer(params), updates, step, frozen)


def init_diagnostics() -> Diagnostics:
    """The diagnostics before the first step."""

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
        logit_low=of(jnp.inf, "float32"),
        logit_high=of(-jnp.inf, "float32"),
        label_low=of(0, "int32"),
        label_high=of(-1, "int32"),
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
    """Diagnostics of one player's update, as private metrics.

    The norms of the layers are part of the norm of the whole gradient, so the compiler computes them once. All parameters are read only
    if the gradient is not finite, and they are compared with their update in every eighth step.

    Args:
        player: "generator" or "discriminator".
        gradient_layers: Layer -> its gradients.
        parameter_layers: Layer -> its parameters before the update, for the same layers.
        updates: What the optimiser adds to the parameters.
        step: int32 [].
        frozen: Whether the update is discarded.

    Returns:
        The index of the layer with the largest norm (the first layer that is not finite, if there is one), the index of the first
        layer whose parameters were not finite before the update (-1 for none), and the ratio of the norms of update and parameters
        (-1 if it is not measured in this step).
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


def accumulate_diagnostics(
    diagnostics: Diagnostics, metrics: Metrics, real: Array, step: Array, labels: Array | None = None
) -> tuple[Diagnostics, Metrics]:
    """Includes one step in the diagnostics.

    Args:
        diagnostics: The diagnostics before this step.
        metrics: Metrics of the step, including those of `update_diagnostics` for each player that was updated.
        real: Float [batch, ...], the normalised images.
        step: int32 [], number of this step.
        labels: int32 [batch], labels of the images, or None.

    Returns:
        The new diagnostics, and the metrics for the log, without the private ones and with the diagnostics under `monitor/`.
    """
    count = diagnostics.steps.astype(jnp.float32)
    forget = jnp.maximum(FORGET, 1 / (count + 1))
    # Penalties and task terms are left out. Otherwise their weights would decide which loss counts as high.
    losses = Players(*(_scalar(metrics, f"{player}_adversarial_loss", metrics.get(f"{player}_loss", 0.0)) for player in Players._fields))
    norms = Players(*(_scalar(metrics, f"{player}_gradient_norm") for player in Players._fields))
    low, high = jnp.min(real), jnp.max(real)
    finite = jnp.all(jnp.isfinite(jnp.stack([*losses, *norms, low, high])))

    def average(old: Array, new: Array, rate: Array = forget) -> Array:
        return jnp.where(finite, old + rate * (new - old), old)

    mean = jax.tree.map(average, diagnostics.loss_mean, losses)
    # In this form the variance is exactly 0 after one step, and never negative.
    variance = jax.tree.map(
        lambda old, loss, before: jnp.where(finite, (1 - forget) * (old + forget * jnp.square(loss - before)), old),
        diagnostics.loss_variance,
        losses,
        diagnostics.loss_mean,
    )
    deviation = jnp.sqrt(jnp.maximum(diagnostics.loss_variance.discriminator, 0.0))
    spike = (count >= 1 / FORGET) & (losses.discriminator > diagnostics.loss_mean.discriminator + 6 * deviation + 1e-6)
    large = Players(*(norm > LARGE_GRADIENT for norm in norms))
    layers = Players(*(_index(metrics, f"{PRIVATE}{player}_largest_layer") for player in Players._fields))
    ratios = Players(*(_scalar(metrics, f"{PRIVATE}{player}_update_ratio", -1.0) for player in Players._fields))
    fingerprint = jnp.stack([jnp.mean(real), jnp.mean(real[0])]).astype(jnp.float32)
    place, layer = _place(metrics, jnp.isfinite(low) & jnp.isfinite(high), layers)
    first = (place >= 0) & (diagnostics.nonfinite_step < 0)
    new = Diagnostics(
        steps=diagnostics.steps + finite.astype(jnp.int32),
        loss_mean=mean,
        loss_variance=variance,
        spikes=diagnostics.spikes + spike.astype(jnp.int32),
        large_gradients=jax.tree.map(lambda seen, now: seen + now, diagnostics.large_gradients, large),
        large_layer=jax.tree.map(jnp.where, large, layers, diagnostics.large_layer),
        update_ratio=jax.tree.map(
            lambda old, now: jnp.where(now >= 0, jnp.where(old >= 0, old + 0.3 * (now - old), now), old), diagnostics.update_ratio, ratios
        ),
        real_low=jnp.minimum(diagnostics.real_low, low.astype(jnp.float32)),
        real_high=jnp.maximum(diagnostics.real_high, high.astype(jnp.float32)),
        fingerprint=fingerprint,
        repeated=jnp.where(jnp.all(fingerprint == diagnostics.fingerprint), diagnostics.repeated + 1, 0),
        logit_low=jnp.minimum(diagnostics.logit_low, _scalar(metrics, f"{PRIVATE}logit_low", jnp.inf)),
        logit_high=jnp.maximum(diagnostics.logit_high, _scalar(metrics, f"{PRIVATE}logit_high", -jnp.inf)),
        label_low=diagnostics.label_low if labels is None else jnp.minimum(diagnostics.label_low, jnp.min(labels).astype(jnp.int32)),
        label_high=diagnostics.label_high if labels is None else jnp.maximum(diagnostics.label_high, jnp.max(labels).astype(jnp.int32)),
        nonfinite_step=jnp.where(first, step, diagnostics.nonfinite_step),
        nonfinite_place=jnp.where(first, place, diagnostics.nonfinite_place),
        nonfinite_layer=jnp.where(first, layer, diagnostics.nonfinite_layer),
    )
    return new, {name: value for name, value in metrics.items() if not name.startswith(PRIVATE)} | _figures(new)


def _scalar(metrics: Metrics, name: str, default: Array | float = 0.0) -> Array:
    return jnp.asarray(metrics.get(name, default), jnp.float32)


def _index(metrics: Metrics, name: str) -> Array:
    return jnp.asarray(metrics.get(name, -1), jnp.int32)


def _place(metrics: Metrics, batch_is_finite: Array, layers: Players) -> tuple[Array, Array]:
    """The first of `PLACES` that is not finite, and its layer. Both are -1 if all values are finite."""

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


def _figures(diagnostics: Diagnostics) -> Metrics:
    figures = {
        "spikes": diagnostics.spikes,
        "real_low": diagnostics.real_low,
        "real_high": diagnostics.real_high,
        "repeated_batches": diagnostics.repeated,
        "logit_low": diagnostics.logit_low,
        "logit_high": diagnostics.logit_high,
        "label_low": diagnostics.label_low,
        "label_high": diagnostics.label_high,
        "nonfinite_step": diagnostics.nonfinite_step,
        "nonfinite_place": diagnostics.nonfinite_place,
        "nonfinite_layer": diagnostics.nonfinite_layer,
    }
    for player in Players._fields:
        figures |= {
            f"{player}_mean": getattr(diagnostics.loss_mean, player),
            f"{player}_deviation": jnp.sqrt(jnp.maximum(getattr(diagnostics.loss_variance, player), 0.0)),
            f"{player}_large_gradients": getattr(diagnostics.large_gradients, player),
            f"{player}_large_layer": getattr(diagnostics.large_layer, player),
            f"{player}_update_ratio": getattr(diagnostics.update_ratio, player),
        }
    return {f"monitor/{name}": value.astype(jnp.float32) for name, value in figures.items()}
