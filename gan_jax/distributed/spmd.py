"""What one device does of a step, for `shard_map` and `pmap`: its share of the batch, of the draws, and of the game.

One rule says which rows of a batch are whose. Let b be a device's rows of one gradient: its share of a turn's batch, or of a micro
batch. An array of m b rows on a device (several turns, micro batches, or kinds of fakes, one behind the other) is the array of
m n b rows of one device, read as [m, n, b], at its own place on the second axis.
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
from gan_jax.typing import AdversarialLoss, Array, Augmentation, Network, Players, PyTree


class BatchShard:
    """Which rows of a global array are this device's, and back; for use inside the mapped step.

    Args:
        axis_name: the mapped axis.
        size: b, a device's rows of one gradient.
    """

    def __init__(self, axis_name: str, size: int):
        self.axis_name, self.size = axis_name, size

    def own(self, everyone: Array) -> Array:
        """[m n b, ...] -> this device's [m b, ...]."""
        devices = jax.lax.axis_size(self.axis_name)
        blocks = everyone.reshape(-1, devices, self._block(everyone.shape[0] // devices), *everyone.shape[1:])
        mine = jax.lax.dynamic_index_in_dim(blocks, jax.lax.axis_index(self.axis_name), 1, keepdims=False)
        return mine.reshape(-1, *everyone.shape[1:])

    def gather(self, mine: Array) -> Array:
        """[m b, ...] -> everyone's [m n b, ...], in the order that one device would have them."""
        blocks = jax.lax.all_gather(mine.reshape(-1, self._block(len(mine)), *mine.shape[1:]), self.axis_name, axis=1)
        return blocks.reshape(-1, *mine.shape[1:])

    def _block(self, rows: int) -> int:
        # Fewer rows than a gradient's: logits of packed samples, one for several.
        return rows if rows % self.size else self.size

    def whole(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of everyone's rows."""
        return (shape[0] * jax.lax.axis_size(self.axis_name), *shape[1:])

    def fold(self, rng: Array) -> Array:
        """A key of this device's own."""
        return jax.random.fold_in(rng, jax.lax.axis_index(self.axis_name))


def per_device(spec: GANSpec, *, axis_name: str = AXIS, rows: int, share_statistics: bool = True) -> GANSpec:
    """The game that a device plays inside `shard_map(check_vma=False)` or `pmap`, on its share of the batch.

    As on one device with the whole batch: latents, soft and flipped labels, a random context, the replay buffer, top-k weights, the
    statistics of adaptive augmentation, and (with `share_statistics`) the statistics of normalisation and minibatch layers,
    relativistic averages, feature matching, LeCam's anchors. What is drawn in a network, in a transformation of D's inputs, in a
    penalty or in a term is drawn from a key of the device's own: as independent as on one device, but other draws.

    Args:
        game: of the global view.
        axis_name: of the mapped axis.
        rows: b, see the top of the file.
        share_statistics: False keeps what couples examples within each device.

    Returns:
        A game for the inside of the mapped step. Its parameters and state are those of the game that was given.
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
        sample_latents=lambda rng, shape: shard.own(spec.sample_latents(rng, shard.whole(shape))),
        sample_labels=None if spec.sample_labels is None else lambda rng, shape: shard.own(spec.sample_labels(rng, shard.whole(shape))),
        targets=None if spec.targets is None else _targets(spec.targets, shard),
        context=_context(spec.context, shard),
        replay=None if spec.replay is None else _replay(spec.replay, shard),
        top_k=None if spec.top_k is None else _top_k(spec.top_k, shard),
        penalties=tuple(_penalty(penalty, shard, statistics) for penalty in spec.penalties),
        terms=tuple(_term(term, shard) for term in spec.terms),
        augmentations=tuple(_input_transform(transform, shard) for transform in spec.augmentations),
    )


def distribute(rule: UpdateRule, placement: Placement, *, micro_batches: int = 1) -> UpdateRule:
    """The strategy on many devices: same arguments, same results, still a global view, to be jitted.

    With `jit` where the arguments lie says where it runs; what goes into a network is kept in rows over the devices, or the compiler
    would let every device make all the fakes, which nothing else ties to the batch. With `shard_map` or `pmap` the step is mapped over
    the devices; parameters and state go in and come out whole.

    Args:
        strategy: of one device.
        placement: where.
        micro_batches: the number of parts into which the strategy cuts a turn's batch.

    Raises:
        ValueError: at trace time, a batch that the devices cannot share evenly.
    """
    if placement.kind == "jit":

        def spread_step(spec: GANSpec, *arguments: Any) -> tuple:
            spread = {player: _spread(getattr(spec, player), placement) for player in Players._fields}
            return rule.step(dataclasses.replace(spec, **spread), *arguments)

        return rule._replace(step=spread_step)

    def step(spec: GANSpec, params: Players, state: TrainState, batch: Mapping[str, Array], rng: Array) -> tuple:
        devices, parts = placement.devices, rule.batches_per_step * micro_batches
        size = batch["image"].shape[0]
        if size % (devices * parts):
            raise ValueError(f"the batch must hold a multiple of {devices * parts} examples ({devices} devices, {parts} parts); got {size}")
        local = per_device(spec, rows=size // (devices * parts), share_statistics=placement.share_statistics)

        def on_device(params: Players, state: TrainState, blocks: dict[str, Array], rng: Array) -> tuple:
            own = {name: array.reshape(-1, *array.shape[2:]) for name, array in blocks.items()}
            params, state, metrics = rule.step(local, params, state, own, rng)
            if not placement.share_statistics:
                state = state._replace(networks=local.average(state.networks), terms=local.average(state.terms))
            return params, state, local.average(metrics)

        blocks = {name: array.reshape(parts, -1, *array.shape[1:]) for name, array in batch.items()}
        return _mapped(on_device, placement)(params, state, blocks, rng)

    return rule._replace(step=step)


def _mapped(on_device: Callable[..., tuple], placement: Placement) -> Callable[..., tuple]:
    """`(params, state, blocks [parts, rows, ...], rng)`: the blocks cut along their second axis, everything else whole."""
    if placement.kind == "shard_map":
        whole, shard = PartitionSpec(), PartitionSpec(None, AXIS)
        # Unchecked: gradients come as each device's own, for `average_gradients`, the same as under pmap.
        return jax.shard_map(on_device, mesh=placement.mesh, in_specs=(whole, whole, shard, whole), out_specs=whole, check_vma=False)

    devices = list(placement.mesh.devices.flat)
    mapped = jax.pmap(on_device, AXIS, in_axes=(None, None, 0, None), out_axes=None, devices=devices)

    def with_a_leading_axis(params: Players, state: TrainState, blocks: dict[str, Array], rng: Array) -> tuple:
        def shard(array: Array) -> Array:
            return jnp.moveaxis(array.reshape(array.shape[0], placement.devices, -1, *array.shape[2:]), 1, 0)

        return mapped(params, state, {name: shard(array) for name, array in blocks.items()}, rng)

    return with_a_leading_axis


def _spread(network: Network, placement: Placement) -> Network:
    """A network whose inputs lie in rows over the devices, and whose parameters are gathered before they are used."""

    def rows(tree: PyTree) -> PyTree:
        def spread(array: Array) -> Array:
            even = array.ndim and array.shape[0] % placement.devices == 0
            return jax.lax.with_sharding_constraint(array, placement.batch) if even else array

        return jax.tree.map(spread, tree)

    def apply(params: PyTree, state: PyTree, *inputs: Any, **keywords: Any) -> tuple[Any, PyTree]:
        if placement.shard_parameters:
            # Or the compiler would cut activations as the weights lie, along channels and pixels.
            params = jax.lax.with_sharding_constraint(params, placement.replicated)
        return network.apply(params, state, *rows(inputs), **keywords)

    return network._replace(apply=apply)


def _network(network: Network, shard: BatchShard, statistics: str | None) -> Network:
    def apply(*arguments: Any, rng: Array | None = None, **keywords: Any) -> tuple[Any, PyTree]:
        own = None if rng is None else shard.fold(rng)
        if statistics is None:
            return network.apply(*arguments, rng=own, **keywords)
        with sharing_batch(statistics):
            return network.apply(*arguments, rng=own, **keywords)

    return network._replace(apply=apply)


def _loss(loss: AdversarialLoss, statistics: str | None) -> AdversarialLoss:
    if statistics is None or not loss.couples_examples:
        return loss
    discriminator, generator = (partial(half, axis_name=statistics) for half in (loss.discriminator, loss.generator))
    return loss._replace(discriminator=discriminator, generator=generator)


def _targets(targets: Callable[..., tuple[Array, Array]], shard: BatchShard) -> Callable[..., tuple[Array, Array]]:
    def own(target: Array, shape: tuple[int, ...]) -> Array:
        return shard.own(target) if jnp.shape(target) == shard.whole(shape) else target

    def draw(rng: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
        real, fake = targets(rng, shard.whole(shape))
        return own(real, shape), own(fake, shape)

    return draw


def _context(context: Condition, shard: BatchShard) -> Condition:
    # A context that draws needs the whole batch. One that does not depends on its own image alone.
    return Condition(lambda rng, real: shard.own(context(rng, shard.gather(real))), draws=True) if context.draws else context


def _replay(replay: Replay, shard: BatchShard) -> Replay:
    def apply(state: Any, fakes: Array, rng: Array) -> tuple[Array, Any]:
        mixed, state = replay.apply(state, shard.gather(fakes), rng)
        return shard.own(mixed), state

    return replay._replace(apply=apply)


def _top_k(weights: Callable[[Array, Array], Array], shard: BatchShard) -> Callable[[Array, Array], Array]:
    return lambda logits, step: shard.own(weights(shard.gather(logits), step))


def _penalty(penalty: GradientPenalty, shard: BatchShard, statistics: str | None) -> GradientPenalty:
    shared = {"axis_name": statistics} if statistics and penalty.couples_examples else {}
    return penalty._replace(function=lambda critic, real, fake, rng: penalty.function(critic, real, fake, shard.fold(rng), **shared))


def _term(term: LossTerm, shard: BatchShard) -> LossTerm:
    def function(play: LossContext, state: PyTree) -> tuple[Array, PyTree]:
        return term.function(play._replace(minibatch=play.minibatch._replace(rng=shard.fold(play.minibatch.rng))), state)

    return term._replace(function=function)


def _input_transform(transform: Augmentation, shard: BatchShard) -> Augmentation:
    def apply(images: Array, state: PyTree, rng: Array, step: Array) -> Array:
        return transform.apply(images, state, shard.fold(rng), step)

    def update(state: PyTree, real_logits: Array, fake_logits: Array) -> PyTree:
        everyone = (jax.lax.all_gather(logits, shard.axis_name, tiled=True) for logits in (real_logits, fake_logits))
        return transform.update(state, *everyone)

    return transform._replace(apply=apply, update=update)
