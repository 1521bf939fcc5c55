"""Makes models_torch.npz and models_vgg_*.pth: small networks, their weights and outputs, by PyTorch.

    python tests/golden/models_torch.py

Written with PyTorch 2.13.0 (CPU, float64 for the outputs), by hand from the published architectures: PyTorch-GAN's `gan.py`,
PyTorch's `examples/dcgan/main.py`, pix2pix's U-Net and PatchGAN, pix2pixHD's pyramid, torchvision's `vgg16().features`; SNGAN
(Miyato 2018, table 4, 32 pixels), SAGAN at 32 pixels as in torch-mimicry (`nets/sagan/sagan_32.py`), BigGAN with skip-z (Brock 2019,
appendix B), R3GAN (Huang 2024, and the authors' `Networks.py`), PGGAN (Karras 2018, table 2, and the authors' `networks.py` without
its fused layers); all narrow. Arrays are named <network>/weights/<PyTorch's name>, <network>/input and <network>/output, and
<network>/labels where there are classes.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

HERE = Path(__file__).parent


def mlp():
    def block(features, after, normalize=True):
        return [nn.Linear(features, after), *([nn.BatchNorm1d(after, 0.8)] if normalize else []), nn.LeakyReLU(0.2)]

    return nn.Sequential(*block(3, 4, False), *block(4, 5), *block(5, 6), nn.Linear(6, 12), nn.Tanh())


def dcgan_generator():
    return nn.Sequential(
        nn.ConvTranspose2d(3, 4, 4, 1, 0, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 2, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2),
        nn.ReLU(),
        nn.ConvTranspose2d(2, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    )


def dcgan_discriminator():
    return nn.Sequential(
        nn.Conv2d(3, 2, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2, 4, 4, 2, 1, bias=False),
        nn.BatchNorm2d(4),
        nn.LeakyReLU(0.2),
        nn.Conv2d(4, 1, 4, 1, 0, bias=False),
    )


def patch():
    return nn.Sequential(
        nn.Conv2d(4, 2, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2, 4, 4, 2, 1, bias=False),
        nn.BatchNorm2d(4),
        nn.LeakyReLU(0.2),
        nn.Conv2d(4, 8, 4, 1, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.LeakyReLU(0.2),
        nn.Conv2d(8, 1, 4, 1, 1),
    )


class UNet(nn.Module):
    """pix2pix's U-Net for 16x16, four levels of 2, 4, 8, 16 channels, no dropout."""

    def __init__(self):
        super().__init__()
        wide = (1, 2, 4, 8, 16)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1, bias=False) for a, b in pairwise(wide))
        self.down_norm = nn.ModuleDict({"1": nn.BatchNorm2d(4), "2": nn.BatchNorm2d(8)})
        self.up = nn.ModuleDict(
            {str(i): nn.ConvTranspose2d(wide[i + 1] * (1 if i == 3 else 2), wide[i], 4, 2, 1, bias=False) for i in (3, 2, 1)}
        )
        self.up_norm = nn.ModuleDict({str(i): nn.BatchNorm2d(wide[i]) for i in (3, 2, 1)})
        self.output = nn.ConvTranspose2d(4, 3, 4, 2, 1)

    def forward(self, x):
        skips = []
        for i, conv in enumerate(self.down):
            x = conv(x if i == 0 else torch.nn.functional.leaky_relu(x, 0.2))
            x = self.down_norm[str(i)](x) if str(i) in self.down_norm else x
            skips.append(x)
        x = skips.pop()
        for i in (3, 2, 1):
            x = self.up_norm[str(i)](self.up[str(i)](torch.relu(x)))
            x = torch.cat([x, skips.pop()], 1)
        return torch.tanh(self.output(torch.relu(x)))


