"""Makes layers_torch.npz: what PyTorch 2.13 (CPU, float64) computes for the layers of `gan_jax.nn`, with gradients.

    python tests/golden/layers_torch.py

Each case holds, under "CASE/...": inputs "x" (and "labels", "condition"), parameters "params/..." as our modules name and
lay them out, the result "y", a random cotangent "g" and the gradient "dx" of sum(g * y). Images are [batch, height, width,
channels] in the file, [batch, channels, height, width] inside PyTorch. Where PyTorch has no operator, the arithmetic is the
paper's or its authors' code's, written out below.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
CASES = {}


def nhwc(t):
    return t.permute(0, 2, 3, 1) if t.ndim == 4 else t


def hwio(kernel):
    return kernel.permute(2, 3, 1, 0)


def case(name, x, function, params=None, **inputs):
    x = x.clone().requires_grad_()
    y = function(x)
    g = torch.randn_like(y)
    (dx,) = torch.autograd.grad((g * y).sum(), x)
    rows = {"x": nhwc(x), "y": nhwc(y), "g": nhwc(g), "dx": nhwc(dx), **inputs}
    rows |= {f"params/{key}": value for key, value in (params or {}).items()}
    CASES.update({f"{name}/{key}": value for key, value in rows.items()})


def images(channels=6, size=4, batch=4):
    return torch.randn(batch, channels, size, size) * 1.5 + 0.5


C = 6
scale, bias = torch.randn(C), torch.randn(C)
spread = (1, C, 1, 1)

case("pixel_norm", images(), lambda x: x / torch.sqrt(x.pow(2).mean(dim=1, keepdim=True) + 1e-8))
case("instance_norm", images(), lambda x: F.instance_norm(x, weight=scale, bias=bias), {"scale": scale, "bias": bias})
case("layer_norm", images(), lambda x: F.group_norm(x, 1, scale, bias), {"norm/scale": scale, "norm/bias": bias})


def switchable(x):
    """Luo et al., equations 3 to 5, with biased variances throughout."""
    mean_in, var_in = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, unbiased=False)
    mean_ln = mean_in.mean(1, keepdim=True)
    var_ln = (var_in + mean_in**2).mean(1, keepdim=True) - mean_ln**2
    mean_bn = mean_in.mean(0, keepdim=True)
    var_bn = (var_in + mean_in**2).mean(0, keepdim=True) - mean_bn**2
    u, v = torch.softmax(mean_weight, 0), torch.softmax(var_weight, 0)
    mean = u[0] * mean_in + u[1] * mean_ln + u[2] * mean_bn
    var = v[0] * var_in + v[1] * var_ln + v[2] * var_bn
    return (x - mean) / torch.sqrt(var + 1e-5) * scale.view(spread) + bias.view(spread)


mean_weight, var_weight = torch.randn(3), torch.randn(3)
weights = {"mean_weight": mean_weight, "var_weight": var_weight}
case("switchable_norm", images(), switchable, {"scale": scale, "bias": bias, **weights})


def virtual(x, n=3):
    """openai/improved-gan, imagenet/ops.py: first and second moments mixed with weights 1/(n+1) and n/(n+1)."""
    reference, examples = x[:n], x[n:]
    ref_mean, ref_sq = reference.mean((0, 2, 3), keepdim=True), (reference**2).mean((0, 2, 3), keepdim=True)
    new = 1 / (n + 1)
    mean = new * examples.mean((2, 3), keepdim=True) + (1 - new) * ref_mean
    sq = new * (examples**2).mean((2, 3), keepdim=True) + (1 - new) * ref_sq
    rest = (examples - mean) / torch.sqrt(sq - mean**2 + 1e-5)
    front = (reference - ref_mean) / torch.sqrt(ref_sq - ref_mean**2 + 1e-5)
    return torch.cat([front, rest]) * scale.view(spread) + bias.view(spread)


case("virtual_batch_norm", images(batch=5), virtual, {"scale": scale, "bias": bias})

labels = torch.tensor([2, 0, 1, 2])
tables = {"scale": torch.randn(3, C), "bias": torch.randn(3, C)}


def affine(x, s, b):
    return F.batch_norm(x, None, None, training=True) * s[:, :, None, None] + b[:, :, None, None]


case("conditional_batch_norm_labels", images(), lambda x: affine(x, tables["scale"][labels], tables["bias"][labels]), tables, labels=labels)
condition, w_scale, w_bias = torch.randn(4, 5), torch.randn(5, C), torch.randn(5, C)
case(
    "conditional_batch_norm_vectors",
    images(),
    lambda x: affine(x, 1 + condition @ w_scale, condition @ w_bias),
    {"scale/kernel": w_scale, "bias/kernel": w_bias},
    condition=condition,
)

case("pixel_shuffle", images(12, 3), lambda x: F.pixel_shuffle(x, 2))
case("average_pool", images(), lambda x: F.avg_pool2d(x, 2))
case("max_pool", images(), lambda x: F.max_pool2d(x, 2))
case("resize_nearest", images(), lambda x: F.interpolate(x, scale_factor=3, mode="nearest"))
case("resize_bilinear", images(), lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))

# R3GAN's resamplers (brownvc/R3GAN, R3GAN/Resamplers.py, the reference classes): the filter [1, 2, 1] * [1, 1], normalised.
line = torch.tensor([1.0, 3.0, 3.0, 1.0])
kernel = torch.outer(line, line).expand(C, 1, 4, 4) / 64
case("filtered_upsample", images(), lambda x: F.conv_transpose2d(x, 4 * kernel, stride=2, padding=1, groups=C))
case("filtered_downsample", images(), lambda x: F.conv2d(x, kernel, stride=2, padding=1, groups=C))

out_bias = torch.randn(5)
up4 = torch.randn(C, 5, 4, 4) / 5
up_params = {"conv/kernel": up4.flip(2, 3).permute(2, 3, 0, 1), "conv/bias": out_bias}
case("upsample_transposed", images(), lambda x: F.conv_transpose2d(x, up4, out_bias, stride=2, padding=1), up_params)
w3 = torch.randn(5, C, 3, 3) / 5
w3_params = {"conv/kernel": hwio(w3), "conv/bias": out_bias}
conv3 = lambda x: F.conv2d(x, w3, out_bias, padding=1)  # noqa: E731
case("upsample_nearest", images(), lambda x: conv3(F.interpolate(x, scale_factor=2, mode="nearest")), w3_params)
case("upsample_bilinear", images(), lambda x: conv3(F.interpolate(x, scale_factor=2, mode="bilinear")), w3_params)
ws, bs = torch.randn(8, C, 3, 3) / 5, torch.randn(8)
shuffled = {"conv/kernel": hwio(ws), "conv/bias": bs}
case("upsample_pixel_shuffle", images(), lambda x: F.pixel_shuffle(F.conv2d(x, ws, bs, padding=1), 2), shuffled)
w4 = torch.randn(5, C, 4, 4) / 5
case(
    "downsample_strided",
    images(),
    lambda x: F.conv2d(x, w4, out_bias, stride=2, padding=1),
    {"conv/kernel": hwio(w4), "conv/bias": out_bias},
)
case("downsample_average", images(), lambda x: F.avg_pool2d(conv3(x), 2), w3_params)
case("downsample_max", images(), lambda x: F.max_pool2d(conv3(x), 2), w3_params)

wf, wg, bf, bg = torch.randn(5, C, 3, 3) / 5, torch.randn(5, C, 3, 3) / 5, torch.randn(5), torch.randn(5)
gated = {"conv/kernel": torch.cat([hwio(wf), hwio(wg)], dim=-1), "conv/bias": torch.cat([bf, bg])}


def gated_conv(x):
    features = F.conv2d(x, wf, bf, padding=2, dilation=2)
    return F.elu(features) * torch.sigmoid(F.conv2d(x, wg, bg, padding=2, dilation=2))


case("gated_conv", images(), gated_conv, gated)

D = 16
theta, phi, value, back = torch.randn(2, D, 1, 1) / 2, torch.randn(2, D, 1, 1) / 2, torch.randn(8, D, 1, 1) / 4, torch.randn(D, 8, 1, 1) / 3
gamma = torch.tensor(0.7)


def attention(x, whole=False):
    """brain-research/self-attention-gan, non_local.py, in PyTorch's operators."""
    n, _, h, w = x.shape
    q = F.conv2d(x, theta).reshape(n, 2, h * w)
    k = F.max_pool2d(F.conv2d(x, phi), 2).reshape(n, 2, h * w // 4)
    v = F.max_pool2d(F.conv2d(x, value), 2).reshape(n, 8, h * w // 4)
    weights = torch.softmax(torch.bmm(q.transpose(1, 2), k), dim=-1)
    mixed = torch.bmm(v, weights.transpose(1, 2)).reshape(n, 8, h, w)
    y = x + gamma * F.conv2d(mixed, back)
    return weights.reshape(n, h, w, h // 2, w // 2) if whole else y


dense = lambda w: w[:, :, 0, 0].T  # noqa: E731
attention_params = {
    "query/kernel": dense(theta),
    "key/kernel": dense(phi),
    "value/kernel": dense(value),
    "output/kernel": dense(back),
    "gamma": gamma,
}
case("self_attention", images(D), attention, attention_params)
CASES["self_attention/map"] = attention(CASES["self_attention/x"].detach().permute(0, 3, 1, 2), whole=True)

tensor = torch.randn(7, 3 * 2) * 0.3


def discrimination(x):
    m = (x @ tensor).reshape(-1, 3, 2)
    close = torch.exp(-torch.cdist(m.transpose(0, 1), m.transpose(0, 1), p=1)).sum(-1).T
    return torch.cat([x, close], dim=1)


case("minibatch_discrimination", torch.randn(5, 7), discrimination, {"tensor": tensor})


def stddev(x, group):
    """tkarras/progressive_growing_of_gans, networks.py, minibatch_stddev_layer."""
    y = x.reshape(group, -1, *x.shape[1:])
    y = (y - y.mean(0, keepdim=True)).square().mean(0)
    y = torch.sqrt(y + 1e-8).mean((1, 2, 3), keepdim=True)
    return torch.cat([x, y.repeat(group, 1, *x.shape[2:])], dim=1)


case("minibatch_stddev", images(), lambda x: stddev(x, 4))
case("minibatch_stddev_groups", images(), lambda x: stddev(x, 2))

vector, embedding = torch.randn(7), torch.randn(3, 7)
head = {"linear/kernel": vector[:, None], "linear/bias": torch.tensor([0.3]), "embedding/embedding": embedding}
case("projection", torch.randn(4, 7), lambda x: x @ vector + 0.3 + (embedding[labels] * x).sum(1), head, labels=labels)

raw = torch.randn(5, C, 3, 3)
equalized = {"conv/kernel": hwio(raw), "conv/bias": out_bias}
case("equalized_conv", images(), lambda x: F.conv2d(x, raw * (2 / (9 * C)) ** 0.5, out_bias, padding=1), equalized)
raw_dense = torch.randn(3, 7)
equalized = {"dense/kernel": raw_dense.T, "dense/bias": torch.tensor([0.1, 0.2, 0.3])}
case("equalized_dense", torch.randn(4, 7), lambda x: F.linear(x, raw_dense / 7**0.5, equalized["dense/bias"]), equalized)

table = torch.randn(3, 2 * 2 * 2)


def class_channels(x):
    maps = F.embedding(labels, table).reshape(-1, 2, 2, 2).permute(0, 3, 1, 2)
    return torch.cat([x, F.interpolate(maps, scale_factor=2, mode="nearest")], dim=1)


case("class_embedding", images(), class_channels, {"table/embedding": table}, labels=labels)

grouped = torch.randn(8, 2, 3, 3) / 3
case("grouped_conv", images(8), lambda x: F.conv2d(x, grouped, padding=1, groups=4), {"kernel": hwio(grouped)})

arrays = {name: value.detach().numpy() for name, value in CASES.items()}
arrays = {name: a.astype(np.int32 if a.dtype == np.int64 else np.float32) for name, a in arrays.items()}
np.savez_compressed(Path(__file__).with_suffix(".npz"), **arrays)
print(len(arrays), "arrays of", len({name.split("/")[0] for name in arrays}), "cases by PyTorch", torch.__version__)
