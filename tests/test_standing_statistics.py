"""Standing statistics are the plain mean over batches, whatever the momentum."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from games import perceptron, point_game

from gan_jax.game import Game
from gan_jax.latents import normal
from gan_jax.losses import ADVERSARIAL
from gan_jax.models import as_network
from gan_jax.optimizers import ttur
from gan_jax.pieces import named_key
from gan_jax.standing_statistics import standing_statistics


class Normalized(nn.Module):
    """One dense layer and batch norm."""

    momentum: float

    @nn.compact
    def __call__(self, latents, *, train=True):
        return nn.BatchNorm(not train, momentum=self.momentum)(nn.Dense(2)(latents))


@pytest.mark.parametrize("momentum", [0.9, 0.5])
def test_mean_over_batches(momentum):
    game = Game(
        as_network(Normalized(momentum), player="generator"),
        perceptron((4, 1), discriminator=True),
        ADVERSARIAL["hinge"],
        ttur(0.1, 0.1),
        image_shape=(2,),
        latent_dim=3,
        sample_latents=normal,
    )
    params, state = jax.jit(game.init)(jax.random.key(0))
    rng = jax.random.key(5)
    found = standing_statistics(game, params, state, rng, batches=3, batch_size=8).networks.generator["batch_stats"]["BatchNorm_0"]
    dense = params.generator["Dense_0"]
    outputs = [normal(named_key(key, "latents"), (8, 3)) @ dense["kernel"] + dense["bias"] for key in jax.random.split(rng, 3)]
    np.testing.assert_allclose(found["mean"], jnp.stack([x.mean(0) for x in outputs]).mean(0), atol=1e-5)
    np.testing.assert_allclose(found["var"], jnp.stack([x.var(0) for x in outputs]).mean(0), rtol=1e-4)


def test_nothing_to_do_and_refusals():
    game = point_game()
    params, state = jax.jit(game.init)(jax.random.key(0))
    assert standing_statistics(game, params, state, jax.random.key(0)) is state
    with pytest.raises(ValueError, match="got 0 and 64"):
        standing_statistics(game, params, state, jax.random.key(0), batches=0)
