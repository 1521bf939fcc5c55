"""Golden values of the augmentations from PyTorch 2. Run by hand where PyTorch is: `python tests/golden/inputs_torch.py`.

Writes inputs_torch.npz beside this file. DiffAugment: the arithmetic of the authors' PyTorch code (mit-han-lab/data-efficient-gans,
commit 297dc8c) for given draws. ADA's warp: PyTorch's own reflection padding, convolutions, `affine_grid` and
`grid_sample`, put together as in NVlabs/stylegan2-ada-pytorch, commit 375a436.
"""

import pathlib

import numpy as np
import torch
import torch.nn.functional as F

SYM6 = [0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466, 0.787641141030194]
SYM6 += [0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148]


def nhwc(x):
    return x.permute(0, 2, 3, 1).numpy()


def translate(x, offsets):
    """Index arithmetic on an image with one pixel of zeros around it, indices clamped onto that frame."""
    padded = F.pad(x, [1, 1, 1, 1])
    out = torch.empty_like(x)
    for n, (dy, dx) in enumerate(offsets):
        rows = (torch.arange(x.size(2)) + dy + 1).clamp(0, x.size(2) + 1)
        columns = (torch.arange(x.size(3)) + dx + 1).clamp(0, x.size(3) + 1)
        out[n] = padded[n][:, rows][:, :, columns]
    return out


def cut(x, centers):
    mask = torch.ones_like(x)
    for n, (y, x_center) in enumerate(centers):
        sizes = int(x.size(2) * 0.5 + 0.5), int(x.size(3) * 0.5 + 0.5)
        rows = (torch.arange(sizes[0]) + y - sizes[0] // 2).clamp(0, x.size(2) - 1)
        columns = (torch.arange(sizes[1]) + x_center - sizes[1] // 2).clamp(0, x.size(3) - 1)
        for row in rows:
            mask[n, :, row, columns] = 0
    return x * mask


def convolve(x, taps, stride=1):
    """Separable correlation of every channel with `taps`."""
    channels = x.size(1)
    x = F.conv2d(x, taps.view(1, 1, -1, 1).repeat(channels, 1, 1, 1), stride=(stride, 1), groups=channels)
    return F.conv2d(x, taps.view(1, 1, 1, -1).repeat(channels, 1, 1, 1), stride=(1, stride), groups=channels)


def warp(x, inverse, margin):
    """Mirrors, up-samples by 2 with sym6, reads bilinearly, down-samples; `inverse` maps output to input, about the centre."""
    batch, channels, height, width = x.shape
    taps = torch.tensor(SYM6) / sum(SYM6)
    x = F.pad(x, [margin] * 4, mode="reflect")
    zeros = torch.zeros(batch, channels, x.size(2) * 2, x.size(3) * 2, dtype=x.dtype)
    zeros[:, :, ::2, ::2] = x
    fine = convolve(F.pad(zeros, [6, 5, 6, 5]), 2 * taps.flip(0))  # a convolution: the taps flipped
    size = [batch, channels, (height + 6) * 2, (width + 6) * 2]

    def scale(sx, sy):
        return torch.diag(torch.tensor([sx, sy, 1.0]))

    def shift(t):
        return torch.tensor([[1, 0, t], [0, 1, t], [0, 0, 1.0]])

    inverse = scale(2, 2) @ inverse @ scale(0.5, 0.5)
    inverse = shift(-0.5) @ inverse @ shift(0.5)
    inverse = scale(2 / fine.size(3), 2 / fine.size(2)) @ inverse @ scale(size[3] / 2, size[2] / 2)
    grid = F.affine_grid(inverse[:, :2], size, align_corners=False)
    read = F.grid_sample(fine, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return convolve(read[:, :, 1:-1, 1:-1], taps, stride=2)


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 3, 16, 11, generator=generator) * 2 - 1
    shift, factor = torch.tensor([-0.4, 0.0, 0.3]), torch.tensor([0.5, 1.0, 1.4])
    offsets, centers = [[-2, 1], [0, 0], [2, -1]], [[0, 0], [7, 5], [16, 10]]
    spread = factor.view(-1, 1, 1, 1)
    means = images.mean(1, keepdim=True), images.mean((1, 2, 3), keepdim=True)

    angle = torch.tensor([0.3, -2.0, 1.1])
    turn = torch.stack([torch.stack([a.cos(), -a.sin(), a.sin(), a.cos()]).view(2, 2) for a in angle])
    inverse = torch.eye(3).repeat(3, 1, 1)
    inverse[:, :2, :2] = turn @ torch.diag(torch.tensor([0.8, 1.3]))
    inverse[:, :2, 2] = torch.tensor([[0.7, -1.2], [2.5, 0.25], [0.0, -3.3]])
    square = torch.rand(3, 3, 16, 16, generator=generator) * 2 - 1

    np.savez(
        pathlib.Path(__file__).with_suffix(".npz"),
        source=np.array(f"PyTorch {torch.__version__}, tests/golden/inputs_torch.py"),
        images=nhwc(images),
        shift=shift.numpy(),
        factor=factor.numpy(),
        offsets=np.array(offsets),
        centers=np.array(centers),
        brightness=nhwc(images + shift.view(-1, 1, 1, 1)),
        saturation=nhwc((images - means[0]) * spread + means[0]),
        contrast=nhwc((images - means[1]) * spread + means[1]),
        translation=nhwc(translate(images, offsets)),
        cutout=nhwc(cut(images, centers)),
        square=nhwc(square),
        inverse=inverse.numpy(),
        warped=nhwc(warp(square, inverse, margin=15)),
    )
