"""The golden values of StyleGAN2, and trees of our parameters by the authors' names."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from support.stylegan2_golden import weight


def load():
    """The arrays of stylegan2_torch.npz."""
    with np.load(Path(__file__).parents[1] / "golden" / "stylegan2_torch.npz") as file:
        return dict(file)


def in_torch_layout(convert, shapes, tree):
    """A tree like the parameters, as arrays by the authors' names: the converter's permutation, inverted by converting indices."""
    indices, start = {}, 0
    for name, shape in shapes.items():
        count = int(np.prod(shape))
        indices[name], start = np.arange(start, start + count, dtype=np.float32).reshape(shape), start + count
    flat = np.zeros(start, np.float32)
    for index, leaf in zip(jax.tree.leaves(convert(indices)), jax.tree.leaves(tree), strict=True):
        flat[index.astype(int)] = leaf
    return {name: flat[index.astype(int)] for name, index in indices.items()}


def embed(images):
    """The features that stand in for VGG16 in the golden script."""
    kernel = weight("features", (3, 3, 3, 4))
    y = jax.lax.conv_general_dilated(images, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jnp.tanh(y).reshape(len(images), -1)
