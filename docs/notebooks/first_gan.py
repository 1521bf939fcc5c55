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
# # Your first GAN
#
# This notebook trains a GAN on handwritten digits, looks at what it learned, and samples from it. The digits are in the
# package, so nothing is downloaded. It needs the extras `train` and `notebooks`:
#
#     pip install "gan-jax[train,notebooks]"      # from a checkout: pip install -e '.[train,notebooks]'
#
# The next cell has the size of the run. With these values, training takes a few minutes on two CPU cores.

# %% tags=["parameters"]
STEPS = 1000
BATCH_SIZE = 64
WIDTH = 32  # Channels of the first layer of D. Larger networks are better and slower.
SAMPLE_EVERY = 100  # Steps between two pictures.
SAMPLES = 2000  # Images that are measured at the end.
LOOP_STEPS = 500  # Steps of the plain loop in the last part.

# %% [markdown]
# ## Train
# A recipe is a `Config` with the settings of a known GAN. `dataclasses.replace` changes some of them. Each field is
# also a flag of the command `gan-jax train`.
#
# While `train` runs, the bar shows the step, the losses and the newest samples. They begin as noise and become digits.

# %%
import dataclasses

import gan_jax
from gan_jax.recipes.dcgan_mnist import CONFIG

config = dataclasses.replace(
    CONFIG,
    recipe="dcgan_mnist",
    steps=STEPS,
    batch_size=BATCH_SIZE,
    sample_every=SAMPLE_EVERY,
    model=dataclasses.replace(CONFIG.model, width=WIDTH),
    evaluation=dataclasses.replace(CONFIG.evaluation, samples=SAMPLES),
)
result = gan_jax.train(config)

# %% [markdown]
# The result shows how near the samples are to real digits. The report that it links has everything about the run.

# %%
result

# %% [markdown]
# ## Look at the losses
# Every row of metrics is a line of `metrics.jsonl`. The losses of a GAN do not fall like those of a classifier. They
# show a balance: the run is healthy while both players win some of the time.

# %%
import json

import matplotlib.pyplot as plt

rows = [json.loads(line) for line in (result.directory / "metrics.jsonl").read_text().splitlines()]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3))
for axes, names in ((left, ("discriminator_loss", "generator_loss")), (right, ("real_accuracy", "fake_accuracy"))):
    for name in names:
        points = [(row["step"], row[name]) for row in rows if name in row]
        axes.plot(*zip(*points), label=name)
    axes.set_xlabel("step")
    axes.legend()
plt.show()

# %% [markdown]
# ## Sample
# `load_run` reads a run back from its directory, at its newest checkpoint. The same key always gives the same images.

# %%
import jax

run = gan_jax.load_run(result.directory)
run

# %%
from gan_jax.trainer.image_grid import image_grid, to_pillow

gan = run.built.gan
images = gan.sample(run.params, run.opt_state, jax.random.key(1), 32)
to_pillow(image_grid(images, cols=8), scale=2)

# %% [markdown]
# ## Interpolate
# A point between two latents gives an image between two images. Gaussian latents lie near a sphere, so the path is a
# great circle and not a straight line. Each row below is one path.

# %%
from gan_jax.latents import great_circle_strip

ends = jax.random.normal(jax.random.key(2), (2, 4, config.model.latent_dim))
latents = great_circle_strip(ends[0], ends[1], steps=8)
images = gan.sample(run.params, run.opt_state, jax.random.key(0), 32, latents=latents.reshape(32, -1))
to_pillow(image_grid(images, cols=8), scale=2)

# %% [markdown]
# ## Use one loss in a plain loop
# The losses are functions of logits. They need no trainer and no framework. Here two small networks learn a circle,
# with the hinge loss and an optimiser of optax.

# %%
import jax.numpy as jnp
import optax

from gan_jax.losses import hinge_discriminator_loss, hinge_generator_loss


def init(rng, sizes):
    keys = jax.random.split(rng, len(sizes) - 1)
    return [
        {"kernel": jax.random.normal(key, (rows, columns)) * (2 / rows) ** 0.5, "bias": jnp.zeros(columns)}
        for key, rows, columns in zip(keys, sizes[:-1], sizes[1:])
    ]


def apply(params, inputs):
    for layer in params[:-1]:
        inputs = jax.nn.leaky_relu(inputs @ layer["kernel"] + layer["bias"], 0.2)
    return inputs @ params[-1]["kernel"] + params[-1]["bias"]


def circle(rng, count=128):
    angles = jax.random.uniform(rng, (count,), maxval=2 * jnp.pi)
    return jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=-1)


optimizer = optax.adam(1e-3, b1=0.5)


@jax.jit
def step(generator, discriminator, states, rng):
    real_key, latent_key = jax.random.split(rng)
    real, latents = circle(real_key), jax.random.normal(latent_key, (128, 2))

    def discriminator_loss(discriminator):
        fake = apply(generator, latents)
        return hinge_discriminator_loss(apply(discriminator, real)[:, 0], apply(discriminator, fake)[:, 0]).mean()

    def generator_loss(generator, discriminator):
        return hinge_generator_loss(apply(discriminator, apply(generator, latents))[:, 0]).mean()

    updates, of_d = optimizer.update(jax.grad(discriminator_loss)(discriminator), states[1])
    discriminator = optax.apply_updates(discriminator, updates)
    updates, of_g = optimizer.update(jax.grad(generator_loss)(generator, discriminator), states[0])
    return optax.apply_updates(generator, updates), discriminator, (of_g, of_d)


generator, discriminator = init(jax.random.key(0), (2, 64, 64, 2)), init(jax.random.key(1), (2, 64, 64, 1))
states = optimizer.init(generator), optimizer.init(discriminator)
for number in range(LOOP_STEPS):
    generator, discriminator, states = step(generator, discriminator, states, jax.random.key(number))

points = apply(generator, jax.random.normal(jax.random.key(3), (500, 2)))
figure, axes = plt.subplots(figsize=(3, 3))
axes.scatter(*circle(jax.random.key(4)).T, s=4, label="real")
axes.scatter(*points.T, s=4, label="fake")
axes.legend()
plt.show()

# %% [markdown]
# ## Where to go next
# - [own_penalty.ipynb](own_penalty.ipynb): write a penalty of your own and train with it.
# - [Your own images](../tutorials/own_images.md), [your own networks](../tutorials/your_networks.md).
# - [The tricks](../tricks.md): each one with its flag, its function and what was measured.
