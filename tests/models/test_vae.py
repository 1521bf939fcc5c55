import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import build_model
from gan_jax.models.vae import scale_gradient
from support.model_checks import build_small, check_both, fill, run, without_gradient


def test_scale_gradient_is_the_identity_with_another_gradient():
    value, gradient = jax.value_and_grad(lambda x: scale_gradient(x, -0.25) ** 2)(3.0)
    assert (value, gradient) == (9.0, -1.5)


@pytest.mark.parametrize(
    ("name", "options", "fakes"),
    [pytest.param("vaegan", {}, 8, marks=pytest.mark.slow), ("vaegan", {"channels": 3, "dtype": "bfloat16"}, 8), ("klgan", {}, 4)],
)
def test_both_players_train(name, options, fakes):
    results = check_both(name, **options)
    output = results.generator[2]
    shape = (16, 16, options.get("channels", 1))
    assert output.images.shape == (fakes, *shape)
    assert output.extras["reconstruction"].shape == (4, *shape)
    assert output.extras["mean"].shape == output.extras["log_variance"].shape == (4, 3)


def gradients(gamma, part, norm="none", model="vaegan"):
    """Gradients of the images or of the reconstruction, with everything else equal."""
    options = {"gamma": gamma} if model == "vaegan" else {}
    networks, latents, _, _, context = build_small(model, norm=norm, discriminator_norm="none", **options)
    params, state = fill(networks.generator, latents, None, context)
    params = jax.tree.map(lambda leaf: 0.3 * leaf, params)

    def loss(params):
        output = networks.generator.apply(params, state, latents, None, context, rng=jax.random.key(0))[0]
        values = output.images if part == "images" else output.extras[part]
        return jnp.sum((values - 0.5) ** 2)

    return jax.jit(jax.grad(loss))(params)


# Batch norm couples what one pass decodes: latents and posterior draws must not share the reconstruction's.
@pytest.mark.parametrize(
    ("model", "norm"), [("vaegan", "none"), ("vaegan", "batch"), ("vaegan", "instance"), ("vaegan", "switchable"), ("klgan", "batch")]
)
def test_the_adversarial_loss_does_not_reach_the_encoder(model, norm):
    found = gradients(0.125, "images", norm, model)
    assert all(not leaf.any() for leaf in jax.tree.leaves(found["encoder"]))
    assert without_gradient(found["decoder"]) == []


@pytest.mark.parametrize("model", ["vaegan", "klgan"])
def test_only_the_images_move_the_running_averages(model):
    networks, latents, _, _, context = build_small(model)
    params, state = fill(networks.generator, latents, None, context)
    # A posterior without variance, and one mean for all images: what is decoded is then known.
    posterior = jax.tree.map(jnp.zeros_like, params["encoder"]["posterior"])
    posterior["bias"] = jnp.array([0.5, -1.0, 2.0, -100.0, -100.0, -100.0])
    params = params | {"encoder": params["encoder"] | {"posterior": posterior}}
    decoded = jnp.concatenate([latents, jnp.tile(posterior["bias"][:3], (4, 1))]) if model == "vaegan" else latents
    _, after = jax.jit(networks.generator.apply)(params, state, latents, None, context, rng=jax.random.key(0))
    decoder = build_small("dcgan")[0].generator
    stats = {"batch_stats": state["batch_stats"]["decoder"]}
    _, expected = jax.jit(decoder.apply)(params["decoder"], stats, decoded)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), after["batch_stats"]["decoder"], expected["batch_stats"]
    )
    assert any(np.any(a != b) for a, b in zip(jax.tree.leaves(stats), jax.tree.leaves(expected)))


def test_gamma_weighs_the_reconstruction_of_the_decoder_and_not_of_the_encoder():
    plain, weighted = gradients(1.0, "reconstruction"), gradients(0.125, "reconstruction")
    assert without_gradient(plain) == []
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7), plain["encoder"], weighted["encoder"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(0.125 * a, b, rtol=1e-4, atol=1e-7), plain["decoder"], weighted["decoder"])


def test_fakes_are_samples_and_then_reconstructions():
    networks, latents, _, _, context = build_small("vaegan", norm="none")
    params, state = fill(networks.generator, latents, None, context)
    trained = run(networks.generator, params, state, latents, None, context)
    sampled = run(networks.generator, params, state, latents, train=False)
    evaluated = run(networks.generator, params, state, latents, None, context, train=False)
    assert sampled.extras == {}
    np.testing.assert_allclose(trained.images[:4], sampled.images, atol=1e-5)
    np.testing.assert_allclose(trained.images[4:], trained.extras["reconstruction"], atol=1e-6)
    np.testing.assert_allclose(evaluated.images, sampled.images, atol=1e-5)
    assert not np.allclose(trained.images[4:], sampled.images, atol=1e-2)


def test_latents_of_the_posterior_have_its_mean_and_variance():
    networks, latents, _, _, context = build_small("vaegan", norm="none")
    params, state = fill(networks.generator, latents, None, context)
    # With a variance of nearly 0 the reconstruction is the decoder's image of the mean.
    posterior = params["encoder"]["posterior"]
    still = {"kernel": posterior["kernel"].at[:, 3:].set(0.0), "bias": posterior["bias"].at[3:].set(-100.0)}
    params = params | {"encoder": params["encoder"] | {"posterior": still}}
    output = run(networks.generator, params, state, latents, None, context)
    np.testing.assert_allclose(output.extras["log_variance"], -20.0)
    decoded = run(networks.generator, params, state, output.extras["mean"], train=False).images
    np.testing.assert_allclose(output.extras["reconstruction"], decoded, atol=1e-3)


def test_options_and_contexts_that_cannot_be():
    with pytest.raises(ValueError, match="gamma must be above 0; got 0"):
        build_model("vaegan", gamma=0.0)
    networks, latents, *_ = build_small("vaegan")
    with pytest.raises(ValueError, match="the encoder needs images to be initialised"):
        fill(networks.generator, latents)
