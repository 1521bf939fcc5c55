import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import as_network, build_model
from gan_jax.models.dcgan import DcganDiscriminator, DcganGenerator
from gan_jax.nn import DOWN, UP
from support import model_golden as golden
from support.model_checks import build_small, check_both, fill, parameter_count, run


def test_published_parameter_counts():
    # PyTorch's examples/dcgan/main.py with its defaults (nz=100, ngf=ndf=64, nc=3, 64x64): the convolutions have no biases.
    networks = build_model("dcgan")
    generator = 100 * 512 * 16 + (512 * 256 + 256 * 128 + 128 * 64 + 64 * 3) * 16 + 2 * (512 + 256 + 128 + 64)
    discriminator = (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) * 16 + 2 * (128 + 256 + 512)
    assert parameter_count(networks.generator, jnp.zeros((1, 100))) == generator == 3_576_704
    assert parameter_count(networks.discriminator, jnp.zeros((1, 64, 64, 3))) == discriminator == 2_765_568


def test_generator_equals_pytorch():
    weights, latents, expected = golden.load("dcgan_generator")
    network = as_network(DcganGenerator(16, 3, width=2, activation="relu"))
    # PyTorch's first layer: a transposed convolution of a 1x1 map, [in, out, 4, 4]; here a matrix onto [4, 4, out].
    project = weights["0.weight"].transpose(0, 2, 3, 1).reshape(3, -1)
    params = {
        "project": {"kernel": project},
        "norm_0": golden.norm(weights, "1"),
        "up_1": {"conv": golden.conv_transpose(weights, "3")},
        "norm_1": golden.norm(weights, "4"),
        "output": {"conv": golden.conv_transpose(weights, "6")},
    }
    latents = latents.reshape(3, 3)
    _, state = fill(network, latents)
    np.testing.assert_allclose(run(network, params, state, latents).images, expected, atol=1e-5)


def test_discriminator_equals_pytorch():
    weights, images, expected = golden.load("dcgan_discriminator")
    network = as_network(DcganDiscriminator(width=2))
    params = {
        "down_0": {"conv": golden.conv(weights, "0")},
        "down_1": {"conv": golden.conv(weights, "2")},
        "norm_1": golden.norm(weights, "3"),
        "output": {"kernel": weights["5.weight"].transpose(2, 3, 1, 0).reshape(-1, 1)},
    }
    _, state = fill(network, images)
    np.testing.assert_allclose(run(network, params, state, images).logits, expected.reshape(3), atol=1e-5)


def test_initial_weights():
    networks, latents, *_ = build_small("dcgan", width=32)
    params, _ = jax.jit(networks.generator.init)(jax.random.key(0), latents)
    kernel, scale = params["up_1"]["conv"]["kernel"], params["norm_0"]["scale"]
    # Four standard errors of the mean and of the standard deviation of that many draws.
    assert abs(kernel.mean()) < 4 * 0.02 / kernel.size**0.5
    assert abs(kernel.std() - 0.02) < 4 * 0.02 / (2 * kernel.size) ** 0.5
    assert abs(scale.mean() - 1) < 4 * 0.02 / scale.size**0.5
    assert abs(scale.std() - 0.02) < 4 * 0.02 / (2 * scale.size) ** 0.5


