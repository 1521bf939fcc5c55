"""Whole train steps against the training code of published GANs, run by tests/golden/steps_torch.py and critics_torch.py.

Each case builds a GAN from a configuration, replaces its networks by the tiny ones of the script, and injects the script's reals and
draws. The gradients of the last update of each player in two train steps, the parameters after them, and the moving average must agree
within float32 rounding.

The peers deviate from `gan_jax` in these points, which the cases take into account:

- Conditional peers sample labels for the fakes. Here the fakes have the labels of the reals.
- torch-mimicry runs one power iteration in each pass of D and BigGAN-PyTorch one in each pass of an update of either player. Here it is
  one for an update of D. Both sides run 20 in a pass, from converged vectors.
- BigGAN-PyTorch's orthogonal regularisation adds half of the gradient of the paper's penalty.
- The loss of D in PyTorch-GAN's acgan.py is half of the loss here, which does not change Adam's steps.
- PGGAN's authors' moving average follows G before its update. Here it follows after it, and the case does not compare it.
- InfoGAN's authors sample new codes for G's update. Here the update has the codes of D's update. PyTorch-GAN and StudioGAN, which train
  the codes in steps of their own or in G's update only, are other algorithms.
- StyleGAN2-ADA makes an optimiser step of its own for R1. Here it shares the step of D's loss.
- In APA's code the fakes among the reals are those of G's last update, and each phase of D draws its own. The case takes fresh ones.
- In the BigGAN code of LeCam's authors, the moving averages follow the newest logits until the start step. Here they have no bias, as in
  the authors' StyleGAN2 code. The case starts from given averages and has the decay of the StyleGAN2 code.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gan_jax.augment.adaptive import initial_state
from gan_jax.augment.color import recolor
from gan_jax.augment.diffaugment import brightness, contrast, cutout, saturation, translation
from gan_jax.augment.geometry import warp
from gan_jax.conditioning import Condition
from gan_jax.gan.make import build_gan
from gan_jax.gan.spec import GANSpec
from gan_jax.optimizers import ema_params
from gan_jax.penalties import gradient_penalty
from gan_jax.penalties.consistency import LecamState
from gan_jax.trainer.build.gan import build_spec, build_update_rule
from gan_jax.trainer.config import (
    AugmentConfig,
    Config,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    PenaltyConfig,
    TransformConfig,
    UpdateConfig,
)
from gan_jax.trainer.own_parts import OwnParts
from gan_jax.typing import GeneratorOutput, Players
from support.golden_networks import assert_near, generate, judge, judge_pair, judge_pixels, layer, network, translate

GOLDEN: dict[str, np.ndarray] = {}
for name in ("critics_torch.npz", "steps_torch.npz"):
    with np.load(pathlib.Path(__file__).parents[1] / "golden" / name) as file:
        GOLDEN |= dict(file)
BATCH, CLASSES, LATENT, STEPS = 4, 3, 4, 2


def shapes(case):
    """Shapes of the parameters of both players."""
    if case == "pix2pix":
        return Players(
            {"conv_0": layer(3, 3, 1, 4), "conv_1": layer(3, 3, 4, 3)}, {"conv_0": layer(3, 3, 4, 5), "conv_1": layer(3, 3, 5, 1)}
        )
    generator = {"dense": layer(LATENT, 64), "conv": layer(3, 3, 4, 3)}
    if case == "unetgan":
        return Players(generator, {"conv_0": layer(3, 3, 3, 5), "conv_1": layer(3, 3, 5, 1), "dense": layer(5, 1)})
    discriminator = {"conv_0": layer(3, 3, 3 * CASES[case].config.augment.pack, 5), "conv_1": layer(3, 3, 5, 6), "dense": layer(24, 1)}
    model = CASES[case].config.model
    if model.conditional or model.codes:
        generator["embedding"] = {"embedding": (CLASSES, LATENT)}
    if model.auxiliary:
        discriminator["classes"] = layer(24, CLASSES)
    elif model.conditional:
        discriminator["embedding"] = {"embedding": (CLASSES, 24)}
    return Players(generator, discriminator)


def params_of(case, place):
    """Parameters, gradients or an average of a case in the trees of both players. None if the file has none for a player."""

    def tree(player):
        if f"{case}/{place}/{player}" not in GOLDEN:
            return None
        zeros = jax.tree.map(jnp.zeros, getattr(shapes(case), player), is_leaf=lambda node: isinstance(node, tuple))
        unravel = ravel_pytree(zeros)[1]
        return unravel(jnp.asarray(GOLDEN[f"{case}/{place}/{player}"]))

    return Players(*map(tree, Players._fields))


class Case(NamedTuple):
    """A published recipe.

    Attributes:
        config: Its settings.
        latents: Numbers of the peer's batches of latents in the order in which our step samples them. By default the peer's order.
        peer_latents: Number of batches of latents that the peer samples in a train step, if it uses fewer.
        change: Injects draws and settings without a flag into the spec.
        discriminator_factor: Our loss of D divided by the peer's.
    """

    config: Config
    latents: tuple[int, ...] = ()
    peer_latents: int = 0
    change: Callable[[GANSpec], GANSpec] = lambda spec: spec
    discriminator_factor: float = 1.0


def settings(
    lr: float | tuple[float, float],
    betas: tuple[float, float],
    *,
    model: dict[str, Any] | None = None,
    optimizer: dict[str, Any] | None = None,
    batch_size: int = BATCH,
    **groups: Any,
) -> Config:
    generator_lr, discriminator_lr = lr if isinstance(lr, tuple) else (lr, lr)
    rates = {"generator_lr": generator_lr, "discriminator_lr": discriminator_lr, "b1": betas[0], "b2": betas[1]}
    return Config(
        batch_size=batch_size,
        data=DataConfig(image_size=32, channels=3),
        model=ModelConfig(**{"name": "mlp", "latent_dim": LATENT} | (model or {})),
        optimizer=OptimizerConfig(**rates | {"ema_decay": 0.0} | (optimizer or {})),
        **groups,
    )


def with_penalty_at_fixed_points(spec):
    """WGAN-GP's penalty at the script's interpolation coefficients: interpolates of equal images are these images."""
    weight = jnp.asarray(GOLDEN["shared/coefficients"]).reshape(-1, 1, 1, 1)

    def function(critic, real, fake, rng):
        points = weight * real + (1 - weight) * fake
        return gradient_penalty(critic, points, points, rng)

    return dataclasses.replace(spec, penalties=tuple(penalty._replace(function=function) for penalty in spec.penalties))


def with_fixed_colors(spec):
    (augmentation,) = spec.augmentations
    assert augmentation.init().probability == jnp.float32(0.6)
    colors = jnp.asarray(GOLDEN["stylegan2/colors"])
    fixed = augmentation._replace(apply=lambda images, state, rng, step: recolor(images, jnp.resize(colors, (len(images), 4, 4))))
    return dataclasses.replace(spec, augmentations=(fixed,))


def move_and_recolor(images):
    matrices, colors = (jnp.asarray(GOLDEN[f"stylegan2_geometry/{name}"]) for name in ("matrices", "colors"))
    return recolor(warp(images, jnp.resize(matrices, (len(images), 3, 3))), jnp.resize(colors, (len(images), 4, 4)))


def with_fixed_geometry(spec):
    (augmentation,) = spec.augmentations
    assert augmentation.init().probability == jnp.float32(0.6)
    fixed = augmentation._replace(apply=lambda images, state, rng, step: move_and_recolor(images))
    return dataclasses.replace(spec, augmentations=(fixed,))


def with_fixed_posing(spec):
    uniform = jnp.asarray(GOLDEN["apa/uniform"]).reshape(-1, 1, 1, 1)
    fixed = spec.pseudo_augmentation._replace(
        init=lambda: initial_state(0.6), mix=lambda real, fake, rng, probability: jnp.where(uniform < probability, fake, real)
    )
    return dataclasses.replace(spec, pseudo_augmentation=fixed)


def with_fixed_masks(spec):
    """The first step has no mixed images, and the second has them."""
    masks = jnp.asarray(GOLDEN["unetgan/masks"])
    return dataclasses.replace(
        spec, cutmix=spec.cutmix._replace(probability=lambda step: step.astype(jnp.float32), draw=lambda rng, shape: masks)
    )


def with_fixed_diff_augment(spec):
    uniform, integers = jnp.asarray(GOLDEN["diffaugment/uniform"]), jnp.asarray(GOLDEN["diffaugment/integers"])

    def apply(images, state, rng, step):
        shift, saturate, factor = (jnp.resize(draw, len(images)) for draw in uniform)
        offsets, centers = (jnp.resize(pair.T, (len(images), 2)) for pair in (integers[:2], integers[2:]))
        images = contrast(saturation(brightness(images, shift - 0.5), 2 * saturate), factor + 0.5)
        return cutout(translation(images, offsets), centers)

    (augmentation,) = spec.augmentations
    return dataclasses.replace(spec, augmentations=(augmentation._replace(apply=apply),))


def with_mean_as_context(spec):
    return dataclasses.replace(spec, context=Condition(lambda rng, real: real.mean(axis=-1, keepdims=True)))


HINGE = LossConfig(name="hinge")
SPECTRAL = TransformConfig(spectral_norm="discriminator", power_iterations=20)
CONDITIONAL = {"conditional": True}
STYLEGAN2 = {
    "penalty": PenaltyConfig(r1=0.5 / 2, interval=16),
    "optimizer": {"ema_images": 10_000.0, "ema_rampup": 1.0},
    "update": UpdateConfig(order="generator_first"),
}
CASES = {
    "sngan": Case(settings(2e-4, (0.0, 0.9), loss=HINGE, transform=SPECTRAL, update=UpdateConfig(discriminator_steps=5))),
    "cgan_pd": Case(
        settings(2e-4, (0.0, 0.9), loss=HINGE, transform=SPECTRAL, model=CONDITIONAL, update=UpdateConfig(discriminator_steps=2))
    ),
    "sagan": Case(
        settings((1e-4, 4e-4), (0.0, 0.9), loss=HINGE, transform=dataclasses.replace(SPECTRAL, spectral_norm="both"), model=CONDITIONAL)
    ),
    "biggan": Case(
        settings(
            (1e-4, 4e-4),
            (0.0, 0.999),
            loss=HINGE,
            transform=dataclasses.replace(SPECTRAL, spectral_norm="both"),
            model=CONDITIONAL,
            penalty=PenaltyConfig(orthogonal_generator=0.02 / 2),
            optimizer={"ema_decay": 0.9, "ema_start": 1, "ema_warmup": False},
            update=UpdateConfig(discriminator_steps=2, micro_batches=2),
        )
    ),
    "diffaugment": Case(
        settings(
            (1e-4, 4e-4),
            (0.0, 0.999),
            loss=HINGE,
            model=CONDITIONAL,
            augment=AugmentConfig(diff_augment="color,translation,cutout"),
            update=UpdateConfig(discriminator_steps=2),
        ),
        change=with_fixed_diff_augment,
    ),
    "lecam": Case(settings((1e-4, 4e-4), (0.0, 0.999), loss=HINGE, model=CONDITIONAL, penalty=PenaltyConfig(lecam=0.3))),
    "r3gan": Case(
        settings(
            2e-4,
            (0.0, 0.9),
            loss=LossConfig(name="relativistic"),
            penalty=PenaltyConfig(r1=2.0 / 2, r2=2.0 / 2),
            optimizer={"ema_images": 10.0, "ema_rampup": 0.0},
            update=UpdateConfig(generator_reals="fresh"),
        ),
        latents=(0, -1, 1),
    ),
    "stylegan2": Case(
        settings(
            2e-3,
            (0.0, 0.99),
            augment=AugmentConfig(ada_probability=0.6, ada_policy="color"),
            **STYLEGAN2,
        ),
        change=with_fixed_colors,
    ),
    "stylegan2_geometry": Case(
        settings(
            2e-3,
            (0.0, 0.99),
            augment=AugmentConfig(ada_probability=0.6),
            **STYLEGAN2,
        ),
        change=with_fixed_geometry,
    ),
    "apa": Case(
        settings(
            2e-3,
            (0.0, 0.99),
            penalty=PenaltyConfig(r1=0.5 / 2, interval=16),
            augment=AugmentConfig(apa=0.1, apa_interval=1, apa_kimg=0.04),
        ),
        latents=(0, 1, 2),
        peer_latents=3,
        change=with_fixed_posing,
    ),
    "unetgan": Case(
        settings(
            (1e-4, 5e-4),
            (0.0, 0.999),
            model={"name": "unet_gan"},
            loss=LossConfig(halve=True, adversarial_weight=0.5),
            penalty=PenaltyConfig(cutmix=1.0),
        ),
        change=with_fixed_masks,
    ),
    "gngan": Case(
        settings(
            2e-4,
            (0.0, 0.9),
            transform=TransformConfig(gradient_normalization=True),
            optimizer={"ema_decay": 0.9999, "ema_warmup": False},
        )
    ),
    "pggan": Case(
        settings(1e-3, (0.0, 0.99), loss=LossConfig(name="wasserstein"), penalty=PenaltyConfig(wgan_gp=10.0, drift=1e-3)),
        change=with_penalty_at_fixed_points,
    ),
    "infogan": Case(
        settings((1e-3, 2e-4), (0.5, 0.999), model={"name": "dcgan", "codes": CLASSES, "auxiliary": True, "condition": "none"}),
    ),
    "pix2pix": Case(
        settings(
            2e-4,
            (0.5, 0.999),
            model={"name": "pix2pix", "latent_dim": 1},
            loss=LossConfig(reconstruction=100.0, halve=True),
            update=UpdateConfig(fakes="shared"),
        ),
        change=with_mean_as_context,
    ),
    "gan": Case(
        settings(2e-4, (0.5, 0.999), loss=LossConfig(halve=True), update=UpdateConfig(order="generator_first", fakes="shared")),
    ),
    "lsgan": Case(
        # The script's losses have no factor 1/2, but its loss of D is halved.
        settings(
            2e-4,
            (0.5, 0.999),
            loss=LossConfig(name="least_squares", adversarial_weight=2.0),
            update=UpdateConfig(order="generator_first", fakes="shared"),
        ),
    ),
    "acgan": Case(
        settings(
            2e-4,
            (0.5, 0.999),
            model={"name": "dcgan", "conditional": True, "auxiliary": True, "condition": "none"},
            loss=LossConfig(halve=True, adversarial_weight=0.5, classifier=0.5),
            update=UpdateConfig(order="generator_first", fakes="shared"),
        ),
        discriminator_factor=2.0,
    ),
    "wgan": Case(
        settings(
            5e-5,
            (0.0, 0.99),
            loss=LossConfig(name="wasserstein"),
            optimizer={"generator": "rmsprop", "discriminator": "rmsprop", "clip_weights": 0.01},
            update=UpdateConfig(discriminator_steps=5, fakes="shared"),
        ),
    ),
    "wgan_gp": Case(
        settings(
            2e-4,
            (0.5, 0.999),
            loss=LossConfig(name="wasserstein"),
            penalty=PenaltyConfig(wgan_gp=10.0),
            update=UpdateConfig(discriminator_steps=5, fakes="shared"),
        ),
        change=with_penalty_at_fixed_points,
    ),
    "pac_wgan_gp": Case(
        settings(
            1e-4,
            (0.5, 0.999),
            batch_size=2 * BATCH,
            loss=LossConfig(name="wasserstein"),
            penalty=PenaltyConfig(wgan_gp=10.0),
            augment=AugmentConfig(pack=2),
            update=UpdateConfig(fakes="shared"),
        ),
        peer_latents=2,
        change=with_penalty_at_fixed_points,
    ),
    **{
        name: Case(
            settings(1e-4, (0.5, 0.999), loss=loss, penalty=penalty, update=UpdateConfig(generator_reals="fresh")),
            latents=(0, -1, 1),
            change=with_penalty_at_fixed_points,
        )
        for name, loss, penalty in [
            ("rsgan", LossConfig(name="relativistic"), PenaltyConfig()),
            # The author halves the losses of both players.
            ("ragan_gp", LossConfig(name="relativistic_average", halve=True, adversarial_weight=0.5), PenaltyConfig(wgan_gp=10.0)),
            ("rahinge", LossConfig(name="relativistic_average_hinge", halve=True, adversarial_weight=0.5), PenaltyConfig()),
            # The factor 1/2 of the base is the author's half.
            ("ralsgan", LossConfig(name="relativistic_average_least_squares"), PenaltyConfig()),
        ]
    },
}


def built(case):
    """The train step with injected latents, the start parameters and the start state."""
    config, start, queue, codes = CASES[case].config, params_of(case, "start"), [], []

    def sample_latents(rng, shape):
        latents = queue.pop(0) if queue else jnp.zeros(shape)
        assert latents.shape == shape
        return latents

    players = {"pix2pix": (translate, judge_pair), "unetgan": (generate, judge_pixels)}
    generator, discriminator = players.get(case, (generate, judge))
    networks = Players(
        network(generator, start.generator, GeneratorOutput), network(discriminator, start.discriminator, lambda output: output)
    )
    spec = build_spec(config, (8, 8, 3), CLASSES if config.model.conditional else 0, own=OwnParts(networks=networks))
    spec = CASES[case].change(
        dataclasses.replace(
            spec,
            sample_latents=sample_latents,
            sample_labels=(lambda rng, shape: codes.pop()) if config.model.codes else None,
            observe_update=lambda player, gradients, *_: {f"gradients/{player}": gradients},
        )
    )
    rule = build_update_rule(config)
    gan = build_gan(spec, rule)
    params, state = jax.jit(gan.init)(jax.random.key(0))

    @jax.jit
    def train_step(params, state, batch, latents):
        queue[:], codes[:] = list(latents), [batch["label"]] if config.model.codes else []
        result = gan.train_step(params, state, batch, jax.random.key(1))
        assert not queue + codes, "the step sampled less than the case gave"
        return result

    return train_step, params, converged(spec, params, state), rule.batches_per_step


def converged(spec, params, state):
    """The state with converged vectors of spectral normalisation, and the anchors of LeCam that the script sets."""
    for player in Players._fields:
        if getattr(spec.transforms, player):

            def advance(_, state, player=player):
                return spec.effective_params(player, getattr(params, player), state)[1]

            state = jax.lax.fori_loop(0, 30, advance, state)
    terms = tuple(
        LecamState(jnp.float32(0.4), jnp.float32(-0.3), jnp.float32(1.0)) if isinstance(old, LecamState) else old for old in state.terms
    )
    return state._replace(terms=terms)


def draws(case, parts):
    """The batches and latents of each train step. Latents number -1 are sampled and not used."""
    config, shared = CASES[case].config, CASES[case].config.update.fakes == "shared"
    size, pack = config.batch_size, config.augment.pack
    # The peer packs the first and the second half of its batch, `pack` packs neighbours.
    inside = np.arange(size).reshape(pack, -1).T.ravel()
    used = parts if shared else config.update.discriminator_steps + 1
    count = 0 if case == "pix2pix" else CASES[case].peer_latents or used
    order = CASES[case].latents or tuple(range(used))
    for step in range(STEPS):
        rows = np.arange(step * parts, (step + 1) * parts)[:, None] * size + inside
        rows = rows.ravel()
        batch = {"image": jnp.asarray(GOLDEN["shared/reals"][rows])}
        if config.model.conditional or config.model.codes:
            batch["label"] = jnp.asarray(GOLDEN["shared/labels"][rows], jnp.int32)
        mine = GOLDEN["shared/latents"].reshape(-1, size, LATENT)[step * count :, inside]
        latents = [jnp.zeros((size, LATENT)) if number < 0 else jnp.asarray(mine[number]) for number in order]
        yield batch, latents if case != "pix2pix" else [jnp.zeros((size, 1))]


def largest(tree):
    return float(jnp.abs(ravel_pytree(tree)[0]).max())


def test_the_geometric_augmentations_of_a_case_are_those_of_the_authors_pipe():
    seen = jax.jit(move_and_recolor)(jnp.asarray(GOLDEN["shared/reals"][:BATCH]))
    np.testing.assert_allclose(seen, GOLDEN["stylegan2_geometry/seen"], atol=1e-4)


# They differ from other cases in the loss or in packs only.
SLOW = ("ralsgan", "rahinge", "pac_wgan_gp")


@pytest.mark.parametrize("case", [pytest.param(case, marks=pytest.mark.slow) if case in SLOW else case for case in CASES])
def test_two_train_steps_equal_those_of_the_published_code(case):
    config, (train_step, params, state, parts) = CASES[case].config, built(case)
    for step, (batch, latents) in enumerate(draws(case, parts)):
        params, state, metrics = train_step(params, state, batch, latents)
        expected = params_of(case, f"gradients_{step}")
        scaled = jax.tree.map(lambda gradient: CASES[case].discriminator_factor * gradient, expected.discriminator)
        for player, theirs in (("discriminator", scaled), ("generator", expected.generator)):
            assert_near(metrics[f"gradients/{player}"], theirs, floor=1e-5 * largest(theirs))

    start, end = params_of(case, "start"), params_of(case, "end")
    for player in Players._fields:
        ours, theirs = (jax.tree.map(jnp.subtract, getattr(after, player), getattr(start, player)) for after in (params, end))
        if player == "discriminator" and config.loss.name.startswith("relativistic"):
            # The last bias changes no difference of logits. Its gradient is a rounding error, and Adam divides it by itself.
            del ours["dense"]["bias"], theirs["dense"]["bias"]
        # An update moves a parameter by about a learning rate. The parameters themselves are rounded to about 1e-7.
        assert_near(ours, theirs, floor=1e-3 * getattr(config.optimizer, f"{player}_lr") + 2e-7)
    if f"{case}/average/generator" in GOLDEN:
        assert_near(ema_params(state.optimizer), params_of(case, "average").generator, floor=2e-7)
    if case == "apa":
        np.testing.assert_allclose(state.pseudo_augmentation.probability, GOLDEN["apa/probabilities"][-1], rtol=1e-6)
    if case == "lecam":
        anchors = next(term for term in state.terms if isinstance(term, LecamState))
        np.testing.assert_allclose([anchors.real, anchors.fake], GOLDEN["lecam/anchors"], rtol=1e-5)
