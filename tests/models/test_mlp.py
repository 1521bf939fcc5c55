import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import as_network, build_model
from gan_jax.models.mlp import MlpGenerator
from support import model_golden as golden
from support.model_checks import check_both, fill, parameter_count, run


def test_published_parameter_counts():
    # PyTorch-GAN's gan.py at its defaults (latents of 100, images of 28x28x1), layer by layer: weights + biases, and
    # scale + bias of three batch norms. Its discriminator: 784 -> 512 -> 256 -> 1.
    widths = [100, 128, 256, 512, 1024, 784]
    generator = sum(a * b + b for a, b in itertools.pairwise(widths)) + 2 * (256 + 512 + 1024)
    networks = build_model("mlp")
    assert parameter_count(networks.generator, jnp.zeros((1, 100))) == generator == 1_510_032
    assert parameter_count(networks.discriminator, jnp.zeros((1, 28, 28, 1))) == 533_505


def test_generator_equals_pytorch():
    weights, latents, expected = golden.load("mlp")
    network = as_network(MlpGenerator((2, 2, 3), hidden=(4, 5, 6)))
    names = {"dense_0": "0", "dense_1": "2", "dense_2": "5", "output": "8"}
    params = {ours: golden.dense(weights, theirs) for ours, theirs in names.items()}
    params |= {"norm_1": golden.norm(weights, "3"), "norm_2": golden.norm(weights, "6")}
    _, state = fill(network, latents)
    np.testing.assert_allclose(run(network, params, state, latents).images.reshape(5, 12), expected, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"channels": 3, "num_classes": 2, "norm": "none", "dtype": "bfloat16", "dropout": 0.1}])
def test_both_players_train(options):
    results = check_both("mlp", generator_hidden=(4, 5), discriminator_hidden="6,3", **options)
    assert results.generator[2].images.shape == (4, 16, 16, options.get("channels", 1))
    assert results.discriminator[2].logits.shape == (4,)
    assert results.discriminator[2].features["dense_1"].shape == (4, 3)


def test_points_of_veegan_and_pacgan():
    veegan, pacgan = (
        build_model("points"),
        build_model(
            "points", generator_hidden="400,400", norm="batch", discriminator_hidden="200,200,200", discriminator_activation="maxout"
        ),
    )
    # Worked by hand: 2 -> 128 -> 128 -> 2 and 2 -> 128 -> 1.
    assert parameter_count(veegan.generator, jnp.zeros((1, 2))) == 384 + 16512 + 258
    assert parameter_count(veegan.discriminator, jnp.zeros((1, 2))) == 384 + 129
    # 2 -> 400 -> 400 -> 2 with batch norm; 2 packed points -> 3 layers of 200 maxout units of 5 pieces -> 1.
    assert parameter_count(pacgan.generator, jnp.zeros((1, 2))) == 1200 + 160400 + 802 + 1600
    assert parameter_count(pacgan.discriminator, jnp.zeros((1, 4))) == 5000 + 2 * 201000 + 201


def test_points_train_and_are_not_bounded():
    results = check_both("points", norm="batch", generator_hidden=8, discriminator_hidden=8, discriminator_activation="maxout")
    assert results.generator[2].images.shape == (4, 2)
    network = as_network(MlpGenerator((2,), hidden=(), norm="none", output_activation="linear"))
    params, state = fill(network, jnp.ones((1, 1)))
    assert jnp.abs(run(network, params, state, 100 * jnp.ones((1, 1))).images).max() > 1


def test_labels_matter():
    network = build_model("mlp", image_size=4, num_classes=3, generator_hidden=(8,), norm="none").generator
    latents = jnp.ones((3, 2))
    params, state = fill(network, latents, jnp.arange(3))
    images = run(network, params, state, latents, jnp.arange(3)).images
    assert not jnp.allclose(images[0], images[1])
    with pytest.raises(ValueError, match="num_classes=3 and needs labels"):
        network.apply(params, state, latents)
