"""Writes measure_fidelity.json: torch-fidelity's and prdc's numbers of two folders of 1,000 made images, in features of random weights.

    python tests/golden/measure_fidelity.py       # needs torch, torch-fidelity and prdc (made with 2.14.1, 0.4.0 and 0.2)

Importable without them: the test takes `made_images`, `write_folder` and `random_weights` from here.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

OUTPUT = Path(__file__).with_suffix(".json")
COUNT, SIDE = 1000, 8


def made_images(seed: int, spread: float) -> np.ndarray:
    """Colour images on a surface of four dimensions, with a little noise, uint8 [1000, 8, 8, 3]."""
    axes = np.random.default_rng(8).standard_normal((4, SIDE * SIDE * 3))
    generator = np.random.default_rng(seed)
    points = spread * generator.standard_normal((COUNT, 4))
    values = 128 + 25 * points @ axes + 3 * generator.standard_normal((COUNT, SIDE * SIDE * 3))
    return np.clip(np.rint(values), 0, 255).astype(np.uint8).reshape(COUNT, SIDE, SIDE, 3)


def made_sets() -> dict[str, np.ndarray]:
    """The images to measure, and the reference."""
    return {"fakes": made_images(1, 0.9), "reals": made_images(2, 1.0)}


def write_folder(folder: Path, images: np.ndarray) -> Path:
    """Writes each image as a PNG file."""
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:04}.png", compress_level=1)
    return folder


def random_weights() -> tuple[np.ndarray, np.ndarray]:
    """Two layers: relu(x a) b, with x the pixels in [-1, 1] in the order height, width, channels."""
    generator = np.random.default_rng(3)
    first = generator.standard_normal((SIDE * SIDE * 3, 64)) / np.sqrt(SIDE * SIDE * 3)
    return first.astype(np.float32), (generator.standard_normal((64, 32)) / 8).astype(np.float32)


def main():
    import torch
    import torch_fidelity
    from prdc import compute_prdc

    class RandomFeatures(torch_fidelity.FeatureExtractorBase):
        def __init__(self, name, features_list, **_kwargs):
            super().__init__(name, features_list)
            self.first, self.second = (torch.from_numpy(weights) for weights in random_weights())

        @staticmethod
        def get_provided_features_list():
            return ("random",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric):
            return "random"

        @staticmethod
        def can_be_compiled():
            return False

        def forward(self, images):
            pixels = images.permute(0, 2, 3, 1).reshape(len(images), -1).float() / 127.5 - 1
            return (torch.relu(pixels @ self.first) @ self.second,)

    torch_fidelity.register_feature_extractor("random", RandomFeatures)
    sets = made_sets()
    with tempfile.TemporaryDirectory() as place:
        fakes, reals = (str(write_folder(Path(place) / name, images)) for name, images in sets.items())
        options = {"feature_extractor": "random", "cuda": False, "cache": False, "verbose": False, "save_cpu_ram": True}
        options |= {"fid": True, "kid": True, "prc": True, "prc_neighborhood": 3}
        values = torch_fidelity.calculate_metrics(input1=fakes, input2=reals, **options)
        # torch-fidelity takes its first input as the reference of precision and recall.
        swapped = torch_fidelity.calculate_metrics(input1=reals, input2=fakes, **options)
    extract = RandomFeatures("random", ["random"])
    features = {name: extract(torch.from_numpy(images).permute(0, 3, 1, 2))[0].numpy() for name, images in sets.items()}
    prdc = compute_prdc(real_features=features["reals"], fake_features=features["fakes"], nearest_k=5)
    print(values, swapped, compute_prdc(features["reals"], features["fakes"], nearest_k=3), prdc)
    golden = {
        "frechet_distance": values["frechet_inception_distance"],
        "kernel_distance": values["kernel_inception_distance_mean"],
        "precision": values["precision"],
        "recall": values["recall"],
        "density": float(prdc["density"]),
        "coverage": float(prdc["coverage"]),
    }
    OUTPUT.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
