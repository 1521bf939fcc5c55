"""Does the monitor detect failures? Trains configurations that are broken on purpose, and healthy ones, each from several seeds.

    python -m experiments.studies.failures                          all of them, into runs/failures.json, with a table
    python -m experiments.studies.failures --only one_image wgan_gp --seeds 0
    python -m experiments.studies.failures --table runs/failures.json

A broken run counts as detected if the monitor reports one of its expected findings within the first fifth of the steps. A healthy run
counts as flagged if the monitor reports anything at any time. The data are the embedded digits at 28x28 (perceptrons) or 32x32 (DCGAN of
width 8). Runs in the file are not trained again. Delete the file to start again.

Takes: 26 configurations, 3 seeds. The file has the time of each run.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from docs._generate.tables import table
from experiments.rows import command_of, existing, origin
from gan_jax.cli.parsing import argument_parser
from gan_jax.data import Feed, Source
from gan_jax.gan.diagnostics import with_diagnostics
from gan_jax.monitor import FAILURE_CONFIDENCE, Finding, Monitor
from gan_jax.trainer.build.data import load_data
from gan_jax.trainer.build.gan import BuiltGAN, build
from gan_jax.trainer.config import Config, DataConfig, ModelConfig, MonitorConfig, OptimizerConfig, check
from gan_jax.trainer.failure_policy import describe_run, drop_unset
from gan_jax.trainer.loop import chunk_step
from gan_jax.trainer.probes import Probes
from gan_jax.trainer.writers.samples import sampler
from gan_jax.typing import GeneratorOutput, Network

STEPS, LOG_EVERY, SAMPLE_EVERY = 300, 5, 10
FIELDS = ("id", "step", "since_step", "evidence", "confidence")  # of a finding, in the file
FIRST = STEPS // 5
DEFAULT = ModelConfig(name="mlp", latent_dim=64, options={"generator_hidden": "128,256", "discriminator_hidden": "256,128"})
PERCEPTRONS = Config(
    steps=STEPS,
    batch_size=32,
    data=DataConfig(image_size=28),
    model=DEFAULT,
    optimizer=OptimizerConfig(ema_decay=0.99),
    monitor=MonitorConfig(),
)
CONVOLUTIONS = dataclasses.replace(PERCEPTRONS, data=DataConfig(), model=ModelConfig(width=8, latent_dim=64))
# Spectral normalisation and gradient penalties are for a D without batch norm. With batch norm these runs fail.
NO_NORM = {"discriminator_norm": "none"}


Results = dict[str, list[dict[str, Any]]]


class Case(NamedTuple):
    """A configuration to train and monitor.

    Attributes:
        about: Description for the table.
        config: Configuration of the run.
        expected: Findings that count as detection. Empty for a healthy run.
        source: Changes the data.
        built: Changes the built GAN.
        between: `(step, params) -> params`, applied before each step.
    """

    about: str
    config: Config
    expected: tuple[str, ...] = ()
    source: Callable[[Source], Source] = lambda source: source
    built: Callable[[BuiltGAN, Source], BuiltGAN] = lambda built, source: built
    between: Callable[[int, Any], Any] | None = None


def make(base: Config = PERCEPTRONS, **groups: Any) -> Config:
    """A configuration with some changed fields. A dict changes fields of a group."""
    changed = {
        name: dataclasses.replace(getattr(base, name), **value) if isinstance(value, dict) else value for name, value in groups.items()
    }
    return check(dataclasses.replace(base, **changed))


def unscaled(source: Source) -> Source:
    """Floating-point images in [0, 255], as a pipeline without normalisation returns them."""
    return dataclasses.replace(source, images=np.asarray(source.images).astype(np.float32))


def copying(built: BuiltGAN, source: Source) -> BuiltGAN:
    """A generator that returns nearly the same training image for all latents."""
    image = np.asarray(source.images[0]).astype(np.float32) / 127.5 - 1
    inner = built.spec.generator

    def apply(params: Any, state: Any, latents: Any, *args: Any, **keywords: Any) -> Any:
        output, state = inner.apply(params, state, latents, *args, **keywords)
        return GeneratorOutput(0.98 * image + 0.02 * output.images), state

    spec = dataclasses.replace(built.spec, generator=Network(inner.init, apply))
    return BuiltGAN(spec, built.rule, with_diagnostics(spec, built.rule))


def losing_a_class(built: BuiltGAN, source: Source) -> BuiltGAN:
    """A conditional generator that returns nearly the same training image for all latents of class 3."""
    image = np.asarray(source.images[int(np.argmax(source.labels == 3))]).astype(np.float32) / 127.5 - 1
    inner = built.spec.generator

    def apply(params: Any, state: Any, latents: Any, labels: Any, *args: Any, **keywords: Any) -> Any:
        output, state = inner.apply(params, state, latents, labels, *args, **keywords)
        share = 0.98 * (labels == 3)[:, None, None, None]
        return GeneratorOutput(share * image + (1 - share) * output.images), state

    spec = dataclasses.replace(built.spec, generator=Network(inner.init, apply))
    return BuiltGAN(spec, built.rule, with_diagnostics(spec, built.rule))


def poison(step: int, params: Any) -> Any:
    """Puts a NaN into one kernel of D at one step."""
    if step != STEPS // 10:
        return params
    leaves, tree = jax.tree.flatten(params.discriminator)
    leaves[-1] = leaves[-1].at[(0,) * leaves[-1].ndim].set(jnp.nan)
    return params._replace(discriminator=jax.tree.unflatten(tree, leaves))


CASES: dict[str, Case] = {
    "learning_rate_x100": Case(
        "learning rates x100",
        make(optimizer={"generator_lr": 2e-2, "discriminator_lr": 2e-2}),
        ("updates_too_large", "unstable_discriminator"),
    ),
    "discriminator_too_strong": Case(
        "D much too strong: 5 steps at 10 times the rate, G at a hundredth",
        make(optimizer={"generator_lr": 2e-6, "discriminator_lr": 2e-3}, update={"discriminator_steps": 5}),
        ("discriminator_won",),
    ),
    "discriminator_too_weak": Case(
        "D much too weak: a hundredth of the rate",
        make(optimizer={"discriminator_lr": 2e-6, "generator_lr": 1e-3}),
        ("generator_won_with_garbage", "generator_loss_falling", "discriminator_frozen"),
    ),
    "generator_frozen": Case("G frozen", make(update={"freeze_generator": STEPS}), ("generator_frozen",)),
    "labels_swapped": Case("labels swapped", make(loss={"flip_probability": 1.0}), ("labels_swapped",)),
    "images_not_normalised": Case("images in [0, 255]", PERCEPTRONS, ("images_not_normalised",), source=unscaled),
    "wgan_without_control": Case("WGAN without Lipschitz control", make(loss={"name": "wasserstein"}), ("lipschitz_violated",)),
    "mixed_batches": Case(
        "batch norm over reals and fakes together",
        make(CONVOLUTIONS, model={"discriminator_norm": "batch"}, update={"joint_batches": True}),
        ("mixed_batches",),
    ),
    "one_latent": Case("latents of dimension 1", make(model={"latent_dim": 1}), ("few_dimensions",)),
    "nan_injected": Case("a NaN in one kernel of D", PERCEPTRONS, ("non_finite",), between=poison),
    "stale_replay": Case(
        "D sees only fakes of the past",
        make(replay={"size": 4096, "share": 1.0}, optimizer={"generator_lr": 1e-3}),
        ("stale_fakes",),
    ),
    "one_image": Case("G copies one image", PERCEPTRONS, ("mode_collapse", "memorisation"), built=copying),
    "one_class": Case(
        "G copies one image for one of ten classes", make(model={"conditional": True}), ("class_collapse",), built=losing_a_class
    ),
    "non_saturating": Case("perceptrons", PERCEPTRONS),
    "least_squares": Case("... least squares", make(loss={"name": "least_squares"})),
    "hinge": Case("... hinge, spectral norm", make(loss={"name": "hinge"}, transform={"spectral_norm": "discriminator"})),
    "wgan_gp": Case(
        "... WGAN-GP",
        make(
            loss={"name": "wasserstein"},
            penalty={"wgan_gp": 10.0},
            update={"discriminator_steps": 5},
            optimizer={"b1": 0.0, "b2": 0.9},
        ),
    ),
    "r1": Case("... R1", make(penalty={"r1": 5.0})),
    "wgan_clipping": Case(
        "... WGAN, weights clipped, RMSProp",
        make(
            loss={"name": "wasserstein"},
            update={"discriminator_steps": 5},
            optimizer={
                "generator": "rmsprop",
                "discriminator": "rmsprop",
                "generator_lr": 5e-5,
                "discriminator_lr": 5e-5,
                "clip_weights": 0.01,
            },
        ),
    ),
    "relativistic": Case("... relativistic, R1 and R2", make(loss={"name": "relativistic"}, penalty={"r1": 1.0, "r2": 1.0})),
    "conditional": Case("... conditional", make(model={"conditional": True})),
    "many_tricks": Case(
        "... soft labels, instance noise, replay, TTUR",
        make(
            loss={"real_target": (0.7, 1.2), "fake_target": (0.0, 0.3)},
            augment={"instance_noise": 0.1},
            replay={"size": 512, "share": 0.25},
            optimizer={"discriminator_lr": 4e-4, "generator_lr": 1e-4},
        ),
    ),
    "dcgan": Case("DCGAN", CONVOLUTIONS),
    "dcgan_conditional": Case(
        "... conditional, labels smoothed",
        make(CONVOLUTIONS, model={"conditional": True, "condition": "channels"}, loss={"real_target": (0.9, 0.9)}),
    ),
    "dcgan_hinge": Case(
        "... hinge, spectral norm",
        make(CONVOLUTIONS, model=NO_NORM, loss={"name": "hinge"}, transform={"spectral_norm": "discriminator"}),
    ),
    "dcgan_augmented": Case(
        "... DiffAugment, R1", make(CONVOLUTIONS, model=NO_NORM, augment={"diff_augment": "translation,cutout"}, penalty={"r1": 1.0})
    ),
}


class Prepared(NamedTuple):
    """A case that is ready to train. Its seeds share the compiled programs.

    Attributes:
        case: The case.
        source: Its data.
        built: Its GAN.
        program: The jitted step.
        init: The jitted initialisation.
    """

    case: Case
    source: Source
    built: BuiltGAN
    program: Callable[..., Any]
    init: Callable[..., Any]


class Trained(NamedTuple):
    """A run of a case.

    Attributes:
        findings: What the monitor reported.
        params: Parameters of G and D after the last step.
        opt_state: The rest of the state.
        step: The last step.
        seconds: How long it took.
    """

    findings: list[Finding]
    params: Any
    opt_state: Any
    step: int
    seconds: float


def prepare(case: Case) -> Prepared:
    """Builds a case."""
    source = case.source(load_data(case.config))
    built = case.built(build(case.config, source.shape, source.num_classes), source)
    feed = Feed(source, batch_size=case.config.batch_size * built.rule.batches_per_step, seed=0)
    return Prepared(case, source, built, jax.jit(chunk_step(built, 1, feed.gather)), jax.jit(built.gan.init))


def train(
    ready: Prepared, seed: int, *, begin: Callable[[Prepared, Any], Any] | None = None, until: Callable[[list[Finding]], bool] | None = None
) -> Trained:
    """Trains and monitors a case as `gan_jax.trainer.loop` does.

    Args:
        ready: The case.
        seed: Random seed.
        begin: `(ready, rng) -> (params, opt_state)`. The default is the case's initialisation.
        until: Findings so far -> whether the run stops. The default never stops before the last step.
    """
    case, source, built = ready.case, ready.source, ready.built
    start = time.monotonic()
    config = dataclasses.replace(case.config, seed=seed)
    feed = Feed(source, batch_size=config.batch_size * built.rule.batches_per_step, seed=seed)
    rng = jax.random.key(seed)
    params, opt_state = begin(ready, jax.random.fold_in(rng, 0)) if begin else ready.init(jax.random.fold_in(rng, 0))
    monitor = Monitor(describe_run(config, built, params, opt_state, STEPS))
    probes, draw = Probes(config, built, source, params.generator), sampler(config, built, source)
    findings = list(monitor.observe({"step": 0} | probes(draw(params, opt_state), params, opt_state)))
    step = 0
    for step in range(1, STEPS + 1):
        if case.between is not None:
            params = case.between(step, params)
        params, opt_state, metrics = ready.program(params, opt_state, feed.chunk(step - 1, 1), jax.random.fold_in(rng, 1))
        if step % LOG_EVERY == 0:
            figures = drop_unset({name: float(value) for name, value in jax.device_get(metrics).items()})
            findings += monitor.observe({"step": step} | figures)
        if step % SAMPLE_EVERY == 0:
            findings += monitor.observe({"step": step} | probes(draw(params, opt_state), params, opt_state))
        if until is not None and until(findings):
            break
    feed.close()
    return Trained(findings, params, opt_state, step, round(time.monotonic() - start, 1))


def train_and_monitor(case: Case, seeds: list[int]) -> list[dict[str, Any]]:
    """The rows of a case, one a seed. Each row states its origin."""
    came_from = origin(command_of("experiments.studies.failures"))
    ready, rows = prepare(case), []
    for seed in seeds:
        trained = train(ready, seed)
        kept = [{key: value for key, value in finding._asdict().items() if key in FIELDS} for finding in trained.findings]
        rows.append({"seed": seed, "findings": kept, "seconds": trained.seconds} | came_from)
    return rows


def detected(case: Case, row: dict[str, Any]) -> int | None:
    """The first step of an expected finding within the first fifth of the run, or None."""
    steps = [finding["step"] for finding in row["findings"] if finding["id"] in case.expected and finding["step"] <= FIRST]
    return min(steps) if steps else None


def broken_table(results: Results) -> str:
    """The broken runs: what was detected, at which step, and what else was reported."""
    lines = []
    hits = runs = 0
    for id, case in CASES.items():
        if not case.expected or id not in results:
            continue
        steps = [detected(case, row) for row in results[id]]
        reported = sorted({finding["id"] for row in results[id] for finding in row["findings"]})
        right = [name for name in reported if name in case.expected]
        others = [name for name in reported if name not in case.expected]
        hit = [step for step in steps if step is not None]
        hits, runs = hits + len(hit), runs + len(steps)
        cells = [", ".join(right), f"{len(hit)} of {len(steps)}", ", ".join(map(str, hit)), ", ".join(others)]
        lines.append([case.about, *(cell or "-" for cell in cells)])
    body = table(["broken run", "detected as", "detected", "at step", "also reported"], lines)
    return f"{body}\n\nDetected within the first {FIRST} of {STEPS} steps: {hits} of {runs}."


def healthy_table(results: Results) -> str:
    """The healthy runs that were flagged, with the findings."""
    lines = []
    flagged = failing = runs = 0
    for id, case in CASES.items():
        if case.expected or id not in results:
            continue
        rows = [row for row in results[id] if row["findings"]]
        reported = sorted({f"{f['id']} ({f['confidence']:g}, step {f['step']})" for row in rows for f in row["findings"]})
        flagged, runs = flagged + len(rows), runs + len(results[id])
        failing += sum(any(f["confidence"] >= FAILURE_CONFIDENCE for f in row["findings"]) for row in rows)
        lines.append([case.about, f"{len(rows)} of {len(results[id])}", ", ".join(reported) or "-"])
    body = table(["healthy run", "flagged", "as"], lines)
    return f"{body}\n\nFlagged at any time: {flagged} of {runs}. Flagged as failing (confidence {FAILURE_CONFIDENCE:g} or more): {failing}."


def main() -> None:
    """Trains the runs that the file lacks, and prints the tables."""
    parser = argument_parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), help="configurations to train")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/failures.json"), help="file of the results; its runs are not trained again")
    parser.add_argument("--table", type=Path, help="only print the tables of this file")
    chosen = parser.parse_args()
    path = existing("--table", chosen.table) if chosen.table else chosen.out
    results = json.loads(path.read_text()) if path.exists() else {}
    for id in [] if chosen.table else chosen.only:
        seeds = [seed for seed in chosen.seeds if seed not in [row["seed"] for row in results.get(id, [])]]
        if not seeds:
            continue
        rows = train_and_monitor(CASES[id], seeds)
        results[id] = sorted(results.get(id, []) + rows, key=lambda row: row["seed"])
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(json.dumps(results, indent=1) + "\n")
        partial.replace(path)
        found = [[(f["id"], f["step"]) for f in row["findings"]] for row in rows]
        print(f"{id}: {found} in {sum(row['seconds'] for row in rows):.0f} s", file=sys.stderr)
    print(broken_table(results), healthy_table(results), sep="\n\n")


if __name__ == "__main__":
    main()
