import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import MODELS
from gan_jax.models.network import as_networks
from gan_jax.models.progressive import growth_schedule, match_growth, set_growth
from gan_jax.nn import average_pool, resize_nearest
from support import model_golden as golden
from support.residual_checks import gradients_of, inputs_of, names_without_gradient, output_with, parameter_counts, random_variables

SMALL = {"image_size": 16, "width": 4, "channels": 2}


@pytest.fixture(scope="module")
def grown():
    """Both modules with their variables; every stage and alpha is called through two compiled functions."""
    generator, discriminator = MODELS["progressive"](**SMALL)
    latents, images, _ = inputs_of(SMALL)
    g, d = (random_variables(m, x, equalized=True) for m, x in ((generator, latents), (discriminator, images)))
    make = jax.jit(lambda z, stage, alpha: generator.apply(g, z, stage=stage, alpha=alpha), static_argnums=1)
    judge = jax.jit(lambda x, stage, alpha: discriminator.apply(d, x, stage=stage, alpha=alpha).logits, static_argnums=1)
    return as_networks(MODELS["progressive"](**SMALL)), (g, d), make, judge, latents, images


# Karras et al. 2018, table 2: 23.1M in each network at 1024 pixels. (Ours hold the image convolutions of all nine stages, 0.1% more.)
def test_parameters_number_as_published():
    counts = parameter_counts("progressive", 512, image_size=1024, width=512)
    assert [round(count / 1e6, 1) for count in counts] == [23.1, 23.1]


# At growth 0.3 the stage of 8x8 is faded in by 0.3.
HALFWAY = {"progress": {"growth": jnp.float32(0.3)}}


def test_generator_equals_pytorch():
    weights, latents, expected = golden.load("progressive_generator")
    names = {"second_0": "second_0", "first_0": "first_1", "second_1": "second_1", "to_image_0": "to_image_0", "to_image_1": "to_image_1"}
    params = {ours: {"conv": golden.conv(weights, theirs)} for ours, theirs in names.items()}
    project = golden.to_map({"project.weight": weights["weight"]}, "project")
    params |= {"project": {"dense": project}, "project_bias": weights["bias"]}
    network = as_networks(MODELS["progressive"](image_size=8, width=4, channels=1)).generator
    np.testing.assert_allclose(output_with(network, params, latents, state=HALFWAY).images, expected, atol=1e-5)


def test_discriminator_equals_pytorch():
    weights, images, expected = golden.load("progressive_discriminator")
    names = ("from_image_0", "from_image_1", "first_0", "first_1", "second_0")
    params = {name: {"conv": golden.conv(weights, name)} for name in names}
    params |= {"dense": {"dense": golden.from_map(weights, "dense")}, "head": {"dense": golden.dense(weights, "head")}}
    network = as_networks(MODELS["progressive"](image_size=8, width=4, channels=1, group_size=2)).discriminator
    np.testing.assert_allclose(output_with(network, params, images, state=HALFWAY).logits, expected, atol=1e-5)


def test_fade_in_of_the_generator_at_0_and_1_is_the_smaller_and_the_larger_network(grown):
    _, _, make, _, latents, _ = grown
    for stage in (1, 2):
        smaller = make(latents, stage - 1, 1.0)
        np.testing.assert_allclose(make(latents, stage, 0.0), resize_nearest(smaller), atol=1e-6)
    # The larger network alone: alpha = 1 must not depend on how the smaller one makes images.
    _, (g, _), *_ = grown
    broken = {**g["params"], "to_image_1": jax.tree.map(lambda leaf: leaf + 1.0, g["params"]["to_image_1"])}
    generator, _ = MODELS["progressive"](**SMALL)
    other = jax.jit(lambda p, a: generator.apply({**g, "params": p}, latents, stage=2, alpha=a))
    np.testing.assert_array_equal(other(broken, 1.0), other(g["params"], 1.0))
    assert np.abs(other(broken, 0.5) - other(g["params"], 0.5)).max() > 0.1


def test_fade_in_of_the_discriminator_at_0_and_1_is_the_smaller_and_the_larger_network(grown):
    _, (_, d), _, judge, _, images = grown
    np.testing.assert_allclose(judge(images, 2, 0.0), judge(average_pool(images), 1, 1.0), atol=1e-5)
    _, discriminator = MODELS["progressive"](**SMALL)
    broken = {**d["params"], "from_image_1": jax.tree.map(lambda leaf: leaf + 1.0, d["params"]["from_image_1"])}
    other = jax.jit(lambda p, a: discriminator.apply({**d, "params": p}, images, stage=2, alpha=a).logits)
    np.testing.assert_array_equal(other(broken, 1.0), other(d["params"], 1.0))
    assert np.abs(other(broken, 0.5) - other(d["params"], 0.5)).max() > 1e-2


