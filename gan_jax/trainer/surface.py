"""D's output on a grid of the plane, for data that are points."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from gan_jax.gan.spec import GANSpec
from gan_jax.typing import Array, PyTree


def grid_points(bounds: float, side: int) -> np.ndarray:
    """Centres of the cells of a square grid over [-bounds, bounds], float32 [side * side, 2], with x changing fastest."""
    ticks = (np.arange(side) + 0.5) * (2 * bounds / side) - bounds
    return np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2).astype(np.float32)


def discriminator_surface(spec: GANSpec, params: PyTree, opt_state: Any, points: Array, rng: Array, *, pack: int = 1) -> Array:
    """D's output at points of the plane, float [count]. The outputs of several patches or scales are averaged.

    A discriminator of packs receives equal points, so its output is that of a pack which lies there as a whole. A conditional
    discriminator receives class 0.

    Args:
        spec: The GAN.
        params: Parameters of D.
        opt_state: Train state.
        points: float [count, 2].
        rng: Typed key of D's draws.
        pack: Number of examples that D receives together (`--augment.pack`).
    """
    effective, _ = spec.effective_params("discriminator", params, opt_state)
    labels = jnp.zeros(len(points), jnp.int32) if spec.num_classes else None
    packed = jnp.tile(points, (1, pack))
    output, _ = spec.discriminator.apply(effective, opt_state.networks.discriminator, packed, labels, None, rng=rng, train=False)
    return output.logits.reshape(len(points), -1).mean(axis=1)
