"""Writes metrics_inception.npz: features of torch-fidelity's Inception-v3 with made weights, which `made_weights` makes again.

    python tests/golden/metrics_inception.py       # needs torch and torch-fidelity (made with 2.13.0 and 0.4.0)

Importable without either: the test takes `made_weights` and `made_images` from here.
"""

import contextlib
import importlib.util
import sys
import types
from pathlib import Path

import numpy as np

OUTPUT = Path(__file__).with_suffix(".npz")


def made_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Draws weights in the order of the names: He-normal kernels, statistics of batch norm near 0 and 1."""
    generator = np.random.default_rng(20151205)
    weights = {}
    for name in sorted(shapes):
        shape = shapes[name]
        if name.endswith(("conv.weight", "fc.weight")):
            weights[name] = generator.standard_normal(shape, dtype=np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))
        elif name.endswith(("bn.weight", "running_var")):
            weights[name] = generator.uniform(0.7, 1.3, shape).astype(np.float32)
        else:
            weights[name] = (0.1 * generator.standard_normal(shape)).astype(np.float32)
    return weights


def made_images() -> dict[int, np.ndarray]:
    """Two images of each size, smooth and noisy, uint8 [2, size, size, 3]."""
    generator = np.random.default_rng(299)
    images = {}
    for size in (32, 299):
        noise = generator.integers(0, 256, (size, size, 3))
        y, x = np.mgrid[:size, :size] / size
        smooth = 127.5 + 127.5 * np.stack([np.sin(7 * x), np.cos(5 * y), np.sin(9 * x * y)], axis=-1)
        images[size] = np.stack([noise, smooth]).astype(np.uint8)
    return images


def main():
    import torch

    # Its modules one by one: the package as a whole also imports torchvision.
    package = types.ModuleType("torch_fidelity")
    package.__path__ = list(importlib.util.find_spec("torch_fidelity").submodule_search_locations)
    sys.modules["torch_fidelity"] = package
    from torch_fidelity import feature_extractor_inceptionv3 as reference

    def without_weights(*_args, **_kwargs):
        raise LookupError

    reference.load_state_dict_from_url = without_weights
    network = reference.FeatureExtractorInceptionV3.__new__(reference.FeatureExtractorInceptionV3)
    with contextlib.suppress(LookupError):  # all layers are there by then
        network.__init__("inception", ["2048", "logits_unbiased", "logits"])
    shapes = {k: tuple(v.shape) for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    network.load_state_dict({k: torch.from_numpy(v) for k, v in made_weights(shapes).items()}, strict=False)
    network.eval()
    arrays = {}
    with torch.no_grad():
        for size, images in made_images().items():
            outputs = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
            arrays |= {f"{name}_{size}": value.numpy() for name, value in zip(("features", "unbiased_logits", "logits"), outputs)}
    np.savez_compressed(OUTPUT, **arrays)
    print({name: (a.shape, float(a.mean()), float(a.std())) for name, a in arrays.items()})


if __name__ == "__main__":
    main()
