"""Brings batches to the device.

The whole data set is either kept on the device and batches are gathered there, or batches are streamed to the device ahead of time.
"""

import concurrent.futures
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from gan_jax.data.batches import Batches, stack
from gan_jax.data.errors import DataError
from gan_jax.data.jitter import jitter_images
from gan_jax.data.source import Source
from gan_jax.typing import Array

MEMORY_LIMIT = 2**30  # Bytes. With the pipeline "auto", a larger data set is streamed.


def put(arrays: dict[str, np.ndarray], sharding: NamedSharding | None) -> dict[str, Array]:
    """Puts host arrays on the default device. With a sharding, puts this process's part of global arrays on the sharding's devices."""
    if sharding is None:
        return jax.device_put(arrays)
    return {name: jax.make_array_from_process_local_data(sharding, array) for name, array in arrays.items()}


def put_replicated(arrays: dict[str, np.ndarray], sharding: NamedSharding | None) -> dict[str, Array]:
    """Puts host arrays, equal in all processes, on the default device. With a sharding, replicates them on all devices of its mesh."""
    if sharding is None:
        return jax.device_put(arrays)
    replicated = NamedSharding(sharding.mesh, PartitionSpec())
    return {name: jax.make_array_from_process_local_data(replicated, array, array.shape) for name, array in arrays.items()}


def gather_batches(data: dict[str, Array]) -> dict[str, Array]:
    """Gathers batches from the whole data set. The function is pure, for use inside a jitted program.

    Args:
        data: A dict with `images` [n, ...], `indices` int32 [steps, batch], `inputs` [n, ...] and `labels` int32 [n] if the data have
            them, `flips` bool [steps, batch] if images are mirrored, and `crops` int32 [steps, batch, 2] with jitter. Inputs without a
            partner have `input_indices`, `input_flips` and `input_crops` of their own.

    Returns:
        A dict with `image` [steps, batch, ...] and, if the data have them, `input` [steps, batch, ...], `label` int32 [steps, batch],
        `crop` and `input_crop` int32 [steps, batch, 2].
    """
    batches = {}
    for name, own in (("image", ""), ("input", "input_")):
        if f"{name}s" in data:
            images = data[f"{name}s"][data.get(f"{own}indices", data["indices"])]
            if "flips" in data:
                images = jnp.where(data.get(f"{own}flips", data["flips"])[..., None, None, None], images[..., ::-1, :], images)
            batches[name] = images
    batches |= {name: data[f"{name}s"] for name in ("crop", "input_crop") if f"{name}s" in data}
    return batches | ({"label": data["labels"][data["indices"]]} if "labels" in data else {})


class DeviceBatches:
    """Keeps the whole data set on the device, and sends the indices of each step from the host. The batches are those of `Batches`.

    Args:
        batches: The batches of the run.
        sharding: Sharding of the batches [steps, batch, ...]. The data set is then replicated on each of its devices. None means the
            default device.
        process_index: Index of this process.
        process_count: Number of processes that share each batch.
    """

    def __init__(self, batches: Batches, *, sharding: NamedSharding | None = None, process_index: int = 0, process_count: int = 1):
        self.batches = batches
        self.sharding = sharding
        self.part = batches.share(process_index, process_count)
        source = batches.source
        data = {"images": np.asarray(source.images)}
        if source.inputs is not None:
            data["inputs"] = np.asarray(source.inputs)
        if source.labels is not None:
            data["labels"] = np.asarray(source.labels_of(np.arange(len(source))))
        self._data = put_replicated(data, sharding)

    def chunk(self, step: int, count: int) -> dict[str, Any]:
        """The input of `gather`, on the device, for `count` steps starting at `step`."""
        chosen = {"indices": self.batches.indices_at(step, count)[:, self.part]}
        if self.batches.flip:
            chosen["flips"] = self.batches.flips_at(step, count)[:, self.part]
        if self.batches.jitter:
            chosen["crops"] = self.batches.crops_at(step, count)[:, self.part]
        if self.batches.unpaired:
            own = {"indices": self.batches.indices_at, "flips": self.batches.flips_at, "crops": self.batches.crops_at}
            chosen |= {f"input_{name}": draw(step, count, inputs=True)[:, self.part] for name, draw in own.items() if name in chosen}
        return self._data | (chosen if self.sharding is None else put(chosen, self.sharding))

    def gather(self, chunk: dict[str, Array]) -> dict[str, Array]:
        """Gathers the batches of a chunk, see `gather_batches`. The method is pure. Call it inside the jitted program."""
        return gather_batches(chunk)

    def close(self) -> None:
        """Releases the data set on the device."""
        self._data = {}


class _StepReader:
    """The batches of steps as a random-access source, for grain."""

    def __init__(self, batches: Batches, process_index: int, process_count: int):
        self.batches = batches
        self.process = (process_index, process_count)

    def __len__(self) -> int:
        return 2**31 - 1

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        return self.batches.at(int(step), *self.process)


