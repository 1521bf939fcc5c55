"""One train step of small GANs on one device and on several, for the tests of `gan_jax.distributed`.

    python tests/support/parallel_cases.py 2,4,8 sngan hinge             rows of MODELS and ADVERSARIAL, in every placement
    python tests/support/parallel_cases.py 2,4,8 sngan hinge --float64   whether the programs are the same, apart from rounding
    python tests/support/parallel_cases.py > docs/data/parallel.jsonl    all of them, on 2, 4 and 8 devices
    python tests/support/parallel_cases.py --table docs/data/parallel.jsonl

In float64 rounding errors are about 1e-16, and it is very unlikely that rounding decides on which side of the kink of its activation a
unit lies. A larger difference therefore means that the programs differ. For float64 this program replaces the name `jnp.float32` before
the library and Flax are imported. That is why it runs in a separate process.
"""

import argparse
import dataclasses
import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

if __name__ == "__main__":
    if "--float64" in sys.argv:
        jax.config.update("jax_enable_x64", True)
        jnp.float32 = jnp.float64
    sys.path[:0] = [str(Path(__file__).parents[number]) for number in (1, 2)]
    import conftest  # noqa: F401 - simulates the devices before JAX uses any

import numpy as np
import optax

from docs._generate.tables import table as markdown
from gan_jax.distributed import PLACEMENTS, distribute, make_placement, state_shardings
from gan_jax.gan.diagnostics import with_diagnostics
from gan_jax.losses import ADVERSARIAL
from gan_jax.models import MODELS
from gan_jax.typing import Players
from support.small_recipes import RECIPES, one_recipe_per_model, shrunk, started

RNG = jax.random.key(3)
# float32 sums in another order: the relative error of a gradient of these networks is mostly below 1e-6 (docs/data/parallel.jsonl).
ROUNDING = 1e-5
NEARBY = 4 * float(jnp.finfo(jnp.float32).eps)  # four to eight rounding errors
DRAWS = 32
LARGEST = 4.0  # a rounding of float32 is 2.4e-7 there
# Their networks draw (dropout, an encoder's noise): under shard_map and pmap each device has draws of its own.
DRAWS_IN_NETWORKS = {"pix2pix", "vaegan", "klgan"}


def deterministic(config, batch_size=8):
    """The recipe with SGD, without the draws of each device, i.e. those of penalties, loss terms and augmentation."""
    quiet = {"wgan_gp": 0.0, "dragan": 0.0, "zero_centered": 0.0, "consistency": 0.0, "balanced_consistency": 0.0}
    penalty = dataclasses.replace(config.penalty, **quiet, latent_consistency=0.0)
    augment = dataclasses.replace(config.augment, instance_noise=0.0, diff_augment="", ada=0.0)
    # SGD with momentum 0 stores its last gradient in its state.
    sgd = {"generator": "momentum", "discriminator": "momentum", "generator_lr": 0.01, "discriminator_lr": 0.01, "b1": 0.0}
    optimizer = dataclasses.replace(config.optimizer, **sgd)
    # For float64 the name jnp.float32 stands for jnp.float64, and the networks compute in it, too.
    model = dataclasses.replace(config.model, options=config.model.options | {"dtype": jnp.dtype(jnp.float32).name})
    return dataclasses.replace(config, penalty=penalty, augment=augment, optimizer=optimizer, model=model, batch_size=batch_size)


class Case(NamedTuple):
    """A small GAN whose step is compared: the GAN on one device, its batch, and its initial parameters."""

    built: Any
    batch: dict
    micro_batches: int
    step: Callable
    start: tuple


def case_of(config, micro_batches=1):
    """The case of a configuration, with the first initialisation at which its gradient is continuous in the parameters.

    At the kink of an activation it is not, and rounding decides on which side a unit comes to lie: in another program as well as in
    the same one from parameters that differ by a rounding. So the start is one from which moving the parameters by `NEARBY` does not
    change the gradient on one device by more than `ROUNDING`, in `DRAWS` random directions; and one whose step leaves no parameter so
    large that its rounding alone is above the bound.
    """
    built, batch = started(config)
    init, step = jax.jit(built.gan.init), jax.jit(built.gan.train_step)
    for seed in range(1, 500):
        start = init(jax.random.key(seed))
        params, to_local, _ = step(*start, batch, RNG)
        if max(float(jnp.abs(leaf).max(initial=0)) for leaf in jax.tree.leaves(params)) > LARGEST:
            continue
        nearby = (step(moved(start[0], jax.random.key(draw)), start[1], batch, RNG)[1] for draw in range(DRAWS))
        if all(gradient_error(to_local, there) < ROUNDING for there in nearby):
            return Case(built, batch, micro_batches, step, start)
    raise AssertionError("every start is at a kink")


