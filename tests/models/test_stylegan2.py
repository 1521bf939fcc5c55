import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.tools import convert_stylegan2
from gan_jax import load_generator, penalties
from gan_jax.export.stylegan2 import stylegan2_discriminator, stylegan2_generator
from gan_jax.metrics import load_torch_weights
from gan_jax.models import MODELS, build_model
from gan_jax.models.network import as_networks
from gan_jax.models.stylegan2_layers import MappingNetwork
from support.residual_checks import check_model, inputs_of, parameter_counts, random_variables
from support.stylegan2_golden import CASES, LAYERS, STYLE, channels, digest, inputs, state_dict_shapes, thinned, weight
from support.stylegan2_names import in_torch_layout, load

FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN = load()


def options_of(case):
    size, classes = CASES[case]
    sizes = channels(size)
    shape = {"image_size": size, "num_classes": classes, "width": sizes["channel_max"], "channel_base": sizes["channel_base"]}
    return shape | {"style_dim": STYLE, "mapping_layers": LAYERS, "group_size": 2, "noise_mode": "const"}


def state_dicts(case):
    """Names and shapes of the authors' state dicts."""
    size, classes = CASES[case]
    sizes = channels(size)
    return state_dict_shapes(size, classes, sizes["channel_base"], sizes["channel_max"])


@functools.cache
def converted(case):
    generator, discriminator = state_dicts(case)
    config, params, state = stylegan2_generator({name: weight(name, shape) for name, shape in generator.items()}, noise_mode="const")
    return config, params, state, stylegan2_discriminator({name: weight(name, shape) for name, shape in discriminator.items()})


# The conditional networks of 32 pixels use every layer. The other cases take longer to compile.
EVERY_CASE = [case if case == "32_conditional" else pytest.param(case, marks=pytest.mark.slow) for case in CASES]


@pytest.mark.parametrize("case", EVERY_CASE)
def test_generator_mapping_and_path_lengths_equal_the_authors_code(case):
    _, params, state, _ = converted(case)
    module = MODELS["stylegan2"](**options_of(case)).generator
    given = inputs(case)
    labels = jnp.asarray(given["labels"], jnp.int32) if CASES[case][1] else None

    @jax.jit
    def run(params):
        def loss(params):
            variables = {"params": params, **state}
            styles = module.apply(variables, given["latents"], labels, method="map_latents")

            def synthesize(styles):
                return module.apply(variables, styles).images

            penalty, mean, lengths = penalties.path_length_penalty(synthesize, styles, given["path_noise"], jnp.float32(0.5))
            images = synthesize(styles)
            value = jnp.sum(images * given["direction"]) + penalty.mean()
            return value, (styles, images, penalty, mean, lengths)

        truncated = module.apply({"params": params, **state}, given["latents"], labels, truncation=0.6, method="map_latents")
        return jax.grad(loss, has_aux=True)(params), truncated

    (gradients, (styles, images, penalty, mean, lengths)), truncated = run(params)
    for name, value in (("styles", styles[:, 0]), ("truncated", truncated[:, 0]), ("images", thinned(images)), ("path_lengths", lengths)):
        np.testing.assert_allclose(value, GOLDEN[f"{case}/{name}"], rtol=1e-4, atol=1e-4 * np.abs(GOLDEN[f"{case}/{name}"]).max())
    np.testing.assert_allclose(mean, GOLDEN[f"{case}/path_mean"], rtol=1e-4)
    np.testing.assert_allclose(penalty, GOLDEN[f"{case}/path_penalty"], rtol=1e-4)
    shapes = state_dicts(case)[0]
    names = sorted(name for name in shapes if not name.endswith(("w_avg", "noise_const")))
    check_gradients(names, in_torch_layout(lambda arrays: stylegan2_generator(arrays)[1], shapes, gradients), f"{case}/gradient/generator")


def check_gradients(names, gradients, golden):
    assert len(names) == len(GOLDEN[golden])
    for name, expected in zip(names, GOLDEN[golden], strict=True):
        np.testing.assert_allclose(digest(name, gradients[name]), expected, rtol=1e-3, atol=1e-3 * np.abs(expected[0]), err_msg=name)