class StreamBatches:
    """Reads batches with grain's worker threads and puts them on the device ahead of time. The batches are those of `Batches`.

    While the device works on one chunk of steps, a thread reads the next chunk and copies it to the device.

    Args:
        batches: The batches of the run.
        workers: Number of threads that read and decode. With 0, the thread that copies also reads.
        sharding: Sharding of the batches [steps, batch, ...]. None means the default device.
        process_index: Index of this process.
        process_count: Number of processes that share each batch.

    Raises:
        DataError: If grain is not installed, or if the processes cannot share the batch evenly.
    """

    def __init__(
        self, batches: Batches, *, workers: int = 4, sharding: NamedSharding | None = None, process_index: int = 0, process_count: int = 1
    ):
        try:
            import grain
        except ImportError:
            problem = "needs grain; install it with: pip install 'gan-jax[grain]'"
            raise DataError(problem, argument="pipeline", value="stream") from None
        self.batches = batches
        self.workers = workers
        self.sharding = sharding
        self._options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=2 * workers)
        self._dataset = grain.MapDataset.source(_StepReader(batches, process_index, process_count))
        batches.share(process_index, process_count)
        self._iterator: Iterator[dict[str, np.ndarray]] | None = None
        self._step = -1  # The next step of the iterator.
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "batches-to-device")
        self._ahead: tuple[tuple[int, int], concurrent.futures.Future[dict[str, Any]]] | None = None

    def chunk(self, step: int, count: int) -> dict[str, Any]:
        """The batches of `count` steps starting at `step`, on the device, [count, batch, ...].

        Any steps can be requested. Consecutive steps in chunks of equal size are fast, because the next chunk is read ahead.
        """
        if self._ahead is not None and self._ahead[0] == (step, count):
            future = self._ahead[1]
        else:
            future = self._thread.submit(self._make, step, count)
        self._ahead = ((step + count, count), self._thread.submit(self._make, step + count, count))
        return future.result()

    def gather(self, chunk: dict[str, Array]) -> dict[str, Array]:
        """Returns the chunk unchanged, because its batches are already gathered."""
        return chunk

    def close(self) -> None:
        """Stops the threads."""
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
    """Supplies the data to the training loop.

    The loop calls `chunk(step, count)`, and passes the result to a jitted program, which calls `gather(chunk)` first:

        @jax.jit
        def program(params, opt_state, chunk, rng):
            batches = feed.gather(chunk)  # image [count, batch, ...], and label [count, batch] if the data have labels
            ...

        program(params, opt_state, feed.chunk(step, count), rng)

    Args:
        source: Source of the examples.
        batch_size: Number of examples in a train step, over all processes.
        seed: Random seed of the order of the examples.
        pipeline: "memory" keeps the whole data set on the device. "stream" reads batches as needed. "auto" means "memory" up to 1 GiB
            and "stream" above.
        workers: Number of threads that read and decode if the data are streamed.
        flip: Whether to mirror each image horizontally with probability 1/2.
        balanced: Whether all classes are drawn equally often, see `Batches`.
        minibatches: Number of minibatches in a train step, see `Batches`.
        jitter: Number of pixels by which images are enlarged before they are cropped at a random place, see `Batches`.
        sharding: Sharding of the batches [steps, batch, ...] over the devices of all processes. None means the default device.
        process_index: Index of this process.
        process_count: Number of processes that share each batch. Each process holds one block, in the order of the processes.

    Raises:
        DataError: If the batch is larger than the data set or cannot be shared evenly, if the pipeline is unknown, or if the data are
            streamed and grain is not installed.
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
        balanced: bool = False,
        minibatches: int = 1,
        jitter: int = 0,
        sharding: NamedSharding | None = None,
        process_index: int = 0,
        process_count: int = 1,
    ):
        if pipeline not in ("auto", "memory", "stream"):
            raise DataError("must be auto, memory or stream", argument="pipeline", value=pipeline)
        self.batches = Batches(source, batch_size, seed, flip=flip, balanced=balanced, minibatches=minibatches, jitter=jitter)
        self.in_memory = pipeline == "memory" or (pipeline == "auto" and source.nbytes <= MEMORY_LIMIT)
        where: dict[str, Any] = {"sharding": sharding, "process_index": process_index, "process_count": process_count}
        self._form = DeviceBatches(self.batches, **where) if self.in_memory else StreamBatches(self.batches, workers=workers, **where)

    def chunk(self, step: int, count: int) -> dict[str, Any]:
        """The input of `gather`, on the device, for `count` steps starting at `step`. Any steps can be requested."""
        return self._form.chunk(step, count)

    def gather(self, chunk: dict[str, Array]) -> dict[str, Array]:
        """The batches of a chunk, [count, batch, ...]. The method is pure. Call it inside the jitted program."""
        batches = self._form.gather(chunk)
        if not self.batches.jitter:
            return batches
        crops = {"image": batches["crop"], "input": batches.get("input_crop", batches["crop"])}
        rest = {name: array for name, array in batches.items() if name not in ("crop", "input_crop")}
        jittered = {name: jitter_images(rest[name], crops[name], jitter=self.batches.jitter) for name in crops if name in rest}
        return rest | jittered

    def close(self) -> None:
        """Stops the threads and releases the data on the device."""
        self._form.close()

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
