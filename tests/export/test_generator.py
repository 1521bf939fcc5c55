import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import gan_jax
from gan_jax.export.generator import GeneratorConfig, save_generator
from gan_jax.export.stablehlo import export_stablehlo, stablehlo_program
from gan_jax.models import build_model

OPTIONS = {"image_size": 8, "channels": 1, "width": 4, "latent_dim": 3, "num_classes": 2, "dropout": 0.5}
CONFIG = GeneratorConfig("dcgan", OPTIONS, "spherical")


@pytest.fixture(scope="module")
def live():
    """A generator (network, params, state) with batch statistics that differ from the initial ones."""
    network = build_model("dcgan", **OPTIONS).generator
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 3)), jnp.zeros((1,), jnp.int32))
    draws = np.random.default_rng(0)
    params, state = jax.tree.map(lambda leaf: jnp.asarray(draws.uniform(0.1, 1.0, leaf.shape), leaf.dtype), shapes)
    return network, params, state


@pytest.fixture
def path(live, tmp_path):
    save_generator(tmp_path / "generator.safetensors", CONFIG, *live[1:])
    return tmp_path / "generator.safetensors"


LATENTS, LABELS = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32), np.array([0, 1, 1, 0, 1], np.int32)


def test_a_loaded_generator_makes_the_images_of_the_live_one(live, path):
    network, params, state = live
    generator = gan_jax.load_generator(path)
    assert generator.config == CONFIG
    expected = network.apply(params, state, LATENTS, LABELS, rng=jax.random.key(7), train=False)[0].images
    np.testing.assert_array_equal(generator(LATENTS, LABELS, rng=jax.random.key(7)), expected)


def test_samples_are_those_of_the_game(live, path):
    from gan_jax.gan.make import build_gan
    from gan_jax.gan.spec import GANSpec
    from gan_jax.gan.update_rules import UPDATE_RULES
    from gan_jax.latents import spherical
    from gan_jax.losses import ADVERSARIAL
    from gan_jax.optimizers import ttur
    from gan_jax.typing import Players

    networks = build_model("dcgan", **OPTIONS)
    spec = GANSpec(
        networks.generator, networks.discriminator, ADVERSARIAL["hinge"], ttur(1e-4, 1e-4), (8, 8, 1), 3, spherical, num_classes=2
    )
    gan = build_gan(spec, UPDATE_RULES["alternating"]())
    # Sampling uses only the weights and the state of the generator.
    _, opt_state = jax.eval_shape(gan.init, jax.random.key(0))
    opt_state = opt_state._replace(networks=Players(live[2], None))
    expected = gan.sample(Players(live[1], None), opt_state, jax.random.key(5), 4, ema=False)
    np.testing.assert_allclose(gan_jax.load_generator(path).sample(jax.random.key(5), 4), expected, atol=1e-6)


def test_the_program_makes_the_same_images_for_any_batch_size(path):
    generator = gan_jax.load_generator(path)
    program, arguments = stablehlo_program(generator, platforms=("cpu",))
    assert arguments == ("latents", "labels", "seed")
    for count in (5, 2):
        images = program.call(LATENTS[:count], LABELS[:count], np.uint32(9))
        np.testing.assert_allclose(images, generator(LATENTS[:count], LABELS[:count], rng=jax.random.key(9)), atol=1e-6)
    # A program cannot raise an error, so a label that is no class gives NaN.
    images = np.asarray(program.call(LATENTS, np.array([0, 2, -1, 1, 9], np.int32), np.uint32(9)))
    assert np.isnan(images).all(axis=(1, 2, 3)).tolist() == [False, True, True, False, True]
    assert np.isfinite(images[[0, 3]]).all()


def test_the_program_samples_without_gan_jax_and_flax(path, tmp_path):
    pytest.importorskip("flatbuffers", reason="jax.export serialises with flatbuffers")
    import os
    import subprocess
    import sys

    generator = gan_jax.load_generator(path)
    export_stablehlo(tmp_path / "generator.stablehlo", generator, platforms=("cpu",))
    np.savez(tmp_path / "augment.npz", latents=LATENTS, labels=LABELS)
    script = """
import jax, numpy, sys
from jax import export
program = export.deserialize(bytearray(open("generator.stablehlo", "rb").read()))
inputs = numpy.load("augment.npz")
numpy.save("images.npy", program.call(inputs["latents"], inputs["labels"], numpy.uint32(9)))
assert not {"flax", "gan_jax"} & set(sys.modules)
"""
    environment = {**os.environ, "XLA_FLAGS": ""}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "images.npy"), generator(LATENTS, LABELS, rng=jax.random.key(9)), atol=1e-6)


