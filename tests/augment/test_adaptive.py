"""Adaptive augmentation: the controller, the warp against PyTorch, colours against SciPy and NumPy, exact moves."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gan_jax.augment import adaptive, adaptive_augment, color, corruption, geometry

RNG = jax.random.key(0)
GOLDEN = np.load(pathlib.Path(__file__).parents[1] / "golden" / "inputs_torch.npz")
AUTHORS = np.load(pathlib.Path(__file__).parents[1] / "golden" / "augment_ada_torch.npz")


# -- the controller ------------------------------------------------------------------------------------------------


def run(transform, batches, state=None):
    state = transform.init() if state is None else state
    for logits in batches:
        state = transform.update(state, jnp.asarray(logits, jnp.float32), -jnp.ones(len(logits)))
    return state


def test_the_probability_and_the_measure_are_metrics():
    transform = adaptive_augment(0.6, interval=1, images_to_full=1000, initial_probability=0.5)
    found = transform.metrics(run(transform, [np.ones(10)]), jnp.int32(0))
    assert {name: float(value) for name, value in found.items()} == {"augment/probability": pytest.approx(0.51), "augment/overfitting": 1.0}
    scheduled = adaptive_augment(0.6, schedule=lambda step: step / 4.0)
    assert {name: float(value) for name, value in scheduled.metrics(scheduled.init(), jnp.int32(1)).items()} == {
        "augment/probability": 0.25
    }


def test_probability_moves_towards_the_target_every_interval():
    transform = adaptive_augment(0.6, interval=4, images_to_full=1000, initial_probability=0.5)
    sure, unsure = np.ones(10), np.array([1.0] * 7 + [-1.0] * 3)  # mean signs 1 and 0.4
    assert float(run(transform, [sure] * 3).probability) == 0.5  # not yet
    up = run(transform, [sure] * 4)
    assert float(up.probability) == pytest.approx(0.54)  # 4 batches of 10 of 1000
    assert float(up.overfitting) == 1.0
    down = run(transform, [unsure] * 4)
    assert float(down.probability) == pytest.approx(0.46)
    assert float(down.overfitting) == pytest.approx(0.4)
    # 0.7 on average over the interval, though the last batch is unsure; only signs count.
    assert float(run(transform, [100 * sure, sure, unsure, unsure]).probability) == pytest.approx(0.54)
    assert float(run(transform, [unsure] * 4, up).probability) == pytest.approx(0.5)  # sums start afresh


def test_probability_stays_in_its_bounds():
    transform = adaptive_augment(interval=1, images_to_full=30, max_probability=0.8)
    assert float(run(transform, [np.ones(10)] * 9).probability) == pytest.approx(0.8)
    assert float(run(transform, [-np.ones(10)] * 3).probability) == 0.0


def test_controllers_of_devices_agree_with_one_of_the_whole_batch():
    logits = jax.random.normal(RNG, (8,)) + 0.3
    together = adaptive_augment(interval=1, axis_name="device")
    parts = jax.vmap(lambda x: together.update(together.init(), x, x), axis_name="device")(logits.reshape(2, 4))
    whole = run(adaptive_augment(interval=1), [logits])
    for part, value in zip(parts, whole):
        np.testing.assert_allclose(part, np.full(2, value), rtol=1e-6)


def test_probability_0_changes_no_byte():
    images = jax.random.normal(RNG, (4, 9, 8, 3))
    transform = adaptive_augment(operations=",".join(adaptive.OPERATIONS))
    seen = jax.jit(transform.apply)(images, transform.init(), RNG, 0)
    assert np.asarray(seen).tobytes() == np.asarray(images).tobytes()


@pytest.mark.slow
def test_each_operation_alone_and_the_share_of_touched_examples():
    images = jax.random.normal(RNG, (400, 6, 6, 3))
    # Chances to stay as one is at p = 0.5. blit: flips and turns are drawn from all cases, of which one is neutral, and a
    # shift of up to 0.75 pixels rounds to 0 with 2/3 in each direction.
    stays = {
        "blit": (1 - 0.5 / 2) * (1 - 0.5 * 3 / 4) * (1 - 0.5 * (1 - 4 / 9)),
        "geometry": 0.5**4,  # scale, rotations together, anisotropy, translation
        "color": 0.5**4 * (1 - 0.5 / 2),
        "filter": 0.5**4,  # four bands
        "noise": 0.5,
        "cutout": 0.5,
    }
    for name, expected in stays.items():
        transform = adaptive_augment(operations=name, initial_probability=0.5)
        seen = jax.jit(transform.apply)(images, transform.init(), RNG, 0)
        untouched = np.asarray((seen == images).all(axis=(1, 2, 3))).mean()
        assert untouched == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 400)), name


@pytest.mark.parametrize(
    ("message", "settings"),
    [
        ("operations must list names from blit, geometry, color, filter, noise, cutout", {"operations": "blit,blur"}),
        (r"target must be in \[-1, 1\]; got 2", {"target": 2.0}),
        (r"initial_probability must be in \[0, 1\]; got -0.1", {"initial_probability": -0.1}),
        ("interval must be at least 1", {"interval": 0}),
    ],
)
def test_settings_that_cannot_be(message, settings):
    with pytest.raises(ValueError, match=message):
        adaptive_augment(**settings)


def test_colour_leaves_the_opacity_and_changes_the_colours_as_without_it():
    images = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (8, 4, 6, 4)), jnp.float32)
    key = jax.random.key(3)
    result = adaptive.augment(images, 1.0, key, operations=("color",))
    np.testing.assert_array_equal(result[..., 3], images[..., 3])
    np.testing.assert_allclose(result[..., :3], adaptive.augment(images[..., :3], 1.0, key, operations=("color",)), rtol=1e-6, atol=1e-6)
    assert np.abs(result[..., :3] - images[..., :3]).max() > 0.1


def test_two_channels_are_refused():
    transform = adaptive_augment()
    with pytest.raises(ValueError, match=r"1, 3 or 4 channels.*\(2, 4, 4, 2\)"):
        jax.eval_shape(lambda: transform.apply(jnp.ones((2, 4, 4, 2)), transform.init(), RNG, 0))


# -- geometry ------------------------------------------------------------------------------------------------------


def test_filter_is_the_symlet():
    """Orthonormal to its even shifts, with six vanishing moments of its high-pass mirror: Daubechies' conditions."""
    taps = np.array(geometry.SYM6)
    for shift in range(6):
        np.testing.assert_allclose((taps[2 * shift :] * taps[: 12 - 2 * shift]).sum(), float(shift == 0), atol=1e-11)
    high = taps[::-1] * (-1.0) ** np.arange(12)
    for moment in range(6):
        assert abs((high * (np.arange(12) / 11) ** moment).sum()) < 1e-9