@pytest.mark.parametrize(("growth", "stage", "alpha"), [(0.0, 0, 1.0), (0.25, 1, 0.25), (1.0, 1, 1.0), (1.5, 2, 0.5), (2.0, 2, 1.0)])
def test_growth_in_the_state_equals_stage_and_alpha(grown, growth, stage, alpha):
    networks, variables, make, judge, latents, images = grown
    (g_params, g_state), (d_params, d_state) = ((v["params"], {"progress": v["progress"]}) for v in variables)
    fake, state = jax.jit(networks.generator.apply)(g_params, set_growth(g_state, growth), latents)
    factor = 2 ** (2 - stage)
    np.testing.assert_allclose(fake.images, resize_nearest(make(latents, stage, alpha), factor), atol=1e-6)
    assert state["progress"]["growth"] == growth
    judged, _ = jax.jit(networks.discriminator.apply)(d_params, set_growth(d_state, growth), images)
    np.testing.assert_allclose(judged.logits, judge(average_pool(images, factor), stage, alpha), atol=1e-5)


@pytest.mark.parametrize(
    "options", [{"channels": 3, "image_size": 8, "num_classes": 3}, {"channels": 1, "image_size": 8, "dtype": "bfloat16"}]
)
def test_shapes_and_gradients(options):
    # Half faded in, both stages' layers are used: every parameter gets a gradient.
    options = {"width": 4, **options}
    _, judged, gradients, _ = gradients_of("progressive", lambda state: set_growth(state, 0.5), **options)
    assert names_without_gradient(gradients[0]) == []
    assert names_without_gradient(gradients[1]) == []
    assert (judged.class_logits is not None) == bool(options.get("num_classes"))


@pytest.mark.slow
def test_layers_of_stages_to_come_get_no_gradient_and_the_grown_network_uses_all_but_the_old_image_layers():
    options = {"width": 4, "image_size": 8, "channels": 1}
    _, _, (g, d), _ = gradients_of("progressive", lambda state: set_growth(state, 0.0), **options)
    assert names_without_gradient(g) == [
        f"{layer}/conv/{leaf}" for layer in ("first_0", "second_1", "to_image_1") for leaf in ("bias", "kernel")
    ]
    assert sorted({name.split("/")[0] for name in names_without_gradient(d)}) == ["first_1", "from_image_1", "second_0"]
    _, _, (g, d), _ = gradients_of("progressive", lambda state: set_growth(state, 1.0), **options)
    assert {name.split("/")[0] for name in names_without_gradient(g) + names_without_gradient(d)} == {"to_image_0", "from_image_0"}


def test_growth_schedule():
    # 4 stages, fade-ins of 10 steps, stable phases of 5: stable until 5, fading until 15, stable until 20, ...; ended at 45.
    steps = [0, 4, 5, 6, 10, 15, 19, 20, 25, 30, 35, 40, 44, 45, 1000]
    expected = [0, 0, 0, 0.1, 0.5, 1, 1, 1, 1.5, 2, 2, 2.5, 2.9, 3, 3]
    growth = jax.jit(jax.vmap(lambda step: growth_schedule(step, stages=4, fade_steps=10, stable_steps=5)))(jnp.array(steps))
    np.testing.assert_allclose(growth, expected, atol=1e-6)


def test_reals_are_made_as_coarse_as_the_fakes():
    images = jax.random.normal(jax.random.key(0), (2, 16, 16, 1))
    match = jax.jit(match_growth)
    np.testing.assert_allclose(match(images, jnp.float32(2)), images, atol=1e-6)
    np.testing.assert_allclose(match(images, jnp.float32(0)), resize_nearest(average_pool(images, 4), 4), atol=1e-6)
    halves = 0.75 * resize_nearest(average_pool(images, 2), 2) + 0.25 * images
    np.testing.assert_allclose(match(images, jnp.float32(1.25)), halves, atol=1e-6)


def test_a_state_without_progress_is_left_alone():
    assert set_growth({"batch_stats": 1}, 0.5) == {"batch_stats": 1}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: MODELS["progressive"](image_size=26), "image_size 26"),
        (lambda: MODELS["progressive"](image_size=64, width=1), "it must be at least 2"),
        (lambda: growth_schedule(0, stages=2, fade_steps=0, stable_steps=1), "fade_steps and stages must be at least 1"),
        (lambda: MODELS["progressive"](**SMALL).discriminator.init(jax.random.key(0), jnp.zeros((2, 8, 8, 2))), "16x16 pixels at stage 2"),
    ],
)
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_known_growth_makes_the_images_of_a_traced_one(grown):
    networks, (g, _), _, _, latents, _ = grown
    params, state = g["params"], {key: value for key, value in g.items() if key != "params"}

    def images(state):
        return networks.generator.apply(params, state, latents, train=False)[0].images

    traced = jax.jit(images)
    for growth in (0.0, 0.3, 1.0, 2.0):
        state = set_growth(state, growth)
        np.testing.assert_allclose(images(state), traced(state), atol=2e-4)
    assert "cond" not in str(
        jax.make_jaxpr(lambda latents: networks.generator.apply(params, state, latents, train=False)[0].images)(latents)
    )
