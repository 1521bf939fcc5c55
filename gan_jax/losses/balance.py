"""The weight of the adversarial term beside task terms, computed from gradients."""

import jax
import jax.numpy as jnp

from gan_jax.losses.common import to_compute_dtype
from gan_jax.typing import Array, PyTree


def adaptive_weight(task_gradient: PyTree, adversarial_gradient: PyTree, *, eps: float = 1e-4, largest: float = 1e4) -> Array:
    """Weight that gives the adversarial term a gradient as large as that of the task term: w = min(|g_task| / (|g_adv| + eps), largest).

    Both gradients are those at the last layer of the generator. Multiply the adversarial term by the weight. VQGAN's published
    settings then multiply it by another 0.75 or 0.8.

    Args:
        task_gradient: Gradient of the task term (reconstruction, perceptual distance) at the last layer, an array or a tree.
        adversarial_gradient: Gradient of the adversarial term at the same layer, of any structure.
        eps: Added to the norm of the adversarial gradient.
        largest: Upper bound of the weight.

    Returns:
        The weight, [], float32 or wider, in [0, largest]. It carries no gradient.

    Raises:
        ValueError: A tree has no arrays, `eps` is negative, or `largest` is not positive.

    References:
        Esser et al., "Taming Transformers for High-Resolution Image Synthesis", 2021, equation 7, which has 1e-6 where the authors' code
        (CompVis/taming-transformers, commit 3ba01b2) and this function have 1e-4.
    """
    if eps < 0 or not largest > 0:
        raise ValueError(f"eps must not be negative and largest must be positive; got {eps} and {largest}")
    task, adversarial = _norm("task_gradient", task_gradient), _norm("adversarial_gradient", adversarial_gradient)
    return jnp.clip(task / (adversarial + eps), 0.0, largest)


def _norm(name: str, tree: PyTree) -> Array:
    leaves = [to_compute_dtype(jax.lax.stop_gradient(leaf)) for leaf in jax.tree.leaves(tree)]
    if not leaves:
        raise ValueError(f"{name} must hold at least one array; got none")
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in leaves))
