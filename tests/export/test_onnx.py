"""ONNX programs make the images of their generators. Needs the extra `onnx`."""

import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.export.generator import Generator, GeneratorConfig
from gan_jax.export.onnx import export_onnx, onnx_program
from gan_jax.models import MODELS, build_model
from gan_jax.models.progressive import set_growth
from gan_jax.nn.fast_conv.forms import plain_convolutions

MISSING = "needs the extra `onnx` (jax2onnx and onnxruntime)"
SMALL = {"image_size": 16, "channels": 3, "width": 4, "latent_dim": 3}
CASES = {
    "mlp": {"image_size": 8, "channels": 1, "latent_dim": 3, "num_classes": 2, "generator_hidden": "8,8", "discriminator_hidden": "4"},
    "dcgan": SMALL | {"num_classes": 2, "dropout": 0.5},
    "sngan": SMALL | {"image_size": 32, "num_classes": 2},
    "sagan": SMALL | {"image_size": 32, "width": 8, "num_classes": 2},
    "biggan": SMALL | {"image_size": 32, "latent_dim": 8, "num_classes": 2},
    "r3gan": SMALL | {"width": 8},
    "progressive": SMALL,
    "stylegan2": SMALL | {"num_classes": 2, "mapping_layers": 2, "noise_mode": "const"},
    "multiscale": SMALL,
    "vaegan": SMALL,
    "klgan": SMALL,
    "points": {"latent_dim": 3, "generator_hidden": "8", "discriminator_hidden": "8"},
    "pix2pix": SMALL,
    "inpaint": SMALL | {"channels": 1},
    "stacked": SMALL | {"channels": 1, "blocks": 1},
}
CONTEXTS = {"pix2pix": (16, 16, 3), "inpaint": (16, 16, 2), "stacked": (4, 4, 1), "vaegan": (16, 16, 3), "klgan": (16, 16, 3)}


def made(name, **changes):
    """A generator with its initial weights, and batch statistics that differ from the initial ones."""
    options = CASES[name] | changes
    network = build_model(name, **options).generator
    context = CONTEXTS.get(name)
    inputs = [jnp.zeros((2, options["latent_dim"])), jnp.zeros(2, jnp.int32) if options.get("num_classes") else None]
    inputs.append(None if context is None else jnp.zeros((2, *context)))
    params, state = jax.jit(network.init)(jax.random.key(1), *inputs)
    draws = np.random.default_rng(0)
    if name == "progressive":
        state = set_growth(state, 1.3)  # The second stage is being faded in.
    else:
        state = jax.tree.map(lambda leaf: leaf + draws.uniform(0.1, 0.3, leaf.shape).astype(leaf.dtype), state)
    return Generator(network, params, state, GeneratorConfig(name, options, context_shape=context))


# Seconds each, and variants of the layers of the others.
SLOW = ("stylegan2", "biggan", "inpaint", "stacked", "vaegan", "klgan")


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in sorted(CASES)])
def test_the_program_makes_the_images_of_its_generator(name, tmp_path):
    pytest.importorskip("jax2onnx", reason=MISSING)
    onnxruntime = pytest.importorskip("onnxruntime", reason=MISSING)
    generator = made(name)
    exported = export_onnx(tmp_path / "generator.onnx", generator)
    assert exported.difference <= 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "generator.onnx")
    assert [value.name for value in session.get_inputs()] == list(exported.arguments)
    draws = np.random.default_rng(1)
    for count in (5, 1):  # Another batch size than that of the conversion.
        latents = draws.normal(size=(count, generator.config.option("latent_dim"))).astype(np.float32)
        labels = np.arange(count, dtype=np.int32) % 2 if generator.config.option("num_classes", 0) else None
        context = None
        if generator.config.context_shape and MODELS[name].context != "real":
            context = draws.uniform(-1, 1, (count, *generator.config.context_shape)).astype(np.float32)
        given = {"latents": latents, "labels": labels, "context": context}
        (images,) = session.run(None, {key: given[key] for key in exported.arguments})
        without_dropout = made(name, dropout=0.0) if generator.config.option("dropout") else generator
        # The state is an argument, so nothing is known when the program is made.
        call = jax.jit(lambda state, *inputs, g=without_dropout: dataclasses.replace(g, state=state)(*inputs))
        expected = np.asarray(call(without_dropout.state, latents, labels, context))
        # The images of some initial weights are nearly grey, so their contrast is the measure, too.
        assert np.abs(images - expected).max() <= min(1e-4, 1e-2 * expected.std())


def test_a_label_that_is_no_class_gives_nan_and_leaves_the_others_alone(tmp_path):
    pytest.importorskip("jax2onnx", reason=MISSING)
    onnxruntime = pytest.importorskip("onnxruntime", reason=MISSING)
    generator = made("mlp", num_classes=2)
    export_onnx(tmp_path / "generator.onnx", generator)
    session = onnxruntime.InferenceSession(tmp_path / "generator.onnx")
    latents = np.random.default_rng(1).normal(size=(4, generator.latent_dim)).astype(np.float32)
    (images,) = session.run(None, {"latents": latents, "labels": np.array([0, -1, 2, 1], np.int32)})
    assert np.isnan(images[1:3]).all()
    (classes,) = session.run(None, {"latents": latents, "labels": np.array([0, 0, 0, 1], np.int32)})
    np.testing.assert_array_equal(images[::3], classes[::3])


def test_plain_convolutions_are_only_those_of_xla():
    generator, latents = made("dcgan", dropout=0.0, num_classes=0), jnp.zeros((2, 3))
    assert "custom_vmap" in str(jax.make_jaxpr(lambda z: generator(z))(latents))
    with plain_convolutions():
        program = str(jax.make_jaxpr(lambda z: generator(z))(latents))
    assert "conv_general_dilated" in program
    assert "custom_vmap" not in program
    assert "custom_vmap" in str(jax.make_jaxpr(lambda z: generator(z))(latents))


def test_a_model_with_noise_is_refused():
    pytest.importorskip("jax2onnx", reason=MISSING)
    with pytest.raises(ValueError, match="the model dcgan draws noise in sampling"):
        onnx_program(made("dcgan", noise=True))


def test_a_model_that_the_converter_does_not_know_is_refused_in_one_line(monkeypatch):
    jax2onnx = pytest.importorskip("jax2onnx", reason=MISSING)

    def fail(*_args, **_options):
        raise NotImplementedError("No plugins registered for\n primitive 'fft'")

    monkeypatch.setattr(jax2onnx, "to_onnx", fail)
    with pytest.raises(
        ValueError, match=r"cannot convert the model mlp \(NotImplementedError: No plugins registered for primitive 'fft'\)"
    ):
        onnx_program(made("mlp"))


def test_a_program_that_differs_is_refused(monkeypatch):
    pytest.importorskip("jax2onnx", reason=MISSING)
    pytest.importorskip("onnxruntime", reason=MISSING)
    monkeypatch.setattr("gan_jax.export.onnx.TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="the images of the ONNX program differ by"):
        onnx_program(made("mlp"))


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(ImportError, match=r"gan-jax\[onnx\]"):
        onnx_program(made("mlp"))