def test_warp_is_that_of_the_reference():
    images, inverse = GOLDEN["square"].astype(np.float32), GOLDEN["inverse"].astype(np.float32)
    np.testing.assert_allclose(jax.jit(geometry.warp)(images, inverse), GOLDEN["warped"], atol=2e-4)


@pytest.mark.parametrize("shape", [(8, 12), (1, 5), (2, 3)])
def test_resampling_there_and_back_is_the_identity(shape):
    images = jax.random.normal(RNG, (2, *shape, 3))
    almost = jnp.tile(jnp.eye(3), (2, 1, 1)).at[:, 0, 0].set(1 + 1e-7)  # not quite the identity, hence warped
    np.testing.assert_allclose(jax.jit(geometry.warp)(images, almost), images, atol=1e-5)


def test_warp_of_constant_images_is_constant_and_keeps_gradients():
    transforms = geometry.draw_geometry(RNG, 4, 8, 8, 1.0)
    np.testing.assert_allclose(jax.jit(geometry.warp)(jnp.full((4, 8, 8, 1), 0.7), transforms), np.full((4, 8, 8, 1), 0.7), atol=1e-5)
    images = jax.random.normal(RNG, (4, 8, 8, 1))
    # Linear in the images: <warp(x), y> = <x, warp'(y)> for the gradient warp'.
    seen, pull = jax.vjp(jax.jit(lambda images: geometry.warp(images, transforms)), images)
    other = jax.random.normal(jax.random.key(1), seen.shape)
    np.testing.assert_allclose((seen * other).sum(), (images * pull(other)[0]).sum(), rtol=1e-3, atol=1e-3)


