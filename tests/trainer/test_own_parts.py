"""`train` with data, networks, loss, terms and writers of the caller: kinds, errors, resume, loading, and short reprs."""

import dataclasses
import json
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import make_gan
from gan_jax.data import DataError
from gan_jax.gan.types import LossTerm
from gan_jax.models import as_network
from gan_jax.models.adapters import from_functions, to_network
from gan_jax.trainer.config import Config, ConfigError, DataConfig, EvaluationConfig, ModelConfig, MonitorConfig
from gan_jax.trainer.loaded_run import load_run
from gan_jax.trainer.own_parts import as_source, own_parts
from gan_jax.trainer.run_directory import RunError
from gan_jax.typing import AdversarialLoss, DiscriminatorOutput, GeneratorOutput
from support.scripts import assert_one_line, assert_same_run
from support.small_runs import SHORT, trained

POINTS = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
CONFIG = dataclasses.replace(SHORT, data=DataConfig(), model=ModelConfig(latent_dim=2), monitor=MonitorConfig(enabled=False))


def init(rng):
    return {"kernel": jax.random.normal(rng, (2, 2))}


def generate(params, latents):
    return latents @ params["kernel"]


def discriminate(params, points):
    return (points @ params["kernel"])[:, 0]


def spread(context, state):
    return jnp.square(context.fake.images).mean(axis=1), state


NETWORKS = ((init, generate), (init, discriminate))
LOSS = AdversarialLoss(lambda real, fake: jax.nn.softplus(fake - real), lambda fake, real: jax.nn.softplus(real - fake), needs_real=True)
PARTS = {"source": POINTS, "networks": NETWORKS, "loss": LOSS, "terms": [LossTerm("spread", "generator", spread, 0.1)]}


