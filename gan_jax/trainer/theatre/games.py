"""The games of the theatre: names of configurations for points in the plane."""

import dataclasses
import difflib
from collections.abc import Sequence
from typing import Any, NamedTuple

from gan_jax.trainer.config import Config, ConfigError, DataConfig, ModelConfig, OptimizerConfig, replace_field

# The baseline of the mixtures in docs/evidence.md, so that a game here is a row there.
BASE = Config(
    steps=3000,
    batch_size=128,
    data=DataConfig(source="ring"),
    model=ModelConfig(
        name="points",
        latent_dim=2,
        options={"generator_hidden": "128,128", "discriminator_hidden": "128,128,128", "activation": "leaky_relu"},
    ),
    optimizer=OptimizerConfig(generator_lr=2e-3, discriminator_lr=2e-3, b1=0.0, schedule="cosine", ema_decay=0.0),
)
# Narrow modes need steep gradients of D, so penalties have smaller weights than on images. They are those of docs/evidence.md.
R1 = 5e-3
GAMES: dict[str, dict[str, Any]] = {
    "non-saturating": {"loss.name": "non_saturating"},
    "minimax": {"loss.name": "minimax"},
    "least squares": {"loss.name": "least_squares"},
    "hinge": {"loss.name": "hinge"},
    "relativistic": {"loss.name": "relativistic"},
    "WGAN": {"loss.name": "wasserstein", "optimizer.clip_weights": 0.1},
    "WGAN-GP": {"loss.name": "wasserstein", "penalty.wgan_gp": 0.1},
    "R3GAN": {"loss.name": "relativistic", "penalty.r1": R1, "penalty.r2": R1},
    "R1": {"penalty.r1": R1},
    "R2": {"penalty.r2": R1},
    "0-GP": {"penalty.zero_centered": R1},
    "DRAGAN": {"penalty.dragan": 0.1},
    "spectral norm": {"transform.spectral_norm": "discriminator"},
    "instance noise": {"augment.instance_noise": 0.1},
    "PacGAN": {"augment.pack": 2},
    "unrolled": {"update.name": "unrolled", "update.unroll_steps": 5},
    "extragradient": {"update.name": "extragradient"},
    "simultaneous": {"update.name": "simultaneous"},
    "consensus": {"update.name": "consensus", "update.consensus_weight": 0.1},
    "EMA": {"optimizer.ema_decay": 0.999},
}


class Game(NamedTuple):
    """A configuration with the name that the page shows.

    Attributes:
        name: The name as it was typed. "+R1" becomes "non-saturating + R1".
        config: The configuration.
    """

    name: str
    config: Config


def game_config(name: str, base: Config, before: Sequence[Game] = ()) -> Game:
    """Finds a game by its name.

    Names are the keys of `GAMES`, in any case. Several names joined by "+" are all applied, in their order. A name that begins with "+"
    adds to the last game before it that has a name without a "+".

    Args:
        name: The name, e.g. "hinge", "hinge + R1" or "+R1".
        base: The configuration that the game changes.
        before: The games before it.

    Raises:
        ConfigError: If the name is unknown, or if it begins with "+" and nothing is before it.
    """
    parts = [part.strip() for part in name.split("+")]
    if not parts[0]:
        plain = [game for game in before if "+" not in game.name]
        if not plain:
            raise ConfigError(f"--games {name}: adds to the game before it, but there is none; name one first, e.g. non-saturating")
        parts[:1] = [plain[-1].name]
    keys = {key.lower().replace("_", "-").replace(" ", "-"): key for key in GAMES}
    found = []
    for part in parts:
        key = keys.get(part.lower().replace("_", "-").replace(" ", "-"))
        if key is None:
            similar = difflib.get_close_matches(part.lower(), list(keys), n=1, cutoff=0.5)
            hint = f" (did you mean {keys[similar[0]]}?)" if similar else ""
            raise ConfigError(f"--games {name}: no game {part!r}{hint}; must be one of {', '.join(GAMES)}, or several joined by +")
        found.append(key)
    config = base
    for key in found:
        for path, value in GAMES[key].items():
            config = replace_field(config, path, value)
    return Game(" + ".join(found), dataclasses.replace(config, recipe="theatre"))
