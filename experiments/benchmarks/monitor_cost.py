"""What the monitor costs: the step of the default DCGAN with and without it, turn by turn in one process.

    python -m experiments.benchmarks.monitor_cost [--seconds 60] [--width 64] [--batch-size 64]

Prints milliseconds a step (median of the samples that a probe of the machine's speed allows) and their ratio, and the time of one look at
a grid of samples, which happens once in --sample-every steps.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import jax
import numpy as np

from experiments.benchmarks import kept
from experiments.benchmarks.timing import Candidate, interleave
from gan_jax.cli import common
from gan_jax.trainer.build.data import load_data
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import Config, ModelConfig
from gan_jax.trainer.probes import Probes


@contextmanager
def unwatched() -> Iterator[None]:
    """While it is entered, steps are traced without the monitor."""
    with (
        mock.patch("gan_jax.gan.updates.update_diagnostics", return_value={}),
        mock.patch("gan_jax.gan.make.accumulate_diagnostics", lambda signals, metrics, *args: (signals, metrics)),
    ):
        yield


def player(config: Config) -> Callable[[], None]:
    """A compiled step that plays on from where it was, and waits for its result."""
    source = load_data(config)
    built = build(config, source.shape, source.num_classes)
    batch = {"image": jax.numpy.asarray(source.images[: config.batch_size])}
    params, opt_state = jax.jit(built.gan.init)(jax.random.key(0))
    step = jax.jit(built.gan.train_step, donate_argnums=(0, 1))
    rng = jax.random.key(1)
    state = [*step(params, opt_state, batch, rng)]

    def call() -> None:
        state[:] = step(state[0], state[1], batch, rng)
        jax.block_until_ready(state)

    return call


def main() -> None:
    """Times both, and prints JSON."""
    parser = common.argument_parser(__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    kept.add_flag(parser)
    chosen = parser.parse_args()
    config = Config(batch_size=chosen.batch_size, model=ModelConfig(width=chosen.width))
    watched = player(config)
    with unwatched():
        bare = player(config)
    times = interleave({"bare": Candidate(bare), "watched": Candidate(watched)}, seconds=chosen.seconds, sample_seconds=1.0)
    source = load_data(config)
    built = build(config, source.shape, source.num_classes)
    params, opt_state = jax.jit(built.gan.init)(jax.random.key(0))
    probes = Probes(config, built, source, jax.tree.map(jax.numpy.copy, params.generator))
    samples, looks = np.random.default_rng(0).uniform(-1, 1, (64, *source.shape)), []
    for _ in range(6):
        start = time.perf_counter()
        probes(samples, params, opt_state)
        looks.append(time.perf_counter() - start)
    result = {f"{name}, milliseconds": 1e3 * timing.median for name, timing in times.items()}
    result |= {"ratio": times["watched"].median / times["bare"].median}
    result |= {"milliseconds of a look at samples": 1e3 * float(np.median(looks[1:]))}
    print(json.dumps(result, indent=1))
    kept.keep(result, chosen.out)


if __name__ == "__main__":
    main()