def begin(out, config=CONFIG, **parts):
    return trained(dataclasses.replace(config, out=out), **parts)[0]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run with all parts of its own, its result, and the rows that its writer received."""
    rows = []
    out = tmp_path_factory.mktemp("own") / "run"
    return out, begin(str(out), **PARTS, writers=[lambda step, row: rows.append((step, row))]), rows


def test_the_parts_are_used_and_recorded(finished):
    out, result, rows = finished
    assert result.step == 4
    assert [step for step, _ in rows] == [1, 2, 3, 4]
    logged = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert logged == [{"step": step} | row for step, row in rows]
    assert all("term/spread" in row for _, row in rows)
    record = json.loads((out / "run.json").read_text())
    assert record["own_parts"] == {"source": "own", "networks": ["functions", "functions"], "loss": "<lambda>", "terms": ["spread"]}
    assert record["data"]["examples"] == 64
    assert result.params.generator["kernel"].shape == (2, 2)


def test_a_resumed_run_is_the_uninterrupted_one(finished, tmp_path):
    begin(tmp_path / "run", **PARTS, until=2)
    result = begin(None, resume=str(tmp_path / "run"), **PARTS)
    assert result.step == 4
    assert_same_run(finished[0], tmp_path / "run")


def test_a_run_cannot_go_on_without_its_parts(finished, script):
    out = finished[0]
    message = r"was trained with its own source, networks, loss, terms; resume it in Python with train\(config, resume=..., source=..., net"
    with pytest.raises(RunError, match=message):
        begin(None, resume=out)
    for command in ("sample", "export", "evaluate"):
        assert_one_line(script(command, out), "its own networks, loss, terms", "load_run(networks=..., loss=..., terms=...)")


def test_a_run_is_loaded_with_its_parts(finished):
    out, result, _ = finished
    kept = {name: PARTS[name] for name in ("networks", "loss", "terms")}
    run = load_run(out, **kept)
    assert "source of its own" in run.source.images.reason
    with pytest.raises(DataError, match="pass source="):
        run.source.images[0]
    np.testing.assert_array_equal(run.params.generator["kernel"], result.params.generator["kernel"])
    assert len(load_run(out, source=POINTS, **kept).source) == 64


def test_reprs_are_short(finished):
    out, result, _ = finished
    run = load_run(out, **PARTS)
    assert repr(result) == f"TrainResult({out}, step 4, generator 4 parameters, discriminator 4)"
    assert repr(run) == "LoadedRun(dcgan, step 4, Source(own/all: 64 of 2), generator 4 parameters, discriminator 4)"
    assert repr(run.built) == "BuiltGAN(2 latents -> 2)"


def test_paths_may_be_strings():
    config = Config(out="run", init_from="other", data=DataConfig(directory="images"), evaluation=EvaluationConfig(weights="file"))
    paths = (config.out, config.init_from, config.data.directory, config.evaluation.weights)
    assert paths == (Path("run"), Path("other"), Path("images"), Path("file"))


@pytest.mark.parametrize(
    ("generator", "discriminator", "message"),
    [
        (
            lambda p, z: z @ jnp.ones((2, 3)),
            discriminate,
            r"generator makes images \[48, 3\], and those of the data are \[48, 2\]; they",
        ),
        (
            lambda p, z: z @ jnp.ones((3, 2)),
            discriminate,
            r"^networks: the generator cannot be applied to latents \[48, 2\]: dot_gen",
        ),
        (
            generate,
            lambda p, x: x @ jnp.ones((3, 1)),
            r"^networks: the discriminator cannot be applied to images \[48, 2\]: dot_gen",
        ),
        (generate, lambda p, x: x[:, :1], r"must return logits \[48\], or a map .*; got \[48, 1\]; take output\[:, 0\]$"),
        (generate, lambda p, x: x.mean(), r"must return logits \[48\], or a map .*; got \[\]$"),
        (
            lambda p, z: DiscriminatorOutput(z),
            discriminate,
            "generator must return an array or a GeneratorOutput; got Disc",
        ),
        (generate, lambda p, x: GeneratorOutput(x), "the discriminator must return an array or a DiscriminatorOutput; got GeneratorOutput"),
    ],
)
def test_networks_that_do_not_fit_are_named_before_anything_is_written(tmp_path, generator, discriminator, message):
    with pytest.raises(ConfigError, match=message):
        begin(tmp_path / "run", source=POINTS, networks=((init, generator), (init, discriminator)))
    assert not (tmp_path / "run").exists()


def test_make_gan_names_the_shapes_too():
    networks = [from_functions(init, apply, player=player) for apply, player in ((generate, "generator"), (discriminate, "discriminator"))]
    gan = make_gan(*networks, image_shape=(3,), latent_dim=2)
    with pytest.raises(ValueError, match=r"the generator makes images \[48, 2\], and those of the data are \[48, 3\]"):
        gan.init(jax.random.key(0))


class Sensitive(nn.Module):
    @nn.compact
    def __call__(self, images):
        return nn.Dense(1)(images)[:, 0]


def test_kinds_of_networks():
    network = as_network(Sensitive(), player="discriminator")
    assert to_network(network, player="discriminator") is network
    for part in (Sensitive(), (init, discriminate)):
        made = to_network(part, player="discriminator")
        params, state = made.init(jax.random.key(0), jnp.ones((3, 2)))
        output, _ = made.apply(params, state, jnp.ones((3, 2)), None, None, rng=jax.random.key(1), train=True)
        assert output.logits.shape == (3,)
    for wrong in (3, "dcgan", (init, generate, discriminate), Sensitive):
        with pytest.raises(TypeError, match=r"the generator must be a Network, a Linen module, a pair of functions"):
            to_network(wrong, player="generator")


def test_functions_receive_the_arguments_that_they_name():
    network = from_functions(init, lambda params, inputs, labels, train: inputs + labels[:, None] + train, player="generator")
    images = network.apply({}, {}, jnp.zeros((2, 2)), jnp.array([1, 2]), rng=jax.random.key(0), train=True)[0].images
    np.testing.assert_array_equal(images, [[2, 2], [3, 3]])


def test_equinox_modules():
    eqx = pytest.importorskip("equinox", reason='needs the extra "equinox"')

    class Critic(eqx.Module):
        layers: eqx.nn.MLP
        dropout: eqx.nn.Dropout
        name: str = "critic"

        def __init__(self, key):
            self.layers, self.dropout = eqx.nn.MLP(2, "scalar", 4, 1, key=key), eqx.nn.Dropout(0.5)

        def __call__(self, point, key=None):
            return self.layers(self.dropout(point, key=key))

    network = to_network(lambda key: Critic(key), player="discriminator")
    params, state = network.init(jax.random.key(3), jnp.ones((5, 2)))
    points = jax.random.normal(jax.random.key(1), (5, 2))
    expected = jax.vmap(eqx.nn.inference_mode(Critic(jax.random.key(3))))(points)
    np.testing.assert_allclose(network.apply(params, state, points, train=False)[0].logits, expected, rtol=1e-6)
    trained = network.apply(params, state, points, rng=jax.random.key(2), train=True)[0].logits
    assert not np.allclose(trained, expected)  # Dropout, with another mask for each example.
    assert all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(params))
    with pytest.raises(TypeError, match="pass lambda key: Module"):
        to_network(Critic(jax.random.key(0)), player="discriminator")
    with pytest.raises(ValueError, match="layers with a state"):
        to_network(lambda key: eqx.nn.Sequential([eqx.nn.BatchNorm(2, "batch")]), player="discriminator")
    with pytest.raises(TypeError, match="it returns int"):
        to_network(lambda key: 3, player="discriminator")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1, 2], "source must be a Source, images, or"),
        (np.zeros((3, 8, 8, 1)), r"uint8 \[n, height, width, channels\] or points float32 \[n, dim\]; got float64 \[3, 8, 8, 1\]"),
        ((POINTS, np.zeros(3, int)), r"labels must be integers from 0, \[64\]; got int64 \[3\]"),
        ((POINTS, -np.ones(64, int)), "labels must be integers from 0"),
    ],
)
def test_data_of_another_kind(data, message):
    with pytest.raises((TypeError, ValueError), match=message):
        as_source(data)


def test_labels_make_classes():
    source = as_source((POINTS, np.arange(64) % 3))
    assert (source.num_classes, source.labels.dtype, repr(source)) == (3, np.int32, "Source(own/all: 64 of 2, 3 classes)")


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"networks": init}, r"networks must be \(generator, discriminator\)"),
        ({"loss": "best"}, "loss must be one of minimax"),
        ({"loss": 3}, "loss must be a name, an AdversarialLoss, or a pair"),
        ({"terms": [spread]}, "terms must be gan_jax.gan.types.LossTerm; got function"),
        ({"writers": [3]}, "writers must be functions"),
    ],
)
def test_parts_of_another_kind(part, message):
    with pytest.raises((TypeError, ValueError), match=message):
        own_parts(**part)


def test_a_writer_may_be_an_object():
    class Log:
        def write(self, step, row):
            return step

    (write,) = own_parts(writers=[Log()]).writers
    assert write(3, {}) == 3
