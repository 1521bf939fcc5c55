"""The Dirac-GAN of a game: its phase portrait, with the game's loss, penalty and update rule.

The real data is the point 0, G produces the point theta, and D(x) = psi x (Mescheder et al., 2018). The only equilibrium is (0, 0).
docs/dirac.md has the radii of all methods, and the theory.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import make_gan
from gan_jax.dynamics import Step, trajectory
from gan_jax.losses import ADVERSARIAL
from gan_jax.optimizers import ttur
from gan_jax.trainer.build.gan import build_penalties, build_update_rule
from gan_jax.trainer.config import Config, replace_field
from gan_jax.typing import DiscriminatorOutput, GeneratorOutput, Network, Players

STEP_SIZE = 0.2
STEPS = 200
START = (1.0, 1.0)
REACH = 2.0  # The portrait shows [-REACH, REACH] in both directions.
ARROWS = 13
# gamma / 2 of the paper's figure. D is one number here, so the weights for 2-D points have no meaning.
PENALTY = 0.15
CLIP = 1.0
PENALTIES = ("r1", "r2", "zero_centered", "wgan_gp", "dragan")


class Portrait(NamedTuple):
    """A phase portrait.

    Attributes:
        path: float [steps + 1, 2], (theta, psi) from the start.
        arrows: float [side, side, 2], the change of (theta, psi) in one step from a grid. Rows are ascending in psi, columns in theta.
    """

    path: np.ndarray
    arrows: np.ndarray


def dirac_config(config: Config) -> Config:
    """The fields that matter on one point: the loss, the penalties in the paper's strength, the update rule."""
    for name in PENALTIES:
        if getattr(config.penalty, name):
            config = replace_field(config, f"penalty.{name}", PENALTY)
    return config


def portrait(config: Config) -> Portrait:
    """The Dirac-GAN of a configuration, trained with the library's own step and gradient descent.

    Packing, instance noise, weight transforms and moving averages are left out: with one point and one number in each player they have
    no counterpart.

    References:
        Mescheder et al., "Which Training Methods for GANs do actually Converge?", 2018.
    """
    config = dirac_config(config)
    bound = CLIP if config.optimizer.clip_weights else None
    gan = make_gan(
        *_networks(),
        image_shape=(1,),
        latent_dim=1,
        loss=ADVERSARIAL[config.loss.name],
        penalties=build_penalties(config),
        optimizer=ttur(STEP_SIZE, STEP_SIZE, generator="sgd", discriminator="sgd", discriminator_bound=bound),
        update_rule=build_update_rule(config),
    )
    rng = jax.random.key(0)
    _, opt_state = gan.init(rng)
    batch = {"image": jnp.zeros((config.update.discriminator_steps, 1))}

    def step(players: Players, opt_state: Any) -> tuple[Players, Any]:
        return gan.train_step(players, opt_state, batch, rng)[:2]

    return Portrait(_path(step, opt_state), _arrows(step, opt_state))


def _networks() -> tuple[Network, Network]:
    def generate(params: Any, state: Any, latents: Any, labels: Any = None, context: Any = None, **keywords: Any) -> tuple:
        return GeneratorOutput(params["theta"] + jnp.zeros((len(latents), 1))), state

    def discriminate(params: Any, state: Any, points: Any, labels: Any = None, context: Any = None, **keywords: Any) -> tuple:
        return DiscriminatorOutput(params["psi"] * points[:, 0]), state

    theta, psi = map(jnp.float32, START)
    return Network(lambda *inputs: ({"theta": theta}, ()), generate), Network(lambda *inputs: ({"psi": psi}, ()), discriminate)


def _players(theta: Any, psi: Any) -> Players:
    return Players({"theta": theta}, {"psi": psi})


def _path(step: Step, opt_state: Any) -> np.ndarray:
    path = jax.jit(lambda players: trajectory(step, players, opt_state, steps=STEPS))(_players(*map(jnp.float32, START)))
    return np.stack([path.generator["theta"], path.discriminator["psi"]], axis=1)


def _arrows(step: Step, opt_state: Any) -> np.ndarray:
    def change(theta: Any, psi: Any) -> Any:
        moved, _ = step(_players(theta, psi), opt_state)
        return jnp.stack([moved.generator["theta"] - theta, moved.discriminator["psi"] - psi])

    ticks = jnp.linspace(-REACH, REACH, ARROWS)
    over_rows = jax.vmap(jax.vmap(change, (0, None)), (None, 0))
    return np.asarray(jax.jit(over_rows)(ticks, ticks))
