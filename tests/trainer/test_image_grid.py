"""Grids, PNG files and animations."""

import numpy as np
import pytest
from PIL import Image

from gan_jax.trainer.image_grid import (
    REAL_GREY,
    image_grid,
    load_png,
    png_shape,
    save_gif,
    save_png,
    scatter,
    spread,
    to_uint8,
    wrapped_grid,
)


def test_values_become_bytes():
    # round(127.5 (x + 1)) by hand: -1 -> 0, -0.5 -> 63.75 -> 64, 0 -> 127.5 -> 128 (to even), 0.5 -> 191.25 -> 191, 1 -> 255.
    values = np.array([-1.0, -0.5, 0.0, 0.5, 1.0, 2.0, -7.0, np.nan, np.inf, -np.inf])
    np.testing.assert_array_equal(to_uint8(values), [0, 64, 128, 191, 255, 255, 0, 0, 255, 0])
    with pytest.raises(TypeError, match="int32"):
        to_uint8(np.zeros(3, np.int32))


def test_grid_places_each_image_where_a_reader_expects_it():
    images = np.arange(1, 7, dtype=np.uint8)[:, None, None, None] * np.ones((6, 2, 3, 1), np.uint8)
    grid = image_grid(images, rows=2, cols=3, padding=1)
    # Worked by hand for two rows of height 2, three columns of width 3 and a margin of 1.
    expected = np.full((7, 13), 255)
    for index, (top, left) in enumerate([(1, 1), (1, 5), (1, 9), (4, 1), (4, 5), (4, 9)]):
        expected[top : top + 2, left : left + 3] = index + 1
    np.testing.assert_array_equal(grid[..., 0], expected)


def test_grid_shape_follows_from_what_is_given():
    images = np.zeros((5, 4, 4, 3), np.float32)
    assert image_grid(images, padding=0).shape == (8, 12, 3)
    assert image_grid(images, rows=5, padding=0).shape == (20, 4, 3)
    assert image_grid(images, cols=5, padding=0).shape == (4, 20, 3)
    assert image_grid(images, rows=1, cols=2, padding=0).shape == (4, 8, 3)
    assert image_grid(images, padding=0)[4:, 8:].min() == 255  # The cell without an image.
    assert image_grid(images[..., 0], padding=0).shape == (8, 12, 1)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((2, 2), {}, "got \\(2, 2\\)"),
        ((3, 4, 4, 2), {}, "got \\(3, 4, 4, 2\\)"),
        ((0, 4, 4, 1), {}, "none of them 0"),
        ((2, 4, 4, 1), {"rows": 0}, "at least 1"),
        ((2, 4, 4, 1), {"padding": -1}, "padding"),
        ((2, 4, 4, 1), {"background": 256}, "background"),
    ],
)
def test_invalid_grids_fail(shape, options, message):
    with pytest.raises(ValueError, match=message):
        image_grid(np.zeros(shape), **options)


