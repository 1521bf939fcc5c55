import jax
import jax.numpy as jnp
import pytest

from gan_jax.models.stacked import sample_stages
from support.model_checks import build_small, check_both, fill, run


@pytest.mark.parametrize("options", [pytest.param({}, marks=pytest.mark.slow), {"channels": 3, "dtype": "bfloat16"}])
def test_both_players_train(options):
    results = check_both("stacked", blocks=1, **options)
    assert results.generator[2].images.shape == (4, 16, 16, options.get("channels", 1))
    assert results.discriminator[2].logits.shape == (4,)


def test_both_players_see_the_small_image():
    networks, latents, images, _, context = build_small("stacked", blocks=1)
    for network, inputs in ((networks.generator, latents), (networks.discriminator, images)):
        params, state = fill(network, inputs, None, context)
        first, second = (run(network, params, state, inputs, None, given)[0] for given in (context, -context))
        assert not jnp.allclose(first, second)


def test_a_context_that_does_not_fit_is_refused():
    networks, latents, images, *_ = build_small("stacked")
    large = jnp.repeat(jnp.repeat(images, 2, axis=1), 2, axis=2)
    for wrong in (None, images, images[:, :5, :5], images[:, ::2], large, images[:, :0, :0], images[0, 0]):
        with pytest.raises(ValueError, match=r"context must (be|have)"):
            fill(networks.generator, latents, None, wrong)
    with pytest.raises(ValueError, match="context must be an image"):
        fill(networks.discriminator, images)
    for wrong in (large, images[:, ::2], images[:, :5, :5], images[:, :0, :0], images[0, 0]):
        with pytest.raises(
            ValueError, match=r"context must be an image with the sides of images \(4, 16, 16, 1\) divided by a whole number"
        ):
            fill(networks.discriminator, images, None, wrong)


def test_each_stage_is_given_the_one_before_and_draws_for_itself():
    def first(rng, context):
        assert context is None
        return jax.random.normal(rng, (2, 4, 4, 1))

    def second(rng, context):
        return jnp.repeat(jnp.repeat(context, 2, 1), 2, 2) + 10 * jax.random.normal(rng, (2, 1, 1, 1))

    small, large = sample_stages([first, second], jax.random.key(0))
    assert large.shape == (2, 8, 8, 1)
    noise = (large[:, ::2, ::2] - small).mean(axis=(1, 2, 3)) / 10
    assert jnp.allclose(large[:, ::2, ::2] - 10 * noise[:, None, None, None], small, atol=1e-4)
    assert not jnp.allclose(noise, small[:, 0, 0, 0], atol=1e-2)