@pytest.mark.parametrize("case", EVERY_CASE)
def test_discriminator_and_r1_equal_the_authors_code(case):
    *_, params = converted(case)
    network = as_networks(MODELS["stylegan2"](**options_of(case))).discriminator
    given = inputs(case)
    labels = jnp.asarray(given["labels"], jnp.int32) if CASES[case][1] else None

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def run(params):
        def critic(images):
            return network.apply(params, {}, images, labels)[0].logits

        logits, r1 = critic(given["reals"]), penalties.r1_penalty(critic, given["reals"])
        return jnp.sum(logits * given["weights"]) + r1.mean(), (logits, r1)

    gradients, (logits, r1) = run(params)
    np.testing.assert_allclose(logits, GOLDEN[f"{case}/logits"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(r1, GOLDEN[f"{case}/r1"], rtol=1e-4)
    shapes = state_dicts(case)[1]
    check_gradients(sorted(shapes), in_torch_layout(stylegan2_discriminator, shapes, gradients), f"{case}/gradient/discriminator")


# bfloat16 has 8 bits: the values agree to a few roundings, where a forgotten clamp at 0.5 changes them by their own size.
@pytest.mark.parametrize("clamp", [256, 0.5])
def test_low_precision_has_the_authors_clamp_and_stages(clamp):
    _, params, state, discriminator = converted("32")
    options = options_of("32") | {"dtype": "bfloat16", "low_precision_stages": 2, "clamp": clamp}
    networks, given = build_model("stylegan2", **options), inputs("32")
    images = jax.jit(lambda p, z: networks.generator.apply(p, state, z, train=False)[0].images)(params, given["latents"])
    logits = jax.jit(lambda p, x: networks.discriminator.apply(p, {}, x)[0].logits)(discriminator, given["reals"])
    for name, value in (("images", thinned(images)), ("logits", logits)):
        expected = GOLDEN[f"bfloat16/{clamp}/{name}"]
        np.testing.assert_allclose(value, expected, atol=0.03 * np.abs(expected).max())


# PyTorch's `numel` of the authors' networks with their defaults, at 1024 and 256 pixels, and at 32 with 10 classes.
@pytest.mark.parametrize(("size", "classes", "row"), [(1024, 0, 0), (256, 0, 1), (32, 10, 2)])
def test_parameters_number_as_in_the_authors_code(size, classes, row):
    counts = parameter_counts("stylegan2", 512, image_size=size, num_classes=classes, channel_base=32768)
    assert counts == tuple(GOLDEN["parameters"][row])


def test_a_state_dict_of_torch_save_becomes_a_generator():
    config, params, state = stylegan2_generator(load_torch_weights(FOLDER / "stylegan2_G_ema.pt"), noise_mode="const")
    expected = converted("32_conditional")
    assert config == expected[0]
    jax.tree.map(np.testing.assert_array_equal, (params, state), expected[1:3])


def test_the_converter_writes_a_generator_that_makes_the_authors_images(tmp_path):
    target = tmp_path / "generator.safetensors"
    convert_stylegan2.main([str(FOLDER / "stylegan2_G_ema.pt"), str(target), "--noise-mode", "const", "--clamp", "0"])
    generator, given = load_generator(target), inputs("32_conditional")
    latents, labels = jnp.asarray(given["latents"]), jnp.asarray(given["labels"], jnp.int32)
    expected = GOLDEN["32_conditional/images"]
    images = jax.jit(lambda *given: generator(*given))(latents, labels)
    np.testing.assert_allclose(thinned(images), expected, atol=1e-4 * np.abs(expected).max())
    with pytest.raises(SystemExit):
        convert_stylegan2.main([str(FOLDER / "stylegan2_G_ema.pt"), str(target)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda weights: weights.pop("synthesis.b8.conv1.bias"), None),
        (lambda weights: weights.pop("synthesis.b8.conv1.weight"), "synthesis.b8.conv1.weight is missing"),
        (lambda weights: weights.update({"synthesis.b8.skip.weight": np.zeros((8, 8, 1, 1))}), "synthesis.b8.skip.weight is unknown"),
        (lambda weights: weights.update({"synthesis.resample_filter": np.ones((4, 4))}), "not the filter"),
        (lambda weights: [weights.pop(name) for name in list(weights) if ".b16." in name], "stages of"),
    ],
)
def test_other_weights_are_refused(change, words):
    weights = {name: weight(name, shape) for name, shape in state_dicts("32")[0].items()}
    change(weights)
    if words is None:
        from gan_jax.export import save_generator

        config, params, state = stylegan2_generator(weights)
        with pytest.raises(ValueError, match="conv_1/bias"):
            save_generator("unused.safetensors", config, params, state)
    else:
        with pytest.raises(ValueError, match=words):
            stylegan2_generator(weights)


SMALL = {"image_size": 16, "width": 4, "style_dim": 5, "mapping_layers": 2}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"channels": 3, "num_classes": 3}, marks=pytest.mark.slow),
        {"channels": 1, "dtype": "bfloat16", "low_precision_stages": 2},
    ],
)
def test_shapes_and_gradients_of_every_parameter(options):
    check_model("stylegan2", **SMALL | options)


