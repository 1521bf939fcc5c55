"""The train steps of the benchmark in PyTorch, in its fastest plain form: channels_last, fused Adam, foreach moving average."""

import itertools
import math
import os
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

# This file is read without JAX too, see torch_process.py.
THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def leaky(x):
    return F.leaky_relu(x, 0.2)


class DcganGenerator(nn.Module):
    """As `gan_jax.models.dcgan`: a dense layer to a 4x4 map, then transposed 4x4 convolutions."""

    def __init__(self, image_size: int, channels: int, latent_dim: int, width: int):
        super().__init__()
        levels = image_size.bit_length() - 3
        features = [width * 2**i for i in reversed(range(levels))]
        self.first = features[0]
        self.project = nn.Linear(latent_dim, 16 * features[0], bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(f) for f in features)
        pairs = zip(features, [*features[1:], channels])
        self.ups = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False) for a, b in pairs)

    def forward(self, latents):
        """Images [batch, channels, size, size]."""
        x = self.project(latents).view(-1, self.first, 4, 4).contiguous(memory_format=torch.channels_last)
        for norm, up in zip(self.norms, self.ups):
            x = up(leaky(norm(x)))
        return torch.tanh(x)


class DcganDiscriminator(nn.Module):
    """As `gan_jax.models.dcgan`, with batch norm after all but the first convolution, or without batch norm."""

    def __init__(self, image_size: int, channels: int, width: int, norm: str):
        super().__init__()
        features = [channels, *(width * 2**i for i in range(image_size.bit_length() - 3))]
        bias = norm == "none"
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1, bias=bias) for a, b in itertools.pairwise(features))
        self.norms = nn.ModuleList(nn.BatchNorm2d(f) if i and norm == "batch" else nn.Identity() for i, f in enumerate(features[1:]))
        self.output = nn.Linear(16 * features[-1], 1, bias=bias)

    def forward(self, images):
        """Logits [batch]."""
        x = images
        for down, norm in zip(self.downs, self.norms):
            x = leaky(norm(down(x)))
        return self.output(x.flatten(1))[:, 0]


class ResidualUp(nn.Module):
    """SNGAN's generator block."""

    def __init__(self, features: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(features) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(features, features, 3, padding=1) for _ in range(2))
        self.shortcut = nn.Conv2d(features, features, 1)

    def forward(self, x):
        """The block's output."""
        h = self.convs[0](F.interpolate(F.relu(self.norms[0](x)), scale_factor=2))
        h = self.convs[1](F.relu(self.norms[1](h)))
        return h + self.shortcut(F.interpolate(x, scale_factor=2))


class ResidualDown(nn.Module):
    """SNGAN's discriminator block. The first block of a network has no activation before it."""

    def __init__(self, inputs: int, features: int, *, down: bool, first: bool = False):
        super().__init__()
        self.down, self.first = down, first
        self.convs = nn.ModuleList([nn.Conv2d(inputs, features, 3, padding=1), nn.Conv2d(features, features, 3, padding=1)])
        self.shortcut = nn.Conv2d(inputs, features, 1) if down or inputs != features else nn.Identity()

    def forward(self, x):
        """The block's output."""
        h = self.convs[1](F.relu(self.convs[0](x if self.first else F.relu(x))))
        h = F.avg_pool2d(h, 2) if self.down else h
        shortcut = F.avg_pool2d(x, 2) if self.first else x
        shortcut = self.shortcut(shortcut)
        return h + (F.avg_pool2d(shortcut, 2) if self.down and not self.first else shortcut)


class SnganGenerator(nn.Module):
    """The 32x32 network of SNGAN."""

    def __init__(self, channels: int, latent_dim: int, width: int):
        super().__init__()
        features = 4 * width
        self.first = features
        self.project = nn.Linear(latent_dim, 16 * features)
        self.blocks = nn.Sequential(*(ResidualUp(features) for _ in range(3)))
        self.norm = nn.BatchNorm2d(features)
        self.output = nn.Conv2d(features, channels, 3, padding=1)

    def forward(self, latents):
        """Images [batch, channels, size, size]."""
        x = self.project(latents).view(-1, self.first, 4, 4).contiguous(memory_format=torch.channels_last)
        return torch.tanh(self.output(F.relu(self.norm(self.blocks(x)))))


