"""`--precision` and `--gradient-checkpointing`: what is computed in which type, and that checkpointing changes no result."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import build_model
from gan_jax.penalties import PENALTIES
from gan_jax.trainer import environment
from gan_jax.trainer.build.gan import build_spec
from gan_jax.trainer.build.precision import in_precision, product_precision
from gan_jax.trainer.config import Config, ConfigError, ModelConfig, from_dict


def product_precisions(function, *inputs):
    """The precisions of all matrix products and convolutions of a function, and of all programs inside it."""
    found = set()

    def visit(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name in ("dot_general", "conv_general_dilated"):
                found.add(str(equation.params["precision"]))
            for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")):
                inner = getattr(value, "jaxpr", value)
                if hasattr(inner, "eqns"):
                    visit(inner)

    visit(jax.make_jaxpr(function)(*inputs).jaxpr)
    return found


@pytest.mark.parametrize(
    ("precision", "backend", "expected"),
    [
        ("float32", "gpu", "highest"),
        ("tf32", "gpu", "tensorfloat32"),
        ("bfloat16", "gpu", None),
        ("float32", "cpu", None),
        ("tf32", "cpu", None),
    ],
)
def test_a_gpu_gets_the_precision_that_was_asked_for(precision, backend, expected):
    assert product_precision(precision, backend) == expected


# The names of `jax.lax.Precision`: HIGHEST is float32 on every device, HIGH is TF32 on a GPU.
@pytest.mark.parametrize(("precision", "expected"), [("float32", "HIGHEST"), ("tf32", "HIGH"), ("bfloat16", "None")])
def test_products_and_their_second_derivatives_have_the_precision(precision, expected):
    def critic(w, x):
        images = x.reshape(1, 4, 4, 1)
        kernel = w[:4].reshape(2, 2, 1, 1)
        return jnp.tanh(jax.lax.conv(images.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1), (1, 1), "SAME").reshape(16) @ w).sum()

    def penalty(w, x):
        return (jax.grad(critic, 1)(w, x) ** 2).sum()

    second = in_precision(jax.grad(penalty), precision, backend="gpu")
    (name,) = product_precisions(second, jnp.ones(16), jnp.ones(16))
    assert expected in name


def test_bfloat16_computes_the_networks_in_bfloat16_and_keeps_parameters_in_float32():
    config = Config(precision="bfloat16", model=ModelConfig(width=4, latent_dim=3))
    spec = build_spec(config, (8, 8, 1), 0)
    params, state = jax.eval_shape(spec.generator.init, jax.random.key(0), jnp.ones((2, 3)))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    program = jax.make_jaxpr(lambda params, state: spec.generator.apply(params, state, jnp.ones((2, 3)))[0])(params, state)
    products = [equation for equation in program.jaxpr.eqns if equation.primitive.name == "dot_general"]
    # The first product is that of the latents. The statistics of batch norm are products in float32.
    assert [variable.aval.dtype for variable in products[0].invars] == [jnp.dtype("bfloat16")] * 2


def test_the_former_name_of_the_flag_is_unknown():
    with pytest.raises(ConfigError, match=r"no field model\.dtype"):
        from_dict(Config, {"model": {"dtype": "bfloat16"}})


SMALL = {"r3gan": {"image_size": 8, "width": 4, "group_size": 2, "blocks": 1}, "sngan": {"width": 2}}


def test_checkpointing_changes_neither_parameters_nor_gradients_and_recomputes_the_blocks():
    plain, checkpointed = (build_model("r3gan", channels=1, gradient_checkpointing=on, **SMALL["r3gan"]) for on in (False, True))
    images = jax.random.normal(jax.random.key(1), (2, 8, 8, 1))
    params, state = jax.jit(plain.discriminator.init)(jax.random.key(0), images)
    # The last layer of a block of R3GAN starts at zero, which would hide the other layers.
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(
        jnp.shape, jax.eval_shape(checkpointed.discriminator.init, jax.random.key(0), images)[0]
    )

    def gradient(network):
        def loss(params):
            def critic(images):
                return network.apply(params, state, images)[0].logits

            return PENALTIES["r1"](critic, images, images, jax.random.key(2)).sum()

        return jax.grad(loss)

    for expected, found in zip(*(jax.tree.leaves(jax.jit(gradient(network.discriminator))(params)) for network in (plain, checkpointed))):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert "remat" in str(jax.make_jaxpr(gradient(checkpointed.discriminator))(params))
    assert "remat" not in str(jax.make_jaxpr(gradient(plain.discriminator))(params))


@pytest.mark.parametrize("name", ["r3gan", "sngan"])
def test_a_checkpointed_generator_updates_its_batch_statistics(name):
    latents = jax.random.normal(jax.random.key(1), (2, 3))
    results = []
    for on in (False, True):
        network = build_model(name, channels=1, gradient_checkpointing=on, **SMALL[name]).generator
        params, state = jax.jit(network.init)(jax.random.key(0), latents)
        results.append(jax.jit(network.apply)(params, state, latents))
    assert jax.tree.structure(results[0]) == jax.tree.structure(results[1])
    for expected, found in zip(*map(jax.tree.leaves, results)):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_model_without_blocks_names_the_flag():
    config = Config(model=dataclasses.replace(ModelConfig(), gradient_checkpointing=True))
    with pytest.raises(ConfigError, match=r"--model\.gradient-checkpointing: the model dcgan has no such option"):
        build_spec(config, (32, 32, 1), 0)


def test_peak_memory_is_that_of_the_fullest_device(monkeypatch):
    class Device:
        def __init__(self, peak):
            self.peak = peak

        def memory_stats(self):
            return None if self.peak is None else {"peak_bytes_in_use": self.peak}

    monkeypatch.setattr(jax, "local_devices", lambda: [Device(5), Device(7)])
    assert environment.peak_memory() == 7
    monkeypatch.setattr(jax, "local_devices", lambda: [Device(None)])
    assert environment.peak_memory() is None
