"""What D sees: noise, DiffAugment and packing; external values, identities, gradients, errors."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.augment import AUGMENTATIONS, diff_augment, diffaugment, instance_noise, pack

RNG = jax.random.key(0)
GOLDEN = np.load(pathlib.Path(__file__).parents[1] / "golden" / "inputs_torch.npz")
FACTORIES = {
    "instance_noise": lambda: instance_noise(0.1, 100),
    "diff_augment": diff_augment,
    "adaptive_augment": lambda: AUGMENTATIONS["adaptive_augment"](initial_probability=0.8),
    "pack": lambda: pack(2),
}


def see(transform, images, rng=RNG, step=0):
    return transform.apply(images, transform.init(), rng, jnp.int32(step))


# -- the contract of every row -------------------------------------------------------------------------------------


def test_every_row_has_a_contract():
    assert set(FACTORIES) == set(AUGMENTATIONS)


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_contract(name):
    transform = FACTORIES[name]()
    images = jax.random.normal(RNG, (4, 8, 8, 3))
    state = transform.init()

    @jax.jit
    def play(images, state, rng):
        seen, pull = jax.vjp(lambda images: transform.apply(images, state, rng, jnp.int32(3)), images)
        return seen, pull(jnp.ones_like(seen))[0], transform.update(state, jnp.ones(4), -jnp.ones(4))

    seen, gradient, after = play(images, state, RNG)
    assert seen.shape == ((2, 8, 8, 6) if name == "pack" else images.shape)
    assert seen.dtype == images.dtype
    assert bool(jnp.isfinite(seen).all() & jnp.isfinite(gradient).all())
    assert float(jnp.abs(gradient).sum()) > 0
    np.testing.assert_array_equal(play(images, state, RNG)[0], seen)  # a function of its key
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    assert jax.tree.map(lambda x: x.dtype, after) == jax.tree.map(lambda x: x.dtype, state)
    buffers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state)]
    assert len(set(buffers)) == len(buffers)  # the state can be donated
    with pytest.raises(TypeError, match="images must be floating point; got uint8"):
        see(transform, images.astype(jnp.uint8))
    with pytest.raises(ValueError, match="images must not be empty"):
        see(transform, images[:0])
    points = jnp.ones((4, 2))
    if name in ("instance_noise", "pack"):
        assert see(transform, points).shape == ((2, 4) if name == "pack" else (4, 2))
    else:
        with pytest.raises(ValueError, match=r"images must have 4 dimensions; got shape \(4, 2\)"):
            see(transform, points)


# -- instance noise ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", [0.5, 0.375, 0.25, 0.0, 0.0]),
        ("cosine", [0.5, 0.5 * (1 + np.cos(np.pi / 4)) / 2, 0.25, 0.0, 0.0]),
        ("exponential", [0.5, 0.5 * 0.01**0.25, 0.05, 0.005, 0.5 * 0.01**2]),
        ("constant", [0.5] * 5),
    ],
)
def test_noise_has_the_deviation_of_its_schedule(schedule, expected):
    transform = instance_noise(0.5, 100, schedule)
    noise = jax.jit(lambda step: transform.apply(jnp.zeros((20_000,)), (), RNG, step))
    deviations = [float(noise(jnp.int32(step)).std()) for step in (0, 25, 50, 100, 200)]
    np.testing.assert_allclose(deviations, expected, rtol=0.03, atol=1e-7)


def test_noise_is_gone_at_the_end():
    images = jax.random.normal(RNG, (4, 2))
    np.testing.assert_array_equal(see(instance_noise(0.5, 10), images, step=10), images)
    assert bool((see(instance_noise(0.5, 10), images, step=9) != images).all())


def test_noise_errors():
    with pytest.raises(ValueError, match=r"std must not be negative; got -1"):
        instance_noise(-1.0, 10)
    with pytest.raises(ValueError, match=r"decay_steps must be at least 1 for schedule='linear'; got None"):
        instance_noise(0.1)
    with pytest.raises(ValueError, match=r"schedule must be .*; got 'cubic'"):
        instance_noise(0.1, 10, "cubic")


# -- DiffAugment ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "draws"),
    [
        ("brightness", "shift"),
        ("saturation", "factor"),
        ("contrast", "factor"),
        ("translation", "offsets"),
    ],
)
def test_operations_are_those_of_the_reference(name, draws):
    images = GOLDEN["images"].astype(np.float32)
    seen = jax.jit(getattr(diffaugment, name))(images, GOLDEN[draws].astype(np.int32 if GOLDEN[draws].dtype == np.int64 else np.float32))
    np.testing.assert_allclose(seen, GOLDEN[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("size", "reach"), [(4, 1), (11, 1), (12, 2), (28, 4), (32, 4), (64, 8)])
def test_translation_reaches_an_eighth_to_the_nearest_pixel(size, reach):
    """int(size * 0.125 + 0.5) in the authors' `rand_translation`; an eighth of 28, 3.5, is 4."""
    images = jnp.zeros((2, size, size, 1)).at[:, size // 2, size // 2].set(1.0)
    far = diffaugment.translation(images, jnp.array([[size, -size], [reach, -reach]]))
    np.testing.assert_array_equal(far[0], far[1])  # clamped there, on both sides
    assert far[0, size // 2 - reach, size // 2 + reach, 0] == 1.0
    drawn = np.asarray(see(diff_augment("translation"), jnp.tile(images[:1], (600, 1, 1, 1))))[..., 0]
    rows = drawn.sum(axis=2).argmax(axis=1) - size // 2
    assert {rows.min(), rows.max()} == {-reach, reach}


@pytest.mark.parametrize(("size", "cut"), [(5, 3), (7, 4), (11, 6), (28, 14), (32, 16)])
def test_cutout_is_half_of_the_side_to_the_nearest_pixel(size, cut):
    """int(size * 0.5 + 0.5) in the authors' `rand_cutout`, from the centre - that // 2 on; what lies outside is lost."""
    for center in (0, size // 2, size - 1):
        seen = diffaugment.cutout(jnp.ones((1, size, size, 1)), jnp.array([[center, size // 2]]))[0, :, size // 2, 0]
        expected = [0.0 if center - cut // 2 <= row < center - cut // 2 + cut else 1.0 for row in range(size)]
        np.testing.assert_array_equal(seen, expected)


def test_cutout_by_hand():
    """Rows 0 to 2 and columns 4 to 6 of 5x7, whose halves are 3 and 4: the fourth column is outside."""
    images = jnp.ones((1, 5, 7, 2))
    expected = images.at[:, :3, 4:].set(0.0)
    np.testing.assert_array_equal(diffaugment.cutout(images, jnp.array([[1, 6]])), expected)


def test_neutral_draws_are_the_identity():
    images = jax.random.normal(RNG, (2, 16, 16, 3))
    np.testing.assert_array_equal(diffaugment.brightness(images, jnp.zeros(2)), images)
    np.testing.assert_allclose(diffaugment.saturation(images, jnp.ones(2)), images, atol=1e-6)
    np.testing.assert_allclose(diffaugment.contrast(images, jnp.ones(2)), images, atol=1e-6)
    np.testing.assert_array_equal(diffaugment.translation(images, jnp.zeros((2, 2), jnp.int32)), images)
    np.testing.assert_array_equal(see(diff_augment(""), images), images)


def test_color_draws_span_their_ranges():
    """On a picture of two greys, mean and contrast tell the brightness and the factor."""
    images = jnp.tile(jnp.array([-1.0, 1.0])[None, None, :, None], (5000, 2, 1, 3))
    seen = np.asarray(see(diff_augment("color"), images))
    shift, factor = seen.mean(axis=(1, 2, 3)), (seen[:, 0, 1, 0] - seen[:, 0, 0, 0]) / 2
    for values, low, high in ((shift, -0.5, 0.5), (factor, 0.5, 1.5)):
        assert low <= values.min() < low + 0.01
        assert high - 0.01 < values.max() <= high + 1e-5
        assert values.mean() == pytest.approx((low + high) / 2, abs=5 / np.sqrt(12 * 5000))
    # A saturated picture: the spread over channels scales by U(0, 2) times contrast.
    colored = jnp.tile(jnp.array([-1.0, 0.0, 1.0]), (5000, 2, 2, 1))
    seen = np.asarray(see(diff_augment("color"), colored))
    product = (seen[:, 0, 0, 2] - seen[:, 0, 0, 0]) / 2
    assert product.mean() == pytest.approx(1.0, abs=0.05)
    assert 2.4 < product.max() <= 3.0


def test_translation_draws_every_offset_equally_often():
    images = jnp.zeros((9000, 16, 8, 1)).at[:, 8, 4].set(1.0)  # offsets from (-2, -1) to (2, 1)
    seen = np.asarray(see(diff_augment("translation"), images))[..., 0]
    place = seen.reshape(9000, -1).argmax(axis=1)
    rows, columns = place // 8 - 8, place % 8 - 4
    assert seen.sum() == 9000
    counts = np.array([[((rows == dy) & (columns == dx)).sum() for dx in (-1, 0, 1)] for dy in (-2, -1, 0, 1, 2)])
    assert counts.sum() == 9000
    np.testing.assert_allclose(counts / 9000, np.full((5, 3), 1 / 15), atol=5 * np.sqrt(1 / 15 / 9000))


def test_cutout_covers_both_borders_equally_often():
    seen = np.asarray(see(diff_augment("cutout"), jnp.ones((4000, 8, 8, 1))))[..., 0]
    cut = 1 - seen.mean(axis=0)
    # Centres 0 ... 8, sizes of 4: each row is cut by 4 of the 9 centres, the first and the last by 3.
    rows = np.array([3, 4, 4, 4, 4, 4, 4, 3]) / 9
    np.testing.assert_allclose(cut, np.outer(rows, rows), atol=5 * 0.4 / np.sqrt(4000))


def test_gradient_reaches_only_what_is_seen():
    images = jax.random.normal(RNG, (3, 8, 8, 1))
    transform = diff_augment("translation,cutout")
    gradient = jax.grad(lambda images: see(transform, images).sum())(images)
    assert set(np.unique(gradient)) == {0.0, 1.0}
    seen = np.asarray(see(transform, images))
    assert float(gradient.sum()) == (seen != 0).sum()


def test_unknown_policy_is_refused():
    with pytest.raises(ValueError, match=r"policy must list names from color, translation, cutout.*got 'colour'"):
        diff_augment("translation,colour")


# -- packing -------------------------------------------------------------------------------------------------------


def test_color_keeps_the_opacity():
    images = jax.random.uniform(jax.random.key(1), (6, 4, 6, 4), minval=-1.0)
    seen = see(diff_augment("color"), images)
    np.testing.assert_array_equal(seen[..., 3], images[..., 3])
    np.testing.assert_array_equal(seen[..., :3], see(diff_augment("color"), images[..., :3]))


def test_packing_joins_neighbours_along_the_channels():
    images = jax.random.normal(RNG, (6, 4, 5, 3))
    packs = see(pack(3), images)
    assert packs.shape == (2, 4, 5, 9)
    np.testing.assert_array_equal(packs[1], np.concatenate([images[3], images[4], images[5]], axis=-1))
    points = jnp.arange(8.0).reshape(4, 2)
    np.testing.assert_array_equal(see(pack(2), points), [[0, 1, 2, 3], [4, 5, 6, 7]])


def test_packs_of_one_are_the_plain_images():
    images = jax.random.normal(RNG, (3, 4, 4, 3))
    assert see(pack(1), images) is images


def test_packing_errors():
    with pytest.raises(ValueError, match="m must be at least 1; got 0"):
        pack(0)
    with pytest.raises(ValueError, match=r"multiple of m = 3; got \(4, 8, 8, 1\)"):
        see(pack(3), jnp.ones((4, 8, 8, 1)))
