"""A model of the run directory: trains, kills, resumes, forks, renames, damages and reads runs in any order, and checks three invariants.

1. No byte of another run changes.
2. The weights of every intact checkpoint are those of an uninterrupted run.
3. The result of a training call and run.json agree. A refused call changes nothing.
"""

import contextlib
import dataclasses
import errno
import functools
import io
import json
import shutil
import tempfile
import threading
import time
import warnings
from pathlib import Path

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from rich.console import Console

from gan_jax.checkpoint import CheckpointNotFound, ConfigurationMismatch, DamagedCheckpoint, TemplateMismatch, files, read_step
from gan_jax.data import DataError
from gan_jax.trainer import loop, saving, setup
from gan_jax.trainer.config import ConfigError
from gan_jax.trainer.loaded_run import load_run
from gan_jax.trainer.loop import train
from gan_jax.trainer.report import ReportError, compare_runs, write_report
from gan_jax.trainer.reproduce import verify
from gan_jax.trainer.run_directory import DirectoryLost, RunError
from support.small_runs import SMALL

STEPS = 8
CONFIG = dataclasses.replace(SMALL, steps=STEPS, log_every=1, sample_every=0, checkpoint_every=2, keep_checkpoints=2)
KNOWN = (RunError, ConfigError, DataError, ReportError, CheckpointNotFound, ConfigurationMismatch, DamagedCheckpoint, TemplateMismatch)
STEP = st.integers(1, STEPS)


class Killed(BaseException):
    """Ends a run as `kill -9` does: nothing catches it."""


@contextlib.contextmanager
def shared_programs():
    """Compiles the programs of the small run once, because compiling takes most of its time."""
    build, compile_steps, pauses = setup.build, loop.compile_steps, saving.RETRY_SECONDS
    built, compiled = build(CONFIG, (2,), 0), []
    setup.build = lambda *_, **__: built

    def compile_once(run, state):
        compiled[:] = compiled or [compile_steps(run, state)]
        return compiled[0]

    loop.compile_steps, saving.RETRY_SECONDS = compile_once, (0.0,)
    try:
        yield
    finally:
        setup.build, loop.compile_steps, saving.RETRY_SECONDS = build, compile_steps, pauses


@functools.cache
def uninterrupted():
    """The weights of an uninterrupted run: step -> path of a leaf -> bytes."""
    with tempfile.TemporaryDirectory() as folder:
        train(dataclasses.replace(CONFIG, out=Path(folder) / "run", checkpoint_every=1, keep_checkpoints=100), console=Console(quiet=True))
        return {int(path.name[5:]): weights(path) for path in (Path(folder) / "run" / "checkpoints").glob("step_*")}


def weights(checkpoint):
    return {name: b"".join(piece.data.tobytes() for piece in leaf.pieces) for name, leaf in read_step(checkpoint).leaves.items()}


