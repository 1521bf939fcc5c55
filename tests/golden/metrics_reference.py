"""Writes metrics_reference.json: values of independent implementations on made and on real features and images.

    python tests/golden/metrics_reference.py PGGAN

PGGAN is a checkout of github.com/tkarras/progressive_growing_of_gans (values from commit 2504c3f). Needs torch 2.13.0, torch-fidelity
0.4.0, prdc 0.2, scikit-learn 1.9.1, vendi-score 0.0.3 and SciPy 1.17.1. Importable without any of them: the tests take the made
features and images from here. The real features are scikit-learn's 8x8 digits, kept in metrics_digits.npz.
"""

import base64
import importlib.util
import io
import json
import sys
import types
from pathlib import Path
from unittest import mock

import numpy as np

HERE = Path(__file__).parent
DIGITS = HERE / "metrics_digits.npz"


def feature_pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pairs of real and fake features, by name."""
    generator = np.random.default_rng(6)
    mix = generator.standard_normal((16, 16)) / 4
    gaussian = (
        generator.standard_normal((600, 16)) @ mix,
        generator.standard_normal((500, 16)) @ (mix * np.linspace(0.5, 1.1, 16)) + 0.1,
    )
    activations = tuple(np.maximum(x @ generator.standard_normal((16, 64)), 0).astype(np.float32) for x in gaussian)
    few = tuple(generator.standard_normal((20, 48)) * np.linspace(2, 0.1, 48) + shift for shift in (0, 0.2))
    with np.load(DIGITS) as digits:
        real = (digits["real"].astype(np.float64), digits["fake"].astype(np.float64))
    return {"gaussian": gaussian, "activations": activations, "few": few, "digits": real}


def logits() -> np.ndarray:
    return (3 * np.random.default_rng(7).standard_normal((503, 10))).astype(np.float32)


def image_pairs(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth random images and noisier ones of another contrast, uint8 [count, size, size, 3]."""
    generator = np.random.default_rng(size)
    y, x = np.mgrid[:size, :size] / size

    def smooth():
        a, b, c = (generator.uniform(-9, 9, (count, 1, 1, 3)) for _ in range(3))
        return np.sin(a * x[None, :, :, None] + b * y[None, :, :, None] + c)

    real = 127.5 + 90 * smooth() + 20 * generator.standard_normal((count, size, size, 3))
    fake = 0.5 * real + 64 + 40 * smooth() + 30 * generator.standard_normal((count, size, size, 3))
    return tuple(np.clip(images, 0, 255).astype(np.uint8) for images in (real, fake))


def _bare_torch_fidelity():
    # Its metrics one by one: the package as a whole, and its utils, import torchvision for data sets.
    package = types.ModuleType("torch_fidelity")
    package.__path__ = list(importlib.util.find_spec("torch_fidelity").submodule_search_locations)
    sys.modules["torch_fidelity"] = package
    sys.modules["torch_fidelity.utils"] = mock.MagicMock()
    sys.modules["tqdm"] = mock.MagicMock(tqdm=lambda items, **_: items)


