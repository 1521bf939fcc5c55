"""PyTorch's train step of the workloads: eager, compiled, or captured as a CUDA graph, in channels_last, with fused Adam.

It computes what the step of gan_jax computes: two passes of D on new fakes with penalties, one pass for G on other fakes, Adam, and a
moving average of G.
"""

import itertools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from experiments.benchmarks import torch_steps
from experiments.benchmarks.accelerator.scale import StepWorkload

LATENTS, LEAK = 128, 0.2
MODES = {"compile": {}, "max-autotune": {"mode": "max-autotune"}}


class ResNeXtBlock(nn.Module):
    """As `gan_jax.models.r3gan.ResNeXtBlock`. The initial values do not matter for the time."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        inside = 2 * channels
        self.expand = nn.Conv2d(channels, inside, 1, bias=False)
        self.grouped = nn.Conv2d(inside, inside, 3, padding=1, groups=groups, bias=False)
        self.contract = nn.Conv2d(inside, channels, 1, bias=False)
        self.bias_1, self.bias_2 = (nn.Parameter(torch.zeros(inside, 1, 1)) for _ in range(2))

    def forward(self, x):
        """The block's output."""
        y = F.leaky_relu(self.expand(x) + self.bias_1, LEAK)
        y = F.leaky_relu(self.grouped(y) + self.bias_2, LEAK)
        return x + self.contract(y)


def _resample(x, up: bool):
    """Resampling by 2 with the filter [1, 3, 3, 1] / 8 in both directions, as `gan_jax.nn.resize` has it."""
    channels = x.shape[1]
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=x.device, dtype=x.dtype) / 8
    kernel = torch.outer(taps, taps)[None, None].expand(channels, 1, 4, 4)
    if up:
        return F.conv_transpose2d(x, 4 * kernel, stride=2, padding=1, groups=channels)
    return F.conv2d(x, kernel, stride=2, padding=1, groups=channels)


