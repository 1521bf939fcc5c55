"""Whole train steps of StyleGAN2 against the authors' code, and what path lengths, styles and truncation need around the networks.

tests/golden/stylegan2_torch.py says where the authors' steps and ours differ, which the values take into account.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.export.stylegan2 import stylegan2_discriminator, stylegan2_generator
from gan_jax.gan.loss_terms import path_length
from gan_jax.gan.make import build_gan
from gan_jax.optimizers import ema_params
from gan_jax.trainer.build.gan import build_spec, build_update_rule
from gan_jax.trainer.config import Config, ConfigError, DataConfig, ModelConfig, OptimizerConfig, PenaltyConfig, UpdateConfig
from gan_jax.typing import Players
from support.stylegan2_golden import BATCH, LATENT, LAYERS, STEPS, STYLE, digest, inputs, weight
from support.stylegan2_golden import state_dict_shapes as shapes_of
from support.stylegan2_names import in_torch_layout, load

GOLDEN = load()
CONFIG = Config(
    batch_size=BATCH,
    data=DataConfig(image_size=16),
    model=ModelConfig(
        name="stylegan2",
        latent_dim=LATENT,
        conditional=True,
        width=8,
        options={
            **{"channel_base": 128, "style_dim": STYLE, "mapping_layers": LAYERS, "group_size": 2},
            **{"style_mixing": 0.0, "noise_mode": "const"},
        },
    ),
    penalty=PenaltyConfig(r1=0.5 / 2, interval=16, path_length=2.0),
    optimizer=OptimizerConfig(generator_lr=2e-3, discriminator_lr=2e-3, b1=0.0, b2=0.99, ema_images=10_000.0, ema_rampup=1.0),
    update=UpdateConfig(order="generator_first"),
)
SHAPES = Players(*shapes_of(16, 3, 128, 8))


def converted():
    generator, discriminator = ({name: weight(name, shape) for name, shape in shapes.items()} for shapes in SHAPES)
    _, params, state = stylegan2_generator(generator)
    return jax.tree.map(jnp.asarray, (Players(params, stylegan2_discriminator(discriminator)), state))


def digests(player, tree):
    convert = (lambda arrays: stylegan2_generator(arrays)[1]) if player == "generator" else stylegan2_discriminator
    arrays = in_torch_layout(convert, getattr(SHAPES, player), tree)
    return {name: digest(name, array) for name, array in arrays.items() if not name.endswith(("w_avg", "noise_const"))}


def check(ours, golden, *, floor, rtol=1e-3):
    """Norm, projection and values of each parameter, within a share of its norm or within `floor`."""
    assert len(ours) == len(GOLDEN[golden])
    for name, expected in zip(sorted(ours), GOLDEN[golden], strict=True):
        np.testing.assert_allclose(ours[name], expected, rtol=rtol, atol=rtol * abs(expected[0]) + floor, err_msg=f"{golden} {name}")


@pytest.fixture(scope="module")
def trained():
    """The metrics of both steps, the parameters and the state after them, with the script's latents and noise."""
    queue, noise = [], []
    spec = build_spec(CONFIG, (16, 16, 3), 3)
    fixed = functools.partial(path_length, interval=4, sample_noise=lambda rng, shape: noise[0][: shape[0]])
    (term,) = spec.terms
    spec = dataclasses.replace(
        spec,
        sample_latents=lambda rng, shape: queue.pop(0) if queue else jnp.zeros(shape),
        terms=(term._replace(function=fixed),),
        observe_update=lambda player, gradients, *_: {f"gradients/{player}": gradients},
    )
    gan = build_gan(spec, build_update_rule(CONFIG))
    params, network_state = converted()
    _, state = jax.eval_shape(gan.init, jax.random.key(0))
    state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state)
    state = state._replace(networks=state.networks._replace(generator=network_state), optimizer=spec.optimizer.init(params))

    @jax.jit
    def train_step(params, state, batch, latents, path_noise):
        queue[:], noise[:] = list(latents), [path_noise]
        result = gan.train_step(params, state, batch, jax.random.key(1))
        assert not queue
        return result

    rows = []
    for number in range(STEPS):
        given = inputs(f"step_{number}")
        batch = {"image": jnp.asarray(given["reals"]), "label": jnp.asarray(given["labels"], jnp.int32)}
        # The minibatch has the latents of D's update. G's update samples its own.
        latents = [jnp.asarray(inputs(f"step_{number}/{player}")["latents"]) for player in ("discriminator", "generator")]
        params, state, metrics = train_step(params, state, batch, latents, jnp.asarray(given["path_noise"]))
        rows.append(metrics)
    return rows, params, state