EVERYTHING = {
    "num_classes": 3,
    "condition": "projection",
    "auxiliary": True,
    "proxy_dim": 5,
    "norm": "conditional_batch",
    "up": "pixel_shuffle",
    "down": "average",
    "output_kernel": 3,
    "noise": True,
    "noise_std": 0.1,
    "dropout": 0.5,
    "discriminator_dropout": 0.5,
    "minibatch_stddev": True,
    "minibatch_discrimination": True,
}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="plain", marks=pytest.mark.slow),
        pytest.param({"channels": 3, "dtype": "bfloat16", "norm": "instance", "num_classes": 2}, id="bf16", marks=pytest.mark.slow),
        pytest.param(EVERYTHING, id="all"),
    ],
)
def test_both_players_train(options):
    results = check_both("dcgan", **options)
    assert results.generator[2].images.shape == (4, 16, 16, options.get("channels", 1))
    output = results.discriminator[2]
    assert output.logits.shape == (4,)
    assert output.features["block_1"].shape == (4, 4, 4, 8)
    if options.get("auxiliary"):
        assert output.class_logits.shape == (4, 3)
        assert output.embeddings.shape == output.proxies.shape == (4, 5)
        # Of the labels 0, 1, 2, 0 the first and the last have one proxy.
        np.testing.assert_array_equal(output.proxies[0], output.proxies[3])
        assert np.abs(output.proxies[0] - output.proxies[1]).max() > 0


def test_the_discriminator_can_have_a_width_of_its_own():
    narrow, alone = (
        build_model("dcgan", image_size=16, channels=1, **widths) for widths in ({"width": 8, "discriminator_width": 4}, {"width": 4})
    )
    wide = build_model("dcgan", image_size=16, channels=1, width=8)

    def shapes(network, value):
        return jax.tree.map(jnp.shape, jax.eval_shape(lambda: network.init(jax.random.key(0), value)[0]))

    image, latent = jnp.zeros((2, 16, 16, 1)), jnp.zeros((2, 3))
    assert shapes(narrow.discriminator, image) == shapes(alone.discriminator, image)
    assert shapes(narrow.generator, latent) == shapes(wide.generator, latent)


@pytest.mark.parametrize("size", [8, 32, 128])
@pytest.mark.parametrize("output_kernel", [None, 1, 9])
def test_sizes_and_output_kernels(size, output_kernel):
    networks, latents, *_ = build_small("dcgan", image_size=size, channels=3, output_kernel=output_kernel)

    def both(rng):
        params, state = networks.generator.init(rng, latents)
        fake = networks.generator.apply(params, state, latents)[0].images
        return params, fake, networks.discriminator.init(rng, fake)

    params, fake, _ = jax.eval_shape(both, jax.random.key(0))
    assert fake.shape == (4, size, size, 3)
    if output_kernel:
        assert params["output"]["kernel"].shape == (output_kernel, output_kernel, 2, 3)


@pytest.mark.parametrize(("option", "choices"), [("up", UP), ("down", DOWN)])
def test_every_way_to_resample(option, choices):
    for choice in choices:
        networks, latents, images, _, _ = build_small("dcgan", **{option: choice})
        network, inputs = (networks.generator, latents) if option == "up" else (networks.discriminator, images)
        params, state = jax.eval_shape(network.init, jax.random.key(0), inputs)
        output, _ = jax.eval_shape(network.apply, params, state, inputs)
        assert output[0].shape == ((4, 16, 16, 1) if option == "up" else (4,))


def test_output_activation_and_label_channels():
    latents, labels = 100 * jnp.ones((2, 3)), jnp.array([0, 1])
    for activation, bounded in (("tanh", True), ("linear", False)):
        networks, *_ = build_small("dcgan", norm="none", output_activation=activation, num_classes=2)
        params, state = fill(networks.generator, latents, labels)
        images = run(networks.generator, params, state, latents, labels).images
        assert bool(jnp.abs(images).max() <= 1) is bounded
        assert not jnp.allclose(images[0], images[1])


def test_projection_adds_the_inner_product_with_the_class_vector():
    networks, _, images, labels, _ = build_small("dcgan", num_classes=2, condition="projection", discriminator_norm="none")
    params, state = fill(networks.discriminator, images, labels)
    projected = run(networks.discriminator, params, state, images, labels)
    without = params | {"projection": jax.tree.map(jnp.zeros_like, params["projection"])}
    plain = run(networks.discriminator, without, state, images, labels).logits
    pooled = np.asarray(projected.features["block_1"]).sum(axis=(1, 2))
    expected = (np.asarray(params["projection"]["embedding"])[np.asarray(labels)] * pooled).sum(axis=1)
    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(projected.logits - plain, expected, rtol=1e-3, atol=1e-6)


