import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from gan_jax import metrics
from gan_jax.metrics import inception
from support.metrics_golden import GOLDEN, golden_script

golden = golden_script("metrics_inception")


@pytest.fixture(scope="module")
def state_dict():
    return golden.made_weights(inception.file_shapes())


@pytest.fixture(scope="module")
def params(state_dict):
    return inception.from_state_dict(state_dict)


# torch-fidelity 0.4.0 on PyTorch 2.13.0 with the same weights; tests/golden/metrics_inception.py.
def test_equals_torch_fidelity_from_uint8_images_of_any_size(params):
    run = jax.jit(inception.apply)
    with np.load(GOLDEN / "metrics_inception.npz") as file:
        for size, images in golden.made_images().items():
            for name, value in run(params, images)._asdict().items():
                np.testing.assert_allclose(value, file[f"{name}_{size}"], atol=1e-4, rtol=0, err_msg=f"{name} at {size}")


# By hand: TensorFlow 1 puts output pixel i at input i / 2, the last one past the end being the last pixel.
def test_resize_puts_corners_at_the_origin():
    image = np.array([[0.0, 10], [20, 40]], np.float32)[None, :, :, None]
    resized = np.asarray(inception.resize(image, 4))[0, :, :, 0]
    np.testing.assert_allclose(resized, [[0, 5, 10, 10], [10, 17.5, 25, 25], [20, 30, 40, 40], [20, 30, 40, 40]])
    same = np.random.default_rng(0).uniform(0, 255, (1, 299, 299, 1)).astype(np.float32)
    np.testing.assert_array_equal(inception.resize(same), same)


def test_a_safetensors_file_and_counters_are_taken(state_dict, params, tmp_path):
    path = tmp_path / "inception.safetensors"
    extra = {"Mixed_7c.branch1x1.bn.num_batches_tracked": np.zeros((), np.int64), "AuxLogits.fc.bias": np.zeros(1008, np.float32)}
    save_file(state_dict | extra, path)
    loaded = inception.load(path)
    assert loaded.keys() == params.keys()
    np.testing.assert_array_equal(loaded["Mixed_6c.branch7x7dbl_4/kernel"], params["Mixed_6c.branch7x7dbl_4/kernel"])


def test_another_architecture_is_refused(state_dict, tmp_path):
    imagenet = state_dict | {"fc.weight": np.zeros((1000, 2048), np.float32), "fc.bias": np.zeros(1000, np.float32)}
    with pytest.raises(ValueError, match=r"2 of \d+ weights differ; first fc.weight: expected \(1008, 2048\), got \(1000, 2048\)"):
        inception.from_state_dict(imagenet)
    save_file({"layer1.0.conv1.weight": np.zeros((64, 64, 3, 3), np.float32)}, tmp_path / "resnet.safetensors")
    with pytest.raises(ValueError, match=r"resnet\.safetensors: not the weights of the FID literature's Inception-v3"):
        inception.load(tmp_path / "resnet.safetensors")
    broken = state_dict | {"fc.bias": np.full(1008, np.nan, np.float32)}
    with pytest.raises(ValueError, match="finite"):
        inception.from_state_dict(broken)
    with pytest.raises(FileNotFoundError, match="pytorch-fid"):
        inception.load(tmp_path / "none.pth")
    with pytest.raises(ValueError, match="ships without weights"):
        metrics.feature_extractor("inception_v3")


def test_images_without_three_channels_are_refused():
    with pytest.raises(ValueError, match=r"\[batch, height, width, 3\]"):
        inception.apply({}, np.zeros((1, 32, 32, 1), np.uint8))