def test_blits_are_numpys():
    image = jax.random.normal(RNG, (1, 6, 6, 2))

    def moved(transform):
        return np.asarray(geometry.blit(image, transform[None]))[0]

    picture = np.asarray(image[0])
    np.testing.assert_array_equal(moved(geometry.scale_matrices(-1, 1)), picture[:, ::-1])
    for turn, (cosine, sine) in enumerate([(1, 0), (0, 1), (-1, 0), (0, -1)]):
        # Reading at the place turned from x to y (down): the picture turns the other way, counter-clockwise as np.rot90.
        np.testing.assert_array_equal(moved(geometry.rotation_matrices(cosine, sine)), np.rot90(picture, turn))
    mirrored = np.pad(picture, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(moved(geometry.translation_matrices(2, -1)), mirrored[1:7, 4:10])


def test_drawn_blits_are_all_whole_and_reach_as_far_as_they_may():
    transforms = np.asarray(geometry.draw_blit(RNG, 3000, 16, 32, 1.0))
    assert (transforms == np.round(transforms)).all()
    offsets = np.einsum("bij,bj->bi", np.linalg.inv(transforms[:, :2, :2]), transforms[:, :2, 2])
    assert np.abs(offsets).max(axis=0).tolist() == [4.0, 2.0]  # x: 32 / 8, y: 16 / 8
    determinants = np.linalg.det(transforms[:, :2, :2])
    assert (determinants < 0).mean() == pytest.approx(0.5, abs=0.05)


def test_drawn_geometry_has_the_papers_spreads():
    transforms = np.asarray(geometry.draw_geometry(RNG, 4000, 16, 16, 1.0), np.float64)
    linear = transforms[:, :2, :2]
    singular = np.log2(np.linalg.svd(linear, compute_uv=False))
    # log2 s +- log2 a: the mean of the two is -0.2 n, half their difference 0.2 |n'|.
    assert singular.mean(axis=1).std() == pytest.approx(0.2, rel=0.06)
    assert ((singular[:, 0] - singular[:, 1]) / 2).mean() == pytest.approx(0.2 * np.sqrt(2 / np.pi), rel=0.06)
    shift = np.einsum("bij,bj->bi", np.linalg.inv(linear), transforms[:, :2, 2])
    np.testing.assert_allclose(shift.std(axis=0), np.full(2, 0.125 * 16), rtol=0.06)
    assert (np.linalg.det(linear) > 0).all()


@pytest.mark.slow
def test_blit_and_geometry_are_one_warp_of_the_mirrored_original(monkeypatch):
    """The authors' pipeline composes both into one matrix. A second warp mirrors the border of the image that was already moved."""
    blits, warps = jnp.float32(AUTHORS["blit"]), jnp.float32(AUTHORS["geometry"])
    monkeypatch.setattr(adaptive, "draw_blit", lambda *_: blits)
    monkeypatch.setattr(adaptive, "draw_geometry", lambda *_: warps)
    images = jnp.float32(AUTHORS["images"])
    seen = np.asarray(adaptive.augment(images, 1.0, RNG, operations=("blit", "geometry")))
    np.testing.assert_allclose(seen, AUTHORS["warped"], atol=5e-4)
    twice = np.asarray(geometry.warp(geometry.blit(images, blits), warps))
    assert np.abs(twice - seen).max() > 0.3


# -- corruptions ---------------------------------------------------------------------------------------------------


def test_filter_bank_is_the_authors_and_adds_up_to_the_identity():
    bank = corruption.filter_bank()
    np.testing.assert_allclose(bank, AUTHORS["bank"], atol=1e-7)
    np.testing.assert_allclose(bank.sum(axis=0), np.eye(43)[21], atol=1e-10)


def test_filter_and_cutout_are_the_authors():
    images = jnp.float32(AUTHORS["images"])
    gains = corruption.band_gains(jnp.exp2(jnp.float32(AUTHORS["exponents"])))
    np.testing.assert_allclose(jax.jit(corruption.filter_images)(images, gains), AUTHORS["filtered"], atol=2e-5)
    np.testing.assert_array_equal(corruption.cut(images, jnp.full(3, 0.5), jnp.float32(AUTHORS["centers"])), AUTHORS["cut"])


@pytest.mark.parametrize("shape", [(1, 5), (2, 3), (64, 8)])
def test_filters_keep_constant_images_of_any_size_and_their_power(shape):
    # A constant has only the lowest band, along both axes.
    gains = corruption.band_gains(jnp.array([[2.0, 0.5, 1.0, 1.0], [1.0, 1.0, 3.0, 1.0]]))
    seen = corruption.filter_images(jnp.ones((2, *shape, 1)), gains)
    np.testing.assert_allclose(seen, np.broadcast_to(np.square(gains[:, :1, None, None]), seen.shape), rtol=1e-5)
    # One band after the other: 2 / sqrt(3 * 10 / 13 + 1), then 0.5 / sqrt(1 - 0.75 / 13).
    np.testing.assert_allclose(gains[0, 0], 2 / np.sqrt(43 / 13) / np.sqrt(1 - 0.75 / 13), rtol=1e-6)


def test_noise_is_half_normal_in_its_deviation_and_cutouts_are_of_half_the_size():
    images = jnp.ones((2000, 8, 8, 1))
    noise = np.asarray(corruption.add_noise(images, RNG, 1.0)) - 1
    assert noise.std(axis=(1, 2, 3)).mean() == pytest.approx(0.1 * np.sqrt(2 / np.pi), rel=0.05)
    assert np.sqrt(np.square(noise).mean()) == pytest.approx(0.1, rel=0.06)
    share = 1 - np.asarray(corruption.cut_randomly(images, RNG, 1.0)).mean(axis=(1, 2, 3))
    assert share.max() == pytest.approx(0.25)
    # A centre u in [0, 1] leaves min(u, 1/4) + min(1 - u, 1/4) of a side, 7/16 in the mean.
    assert share.mean() == pytest.approx((7 / 16) ** 2, rel=0.04)


# -- colour --------------------------------------------------------------------------------------------------------


def test_hue_is_a_rotation_about_grey():
    angles = np.array([0.4, -2.0, 2 * np.pi / 3])
    expected = Rotation.from_rotvec(angles[:, None] * np.full(3, 1 / np.sqrt(3))).as_matrix()
    np.testing.assert_allclose(color.hue_matrices(jnp.array(angles))[:, :3, :3], expected, atol=1e-6)


def test_color_matrices_worked_by_hand():
    red = np.array([1.0, 0.0, 0.0, 1.0])

    def of_red(transform):
        return (np.asarray(transform).reshape(4, 4) @ red)[:3]

    np.testing.assert_allclose(of_red(color.brightness_matrices(0.25)), [1.25, 0.25, 0.25])
    np.testing.assert_allclose(of_red(color.contrast_matrices(2.0)), [2, 0, 0])
    np.testing.assert_allclose(of_red(color.luma_flip_matrices(jnp.ones(1))), [1 / 3, -2 / 3, -2 / 3], atol=1e-6)
    np.testing.assert_allclose(of_red(color.luma_flip_matrices(jnp.zeros(1))), [1, 0, 0])
    np.testing.assert_allclose(of_red(color.saturation_matrices(jnp.zeros(1))), [1 / 3] * 3, atol=1e-6)
    np.testing.assert_allclose(of_red(color.saturation_matrices(jnp.array([2.0]))), [5 / 3, -1 / 3, -1 / 3], atol=1e-6)
    np.testing.assert_allclose(of_red(color.hue_matrices(jnp.array([2 * np.pi / 3]))), [0, 1, 0], atol=1e-6)


def test_colors_apply_to_each_pixel_and_grey_takes_the_mean():
    transforms = color.draw_color(RNG, 2, 1.0)
    images = jax.random.normal(RNG, (2, 3, 4, 3))
    seen = np.asarray(color.recolor(images, transforms))
    homogeneous = np.concatenate([images, np.ones((2, 3, 4, 1))], axis=-1)
    np.testing.assert_allclose(seen, np.einsum("bij,bhwj->bhwi", transforms, homogeneous)[..., :3], rtol=1e-5, atol=1e-5)
    grey = np.asarray(color.recolor(images[..., :1], transforms))
    as_color = np.asarray(color.recolor(jnp.tile(images[..., :1], (1, 1, 1, 3)), transforms))
    np.testing.assert_allclose(grey[..., 0], as_color.mean(axis=-1), rtol=1e-4, atol=1e-5)


def test_drawn_brightness_and_contrast_have_the_papers_spreads():
    transforms = np.asarray(color.draw_color(RNG, 4000, 1.0), np.float64)
    grey = np.array([1, 1, 1]) / 3
    gain = np.einsum("i,bij,j->b", grey, transforms[:, :3, :3], np.ones(3))  # +- contrast: hue and saturation leave grey alone
    assert np.log2(np.abs(gain)).std() == pytest.approx(0.5, rel=0.06)
    assert (gain < 0).mean() == pytest.approx(0.5, abs=0.05)  # luma flips
    shift = np.einsum("i,bi->b", grey, transforms[:, :3, 3]) / gain
    assert shift.std() == pytest.approx(0.2, rel=0.06)
