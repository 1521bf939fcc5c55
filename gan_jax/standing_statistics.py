"""Standing statistics: batch norm's averages made anew for the weights that are sampled from."""

from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.game import Game
from gan_jax.gan import sampling_params
from gan_jax.pieces import GameState, named_key
from gan_jax.typing import Array, Players, PyTree


def standing_statistics(
    game: Game,
    params: Players,
    opt_state: GameState,
    rng: Array,
    *,
    batches: int = 16,
    batch_size: int = 64,
    real: Array | None = None,
    ema: bool = True,
) -> GameState:
    """Replaces G's running averages by the plain mean of the statistics of `batches` batches of fresh latents.

    The averages kept in training lag behind, and belong to the trained weights, not to their moving average. Works for any
    layer whose averages follow new <- m old + (1 - m) batch in the collection "batch_stats", whatever m is.

    Args:
        game: the game.
        params: parameters of both players.
        opt_state: its G's averages are replaced; nothing else changes.
        rng: typed key.
        batches: how many to average over.
        batch_size: latents in each.
        real: float [batch_size, ...], for a G that is conditioned on something made from images.
        ema: for the averaged weights, where they are tracked.

    Returns:
        The state, to sample with. The state itself where G keeps no batch statistics.

    Raises:
        ValueError: `batches` or `batch_size` is below 1.

    References:
        Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis", 2019, appendix C.
    """
    if batches < 1 or batch_size < 1:
        raise ValueError(f"batches and batch_size must be at least 1; got {batches} and {batch_size}")
    network_state = opt_state.networks.generator
    if "batch_stats" not in network_state:
        return opt_state
    weights, _ = game.effective_params("generator", sampling_params(params, opt_state) if ema else params.generator, opt_state)

    def updated(value: float, key: Array) -> PyTree:
        """The averages after one batch, had they all been `value` before."""
        state = {**network_state, "batch_stats": jax.tree.map(lambda leaf: jnp.full_like(leaf, value), network_state["batch_stats"])}
        latents = game.sample_latents(named_key(key, "latents"), (batch_size, game.latent_dim))
        labels = jax.random.randint(named_key(key, "labels"), (batch_size,), 0, game.num_classes) if game.num_classes else None
        context = None if real is None else game.context(named_key(key, "context"), real)
        after: Any = game.generator.apply(weights, state, latents, labels, context, rng=named_key(key, "generator"), train=True)[1]
        return after["batch_stats"]

    def of_batch(key: Array) -> PyTree:
        # From 0 the update gives (1 - m) batch, from 1 it gives m + (1 - m) batch: the difference is m.
        return jax.tree.map(lambda zero, one: zero / (1 - (one - zero)), updated(0.0, key), updated(1.0, key))

    def add(total: PyTree, key: Array) -> tuple[PyTree, None]:
        return jax.tree.map(jnp.add, total, of_batch(key)), None

    zeros = jax.tree.map(jnp.zeros_like, network_state["batch_stats"])
    total, _ = jax.lax.scan(add, zeros, jax.random.split(rng, batches))
    mean = {**network_state, "batch_stats": jax.tree.map(lambda leaf: leaf / batches, total)}
    return opt_state._replace(networks=opt_state.networks._replace(generator=mean))