@pytest.fixture(scope="module")
def small():
    modules = MODELS["stylegan2"](**SMALL, noise=False, style_mixing=1.0)
    latents = inputs_of(SMALL)[0]
    variables = random_variables(modules.generator, latents)
    state = {"moving_average": variables["moving_average"]}
    networks = as_networks(modules)
    apply = jax.jit(lambda state, z, rng: networks.generator.apply(variables["params"], state, z, rng=rng))
    return networks.generator, variables["params"], state, latents, apply


def test_the_moving_mean_of_the_styles_follows_the_batch_means(small):
    generator, params, state, latents, apply = small
    styles = jax.jit(generator.mapping)(params, state, latents)[:, 0]
    _, new = apply(state, latents, jax.random.key(0))
    old = state["moving_average"]["mapping"]["w"]
    np.testing.assert_allclose(new["moving_average"]["mapping"]["w"], 0.995 * old + 0.005 * styles.mean(axis=0), rtol=1e-5)
    # Given styles do not move it.
    _, same = apply(state, jnp.zeros((4, 6, 5)), jax.random.key(0))
    np.testing.assert_array_equal(same["moving_average"]["mapping"]["w"], old)


def test_mixing_replaces_the_styles_of_the_later_layers(small):
    generator, params, state, latents, apply = small
    own = np.asarray(jax.jit(generator.mapping)(params, state, latents))
    firsts = set()
    for seed in range(12):
        styles = apply(state, latents, jax.random.key(seed))[0].extras["styles"]
        same = [bool(np.allclose(styles[:, layer], own[:, layer], atol=1e-5)) for layer in range(6)]
        first = same.index(False)
        assert first >= 1
        assert same == [True] * first + [False] * (6 - first)
        np.testing.assert_array_equal(styles[:, first:], np.repeat(styles[:, first : first + 1], 6 - first, axis=1))
        firsts.add(first)
    assert len(firsts) > 2


def test_given_styles_make_the_images_of_their_latents(small):
    generator, params, state, latents, _ = small
    run = jax.jit(lambda z: generator.apply(params, state, z, train=False)[0].images)
    np.testing.assert_allclose(run(jax.jit(generator.mapping)(params, state, latents)), run(latents), atol=1e-5)


def test_truncation_moves_styles_to_the_mean(small):
    generator, params, state, latents, _ = small
    mapping = jax.jit(lambda z, psi: generator.mapping(params, state, z, truncation=psi))
    mean = state["moving_average"]["mapping"]["w"]
    np.testing.assert_allclose(mapping(latents, 0.0), np.broadcast_to(mean, (4, 6, 5)), atol=1e-6)
    full = mapping(latents, 1.0)
    np.testing.assert_allclose(mapping(latents, 0.5), (full + mean) / 2, atol=1e-5)


def test_the_multiplier_changes_the_step_and_not_the_output():
    latents = jax.random.normal(jax.random.key(0), (4, 6))
    outputs = {}
    for multiplier in (1.0, 0.01):
        module = MappingNetwork(8, 2, lr_multiplier=multiplier)
        outputs[multiplier], variables = jax.jit(module.init_with_output)(jax.random.key(1), latents)
        assert variables["params"]["fc0"]["dense"]["kernel"].std() == pytest.approx(1 / multiplier, rel=0.3)
    np.testing.assert_allclose(outputs[1.0], outputs[0.01], rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_size": 12}, "the nearest sizes are 16 and 20"),
        ({"image_size": 64, "channel_base": 63}, "channel_base=63 leaves no channels"),
        ({"noise_mode": "fixed"}, "noise_mode must be one of random, const, none"),
        ({"style_mixing": 1.5}, "style_mixing must be between 0 and 1"),
        ({"mapping_layers": 0}, "mapping_layers must be at least 1"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        MODELS["stylegan2"](**options)


def test_styles_of_another_shape_are_refused(small):
    generator, params, state, *_ = small
    with pytest.raises(ValueError, match=r"styles must be \[batch, 6, 5\]"):
        generator.apply(params, state, jnp.zeros((2, 5, 5)), train=False)