def vgg():
    layers, channels = [], 3
    for width, count in ((4, 2), (5, 2), (6, 3), (7, 3), (8, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


class ConditionalNorm(nn.Module):
    """Batch norm with a scale and a bias per class (tables), or linear in a vector (BigGAN, where the scale is 1 + W v)."""

    def __init__(self, channels, classes=0, vector=0):
        super().__init__()
        self.norm, self.vector = nn.BatchNorm2d(channels, affine=False), vector
        self.scale, self.bias = (nn.Linear(vector, channels, bias=False) if vector else nn.Embedding(classes, channels) for _ in range(2))

    def forward(self, x, condition):
        scale = self.scale(condition) + (1 if self.vector else 0)
        return self.norm(x) * scale[:, :, None, None] + self.bias(condition)[:, :, None, None]


class Attention(nn.Module):
    """SAGAN's, with max pooling of keys and values, and the strength gamma."""

    def __init__(self, channels):
        super().__init__()
        self.query, self.key = (nn.Conv2d(channels, channels // 8, 1, bias=False) for _ in range(2))
        self.value, self.output = nn.Conv2d(channels, channels // 2, 1, bias=False), nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.tensor(0.0))

    def forward(self, x):
        query, key, value = self.query(x), F.max_pool2d(self.key(x), 2), F.max_pool2d(self.value(x), 2)
        weights = torch.einsum("bcq,bck->bqk", query.flatten(2), key.flatten(2)).softmax(-1)
        mixed = torch.einsum("bqk,bck->bcq", weights, value.flatten(2)).unflatten(2, x.shape[2:])
        return x + self.gamma * self.output(mixed)


class ResidualUp(nn.Module):
    """SNGAN's block of the generator: norm, ReLU, nearest up-sampling, 3x3, norm, ReLU, 3x3; up-sampling and 1x1 beside it."""

    def __init__(self, before, after, norm):
        super().__init__()
        self.norm_1, self.norm_2 = norm(before), norm(after)
        self.conv_1, self.conv_2 = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x, *condition):
        y = F.interpolate(torch.relu(self.norm_1(x, *condition)), scale_factor=2)
        y = self.conv_2(torch.relu(self.norm_2(self.conv_1(y), *condition)))
        return y + self.shortcut(F.interpolate(x, scale_factor=2))


class ResidualDown(nn.Module):
    """SNGAN's block of the discriminator; the first has no ReLU in front, and pools before its 1x1."""

    def __init__(self, before, after, down, first=False):
        super().__init__()
        self.down, self.first = down, first
        self.conv_1, self.conv_2 = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1) if down or before != after else nn.Identity()

    def forward(self, x):
        y = self.conv_2(torch.relu(self.conv_1(x if self.first else torch.relu(x))))
        if not self.down:
            return y + self.shortcut(x)
        beside = self.shortcut(F.avg_pool2d(x, 2)) if self.first else F.avg_pool2d(self.shortcut(x), 2)
        return F.avg_pool2d(y, 2) + beside


class ResidualGenerator(nn.Module):
    """Three blocks from 4x4 to 32x32; `attention` stands behind the block of that number.

    With `shared`, the classes' embedding of that size, the latents are cut into four: one part for the 4x4 map, and one for
    each block, which joins the embedding in both of its norms (BigGAN's skip-z).
    """

    def __init__(self, latents, width, classes=0, shared=0, attention=None):
        super().__init__()
        self.parts, self.width = 4 if shared else 1, width
        part = latents // self.parts

        def norm(channels):
            if not classes:
                return nn.BatchNorm2d(channels)
            return ConditionalNorm(channels, vector=shared + part) if shared else ConditionalNorm(channels, classes)

        self.classes, self.at = classes, attention
        self.shared = nn.Embedding(classes, shared) if shared else None
        self.project = nn.Linear(part, 16 * width)
        self.blocks = nn.ModuleList(ResidualUp(width, width, norm) for _ in range(3))
        self.attention = nn.ModuleList([Attention(width)] if attention is not None else [])
        self.norm, self.output = nn.BatchNorm2d(width), nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, latents, labels=None):
        first, *rest = latents.chunk(self.parts, 1)
        conditions = [()] * 3 if labels is None else [(labels,)] * 3
        if self.shared is not None:
            conditions = [(torch.cat([self.shared(labels), part], 1),) for part in rest]
        x = self.project(first).view(-1, self.width, 4, 4)
        for index, (block, condition) in enumerate(zip(self.blocks, conditions)):
            x = block(x, *condition)
            x = self.attention[0](x) if index == self.at else x
        return torch.tanh(self.output(torch.relu(self.norm(x))))


class ResidualDiscriminator(nn.Module):
    """Four blocks, two of which halve the sides, a sum over pixels, and a projection of the class."""

    def __init__(self, width, classes, attention=None):
        super().__init__()
        self.at = attention
        rows = ((1, True, True), (width, True, False), (width, False, False), (width, False, False))
        self.blocks = nn.ModuleList(ResidualDown(before, width, down, first) for before, down, first in rows)
        self.attention = nn.ModuleList([Attention(width)] if attention is not None else [])
        self.linear, self.embedding = nn.Linear(width, 1), nn.Embedding(classes, width)

    def forward(self, x, labels):
        for index, block in enumerate(self.blocks):
            x = block(x)
            x = self.attention[0](x) if index == self.at else x
        pooled = torch.relu(x).sum((2, 3))
        return self.linear(pooled)[:, 0] + (self.embedding(labels) * pooled).sum(1)


class NextBlock(nn.Module):
    """R3GAN's: 1x1 to twice the channels, 3x3 in groups, 1x1 back, without norms; biases in front of both leaky ReLUs."""

    def __init__(self, channels, groups):
        super().__init__()
        wide = 2 * channels
        self.expand, self.contract = nn.Conv2d(channels, wide, 1, bias=False), nn.Conv2d(wide, channels, 1, bias=False)
        self.grouped = nn.Conv2d(wide, wide, 3, padding=1, groups=groups, bias=False)
        self.bias_1, self.bias_2 = nn.Parameter(torch.zeros(wide)), nn.Parameter(torch.zeros(wide))

    def forward(self, x):
        y = F.leaky_relu(self.expand(x) + self.bias_1[:, None, None], 0.2)
        y = F.leaky_relu(self.grouped(y) + self.bias_2[:, None, None], 0.2)
        return x + self.contract(y)


def resampling_filter(channels):
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
    return torch.outer(line, line).expand(channels, 1, 4, 4) / 64


class NextGenerator(nn.Module):
    """R3GAN's from a basis of 4x4 maps, 4 channels, to 8x8, 2 channels."""

    def __init__(self):
        super().__init__()
        self.project, self.basis = nn.Linear(3, 4, bias=False), nn.Parameter(torch.zeros(4, 4, 4))
        self.block_0, self.block_1 = NextBlock(4, 4), NextBlock(2, 2)
        self.transition, self.output = nn.Conv2d(4, 2, 1, bias=False), nn.Conv2d(2, 3, 1, bias=False)

    def forward(self, latents):
        x = self.block_0(self.project(latents)[:, :, None, None] * self.basis)
        x = F.conv_transpose2d(self.transition(x), 4 * resampling_filter(2), stride=2, padding=1, groups=2)
        return self.output(self.block_1(x))


class NextDiscriminator(nn.Module):
    """Its mirror image, down to the inner product with a basis of 4x4 maps."""

    def __init__(self):
        super().__init__()
        self.input, self.transition = nn.Conv2d(3, 2, 1, bias=False), nn.Conv2d(2, 4, 1, bias=False)
        self.block_0, self.block_1 = NextBlock(2, 2), NextBlock(4, 4)
        self.basis, self.head = nn.Conv2d(4, 4, 4, groups=4, bias=False), nn.Linear(4, 1, bias=False)

    def forward(self, images):
        x = F.conv2d(self.block_0(self.input(images)), resampling_filter(2), stride=2, padding=1, groups=2)
        return self.head(self.basis(self.block_1(self.transition(x))).flatten(1))[:, 0]


class Equalized(nn.Module):
    """PGGAN's layer with a learning rate of its own: raw weights times gain / sqrt(fan_in), used as a convolution or a matrix."""

    def __init__(self, *shape, gain=2**0.5):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(shape)), nn.Parameter(torch.zeros(shape[0]))
        self.scale = gain / np.prod(shape[1:]) ** 0.5

    def forward(self, x):
        if self.weight.ndim == 2:
            return F.linear(x, self.scale * self.weight, self.bias)
        return F.conv2d(x, self.scale * self.weight, self.bias, padding=self.weight.shape[-1] // 2)


FADE = 0.3


class GrowingGenerator(nn.Module):
    """PGGAN's at 8x8, whose second stage is faded in by 0.3."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(4 * 16, 3)), nn.Parameter(torch.zeros(4))
        self.second_0, self.first_1, self.second_1 = (Equalized(4, 4, 3, 3) for _ in range(3))
        self.to_image_0, self.to_image_1 = (Equalized(1, 4, 1, 1, gain=1) for _ in range(2))

    def forward(self, latents):
        def settle(x):
            x = F.leaky_relu(x, 0.2)
            return x / torch.sqrt((x**2).mean(1, keepdim=True) + 1e-8)

        x = latents / torch.sqrt((latents**2).mean(1, keepdim=True) + 1e-8)
        x = F.linear(x, self.weight * (2**0.5 / 4 / 3**0.5)).view(-1, 4, 4, 4)
        small = settle(self.second_0(settle(x + self.bias[:, None, None])))
        large = settle(self.second_1(settle(self.first_1(F.interpolate(small, scale_factor=2)))))
        return torch.lerp(F.interpolate(self.to_image_0(small), scale_factor=2), self.to_image_1(large), FADE)


class GrowingDiscriminator(nn.Module):
    """PGGAN's at 8x8, whose second stage is faded in by 0.3; groups of 2 in the minibatch standard deviation."""

    def __init__(self):
        super().__init__()
        self.from_image_0, self.from_image_1 = (Equalized(4, 1, 1, 1) for _ in range(2))
        self.first_1, self.second_0 = (Equalized(4, 4, 3, 3) for _ in range(2))
        self.first_0, self.dense, self.head = Equalized(4, 5, 3, 3), Equalized(4, 64), Equalized(1, 4, gain=1)

    def forward(self, images):
        def activate(x):
            return F.leaky_relu(x, 0.2)

        x = activate(self.first_1(activate(self.from_image_1(images))))
        x = F.avg_pool2d(activate(self.second_0(x)), 2)
        x = torch.lerp(activate(self.from_image_0(F.avg_pool2d(images, 2))), x, FADE)
        groups = x.view(2, -1, *x.shape[1:])
        deviation = torch.sqrt(groups.var(0, unbiased=False) + 1e-8).mean((1, 2, 3)).repeat(2)
        x = torch.cat([x, deviation[:, None, None, None].expand(-1, 1, 4, 4)], 1)
        return self.head(activate(self.dense(activate(self.first_0(x)).flatten(1))))[:, 0]


def record(arrays, name, network, inputs, labels=None, spread=0.3):
    """Draws weights away from their initial zeros and ones, runs in training mode, keeps both."""
    generator = torch.Generator().manual_seed(len(name))
    network = network.double().train()
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * (spread if parameter.ndim > 1 else 0.5)
            # Rounded to float32, so that the weights kept are the weights used.
            parameter.copy_((parameter * (parameter.ndim == 1) + noise).float().double())
        inputs = inputs(generator).float().double()
        output = network(inputs) if labels is None else network(inputs, torch.tensor(labels))
    for key, value in network.named_parameters():
        arrays[f"{name}/weights/{key}"] = value.detach().float().numpy()
    arrays[f"{name}/input"] = inputs.float().numpy()
    arrays[f"{name}/output"] = output.numpy()
    if labels is not None:
        arrays[f"{name}/labels"] = np.array(labels, np.int32)
    return network


def main():
    torch.manual_seed(0)  # of the biases, to whose first values `record` adds
    arrays = {}
    record(arrays, "mlp", mlp(), lambda g: torch.randn(5, 3, generator=g))
    record(arrays, "dcgan_generator", dcgan_generator(), lambda g: torch.randn(3, 3, 1, 1, generator=g))
    record(arrays, "dcgan_discriminator", dcgan_discriminator(), lambda g: torch.rand(3, 3, 16, 16, generator=g) * 2 - 1)
    record(arrays, "patch", patch(), lambda g: torch.rand(2, 4, 32, 32, generator=g) * 2 - 1)
    record(arrays, "unet", UNet(), lambda g: torch.rand(2, 1, 16, 16, generator=g) * 2 - 1)
    record(arrays, "pyramid", nn.AvgPool2d(3, 2, 1, count_include_pad=False), lambda g: torch.rand(1, 1, 6, 6, generator=g))

    def image(g):
        return torch.rand(3, 1, 32, 32, generator=g) * 2 - 1

    record(arrays, "sngan_generator", ResidualGenerator(3, 4), lambda g: torch.randn(3, 3, generator=g))
    record(arrays, "sngan_discriminator", ResidualDiscriminator(4, 3), image, labels=[2, 0, 1])
    attentive = ResidualGenerator(3, 8, classes=3, attention=1)
    record(arrays, "sagan_generator", attentive, lambda g: torch.randn(3, 3, generator=g), labels=[2, 0, 1])
    record(arrays, "sagan_discriminator", ResidualDiscriminator(8, 3, attention=1), image, labels=[2, 0, 1], spread=0.15)
    skipping = ResidualGenerator(8, 4, classes=3, shared=5)
    record(arrays, "biggan_generator", skipping, lambda g: torch.randn(3, 8, generator=g), labels=[2, 0, 1])
    record(arrays, "r3gan_generator", NextGenerator(), lambda g: torch.randn(4, 3, generator=g), spread=0.6)
    record(arrays, "r3gan_discriminator", NextDiscriminator(), lambda g: torch.rand(4, 3, 8, 8, generator=g) * 2 - 1, spread=0.6)
    # Weights of unit variance, which the layers scale themselves.
    record(arrays, "progressive_generator", GrowingGenerator(), lambda g: torch.randn(4, 3, generator=g), spread=1.0)
    grown = GrowingDiscriminator()
    record(arrays, "progressive_discriminator", grown, lambda g: torch.rand(4, 1, 8, 8, generator=g) * 2 - 1, spread=1.0)

    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(7))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalized = (images.double() - mean.double()[:, None, None]) / std.double()[:, None, None]
    network = record(arrays, "vgg", vgg(), lambda g: normalized)
    arrays["vgg/images"] = images.numpy() * 2 - 1
    block, layer, x = 1, 1, normalized
    for module in network:
        x = module(x)
        if isinstance(module, nn.ReLU):
            arrays[f"vgg/relu{block}_{layer}"] = x.detach().numpy()
            layer += 1
        if isinstance(module, nn.MaxPool2d):
            block, layer = block + 1, 1
    del arrays["vgg/input"], arrays["vgg/output"]
    np.savez_compressed(HERE / "models_torch.npz", **arrays)

    state = {f"features.{key}": value.detach().float() for key, value in network.state_dict().items()}
    # A view that is neither at the start of its storage nor contiguous.
    state["features.0.weight"] = state["features.0.weight"].permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    state["features.0.bias"] = torch.cat([torch.zeros(2), state["features.0.bias"]])[2:]
    torch.save(state, HERE / "models_vgg_zip.pth")
    torch.save(state, HERE / "models_vgg_legacy.pth", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
