"""Trains the runs of one program at once, and measures them.

Each run is what `gan-jax train` computes from the same seed and flags, up to rounding. On accelerators `vmap` computes all runs in every
operation, and several devices share the runs. On the CPU each core trains its runs one after the other.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.checkpoint import Checkpointer
from gan_jax.data import Source
from gan_jax.data.batches import Batches
from gan_jax.distributed.sweep import Form, init_many, split_runs, train_many
from gan_jax.monitor import Finding
from gan_jax.trainer import environment
from gan_jax.trainer.build.data import load_data
from gan_jax.trainer.build.gan import BuiltGAN, build
from gan_jax.trainer.config import Config, ConfigError, flatten, save_config
from gan_jax.trainer.evaluate import best_mode, evaluate, metric_values
from gan_jax.trainer.failure_policy import FailurePolicy, describe_run, drop_unset
from gan_jax.trainer.run_directory import METRICS, write_json
from gan_jax.trainer.setup import config_fingerprint, with_steps
from gan_jax.trainer.sweep.directory import Sweep
from gan_jax.trainer.sweep.plan import varying
from gan_jax.trainer.writers.jsonl import JsonLines
from gan_jax.typing import GAN

POINTS_MEASURED = 2500  # Samples of a run on points whose recipe has no evaluation. PacGAN measures as many.


class Program(NamedTuple):
    """The runs of one program.

    Attributes:
        numbers: Indices of the runs in the sweep.
        configs: Their configurations. The number of steps is that of the data.
        source: The data.
        built: The GAN of the first run, whose structure all share.
        devices: The devices that share the runs.
        form: How a device computes its runs, see `gan_jax.distributed.sweep`.
    """

    numbers: list[int]
    configs: list[Config]
    source: Source
    built: BuiltGAN
    devices: list[jax.Device]
    form: Form

    @property
    def padded(self) -> list[Config]:
        """The configurations, and the last one again until the devices can share them evenly."""
        return self.configs + [self.configs[-1]] * (-len(self.configs) % len(self.devices))


def load_program(sweep: Sweep, program: int) -> Program:
    """Loads the data and builds the GAN of a program."""
    numbers = sweep.programs[program]
    first = sweep.config(numbers[0])
    source = load_data(first)
    steps = with_steps(first, len(source))
    samples = first.evaluation.samples or (0 if source.is_images else POINTS_MEASURED)
    evaluation = dataclasses.replace(first.evaluation, samples=samples)
    configs = [dataclasses.replace(sweep.config(run), steps=steps, epochs=0, evaluation=evaluation) for run in numbers]
    best_mode(first.evaluation.best)
    devices = jax.local_devices()[: len(numbers)]
    form: Form = "map" if devices[0].platform == "cpu" else "vmap"
    return Program(numbers, configs, source, build(configs[0], source.shape, source.num_classes), devices, form)


def train_program(sweep: Sweep, program: int, *, print_line: Callable[[str], None] = print, until: int | None = None) -> bool:
    """Trains the runs of a program from their newest checkpoint, measures them, and writes their files.

    Args:
        sweep: The sweep.
        program: Index of the program.
        print_line: Prints the progress.
        until: Stop after this step, as after an interrupt.

    Returns:
        Whether the runs have reached their last step.
    """
    runs = load_program(sweep, program)
    config, steps = runs.configs[0], runs.configs[0].steps
    manager = Checkpointer(
        sweep.program_directory(program), config={"runs": [config_fingerprint(config) for config in runs.configs]}, keep=1
    )
    state, train = compile_runs(runs)
    step = 0
    if manager.latest() is not None:
        state, details = manager.restore(state)
        step = details["step"]
        print_line(f"continuing at step {step}")
    shapes = jax.eval_shape(partial(_one, row=0), state)
    logs = [_RunLog(sweep, run, config, runs.built, shapes, row, step) for row, (run, config) in enumerate(zip(runs.numbers, runs.configs))]
    begin, timed, trained, compiled = time.monotonic(), 0.0, 0, set[int]()
    end = steps if until is None else min(until, steps)
    while step < end:
        count = min(config.log_every - step % config.log_every, end - step)
        start = time.monotonic()
        state, metrics = train(state, step, count)
        metrics = jax.device_get(metrics)
        if count in compiled:  # The first call of each length also compiles.
            timed, trained = timed + time.monotonic() - start, trained + count
        compiled.add(count)
        before, step = step, step + count
        for row, log in enumerate(logs):
            log.write(step, {name: float(values[row, -1]) for name, values in metrics.items()})
        crossed = config.checkpoint_every and step // config.checkpoint_every > before // config.checkpoint_every
        if step == end or crossed:
            manager.save(step, state, {"step": step})
            failing = sum(log.failure is not None for log in logs)
            print_line(f"step {step} of {steps}" + (f", {failing} of {len(logs)} runs fail" if failing else ""))
    manager.close()
    if step < steps:
        return False
    measured = time.monotonic()
    values = [_measure(runs, state, row, log.failure) for row, log in enumerate(logs)]
    for row, log in enumerate(logs):
        log.finish(values[row], keep=row in _best_rows(values, config, sweep.keep), state=state)
    facts = {
        "runs": len(logs),
        "steps": steps,
        "form": runs.form,
        "devices": len(runs.devices),
        "device": environment.cpu_model() if runs.form == "map" else runs.devices[0].device_kind,
        "jax": jax.__version__,
        "traced": ["seed", *varying(runs.configs)],
        "seconds": round(measured - begin, 1),
        "milliseconds_per_run_and_step": round(1e3 * timed / trained / len(logs), 4) if trained else None,
        "measuring_seconds": round(time.monotonic() - measured, 1),
        "peak_memory_bytes": environment.peak_memory(),
    }
    write_json(sweep.program_directory(program) / "result.json", facts)
    return True


def compile_runs(runs: Program) -> tuple[Any, Callable[[Any, int, int], tuple[Any, dict[str, Any]]]]:
    """Initialises the runs, and makes the function that trains them.

    Returns:
        (params, opt_state) of all runs, and `train(state, step, count) -> (state, metrics)` with metrics [runs, count].
    """
    configs = runs.padded
    seeds = jnp.asarray([config.seed for config in configs], jnp.uint32)
    keys = jax.vmap(jax.random.key)(seeds)
    init_keys, keys = (jax.vmap(partial(jax.random.fold_in, data=data))(keys) for data in (0, 1))
    paths = varying(runs.configs)
    settings = {path: jnp.asarray([flatten(config)[path] for config in configs], jnp.float32) for path in paths} or None

    def traced(settings: dict[str, Any]) -> GAN:
        return build(runs.configs[0], runs.source.shape, runs.source.num_classes, traced=settings).gan

    gan = traced if settings else runs.built.gan
    params, opt_state = split_runs(partial(init_many, gan, form=runs.form), devices=runs.devices)(init_keys, settings)
    program = split_runs(partial(train_many, gan, form=runs.form), devices=runs.devices, shared=(2,), donate=(0, 1))
    size = configs[0].batch_size * runs.built.rule.batches_per_step
    batches = {config.seed: Batches(runs.source, size, config.seed, flip=config.data.flip) for config in configs}
    data = {"image": jnp.asarray(runs.source.images)}
    if runs.source.labels is not None:
        data["label"] = jnp.asarray(runs.source.labels_of(np.arange(len(runs.source))))

    def train(state: Any, step: int, count: int) -> tuple[Any, dict[str, Any]]:
        indices = np.stack([batches[config.seed].indices_at(step, count) for config in configs])
        flips = np.stack([batches[config.seed].flips_at(step, count) for config in configs]) if configs[0].data.flip else None
        *state, metrics = program(*state, data, indices, keys, settings, flips)
        return tuple(state), metrics

    return (params, opt_state), train


class _RunLog:
    """The files of one run."""

    def __init__(self, sweep: Sweep, run: int, config: Config, built: BuiltGAN, shapes: Any, row: int, step: int):
        self.directory, self.config, self.row = sweep.run_directory(run), config, row
        self.directory.mkdir(parents=True, exist_ok=True)
        save_config(config, self.directory / "config.yaml")
        self._file = JsonLines(self.directory / METRICS, after_step=step or -1)
        watched = dataclasses.replace(config, monitor=dataclasses.replace(config.monitor, on_failure="stop"))
        self._policy = FailurePolicy(watched, describe_run(config, built, *shapes, config.steps), self.directory)
        self._record = {"recipe": config.recipe, "seed": config.seed, "steps": config.steps, "settings": sweep.runs[run].settings}
        self._print = lambda line: None

    @property
    def failure(self) -> Finding | None:
        """The first certain failure of the run, or None."""
        return self._policy.failure

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Writes the metrics of a step, and passes them to the monitor."""
        row = {"step": step} | drop_unset(metrics)
        self._file.write(row)
        self._policy.observe(row, self._print)

    def finish(self, values: "Measured", *, keep: bool, state: Any) -> None:
        """Writes the metrics and run.json, and the weights if they are kept."""
        failure = self.failure
        status = {"status": "finished" if failure is None else "failed", "failure": failure and failure.id}
        write_json(self.directory / "metrics.json", values.records)
        write_json(
            self.directory / "run.json",
            self._record | status | {"outcome": values.outcome, "metric": values.metric, "measured": bool(self.config.evaluation.samples)},
        )
        if keep:
            manager = Checkpointer(self.directory / "checkpoints", config=config_fingerprint(self.config), keep=1)
            details = {"step": self.config.steps, "seed": self.config.seed, "data_position": self.config.steps, "metrics": {}}
            manager.save(self.config.steps, _one(state, self.row), details)
            manager.close()


