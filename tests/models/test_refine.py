import jax.numpy as jnp
import numpy as np
import pytest

from support.model_checks import build_small, check_both, fill, run


@pytest.mark.parametrize("options", [pytest.param({}, marks=pytest.mark.slow), {"channels": 3, "dtype": "bfloat16"}])
def test_both_players_train(options):
    results = check_both("inpaint", **options)
    channels = options.get("channels", 1)
    output = results.generator[2]
    assert output.images.shape == output.extras["coarse"].shape == output.extras["refined"].shape == (4, 16, 16, channels)
    assert results.discriminator[2].logits.shape == (4, 4, 4)


def test_what_was_given_stays_and_the_hole_is_the_refined_image():
    networks, latents, images, _, context = build_small("inpaint", channels=3)
    params, state = fill(networks.generator, latents, None, context)
    output = run(networks.generator, params, state, latents, None, context)
    hole = np.broadcast_to(np.asarray(context[..., 3:]) == 1, images.shape)
    np.testing.assert_array_equal(output.images[~hole], images[~hole])
    np.testing.assert_array_equal(output.images[hole], output.extras["refined"][hole])
    assert not np.allclose(output.extras["coarse"], output.extras["refined"])


def test_the_refiner_sees_the_coarse_image_in_the_hole():
    networks, latents, _, _, context = build_small("inpaint", channels=3)
    params, state = fill(networks.generator, latents, None, context)
    whole = context.at[..., 3:].set(0.0)
    other = params | {"coarse": {**params["coarse"], "output": {name: -leaf for name, leaf in params["coarse"]["output"].items()}}}
    for given, changes in ((context, True), (whole, False)):
        first, second = (run(networks.generator, p, state, latents, None, given).extras["refined"] for p in (params, other))
        assert bool(jnp.array_equal(first, second)) is not changes


def test_the_discriminator_sees_the_mask():
    networks, _, images, _, context = build_small("inpaint")
    params, state = fill(networks.discriminator, images, None, context)
    first, second = (
        run(networks.discriminator, params, state, images, None, given).logits for given in (context, context.at[..., 1:].set(0.0))
    )
    assert not jnp.allclose(first, second)


def test_a_context_without_mask_is_refused():
    networks, latents, _, _, context = build_small("inpaint", channels=3)
    for wrong in (None, context[..., :3]):
        with pytest.raises(ValueError, match=r"context must be float \[batch, height, width, 4\], the masked image and its mask"):
            fill(networks.generator, latents, None, wrong)