def contents(directory):
    return {path.relative_to(directory): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


class RunDirectories(RuleBasedStateMachine):
    """One run under test, and another one that must stay as it is."""

    played = 0  # Number of sequences.

    def __init__(self):
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="model-"))
        self.other, self.run, self.moves = self.root / "other", self.root / "run", 0
        train(dataclasses.replace(CONFIG, out=self.other), console=Console(quiet=True), until=4)
        self.before = contents(self.other)
        self.full = 0  # Number of saves that will find a full disk.

    def teardown(self):
        type(self).played += 1
        shutil.rmtree(self.root)

    def exists(self):
        return (self.run / "config.yaml").exists()

    def record(self):
        return json.loads((self.run / "run.json").read_text())

    @contextlib.contextmanager
    def disturbed(self, act=None, at=0):
        """Saves fail on the full disk, and `act` is called when the metrics of a step are written."""
        write_step, flush = files.write_step, loop.flush

        def full(*arguments, **keywords):
            if self.full:
                self.full -= 1
                raise OSError(errno.ENOSPC, "No space left on device")
            write_step(*arguments, **keywords)

        def flush_and_act(run, writers, pending, bar):
            if act is not None and pending is not None and pending[0] == at:
                run.manager.wait()
                act()
            flush(run, writers, pending, bar)

        files.write_step, loop.flush = full, flush_and_act
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Warnings about damage and full disks are expected.
                yield
        finally:
            files.write_step, loop.flush, self.full = write_step, flush, 0

    def call(self, *, act=None, at=0, **options):
        """Trains, and checks that the result and run.json agree. Returns the error, if there was one."""
        printed = io.StringIO()
        before = contents(self.run) if self.run.exists() else {}
        try:
            with self.disturbed(act, at):
                result = train(console=Console(file=printed, width=1000), **options)
        except Killed:
            for thread in threading.enumerate():
                if thread.name == "checkpoint-writer":  # A killed process has no thread that goes on writing.
                    thread.join()
            if "run.json" in map(str, contents(self.run)):
                assert self.record()["status"] == "running"
            return None
        except DirectoryLost as error:
            return error
        except KNOWN as error:
            refused = error
        else:
            refused = None
        if refused is not None:
            assert "\n" not in str(refused) or isinstance(refused, ConfigurationMismatch | TemplateMismatch)
            assert (contents(self.run) if self.run.exists() else {}) == before, "a refused command left a trace"
            return refused
        record = self.record()
        on_disk = (self.run / "checkpoints" / f"step_{result.step:08d}").is_dir()
        expected = "interrupted" if result.step < STEPS else "finished" if result.saved else "finished, not saved"
        assert (record["status"], record["step"], record["saved"]) == (expected, result.step, result.saved)
        assert record["starts"][-1]["status"] == expected
        assert on_disk or not result.saved
        assert result.saved or "could not be saved" in printed.getvalue()
        return None

    @precondition(lambda self: not self.run.exists())
    @rule(until=STEP)
    def start(self, until):
        assert self.call(config=dataclasses.replace(CONFIG, out=self.run), until=until) is None

    @precondition(lambda self: not self.run.exists())
    @rule(at=STEP)
    def start_and_kill(self, at):
        self.call(config=dataclasses.replace(CONFIG, out=self.run), act=self.kill, at=at)

    @rule()
    def start_over_another_run(self):
        assert isinstance(self.call(config=dataclasses.replace(CONFIG, out=self.other)), RunError)

    @precondition(exists)
    @rule(until=STEP, auto=st.booleans())
    def resume(self, until, auto):
        self.call(config=CONFIG, resume=self.run, until=until, may_restart=auto)

    @precondition(exists)
    @rule(at=STEP, auto=st.booleans())
    def resume_and_kill(self, at, auto):
        self.call(config=CONFIG, resume=self.run, may_restart=auto, act=self.kill, at=at)

    def kill(self):
        raise Killed

    @precondition(exists)
    @rule(change=st.sampled_from([{"seed": 1}, {"batch_size": 4}]))
    def resume_with_other_settings(self, change):
        assert self.call(config=dataclasses.replace(CONFIG, **change), resume=self.run) is not None

    @precondition(exists)
    @rule(until=STEP)
    def fork(self, until):
        before, out = contents(self.run), self.root / "fork"
        with warnings.catch_warnings(), contextlib.suppress(*KNOWN):
            warnings.simplefilter("ignore")
            train(dataclasses.replace(CONFIG, out=out, fork=self.run), console=Console(quiet=True), until=until)
        assert contents(self.run) == before
        for checkpoint in (out / "checkpoints").glob("step_*"):
            assert weights(checkpoint) == uninterrupted()[int(checkpoint.name[5:])], checkpoint
        shutil.rmtree(out, ignore_errors=True)

    @rule(saves=st.integers(1, 6))
    def fill_the_disk(self, saves):
        self.full = saves

    @precondition(exists)
    @rule()
    def rename(self):
        self.moves += 1
        self.run = self.run.rename(self.root / f"moved-{self.moves}")

    @precondition(exists)
    @rule(at=STEP, how=st.sampled_from(["renamed", "removed", "replaced"]))
    def lose_while_training(self, at, how):
        place, self.moves = self.run, self.moves + 1
        moved = self.root / f"lost-{self.moves}"
        done = []

        def lose():
            done.append(True)
            shutil.rmtree(place) if how == "removed" else place.rename(moved)
            if how == "replaced":
                shutil.copytree(self.other, place)

        error = self.call(config=CONFIG, resume=self.run, act=lose, at=at)
        if not done:  # The step was reached before.
            return
        assert isinstance(error, DirectoryLost), error
        if how == "replaced":
            assert contents(place) == self.before
            shutil.rmtree(place)
        assert not place.exists()
        if how != "removed":
            self.run = moved
            assert self.record()["status"] == "failed"

    @precondition(exists)
    @rule(number=st.integers(0, 10**6), position=st.integers(0, 10**6), bit=st.integers(0, 7), whole=st.booleans())
    def damage(self, number, position, bit, whole):
        found = [path for path in sorted(self.run.rglob("*")) if path.is_file() and path.stat().st_size]
        path = found[number % len(found)]
        content = bytearray(path.read_bytes())
        content[position % len(content)] ^= 1 << bit
        path.write_bytes(content if whole else content[: position % len(content)])

    @precondition(exists)
    @rule()
    def report(self):
        with contextlib.suppress(*KNOWN):
            write_report(self.run)
            compare_runs([self.run, self.other], self.root / "comparison.html")

    @precondition(exists)
    @rule(step=st.none() | STEP)
    def load(self, step):
        before = contents(self.run)
        with warnings.catch_warnings(), contextlib.suppress(*KNOWN):
            warnings.simplefilter("ignore")
            load_run(self.run, step=step)
        assert contents(self.run) == before

    @precondition(exists)
    @rule(steps=STEP)
    def verify(self, steps):
        before = contents(self.run)
        with warnings.catch_warnings(), contextlib.suppress(*KNOWN):
            warnings.simplefilter("ignore")
            verify(self.run, steps=steps)
        assert contents(self.run) == before

    @invariant()
    def the_other_run_is_unchanged(self):
        assert contents(self.other) == self.before

    @invariant()
    def weights_are_those_of_an_uninterrupted_run(self):
        for checkpoint in (self.run / "checkpoints").glob("step_*") if self.run.exists() else ():
            with contextlib.suppress(DamagedCheckpoint):
                assert weights(checkpoint) == uninterrupted()[int(checkpoint.name[5:])], checkpoint


def play(sequences, rules, *, seed=None):
    """Plays sequences of at most `rules` commands, and returns their number. Without a seed they are always the same."""

    class Machine(RunDirectories):
        pass

    with shared_programs():
        uninterrupted()
        checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
        options = settings(
            max_examples=sequences,
            stateful_step_count=rules,
            deadline=None,
            suppress_health_check=checks,
            database=None,
            derandomize=seed is None,
        )
        run_state_machine_as_test(Machine if seed is None else hypothesis.seed(seed)(Machine), settings=options)
    return Machine.played


def test_a_few_sequences_of_commands_keep_the_invariants():
    assert play(5, 6) >= 5


@pytest.mark.long
def test_a_thousand_sequences_of_commands_keep_the_invariants():
    started = time.monotonic()
    played = play(1000, 8, seed=0)
    print(f"{played} sequences of at most 8 commands, {time.monotonic() - started:.0f} s")
    assert played >= 1000