class Measured(NamedTuple):
    """What is known of a run at its end.

    Attributes:
        outcome: Value of the metric that ranks the runs, or None.
        metric: Its name.
        records: All metrics.
    """

    outcome: float | None
    metric: str
    records: list[dict[str, Any]]


def _measure(runs: Program, state: Any, row: int, failure: Finding | None) -> Measured:
    config = runs.configs[row]
    if not config.evaluation.samples or (failure is not None and failure.id == "non_finite"):
        return Measured(None, "", [])
    try:
        records = evaluate(config, runs.built, runs.source, *_one(state, row))
    except ConfigError:  # The samples are not finite.
        return Measured(None, "", [])
    values, best = metric_values(records), config.evaluation.best
    name = best if best != "auto" else next((record["metric"] for record in records if values.get("auto") == record["value"]), "")
    outcome = values.get(best)
    return Measured(outcome if outcome is not None and np.isfinite(outcome) else None, name, records)


def _best_rows(values: Sequence[Measured], config: Config, count: int) -> set[int]:
    """The rows of the best outcomes."""
    known = [row for row, value in enumerate(values) if value.outcome is not None]
    known.sort(key=lambda row: values[row].outcome, reverse=best_mode(config.evaluation.best) == "max")
    return set(known[:count])


def _one(state: Any, row: int) -> Any:
    """(params, opt_state) of one run."""
    return jax.tree.map(lambda leaf: leaf[row], state)
