"""Makes models_torch.npz and models_vgg_*.pth: small networks, their weights and outputs, by PyTorch.

    python tests/golden/models_torch.py

Written with PyTorch 2.13.0 (CPU, float64 for the outputs), by hand from the published architectures: PyTorch-GAN's `gan.py`,
PyTorch's `examples/dcgan/main.py`, pix2pix's U-Net and PatchGAN, pix2pixHD's pyramid, torchvision's `vgg16().features`; all
narrow. Arrays are named <network>/weights/<PyTorch's name>, <network>/input and <network>/output.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
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


def record(arrays, name, network, inputs):
    """Draws weights away from their initial zeros and ones, runs in training mode, keeps both."""
    generator = torch.Generator().manual_seed(len(name))
    network = network.double().train()
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * (0.3 if parameter.ndim > 1 else 0.5)
            # Rounded to float32, so that the weights kept are the weights used.
            parameter.copy_((parameter * (parameter.ndim == 1) + noise).float().double())
        inputs = inputs(generator).float().double()
        output = network(inputs)
    for key, value in network.named_parameters():
        arrays[f"{name}/weights/{key}"] = value.detach().float().numpy()
    arrays[f"{name}/input"] = inputs.float().numpy()
    arrays[f"{name}/output"] = output.numpy()
    return network


def main():
    arrays = {}
    record(arrays, "mlp", mlp(), lambda g: torch.randn(5, 3, generator=g))
    record(arrays, "dcgan_generator", dcgan_generator(), lambda g: torch.randn(3, 3, 1, 1, generator=g))
    record(arrays, "dcgan_discriminator", dcgan_discriminator(), lambda g: torch.rand(3, 3, 16, 16, generator=g) * 2 - 1)
    record(arrays, "patch", patch(), lambda g: torch.rand(2, 4, 32, 32, generator=g) * 2 - 1)
    record(arrays, "unet", UNet(), lambda g: torch.rand(2, 1, 16, 16, generator=g) * 2 - 1)
    record(arrays, "pyramid", nn.AvgPool2d(3, 2, 1, count_include_pad=False), lambda g: torch.rand(1, 1, 6, 6, generator=g))

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