class R3ganGenerator(nn.Module):
    """As `gan_jax.models.r3gan.R3ganGenerator`."""

    def __init__(self, channels: int, widths: list[int], blocks: int, group_size: int):
        super().__init__()
        self.project = nn.Linear(LATENTS, widths[0], bias=False)
        self.basis = nn.Parameter(torch.randn(widths[0], 4, 4))
        self.transitions = nn.ModuleList(nn.Identity() if a == b else nn.Conv2d(a, b, 1, bias=False) for a, b in itertools.pairwise(widths))
        self.stages = nn.ModuleList(nn.Sequential(*(ResNeXtBlock(w, 2 * w // group_size) for _ in range(blocks))) for w in widths)
        self.output = nn.Conv2d(widths[-1], channels, 1, bias=False)

    def forward(self, latents):
        """Images [batch, channels, size, size]."""
        x = (self.project(latents)[:, :, None, None] * self.basis).contiguous(memory_format=torch.channels_last)
        for index, stage in enumerate(self.stages):
            x = _resample(self.transitions[index - 1](x), up=True) if index else x
            x = stage(x)
        return self.output(x)


class R3ganDiscriminator(nn.Module):
    """As `gan_jax.models.r3gan.R3ganDiscriminator`."""

    def __init__(self, channels: int, widths: list[int], blocks: int, group_size: int):
        super().__init__()
        self.input = nn.Conv2d(channels, widths[0], 1, bias=False)
        self.transitions = nn.ModuleList(nn.Identity() if a == b else nn.Conv2d(a, b, 1, bias=False) for a, b in itertools.pairwise(widths))
        self.stages = nn.ModuleList(nn.Sequential(*(ResNeXtBlock(w, 2 * w // group_size) for _ in range(blocks))) for w in widths)
        self.basis = nn.Parameter(0.25 * torch.randn(widths[-1], 4, 4))
        self.head = nn.Linear(widths[-1], 1, bias=False)

    def forward(self, images):
        """Logits [batch]."""
        x = self.input(images)
        for index, stage in enumerate(self.stages):
            x = self.transitions[index - 1](_resample(x, up=False)) if index else x
            x = stage(x)
        return self.head((x * self.basis).sum((2, 3)))[:, 0]


def networks(workload: StepWorkload) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator of a workload."""
    options = {"width": {"r3gan": 96}.get(workload.model, 64), "channels": 3} | workload.options
    if workload.model != "r3gan":
        shape = (workload.size, workload.size, options["channels"])
        return torch_steps.networks(workload.model, shape, LATENTS, "batch", options["width"])
    widths = [options["width"] // max(2**level // 32, 1) for level in range(2, workload.size.bit_length())]
    settings = (options.get("blocks", 2), options.get("group_size", 16))
    return R3ganGenerator(options["channels"], widths, *settings), R3ganDiscriminator(options["channels"], widths[::-1], *settings)


def discriminator_loss(name: str, real, fake):
    """The discriminator's loss, float32 []."""
    real, fake = real.float(), fake.float()
    if name == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    if name == "relativistic":
        return F.softplus(fake - real).mean()
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(name: str, real, fake):
    """The generator's loss, float32 []."""
    fake = fake.float()
    if name == "hinge":
        return -fake.mean()
    return F.softplus(real.float() - fake).mean() if name == "relativistic" else F.softplus(-fake).mean()


def training(workload: StepWorkload, *, mode: str, precision: str, device: str) -> Callable[[], Any]:
    """Returns a function that makes one alternating train step per call, without waiting for the device.

    Args:
        workload: The networks and losses.
        mode: "eager", "compile", "max-autotune", or "graph" (the whole step as one CUDA graph).
        precision: "float32", "tf32", or "bfloat16" (autocast).
        device: "cuda" or "cpu".
    """
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "float32"
    torch.backends.cudnn.benchmark = True
    layout = torch.channels_last
    generator, discriminator = (network.to(device, memory_format=layout) for network in networks(workload))
    if workload.spectral:
        for module in list(discriminator.modules()):
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.utils.parametrizations.spectral_norm(module)
    average = [p.detach().clone() for p in generator.parameters()]
    options: dict[str, Any] = {"betas": (0.5, 0.999), "fused": True} | ({"capturable": True} if mode == "graph" else {})
    optimizers = [torch.optim.Adam(network.parameters(), 2e-4, **options) for network in (generator, discriminator)]
    channels = workload.options.get("channels", 3)
    real = torch.rand((workload.batch, channels, workload.size, workload.size), device=device)
    real = real.mul(2).sub(1).contiguous(memory_format=layout)

    def autocast() -> Any:
        return torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")

    def penalty(images):
        images = images.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(discriminator(images).float().sum(), images, create_graph=True)
        return slope.float().square().flatten(1).sum(1).mean()

    def generate():
        with autocast():
            return generator(torch.randn(workload.batch, LATENTS, device=device)).float()

    def loss_of_discriminator(fake):
        with autocast():
            loss = discriminator_loss(workload.loss, discriminator(real), discriminator(fake))
            for name, weight in workload.penalties.items():
                loss = loss + weight * penalty({"r1": real, "r2": fake}[name])
            return loss

    def loss_of_generator(fake):
        with autocast():
            reals = discriminator(real) if workload.loss == "relativistic" else None
            return generator_loss(workload.loss, reals, discriminator(fake))

    if mode in MODES:
        # A penalty differentiates inside the loss, which the compiler cannot trace, so then D's loss runs eagerly.
        generate, loss_of_generator = (torch.compile(f, **MODES[mode]) for f in (generate, loss_of_generator))
        if not workload.penalties:
            loss_of_discriminator = torch.compile(loss_of_discriminator, **MODES[mode])

    def step() -> None:
        if mode in MODES:
            torch.compiler.cudagraph_mark_step_begin()
        with torch.no_grad():
            fake = generate().clone()
        optimizers[1].zero_grad(set_to_none=True)
        loss_of_discriminator(fake).backward()
        optimizers[1].step()
        discriminator.requires_grad_(False)
        optimizers[0].zero_grad(set_to_none=True)
        loss_of_generator(generate()).backward()
        optimizers[0].step()
        discriminator.requires_grad_(True)
        with torch.no_grad():
            torch._foreach_lerp_(average, list(generator.parameters()), 1e-3)

    return captured(step) if mode == "graph" else step


def captured(step: Callable[[], None]) -> Callable[[], Any]:
    """Captures a step as a CUDA graph, and returns the function that replays it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
