"""Which examples make up the batch of a step. The batch is a pure function of (seed, step), so any step can be requested directly."""

import functools
from typing import Any

import numpy as np

from gan_jax.data.errors import DataError
from gan_jax.data.source import Source

# Offsets in the second word of a Philox key. Orders of epochs use streams from 0, flips of steps use streams from _FLIPS.
_FLIPS = 2**63
_ROUNDS = 2**62  # Orders of the classes in the rounds of balanced batches.
_CLASSES = 2**61  # Orders of the examples of a class: 2**40 epochs for each class.
_CROPS = 2**60  # Places of the crops of steps.
_INPUTS = 2**59  # Orders of the epochs of inputs without a partner. Their flips and crops use the streams of the images plus this.


def _draws(seed: int, stream: int, count: int) -> np.ndarray:
    """Uniform uint64 [count], a pure function of (seed, stream)."""
    return np.random.Philox(key=np.array([seed % 2**64, stream], np.uint64)).random_raw(count)


def permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order of the examples in an epoch: a pure function of (seed, epoch), uniform over all orders.

    It sorts raw outputs of the counter-based generator Philox, because NumPy guarantees that this stream is the same in all versions.
    It gives no such guarantee for `Generator.permutation`.

    Args:
        seed: Any integer.
        epoch: Number of the epoch, from 0.
        count: Number of examples.

    Returns:
        int64 [count], a permutation of 0 to count - 1.

    References:
        Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.
    """
    draws = _draws(seed, epoch, count)
    return np.argsort(draws, kind="stable")


def check_batch_size(batch_size: int, source: Source, minibatches: int = 1) -> None:
    """Raises DataError if a train step has no example, or if one of its minibatches is larger than the data set."""
    if batch_size < 1:
        raise DataError("must be at least 1", argument="batch_size", value=batch_size)
    if batch_size > len(source) * minibatches:
        size = f"{len(source)} {'images' if source.is_images else 'points'}"
        raise DataError(f"the data set has {size}", argument="batch_size", value=batch_size)


class Batches:
    """The batches of a run, accessible by step.

    Examples are taken epoch by epoch without replacement. Each epoch has its own order. A batch can span two epochs, so every example
    is used exactly once per epoch for any batch size. A batch is determined by (seed, step) alone, so resuming needs no loader
    state, and all processes agree on the batch.

    Args:
        source: Source of the examples.
        batch_size: Number of examples in a train step, over all processes.
        seed: Random seed of the order.
        flip: Whether to mirror each image horizontally with probability 1/2.
        balanced: Whether all classes with examples are drawn equally often. Then the examples are taken in rounds of one example of each
            class, in an order of its own, and each class has epochs of its own.
        minibatches: Number of minibatches in a train step. Each one is at most as large as the data set.
        jitter: Number of pixels by which each side is enlarged before the images are cropped back at a random place, see
            `gan_jax.data.jitter`. The batches have the places of the crops, and `Feed.gather` enlarges and crops.

    Raises:
        DataError: If the batch size is below 1 or larger than the data set, if `flip` or `jitter` is set for points, or if `balanced` is
            set for data without labels.
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        seed: int = 0,
        *,
        flip: bool = False,
        balanced: bool = False,
        minibatches: int = 1,
        jitter: int = 0,
    ):
        check_batch_size(batch_size, source, minibatches)
        for argument, on in (("flip", flip), ("jitter", jitter)):
            if on and not source.is_images:
                raise DataError(f"{source.name} has points, not images", argument=argument)
        self.source = source
        self.batch_size = batch_size
        self.seed = seed
        self.flip = flip
        self.jitter = jitter
        self._members: list[np.ndarray] = []
        if balanced:
            if source.labels is None:
                raise DataError(f"{source.name} has no labels", argument="balanced")
            members = (np.flatnonzero(source.labels == label) for label in range(source.num_classes))
            self._members = [rows for rows in members if len(rows)]
        self._class_order = functools.lru_cache(maxsize=2 * max(1, len(self._members)))(self._order_of_class)
        # A batch spans at most two epochs, so a cache of two orders avoids computing any order twice in consecutive steps.
        self._order = functools.lru_cache(maxsize=2)(functools.partial(permutation, seed, count=len(source)))
        self.unpaired = source.inputs is not None and not source.paired
        if self.unpaired:
            inputs = len(source.inputs)
            self._order_of_inputs = functools.lru_cache(maxsize=2)(lambda epoch: permutation(seed, _INPUTS + epoch, inputs))

    def indices_at(self, step: int, count: int = 1, *, inputs: bool = False) -> np.ndarray:
        """Indices of the examples of `count` steps, starting at `step`.

        Args:
            step: Number of the first step, from 0.
            count: Number of steps.
            inputs: Whether the indices are those of the inputs. They differ from those of the images if the data are unpaired.

        Returns:
            int32 [count, batch_size].

        Raises:
            ValueError: If the step is negative.
        """
        if step < 0:
            raise ValueError(f"step must not be negative; got {step}")
        own = inputs and self.unpaired
        size, order = (len(self.source.inputs), self._order_of_inputs) if own else (len(self.source), self._order)
        at, end = step * self.batch_size, (step + count) * self.batch_size
        if self._members and not own:
            return self._balanced(at, end).reshape(count, self.batch_size)
        pieces = []
        while at < end:
            epoch, offset = divmod(at, size)
            pieces.append(order(epoch)[offset : offset + end - at])
            at += len(pieces[-1])
        indices = np.concatenate(pieces) if pieces else np.empty(0, np.int64)
        return indices.astype(np.int32).reshape(count, self.batch_size)

    def _order_of_class(self, number: int, epoch: int) -> np.ndarray:
        """The examples of a class in an epoch of its own."""
        rows = self._members[number]
        return rows[permutation(self.seed, _CLASSES + number * 2**40 + epoch, len(rows))]

    def _balanced(self, at: int, end: int) -> np.ndarray:
        """Indices of the examples at the positions from `at` to `end` of balanced batches, int32 [end - at].

        Position p is in round p // K of K classes. A round takes one example of each class, in an order that depends on (seed, round).
        """
        rounds, slots = np.divmod(np.arange(at, end), len(self._members))
        known = np.unique(rounds)
        orders = np.stack([permutation(self.seed, _ROUNDS + int(one), len(self._members)) for one in known]) if len(known) else None
        chosen = np.empty(end - at, np.int32)
        for place, (number, at_round) in enumerate(zip(orders[rounds - rounds[0], slots] if orders is not None else (), rounds)):
            epoch, offset = divmod(int(at_round), len(self._members[number]))
            chosen[place] = self._class_order(int(number), epoch)[offset]
        return chosen

    def flips_at(self, step: int, count: int = 1, *, inputs: bool = False) -> np.ndarray:
        """Whether each example of `count` steps, starting at `step`, is mirrored. Inputs without a partner have draws of their own.

        Returns:
            bool [count, batch_size]. All False if `flip` is off.
        """
        flips = np.zeros((count, self.batch_size), bool)
        if self.flip:
            for row in range(count):
                draws = _draws(self.seed, _FLIPS + self._own(inputs) + step + row, self.batch_size)
                flips[row] = draws >> np.uint64(63)
        return flips

    def _own(self, inputs: bool) -> int:
        """The offset of the streams of inputs without a partner."""
        return _INPUTS if inputs and self.unpaired else 0

    def crops_at(self, step: int, count: int = 1, *, inputs: bool = False) -> np.ndarray:
        """The top and left of the crop of each example of `count` steps, starting at `step`, each from 0 to `jitter`.

        Inputs without a partner have draws of their own.

        Returns:
            int32 [count, batch_size, 2].
        """
        crops = np.zeros((count, self.batch_size, 2), np.int32)
        for row in range(count if self.jitter else 0):
            draws = _draws(self.seed, _CROPS + self._own(inputs) + step + row, 2 * self.batch_size) >> np.uint64(32)
            crops[row] = ((draws * np.uint64(self.jitter + 1)) >> np.uint64(32)).reshape(-1, 2)
        return crops

    def at(self, step: int, process_index: int = 0, process_count: int = 1) -> dict[str, np.ndarray]:
        """The batch of a step, or the part of it that belongs to one process.

        Args:
            step: Number of the step, from 0.
            process_index: Index of this process.
            process_count: Number of processes that share the batch. The parts, concatenated in the order of the processes, are the whole
                batch.

        Returns:
            A dict with `image`, uint8 [batch, height, width, channels] (for points float32 [batch, dim]). If the source has them, it also
            has `input`, uint8 [batch, height, width, channels], and `label`, int32 [batch]. With jitter it has `crop`, int32 [batch, 2],
            and `input_crop` for inputs without a partner. Here batch is batch_size / process_count.

        Raises:
            DataError: If the processes cannot share the batch evenly, or if a file cannot be read.
            ValueError: If the step is negative, or if process_index is not in [0, process_count).
        """
        part = self.share(process_index, process_count)
        indices = self.indices_at(step)[0, part]
        arrays = {"image": self.source.images} | ({} if self.source.inputs is None else {"input": self.source.inputs})
        batch = {}
        for name, images in arrays.items():
            own = {"inputs": name == "input"}
            chosen = np.asarray(images[self.indices_at(step, **own)[0, part]])
            flips = self.flips_at(step, **own)[0, part]
            batch[name] = np.where(flips[:, None, None, None], chosen[:, :, ::-1], chosen) if self.flip else chosen
        if self.jitter:
            batch["crop"] = self.crops_at(step)[0, part]
            batch |= {"input_crop": self.crops_at(step, inputs=True)[0, part]} if self.unpaired else {}
        labels = self.source.labels_of(indices)
        return batch | ({} if labels is None else {"label": labels})

    def share(self, process_index: int, process_count: int) -> slice:
        """The part of each batch that belongs to a process, as a slice.

        Raises:
            DataError: If the processes cannot share the batch evenly.
            ValueError: If process_index is not in [0, process_count).
        """
        if not 0 <= process_index < process_count:
            raise ValueError(f"process_index must be from 0 to {process_count - 1}; got {process_index}")
        if self.batch_size % process_count:
            problem = f"{process_count} processes cannot share it evenly; use a multiple of {process_count}"
            raise DataError(problem, argument="batch_size", value=self.batch_size)
        size = self.batch_size // process_count
        return slice(process_index * size, (process_index + 1) * size)


def stack(batches: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Stacks the batches of several steps along a new leading axis."""
    return {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
