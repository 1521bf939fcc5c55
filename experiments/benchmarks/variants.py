"""Candidates that make the same train step in several ways: gan_jax's and PyTorch's columns of a workload, and variants of one step."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import flax.linen
import jax
import optax

from experiments.benchmarks import jax_steps, pipelines, torch_process
from experiments.benchmarks.machine import torch, torch_can_run
from experiments.benchmarks.timing import Candidate
from experiments.benchmarks.workloads import TORCH_OPTIONS, Workload
from gan_jax.distributed import make_placement
from gan_jax.nn.fast_conv.forms import SWITCH

Context = contextlib.AbstractContextManager[object]


class NotHere(Exception):
    """A candidate needs something that this machine does not have."""


def column_candidate(workload: Workload, column: str, scan: int | None) -> Candidate:
    """Compiles one column of a workload.

    Raises:
        NotHere: The column is PyTorch's, which is not installed for the backend of JAX.
    """
    if column in TORCH_OPTIONS:
        if not torch_can_run():
            raise NotHere("PyTorch is not installed for this backend (pip install torch)")
        return Candidate(_torch_call(workload, column), pipelines.BATCHES if workload.kind == "pipeline" else 1)
    if workload.kind == "pipeline":
        return Candidate(pipelines.feed_call(**workload.run), pipelines.BATCHES)
    return jax_program(workload, column, scan).candidate()


def _torch_call(workload: Workload, column: str) -> Callable[[], Any]:
    remote = torch is None
    if workload.kind == "pipeline":
        if remote:
            raise NotHere("PyTorch is not installed in this Python (pip install torch)")
        return pipelines.loader_call(**workload.torch)
    if workload.kind == "sampling":
        options = {name: workload.torch[name] for name in ("model", "image_shape")} | {"autocast": column == "autocast"}
        return _torch_function("sampling", options, remote=remote)
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    return _torch_function("training", workload.torch | TORCH_OPTIONS[column] | {"device": device}, remote=remote)


def _torch_function(name: str, options: dict[str, Any], *, remote: bool) -> Callable[[], Any]:
    if remote:
        return torch_process.remote_call(name, **options)
    from experiments.benchmarks import torch_steps

    return getattr(torch_steps, name)(**options)


def jax_program(workload: Workload, column: str, scan: int | None) -> jax_steps.Program:
    """Compiles one of gan_jax's columns."""
    spec = workload.spec | ({"dtype": "bfloat16"} if column == "gan_jax bfloat16" else {})
    run = workload.run | ({"scan": scan} if scan else {})
    cores = column == "gan_jax cores"
    with stock_convolutions() if column == "gan_jax lax" else contextlib.nullcontext():
        if workload.kind == "sampling":
            return jax_steps.sampling(**spec)
        if "seeds" in run:
            return jax_steps.sweep(jax_steps.make(**spec), **run, cores=cores)
        placement = jax_steps.every_core() if cores else None
        return jax_steps.training(jax_steps.make(**spec, placement=placement), **run, placement=placement)


@contextlib.contextmanager
def stock_convolutions() -> Iterator[None]:
    """Inside this context, layers trace XLA's own convolutions and Flax's own batch norm."""
    with mock.patch.dict(os.environ, {SWITCH: "lax"}):
        yield


@contextlib.contextmanager
def without_monitor() -> Iterator[None]:
    """Inside this context, a configuration or a benchmark's GAN is built without the monitor's diagnostics."""
    from gan_jax.gan.make import build_gan

    with (
        mock.patch("gan_jax.trainer.build.gan.with_diagnostics", build_gan),
        mock.patch("experiments.benchmarks.jax_steps.with_diagnostics", build_gan),
    ):
        yield


def flattened_adam() -> Context:
    """Inside this context, Adam updates all parameters of a network as one vector."""
    adam = optax.adam
    return mock.patch("optax.adam", lambda *arguments, **keywords: optax.flatten(adam(*arguments, **keywords)))


def flax_batch_norm(*, fast: bool) -> Context:
    """Inside this context, batch norm is Flax's, with its fast or its exact variance."""
    return mock.patch("gan_jax.nn.norms.BatchNorm", functools.partial(flax.linen.BatchNorm, use_fast_variance=fast))


def threads_inside() -> Context:
    """Inside this context, each of several CPU devices splits its operations over all cores."""
    return mock.patch("gan_jax.distributed.sharding.one_thread_each", return_value=None)


def step_variants(workload: Workload, scan: int | None = None) -> dict[str, Callable[[], Candidate]]:
    """Returns variant -> function that compiles it."""
    run = workload.run | ({"scan": scan} if scan else {})

    def one(context: Context | None = None, **changed: Any) -> Callable[[], Candidate]:
        options = run | {name: changed.pop(name) for name in ("scan",) if name in changed}

        def build() -> Candidate:
            with context or contextlib.nullcontext():
                return jax_steps.training(jax_steps.make(**workload.spec | changed), **options).candidate()

        return build

    def many(kind: str, context: Context | None = None) -> Callable[[], Candidate]:
        def build() -> Candidate:
            placement = jax_steps.every_core() if kind == "shard_map" else make_placement(kind)
            with context or contextlib.nullcontext():
                return jax_steps.training(jax_steps.make(**workload.spec, placement=placement), **run, placement=placement).candidate()

        return build

    found = {
        "one device": one(),
        "one device, one step a call": one(scan=1),
        "one device, the monitor left out": one(without_monitor()),
        "one device, the optimiser flattened": one(flattened_adam()),
    }
    if workload.spec["model"] == "dcgan":
        found |= {
            "one device, no batch norm in D": one(discriminator_norm="none"),
            "a device a core, shard_map, Flax's batch norm, fast variance": many("shard_map", flax_batch_norm(fast=True)),
            "a device a core, shard_map, Flax's batch norm, exact variance": many("shard_map", flax_batch_norm(fast=False)),
        }
    return found | {
        "a device a core, shard_map, one thread each": many("shard_map"),
        "a device a core, shard_map, threads inside operations": many("shard_map", threads_inside()),
        "a device a core, jit": many("jit"),
    }
