"""Virtual batch normalisation: each example by a fixed reference batch joined with itself, never by its neighbours."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.nn.statistics import moments
from gan_jax.typing import Array, PyTree


class VirtualBatchNorm(nn.Module):
    """Normalises each example by the statistics of n reference examples and of the example itself.

    The reference batch goes through the same network, in front of the batch: the first `reference_size` = n rows of x
    are its activations r, the others the examples. With means over pixels, where there are any (and over the n reference examples),

        m_i = (1 / (n+1)) E[x_i] + (n / (n+1)) E[r],  s_i = (1 / (n+1)) E[x_i^2] + (n / (n+1)) E[r^2],
        y_i = scale * (x_i - m_i) / sqrt(s_i - m_i^2 + epsilon) + bias,

    and the reference rows are normalised by E[r] and Var[r]: virtual batch norm of the reference batch is batch norm
    of it. Training and sampling are the same; gradients flow through the reference rows too. `ReferenceBatch` keeps
    the reference inputs. The variance is computed as n/(n+1) Var[r] + 1/(n+1) Var[x_i] + n/(n+1)^2 (E[x_i] - E[r])^2,
    which is the same and loses no digits. No example meets another, so there is no `axis_name`: every device holds the
    whole reference batch and a part of the examples.

    Attributes:
        reference_size: n.
        epsilon: added to the variance.
        scale_init: initialiser of the scale.
        dtype: of the result; statistics and parameters are float32.

    References:
        Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.5; the weights 1/(n+1) and n/(n+1)
        are those of the authors' code (`imagenet/ops.py` of openai/improved-gan).
    """

    reference_size: int
    epsilon: float = 1e-5
    scale_init: Any = nn.initializers.ones
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalises the reference rows and the examples behind them.

        Args:
            x: float [reference_size + batch, ..., channels]; `batch` may be 0.

        Returns:
            Same shape as x, in `dtype`.

        Raises:
            ValueError: x has fewer rows than the reference batch, or no channels.
        """
        rows = self.reference_size
        if x.ndim < 2 or x.shape[0] < rows or rows < 1:
            raise ValueError(
                f"x must be [rows, ..., channels], the first reference_size={rows} (at least 1) the reference; got shape {x.shape}"
            )
        wide = x.astype(jnp.float32)
        reference, examples = wide[:rows], wide[rows:]
        mean, variance = moments(reference, range(x.ndim - 1))
        y = (reference - mean) * jax.lax.rsqrt(variance + self.epsilon)
        if examples.shape[0]:
            # Without pixels an example's mean is the example itself, and nothing varies in it.
            own_mean, own_variance = moments(examples, range(1, x.ndim - 1)) if x.ndim > 2 else (examples, jnp.zeros_like(examples))
            new = 1 / (rows + 1)
            joint_mean = new * own_mean + (1 - new) * mean
            joint_variance = new * own_variance + (1 - new) * variance + new * (1 - new) * jnp.square(own_mean - mean)
            y = jnp.concatenate([y, (examples - joint_mean) * jax.lax.rsqrt(joint_variance + self.epsilon)])
        channels = (x.shape[-1],)
        y = y * self.param("scale", self.scale_init, channels, jnp.float32)
        return (y + self.param("bias", nn.initializers.zeros, channels, jnp.float32)).astype(self.dtype)


class ReferenceBatch(nn.Module):
    """Puts a fixed reference batch in front of a batch of inputs, for the virtual batch norms behind it.

    The reference is state, not a parameter: collection "reference", drawn once at initialisation. A network calls it
    first and drops the first `size` rows of its result: `x = ReferenceBatch(n)(latents); ...; return images[n:]`.

    Attributes:
        size: n, of the reference batch.
        reference_init: `(rng, shape, dtype) -> inputs`; by default a draw of latents from N(0, 1). For a
            discriminator overwrite it with real images, see `set_reference`.
    """

    size: int
    reference_init: Any = nn.initializers.normal(1.0)

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """Returns [size + batch, ...], the reference in front of inputs [batch, ...]."""
        shape = (self.size, *inputs.shape[1:])

        def draw() -> Array:
            return self.reference_init(self.make_rng("params"), shape, jnp.float32)

        reference = self.variable("reference", "inputs", draw).value
        return jnp.concatenate([jax.lax.stop_gradient(reference).astype(inputs.dtype), inputs])


def set_reference(state: Mapping[str, PyTree], reference: Array) -> dict[str, PyTree]:
    """Replaces the reference batch in a network's state, e.g. by real images for a discriminator.

    Args:
        state: collections of a network, with "reference" among them.
        reference: float [size, ...], of the shape of the one that is there.

    Returns:
        The state with the new reference.

    Raises:
        ValueError: the state holds no reference, or one of another shape.
    """
    if "reference" not in state:
        raise ValueError(f"the state must hold the collection 'reference'; got {', '.join(state) or 'nothing'}")

    def replace(old: Array) -> Array:
        if old.shape != reference.shape:
            raise ValueError(f"reference must have shape {old.shape}; got {reference.shape}")
        return jnp.asarray(reference, old.dtype)

    return {**state, "reference": jax.tree.map(replace, state["reference"])}
