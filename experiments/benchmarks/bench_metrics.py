"""Times the metrics at the sizes of the literature, against `prdc` where it is installed; the table of docs/metrics.md.

python -m experiments.benchmarks.bench_metrics                  # Fréchet and manifold metrics at 10,000 x 2,048
python -m experiments.benchmarks.bench_metrics --only features  # feature extraction against the bare network
"""

import statistics
import time
from collections.abc import Callable

import jax
import numpy as np

from experiments.benchmarks import kept
from gan_jax import metrics
from gan_jax.cli import common
from gan_jax.metrics import classifier, inception


def interleaved(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Runs the candidates turn by turn; prints the median and the least time of each, and returns the medians, in seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, call in candidates.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    for name, times in seconds.items():
        print(f"{name}: median {statistics.median(times):.2f} s, least {min(times):.2f} s, {rounds} rounds", flush=True)
    return {name: statistics.median(times) for name, times in seconds.items()}


def distances(count: int, dim: int) -> dict[str, float]:
    """Fréchet distance, and the manifold metrics against prdc."""
    generator = np.random.default_rng(0)
    mix = (generator.standard_normal((dim, dim)) * np.exp(-np.arange(dim) / 100)[:, None]).astype(np.float32)
    real, fake = (np.maximum(generator.standard_normal((count, dim), np.float32) @ (mix * scale), 0) for scale in (1, 0.95))
    moments = [metrics.feature_moments(x) for x in (real, fake)]
    medians = interleaved(
        {
            f"Frechet distance from moments, {dim:,} dims": lambda: metrics.frechet_distance_from_moments(*moments),
            f"Frechet distance of {count:,} x {dim:,}": lambda: metrics.frechet_distance(real, fake),
        },
        3,
    )
    candidates = {f"precision, recall, density, coverage of {count:,} x {dim:,}": lambda: metrics.manifold_metrics(real, fake, k=5)}
    metrics.manifold_metrics(real[:2000], fake[:2000])  # compiles
    try:
        import prdc

        candidates["the same by prdc"] = lambda: prdc.compute_prdc(real, fake, 5)
    except ImportError:
        print("prdc is not installed: ours alone")
    return medians | interleaved(candidates, 2)


def features() -> dict[str, float]:
    """Feature extraction from host images against the bare network on images that are on the device."""
    medians: dict[str, float] = {}
    generator = np.random.default_rng(0)
    weights = {
        name: np.abs(generator.standard_normal(shape, np.float32)) * np.float32(np.sqrt(2 / np.prod(shape[1:])))
        for name, shape in inception.file_shapes().items()
    }
    cases = (
        ("digit_classifier", classifier.init(jax.random.key(0)), (5000, 28, 28, 1)),
        ("inception_v3", inception.from_state_dict(weights), (64, 32, 32, 3)),
    )
    for name, params, shape in cases:
        images = generator.integers(0, 256, shape, np.uint8)
        extractor = metrics.feature_extractor(name, params)
        size = extractor.batch_size
        bare = jax.jit(extractor.apply)
        batches = [jax.device_put(images[i : i + size]) for i in range(0, len(images), size)]
        on_device = jax.device_put(params)
        jax.block_until_ready(bare(on_device, batches[0]))
        extractor(images[:size])
        medians |= interleaved(
            {
                f"{name}, extractor, {len(images)} images": lambda extractor=extractor, images=images: extractor(images),
                f"{name}, bare network": lambda bare=bare, p=on_device, b=batches: jax.block_until_ready([bare(p, x) for x in b]),
            },
            3,
        )
    return medians


def main() -> None:
    parser = common.argument_parser(__doc__)
    parser.add_argument("--only", choices=("distances", "features"), help="one part of it")
    parser.add_argument("--count", type=int, default=10_000, help="samples of the distances")
    parser.add_argument("--dim", type=int, default=2048, help="features of the distances")
    kept.add_flag(parser)
    flags = parser.parse_args()
    medians: dict[str, float] = {}
    if flags.only != "features":
        medians |= distances(flags.count, flags.dim)
    if flags.only != "distances":
        medians |= features()
    kept.keep(medians, flags.out)


if __name__ == "__main__":
    main()
