"""Right parts joined right: what a step does with augmentations, packs, several updates and networks of any tree."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax.augment import pack
from gan_jax.gan.make import build_gan
from gan_jax.gan.types import GradientPenalty
from gan_jax.gan.update_rules import alternating, unrolled
from gan_jax.latents import slerp
from gan_jax.losses import ADVERSARIAL
from gan_jax.optimizers import OPTIMIZERS
from gan_jax.penalties import PENALTIES
from gan_jax.transforms import spectral_norm, weight_norm
from gan_jax.typing import Augmentation, DiscriminatorOutput, GeneratorOutput, Network
from support.games import assert_close, perceptron, point_spec, points, started

RNG = jax.random.key(3)


def linear_discriminator(width=2):
    """D(x) = sum of x; every gradient is 1."""

    def apply(params, state, x, labels=None, context=None, *, rng=None, train=True):
        return DiscriminatorOutput(x @ params["w"]), state

    return Network(lambda rng, x, labels=None, context=None: ({"w": jnp.ones(width)}, {}), apply)


def penalty_of(name, augmentations, discriminator):
    """The value of a penalty in one step."""
    spec = point_spec(penalties=(GradientPenalty(name, PENALTIES[name], 1.0),), augmentations=augmentations, discriminator=discriminator)
    gan, params, state = started(spec)
    return float(gan.train_step(params, state, points(), RNG)[2][f"penalty/{name}"])


def scaling(factor):
    return Augmentation(lambda: (), lambda images, state, rng, step: factor * images)


@pytest.mark.parametrize("name", ["r1", "r2", "zero_centered"])
def test_penalties_differentiate_through_the_augmentation_at_the_plain_image(name):
    """|d D(s x) / dx|^2 = s^2 |w|^2 for D(x) = w x, as in the trainers of R3GAN and StyleGAN2-ADA. |w|^2 = 2 here."""
    assert penalty_of(name, (), linear_discriminator()) == pytest.approx(2.0)
    assert penalty_of(name, (scaling(3.0),), linear_discriminator()) == pytest.approx(9 * 2.0)


@pytest.mark.parametrize(("name", "expected"), [("wgan_gp", (3 * 2 - 1) ** 2), ("dragan", (3 * 2 - 1) ** 2), ("r1", 9 * 4.0)])
def test_the_point_of_a_penalty_is_the_pack(name, expected):
    """PacGAN's D sees two points of two coordinates as one example: |grad| = s sqrt(4) for weights of 1."""
    augmentations = (scaling(3.0), pack(2))
    assert penalty_of(name, augmentations, linear_discriminator(4)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", sorted(PENALTIES))
def test_nan_stays_nan_in_every_penalty(name):
    real = jax.random.normal(RNG, (4, 6, 6, 1))
    values = PENALTIES[name](lambda x: x.reshape(len(x), -1) @ jnp.full(36, jnp.nan), real, real + 1, RNG)
    assert np.isnan(values).all()


@pytest.mark.parametrize("name", sorted(ADVERSARIAL))
def test_nan_stays_nan_in_every_loss(name):
    good, bad = jnp.array([0.5, -0.5]), jnp.array([jnp.nan, jnp.nan])
    loss = ADVERSARIAL[name]
    assert np.isnan(loss.discriminator(bad, good)).all()
    assert np.isnan(loss.discriminator(good, bad)).all()
    assert np.isnan(loss.generator(bad, good) if loss.needs_real else loss.generator(bad)).all()


def test_nan_stays_nan_in_transforms_and_latents():
    params = {"kernel": jnp.full((3, 2), jnp.nan)}
    for transform in (spectral_norm(), weight_norm()):
        prepared = transform.prepare(params)
        effective, _ = transform.apply(prepared, transform.init(RNG, prepared))
        assert np.isnan(effective["kernel"]).all()
    one_bad = {"kernel": jnp.ones((3, 2)).at[0, 0].set(jnp.nan)}
    effective, _ = spectral_norm().apply(one_bad, spectral_norm().init(RNG, one_bad))
    assert np.isnan(effective["kernel"]).all()
    assert np.isnan(slerp(jnp.array([jnp.nan, 1.0]), jnp.array([1.0, 0.0]), 0.5)).all()


# PyTorch 2.13: torch.optim.RMSprop(lr=1, alpha=0.99, eps=1e-8), one step. sqrt(0.01 g^2) = 0.1 g, and epsilon is added outside the root.
@pytest.mark.parametrize("gradient", [1.0, 1e-3, 1e-5])
def test_rmsprop_has_its_epsilon_outside_the_root(gradient):
    optimizer = OPTIMIZERS["rmsprop"](1.0, b1=0.0, b2=0.99)
    update, _ = optimizer.update(jnp.float32(gradient), optimizer.init(jnp.float32(0.0)))
    np.testing.assert_allclose(update, -gradient / (0.1 * gradient + 1e-8), rtol=1e-5)


def bare_network(discriminator):
    """A network whose parameters are one array."""

    def apply(params, state, inputs, labels=None, context=None, *, rng=None, train=True):
        made = inputs[:, :2] * params
        return (DiscriminatorOutput(made.sum(axis=1)) if discriminator else GeneratorOutput(made)), state

    return Network(lambda rng, inputs, labels=None, context=None: (jnp.ones(2), {}), apply)


def test_a_network_may_have_one_bare_array_as_its_parameters():
    spec = point_spec(generator=bare_network(False), discriminator=bare_network(True), layer_norms=True)
    gan, params, state = started(spec)
    after, _, metrics = gan.train_step(params, state, points(), RNG)
    assert not np.array_equal(params.generator, after.generator)
    assert metrics["gradient_norm/generator/params"] == metrics["generator_gradient_norm"]


@pytest.mark.parametrize("rule", [lambda k: alternating(discriminator_steps=k), lambda k: unrolled(unroll_steps=1, discriminator_steps=k)])
def test_the_program_does_not_grow_with_the_number_of_discriminator_updates(rule):
    def size(steps):
        gan, params, state = started(point_spec(), rule(steps))
        return len(str(jax.make_jaxpr(gan.train_step)(params, state, points(6 * steps), RNG)).splitlines())

    assert size(6) < 1.1 * size(2)


def test_a_loop_of_updates_equals_one_update_after_the_other():
    spec = point_spec(batch_norm=True)
    gan, params, state = started(spec, alternating(discriminator_steps=3))
    batch = points(48)
    after, _, metrics = gan.train_step(params, state, batch, RNG)
    from gan_jax.gan.update_rules import resample_latents, split_batch
    from gan_jax.gan.updates import update_discriminator, update_generator

    minibatches = split_batch(spec, batch, jax.random.fold_in(RNG, 0), 3)
    for minibatch in minibatches:
        params, state, expected = update_discriminator(spec, params, state, minibatch)
    params, state, more = update_generator(spec, params, state, resample_latents(spec, minibatches[-1], "generator/0"))
    assert_close(after, params)
    assert_close(metrics, expected | more)


def test_optimistic_and_plain_rules_take_the_decays_that_they_are_given():
    """Two settings of b2 differ wherever a rule has a second moment."""
    for name in ("adam", "adamw", "amsgrad", "adabelief", "optimistic_adam", "rmsprop", "lion"):
        steps = []
        for b2 in (0.9, 0.99):
            optimizer, value, state = OPTIMIZERS[name](0.1, b1=0.0, b2=b2), jnp.float32(1.0), None
            state = optimizer.init(value)
            for gradient in (1.0, -3.0, 0.5):
                update, state = optimizer.update(jnp.float32(gradient), state, value)
                value = optax.apply_updates(value, update)
            steps.append(float(value))
        assert name == "lion" or steps[0] != steps[1], name


def test_build_gan_is_pure():
    spec = point_spec()
    assert_close(build_gan(spec, alternating()).init(RNG), build_gan(spec, alternating()).init(RNG))


def relativistic_metrics(name, real, fake):
    """The accuracies of one D loss whose logits are these."""
    logits = {True: jnp.asarray(real), False: jnp.asarray(fake)}

    def apply(params, state, x, labels=None, context=None, *, rng=None, train=True):
        return DiscriminatorOutput(jnp.where(x[:, 0] > 100, logits[True], logits[False]) * params["w"]), state

    discriminator = Network(lambda rng, x, labels=None, context=None: ({"w": jnp.ones(())}, {}), apply)
    spec = point_spec(loss=name, discriminator=discriminator, example_batch=len(real))
    gan, params, state = started(spec)
    _, _, metrics = gan.train_step(params, state, {"image": jnp.full((len(real), 2), 1000.0)}, RNG)
    return float(metrics["real_accuracy"]), float(metrics["fake_accuracy"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("non_saturating", (0.0, 1.0)),  # all logits are below 0
        ("relativistic", (0.75, 0.75)),  # pairs: -1 > -2, -3 > -4, -5 > -6, -8 < -7
        ("relativistic_average", (0.75, 0.5)),  # means: real -4.25, fake -4.75
    ],
)
def test_accuracies_are_those_of_the_comparison_that_the_loss_makes(name, expected):
    assert relativistic_metrics(name, [-1.0, -3.0, -4.0, -9.0], [-2.0, -4.0, -6.0, -7.0]) == expected


def test_each_update_of_the_generator_may_have_reals_of_its_own():
    seen = []

    def apply(params, state, x, labels=None, context=None, *, rng=None, train=True):
        return DiscriminatorOutput(x @ params["w"]), state

    def record(real, fake):
        jax.debug.callback(lambda values: seen.append(np.asarray(values)), real)
        return fake - real

    from gan_jax.typing import AdversarialLoss

    loss = AdversarialLoss(lambda real, fake: real - fake, lambda fake, real: record(real, fake), needs_real=True)
    discriminator = Network(lambda rng, x, labels=None, context=None: ({"w": jnp.ones(2)}, {}), apply)
    batch = {"image": jnp.repeat(jnp.arange(4.0), 4)[:, None] * jnp.ones((1, 2))}
    for rule, part in ((alternating(discriminator_steps=4), 3.0), (alternating(discriminator_steps=3, generator_reals="fresh"), 3.0)):
        import dataclasses

        seen.clear()
        spec = dataclasses.replace(point_spec(discriminator=discriminator, optimizer=None), loss=loss, optimizer=optax_zero())
        gan, params, state = started(spec, rule)
        assert rule.batches_per_step == 4
        gan.train_step(params, state, batch, RNG)
        jax.effects_barrier()
        assert {float(value) for values in seen for value in values} == {2 * part}
    with pytest.raises(ValueError, match="generator_reals"):
        alternating(fakes="shared", generator_reals="fresh")


def optax_zero():
    from gan_jax.optimizers import per_player

    return per_player(optax.sgd(0.0), optax.sgd(0.0))


@pytest.mark.parametrize(
    "labels", [jnp.zeros((16, 1), jnp.int32), jnp.zeros(16), jax.nn.one_hot(jnp.zeros(16, jnp.int32), 3), jnp.zeros(8, jnp.int32)]
)
def test_labels_of_another_shape_or_kind_are_refused_at_trace_time(labels):
    spec = point_spec(num_classes=3)
    with pytest.raises(ValueError, match=r"batch\['label'\] must be integer classes \[16\]"):
        spec.prepare_minibatch(points() | {"label": labels}, RNG)


def test_orthogonal_regularisation_sees_the_raw_weights():
    from gan_jax.gan.loss_terms import orthogonality, stateless
    from gan_jax.gan.types import LossTerm
    from gan_jax.penalties import orthogonal_penalty
    from gan_jax.typing import Players

    terms = (LossTerm("orthogonal", "discriminator", stateless(orthogonality)),)
    spec = point_spec(terms=terms, transforms=Players((), (spectral_norm(),)))
    gan, params, state = started(spec)
    params = params._replace(discriminator=jax.tree.map(lambda leaf: 30 * leaf, params.discriminator))
    _, _, metrics = gan.train_step(params, state, points(), RNG)
    np.testing.assert_allclose(metrics["term/orthogonal"], orthogonal_penalty(params.discriminator), rtol=1e-5)


@pytest.mark.parametrize(("start", "active"), [(0, True), (1, False)])
def test_lecam_is_one_sided_and_starts_at_its_step(start, active):
    from functools import partial

    from gan_jax.gan.loss_terms import lecam
    from gan_jax.gan.types import LossTerm
    from gan_jax.penalties import init_lecam

    term = LossTerm("lecam", "discriminator", partial(lecam, start_step=start), init=lambda rng, params: init_lecam())
    gan, params, state = started(point_spec(terms=(term,)))
    _, state, metrics = gan.train_step(params, state, points(), RNG)
    assert (float(metrics["term/lecam"]) > 0) == active
    assert float(state.terms[0].weight) > 0


def test_spectral_norm_selects_embeddings_unless_told_otherwise():
    from gan_jax.transforms import is_kernel

    params = {"embedding": {"embedding": 9 * jnp.eye(3)}, "linear": {"kernel": 7 * jnp.eye(3), "bias": jnp.ones(3)}}
    sigmas = {}
    for name, transform in {"all": spectral_norm(20), "kernels": spectral_norm(20, predicate=is_kernel)}.items():
        effective, _ = transform.apply(params, transform.init(RNG, params))
        sigmas[name] = [
            float(jnp.linalg.norm(effective[part][leaf], 2)) for part, leaf in (("embedding", "embedding"), ("linear", "kernel"))
        ]
    np.testing.assert_allclose(sigmas["all"], [1, 1], rtol=1e-5)
    np.testing.assert_allclose(sigmas["kernels"], [9, 1], rtol=1e-5)


# -- the monitor on another training loop -----------------------------------------------------------------------------


def test_the_monitor_works_on_losses_and_norms_of_another_loop():
    from gan_jax.monitor import Monitor, RunInfo

    monitor = Monitor(RunInfo(loss="non_saturating"))
    found = set()
    for step in range(60):
        record = {"discriminator_loss": 1e-4, "generator_loss": 9.0, "discriminator_gradient_norm": 500.0, "generator_gradient_norm": 500.0}
        found |= {finding.id for finding in monitor.observe(record if step % 2 else record | {"step": step})}
    assert found == {"discriminator_won", "large_gradients"}


def test_a_healthy_loop_of_another_kind_has_no_findings():
    from gan_jax.monitor import Monitor, RunInfo

    monitor, draws = Monitor(RunInfo(loss="non_saturating")), np.random.default_rng(0)
    for step in range(300):
        loss = 1.1 + 0.1 * draws.standard_normal()
        assert monitor.observe({"step": step, "discriminator_loss": loss, "generator_loss": 0.9, "generator_gradient_norm": 2.0}) == []


def test_a_missing_figure_is_never_an_error():
    from gan_jax.gan.diagnostics import with_diagnostics
    from gan_jax.monitor import Monitor, RunInfo

    gan = with_diagnostics(point_spec(), alternating())
    params, state = gan.init(RNG)
    step, records = jax.jit(gan.train_step), []
    for number in range(8):
        params, state, metrics = step(params, state, points(), RNG)
        records.append({"step": number} | {name: float(value) for name, value in metrics.items()})
    draws = np.random.default_rng(1)
    for name in records[0]:
        monitor = Monitor(RunInfo())
        for record in records:
            monitor.observe({key: value for key, value in record.items() if key != name and draws.random() < 0.9})


@pytest.mark.parametrize(
    ("loss", "bounded", "named"),
    [("non_saturating", True, True), ("wasserstein", True, True), ("least_squares", True, False), ("non_saturating", False, False)],
)
def test_a_discriminator_that_ends_in_a_sigmoid_is_named_within_100_steps(loss, bounded, named):
    from gan_jax.gan.diagnostics import with_diagnostics
    from gan_jax.monitor import CHANCE, Monitor, RunInfo

    plain = perceptron((8, 1), discriminator=True)

    def apply(*arguments, **keywords):
        output, state = plain.apply(*arguments, **keywords)
        return (output._replace(logits=jax.nn.sigmoid(output.logits)) if bounded else output), state

    gan = with_diagnostics(point_spec(loss=loss, discriminator=Network(plain.init, apply)), alternating())
    (params, state), step = gan.init(RNG), jax.jit(gan.train_step)
    monitor, found = Monitor(RunInfo(loss=loss, chance=CHANCE.get(loss), steps=100)), {}
    for number in range(1, 101):
        params, state, metrics = step(params, state, points(seed=number), RNG)
        if number % 50 == 0:
            record = {"step": number} | {name: float(value) for name, value in metrics.items()}
            assert not any(name.startswith("_") for name in record)
            found |= {finding.id: finding for finding in monitor.observe(record)}
    assert ("bounded_logits" in found) == named
    if named:
        assert "sigmoid" in found["bounded_logits"].message


@pytest.mark.parametrize(("labels", "named"), [([0, 1, 2], False), ([1, 2, 3], True), ([0, -1, 2], True)])
def test_labels_out_of_range_are_named(labels, named):
    from gan_jax.gan.diagnostics import with_diagnostics
    from gan_jax.monitor import Monitor, RunInfo

    gan = with_diagnostics(point_spec(num_classes=3), alternating())
    params, state = gan.init(RNG)
    batch = points(3) | {"label": jnp.array(labels)}
    _, _, metrics = gan.train_step(params, state, batch, RNG)
    record = {"step": 0} | {name: float(value) for name, value in metrics.items()}
    findings = Monitor(RunInfo(num_classes=3)).observe(record)
    assert ("labels_out_of_range" in {finding.id for finding in findings}) == named
