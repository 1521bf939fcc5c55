"""The part of a train step that one device computes, for `shard_map` and `pmap`.

One rule assigns the examples of a batch to the devices. Let b be the number of examples of one gradient on one device, i.e. of a
device's part of a minibatch or micro-batch. On a single device, the m minibatches, micro-batches or kinds of fakes of a step are one
array of m n b rows for n devices. Read as [m, n, b], device i holds index i of the second axis. Locally these are m b rows.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from gan_jax.conditioning import Condition
from gan_jax.distributed.sharding import AXIS, Placement
from gan_jax.gan.spec import GANSpec
from gan_jax.gan.state import TrainState
from gan_jax.gan.types import GradientPenalty, LossContext, LossTerm
from gan_jax.gan.update_rules import UpdateRule
from gan_jax.nn import sharing_batch
from gan_jax.replay import Replay
from gan_jax.typing import AdversarialLoss, Array, Augmentation, Network, Players, PseudoAugmentation, PyTree


class BatchShard:
    """Converts between global arrays and the rows of this device. For use inside the mapped step.

    Args:
        axis_name: Name of the mapped axis.
        size: b, the number of examples of one gradient on one device.
    """

    def __init__(self, axis_name: str, size: int):
        self.axis_name, self.size = axis_name, size

    def local(self, global_batch: Array) -> Array:
        """The rows of this device, [m b, ...], of a global array [m n b, ...]."""
        devices = jax.lax.axis_size(self.axis_name)
        blocks = global_batch.reshape(-1, devices, self._block(global_batch.shape[0] // devices), *global_batch.shape[1:])
        rows = jax.lax.dynamic_index_in_dim(blocks, jax.lax.axis_index(self.axis_name), 1, keepdims=False)
        return rows.reshape(-1, *global_batch.shape[1:])

    def gather(self, rows: Array) -> Array:
        """The global array [m n b, ...] of the rows of all devices, each [m b, ...]. The order is that of a single device."""
        blocks = jax.lax.all_gather(rows.reshape(-1, self._block(len(rows)), *rows.shape[1:]), self.axis_name, axis=1)
        return blocks.reshape(-1, *rows.shape[1:])

    def _block(self, rows: int) -> int:
        # Packed samples share one logit, so there can be fewer logits than examples of a gradient.
        return rows if rows % self.size else self.size

    def global_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the global array, for the shape of this device's rows."""
        return (shape[0] * jax.lax.axis_size(self.axis_name), *shape[1:])

    def fold(self, rng: Array) -> Array:
        """A key that differs between the devices."""
        return jax.random.fold_in(rng, jax.lax.axis_index(self.axis_name))


def per_device(spec: GANSpec, *, axis_name: str = AXIS, rows: int, share_statistics: bool = True) -> GANSpec:
    """The GAN spec of one device, for use inside `shard_map(check_vma=False)` or `pmap` on the device's part of the batch.

    These are equal to those of one device with the global batch: latents, soft and flipped labels, a random context, the replay buffer,
    top-k weights, and the statistics of both adaptive augmentations. With `share_statistics` also the statistics of normalisation and
    minibatch layers, relativistic averages, feature matching, and LeCam's anchors. Draws inside a network, an augmentation, a penalty or
    a loss term use a key of the device. They are as independent as on one device, but they are other draws.

    Args:
        spec: GAN spec of the global view.
        axis_name: Name of the mapped axis.
        rows: b, see the module docstring.
        share_statistics: Whether functions that couple the examples of a batch use the batch of all devices or of each device.

    Returns:
        A GAN spec for the inside of the mapped step, with the same parameters and state.
    """
    shard = BatchShard(axis_name, rows)
    statistics = axis_name if share_statistics else None
    return dataclasses.replace(
        spec,
        axis_name=axis_name,
        share_statistics=share_statistics,
        generator=_network(spec.generator, shard, statistics),
        discriminator=_network(spec.discriminator, shard, statistics),
        loss=_loss(spec.loss, statistics),
        sample_latents=lambda rng, shape: shard.local(spec.sample_latents(rng, shard.global_shape(shape))),
        sample_labels=spec.sample_labels and (lambda rng, shape: shard.local(spec.sample_labels(rng, shard.global_shape(shape)))),
        targets=spec.targets and _targets(spec.targets, shard),
        context=_context(spec.context, shard),
        replay=spec.replay and _replay(spec.replay, shard),
        top_k=spec.top_k and _top_k(spec.top_k, shard),
        penalties=tuple(_penalty(penalty, shard, statistics) for penalty in spec.penalties),
        terms=tuple(_term(term, shard) for term in spec.terms),
        augmentations=tuple(_augmentation(augmentation, shard) for augmentation in spec.augmentations),
        cutmix=spec.cutmix and spec.cutmix._replace(draw=lambda rng, shape: spec.cutmix.draw(shard.fold(rng), shape)),
        pseudo_augmentation=spec.pseudo_augmentation and _pseudo_augmentation(spec.pseudo_augmentation, shard),
    )


