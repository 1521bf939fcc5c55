"""`make_gan`: composes networks, a loss and every trick into three pure functions."""

from collections.abc import Mapping
from typing import Any

import jax

from gan_jax.gan.spec import Game
from gan_jax.gan.state import GameState, named_key
from gan_jax.gan.types import normalize_images
from gan_jax.gan.update_rules import Strategy, alternating
from gan_jax.latents import normal, truncated_normal
from gan_jax.losses import ADVERSARIAL
from gan_jax.monitor import init_signals, update_signals
from gan_jax.optimizers import ema_params, ttur
from gan_jax.typing import GAN, AdversarialLoss, Array, Metrics, Network, Players


def make_gan(
    generator: Network,
    discriminator: Network,
    *,
    image_shape: tuple[int, ...],
    latent_dim: int = 128,
    loss: AdversarialLoss | str = "non_saturating",
    strategy: Strategy | None = None,
    **options: Any,
) -> GAN:
    """Composes a game and a way of playing it.

    Args:
        generator, discriminator: networks as pure functions; `gan_jax.models.as_network` makes them of Flax modules.
        image_shape: shape of one image, (height, width, channels), or (dim,) for points.
        latent_dim: latents are [batch, latent_dim].
        loss: a row of `gan_jax.losses.ADVERSARIAL` by name, or a pair of functions.
        strategy: what a row of `gan_jax.gan.update_rules.STRATEGIES` returns; by default `alternating()`.
        **options: the further fields of `gan_jax.gan.spec.Game`: `optimizer` (by default Adam at 2e-4 with an EMA of G), `penalties`,
            `terms`, `transforms`, `input_transforms`, `replay`, `sample_latents` ...

    Returns:
        `GAN(init, train_step, sample)`. `train_step(params, opt_state, batch, rng)` is not jitted; jit it with
        `donate_argnums=(0, 1)`. `rng` is one constant key: the step folds in its number. `sample` uses the EMA weights where they
        are tracked.

    Raises:
        ValueError: an unknown loss.
        TypeError: an option that `Game` does not have.
    """
    if isinstance(loss, str):
        if loss not in ADVERSARIAL:
            raise ValueError(f"loss must be one of {', '.join(ADVERSARIAL)}; got {loss!r}")
        loss = ADVERSARIAL[loss]
    options = {"optimizer": ttur(2e-4, 2e-4, ema_decay=0.999), "sample_latents": normal} | options
    game = Game(generator, discriminator, loss, image_shape=image_shape, latent_dim=latent_dim, **options)
    return play(game, strategy or alternating())


def play(game: Game, strategy: Strategy) -> GAN:
    """The three functions of a game under a strategy."""

    def init(rng: Array) -> tuple[Players, GameState]:
        params, state = game.init(rng)
        return params, state._replace(strategy=strategy.init(game, params), signals=init_signals())

    def train_step(params: Players, opt_state: GameState, batch: Mapping[str, Array], rng: Array) -> tuple[Players, GameState, Metrics]:
        step_key = jax.random.fold_in(rng, opt_state.step)
        step = opt_state.step
        if game.curriculum is not None:
            batch, opt_state = game.curriculum(batch, opt_state)
        params, state, metrics = strategy.step(game, params, opt_state, batch, step_key)
        signals, metrics = update_signals(opt_state.signals, metrics, normalize_images(batch["image"]), step)
        if game.learning_rates is not None:
            metrics = metrics | game.learning_rates(step)
        return params, state._replace(step=step + 1, signals=signals), metrics

    def sample(
        params: Players,
        opt_state: GameState,
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
            latents = game.sample_latents(named_key(rng, "latents"), (count, game.latent_dim))
            if truncation is not None:
                latents = truncated_normal(named_key(rng, "latents"), (count, game.latent_dim), threshold=truncation)
        if game.num_classes and labels is None:
            labels = jax.random.randint(named_key(rng, "labels"), (count,), 0, game.num_classes)
        effective, _ = game.effective_params("generator", weights, opt_state)
        network_state = opt_state.networks.generator
        output, _ = game.generator.apply(effective, network_state, latents, labels, context, rng=named_key(rng, "generator"), train=False)
        return output.images

    return GAN(init, train_step, sample)


def sampling_params(params: Players, opt_state: GameState) -> Any:
    """G's moving average where the optimiser tracks one, otherwise its parameters."""
    try:
        return ema_params(opt_state.optimizer)
    except ValueError:
        return params.generator
