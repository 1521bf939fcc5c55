"""Batches on their way to the device: gathered there from the whole data set, or streamed to it ahead of time."""

import concurrent.futures
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from gan_jax.data.batches import Batches, stack
from gan_jax.data.errors import DataError
from gan_jax.data.source import Source
from gan_jax.typing import Array

MEMORY_LIMIT = 2**30  # bytes; a larger data set is streamed unless asked otherwise


def put(arrays: dict[str, np.ndarray], sharding: NamedSharding | None) -> dict[str, Array]:
    """Host arrays on the default device; or this process's part of global arrays, on the devices of a sharding."""
    if sharding is None:
        return jax.device_put(arrays)
    return {name: jax.make_array_from_process_local_data(sharding, array) for name, array in arrays.items()}


def put_whole(arrays: dict[str, np.ndarray], sharding: NamedSharding | None) -> dict[str, Array]:
    """Host arrays, the same in every process, on the default device; or whole on each device of a sharding's mesh."""
    if sharding is None:
        return jax.device_put(arrays)
    everywhere = NamedSharding(sharding.mesh, PartitionSpec())
    return {name: jax.make_array_from_process_local_data(everywhere, array, array.shape) for name, array in arrays.items()}


def gather_batches(data: dict[str, Array]) -> dict[str, Array]:
    """Gathers batches out of the whole data set; pure, for use inside a jitted program.

    Args:
        data: `images` [n, ...], `labels` int32 [n] where there are labels, `indices` int32 [steps, batch], and
            `flips` bool [steps, batch] where images are mirrored.

    Returns:
        `image` [steps, batch, ...] and, with labels, `label` int32 [steps, batch].
    """
    images = data["images"][data["indices"]]
    if "flips" in data:
        images = jnp.where(data["flips"][..., None, None, None], images[..., ::-1, :], images)
    return {"image": images} | ({"label": data["labels"][data["indices"]]} if "labels" in data else {})


class DeviceBatches:
    """The whole data set on the device, and each step's indices from the host; the same batches as `Batches`.

    Args:
        batches: which examples make up which step.
        sharding: where the batches [steps, batch, ...] lie; the data set is then whole on each of its devices. The default device
            by default.
        process_index: of this process.
        process_count: of the processes that share each batch.
    """

    def __init__(self, batches: Batches, *, sharding: NamedSharding | None = None, process_index: int = 0, process_count: int = 1):
        self.batches = batches
        self.sharding = sharding
        self.part = batches.share(process_index, process_count)
        source = batches.source
        data = {"images": np.asarray(source.images)}
        if source.labels is not None:
            data["labels"] = np.asarray(source.labels_of(np.arange(len(source))))
        self._data = put_whole(data, sharding)

    def chunk(self, step: int, count: int) -> dict[str, Any]:
        """What a program made by `gathering` takes for `count` steps from `step` on."""
        chosen = {"indices": self.batches.indices_at(step, count)[:, self.part]}
        if self.batches.flip:
            chosen["flips"] = self.batches.flips_at(step, count)[:, self.part]
        return self._data | (chosen if self.sharding is None else put(chosen, self.sharding))

    def gathering(self, program: Callable[..., Any]) -> Callable[..., Any]:
        """`program(params, opt_state, batches, rng)` as one of `(params, opt_state, chunk, rng)`; jit the result."""
        return lambda params, opt_state, data, rng: program(params, opt_state, gather_batches(data), rng)

    def close(self) -> None:
        """Lets go of the data set on the device."""
        self._data = {}


class _StepReader:
    """The batches of steps as a random-access source, which is what grain reads from."""

    def __init__(self, batches: Batches, process_index: int, process_count: int):
        self.batches = batches
        self.process = (process_index, process_count)

    def __len__(self) -> int:
        return 2**31 - 1

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        return self.batches.at(int(step), *self.process)


