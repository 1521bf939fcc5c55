"""Batch normalisation whose variance keeps its digits."""

import flax.linen as nn


class BatchNorm(nn.BatchNorm):
    """`flax.linen.BatchNorm` with the variance as the mean of (x - m)^2 in place of the mean of x^2 less m^2.

    y = scale (x - m) / sqrt(v + epsilon) + bias for x [..., channels], with m and v over all axes but the last, and over all devices of
    an `axis_name`.
    The difference of two nearly equal numbers costs float32 most of its digits where the mean is large beside the deviation.

    References:
        Ioffe and Szegedy, "Batch Normalization", 2015; as in Flax the running variance is the biased one.
    """

    use_fast_variance: bool = False
