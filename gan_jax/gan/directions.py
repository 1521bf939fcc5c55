"""Closed-form factorisation (SeFa): the directions of the latents that change the output of the first layer most."""

from collections.abc import Sequence

import jax.numpy as jnp

from gan_jax._internal.checks import check_float, check_rank
from gan_jax.typing import Array


def closed_form_directions(weights: Sequence[Array]) -> tuple[Array, Array]:
    """The unit directions n in descending order of |A^T n|^2, with A the weights of the layers that receive the latents.

        A = [w_1, w_2, ...] with columns of norm 1,  A A^T n = value n

    A step along n moves the outputs of these layers by |A^T n|, whatever the latents are, so the leading directions change the images
    most. No image and no label is needed. The sign of a direction is arbitrary. Here its largest entry is positive.

    Args:
        weights: Weights of the layers, each float [dim, outputs]: the first layer of a generator, or the affine layers of StyleGAN2.

    Returns:
        The directions, float32 [dim, dim], one in each row, and their eigenvalues, float32 [dim].

    Raises:
        ValueError: There are no weights, they are not matrices, or their numbers of rows differ.
        TypeError: They are not floating point.

    References:
        Shen and Zhou, "Closed-Form Factorization of Latent Semantics in GANs", 2021, and `factorize_weight` of genforce/sefa, commit
        69467f2, which normalises the columns. Deviation: a symmetric solver sorts the eigenvalues. The code does not sort them.
    """
    if not weights:
        raise ValueError("weights must have at least one matrix; got none")
    named = {f"weights[{index}]": weight for index, weight in enumerate(weights)}
    check_rank(2, **named)
    check_float(**named)
    if len({weight.shape[0] for weight in weights}) > 1:
        raise ValueError(f"weights must have one number of rows; got {[weight.shape for weight in weights]}")
    joined = jnp.concatenate([weight.astype(jnp.float32) for weight in weights], axis=1)
    norms = jnp.linalg.norm(joined, axis=0, keepdims=True)
    joined = joined / jnp.where(norms > 0, norms, 1.0)  # A column of zeros stays zero.
    values, vectors = jnp.linalg.eigh(joined @ joined.T)
    directions = vectors.T[::-1]
    largest = jnp.take_along_axis(directions, jnp.abs(directions).argmax(axis=1, keepdims=True), axis=1)
    return directions * jnp.where(largest < 0, -1.0, 1.0), values[::-1]
