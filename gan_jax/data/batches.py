"""Which examples make up the batch of a step: a pure function of (seed, step), asked for directly."""

import functools
from typing import Any

import numpy as np

from gan_jax.data.errors import DataError
from gan_jax.data.source import Source

_FLIPS = 2**63  # the second word of a key: epochs count up from 0, the mirrorings of steps from here


def _draws(seed: int, stream: int, count: int) -> np.ndarray:
    """Uniform uint64 [count], a pure function of (seed, stream)."""
    return np.random.Philox(key=np.array([seed % 2**64, stream], np.uint64)).random_raw(count)


def permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order of an epoch: a pure function of (seed, epoch), uniform over all orders.

    Sorts raw draws of the counter-based generator Philox, whose stream NumPy keeps from version to version (that of
    `Generator.permutation` it does not promise to keep).

    Args:
        seed: any integer.
        epoch: from 0.
        count: of the examples.

    Returns:
        int64 [count], each of 0 to count - 1 once.

    References:
        Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.
    """
    draws = _draws(seed, epoch, count)
    return np.argsort(draws, kind="stable")


def check_batch_size(batch_size: int, source: Source, turns: int = 1) -> None:
    """Raises DataError unless the batch of a step can be as large.

    Args:
        batch_size: examples of a step.
        source: where they come from.
        turns: of the discriminator that share them; for the message.
    """
    if batch_size < 1:
        raise DataError(f"--batch-size {batch_size}: must be at least 1")
    if batch_size > len(source):
        raise DataError(f"{_flags(batch_size, turns)}: the data set has {len(source)} {'images' if source.is_images else 'points'}")


def _flags(batch_size: int, turns: int) -> str:
    """The flags that a batch of a step comes from, with the values that were given to them."""
    return f"--batch-size {batch_size}" if turns == 1 else f"--batch-size {batch_size // turns} x --strategy.discriminator-steps {turns}"


class Batches:
    """The batches of a run, each at hand by its step.

    The examples are taken epoch after epoch, each epoch in an order of its own, without replacement; a batch may reach from one
    epoch into the next, so that every example is used exactly once an epoch, whatever the batch size. The same
    (seed, step) gives the same batch, in any process, however one came there.

    Args:
        source: where the examples come from.
        batch_size: examples of a step, over all processes.
        seed: of the order.
        flip: whether to mirror each image with probability 1/2.
        turns: of the discriminator that share the examples of a step; only what an error says of the batch size depends on it.

    Raises:
        DataError: the batch is larger than the data set.
    """

    def __init__(self, source: Source, batch_size: int, seed: int = 0, *, flip: bool = False, turns: int = 1):
        check_batch_size(batch_size, source, turns)
        if flip and not source.is_images:
            raise DataError(f"--data.flip: {source.name} has points, not images")
        self.source = source
        self.batch_size = batch_size
        self.seed = seed
        self.flip = flip
        self.turns = turns
        # A batch lies in at most two epochs, so two orders are enough to walk on without computing any twice.
        self._order = functools.lru_cache(maxsize=2)(functools.partial(permutation, seed, count=len(source)))

    def indices_at(self, step: int, count: int = 1) -> np.ndarray:
        """The examples of `count` steps from `step` on.

        Returns:
            int32 [count, batch_size].
        """
        if step < 0:
            raise ValueError(f"step must not be negative; got {step}")
        size = len(self.source)
        at, end = step * self.batch_size, (step + count) * self.batch_size
        pieces = []
        while at < end:
            epoch, offset = divmod(at, size)
            pieces.append(self._order(epoch)[offset : offset + end - at])
            at += len(pieces[-1])
        indices = np.concatenate(pieces) if pieces else np.empty(0, np.int64)
        return indices.astype(np.int32).reshape(count, self.batch_size)

    def flips_at(self, step: int, count: int = 1) -> np.ndarray:
        """Which examples of `count` steps from `step` on are mirrored.

        Returns:
            bool [count, batch_size]; all False where mirroring is off.
        """
        flips = np.zeros((count, self.batch_size), bool)
        if self.flip:
            for row in range(count):
                draws = _draws(self.seed, _FLIPS + step + row, self.batch_size)
                flips[row] = draws >> np.uint64(63)
        return flips

    def at(self, step: int, process_index: int = 0, process_count: int = 1) -> dict[str, np.ndarray]:
        """The batch of a step, or this process's part of it.

        Args:
            step: from 0.
            process_index: of this process.
            process_count: of the processes that share the batch; the parts, put together in their order, are the whole batch.

        Returns:
            `image`, uint8 [batch, height, width, channels] (points: float32 [batch, dim]), and, where the source has labels,
            `label`, int32 [batch]; batch is batch_size / process_count.

        Raises:
            DataError: the processes cannot share the batch evenly; or a file cannot be read.
        """
        part = self.share(process_index, process_count)
        indices = self.indices_at(step)[0, part]
        images = np.asarray(self.source.images[indices])
        if self.flip:
            flips = self.flips_at(step)[0, part]
            images = np.where(flips[:, None, None, None], images[:, :, ::-1], images)
        labels = self.source.labels_of(indices)
        return {"image": images} | ({} if labels is None else {"label": labels})

    def share(self, process_index: int, process_count: int) -> slice:
        """The part of each batch that belongs to a process.

        Raises:
            DataError: the batch cannot be shared evenly.
        """
        if not 0 <= process_index < process_count:
            raise ValueError(f"process_index must be from 0 to {process_count - 1}; got {process_index}")
        if self.batch_size % process_count:
            flags = _flags(self.batch_size, self.turns)
            raise DataError(f"{flags}: {process_count} processes cannot share it evenly; take a multiple of {process_count}")
        size = self.batch_size // process_count
        return slice(process_index * size, (process_index + 1) * size)


def stack(batches: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Batches of several steps as one, with a leading axis of steps."""
    return {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
