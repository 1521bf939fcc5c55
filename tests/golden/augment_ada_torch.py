"""Golden values of ADA's pipeline, computed by the authors' own code. Run by hand where PyTorch 2 and SciPy are:

    python tests/golden/augment_ada_torch.py PATH_OF_A_CLONE

The clone is NVlabs/stylegan2-ada-pytorch, commit d72cc7d. Writes augment_ada_torch.npz beside this file. The parameters of each operation
are those of `AugmentPipe(images, debug_percentile)`, which sets every draw to a quantile of its distribution.
"""

import pathlib
import sys

import numpy as np
import torch

PERCENTILES = (0.35, 0.52, 0.7)


def nhwc(x):
    return x.permute(0, 2, 3, 1).numpy()


def quantile(percentile):
    return float(torch.erfinv(torch.tensor(percentile * 2 - 1)))


def matrices(augment, percentile, size):
    """The matrices of the blits and of the geometric operations, made of the authors' own functions."""
    flip, turn = int(percentile * 2), int(percentile * 4)
    whole = round((percentile * 2 - 1) * 0.125 * size)
    blit = augment.scale2d_inv(1 - 2 * flip, 1) @ augment.rotate2d_inv(torch.tensor(-np.pi / 2 * turn))
    blit = blit @ augment.translate2d_inv(whole, whole)
    scale, angle, shift = 2 ** (0.2 * quantile(percentile)), (percentile * 2 - 1) * np.pi, 0.125 * quantile(percentile) * size
    geometry = augment.scale2d_inv(scale, scale) @ augment.rotate2d_inv(torch.tensor(-angle))
    return blit, geometry @ augment.scale2d_inv(scale, 1 / scale) @ augment.translate2d_inv(shift, shift)


def main(clone):
    sys.path.insert(0, clone)
    from training import augment

    images = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def run(percentile, image, **operations):
        return augment.AugmentPipe(**operations)(image[None], debug_percentile=percentile)

    moves = {"xflip": 1, "rotate90": 1, "xint": 1, "scale": 1, "rotate": 1, "aniso": 1, "xfrac": 1}
    bands = ([1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 1, 1])
    rows = list(zip(PERCENTILES, images, bands, strict=True))
    pairs = [matrices(augment, percentile, 24) for percentile in PERCENTILES]
    np.savez(
        pathlib.Path(__file__).with_suffix(".npz"),
        images=nhwc(images),
        bank=augment.AugmentPipe().Hz_fbank.numpy(),
        blit=torch.stack([pair[0] for pair in pairs]).numpy(),
        geometry=torch.stack([pair[1] for pair in pairs]).numpy(),
        warped=nhwc(torch.cat([run(p, image, **moves) for p, image, _ in rows])),
        exponents=np.array([[quantile(p) * on for on in band] for p, _, band in rows]),
        filtered=nhwc(torch.cat([run(p, image, imgfilter=1, imgfilter_bands=band) for p, image, band in rows])),
        centers=np.array([[p, p] for p in PERCENTILES]),
        cut=nhwc(torch.cat([run(p, image, cutout=1) for p, image, _ in rows])),
    )


if __name__ == "__main__":
    main(sys.argv[1])
