"""Discriminator rejection sampling: samples of G are accepted with a probability that D's estimate of the density ratio gives."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.optimize

from gan_jax._internal.checks import check_float, check_not_empty, check_rank
from gan_jax.typing import Array


class Calibration(NamedTuple):
    """A logistic regression on D's output: the calibrated logit is slope * logit + offset.

    Attributes:
        slope: float [].
        offset: float [].
    """

    slope: Array
    offset: Array

    def __call__(self, logits: Array) -> Array:
        """The calibrated logits, an estimate of log p_data(x) / p_G(x)."""
        return self.slope * logits + self.offset


def calibrate_logits(real_logits: Array, fake_logits: Array) -> Calibration:
    """Fits a logistic regression that tells reals from fakes by D's output.

    Rejection sampling needs the logit of an optimal D, log p_data / p_G. D's own output is not that for the hinge, Wasserstein and
    relativistic losses, and for a D that is regularised or not trained to its optimum. The regression minimises

        (mean softplus(-c(real)) + mean softplus(c(fake))) / 2 + slope'^2 / (2 n),  c = slope' (logit - mean) / deviation + offset'

    with n the number of logits, by BFGS. The last term keeps the slope finite if D separates all reals from all fakes.

    Args:
        real_logits: D(x) of reals that D was not trained on, if there are such, float [reals].
        fake_logits: D(G(z)), float [fakes].

    Returns:
        The calibration.

    Raises:
        ValueError: There are no logits, or they are not vectors.
        TypeError: The logits are not floating point.

    References:
        Turner et al., "Metropolis-Hastings Generative Adversarial Networks", 2019, section 3.2, calibrate by a logistic regression.
        Azadi et al., "Discriminator Rejection Sampling", 2019, train D further instead.
    """
    check_rank(1, real_logits=real_logits, fake_logits=fake_logits)
    check_not_empty(real_logits=real_logits, fake_logits=fake_logits)
    check_float(real_logits=real_logits, fake_logits=fake_logits)
    logits = jnp.concatenate([real_logits, fake_logits]).astype(jnp.float32)
    reals, fakes, count = len(real_logits), len(fake_logits), len(logits)
    mean, deviation = logits.mean(), jnp.maximum(logits.std(), jnp.finfo(jnp.float32).tiny)
    features = jnp.stack([(logits - mean) / deviation, jnp.ones(count)], axis=1)
    signs = jnp.concatenate([jnp.ones(reals), -jnp.ones(fakes)])
    weights = jnp.concatenate([jnp.full(reals, 0.5 / reals), jnp.full(fakes, 0.5 / fakes)])
    ridge = jnp.array([1.0 / count, 0.0])

    def objective(solution: Array) -> Array:
        return jnp.sum(weights * jax.nn.softplus(-signs * (features @ solution))) + 0.5 * jnp.sum(ridge * jnp.square(solution))

    slope, offset = jax.scipy.optimize.minimize(objective, jnp.zeros(2), method="BFGS", tol=1e-6).x
    return Calibration(slope / deviation, offset - slope * mean / deviation)


def acceptance_probabilities(
    logits: Array, maximum: Array | float, *, gamma_percentile: float | None = 95.0, epsilon: float = 1e-6
) -> tuple[Array, Array]:
    """Probabilities with which samples of G are accepted.

        p(x) = sigmoid(F(x)),  F(x) = D(x) - M - log(1 - exp(D(x) - M - epsilon)) - gamma

    D(x) is the calibrated logit, and M the largest logit so far, including that of x. gamma is a percentile of F over the batch. With
    gamma = 0 and epsilon = 0 this is exact rejection sampling, p = exp(D - M). A larger gamma accepts fewer samples, and a lower one
    more. In high dimensions hardly a sample is accepted with gamma = 0, because most of them are far below M.

    Args:
        logits: Calibrated logits in the order of the samples, float [batch]. See `calibrate_logits`.
        maximum: The largest calibrated logit of earlier samples. It comes from a burn-in of many samples.
        gamma_percentile: Percentile of F that gamma is, from 0 to 100. None: gamma = 0.
        epsilon: Keeps F finite at the maximum, positive.

    Returns:
        Probabilities [batch], and the largest logit including this batch, [].

    Raises:
        ValueError: There are no logits, they are not a vector, or `gamma_percentile` or `epsilon` is out of range.
        TypeError: The logits are not floating point.

    References:
        Azadi et al., "Discriminator Rejection Sampling", 2019, section 3.2 and algorithm 1. The order of the operations and the defaults
        are those of `rejection_sample` in uber-research/metropolis-hastings-gans, mhgan/mh.py, commit dd3f969.
    """
    check_rank(1, logits=logits)
    check_not_empty(logits=logits)
    check_float(logits=logits)
    if gamma_percentile is not None and not 0 <= gamma_percentile <= 100:
        raise ValueError(f"gamma_percentile must be between 0 and 100; got {gamma_percentile}")
    if not epsilon > 0:
        raise ValueError(f"epsilon must be positive; got {epsilon}")
    largest = jnp.maximum(jax.lax.cummax(logits), maximum)
    below = logits - largest
    values = below - jnp.log(-jnp.expm1(below - epsilon))
    gamma = 0.0 if gamma_percentile is None else jnp.percentile(values, gamma_percentile)
    return jax.nn.sigmoid(values - gamma), largest[-1]
