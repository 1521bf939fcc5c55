"""Memories of the past: a buffer of past fakes for the discriminator, and a pool of past players as opponents.

Both are pairs of pure functions with an explicit state of arrays, of fixed size, on the device: it checkpoints, shards and vmaps
like everything else. `mode` says which part of the past is kept: "reservoir", a uniform sample of everything ever pushed
(Vitter 1985, algorithm R), or "fifo", the newest.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from gan_jax._checks import check_float, check_interval, check_not_empty
from gan_jax.typing import Array, Players, PyTree

Mode = Literal["reservoir", "fifo"]

# Counters stay below this, far from the end of int32; reached after a billion images.
_COUNT_LIMIT = 2**30


class ReplayState(NamedTuple):
    """Past fakes.

    Attributes:
        images: [capacity, ...]; zeros where nothing has been stored yet.
        count: int32 [], how many images were pushed so far; `min(count, capacity)` are stored.
    """

    images: Array
    count: Array


class Replay(NamedTuple):
    """A replay buffer with its settings bound; see `replay_buffer`.

    Attributes:
        init: `shape -> state`, for images of that shape (without the batch axis).
        apply: `(state, fakes, rng) -> (fakes, state)`: past fakes mixed in, the new ones remembered.
    """

    init: Callable[[Sequence[int]], ReplayState]
    apply: Callable[[ReplayState, Array, Array], tuple[Array, ReplayState]]


def init(capacity: int, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> ReplayState:
    """Makes an empty buffer for `capacity` images of `shape` (without the batch axis) in `dtype`.

    A narrower `dtype` (bfloat16) halves the memory and rounds the images.

    Raises:
        ValueError: capacity below 1.
    """
    if capacity < 1:
        raise ValueError(f"capacity must be at least 1; got {capacity}")
    return ReplayState(images=jnp.zeros((capacity, *shape), dtype), count=jnp.zeros((), jnp.int32))


def push(state: ReplayState, images: Array, rng: Array, *, mode: Mode = "reservoir") -> ReplayState:
    """Remembers a batch of images, one after the other.

    "reservoir": image number n (from 0) is stored if n < capacity, else with probability capacity / (n + 1), in
    place of a random one; at any time the buffer is a uniform sample of all images so far. "fifo": the newest
    `capacity` images are stored.

    Args:
        state: the buffer.
        images: float [batch, ...]; kept in the buffer's type, with no gradient.
        rng: key; unused by "fifo".
        mode: "reservoir" or "fifo".

    Returns:
        The buffer with the images in it.

    Raises:
        TypeError: images that are not floating point.
        ValueError: another image shape than the buffer's, an empty batch, an unknown mode.

    References:
        Vitter, "Random sampling with a reservoir", 1985, algorithm R.
        Shrivastava et al., "Learning from Simulated and Unsupervised Images through Adversarial Training", 2017,
        section 2.3, which replaces random places of the buffer: old images die out exponentially there.
    """
    check_float(images=images)
    check_not_empty(images=images)
    _check_shape("images", images, state)
    capacity, batch = state.images.shape[0], images.shape[0]
    slots = _slots(rng, state.count, batch, capacity, mode)
    kept = state.images.at[slots].set(jax.lax.stop_gradient(images).astype(state.images.dtype), mode="drop")
    return ReplayState(images=kept, count=_advance(state.count, batch, capacity, mode))


def mix(state: ReplayState, fakes: Array, rng: Array, *, share: float) -> Array:
    """Replaces a share of a batch of fakes, at random places, by past ones drawn from the buffer with replacement.

    `round(share * batch)` images are replaced; none while the buffer is empty, and none, to the byte, at share 0.
    Past images carry no gradient. Labels do not travel along: a conditional game should not mix.

    Args:
        state: the buffer.
        fakes: float [batch, ...], the newest fakes.
        rng: key.
        share: of the batch to replace, in [0, 1].

    Returns:
        The mixed batch, shape and type of `fakes`.

    Raises:
        TypeError: fakes that are not floating point.
        ValueError: another image shape than the buffer's, an empty batch, a share outside [0, 1].

    References:
        Shrivastava et al., "Learning from Simulated and Unsupervised Images through Adversarial Training", 2017,
        section 2.3 (half of each batch from the buffer). CycleGAN (Zhu 2017) keeps 50 images and replaces each fake
        with probability 1/2; there the new image takes the place of the one that was drawn.
    """
    check_float(fakes=fakes)
    check_not_empty(fakes=fakes)
    check_interval(0, 1, share=share)
    _check_shape("fakes", fakes, state)
    place_rng, draw_rng = jax.random.split(rng)
    batch = fakes.shape[0]
    stored = jnp.minimum(state.count, state.images.shape[0])
    past = state.images[jax.random.randint(draw_rng, (batch,), 0, jnp.maximum(stored, 1))]
    replaced = (jax.random.permutation(place_rng, batch) < jnp.round(share * batch)) & (stored > 0)
    return jnp.where(replaced.reshape((batch,) + (1,) * (fakes.ndim - 1)), jax.lax.stop_gradient(past).astype(fakes.dtype), fakes)


def replay_buffer(*, capacity: int = 50, share: float = 0.5, mode: Mode = "reservoir", dtype: DTypeLike = jnp.float32) -> Replay:
    """Makes a replay buffer for a training step: past fakes are mixed in first, then the new ones are remembered.

    Args:
        capacity: number of images; CycleGAN has 50.
        share: of each batch that is replaced by past fakes, in [0, 1].
        mode: "reservoir" (a sample of all the past) or "fifo" (the newest).
        dtype: of the stored images.

    Returns:
        `Replay(init, apply)`.

    Raises:
        ValueError: capacity below 1, a share outside [0, 1], an unknown mode.

    References:
        Shrivastava et al., "Learning from Simulated and Unsupervised Images through Adversarial Training", 2017.
    """
    if capacity < 1:
        raise ValueError(f"capacity must be at least 1; got {capacity}")
    check_interval(0, 1, share=share)
    _check_mode(mode)

    def apply(state: ReplayState, fakes: Array, rng: Array) -> tuple[Array, ReplayState]:
        mix_rng, push_rng = jax.random.split(rng)
        return mix(state, fakes, mix_rng, share=share), push(state, fakes, push_rng, mode=mode)

    return Replay(init=partial(init, capacity, dtype=dtype), apply=apply)


class PlayerPoolState(NamedTuple):
    """Past players.

    Attributes:
        players: the tree that was given to `init`, each leaf with a leading axis `[capacity, ...]`.
        count: int32 [], how many copies were stored so far; `min(count, capacity)` are there.
        chosen: int32 [], which one plays in this window; -1 for none.
    """

    players: PyTree
    count: Array
    chosen: Array


class PlayerPool(NamedTuple):
    """A pool of past players with its settings bound; see `player_pool`.

    Attributes:
        init: `params -> state`, for `Players` of parameters or any other tree of arrays.
        push: `(state, params, step, rng) -> state`, once per step, first thing: chooses and stores when it is time.
        opponents: `(state, params, step, rng=None) -> params`: past ones inside a window, else `params` as given.
            Nothing is drawn here, `rng` only completes the form.
    """

    init: Callable[[PyTree], PlayerPoolState]
    push: Callable[[PlayerPoolState, PyTree, Array, Array], PlayerPoolState]
    opponents: Callable[..., Players | PyTree]


def player_pool(*, capacity: int, interval: int = 500, duration: int = 10, mode: Mode = "fifo") -> PlayerPool:
    """Makes a pool of past players: now and then each player meets an opponent from the past for a few steps.

    At every `interval`-th step one stored copy is chosen uniformly at random, and for `duration` steps from there it
    is the opponent; while nothing is stored the players meet each other. When such a window closes, the present
    parameters are stored; for the first time in the second window (at step `interval + duration`), because the
    players of the first steps have learned nothing. A copy is therefore never overwritten while it plays.

    Memory: `capacity` copies of the parameters.

    Args:
        capacity: number of copies kept, at least 1.
        interval: steps from one window to the next, and from one copy to the next.
        duration: steps for which the chosen copy plays, from 1 to `interval - 1`.
        mode: "fifo" (the newest copies) or "reservoir" (a sample of all).

    Returns:
        `PlayerPool(init, push, opponents)`.

    Raises:
        ValueError: a capacity below 1, a duration outside [1, interval - 1], an unknown mode.

    References:
        Chintala et al., "How to Train a GAN?", NIPS 2016 workshop talk, trick 7 (past checkpoints of G and D swapped
        in for a few iterations; no numbers are given there).
    """
    if capacity < 1:
        raise ValueError(f"capacity must be at least 1; got {capacity}")
    if not 1 <= duration < interval:
        raise ValueError(f"duration must be at least 1 and below interval, {interval}; got {duration}")
    _check_mode(mode)

    def init(params: PyTree) -> PlayerPoolState:
        players = jax.tree.map(lambda leaf: jnp.zeros((capacity, *jnp.shape(leaf)), jnp.result_type(leaf)), params)
        return PlayerPoolState(players=players, count=jnp.zeros((), jnp.int32), chosen=jnp.full((), -1, jnp.int32))

    def push(state: PlayerPoolState, params: PyTree, step: Array, rng: Array) -> PlayerPoolState:
        choose_rng, slot_rng = jax.random.split(rng)
        stored = jnp.minimum(state.count, capacity)
        draw = jnp.where(stored > 0, jax.random.randint(choose_rng, (), 0, jnp.maximum(stored, 1)), -1)
        chosen = jnp.where(step % interval == 0, draw, state.chosen)
        due = (step % interval == duration) & (step >= interval)
        (slot,) = _slots(slot_rng, state.count, 1, capacity, mode)
        slot = jnp.where(due, slot, capacity)  # out of bounds: dropped
        players = jax.tree.map(lambda past, leaf: past.at[slot].set(jax.lax.stop_gradient(leaf), mode="drop"), state.players, params)
        count = jnp.where(due, _advance(state.count, 1, capacity, mode), state.count)
        return PlayerPoolState(players=players, count=count, chosen=chosen)

    def opponents(state: PlayerPoolState, params: PyTree, step: Array, rng: Array | None = None) -> PyTree:
        del rng
        swapped = (step % interval < duration) & (state.chosen >= 0)
        index = jnp.maximum(state.chosen, 0)
        return jax.tree.map(lambda past, leaf: jnp.where(swapped, past[index], leaf), state.players, params)

    return PlayerPool(init=init, push=push, opponents=opponents)


def _slots(rng: Array, count: Array, batch: int, capacity: int, mode: Mode) -> Array:
    """Where each of the next `batch` items goes, int32 [batch]; `capacity` (out of bounds) for those not kept.

    Where two items of the batch fall into one slot, only the last keeps it, as if they had come one by one: a
    scatter with repeated indices would be undefined.
    """
    _check_mode(mode)
    order = jnp.arange(batch, dtype=jnp.int32)
    number = count + order
    if mode == "fifo":
        slots = number % capacity
    else:
        draws = jax.random.randint(rng, (batch,), 0, number + 1)
        slots = jnp.where(number < capacity, number, jnp.minimum(draws, capacity))
    last = jnp.full((capacity + 1,), -1, jnp.int32).at[slots].max(order)
    return jnp.where(last[slots] == order, slots, capacity)


def _advance(count: Array, batch: int, capacity: int, mode: Mode) -> Array:
    """The count after `batch` more items; held below the limit so that it cannot overflow, at the same place of the ring."""
    count = count + batch
    if mode == "fifo":
        return jnp.where(count >= _COUNT_LIMIT, count - (_COUNT_LIMIT // (2 * capacity)) * capacity, count)
    return jnp.minimum(count, _COUNT_LIMIT)


def _check_mode(mode: str) -> None:
    if mode not in ("reservoir", "fifo"):
        raise ValueError(f"mode must be 'reservoir' or 'fifo'; got {mode!r}")


def _check_shape(name: str, images: Array, state: ReplayState) -> None:
    if images.shape[1:] != state.images.shape[1:]:
        raise ValueError(f"{name} must have the shape [batch, {', '.join(map(str, state.images.shape[1:]))}]; got {images.shape}")
