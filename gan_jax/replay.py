"""A replay buffer of past fakes for the discriminator, and a pool of past players as opponents.

Both consist of pure functions and an explicit state. The state is a pytree of arrays of fixed size on the device, so it
can be checkpointed, sharded and used under vmap. The argument `mode` selects what is kept:

- "reservoir": a uniform sample of everything that was ever pushed (Vitter 1985, algorithm R).
- "fifo": the newest items.

`replay_buffer` also has the mode "pool", the image pool of CycleGAN (`query_pool`).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from gan_jax._internal.checks import check_float, check_interval, check_not_empty
from gan_jax.typing import Array, Players, PyTree

Mode = Literal["reservoir", "fifo"]
ReplayMode = Literal["reservoir", "fifo", "pool"]

# Counters are kept at or below this value, so that int32 does not overflow. It is reached after about a billion images.
_COUNT_LIMIT = 2**30


class ReplayState(NamedTuple):
    """State of a replay buffer.

    Attributes:
        images: Stored images, [capacity, ...]. Empty places hold zeros.
        count: Number of images pushed so far, int32 []. The buffer holds `min(count, capacity)` images.
    """

    images: Array
    count: Array


class Replay(NamedTuple):
    """A replay buffer as two pure functions. Make it with `replay_buffer`.

    Attributes:
        init: `shape -> state`, for images of that shape (without the batch axis).
        apply: `(state, fakes, rng) -> (fakes, state)`. Mixes past fakes into the batch and stores the new fakes.
    """

    init: Callable[[Sequence[int]], Any]
    apply: Callable[[Any, Array, Array], tuple[Array, Any]]


def init(capacity: int, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> ReplayState:
    """Makes an empty buffer for `capacity` images of `shape` (without the batch axis) in `dtype`.

    bfloat16 halves the memory and rounds the images.

    Raises:
        ValueError: `capacity` is below 1.
    """
    if capacity < 1:
        raise ValueError(f"capacity must be at least 1; got {capacity}")
    return ReplayState(images=jnp.zeros((capacity, *shape), dtype), count=jnp.zeros((), jnp.int32))


def push(state: ReplayState, images: Array, rng: Array, *, mode: Mode = "reservoir") -> ReplayState:
    """Stores a batch of images in the buffer, one after the other.

    In mode "reservoir", image number n (from 0) is stored if n < capacity. A later image is stored with probability
    capacity / (n + 1) and replaces a random image. The buffer is then always a uniform sample of all images so far. In mode
    "fifo" the newest `capacity` images are stored.

    Args:
        state: The buffer.
        images: Float [batch, ...]. They are stored in the buffer's type, without gradient.
        rng: JAX random key. The mode "fifo" does not use it.
        mode: "reservoir" or "fifo".

    Returns:
        The buffer with the images in it.

    Raises:
        TypeError: The images are not floating point.
        ValueError: The image shape differs from the buffer's, the batch is empty, or the mode is unknown.

    References:
        Vitter, "Random sampling with a reservoir", 1985, algorithm R.
        Shrivastava et al., "Learning from Simulated and Unsupervised Images through Adversarial Training", 2017,
        section 2.3. Deviation: that paper replaces random places of the buffer, so the share of old images decays
        exponentially.
    """
    check_float(images=images)
    check_not_empty(images=images)
    _check_shape("images", images, state)
    capacity, batch = state.images.shape[0], images.shape[0]
    slots = _slots(rng, state.count, batch, capacity, mode)
    kept = state.images.at[slots].set(jax.lax.stop_gradient(images).astype(state.images.dtype), mode="drop")
    return ReplayState(images=kept, count=_advance(state.count, batch, capacity, mode))


def mix(state: ReplayState, fakes: Array, rng: Array, *, share: float) -> Array:
    """Replaces a share of a batch of fakes, at random places, by past fakes sampled from the buffer with replacement.

    `round(share * batch)` images are replaced. If the buffer is empty or the share is 0, the batch is returned bit for bit
    unchanged. Past images carry no gradient. The buffer stores no labels, so do not use it for a conditional GAN.

    Args:
        state: The buffer.
        fakes: The newest fakes, float [batch, ...].
        rng: JAX random key.
        share: Share of the batch to replace, in [0, 1].

    Returns:
        The mixed batch, with the shape and type of `fakes`.

    Raises:
        TypeError: The fakes are not floating point.
        ValueError: The image shape differs from the buffer's, the batch is empty, or the share is outside [0, 1].

    References:
        Shrivastava et al., "Learning from Simulated and Unsupervised Images through Adversarial Training", 2017,
        section 2.3 (half of each batch is taken from the buffer). CycleGAN (Zhu 2017) differs: it keeps 50 images and
        replaces each fake with probability 1/2, and the new image then replaces the stored image that was used.
    """
    check_float(fakes=fakes)
    check_not_empty(fakes=fakes)
    check_interval(0, 1, share=share)
    _check_shape("fakes", fakes, state)
    place_rng, draw_rng = jax.random.split(rng)
    batch = fakes.shape[0]
    stored = jnp.minimum(state.count, state.images.shape[0])
    past = state.images[jax.random.randint(draw_rng, (batch,), 0, jnp.maximum(stored, 1))]
    replaced = (jax.random.permutation(place_rng, batch) < jnp.round(share * batch).astype(jnp.int32)) & (stored > 0)
    return jnp.where(replaced.reshape((batch,) + (1,) * (fakes.ndim - 1)), jax.lax.stop_gradient(past).astype(fakes.dtype), fakes)


def query_pool(state: ReplayState, fakes: Array, uniform: Array, places: Array, *, share: float = 0.5) -> tuple[Array, ReplayState]:
    """CycleGAN's image pool: shows each fake, or a stored one instead, which the fake then replaces. One fake after the other.

    As long as the pool is not full, each fake is stored and shown. Afterwards, if u > 1 - share, the stored image at the drawn place is
    shown and the fake takes its place. Otherwise the fake is shown and not stored.

    Args:
        state: The pool.
        fakes: The newest fakes, float [batch, ...].
        uniform: The draws u, float [batch] in [0, 1].
        places: The drawn places, int [batch] from 0 to the capacity - 1.
        share: Probability of showing a stored image, in [0, 1].

    Returns:
        What is shown, with the shape and type of `fakes`, and the pool. Stored images carry no gradient.

    Raises:
        TypeError: The fakes are not floating point.
        ValueError: The image shape differs from the pool's, the batch is empty, or the share is outside [0, 1].

    References:
        Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial networks", 2017, section 4. The order of the
        decisions is that of `ImagePool.query` in the authors' PyTorch code.
    """
    check_float(fakes=fakes)
    check_not_empty(fakes=fakes)
    check_interval(0, 1, share=share)
    _check_shape("fakes", fakes, state)
    capacity = state.images.shape[0]

    def one(state: ReplayState, item: tuple[Array, Array, Array]) -> tuple[ReplayState, Array]:
        fake, draw, place = item
        filling = state.count < capacity
        swaps = ~filling & (draw > 1 - share)
        slot = jnp.where(filling, state.count, place)
        past = state.images[slot]
        stored = jax.lax.stop_gradient(fake).astype(past.dtype)
        images = state.images.at[slot].set(jnp.where(filling | swaps, stored, past))
        return ReplayState(images, jnp.minimum(state.count + 1, _COUNT_LIMIT)), jnp.where(swaps, past.astype(fake.dtype), fake)

    state, shown = jax.lax.scan(one, state, (fakes, uniform, places))
    return shown, state


def replay_buffer(*, capacity: int = 50, share: float = 0.5, mode: ReplayMode = "reservoir", dtype: DTypeLike = jnp.float32) -> Replay:
    """Makes a replay buffer for the train step. It mixes past fakes into the batch first, then stores the new fakes.

    Args:
        capacity: Number of images. CycleGAN uses 50.
        share: Share of each batch that is replaced by past fakes, in [0, 1]. In the mode "pool" it is a probability.
        mode: "reservoir" (a sample of all past fakes), "fifo" (the newest), or "pool" (CycleGAN's, see `query_pool`).
        dtype: Type of the stored images.

    Returns:
        `Replay(init, apply)`.

    Raises:
        ValueError: `capacity` is below 1, the share is outside [0, 1], or the mode is unknown.

    References:
        Shrivastava et al., "Learning from Simulated and Unsupervised Images through Adversarial Training", 2017.
    """
    if capacity < 1:
        raise ValueError(f"capacity must be at least 1; got {capacity}")
    check_interval(0, 1, share=share)
    if mode != "pool":
        _check_mode(mode)

    def apply(state: ReplayState, fakes: Array, rng: Array) -> tuple[Array, ReplayState]:
        mix_rng, push_rng = jax.random.split(rng)
        if mode == "pool":
            places = jax.random.randint(push_rng, (len(fakes),), 0, capacity)
            return query_pool(state, fakes, jax.random.uniform(mix_rng, (len(fakes),)), places, share=share)
        return mix(state, fakes, mix_rng, share=share), push(state, fakes, push_rng, mode=mode)

    return Replay(init=partial(init, capacity, dtype=dtype), apply=apply)


def split_replay(replay: Replay, parts: int = 2) -> Replay:
    """One buffer of its own for each of `parts` equal parts of the channels, e.g. for the images of two domains. They decide independently.

    Args:
        replay: The buffer of one part.
        parts: Number of parts. It must divide the number of channels.
    """

    def init(shape: Sequence[int]) -> tuple[ReplayState, ...]:
        if shape[-1] % parts:
            raise ValueError(f"{parts} parts must divide the channels; got shape {tuple(shape)}")
        return tuple(replay.init((*shape[:-1], shape[-1] // parts)) for _ in range(parts))

    def apply(states: tuple[ReplayState, ...], fakes: Array, rng: Array) -> tuple[Array, tuple[ReplayState, ...]]:
        rows = zip(states, jnp.split(fakes, parts, axis=-1), jax.random.split(rng, parts), strict=True)
        results = [replay.apply(state, part, key) for state, part, key in rows]
        return jnp.concatenate([shown for shown, _ in results], axis=-1), tuple(state for _, state in results)

    return Replay(init=init, apply=apply)


class PlayerPoolState(NamedTuple):
    """State of a pool of past players.

    Attributes:
        players: The tree that was passed to `init`. Each leaf has an additional leading axis, `[capacity, ...]`.
        count: Number of copies stored so far, int32 []. The pool holds `min(count, capacity)` copies.
        chosen: Index of the copy that is used in this window, int32 []. -1 means none.
    """

    players: PyTree
    count: Array
    chosen: Array


class PlayerPool(NamedTuple):
    """A pool of past players as three pure functions. Make it with `player_pool`.

    Attributes:
        init: `params -> state`, for `Players` of parameters or any other tree of arrays.
        push: `(state, params, step, rng) -> state`. Call it once at the start of every step. It selects a copy at the
            beginning of a window and stores one at the end.
        opponents: `(state, params, step, rng=None) -> params`. Returns past parameters inside a window, and `params` otherwise.
            `rng` is not used. It exists so that the functions share one signature.
    """

    init: Callable[[PyTree], PlayerPoolState]
    push: Callable[[PlayerPoolState, PyTree, Array, Array], PlayerPoolState]
    opponents: Callable[..., Players | PyTree]


def player_pool(*, capacity: int, interval: int = 500, duration: int = 10, mode: Mode = "fifo") -> PlayerPool:
    """Makes a pool of past players, so that each player is trained against an opponent from the past for a few steps.

    A window opens at every `interval`-th step. One stored copy is then selected uniformly at random, and it is the opponent for
    `duration` steps. If no copy is stored, the current players are used. At the end of a window the current parameters are
    stored. The first copy is stored in the second window (at step `interval + duration`), because the players have learned
    nothing in the first one. A copy is therefore never overwritten while it is in use.

    The pool needs memory for `capacity` copies of the parameters.

    Args:
        capacity: Number of copies to keep, at least 1.
        interval: Number of steps from one window to the next, and from one stored copy to the next.
        duration: Number of steps for which the selected copy is used, from 1 to `interval - 1`.
        mode: "fifo" (the newest copies) or "reservoir" (a sample of all copies).

    Returns:
        `PlayerPool(init, push, opponents)`.

    Raises:
        ValueError: `capacity` is below 1, `duration` is outside [1, interval - 1], or the mode is unknown.

    References:
        Chintala et al., "How to Train a GAN?", NIPS 2016 workshop talk, trick 7. Past checkpoints of G and D are used there for
        a few iterations. The talk gives no numbers.
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
        slot = jnp.where(due, slot, capacity)  # mode="drop" ignores an index that is out of bounds.
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
    """Slot of each of the next `batch` items, int32 [batch]. `capacity` (out of bounds) marks items that are not kept.

    If two items of the batch have the same slot, only the last one keeps it, as if they were pushed one by one. A scatter with
    repeated indices would be undefined.
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
    """The count after `batch` more items. It is kept below the limit to avoid overflow, without moving its place in the ring."""
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