def moved(params, rng):
    """Parameters, each times 1 + `NEARBY` times a normal number."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(rng, len(leaves))
    return tree.unflatten([leaf * (1 + NEARBY * jax.random.normal(key, leaf.shape)) for leaf, key in zip(leaves, keys)])


@functools.cache
def of_model(name):
    """The case of the first recipe with this model."""
    config = deterministic(shrunk(RECIPES[one_recipe_per_model()[name]][1]))
    return case_of(config, config.update.micro_batches)


@functools.cache
def of_loss(name):
    """The case of a row of ADVERSARIAL, with a DCGAN with batch norm, minibatch deviation and minibatch discrimination in D."""
    config = shrunk(RECIPES["dcgan_mnist"][1])
    model = dataclasses.replace(config.model, minibatch_stddev=True, minibatch_discrimination=True, discriminator_norm="batch")
    return case_of(deterministic(dataclasses.replace(config, model=model, loss=dataclasses.replace(type(config.loss)(), name=name))))


def one_step(case, kind=None, devices=1, **options):
    """(parameters, state, metrics) after one step, on the host. `kind` None means one device."""
    if kind is None:
        return jax.device_get(case.step(*case.start, case.batch, RNG))
    placement = make_placement(kind, devices=devices, **options)
    gan = with_diagnostics(case.built.spec, distribute(case.built.rule, placement, micro_batches=case.micro_batches))
    shardings = state_shardings(placement, case.start, threshold=0)
    step = jax.jit(gan.train_step, out_shardings=(*shardings, placement.replicated))
    return jax.device_get(step(*jax.device_put(case.start, shardings), jax.device_put(case.batch, placement.batch), RNG))


def difference(start, one, many):
    """Relative difference of two steps: the maximum over the players of |a - b| / |a - start| in the Euclidean norm of the parameters."""
    return max(distance(a, b) / max(distance(a, s), 1e-30) for s, a, b in zip(start, one, many, strict=True))


def distance(one, many):
    """The Euclidean norm of the difference of two trees."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True)
    return float(np.sqrt(sum(np.sum(np.square(np.asarray(a, np.float64) - np.asarray(b, np.float64))) for a, b in pairs)))


def gradient_error(one, many):
    """Relative difference of the last gradients in the optimiser's state: the maximum over the players of |a - b| / |a|."""

    def gradients(state):
        nodes = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, optax.TraceState))
        return [node.trace for node in nodes if isinstance(node, optax.TraceState)]

    pairs = list(zip(gradients(one), gradients(many), strict=True))
    assert len(pairs) == len(Players._fields)
    return max(distance(a, b) / max(distance(a, jax.tree.map(np.zeros_like, a)), 1e-30) for a, b in pairs)


def far(metrics, others):
    """Names of the metrics that differ by more than rounding."""
    return {
        name: (float(metrics[name]), float(others[name]))
        for name in metrics
        if not np.isclose(metrics[name], others[name], rtol=2e-4, atol=2e-5)
    }


def largest(one, many):
    """The largest difference of a parameter."""
    return max(float(np.abs(a - b).max(initial=0)) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True))


def compared(name, devices):
    """Rows that compare each placement with one device, and the two mapped placements with each other."""
    case = of_loss(name) if name in ADVERSARIAL else of_model(name)
    one = one_step(case)
    about = {"name": name, "dtype": jnp.dtype(jnp.float32).name}
    for count in devices:
        found = {kind: one_step(case, kind, count) for kind in PLACEMENTS}
        pairs = {kind: (one, many) for kind, many in found.items()} | {"shard_map, pmap": (found["shard_map"], found["pmap"])}
        for kind, ((params, state, metrics), (others, other_state, other_metrics)) in pairs.items():
            figures = {"gradient": gradient_error(state, other_state), "parameter": largest(params, others)}
            yield about | {"devices": count, "compared": kind} | figures | {"metrics": far(metrics, other_metrics)}


def table(rows):
    """The table of docs/distributed.md: the maximum over the numbers of devices, without cases that draw on each device."""

    def worst(name, dtype, figure, *kinds):
        found = [row[figure] for row in rows if row["name"] == name and row["dtype"] == dtype and row["compared"] in kinds]
        return f"{max(found):.1e}" if found else "-"

    heads = ["model or loss", "float32: gradient, `jit`", "`shard_map`, `pmap`", "parameter", "float64: gradient", "parameter"]
    lines = []
    for name in dict.fromkeys(row["name"] for row in rows):
        draws = name in DRAWS_IN_NETWORKS
        kinds = ("jit", "shard_map, pmap") if draws else PLACEMENTS
        mapped = "other draws" if draws else worst(name, "float32", "gradient", "shard_map", "pmap")
        cells = [worst(name, "float32", "gradient", "jit"), mapped, worst(name, "float32", "parameter", *kinds)]
        cells += [worst(name, "float64", figure, *kinds) for figure in ("gradient", "parameter")]
        lines.append([f"`{name}`", *cells])
    return markdown(heads, lines)


def main():
    """Prints one line of JSON for each comparison, or the table of a file of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("devices", nargs="?", default="2,4,8", metavar="2,4,8")
    parser.add_argument("names", nargs="*", default=[*ADVERSARIAL, *MODELS], metavar="NAME")
    parser.add_argument("--float64", action="store_true")
    parser.add_argument("--table", type=Path, metavar="FILE")
    chosen = parser.parse_args()
    if chosen.table:
        print(table([json.loads(line) for line in chosen.table.read_text().splitlines()]))
        return
    for name in chosen.names:
        for row in compared(name, [int(count) for count in chosen.devices.split(",")]):
            rounded = {name: float(f"{value:.3g}") if isinstance(value, float) else value for name, value in row.items()}
            print(json.dumps(rounded), flush=True)


if __name__ == "__main__":
    main()