class StreamBatches:
    """Batches read by grain's worker threads and put on the device ahead of time; the same batches as `Batches`.

    While the device works on one chunk of steps, a thread gathers the next and copies it over.

    Args:
        batches: which examples make up which step.
        workers: threads that read and decode; 0 reads in the thread that copies.
        sharding: where the batches [steps, batch, ...] lie; the default device by default.
        process_index: of this process.
        process_count: of the processes that share each batch.

    Raises:
        DataError: grain is not installed.
    """

    def __init__(
        self,
        batches: Batches,
        *,
        workers: int = 4,
        sharding: NamedSharding | None = None,
        process_index: int = 0,
        process_count: int = 1,
    ):
        try:
            import grain
        except ImportError:
            raise DataError("--data.pipeline stream: needs grain; install it with: pip install 'gan-jax[grain]'") from None
        self.batches = batches
        self.workers = workers
        self.sharding = sharding
        self._options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=2 * workers)
        self._dataset = grain.MapDataset.source(_StepReader(batches, process_index, process_count))
        batches.share(process_index, process_count)
        self._iterator: Iterator[dict[str, np.ndarray]] | None = None
        self._step = -1  # that the iterator gives next
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "batches-to-device")
        self._ahead: tuple[tuple[int, int], concurrent.futures.Future[dict[str, Any]]] | None = None

    def chunk(self, step: int, count: int) -> dict[str, Any]:
        """The batches of `count` steps from `step` on, on the device, [count, batch, ...].

        Quick where the steps follow each other by equal counts; right for any.
        """
        if self._ahead is not None and self._ahead[0] == (step, count):
            future = self._ahead[1]
        else:
            future = self._thread.submit(self._make, step, count)
        self._ahead = ((step + count, count), self._thread.submit(self._make, step + count, count))
        return future.result()

    def gathering(self, program: Callable[..., Any]) -> Callable[..., Any]:
        """The program itself: its batches come gathered."""
        return program

    def close(self) -> None:
        """Ends the threads."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._iterator = self._ahead = None

    def _make(self, step: int, count: int) -> dict[str, Any]:
        if self._iterator is None or self._step != step:
            self._iterator = iter(self._dataset[step:].to_iter_dataset(self._options))
        try:
            batches = [next(self._iterator) for _ in range(count)]
        except BaseException:
            self._iterator = None
            raise
        self._step = step + count
        return put(stack(batches), self.sharding)


class Feed:
    """The data as the loop wants them: `program = jit(feed.gathering(step))`, then `program(..., feed.chunk(step, count), ...)`.

    Args:
        source: where the examples come from.
        batch_size: examples of a step, over all processes.
        seed: of the order of the examples.
        pipeline: memory: the whole data set on the device; stream: read as needed; auto: memory up to 1 GiB.
        workers: threads that read and decode, where the data are streamed.
        flip: whether to mirror each image with probability 1/2.
        turns: of the discriminator that share the examples of a step; for the errors, which name the batch size of one turn.
        sharding: where the batches [steps, batch, ...] lie, over the devices of all processes; the default device by default.
        process_index: of this process.
        process_count: of the processes that share each batch; each holds a block of it, in their order.

    Raises:
        DataError: the batch is larger than the data set or cannot be shared; grain is wanted but not installed.
    """

    def __init__(
        self,
        source: Source,
        *,
        batch_size: int,
        seed: int = 0,
        pipeline: str = "auto",
        workers: int = 4,
        flip: bool = False,
        turns: int = 1,
        sharding: NamedSharding | None = None,
        process_index: int = 0,
        process_count: int = 1,
    ):
        if pipeline not in ("auto", "memory", "stream"):
            raise DataError(f"--data.pipeline {pipeline}: must be auto, memory or stream")
        self.batches = Batches(source, batch_size, seed, flip=flip, turns=turns)
        self.in_memory = pipeline == "memory" or (pipeline == "auto" and source.nbytes <= MEMORY_LIMIT)
        where: dict[str, Any] = {"sharding": sharding, "process_index": process_index, "process_count": process_count}
        self._form = DeviceBatches(self.batches, **where) if self.in_memory else StreamBatches(self.batches, workers=workers, **where)

    def chunk(self, step: int, count: int) -> dict[str, Any]:
        """What a program made by `gathering` takes for `count` steps from `step` on."""
        return self._form.chunk(step, count)

    def gathering(self, program: Callable[..., Any]) -> Callable[..., Any]:
        """`program(params, opt_state, batches, rng)`, batches [count, batch, ...], as one of `(params, opt_state, chunk, rng)`."""
        return self._form.gathering(program)

    def close(self) -> None:
        """Ends the threads and lets go of the data on the device."""
        self._form.close()

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
