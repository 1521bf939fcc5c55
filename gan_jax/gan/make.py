"""`make_gan`: composes networks, a loss and every trick into three pure functions."""

from collections.abc import Mapping
from typing import Any

import jax

from gan_jax.gan.diagnostics import accumulate_diagnostics, init_diagnostics
from gan_jax.gan.spec import GANSpec
from gan_jax.gan.state import TrainState, named_key
from gan_jax.gan.types import normalize_images
from gan_jax.gan.update_rules import UpdateRule, alternating
from gan_jax.latents import normal, truncated_normal
from gan_jax.losses import ADVERSARIAL
from gan_jax.optimizers import ema_params, ttur
from gan_jax.typing import GAN, AdversarialLoss, Array, Metrics, Network, Players


def make_gan(
    generator: Network,
    discriminator: Network,
    *,
    image_shape: tuple[int, ...],
    latent_dim: int = 128,
    loss: AdversarialLoss | str = "non_saturating",
    rule: UpdateRule | None = None,
    **options: Any,
) -> GAN:
    """Composes a game and a way of playing it.

    Args:
        generator, discriminator: networks as pure functions; `gan_jax.models.as_network` makes them of Flax modules.
        image_shape: shape of one image, (height, width, channels), or (dim,) for points.
        latent_dim: latents are [batch, latent_dim].
        loss: a row of `gan_jax.losses.ADVERSARIAL` by name, or a pair of functions.
        strategy: what a row of `gan_jax.gan.update_rules.UPDATE_RULES` returns; by default `alternating()`.
        **options: the further fields of `gan_jax.gan.spec.GANSpec`: `optimizer` (by default Adam at 2e-4 with an EMA of G), `penalties`,
            `terms`, `transforms`, `augmentations`, `replay`, `sample_latents` ...

    Returns:
        `GAN(init, train_step, sample)`. `train_step(params, opt_state, batch, rng)` is not jitted; jit it with
        `donate_argnums=(0, 1)`. `rng` is one constant key: the step folds in its number. `sample` uses the EMA weights where they
        are tracked.

    Raises:
        ValueError: an unknown loss.
        TypeError: an option that `GANSpec` does not have.
    """
    if isinstance(loss, str):
        if loss not in ADVERSARIAL:
            raise ValueError(f"loss must be one of {', '.join(ADVERSARIAL)}; got {loss!r}")
        loss = ADVERSARIAL[loss]
    options = {"optimizer": ttur(2e-4, 2e-4, ema_decay=0.999), "sample_latents": normal} | options
    spec = GANSpec(generator, discriminator, loss, image_shape=image_shape, latent_dim=latent_dim, **options)
    return build_gan(spec, rule or alternating())


def build_gan(spec: GANSpec, rule: UpdateRule) -> GAN:
    """The three functions of a game under a strategy."""

    def init(rng: Array) -> tuple[Players, TrainState]:
        params, state = spec.init(rng)
        return params, state._replace(update_rule=rule.init(spec, params), signals=init_diagnostics())

    def train_step(params: Players, opt_state: TrainState, batch: Mapping[str, Array], rng: Array) -> tuple[Players, TrainState, Metrics]:
        step_key = jax.random.fold_in(rng, opt_state.step)
        step = opt_state.step
        if spec.curriculum is not None:
            batch, opt_state = spec.curriculum(batch, opt_state)
        params, state, metrics = rule.step(spec, params, opt_state, batch, step_key)
        signals, metrics = accumulate_diagnostics(opt_state.signals, metrics, normalize_images(batch["image"]), step)
        if spec.learning_rates is not None:
            metrics = metrics | spec.learning_rates(step)
        return params, state._replace(step=step + 1, signals=signals), metrics

    def sample(
        params: Players,
        opt_state: TrainState,
        rng: Array,
        count: int,
        labels: Array | None = None,
        context: Array | None = None,
        *,
        latents: Array | None = None,
        ema: bool = True,
        truncation: float | None = None,
    ) -> Array:
        """Generates `count` images, float in [-1, 1].

        Latents come from the game's sampler unless they are given; `truncation` conditions normal ones on |z| <= truncation.
        """
        weights = sampling_params(params, opt_state) if ema else params.generator
        if latents is None:
            latents = spec.sample_latents(named_key(rng, "latents"), (count, spec.latent_dim))
            if truncation is not None:
                latents = truncated_normal(named_key(rng, "latents"), (count, spec.latent_dim), threshold=truncation)
        if spec.num_classes and labels is None:
            labels = jax.random.randint(named_key(rng, "labels"), (count,), 0, spec.num_classes)
        effective, _ = spec.effective_params("generator", weights, opt_state)
        network_state = opt_state.networks.generator
        output, _ = spec.generator.apply(effective, network_state, latents, labels, context, rng=named_key(rng, "generator"), train=False)
        return output.images

    return GAN(init, train_step, sample)


def sampling_params(params: Players, opt_state: TrainState) -> Any:
    """G's moving average where the optimiser tracks one, otherwise its parameters."""
    try:
        return ema_params(opt_state.optimizer)
    except ValueError:
        return params.generator