def distribute(rule: UpdateRule, placement: Placement, *, micro_batches: int = 1) -> UpdateRule:
    """The update rule on many devices. Its step has the same arguments and results and a global view. It is not jitted.

    With `jit` the placement of the arguments decides where the step runs. The inputs of the networks are constrained to be sharded along
    the batch. Otherwise the compiler would let every device generate all the fakes, because no argument shards them. With `shard_map` or
    `pmap` the step is mapped over the devices, and parameters and state are replicated.

    Args:
        rule: Update rule of one device.
        placement: The placement.
        micro_batches: Number of micro-batches into which the update rule splits a minibatch.

    Raises:
        ValueError: At trace time, if the devices cannot share the batch evenly.
    """
    if placement.kind == "jit":

        def sharded_step(spec: GANSpec, *arguments: Any) -> tuple:
            sharded = {player: _shard_inputs(getattr(spec, player), placement) for player in Players._fields}
            return rule.step(dataclasses.replace(spec, **sharded), *arguments)

        return rule._replace(step=sharded_step)

    def step(spec: GANSpec, params: Players, state: TrainState, batch: Mapping[str, Array], rng: Array) -> tuple:
        devices, parts = placement.devices, rule.batches_per_step * micro_batches
        size = batch["image"].shape[0]
        if size % (devices * parts):
            raise ValueError(f"the batch must hold a multiple of {devices * parts} examples ({devices} devices, {parts} parts); got {size}")
        local_spec = per_device(spec, rows=size // (devices * parts), share_statistics=placement.share_statistics)

        def on_device(params: Players, state: TrainState, blocks: dict[str, Array], rng: Array) -> tuple:
            batch = {name: array.reshape(-1, *array.shape[2:]) for name, array in blocks.items()}
            params, state, metrics = rule.step(local_spec, params, state, batch, rng)
            if not placement.share_statistics:
                state = state._replace(networks=local_spec.average(state.networks), terms=local_spec.average(state.terms))
            return params, state, local_spec.average(metrics)

        blocks = {name: array.reshape(parts, -1, *array.shape[1:]) for name, array in batch.items()}
        return _mapped(on_device, placement)(params, state, blocks, rng)

    return rule._replace(step=step)


def _mapped(on_device: Callable[..., tuple], placement: Placement) -> Callable[..., tuple]:
    """Maps `(params, state, blocks [parts, rows, ...], rng)` over the devices. The blocks are sharded along their second axis."""
    if placement.kind == "shard_map":
        replicated, sharded = PartitionSpec(), PartitionSpec(None, AXIS)
        in_specs = (replicated, replicated, sharded, replicated)
        # With check_vma, gradients would arrive summed. Without it each device has its own, as under pmap, for `average_gradients`.
        return jax.shard_map(on_device, mesh=placement.mesh, in_specs=in_specs, out_specs=replicated, check_vma=False)

    devices = list(placement.mesh.devices.flat)
    mapped = jax.pmap(on_device, AXIS, in_axes=(None, None, 0, None), out_axes=None, devices=devices)

    def with_a_leading_axis(params: Players, state: TrainState, blocks: dict[str, Array], rng: Array) -> tuple:
        def shard(array: Array) -> Array:
            return jnp.moveaxis(array.reshape(array.shape[0], placement.devices, -1, *array.shape[2:]), 1, 0)

        return mapped(params, state, {name: shard(array) for name, array in blocks.items()}, rng)

    return with_a_leading_axis


def _shard_inputs(network: Network, placement: Placement) -> Network:
    """The network with inputs that are sharded along the batch, and with parameters that are gathered before use."""

    def rows(tree: PyTree) -> PyTree:
        def constrain(array: Array) -> Array:
            even = array.ndim and array.shape[0] % placement.devices == 0
            return jax.lax.with_sharding_constraint(array, placement.batch) if even else array

        return jax.tree.map(constrain, tree)

    def apply(params: PyTree, state: PyTree, *inputs: Any, **keywords: Any) -> tuple[Any, PyTree]:
        if placement.shard_parameters:
            # Otherwise the compiler would shard activations as the weights, along channels and pixels.
            params = jax.lax.with_sharding_constraint(params, placement.replicated)
        return network.apply(params, state, *rows(inputs), **keywords)

    return network._replace(apply=apply)


def _network(network: Network, shard: BatchShard, statistics: str | None) -> Network:
    def apply(*arguments: Any, rng: Array | None = None, **keywords: Any) -> tuple[Any, PyTree]:
        rng = None if rng is None else shard.fold(rng)
        if statistics is None:
            return network.apply(*arguments, rng=rng, **keywords)
        with sharing_batch(statistics):
            return network.apply(*arguments, rng=rng, **keywords)

    return network._replace(apply=apply)


def _loss(loss: AdversarialLoss, statistics: str | None) -> AdversarialLoss:
    if statistics is None or not loss.couples_examples:
        return loss
    discriminator, generator = (partial(half, axis_name=statistics) for half in (loss.discriminator, loss.generator))
    return loss._replace(discriminator=discriminator, generator=generator)


def _targets(targets: Callable[..., tuple[Array, Array]], shard: BatchShard) -> Callable[..., tuple[Array, Array]]:
    def local(target: Array, shape: tuple[int, ...]) -> Array:
        return shard.local(target) if jnp.shape(target) == shard.global_shape(shape) else target

    def draw(rng: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
        real, fake = targets(rng, shard.global_shape(shape))
        return local(real, shape), local(fake, shape)

    return draw


def _context(context: Condition, shard: BatchShard) -> Condition:
    # A random context needs the global batch. A context that is computed from each image alone does not.
    return Condition(lambda rng, real: shard.local(context(rng, shard.gather(real))), draws=True) if context.draws else context


def _replay(replay: Replay, shard: BatchShard) -> Replay:
    def apply(state: Any, fakes: Array, rng: Array) -> tuple[Array, Any]:
        mixed, state = replay.apply(state, shard.gather(fakes), rng)
        return shard.local(mixed), state

    return replay._replace(apply=apply)


def _top_k(weights: Callable[[Array, Array], Array], shard: BatchShard) -> Callable[[Array, Array], Array]:
    return lambda logits, step: shard.local(weights(shard.gather(logits), step))


def _penalty(penalty: GradientPenalty, shard: BatchShard, statistics: str | None) -> GradientPenalty:
    shared = {"axis_name": statistics} if statistics and penalty.couples_examples else {}
    return penalty._replace(function=lambda critic, real, fake, rng: penalty.function(critic, real, fake, shard.fold(rng), **shared))


def _term(term: LossTerm, shard: BatchShard) -> LossTerm:
    def function(context: LossContext, state: PyTree) -> tuple[Array, PyTree]:
        minibatch = context.minibatch
        return term.function(context._replace(minibatch=minibatch._replace(rng=shard.fold(minibatch.rng))), state)

    return term._replace(function=function)


def _augmentation(augmentation: Augmentation, shard: BatchShard) -> Augmentation:
    def apply(images: Array, state: PyTree, rng: Array, step: Array) -> Array:
        return augmentation.apply(images, state, shard.fold(rng), step)

    def update(state: PyTree, real_logits: Array, fake_logits: Array) -> PyTree:
        return augmentation.update(state, *_gathered(shard, real_logits, fake_logits))

    return augmentation._replace(apply=apply, update=update)


def _pseudo_augmentation(pseudo: PseudoAugmentation, shard: BatchShard) -> PseudoAugmentation:
    def mix(real: Array, fake: Array, rng: Array, probability: Array) -> Array:
        return pseudo.mix(real, fake, shard.fold(rng), probability)

    def update(state: PyTree, real_logits: Array, fake_logits: Array) -> PyTree:
        return pseudo.update(state, *_gathered(shard, real_logits, fake_logits))

    return pseudo._replace(mix=mix, update=update)


def _gathered(shard: BatchShard, *logits: Array) -> list[Array]:
    """The logits of all devices."""
    return [jax.lax.all_gather(values, shard.axis_name, tiled=True) for values in logits]