@pytest.mark.parametrize("channels", [1, 3])
def test_png_keeps_every_pixel(tmp_path, channels):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, channels), np.uint8)
    save_png(tmp_path / "new" / "image.png", image, scale=2)
    loaded = np.array(Image.open(tmp_path / "new" / "image.png"))
    np.testing.assert_array_equal(loaded.reshape(10, 14, channels)[::2, ::2], image)
    np.testing.assert_array_equal(loaded.reshape(10, 14, channels)[1::2, 1::2], image)
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["image.png"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    save_png(tmp_path / "image.png", np.zeros((4, 4, 1)))
    before = (tmp_path / "image.png").read_bytes()

    def full(self, target, **options):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space"):
        save_png(tmp_path / "image.png", np.ones((4, 4, 1)))
    assert (tmp_path / "image.png").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_gif_has_the_frames_in_order_and_a_bounded_number(tmp_path):
    frames = [np.full((6, 6, 1), value, np.uint8) for value in range(0, 200, 2)]
    assert save_gif(tmp_path / "a.gif", frames, max_frames=10) == 10
    with Image.open(tmp_path / "a.gif") as gif:
        values = []
        for index in range(gif.n_frames):
            gif.seek(index)
            values.append(int(np.array(gif.convert("L"))[3, 3]))
            assert gif.info["duration"] == (1500 if index == 9 else 150)
        assert gif.info["loop"] == 0
    assert values == [2 * index for index in spread(100, 10)]
    assert values[0] == 0
    assert values[-1] == 198


def test_labels_are_drawn_under_the_frames(tmp_path):
    frames = [np.full((20, 60, 3), value, np.uint8) for value in (10, 200)]
    save_gif(tmp_path / "a.gif", frames, labels=["step 1", "step 20"])
    with Image.open(tmp_path / "a.gif") as gif:
        picture = np.array(gif.convert("L"))
    assert picture.shape == (34, 60)
    assert picture[20:].min() < 60 < 200 < picture[20:].max()


def test_invalid_animations_fail(tmp_path):
    with pytest.raises(ValueError, match="none"):
        save_gif(tmp_path / "a.gif", [])
    with pytest.raises(ValueError, match="one shape"):
        save_gif(tmp_path / "a.gif", [np.zeros((2, 2, 1)), np.zeros((3, 2, 1))])
    with pytest.raises(ValueError, match="2 and 1"):
        save_gif(tmp_path / "a.gif", [np.zeros((2, 2, 1))], labels=["a", "b"])
    with pytest.raises(ValueError, match="at least 2"):
        spread(5, 1)
    assert not (tmp_path / "a.gif").exists()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_shape_of_a_file_is_that_of_its_pixels(tmp_path, channels):
    save_png(tmp_path / "image.png", np.zeros((5, 7, channels), np.uint8))
    assert png_shape(tmp_path / "image.png") == load_png(tmp_path / "image.png").shape == (5, 7, channels)
    Image.new("RGBA", (7, 5)).save(tmp_path / "image.png")
    assert png_shape(tmp_path / "image.png") == load_png(tmp_path / "image.png").shape == (5, 7, 3)


def test_points_lie_where_the_bounds_put_them():
    # Pixel 50 of 101 is the middle. With bounds 2 the point (1, -1) is half way to the right edge and half way to the lower edge.
    picture = scatter(np.array([[0.0, 0.0], [1.0, -1.0], [3.0, 0.0]]), size=101, bounds=2.0)[..., 0]
    expected = np.full((101, 101), 255)
    for row, column in ((50, 50), (75, 75)):
        expected[row - 1 : row + 2, column - 1 : column + 2] = 0
    np.testing.assert_array_equal(picture, expected)


def test_real_points_lie_grey_behind_the_samples():
    picture = scatter(np.array([[0.0, 0.0]]), size=101, bounds=2.0, real=np.array([[0.0, 0.04], [-1.0, 0.0]]))[..., 0]
    assert (picture[49:52, 49:52] == 0).all()
    assert (picture[48, 49:52] == REAL_GREY).all()
    assert (picture[49:52, 24:27] == REAL_GREY).all()
    assert ((picture == 255) | (picture == 0) | (picture == REAL_GREY)).all()


def test_long_rows_continue_on_further_lines():
    images = np.arange(14, dtype=np.uint8).reshape(14, 1, 1, 1).repeat(3, axis=1).repeat(4, axis=2)
    # With 21 pixels, three images of 4 and their margins of 2 fit into a line: 2 + 3 * 6 = 20. Two rows of 7 have three lines each.
    grid = wrapped_grid(images, 7, widest=21)
    line, gap = 3 + 2, 8
    assert grid.shape == (2 * (3 * line + 2) + gap, 20, 1)
    np.testing.assert_array_equal(grid[2::line, 2::6, 0][:3], [[0, 1, 2], [3, 4, 5], [6, 255, 255]])
    second = grid[3 * line + 2 + gap :]
    np.testing.assert_array_equal(second[2::line, 2::6, 0][:3], [[7, 8, 9], [10, 11, 12], [13, 255, 255]])
    np.testing.assert_array_equal(wrapped_grid(images, 7, widest=100), image_grid(images, cols=7))
    assert wrapped_grid(images, 7, widest=1).shape[1] == 8


def test_spread_takes_first_and_last():
    assert spread(3, 10) == [0, 1, 2]
    assert spread(11, 3) == [0, 5, 10]
    for count in range(2, 60):
        chosen = spread(count, 7)
        assert chosen[0] == 0
        assert chosen[-1] == count - 1
        assert chosen == sorted(set(chosen))