class SnganDiscriminator(nn.Module):
    """The 32x32 network of SNGAN."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        features = 2 * width
        self.blocks = nn.Sequential(
            ResidualDown(channels, features, down=True, first=True),
            ResidualDown(features, features, down=True),
            ResidualDown(features, features, down=False),
            ResidualDown(features, features, down=False),
        )
        self.output = nn.Linear(features, 1)

    def forward(self, images):
        """Logits [batch]."""
        return self.output(F.relu(self.blocks(images)).sum((2, 3)))[:, 0]


def _mlp(inputs: int, outputs: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs))


def networks(model: str, image_shape: tuple[int, ...], latent_dim: int, norm: str, width: int) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator of a model."""
    if model == "points":
        return _mlp(latent_dim, 2, width), nn.Sequential(_mlp(2, 1, width), nn.Flatten(0))
    size, _, channels = image_shape
    if model == "sngan":
        return SnganGenerator(channels, latent_dim, width), SnganDiscriminator(channels, width)
    return DcganGenerator(size, channels, latent_dim, width), DcganDiscriminator(size, channels, width, norm)


def _penalty(name: str, critic: nn.Module, real, fake):
    """Gradient penalty through `create_graph`."""
    if name == "r1":
        inputs = real.detach().clone().requires_grad_(True)
    else:
        share = torch.rand(len(real), *(1,) * (real.ndim - 1), device=real.device)
        inputs = (share * real + (1 - share) * fake).detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(inputs).sum(), inputs, create_graph=True)
    squares = slope.square().flatten(1).sum(1)
    return squares.mean() if name == "r1" else (squares.sqrt() - 1).square().mean()


def training(
    model: str,
    *,
    image_shape: tuple[int, ...],
    batch: int = 64,
    latent_dim: int = 128,
    norm: str = "batch",
    width: int = 64,
    spectral: bool = False,
    penalty: tuple[str, float] | None = None,
    shared_fakes: bool = False,
    autocast: bool = False,
    compiled: bool = False,
    device: str = "cpu",
) -> Callable[[], Any]:
    """Returns a function that makes one alternating train step per call."""
    torch.manual_seed(0)
    torch.set_num_threads(THREADS)
    layout = torch.channels_last if len(image_shape) == 3 else torch.preserve_format
    generator, discriminator = (n.to(device, memory_format=layout) for n in networks(model, image_shape, latent_dim, norm, width))
    if spectral:
        for module in list(discriminator.modules()):
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.utils.parametrizations.spectral_norm(module)
    average = [p.detach().clone() for p in generator.parameters()]
    optimizers = [torch.optim.Adam(n.parameters(), 2e-4, betas=(0.5, 0.999), fused=True) for n in (generator, discriminator)]
    shape = (batch, image_shape[2], *image_shape[:2]) if len(image_shape) == 3 else (batch, *image_shape)
    real = torch.rand(shape, device=device).mul(2).sub(1).contiguous(memory_format=layout)

    def discriminator_loss(fake):
        with torch.autocast(device, torch.bfloat16, enabled=autocast):
            loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake)).mean()
            return loss + penalty[1] * _penalty(penalty[0], discriminator, real, fake) if penalty else loss

    def generate():
        with torch.autocast(device, torch.bfloat16, enabled=autocast):
            return generator(torch.randn(batch, latent_dim, device=device))

    def generator_loss(fake):
        with torch.autocast(device, torch.bfloat16, enabled=autocast):
            return F.softplus(-discriminator(fake)).mean()

    if compiled:
        discriminator_loss, generator_loss, generate = (torch.compile(f) for f in (discriminator_loss, generator_loss, generate))

    def step():
        with torch.set_grad_enabled(shared_fakes):
            fake = generate()
        optimizers[1].zero_grad()
        discriminator_loss(fake.detach()).backward()
        optimizers[1].step()
        # The G update needs no gradients of the weights of D.
        discriminator.requires_grad_(False)
        optimizers[0].zero_grad()
        generator_loss(fake if shared_fakes else generate()).backward()
        optimizers[0].step()
        discriminator.requires_grad_(True)
        with torch.no_grad():
            torch._foreach_lerp_(average, list(generator.parameters()), 1e-3)
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def sampling(
    model: str,
    *,
    image_shape: tuple[int, ...],
    latent_dim: int = 128,
    width: int = 64,
    count: int = 10_000,
    chunk: int = 500,
    autocast: bool = False,
) -> Callable[[], Any]:
    """Returns a function that samples `count` images in chunks. Chunks of 500 are faster than smaller ones here."""
    torch.set_num_threads(THREADS)
    generator = networks(model, image_shape, latent_dim, "batch", width)[0].to(memory_format=torch.channels_last).eval()

    def call():
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            for _ in range(math.ceil(count / chunk)):
                generator(torch.randn(chunk, latent_dim))

    return call
