"""Filters with up- and down-sampling, resampled and modulated convolutions, against the authors' code and SciPy."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from gan_jax.nn import conv2d, conv2d_transpose, fir_filter, largest_group, modulated_conv, resampled_conv, upfirdn2d
from gan_jax.nn.resize import filtered_downsample, filtered_upsample

with np.load(Path(__file__).parents[1] / "golden" / "stylegan2_torch.npz") as file:
    GOLDEN = {name: file[name] for name in file.files if name.startswith("upfirdn2d/")}
X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 7, 6)).astype(np.float32).transpose(0, 2, 3, 1))
CASES = {
    "up": (2 * fir_filter([1, 3, 3, 1]), {"up": 2, "padding": ((2, 1), (2, 1))}),
    "down": (fir_filter([1, 3, 3, 1]), {"down": 2, "padding": 1}),
    "both": (fir_filter([1, 2, 4]), {"up": 3, "down": 2, "padding": ((0, 2), (3, -1))}),
    "plane": (fir_filter([[1, 2, 0], [0, 1, 5]]), {"up": 2, "down": 3, "padding": ((1, 3), (2, 2))}),
    "flipped": (fir_filter([1, 2, 4, 5, 0.5]), {"padding": 2, "flip": True}),
}


@pytest.mark.parametrize("name", CASES)
def test_upfirdn2d_and_its_derivative_equal_the_authors_code(name):
    taps, options = CASES[name]
    expected = GOLDEN[f"upfirdn2d/{name}/output"]
    # The script multiplies the output as [batch, channels, height, width] by the sine of the index.
    batch, height, width, count = expected.shape
    factors = np.sin(np.arange(expected.size, dtype=np.float32)).reshape(batch, count, height, width).transpose(0, 2, 3, 1)

    @jax.jit
    def run(x):
        y = upfirdn2d(x, taps, **options)
        return jnp.sum(y * factors), y

    gradient, y = jax.grad(run, has_aux=True)(X)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(gradient, GOLDEN[f"upfirdn2d/{name}/gradient"].reshape(X.shape), atol=1e-5)


@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 3), (3, 2)])
def test_one_axis_equals_scipy(up, down):
    taps = np.array([1.0, -2.0, 0.5, 3.0, 0.25])
    row = np.asarray(X)[:1, :1, :, :1]
    full = signal.upfirdn(taps, row.ravel(), up=up, down=down)
    # SciPy's output starts before the image, and ends with the last pixel that is not an inserted zero.
    y = upfirdn2d(jnp.asarray(row), np.array([taps]), up=1 if up == 1 else up, down=down, padding=((0, 0), (4, 4 - (up - 1))))[0, 0, :, 0]
    np.testing.assert_allclose(y[: len(full)], full, atol=1e-5)


def test_the_filter_1331_is_that_of_filtered_resampling():
    taps, x = fir_filter([1, 3, 3, 1]), jnp.asarray(np.random.default_rng(1).normal(size=(2, 6, 6, 3)).astype(np.float32))
    np.testing.assert_allclose(upfirdn2d(x, 2 * taps, up=2, padding=((2, 1), (2, 1))), filtered_upsample(x), atol=1e-6)
    np.testing.assert_allclose(upfirdn2d(x, taps, down=2, padding=1), filtered_downsample(x), atol=1e-6)


def test_functional_convolutions_equal_scipy():
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(1, 5, 6, 2)), rng.normal(size=(3, 3, 2, 1))
    stretched = np.zeros((9, 11, 2))
    stretched[::2, ::2] = x[0]
    plain = sum(signal.correlate2d(x[0, ..., c], kernel[..., c, 0], "same") for c in range(2))
    transposed = sum(signal.convolve2d(stretched[..., c], kernel[..., c, 0], "full") for c in range(2))
    x, kernel = jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32)
    for form in ("auto", "lax"):
        np.testing.assert_allclose(conv2d(x, kernel, padding=1, form=form)[0, ..., 0], plain, atol=1e-5)
        np.testing.assert_allclose(conv2d(x, kernel, stride=2, padding=1, form=form)[0, ..., 0], plain[::2, ::2], atol=1e-5)
        np.testing.assert_allclose(conv2d_transpose(x, kernel, stride=2, form=form)[0, ..., 0], transposed, atol=1e-5)


def test_modulation_is_one_kernel_per_example():
    rng = np.random.default_rng(0)
    x, kernel, styles = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((3, 4, 4, 5), (3, 3, 5, 2), (3, 5)))
    modulated, plain = jax.jit(lambda *given: modulated_conv(*given, up=2)), jax.jit(lambda *given: resampled_conv(*given, up=2))
    y = modulated(x, kernel, styles)
    for example in range(3):
        own = np.asarray(kernel) * np.asarray(styles)[example][:, None]
        own = own / np.sqrt(np.square(own).sum(axis=(0, 1, 2)) + 1e-8)
        np.testing.assert_allclose(y[example], plain(x[example : example + 1], own)[0], atol=1e-5)
    # Demodulated, the size of the styles and of the kernel does not matter.
    np.testing.assert_allclose(modulated(x, 7 * kernel, 3 * styles), y, atol=1e-5)


def test_pre_normalisation_keeps_low_precision_finite():
    rng = np.random.default_rng(0)
    x, kernel, styles = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((2, 4, 4, 5), (3, 3, 5, 2), (2, 5)))
    plain = jax.jit(modulated_conv)(x, kernel, styles)
    half = jax.jit(modulated_conv)(x.astype(jnp.float16), 1e3 * kernel, 1e3 * styles)
    assert half.dtype == jnp.float16
    np.testing.assert_allclose(half, plain, atol=0.02)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: upfirdn2d(X[0], [1, 1]), "x must have 4 dimensions"),
        (lambda: upfirdn2d(X, [1, 1], up=0), "up and down must be at least 1"),
        (lambda: upfirdn2d(X, np.ones((1, 1, 1))), "taps must be of shape"),
        (lambda: upfirdn2d(X, np.ones(9)), "larger than the padded image"),
        (lambda: fir_filter([1, -1]), "must not add up to 0"),
        (lambda: resampled_conv(X, jnp.zeros((2, 2, 3, 1))), "odd sides"),
        (lambda: resampled_conv(X, jnp.zeros((3, 3, 3, 1)), up=2, down=2), "up or down must be 1"),
        (lambda: modulated_conv(X, jnp.zeros((3, 3, 3, 1)), jnp.zeros((2, 4))), r"styles must be \[batch, channels\] = \(2, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_the_largest_group_divides_the_batch():
    assert [largest_group(batch, 4) for batch in (1, 3, 4, 6, 7, 8)] == [1, 3, 4, 3, 1, 4]