def _features(real, fake):
    import prdc
    import scipy.linalg
    import torch
    from sklearn.neighbors import NearestNeighbors
    from torch_fidelity import metric_fid, metric_kid, metric_prc
    from vendi_score import vendi

    real, fake = real.astype(np.float64), fake.astype(np.float64)
    covariances = [np.cov(x, rowvar=False) for x in (real, fake)]
    shift = ((real.mean(0) - fake.mean(0)) ** 2).sum() + sum(np.trace(c) for c in covariances)
    statistics = [metric_fid.fid_features_to_statistics(torch.from_numpy(x)) for x in (real, fake)]
    centered = [(x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (real, fake)]
    values = {
        "frechet_scipy_sqrtm": shift - 2 * np.trace(scipy.linalg.sqrtm(covariances[0] @ covariances[1])).real,
        "frechet_scipy_svd": shift - 2 * scipy.linalg.svdvals(centered[0] @ centered[1].T).sum(),
        "frechet_torch_fidelity": metric_fid.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"],
    }
    size = min(len(real), len(fake)) // 2
    kid = metric_kid.kid_features_to_metric(
        torch.from_numpy(real), torch.from_numpy(fake), kid_subsets=7, kid_subset_size=size, rng_seed=2020, verbose=False
    )
    values |= {
        "kernel_subset_size": size,
        "kernel": kid["kernel_inception_distance_mean"],
        "kernel_deviation": kid["kernel_inception_distance_std"],
    }
    for k in (1, 3, 5):
        values |= {f"{name}_{k}": float(value) for name, value in prdc.compute_prdc(real, fake, k).items()}
    prc = metric_prc.prc_features_to_metric(torch.from_numpy(fake), torch.from_numpy(real), prc_neighborhood=3, verbose=False)
    values |= {f"torch_fidelity_{name}": prc[name] for name in ("precision", "recall")}
    distances, indices = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(real).kneighbors(fake[:5])
    values |= {"neighbor_distances": distances.tolist(), "neighbor_indices": indices.tolist()}
    values["vendi"] = float(vendi.score_dual(real, normalize=True))
    return {name: value if isinstance(value, list) else float(value) for name, value in values.items()}


def _images(pggan: Path):
    import scipy.ndimage

    # Names that moved since that code was written.
    sys.modules["scipy.ndimage.filters"] = scipy.ndimage
    sys.path.insert(0, str(pggan / "metrics"))
    import ms_ssim
    import sliced_wasserstein

    values = {"ms_ssim": {}, "sliced_wasserstein": {}, "pyramid": {}}
    for size in (16, 32, 64):
        real, fake = image_pairs(8, size)
        values["ms_ssim"][str(size)] = [float(ms_ssim.msssim(a[None], b[None])) for a, b in zip(real, fake)]
    real, fake = image_pairs(4, 64)
    pyramid = sliced_wasserstein.generate_laplacian_pyramid(real.transpose(0, 3, 1, 2), 3)
    values["pyramid"] = [level.transpose(0, 2, 3, 1)[1, ::5, ::7, 2].tolist() for level in pyramid]
    for size in (32, 64):
        real, fake = image_pairs(256, size)
        runs = []
        for seed in range(8):
            np.random.seed(seed)  # noqa: NPY002 - the reference draws from it
            api = sliced_wasserstein.API(256, (3, size, size), np.uint8, 64)
            for mode, images in (("reals", real), ("fakes", fake)):
                api.begin(mode)
                for i in range(0, 256, 64):
                    api.feed(mode, images[i : i + 64].transpose(0, 3, 1, 2))
                result = api.end(mode)
            runs.append([float(value) for value in result])
        values["sliced_wasserstein"][str(size)] = {
            "mean": np.mean(runs, axis=0).tolist(),
            "deviation": np.std(runs, axis=0, ddof=1).tolist(),
        }
    return values


def _torch_files():
    import torch

    torch.manual_seed(0)
    tensors = {
        "plain": torch.arange(6.0).reshape(2, 3),
        "transposed": torch.arange(6.0).reshape(2, 3).T,
        "part": torch.arange(10)[3:7],
        "half": torch.tensor([1.5, -2.25]).half(),
        "bfloat16": torch.tensor([1.5, -2.25]).bfloat16(),
        "parameter": torch.nn.Parameter(torch.tensor([0.1])),
        "scalar": torch.tensor(3),
        "none": torch.zeros(0, 3),
    }
    files = {}
    for name, content, zipped in (
        ("zip", tensors, True),
        ("legacy", tensors, False),
        ("module", torch.nn.Linear(1, 1), True),
        ("batch_norm", torch.nn.BatchNorm1d(2).state_dict(), False),
    ):
        buffer = io.BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
        files[name] = base64.b64encode(buffer.getvalue()).decode()
    return {"files": files, "values": {name: tensor.detach().double().tolist() for name, tensor in tensors.items()}}


def main():
    import torch
    from sklearn.datasets import load_digits

    digits = load_digits().data.astype(np.uint8)
    np.savez_compressed(DIGITS, real=digits[:300], fake=digits[300:580])
    _bare_torch_fidelity()
    from torch_fidelity.metric_isc import isc_features_to_metric

    values = {"features": {name: _features(*pair) for name, pair in feature_pairs().items()}}
    isc = isc_features_to_metric(torch.from_numpy(logits()), splits=10, shuffle=False)
    values["inception_score"] = [isc["inception_score_mean"], isc["inception_score_std"]]
    values |= _images(Path(sys.argv[1]))
    values["torch_files"] = _torch_files()
    (HERE / "metrics_reference.json").write_text(json.dumps(values, indent=1) + "\n")
    print(json.dumps({name: {k: v for k, v in x.items() if "neighbor" not in k} for name, x in values["features"].items()}, indent=1))


if __name__ == "__main__":
    main()