@pytest.mark.slow  # A minute to compile.
def test_two_train_steps_equal_those_of_the_authors_code(trained):
    rows, params, state = trained
    for number, metrics in enumerate(rows):
        for player in Players._fields:
            largest = np.abs(GOLDEN[f"steps/gradient_{number}/{player}"]).max()
            check(digests(player, metrics[f"gradients/{player}"]), f"steps/gradient_{number}/{player}", floor=1e-5 * largest)
    before, _ = converted()
    for player in Players._fields:
        change = jax.tree.map(jnp.subtract, getattr(params, player), getattr(before, player))
        # An update moves a parameter by about the learning rate, however small the gradient. Stored weights of the mapping are up to 400.
        check(digests(player, change), f"steps/change/{player}", floor=5e-5)
    check(digests("generator", ema_params(state.optimizer)), "steps/average", floor=1e-6, rtol=1e-5)
    np.testing.assert_allclose(state.networks.generator["moving_average"]["mapping"]["w"], GOLDEN["steps/w_avg"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(state.terms[0], GOLDEN["steps/path_mean"], rtol=1e-4)


@pytest.mark.slow
def test_path_lengths_are_lazy_and_use_a_part_of_the_batch(trained):
    rows, *_ = trained
    assert rows[0]["term/path_length"] > 0
    assert rows[1]["term/path_length"] == 0


def built(**model):
    options = {"mapping_layers": 2, **model.pop("options", {})}
    model = ModelConfig(**{"name": "stylegan2", "latent_dim": 4, "width": 4} | model, options=options)
    config = dataclasses.replace(CONFIG, model=model, penalty=PenaltyConfig())
    return build_spec(config, (16, 16, 1), 0)


@pytest.mark.slow
def test_truncation_of_samples_is_that_of_the_styles():
    spec = built(options={"noise_mode": "const"})
    gan = build_gan(spec, build_update_rule(CONFIG))
    params, state = jax.jit(gan.init)(jax.random.key(0))
    mean = jnp.arange(4.0)
    state = state._replace(
        networks=state.networks._replace(generator={**state.networks.generator, "moving_average": {"mapping": {"w": mean}}})
    )
    sample = jax.jit(functools.partial(gan.sample, count=3), static_argnames="count")
    key, layers = jax.random.key(2), 6
    full = sample(params, state, key)
    np.testing.assert_allclose(sample(params, state, key, truncation=1.0), full, atol=1e-5)
    at_mean = sample(params, state, key, latents=jnp.broadcast_to(mean, (3, layers, 4)))
    np.testing.assert_allclose(sample(params, state, key, truncation=0.0), at_mean, atol=1e-5)
    assert np.abs(sample(params, state, key, truncation=0.5) - full).max() > 1e-3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"penalty": PenaltyConfig(path_length=2.0), "model": ModelConfig()}, "--penalty.path-length 2.0: the model dcgan has no styles"),
        ({"model": ModelConfig(name="stylegan2", latents="uniform")}, "--model.latents uniform: style mixing draws normal latents"),
    ],
)
def test_fields_that_do_not_fit_are_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        build_spec(dataclasses.replace(CONFIG, **change), (16, 16, 3), 3)