def test_virtual_batch_norm_makes_examples_independent():
    networks, latents, *_ = build_small("dcgan", norm="virtual_batch", reference_size=3)
    params, state = fill(networks.generator, latents)
    images = run(networks.generator, params, state, latents).images
    alone = run(networks.generator, params, state, latents[:1]).images
    assert images.shape == (4, 16, 16, 1)
    np.testing.assert_allclose(images[:1], alone, atol=1e-5)


def test_dropout_of_the_generator_stays_on_in_sampling_and_that_of_the_discriminator_does_not():
    networks, latents, images, *_ = build_small("dcgan", dropout=0.5, discriminator_dropout=0.5)
    for network, inputs, varies in ((networks.generator, latents, True), (networks.discriminator, images, False)):
        params, state = fill(network, inputs)
        first, second = (run(network, params, state, inputs, seed=seed, train=False)[0] for seed in (1, 2))
        assert bool(jnp.array_equal(first, second)) is not varies


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 30}, "makes images with sides up to 512 that halve evenly"),
        ({"up": "bicubic"}, "up must be one of transposed, "),
        ({"auxiliary": True}, "auxiliary needs num_classes above 0"),
        ({"proxy_dim": 8}, "proxy_dim needs num_classes above 0"),
        (
            {"proxy_dim": 8, "num_classes": 2},
            "proxy_dim needs condition none, because the discriminator has to find the class; got channels",
        ),
        ({"fake_class": True, "num_classes": 2}, "fake_class needs condition none"),
        ({"fake_class": True, "auxiliary": True, "num_classes": 2}, "fake_class excludes auxiliary"),
        ({"norm": "conditional_batch"}, "conditional_batch needs num_classes above 0"),
        ({"norm": "virtual_batch", "num_classes": 2}, "num_classes must be 0, got 2"),
        ({"output_kernel": 5}, "output_kernel must be one of None, 1, 3, 9; got 5"),
        ({"discriminator_norm": "conditional_batch"}, "discriminator_norm must be one of"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        build_model("dcgan", **options)


def test_with_a_class_of_the_fakes_the_logit_is_the_lead_of_the_images_class():
    networks, _, images, labels, _ = build_small("dcgan", num_classes=3, condition="none", fake_class=True)
    params, state = fill(networks.discriminator, images, labels)
    assert "output" not in params
    output = run(networks.discriminator, params, state, images, labels)
    assert output.class_logits.shape == (len(images), 4)
    expected = [row[label] - row[3] for row, label in zip(np.asarray(output.class_logits), np.asarray(labels), strict=True)]
    np.testing.assert_allclose(output.logits, expected, rtol=1e-6)


def test_noise_of_fixed_strength_has_no_parameters_and_is_drawn_in_training_and_sampling():
    from gan_jax.trainer.build.gan import build_spec
    from gan_jax.trainer.config import Config, ModelConfig

    def images(std):
        options = {"noise_std": std} if std else {}
        spec = build_spec(Config(model=ModelConfig(name="dcgan", width=4, latent_dim=3, norm="none", options=options)), (8, 8, 1), 0)
        params, state = spec.generator.init(jax.random.key(0), latents := jnp.ones((2, 3)))
        count = sum(leaf.size for leaf in jax.tree.leaves(params))
        return count, [
            np.asarray(spec.generator.apply(params, state, latents, rng=jax.random.key(seed), train=train)[0].images)
            for seed, train in ((1, True), (2, True), (2, False))
        ]

    (plain, (same, *_)), (noisy, (first, second, sampled)) = images(0.0), images(0.5)
    assert plain == noisy
    assert np.abs(first - second).max() > 1e-4 < np.abs(first - same).max()
    np.testing.assert_array_equal(second, sampled)  # the draws depend on the key alone
    assert np.abs(first[0] - first[1]).max() > 1e-4  # each example has noise of its own
