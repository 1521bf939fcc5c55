"""Does the monitor name failures? Runs that are broken on purpose, and healthy ones, each over several seeds.

    python -m experiments.studies.failures                          all of it, into runs/failures.json and a table on standard output
    python -m experiments.studies.failures --only one_image wgan_gp --seeds 0
    python -m experiments.studies.failures --table runs/failures.json

A broken run is named where, in its first fifth, the monitor reports one of the findings that belong to it; a healthy run is flagged where
anything at all is reported, at any time. Every run sees the embedded digits at 28x28 (perceptrons) or 32x32 (DCGAN of width 8). What is
measured already is not measured again: delete the file to begin anew.

Takes: 26 kinds of runs, 3 seeds; the time of each is in the file.
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

from gan_jax.cli import common
from gan_jax.data import Feed, Source, load
from gan_jax.gan.diagnostics import with_diagnostics
from gan_jax.monitor import FAILURE_CONFIDENCE, Monitor
from gan_jax.trainer.build.gan import BuiltGAN, build
from gan_jax.trainer.config import Config, DataConfig, ModelConfig, MonitorConfig, OptimizerConfig, check
from gan_jax.trainer.failure_policy import describe_run, visible
from gan_jax.trainer.loop import chunk_step
from gan_jax.trainer.probes import Probes
from gan_jax.trainer.writers.samples import sampler
from gan_jax.typing import GeneratorOutput, Network

STEPS, LOG_EVERY, SAMPLE_EVERY = 300, 5, 10
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
# Spectral normalisation and gradient penalties are meant for a D without batch norm; with it, these runs do fail.
NO_NORM = {"discriminator_norm": "none"}


class Kind(NamedTuple):
    """A run to watch.

    Attributes:
        what: for the table.
        config: of the run.
        names: findings that name the failure; empty for a healthy run.
        source: changes the data.
        experiment: changes the game.
        between: `(step, params) -> params`, between two steps.
    """

    what: str
    config: Config
    names: tuple[str, ...] = ()
    source: Callable[[Source], Source] = lambda source: source
    built: Callable[[BuiltGAN, Source], BuiltGAN] = lambda built, source: built
    between: Callable[[int, Any], Any] | None = None


def make(base: Config = PERCEPTRONS, **groups: Any) -> Config:
    """A configuration with some of its fields changed; a dict changes fields of a group."""
    changed = {
        name: dataclasses.replace(getattr(base, name), **value) if isinstance(value, dict) else value for name, value in groups.items()
    }
    return check(dataclasses.replace(base, **changed))


def unscaled(source: Source) -> Source:
    """Floating-point images in [0, 255], as a pipeline that forgot to normalise gives them."""
    return dataclasses.replace(source, images=np.asarray(source.images).astype(np.float32))


def copying(built: BuiltGAN, source: Source) -> BuiltGAN:
    """A generator that returns all but exactly one training image, whatever the latents."""
    image = np.asarray(source.images[0]).astype(np.float32) / 127.5 - 1
    inner = built.spec.generator

    def apply(params: Any, state: Any, latents: Any, *args: Any, **keywords: Any) -> Any:
        output, state = inner.apply(params, state, latents, *args, **keywords)
        return GeneratorOutput(0.98 * image + 0.02 * output.images), state

    spec = dataclasses.replace(built.spec, generator=Network(inner.init, apply))
    return BuiltGAN(spec, built.rule, with_diagnostics(spec, built.rule))


def losing_a_class(built: BuiltGAN, source: Source) -> BuiltGAN:
    """A conditional generator that returns all but exactly one training image for class 3, whatever the latents."""
    image = np.asarray(source.images[int(np.argmax(source.labels == 3))]).astype(np.float32) / 127.5 - 1
    inner = built.spec.generator

    def apply(params: Any, state: Any, latents: Any, labels: Any, *args: Any, **keywords: Any) -> Any:
        output, state = inner.apply(params, state, latents, labels, *args, **keywords)
        lost = 0.98 * (labels == 3)[:, None, None, None]
        return GeneratorOutput(lost * image + (1 - lost) * output.images), state

    spec = dataclasses.replace(built.spec, generator=Network(inner.init, apply))
    return BuiltGAN(spec, built.rule, with_diagnostics(spec, built.rule))


def poison(step: int, params: Any) -> Any:
    """Puts a NaN into one kernel of D, once."""
    if step != STEPS // 10:
        return params
    leaves, tree = jax.tree.flatten(params.discriminator)
    leaves[-1] = leaves[-1].at[(0,) * leaves[-1].ndim].set(jnp.nan)
    return params._replace(discriminator=jax.tree.unflatten(tree, leaves))


KINDS: dict[str, Kind] = {
    "learning_rate_x100": Kind(
        "learning rates x100",
        make(optimizer={"generator_lr": 2e-2, "discriminator_lr": 2e-2}),
        ("updates_too_large", "unstable_discriminator"),
    ),
    "discriminator_too_strong": Kind(
        "D much too strong: 5 steps at 10 times the rate, G at a hundredth",
        make(optimizer={"generator_lr": 2e-6, "discriminator_lr": 2e-3}, update_rule={"discriminator_steps": 5}),
        ("discriminator_won",),
    ),
    "discriminator_too_weak": Kind(
        "D much too weak: a hundredth of the rate",
        make(optimizer={"discriminator_lr": 2e-6, "generator_lr": 1e-3}),
        ("generator_won_with_garbage", "generator_loss_falling", "discriminator_frozen"),
    ),
    "generator_frozen": Kind("G frozen", make(update_rule={"freeze_generator": STEPS}), ("generator_frozen",)),
    "labels_swapped": Kind("labels swapped", make(loss={"flip_probability": 1.0}), ("labels_swapped",)),
    "images_not_normalised": Kind("images in [0, 255]", PERCEPTRONS, ("images_not_normalised",), source=unscaled),
    "wgan_without_control": Kind("WGAN without Lipschitz control", make(loss={"name": "wasserstein"}), ("lipschitz_violated",)),
    "mixed_batches": Kind(
        "batch norm over reals and fakes together",
        make(CONVOLUTIONS, model={"discriminator_norm": "batch"}, update_rule={"joint_batches": True}),
        ("mixed_batches",),
    ),
    "one_latent": Kind("latents of dimension 1", make(model={"latent_dim": 1}), ("few_dimensions",)),
    "nan_injected": Kind("a NaN in one kernel of D", PERCEPTRONS, ("non_finite",), between=poison),
    "stale_replay": Kind(
        "D sees only fakes of the past",
        make(replay={"size": 4096, "share": 1.0}, optimizer={"generator_lr": 1e-3}),
        ("stale_fakes",),
    ),
    "one_image": Kind("G copies one image", PERCEPTRONS, ("mode_collapse", "memorisation"), built=copying),
    "one_class": Kind(
        "G copies one image for one of ten classes", make(model={"conditional": True}), ("class_collapse",), built=losing_a_class
    ),
    "non_saturating": Kind("perceptrons", PERCEPTRONS),
    "least_squares": Kind("... least squares", make(loss={"name": "least_squares"})),
    "hinge": Kind("... hinge, spectral norm", make(loss={"name": "hinge"}, transform={"spectral_norm": "discriminator"})),
    "wgan_gp": Kind(
        "... WGAN-GP",
        make(
            loss={"name": "wasserstein"},
            penalty={"wgan_gp": 10.0},
            update_rule={"discriminator_steps": 5},
            optimizer={"b1": 0.0, "b2": 0.9},
        ),
    ),
    "r1": Kind("... R1", make(penalty={"r1": 5.0})),
    "wgan_clipping": Kind(
        "... WGAN, weights clipped, RMSProp",
        make(
            loss={"name": "wasserstein"},
            update_rule={"discriminator_steps": 5},
            optimizer={
                "generator": "rmsprop",
                "discriminator": "rmsprop",
                "generator_lr": 5e-5,
                "discriminator_lr": 5e-5,
                "clip_weights": 0.01,
            },
        ),
    ),
    "relativistic": Kind("... relativistic, R1 and R2", make(loss={"name": "relativistic"}, penalty={"r1": 1.0, "r2": 1.0})),
    "conditional": Kind("... conditional", make(model={"conditional": True})),
    "many_tricks": Kind(
        "... soft labels, instance noise, replay, TTUR",
        make(
            loss={"real_target": (0.7, 1.2), "fake_target": (0.0, 0.3)},
            augment={"instance_noise": 0.1},
            replay={"size": 512, "share": 0.25},
            optimizer={"discriminator_lr": 4e-4, "generator_lr": 1e-4},
        ),
    ),
    "dcgan": Kind("DCGAN", CONVOLUTIONS),
    "dcgan_conditional": Kind(
        "... conditional, labels smoothed",
        make(CONVOLUTIONS, model={"conditional": True, "condition": "channels"}, loss={"real_target": (0.9, 0.9)}),
    ),
    "dcgan_hinge": Kind(
        "... hinge, spectral norm",
        make(CONVOLUTIONS, model=NO_NORM, loss={"name": "hinge"}, transform={"spectral_norm": "discriminator"}),
    ),
    "dcgan_augmented": Kind(
        "... DiffAugment, R1", make(CONVOLUTIONS, model=NO_NORM, inputs={"diff_augment": "translation,cutout"}, penalty={"r1": 1.0})
    ),
}


def watch(kind: Kind, seeds: list[int]) -> list[dict[str, Any]]:
    """Plays a kind of run for each seed, the way `gan_jax.trainer.loop` does; the compiled programs are shared."""
    source = kind.source(load(kind.config))
    built = kind.built(build(kind.config, source.shape, source.num_classes), source)
    program, init, rows = None, jax.jit(built.gan.init), []
    for seed in seeds:
        began = time.monotonic()
        config = dataclasses.replace(kind.config, seed=seed)
        feed = Feed(source, batch_size=config.batch_size * built.rule.batches_per_step, seed=seed)
        program = program or jax.jit(feed.gathering(chunk_step(built, 1)))
        rng = jax.random.key(seed)
        params, opt_state = init(jax.random.fold_in(rng, 0))
        monitor = Monitor(describe_run(config, built, params, opt_state, STEPS))
        probes, draw = Probes(config, built, source, params.generator), sampler(config, built, source)
        findings = list(monitor.observe({"step": 0} | probes(draw(params, opt_state), params, opt_state)))
        for step in range(1, STEPS + 1):
            if kind.between is not None:
                params = kind.between(step, params)
            params, opt_state, metrics = program(params, opt_state, feed.chunk(step - 1, 1), jax.random.fold_in(rng, 1))
            if step % LOG_EVERY == 0:
                figures = visible({name: float(value) for name, value in jax.device_get(metrics).items()})
                findings += monitor.observe({"step": step} | figures)
            if step % SAMPLE_EVERY == 0:
                findings += monitor.observe({"step": step} | probes(draw(params, opt_state), params, opt_state))
        feed.close()
        shown = [{key: value for key, value in finding._asdict().items() if key in SHOWN} for finding in findings]
        rows.append({"seed": seed, "findings": shown, "seconds": round(time.monotonic() - began, 1)})
    return rows


SHOWN = ("id", "step", "since_step", "evidence", "confidence")


def named(kind: Kind, row: dict[str, Any]) -> int | None:
    """The step at which a broken run was named correctly within its first fifth, or None."""
    steps = [finding["step"] for finding in row["findings"] if finding["id"] in kind.names and finding["step"] <= FIRST]
    return min(steps) if steps else None


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """The results as Markdown, with the misses and with everything else that was reported."""
    lines = ["| broken run | named as | named | at step | also reported |", "|---|---|---|---|---|"]
    hits = runs = 0
    for id, kind in KINDS.items():
        if kind.names and id in results:
            steps = [named(kind, row) for row in results[id]]
            seen = sorted({f["id"] for row in results[id] for f in row["findings"]})
            right, others = [n for n in seen if n in kind.names], [n for n in seen if n not in kind.names]
            hit = [step for step in steps if step is not None]
            hits, runs = hits + len(hit), runs + len(steps)
            cells = (
                kind.what,
                ", ".join(right) or "-",
                f"{len(hit)} of {len(steps)}",
                ", ".join(map(str, hit)) or "-",
                ", ".join(others) or "-",
            )
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"Named within the first {FIRST} of {STEPS} steps: {hits} of {runs}.", ""]
    lines += ["| healthy run | flagged | as |", "|---|---|---|"]
    flagged = sure = runs = 0
    for id, kind in KINDS.items():
        if not kind.names and id in results:
            rows = [row for row in results[id] if row["findings"]]
            seen = sorted({f"{f['id']} ({f['confidence']:g}, step {f['step']})" for row in rows for f in row["findings"]})
            flagged, runs = flagged + len(rows), runs + len(results[id])
            sure += sum(any(f["confidence"] >= FAILURE_CONFIDENCE for f in row["findings"]) for row in rows)
            lines.append(f"| {kind.what} | {len(rows)} of {len(results[id])} | {', '.join(seen) or '-'} |")
    return "\n".join(
        [*lines, "", f"Flagged at any time: {flagged} of {runs}; as failing (confidence {FAILURE_CONFIDENCE:g} or more): {sure}."]
    )


def main() -> None:
    """Measures what is not measured yet, and prints the table."""
    parser = common.argument_parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), help="kinds of runs")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/failures.json"), help="the file; what it holds is not measured again")
    parser.add_argument("--table", type=Path, help="only print the table of this file")
    chosen = parser.parse_args()
    path = common.existing("--table", chosen.table) if chosen.table else chosen.out
    results = json.loads(path.read_text()) if path.exists() else {}
    for id in [] if chosen.table else chosen.only:
        seeds = [seed for seed in chosen.seeds if seed not in [row["seed"] for row in results.get(id, [])]]
        if not seeds:
            continue
        rows = watch(KINDS[id], seeds)
        results[id] = sorted(results.get(id, []) + rows, key=lambda row: row["seed"])
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(json.dumps(results, indent=1) + "\n")
        partial.replace(path)
        found = [[(f["id"], f["step"]) for f in row["findings"]] for row in rows]
        print(f"{id}: {found} in {sum(row['seconds'] for row in rows):.0f} s", file=sys.stderr)
    print(table(results))


if __name__ == "__main__":
    main()
