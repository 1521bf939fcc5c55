import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import MODELS
from gan_jax.models.network import as_networks
from support import model_golden as golden
from support.residual_checks import check_model, output_with, parameter_counts, random_variables


# BigGAN-PyTorch, commit 9845943: Generator and Discriminator with G_shared, hier and shared_dim=128, PyTorch's `numel`.
@pytest.mark.parametrize(
    ("latent_dim", "options", "published"),
    [
        (128, {"image_size": 32, "num_classes": 10}, (4_373_251, 4_207_361)),
        (120, {"image_size": 128, "num_classes": 1000, "width": 96, "attention": 64}, (70_433_988, 87_982_370)),
    ],
)
def test_parameters_number_as_published(latent_dim, options, published):
    assert parameter_counts("biggan", latent_dim, **options) == published


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"channels": 3, "num_classes": 3, "attention": 16}, id="attention"),
        pytest.param({"channels": 1, "num_classes": 0, "dtype": "bfloat16"}, id="skip-z-alone-bfloat16", marks=pytest.mark.slow),
    ],
)
def test_shapes_and_gradients_of_every_parameter(options):
    check_model("biggan", **{"width": 4, "shared_dim": 6, **options})


def test_generator_equals_pytorch():
    weights, latents, expected = golden.load("biggan_generator")
    network = as_networks(MODELS["biggan"](width=1, channels=1, num_classes=3, shared_dim=5)).generator
    params = golden.residual_generator(weights, "vector") | {"shared": {"embedding": weights["shared.weight"]}}
    found = output_with(network, params, latents, golden.labels("biggan_generator")).images
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_the_linear_maps_of_the_norms_start_orthogonal():
    generator, _ = MODELS["biggan"](width=4, num_classes=3, shared_dim=4)
    params = jax.jit(generator.init)(jax.random.key(0), jnp.zeros((1, 8)), jnp.zeros(1, jnp.int32))["params"]
    for part in ("scale", "bias"):
        kernel = params["block_1"]["norm_2"][part]["kernel"]
        assert kernel.shape == (6, 16)
        np.testing.assert_allclose(kernel @ kernel.T, np.eye(6), atol=1e-5)


def test_each_part_of_the_latents_enters_at_its_own_block():
    # 10 latents in 4 parts: 3, 3, 2, 2. The last part steers only the last block's norms, so the block before does not see it.
    generator, _ = MODELS["biggan"](width=2, num_classes=3, shared_dim=4)
    latents, labels = jax.random.normal(jax.random.key(0), (2, 10)), jnp.array([0, 2])
    variables = random_variables(generator, latents, labels)

    @jax.jit
    def blocks(latents):
        _, state = generator.apply(variables, latents, labels, train=False, mutable=["intermediates"], capture_intermediates=True)
        return [state["intermediates"][f"block_{index}"]["__call__"][0] for index in range(3)]

    before = blocks(latents)
    for start, first_changed in ((8, 2), (6, 1), (3, 0), (0, 0)):
        after = blocks(latents.at[:, start].add(1.0))
        changed = [bool(np.any(a != b)) for a, b in zip(after, before)]
        assert changed == [index >= first_changed for index in range(3)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_size": 16}, "image_size 16"),
        ({"attention": 12}, "attention must be one of 0, 8, 16; got 12"),
        ({"shared_dim": 0}, "skip_latents needs shared_dim"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        MODELS["biggan"](**options)
