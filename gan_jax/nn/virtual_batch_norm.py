"""Virtual batch normalisation: each example is normalised by a fixed reference batch and itself."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.nn.statistics import moments
from gan_jax.typing import Array, PyTree


class VirtualBatchNorm(nn.Module):
    """Normalises each example by the statistics of n reference examples and of the example itself.

    The reference batch passes through the same network, in front of the batch. The first n = `reference_size` rows of x
    are its activations r, and the other rows are the examples. E[.] is the mean over the pixels, if any. For r it is
    also the mean over the n reference examples.

        m_i = (1 / (n+1)) E[x_i] + (n / (n+1)) E[r],  s_i = (1 / (n+1)) E[x_i^2] + (n / (n+1)) E[r^2],
        y_i = scale * (x_i - m_i) / sqrt(s_i - m_i^2 + epsilon) + bias

    The reference rows are normalised by E[r] and Var[r], so for them the layer is batch norm of the reference batch.
    Training and sampling are the same. Gradients flow through the reference rows too. `ReferenceBatch` stores the
    reference inputs.

    The variance is computed as n/(n+1) Var[r] + 1/(n+1) Var[x_i] + n/(n+1)^2 (E[x_i] - E[r])^2, which is equal to the
    formula above and loses no digits.

    The examples are independent of each other, so the layer needs no `axis_name`. Every device holds the whole
    reference batch and a part of the examples.

    Attributes:
        reference_size: Number of reference examples, n.
        epsilon: Added to the variance.
        scale_init: Initialiser of the scale.
        dtype: Dtype of the result. Statistics and parameters are float32.

    References:
        Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.5. The weights 1/(n+1) and n/(n+1) are
        those of the authors' code (`imagenet/ops.py` of openai/improved-gan).
    """

    reference_size: int
    epsilon: float = 1e-5
    scale_init: Any = nn.initializers.ones
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalises the reference rows and the examples that follow them.

        Args:
            x: float [reference_size + batch, ..., channels]. `batch` may be 0.

        Returns:
            Same shape as x, in `dtype`.

        Raises:
            ValueError: If x has fewer rows than the reference batch, if x has fewer than 2 dimensions, or if
                `reference_size` is below 1.
        """
        rows = self.reference_size
        if x.ndim < 2 or x.shape[0] < rows or rows < 1:
            raise ValueError(f"x must be [rows, ..., channels] with at least reference_size={rows} (1 or more) rows; got shape {x.shape}")
        wide = x.astype(jnp.float32)
        reference, examples = wide[:rows], wide[rows:]
        mean, variance = moments(reference, range(x.ndim - 1))
        y = (reference - mean) * jax.lax.rsqrt(variance + self.epsilon)
        if examples.shape[0]:
            # Without pixels, the mean of an example is the example itself and its variance is 0.
            own_mean, own_variance = moments(examples, range(1, x.ndim - 1)) if x.ndim > 2 else (examples, jnp.zeros_like(examples))
            new = 1 / (rows + 1)
            joint_mean = new * own_mean + (1 - new) * mean
            joint_variance = new * own_variance + (1 - new) * variance + new * (1 - new) * jnp.square(own_mean - mean)
            y = jnp.concatenate([y, (examples - joint_mean) * jax.lax.rsqrt(joint_variance + self.epsilon)])
        channels = (x.shape[-1],)
        y = y * self.param("scale", self.scale_init, channels, jnp.float32)
        return (y + self.param("bias", nn.initializers.zeros, channels, jnp.float32)).astype(self.dtype)


class ReferenceBatch(nn.Module):
    """Puts a fixed reference batch in front of a batch of inputs, for the virtual batch norms of a network.

    The reference is state, not a parameter. It is in collection "reference" and is sampled once at initialisation. Call
    this module first, `x = ReferenceBatch(n)(latents)`, and drop the first n rows of the result of the network,
    `return images[n:]`.

    Attributes:
        size: Number of reference examples, n.
        reference_init: `(rng, shape, dtype) -> inputs`. The default samples latents from N(0, 1). For a discriminator,
            replace the reference with real images by `set_reference`.
    """

    size: int
    reference_init: Any = nn.initializers.normal(1.0)

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """Maps inputs [batch, ...] to [size + batch, ...], with the reference first."""
        shape = (self.size, *inputs.shape[1:])

        def draw() -> Array:
            return self.reference_init(self.make_rng("params"), shape, jnp.float32)

        reference = self.variable("reference", "inputs", draw).value
        return jnp.concatenate([jax.lax.stop_gradient(reference).astype(inputs.dtype), inputs])


def set_reference(state: Mapping[str, PyTree], reference: Array) -> dict[str, PyTree]:
    """Replaces the reference batch in the state of a network, for example with real images for a discriminator.

    Args:
        state: The collections of a network, including "reference".
        reference: float [size, ...], with the shape of the stored reference.

    Returns:
        The state with the new reference.

    Raises:
        ValueError: If the state has no reference, or one of another shape.
    """
    if "reference" not in state:
        raise ValueError(f"the state must hold the collection 'reference'; got {', '.join(state) or 'nothing'}")

    def replace(old: Array) -> Array:
        if old.shape != reference.shape:
            raise ValueError(f"reference must have shape {old.shape}; got {reference.shape}")
        return jnp.asarray(reference, old.dtype)

    return {**state, "reference": jax.tree.map(replace, state["reference"])}
