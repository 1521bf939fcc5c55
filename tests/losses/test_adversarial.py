"""Adversarial losses against PyTorch, by their invariances, in extremes, and one contract over every row of the table."""

import json
import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import losses
from gan_jax.losses import ADVERSARIAL, COUPLES_EXAMPLES, RELATIVISTIC, TAKES_TARGETS

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden" / "losses_torch.json").read_text())
ROWS = sorted(ADVERSARIAL)
HALVES = [(row, player) for row in ROWS for player in ("discriminator", "generator")]


def by_both(row: str, player: str):
    """The loss as a function of (real_logits, fake_logits), whichever order the half takes."""
    loss = getattr(ADVERSARIAL[row], player)
    return loss if player == "discriminator" else lambda real, fake: loss(fake, real)


def logits(seed: int, shape=(7,), dtype=jnp.float32):
    return tuple(2 * jax.random.normal(key, shape, dtype) for key in jax.random.split(jax.random.key(seed)))


# -- external values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("row", "player"), HALVES)
def test_values_gradients_and_hessian_products_of_pytorch(row, player):
    golden, function = GOLDEN["adversarial"][row][player], by_both(row, player)
    with jax.enable_x64(True):
        real, fake = jnp.array(GOLDEN["real_logits"]), jnp.array(GOLDEN["fake_logits"])
        vector = jnp.arange(1.0, real.size + 1)
        total = jax.grad(lambda real, fake: function(real, fake).sum(), argnums=(0, 1))
        gradients, products = jax.jvp(total, (real, fake), (vector, vector))
        np.testing.assert_allclose(function(real, fake), golden["value"], rtol=1e-12, atol=1e-12)
        for kind, gradient, product in zip(("real", "fake"), gradients, products):
            np.testing.assert_allclose(gradient, golden[f"{kind}_gradient"], rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(product, golden[f"{kind}_hvp"], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("row", "key"), [("non_saturating", "soft_cross_entropy"), ("least_squares", "soft_least_squares")])
def test_soft_targets_of_pytorch(row, key):
    with jax.enable_x64(True):
        real, fake, *targets = (jnp.array(GOLDEN[name]) for name in ("real_logits", "fake_logits", "soft_real", "soft_fake"))
        values = ADVERSARIAL[row].discriminator(real, fake, real_target=targets[0], fake_target=targets[1])
        np.testing.assert_allclose(values, GOLDEN[key], rtol=1e-12)


def test_values_worked_by_hand():
    zero, log2 = jnp.zeros(1), np.log(2)
    assert losses.minimax_discriminator_loss(zero, zero)[0] == pytest.approx(2 * log2)
    assert losses.minimax_generator_loss(zero)[0] == pytest.approx(-log2)
    assert losses.non_saturating_generator_loss(zero)[0] == pytest.approx(log2)
    assert losses.relativistic_discriminator_loss(zero, zero)[0] == pytest.approx(log2)
    # (3 - 1)^2 / 2 + (2 + 1)^2 / 2 with the targets b = 1, a = -1; (2 - 0)^2 / 2 with c = 0.
    three, two = jnp.array([3.0]), jnp.array([2.0])
    assert losses.least_squares_discriminator_loss(three, two, real_target=1.0, fake_target=-1.0)[0] == 6.5
    assert losses.least_squares_generator_loss(two, real_target=0.0)[0] == 2.0
    assert losses.minimax_generator_loss(two, fake_target=0.3)[0] == pytest.approx(-(np.log1p(np.exp(2)) - 0.3 * 2))
    # reals (1, 3) and fakes (0, 2): means 2 and 1; D's terms (1 - 1 - 1)^2 / 2 + (2 - 0 - 1)^2 / 2 and (3 - 2)^2 / 2 + 1 / 2.
    real, fake = jnp.array([1.0, 3.0]), jnp.array([0.0, 2.0])
    values = ADVERSARIAL["relativistic_average_least_squares"].discriminator(real, fake)
    np.testing.assert_allclose(values, [0.5 + 0.5, 0.5 + 0.5])


def test_relativistic_bases():
    real, fake = jnp.array([0.5, 3.0]), jnp.array([0.0, 1.0])  # y = 0.5 and 2
    squares = losses.relativistic_discriminator_loss(real, fake, base="least_squares")
    np.testing.assert_allclose(squares, [0.125, 0.5])
    np.testing.assert_allclose(losses.relativistic_discriminator_loss(real, fake, base="hinge"), [0.5, 0.0])
    np.testing.assert_allclose(losses.relativistic_generator_loss(fake, real, base="hinge"), [1.5, 3.0])


# -- invariances and equalities --------------------------------------------------------------------------------


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("row", ROWS)
def test_only_relativistic_losses_ignore_a_constant_shift(row, player):
    real, fake = logits(1)
    values, shifted = by_both(row, player)(real, fake), by_both(row, player)(real + 4.0, fake + 4.0)
    # The Wasserstein critic's own loss is a difference, hence shift-invariant as well.
    unmoved = row in RELATIVISTIC or (row, player) == ("wasserstein", "discriminator")
    assert bool(jnp.allclose(values, shifted, atol=1e-4)) == unmoved


def test_flipped_labels_for_the_generator_are_the_non_saturating_loss():
    """Row label-4 equals row loss-2: D's own loss with real = fake and fake = real, as a function of the fakes."""
    real, fake = logits(2)

    def flipped(fake):
        return losses.minimax_discriminator_loss(real, fake, real_target=0.0, fake_target=1.0).sum()

    def plain(fake):
        return losses.non_saturating_generator_loss(fake).sum()

    np.testing.assert_allclose(jax.grad(flipped)(fake), jax.grad(plain)(fake), rtol=1e-6)
    constant = flipped(fake) - plain(fake)
    np.testing.assert_allclose(flipped(fake + 1.5) - plain(fake + 1.5), constant, rtol=1e-5)


def test_hinge_is_wasserstein_inside_the_margin():
    real, fake = (jnp.tanh(x) * 0.99 for x in logits(3))
    np.testing.assert_allclose(
        losses.hinge_discriminator_loss(real, fake), losses.wasserstein_discriminator_loss(real, fake) + 2, rtol=1e-6
    )
    assert losses.hinge_discriminator_loss(jnp.array([1.5]), jnp.array([-2.0]))[0] == 0.0


def test_minimax_players_sum_to_what_the_reals_say():
    """Zero sum: D's loss plus G's is D's term of the reals, which G cannot change."""
    real, fake = logits(4)
    total = losses.minimax_discriminator_loss(real, fake) + losses.minimax_generator_loss(fake)
    np.testing.assert_allclose(total, jnp.log1p(jnp.exp(-real)), rtol=1e-4)


@pytest.mark.parametrize("row", sorted(RELATIVISTIC))
def test_relativistic_players_exchange_real_and_fake(row):
    real, fake = logits(5)
    np.testing.assert_array_equal(ADVERSARIAL[row].generator(fake, real), ADVERSARIAL[row].discriminator(fake, real))


def test_relativistic_average_over_devices_is_that_of_the_whole_batch():
    real, fake = logits(6, (8,))
    for row in sorted(COUPLES_EXAMPLES):
        for player in ("discriminator", "generator"):
            loss = getattr(ADVERSARIAL[row], player)
            arguments = (real, fake) if player == "discriminator" else (fake, real)
            parts = jax.vmap(partial(loss, axis_name="device"), axis_name="device")(*(x.reshape(2, 4) for x in arguments))
            np.testing.assert_allclose(parts.reshape(8), loss(*arguments), rtol=1e-5, atol=1e-6)


# -- weights and targets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("row", "player"), HALVES)
def test_weights_multiply_the_examples_of_a_patch_map(row, player):
    real, fake = logits(7, (3, 3, 3))  # batch = height: NumPy's broadcasting would weigh columns
    weights = jnp.array([0.0, 1.0, 2.5])
    function = getattr(ADVERSARIAL[row], player)
    arguments = (real, fake) if player == "discriminator" else (fake, real)
    np.testing.assert_allclose(function(*arguments, weights=weights), function(*arguments) * weights[:, None, None], rtol=1e-6)


@pytest.mark.parametrize("row", sorted(set(ROWS) - {"relativistic"}))
def test_a_pair_of_weights_weighs_real_and_fake_apart(row):
    real, fake = logits(8)
    loss = ADVERSARIAL[row].discriminator
    real_only, fake_only = loss(real, fake, weights=(1.0, 0.0)), loss(real, fake, weights=(0.0, 1.0))
    np.testing.assert_allclose(real_only + fake_only, loss(real, fake), rtol=1e-5)
    if row not in COUPLES_EXAMPLES:
        np.testing.assert_allclose(real_only, loss(real, fake + 1, weights=(1.0, 0.0)))
        np.testing.assert_allclose(fake_only, loss(real + 1, fake, weights=(0.0, 1.0)))


@pytest.mark.parametrize("row", sorted(TAKES_TARGETS))
def test_targets_are_per_example(row):
    real, fake = logits(9, (4, 4))
    targets = jnp.array([0.7, 0.9, 1.0, 1.2])
    values = ADVERSARIAL[row].discriminator(real, fake, real_target=targets, fake_target=0.1)
    for index in range(4):
        alone = ADVERSARIAL[row].discriminator(real[index], fake[index], real_target=float(targets[index]), fake_target=0.1)
        np.testing.assert_allclose(values[index], alone, rtol=1e-6)


# -- derivatives and extremes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("row", "player"), HALVES)
def test_derivatives_against_finite_differences(row, player):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        point, direction = jnp.array(rng.normal(size=(2, 5)) * 2), jnp.array(rng.normal(size=(2, 5)))
        weights = jnp.array(rng.normal(size=5))  # so that errors cannot cancel in a plain sum

        def total(x):
            return (by_both(row, player)(x[0], x[1]) * weights).sum()

        step = 1e-5
        difference = (total(point + step * direction) - total(point - step * direction)) / (2 * step)
        slope = jax.grad(total)
        np.testing.assert_allclose((slope(point) * direction).sum(), difference, rtol=1e-6, atol=1e-8)
        expected = (slope(point + step * direction) - slope(point - step * direction)) / (2 * step)
        np.testing.assert_allclose(jax.jvp(slope, (point,), (direction,))[1], expected, rtol=1e-5, atol=1e-8)


EXTREMES = [-1e4, -100.0, -17.0, -1.0, 0.0, 1.0, 17.0, 100.0, 1e4]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize(("row", "player"), HALVES)
def test_extremes_are_exact(row, player, dtype):
    function = by_both(row, player)

    def derivatives(real, fake):
        slope = jax.grad(lambda fake: function(real, fake).sum())
        return function(real, fake), slope(fake), jax.jvp(slope, (fake,), (jnp.ones_like(fake),))[1]

    narrow = [jnp.array(x, dtype) for x in (EXTREMES, EXTREMES[::-1])]
    with jax.enable_x64(True):  # the same rounded logits
        expected = [np.asarray(x) for x in derivatives(*(jnp.asarray(np.asarray(x, np.float64)) for x in narrow))]
    value, gradient, second = derivatives(*narrow)
    assert value.dtype == jnp.float32
    assert gradient.dtype == second.dtype == dtype
    np.testing.assert_allclose(value, expected[0], rtol=1e-5, atol=1e-30)
    places = float(jnp.finfo(dtype).eps)
    for got, want in zip((gradient, second), expected[1:]):
        np.testing.assert_allclose(np.asarray(got, np.float64), want, rtol=8 * places, atol=8 * places)


def test_second_derivative_keeps_its_digits_for_a_sure_discriminator():
    """s (1 - s) at 17 is 4.14e-8, worked with NumPy in float64; a float32 s is 1 there."""
    curvature = jax.grad(jax.grad(lambda x: losses.non_saturating_generator_loss(x)))(jnp.float32(17.0))
    s = 1 / (1 + np.exp(-17.0))
    assert float(curvature) == pytest.approx(s * (1 - s), rel=1e-5)


# -- the contract of every row -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 3, 3), ()])
@pytest.mark.parametrize(("row", "player"), HALVES)
def test_contract_of_shapes_and_transformations(row, player, shape):
    real, fake = logits(10, shape)
    function = by_both(row, player)
    values = jax.jit(function)(real, fake)
    assert values.shape == shape
    assert values.dtype == jnp.float32
    slope = jax.grad(lambda real, fake: function(real, fake).sum(), argnums=(0, 1))
    gradients, second = jax.jvp(slope, (real, fake), (jnp.ones(shape), jnp.ones(shape)))
    for gradient in (*gradients, *second):
        assert gradient.shape == shape
        assert bool(jnp.isfinite(gradient).all())
    batched = jax.vmap(function)(jnp.stack([real, fake]), jnp.stack([fake, real]))
    np.testing.assert_allclose(batched, jnp.stack([function(real, fake), function(fake, real)]), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("row", "player"), HALVES)
def test_contract_of_independence(row, player):
    """No example influences another's value, except in the rows that say so."""
    real, fake = logits(11, (4,))
    jacobians = jax.jacobian(by_both(row, player), argnums=(0, 1))(real, fake)
    crossed = sum(float(jnp.abs(jacobian - jnp.diag(jnp.diag(jacobian))).sum()) for jacobian in jacobians)
    assert (crossed > 0) == (row in COUPLES_EXAMPLES)


@pytest.mark.parametrize(("row", "player"), HALVES)
def test_contract_of_errors(row, player):
    function = by_both(row, player)
    with pytest.raises(TypeError, match=r"must be floating point; got int32"):
        function(jnp.arange(3), jnp.arange(3))
    with pytest.raises(ValueError, match=r"must not be empty; got shape \(0,\)"):
        function(jnp.zeros(0), jnp.zeros(0))
    weighed = getattr(ADVERSARIAL[row], player)
    with pytest.raises(ValueError, match=r"match the leading axes of the logits' shape \(3,\); got \(2,\)"):
        weighed(jnp.zeros(3), jnp.zeros(3), weights=jnp.ones(2))
    if player == "discriminator" or row in RELATIVISTIC:
        with pytest.raises(ValueError, match=r"one shape; got \(3,\) and \(4,\)|one shape; got \(4,\) and \(3,\)"):
            jax.jit(function)(jnp.zeros(3), jnp.zeros(4))
    if player == "generator" and row in RELATIVISTIC:
        with pytest.raises(ValueError, match="real_logits"):
            ADVERSARIAL[row].generator(jnp.zeros(3))
    if row in TAKES_TARGETS:
        # minimax's generator looks at the target of fakes, the others' at the target of reals
        name = "fake_target" if (row, player) == ("minimax", "generator") else "real_target"
        with pytest.raises(ValueError, match=rf"{name} must be a scalar or match"):
            weighed(jnp.zeros(3), jnp.zeros(3), **{name: jnp.ones(2)})


def test_unknown_base_is_refused():
    with pytest.raises(ValueError, match="base must be one of 'logistic', 'least_squares', 'hinge'; got 'cubic'"):
        losses.relativistic_average_discriminator_loss(jnp.zeros(2), jnp.zeros(2), base="cubic")


def test_generators_without_reals_ignore_them():
    _, fake = logits(12)
    for row in set(ROWS) - RELATIVISTIC:
        np.testing.assert_array_equal(ADVERSARIAL[row].generator(fake), ADVERSARIAL[row].generator(fake, jnp.zeros(3)))


# -- anybody's model -----------------------------------------------------------------------------------------------


def test_relativistic_average_inside_shard_map():
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    real, fake = logits(13, (4,))
    spec = jax.sharding.PartitionSpec("data")
    loss = partial(losses.relativistic_average_discriminator_loss, axis_name="data")
    sharded = jax.shard_map(loss, mesh=mesh, in_specs=(spec, spec), out_specs=spec)(real, fake)
    np.testing.assert_allclose(sharded, losses.relativistic_average_discriminator_loss(real, fake), rtol=1e-6)
