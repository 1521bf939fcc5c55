"""The perceptual and the style term, with a narrow VGG16 instead of the real one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from gan_jax.gan.types import LossContext, Minibatch
from gan_jax.models import vgg
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.build.terms import build_terms
from gan_jax.trainer.config import ConfigError
from gan_jax.typing import GeneratorOutput
from support.small_recipes import RECIPES, shrunk

NARROW = ((2, 3), (3, 2), (2, 2, 3), (3, 2, 2), (2, 2, 2))
WIDE = vgg.shapes


def with_vgg(path, **loss):
    config = shrunk(RECIPES["inpaint"][1])
    nothing = {"reconstruction": 0.0, "total_variation": 0.0}
    return dataclasses.replace(config, loss=dataclasses.replace(config.loss, vgg=path, **nothing, **loss))


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Writes weights that are valid for VGG16 while its widths are patched."""
    monkeypatch.setattr(vgg, "shapes", lambda: WIDE(NARROW))
    draws = np.random.default_rng(0)
    save_file({name: draws.normal(0, 0.5, shape).astype(np.float32) for name, shape in vgg.shapes().items()}, tmp_path / "vgg.safetensors")
    return tmp_path / "vgg.safetensors"


def context_of(real, made):
    return LossContext(Minibatch(real, None, None, None, None), GeneratorOutput(made), None, None, None, None, None, None, step=0)


def test_terms_are_distances_of_features_and_of_their_gram_matrices(path):
    perceptual, style = build_terms(with_vgg(path, perceptual=0.25, style=3.0), 0)
    assert [(term.name, term.player, term.weight) for term in (perceptual, style)] == [
        ("perceptual", "generator", 0.25),
        ("style", "generator", 3.0),
    ]
    real, made = jax.random.uniform(jax.random.key(0), (2, 2, 8, 8, 1), minval=-1)
    weights = vgg.load_vgg16(path)
    a, b = (jax.tree.map(np.asarray, vgg.vgg16_features(weights, x, layers=vgg.JOHNSON)) for x in (real, made))

    def gram(features):
        flat = features.reshape(len(features), -1, features.shape[-1])
        return flat.transpose(0, 2, 1) @ flat / flat[0].size

    # Johnson et al., 2016, equations 2 and 4, in NumPy.
    expected = sum(((a[name] - b[name]) ** 2).mean(axis=(1, 2, 3)) for name in ("relu2_2", "relu3_3"))
    np.testing.assert_allclose(perceptual.function(context_of(real, made), ())[0], expected, rtol=1e-4)
    expected = sum(((gram(a[name]) - gram(b[name])) ** 2).sum(axis=(1, 2)) for name in vgg.JOHNSON)
    np.testing.assert_allclose(style.function(context_of(real, made), ())[0], expected, rtol=1e-4)
    assert not np.any(perceptual.function(context_of(real, real), ())[0])


def test_their_gradient_reaches_the_made_image_and_not_the_target(path):
    (perceptual,) = build_terms(with_vgg(path, perceptual=1.0), 0)
    real, made = jax.random.uniform(jax.random.key(0), (2, 2, 8, 8, 1), minval=-1)

    def total(real, made):
        return perceptual.function(context_of(real, made), ())[0].sum()

    target_grads, generated_grads = jax.grad(total, argnums=(0, 1))(real, made)
    assert not np.any(target_grads)
    assert np.any(generated_grads)


def test_a_gan_with_both_terms_can_be_traced(path):
    config = with_vgg(path, perceptual=1.0, style=1.0)
    gan = build(config, (16, 16, 1)).gan
    batch = {"image": jnp.zeros((4, 16, 16, 1), jnp.uint8)}
    *_, metrics = jax.eval_shape(gan.train_step, *jax.eval_shape(gan.init, jax.random.key(0)), batch, jax.random.key(0))
    assert {"term/perceptual", "term/style", "task_gradient_norm", "adversarial_gradient_norm"} <= set(metrics)


def test_opacity_is_refused(path):
    with pytest.raises(ConfigError, match=r"--loss.style 1.0: VGG16 reads grey or colour, not opacity; use --data.channels 3"):
        build(with_vgg(path, style=1.0), (16, 16, 4))


def test_without_the_file_the_message_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match=r"--loss\.vgg: .*convert_vgg\.py.*--loss\.perceptual 0"):
        build_terms(with_vgg(None, style=1.0), 0)
    with pytest.raises(FileNotFoundError, match=r"(?s)no VGG16 weights at .*none\.safetensors.*convert_vgg"):
        build_terms(with_vgg(tmp_path / "none.safetensors", perceptual=1.0), 0)
