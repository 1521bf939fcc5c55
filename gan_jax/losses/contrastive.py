"""Losses of a discriminator that embeds images and compares them with each other and with one learned vector (proxy) for each class.

All similarities are cosines, so that only the directions of embeddings and proxies matter. These arguments are the same in all losses:

- `embeddings`: float [batch, dim].
- `proxies`: float [batch, dim], for each example the proxy of its class.
- `labels`: int [batch], the classes. They only say which examples have the same class.
- `axis_name`: Mapped axis of `shard_map`, `pmap` or `vmap` whose examples are compared with each other. None: those of `embeddings`.

Each value depends on the whole batch, so its gradient reaches the embeddings of all examples.
"""

import jax
import jax.numpy as jnp

from gan_jax._internal.checks import check_interval, check_not_empty, check_rank
from gan_jax.losses.common import check_logits
from gan_jax.typing import Array

AxisName = str | None


def data_to_data_cross_entropy_loss(
    embeddings: Array, proxies: Array, labels: Array, *, temperature: float = 0.5, margin: float = 0.98, axis_name: AxisName = None
) -> Array:
    """Data-to-data cross-entropy of ReACGAN (D2D-CE): pulls an embedding to its proxy, and pushes it away from other classes.

        a_i = relu((margin - cos(e_i, p_i)) / t)
        s_ij = (cos(e_i, e_j) + margin - 1) / t,   m_i = max of s_ij over j != i, without gradient
        loss_i = a_i + log(exp(-a_i) + sum over j of another class of exp(relu(s_ij) - m_i))

    An example whose cosine with its proxy is above the margin is not pulled. One whose cosine with an example of another class is below
    1 - margin is not pushed. D minimises the loss of reals, and G that of fakes.

    This is the authors' code, whose m_i lowers the part of other classes. It is not subtracted from the first exponential.

    Args:
        embeddings, proxies, labels, axis_name: See the module.
        temperature: t, above 0. The authors use 0.5 for CIFAR-10 and 0.75 for Baby ImageNet.
        margin: In [0, 1]. The authors use 0.98 for CIFAR-10 and 1.0 for Baby ImageNet.

    Returns:
        One value per example, [batch], float32 or wider.

    Raises:
        TypeError: Embeddings or proxies are not floating point, or the labels are not integers.
        ValueError: The shapes do not fit, there are fewer than two examples, or a setting is outside its range.

    References:
        Kang et al., "Rebooting ACGAN: Auxiliary Classifier GANs with Stable Training", 2021.
        Code: POSTECH-CVLab/PyTorch-StudioGAN, `Data2DataCrossEntropyLoss`, commit 947b35e.
    """
    check_interval(0, 1, margin=margin)
    to_proxy, similar, others, same = _compare(embeddings, proxies, labels, temperature, axis_name)
    similar = similar + (margin - 1) / temperature
    largest = jax.lax.stop_gradient(jnp.max(similar, axis=1, keepdims=True, where=others, initial=-jnp.inf))
    pushed = jnp.where(others & ~same, jnp.exp(jax.nn.relu(similar) - largest), 0.0)
    pull = jax.nn.relu(margin / temperature - to_proxy)
    return pull + jnp.log(jnp.exp(-pull) + jnp.sum(pushed, axis=1))


def conditional_contrastive_loss(
    embeddings: Array, proxies: Array, labels: Array, *, temperature: float = 1.0, axis_name: AxisName = None
) -> Array:
    """Conditional contrastive loss of ContraGAN (2C): pulls an embedding to its proxy and to the examples of its class.

        loss_i = -log((exp(cos(e_i, p_i) / t) + sum over j != i of the same class of exp(cos(e_i, e_j) / t))
                      / (exp(cos(e_i, p_i) / t) + sum over j != i of exp(cos(e_i, e_j) / t)))

    D minimises the loss of reals, and G that of fakes.

    Args:
        embeddings, proxies, labels, axis_name: See the module.
        temperature: t, above 0. The authors use 1 for CIFAR-10.

    Returns:
        One value per example, [batch], float32 or wider, at least 0.

    Raises:
        TypeError: Embeddings or proxies are not floating point, or the labels are not integers.
        ValueError: The shapes do not fit, there are fewer than two examples, or the temperature is not positive.

    References:
        Kang and Park, "ContraGAN: Contrastive Learning for Conditional Image Generation", 2020.
        Code: POSTECH-CVLab/PyTorch-StudioGAN, `ConditionalContrastiveLoss`, commit 947b35e.
    """
    to_proxy, similar, others, same = _compare(embeddings, proxies, labels, temperature, axis_name)

    def total(chosen: Array) -> Array:
        return jax.nn.logsumexp(jnp.concatenate([to_proxy[:, None], jnp.where(chosen, similar, -jnp.inf)], axis=1), axis=1)

    return total(others) - total(others & same)


def _compare(
    embeddings: Array, proxies: Array, labels: Array, temperature: float, axis_name: AxisName
) -> tuple[Array, Array, Array, Array]:
    """Cosines divided by the temperature: with the own proxy [batch], and with all examples [batch, all].

    Also returns which of these are other examples, and which have the same class, both bool [batch, all].
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0; got {temperature}")
    embeddings, proxies = check_logits(embeddings=embeddings, proxies=proxies)
    check_rank(2, embeddings=embeddings)
    check_rank(1, labels=labels)
    check_not_empty(embeddings=embeddings)
    if not jnp.issubdtype(jnp.result_type(labels), jnp.integer):
        raise TypeError(f"labels must be integers; got {jnp.result_type(labels)}")
    if labels.shape != embeddings.shape[:1]:
        raise ValueError(f"embeddings and labels must have one batch size; got shapes {embeddings.shape} and {labels.shape}")
    embeddings, proxies = _normalize(embeddings), _normalize(proxies)
    everyone, classes, first = embeddings, labels, jnp.int32(0)
    if axis_name is not None:
        everyone, classes = (jax.lax.all_gather(rows, axis_name, tiled=True) for rows in (embeddings, labels))
        first = jax.lax.axis_index(axis_name) * len(embeddings)
    if len(everyone) < 2:
        raise ValueError("embeddings must have at least two examples, which are compared with each other; got 1")
    others = jnp.arange(len(everyone)) != first + jnp.arange(len(embeddings))[:, None]
    to_proxy = jnp.sum(embeddings * proxies, axis=1) / temperature
    return to_proxy, embeddings @ everyone.T / temperature, others, labels[:, None] == classes


def _normalize(vectors: Array) -> Array:
    """Vectors of length 1. A vector of zeros stays zero, with a finite gradient."""
    return vectors * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(vectors), axis=1, keepdims=True), 1e-16))
