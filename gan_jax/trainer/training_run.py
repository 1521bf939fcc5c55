"""The parts of a run while it trains, and its writers."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from gan_jax.checkpoint import Checkpointer
from gan_jax.data import Feed, Source
from gan_jax.distributed import Placement, process_count
from gan_jax.trainer import run_directory
from gan_jax.trainer.build.gan import BuiltGAN
from gan_jax.trainer.config import Config
from gan_jax.trainer.fork import Fork
from gan_jax.trainer.initial_weights import InitialWeights
from gan_jax.trainer.progress import print_text
from gan_jax.trainer.run_directory import DirectoryLost
from gan_jax.trainer.run_record import RunRecord
from gan_jax.trainer.writers.errors import warn_on_oserror
from gan_jax.trainer.writers.metric_writer import MetricWriter
from gan_jax.trainer.writers.samples import SampleWriter
from gan_jax.typing import Players

# Compiler options for programs that run once and quickly. Compiling them with optimisation takes longer than running them without.
RUN_ONCE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """The parts of a run that stay the same while it trains. As a context manager it releases the lock on the directory at the end.

    Attributes:
        config: The configuration. `config.steps` is the length of the run and `config.epochs` is 0.
        console: Where the run prints.
        source: The data set.
        data: The description of the data set for run.json.
        built: The GAN.
        placement: How several devices share the train step. None for one device.
        feed: Brings minibatches to the devices.
        directory: Directory of the run.
        resumed: Whether the run existed before.
        rolled_back: The rollbacks in run.json before this start.
        record: Writes run.json. None in processes other than process 0.
        may_restart: Whether a resumed run without a checkpoint starts again at step 0.
        manager: Saves and restores checkpoints.
        locks: The lock on the directory. Empty in processes other than process 0.
        initial: The weights with which a new run begins (`--init-from`), or None.
        fork: The state with which a new run begins (`--fork`), or None.
        about_data: Lines about the data, which the run prints when it starts.
    """

    config: Config
    console: Console
    source: Source
    data: dict[str, Any]
    built: BuiltGAN
    placement: Placement | None
    feed: Feed
    directory: Path
    resumed: bool
    rolled_back: list[dict[str, Any]]
    record: RunRecord | None
    may_restart: bool
    manager: Checkpointer
    locks: list[run_directory.DirectoryLock]
    initial: InitialWeights | None = None
    fork: Fork | None = None
    about_data: Sequence[str] = ()

    def __enter__(self) -> "TrainingRun":
        return self

    def __exit__(self, *_: object) -> None:
        for lock in self.locks:
            lock.close()

    @contextlib.contextmanager
    def recording_errors(self) -> Iterator[None]:
        """Writes an error that ends the training into run.json and raises it again. An error before training continues changes nothing."""
        try:
            yield
        except KeyboardInterrupt:
            self.try_to_write({"status": "interrupted"})
            raise
        except Exception as error:
            if process_count() == 1:
                # Finishes the save in progress and the threads. With several processes, a lost one would never finish its part.
                with contextlib.suppress(DirectoryLost):
                    self.manager.close()
                self.feed.close()
            if self.record is not None and isinstance(error, DirectoryLost) and error.moved_to is not None:
                self.record.directory = error.moved_to
            self.try_to_write({"status": "failed", "error": f"{type(error).__name__}: {error}"})
            raise

    def save(self, step: int, state: tuple[Players, Any], metrics: dict[str, float] | None = None) -> None:
        """Saves a checkpoint.

        Args:
            step: The step of the state.
            state: (params, opt_state).
            metrics: Values of the metrics at this step. The best checkpoint is selected by them.
        """
        self.check_directory()
        details = {"step": step, "seed": self.config.seed, "data_position": step, "metrics": metrics or {}}
        self.manager.save(step, state, details)
        self.try_to_write({})  # The row of a start that is killed later then has this step.

    def print(self, text: str) -> None:
        """Prints a line, see `print_text`."""
        print_text(self.console, text)

    def reach(self, step: int) -> None:
        """Notes the last train step for run.json."""
        if self.record is not None:
            self.record.step = step

    def check_directory(self) -> None:
        """Raises `DirectoryLost` if the directory was renamed, removed or replaced. Call it before each write."""
        for lock in self.locks:
            lock.check()

    def write(self, more: dict[str, Any]) -> None:
        """Writes run.json in process 0, with the fields of `more` added or replaced."""
        if self.record is not None:
            if self.record.directory == self.directory:
                self.check_directory()
            self.record.update(more)

    def try_to_write(self, more: dict[str, Any]) -> None:
        """Writes run.json as `write`, and prints a line if that is impossible."""
        with contextlib.suppress(DirectoryLost):  # The error that is raised has its message.
            warn_on_oserror("run.json", partial(self.write, more), self.print)


class Writers(NamedTuple):
    """The writers of a run. They exist in process 0 only.

    Attributes:
        metrics: Writes metrics.jsonl, timing.jsonl and the trackers, and decides about failures.
        samples: Writes grids of samples.
    """

    metrics: MetricWriter
    samples: SampleWriter