def test_a_conditioned_generator_takes_its_context(tmp_path):
    options = {"channels": 1, "width": 2, "latent_dim": 2, "blocks": 0, "image_size": 16}
    config = GeneratorConfig("stacked", options, context_shape=(8, 8, 1))
    network = build_model("stacked", **options).generator
    latents, context = np.ones((2, 2), np.float32), np.linspace(-1, 1, 128, dtype=np.float32).reshape(2, 8, 8, 1)
    shapes = jax.eval_shape(network.init, jax.random.key(0), latents, None, context)
    params, state = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.1, leaf.dtype), shapes)
    save_generator(tmp_path / "stage.safetensors", config, params, state)
    generator = gan_jax.load_generator(tmp_path / "stage.safetensors")
    program, arguments = stablehlo_program(generator, platforms=("cpu",))
    assert arguments == ("latents", "context", "seed")
    np.testing.assert_allclose(program.call(latents, context, np.uint32(0)), generator(latents, None, context), atol=1e-6)


def test_weights_of_another_model_are_refused_before_they_are_written(live, tmp_path):
    other = GeneratorConfig("dcgan", {**OPTIONS, "width": 8})
    with pytest.raises(ValueError, match=r"params/.* of model 'dcgan' must have shape .*; got"):
        save_generator(tmp_path / "generator.safetensors", other, *live[1:])
    assert list(tmp_path.iterdir()) == []


def test_malformed_files_are_refused_by_name(path):
    arrays = load_file(path)
    described = {"format": 1, "model": "dcgan", "options": OPTIONS, "latents": "normal", "context_shape": None}

    def refused(message):
        with pytest.raises(ValueError, match=rf"generator\.safetensors: {message}"):
            gan_jax.load_generator(path)

    def write(metadata, arrays=arrays):
        save_file(arrays, path, {"gan_jax": metadata})

    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refused("not a safetensors file, or damaged")
    path.write_bytes(b"")
    refused("not a safetensors file, or damaged")
    save_file(arrays, path)
    refused("not a generator of gan_jax")
    write("{")
    refused("not a generator of gan_jax")
    for key, value in (("format", 2), ("model", "dcgam"), ("latents", "cube"), ("options", {"colour": 1}), ("context_shape", 3)):
        write(json.dumps({**described, key: value}))
        refused("not a generator of gan_jax")
    del arrays["params/project/kernel"]
    write(json.dumps(described), arrays)
    refused(r"not a generator of gan_jax \(.*params/project/kernel of model 'dcgan' must have shape \(3, 64\); got none")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"generator\.safetensors"):
        gan_jax.load_generator(path)


def test_a_file_of_another_model_is_named_once(path):
    arrays = load_file(path)
    del arrays["params/project/kernel"]
    save_file(
        arrays,
        path,
        {"gan_jax": json.dumps({"format": 1, "model": "dcgan", "options": OPTIONS, "latents": "normal", "context_shape": None})},
    )
    with pytest.raises(ValueError, match="not a generator of gan_jax") as raised:
        gan_jax.load_generator(path)
    assert str(raised.value).count(str(path)) == 1


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_that_are_no_classes_are_refused(label):
    from gan_jax.export import Generator, GeneratorConfig

    options = {"image_size": 8, "channels": 1, "latent_dim": 4, "num_classes": 3, "width": 4}
    network = build_model("dcgan", **options).generator
    params, state = network.init(jax.random.key(0), jnp.zeros((2, 4)), jnp.zeros(2, jnp.int32))
    generator = Generator(network, params, state, GeneratorConfig("dcgan", options))
    with pytest.raises(ValueError, match=r"labels must be in 0, ..., 2"):
        generator(jnp.zeros((2, 4)), jnp.array([0, label]))


def test_what_a_loaded_generator_says_about_itself(live, tmp_path):
    path = tmp_path / "named.safetensors"
    save_generator(path, dataclasses.replace(CONFIG, class_names=("disc", "square")), *live[1:])
    generator = gan_jax.load_generator(path)
    assert (generator.latent_dim, generator.num_classes, generator.class_names, generator.image_shape) == (
        3,
        2,
        ("disc", "square"),
        (8, 8, 1),
    )
    count = sum(leaf.size for leaf in jax.tree.leaves(generator.params))
    assert repr(generator) == f"Generator(dcgan: 3 latents -> 8x8x1, 2 classes, {count:,} parameters)"


def test_an_int_is_a_seed(live, path):
    generator = gan_jax.load_generator(path)
    samples = generator.sample(7, 3)
    np.testing.assert_array_equal(samples, generator.sample(jax.random.key(7), 3))
    (first, *_), bytes_of = generator.as_pil(samples), generator.as_uint8(samples)
    assert (first.size, first.mode) == ((8, 8), "L")
    np.testing.assert_array_equal(np.asarray(first), bytes_of[0, ..., 0])
    np.testing.assert_array_equal(generator.as_uint8([-2.0, -1.0, 0.0, 1.0, np.nan, np.inf]), [0, 0, 128, 255, 0, 255])
    with pytest.raises(ValueError, match=r"must be \[count, height, width, 1, 3 or 4\]; got \[3, 2\]"):
        generator.as_pil(np.zeros((3, 2)))


def test_a_file_without_class_names_is_read(path):
    assert gan_jax.load_generator(path).class_names == ()
    with safe_open(path, "numpy") as file:
        described = json.loads(file.metadata()["gan_jax"])
    del described["class_names"]  # As an older version wrote it.
    save_file(load_file(path), path, {"gan_jax": json.dumps(described)})
    assert gan_jax.load_generator(path).class_names == ()
