# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,-all
#     formats: ipynb,py:percent
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Write your own penalty
#
# A penalty of the discriminator D is a function of D and of a batch. This notebook writes a new one, checks it, trains
# with it beside two others, and gives it to the trainer. It needs the extras `train` and `notebooks`:
#
#     pip install "gan-jax[train,notebooks]"      # from a checkout: pip install -e '.[train,notebooks]'

# %% tags=["parameters"]
STEPS = 2000  # Steps of each of the three small GANs.
HIDDEN = 64  # Units of their layers.
RUN_STEPS = 300  # Steps of the run with the trainer.

# %% [markdown]
# ## The function
# R1 punishes every slope of D at the real data, so D becomes flat there. The new penalty, "slope limit", leaves slopes
# up to 1 alone: max(0, |grad D(x)|^2 - 1) for real x.
#
# A penalty takes the critic (a function from inputs to logits) and returns one value per example, without a factor. Its
# caller takes the mean and chooses the weight.

# %%
import jax
import jax.numpy as jnp


def slope_limit(critic, real, fake=None, rng=None):
    """How far the squared slope of the critic at the reals is above 1: max(0, |grad D(x)|^2 - 1), float [batch].

    Args:
        critic: Inputs to logits [batch].
        real: Float [batch, ...].
        fake, rng: Not used. They are in the signature that all penalties share.
    """
    gradient = jax.grad(lambda points: critic(points).sum())(real)
    return jax.nn.relu(jnp.square(gradient).reshape(len(real), -1).sum(axis=-1) - 1)


# %% [markdown]
# ## Check it
# The gradient of a linear critic is its weight vector. For (3, 4) the squared slope is 25, and the penalty 24. For
# (0.3, 0.4) it is 0.25, which is below the limit.

# %%
real = jax.random.normal(jax.random.key(0), (5, 2))


def linear(weights):
    return lambda points: points @ jnp.array(weights)


assert jnp.allclose(slope_limit(linear((3.0, 4.0)), real), 24.0)
assert (slope_limit(linear((0.3, 0.4)), real) == 0).all()

# %% [markdown]
# D is trained by the gradient of the penalty with respect to its parameters. For the weights w it is 2w above the
# limit, and it must be finite everywhere, also at w = 0.

# %%
slope = jax.grad(lambda weights: slope_limit(lambda points: points @ weights, real).mean())
print(slope(jnp.array([3.0, 4.0])), slope(jnp.zeros(2)))
assert jnp.allclose(slope(jnp.array([3.0, 4.0])), jnp.array([6.0, 8.0]))
assert jnp.isfinite(slope(jnp.zeros(2))).all()

# %% [markdown]
# ## Train with it
# `make_gan` takes the function as a `GradientPenalty` with its name and weight. Three GANs learn a ring of 8 Gaussians
# from the same seed: without a penalty, with R1, and with the new penalty.

# %%
import numpy as np

from gan_jax import make_gan
from gan_jax.data import load_source
from gan_jax.gan.types import GradientPenalty
from gan_jax.metrics import mode_coverage
from gan_jax.models import build_model
from gan_jax.optimizers import ttur
from gan_jax.penalties import PENALTIES

source = load_source("ring")
ring = jnp.asarray(source.images)


def train_on_ring(*penalties):
    networks = build_model("points", generator_hidden=(HIDDEN, HIDDEN), discriminator_hidden=(HIDDEN, HIDDEN))
    gan = make_gan(*networks, image_shape=(2,), latent_dim=2, optimizer=ttur(1e-3, 1e-3, b1=0.5), penalties=penalties)
    rng = jax.random.key(0)
    params, opt_state = jax.jit(gan.init)(rng)

    @jax.jit
    def many_steps(params, opt_state):
        def body(state, number):
            chosen = jax.random.randint(jax.random.fold_in(jax.random.key(1), number), (128,), 0, len(ring))
            params, opt_state, metrics = gan.train_step(*state, {"image": ring[chosen]}, rng)
            return (params, opt_state), metrics

        return jax.lax.scan(body, (params, opt_state), jnp.arange(STEPS))

    (params, opt_state), metrics = many_steps(params, opt_state)
    return np.asarray(gan.sample(params, opt_state, jax.random.key(2), 1000)), metrics


results = {
    "no penalty": train_on_ring(),
    "R1": train_on_ring(GradientPenalty("r1", PENALTIES["r1"], weight=0.05)),
    "slope limit": train_on_ring(GradientPenalty("slope_limit", slope_limit, weight=0.05)),
}

# %% [markdown]
# ## Look at the results
# The metrics have the penalty under `penalty/` and its name. The pictures are an illustration of one seed. Whether a
# trick helps is a question for many seeds ([many runs](../tutorials/many_runs.md)).

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(2, len(results), figsize=(10, 6))
for (name, (samples, metrics)), (above, below) in zip(results.items(), axes.T):
    modes = mode_coverage(samples, source.centers, source.std).modes
    above.scatter(*ring[:500].T, s=2, color="0.8")
    above.scatter(*samples.T, s=2)
    above.set_title(f"{name}: {modes} of {len(source.centers)} modes")
    above.set_aspect("equal")
    for player in ("discriminator_loss", "generator_loss"):
        below.plot(metrics[player], label=player, linewidth=0.5)
    below.set_xlabel("step")
    below.legend()
plt.show()

# %% [markdown]
# ## Give it to the trainer
# `train` takes a function of your own as a `LossTerm`. With it you get the bar, checkpoints, the monitor and the
# report. The context has the minibatch and the discriminator.

# %%
import dataclasses

import gan_jax
from gan_jax.gan.types import LossTerm
from gan_jax.recipes.ring import CONFIG


def slope_term(context, state):
    critic = lambda points: context.discriminate(points, "slope_limit").logits
    return slope_limit(critic, context.minibatch.real), state


config = dataclasses.replace(
    CONFIG,
    recipe="slope_limit",
    steps=RUN_STEPS,
    sample_every=max(1, RUN_STEPS // 5),
    penalty=dataclasses.replace(CONFIG.penalty, r1=0.0, r2=0.0),
)
result = gan_jax.train(config, terms=[LossTerm("slope_limit", "discriminator", slope_term, weight=0.05)])
result

# %% [markdown]
# ## Keep it
# To make the penalty a flag, add one row to the table `gan_jax.penalties.PENALTIES`, one test with its source, and one
# line to the list of tricks. [Adding a trick](../extending.md) has the steps.
