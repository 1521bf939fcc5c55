"""Code that several models share: named activations, initialisers, and checks of options."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.typing import Array

Activation: TypeAlias = Callable[[Array], Array]

ACTIVATIONS: dict[str, Activation] = {
    "leaky_relu": lambda x: jax.nn.leaky_relu(x, 0.2),
    "relu": jax.nn.relu,
    "elu": jax.nn.elu,
    "swish": jax.nn.swish,
    "tanh": jnp.tanh,
}
OUTPUT_ACTIVATIONS: dict[str, Activation] = {"tanh": jnp.tanh, "linear": lambda x: x}

# The rows of `gan_jax.nn.NORMS` that need only the feature map as input.
PLAIN_NORMS = ("batch", "none", "instance", "layer", "pixel", "switchable")

# DCGAN initialises convolutions from N(0, 0.02) and the scales of norms from N(1, 0.02).
NORMAL = nn.initializers.normal(0.02)


def around_one(rng: Array, shape: tuple[int, ...], dtype: Any = jnp.float32, **_: Any) -> Array:
    """Initialises the scales of a norm from N(1, 0.02), as DCGAN does."""
    return 1 + 0.02 * jax.random.normal(rng, shape, dtype)


def needs_bias(norm: str) -> bool:
    """Whether layers in front of the given norm need their own bias.

    Most norms subtract a mean, which cancels a bias in front of them, and then add a learned bias. "none" and "pixel"
    do neither. PGGAN has a bias in front of every pixel norm.
    """
    return norm in ("none", "pixel")


def one_of(option: str, value: Any, choices: Any) -> Any:
    """Returns `value` if it is one of `choices`.

    Raises:
        ValueError: If it is not. The message contains the name of the option, the value and the choices.
    """
    if value not in choices:
        raise ValueError(f"{option} must be one of {', '.join(map(str, choices))}; got {value!r}")
    return value


def check_options(*rows: tuple[str, Any, Any]) -> None:
    """Applies `one_of` to each (option, value, choices)."""
    for row in rows:
        one_of(*row)


def widths(value: str | int | Sequence[int]) -> tuple[int, ...]:
    """Returns layer widths as a tuple, from a sequence (400, 400), a string "400,400" or an integer 400.

    Strings and integers can be given on a command line.
    """
    if isinstance(value, str):
        return tuple(int(part) for part in value.split(",") if part.strip())
    return (value,) if isinstance(value, int) else tuple(value)


def height_width(image_size: int | Sequence[int]) -> tuple[int, int]:
    """The height and width of images: those of a square for one number, or the two numbers."""
    if isinstance(image_size, int):
        return image_size, image_size
    height, width = image_size
    return height, width


def first_map(image_size: int | Sequence[int]) -> tuple[int, tuple[int, int]]:
    """Where growing begins: how often the first map is doubled to reach `image_size`, and the (height, width) of the first map.

    The sides are halved as long as both stay whole and at least 4: 64 begins at 4x4, 48 at 6x6, 28 at 7x7, and 96x64 at 6x4.
    """
    height, width = height_width(image_size)
    levels = 0
    while not (height % 2 or width % 2) and min(height, width) >= 8:
        height, width, levels = height // 2, width // 2, levels + 1
    return levels, (height, width)


class SizeError(ValueError):
    """A model does not make images of this size.

    Attributes:
        size: The size, (height, width).
        rule: The sizes that the model makes, in words.
        nearest: The nearest sizes that it makes, (height, width) each, the smaller one first.
    """

    def __init__(self, model: str, image_size: int | Sequence[int], rule: str, nearest: Sequence[tuple[int, int]]) -> None:
        self.size = height_width(image_size)
        self.rule, self.nearest = f"model {model!r} makes images with {rule}", tuple(nearest)
        words = " and ".join(size_words(size) for size in nearest)
        super().__init__(f"image_size {size_words(self.size)}: {self.rule}; the nearest sizes are {words}")


def size_words(size: tuple[int, int]) -> str:
    """A size as one number if it is a square, otherwise as HEIGHTxWIDTH."""
    return f"{size[0]}x{size[1]}" if size[0] != size[1] else str(size[0])


def check_growth(model: str, image_size: int | Sequence[int], *, levels: tuple[int, int], largest: int) -> tuple[int, tuple[int, int]]:
    """Returns `first_map(image_size)` if a model that grows from a first map makes images of this size.

    Args:
        model: Name of the model.
        image_size: Side of the images in pixels, or (height, width).
        levels: The smallest and the largest number of doublings of the model. The shorter side of the first map has 4 to 7 pixels.
        largest: The largest side in pixels.

    Raises:
        SizeError: The model does not make this size.
    """
    least, most = levels

    def fits(size: tuple[int, int]) -> bool:
        count, first = first_map(size)
        return least <= count <= most and min(first) in range(4, 8) and max(size) <= largest

    size = height_width(image_size)
    if not fits(size):
        # (96, 64) follows the squares as an example of a rectangle, if the model makes it.
        examples = [size_words(side) for side in ((28, 28), (32, 32), (48, 48), (64, 64), (96, 64)) if fits(side)]
        times = f"{least} to {most} times" if least < most else f"{least} times"
        rule = f"sides up to {largest} that halve evenly {times} until the shorter one has 4 to 7 pixels, such as {', '.join(examples)}"
        raise SizeError(model, image_size, rule, nearest_sizes(size, fits, range(least, most + 1), largest))
    return first_map(size)


def nearest_sizes(size: tuple[int, int], fits: Callable[[tuple[int, int]], bool], levels: range, largest: int) -> list[tuple[int, int]]:
    """The one or two sizes nearest to `size` that fit, the smaller one first. The sides are 4 or more times a power of two.

    Args:
        size: (height, width).
        fits: Whether a size is allowed.
        levels: The exponents of the powers of two.
        largest: The largest side in pixels.
    """

    def around(side: int, unit: int) -> set[int]:
        counts = {side // unit, -(-side // unit), largest // unit, *range(4, 8)}
        return {count * unit for count in counts if count >= 4}

    found = set()
    for level in levels:
        pairs = {(height, width) for height in around(size[0], 2**level) for width in around(size[1], 2**level)}
        found |= {pair for pair in pairs if fits(pair) and (size[0] != size[1] or pair[0] == pair[1])}
    distances = sorted((abs(height - size[0]) + abs(width - size[1]), height * width, (height, width)) for height, width in found)
    return sorted((pair for _, _, pair in distances[:2]), key=lambda pair: (pair[0] * pair[1], pair))


def check_labels(labels: Array | None, num_classes: int) -> None:
    """Raises ValueError if a conditional network is called without labels."""
    if num_classes and labels is None:
        raise ValueError(
            f"this network was built with num_classes={num_classes} and needs labels, int32 [batch]; got None. "
            "Pass the same num_classes to make_gan, and a batch with labels"
        )


def check_class_heads(num_classes: int, *, auxiliary: bool, proxy_dim: int, fake_class: bool) -> None:
    """Raises ValueError if the heads of a discriminator need classes, or exclude each other."""
    for name, value in (("auxiliary", auxiliary), ("proxy_dim", proxy_dim), ("fake_class", fake_class)):
        if value and not num_classes:
            raise ValueError(f"{name} needs num_classes above 0; got 0")
    if fake_class and auxiliary:
        raise ValueError("fake_class excludes auxiliary, because both define the class logits; got both")


def class_margin(class_logits: Array, labels: Array) -> Array:
    """The logit of each image's class minus that of the fakes, which comes last: [batch, classes + 1] to [batch]."""
    return jnp.take_along_axis(class_logits, labels[:, None], axis=1)[:, 0] - class_logits[:, -1]


def run_block(block: nn.Module, *inputs: Array | None, checkpoint: bool, **static: Any) -> Array:
    """Applies a block of a network.

    Args:
        block: The module.
        inputs: Its arrays.
        checkpoint: Whether the backward pass computes the activations inside the block again (`jax.checkpoint`), instead of
            storing them. The result and the parameters are the same.
        static: Keyword arguments that are no arrays, such as `train`.
    """
    if not checkpoint:
        return block(*inputs, **static)
    return nn.remat(lambda module, *arrays: module(*arrays, **static))(block, *inputs)


def dense(
    features: int, fan_in: int, *, kernel_init: str = "torch", init_scale: float = 1.0, dtype: Any = jnp.float32, name: str
) -> nn.Dense:
    """Returns a dense layer with a named initialisation.

    Args:
        features: Width of the layer.
        fan_in: Width of its input.
        kernel_init: "torch" samples kernel and bias uniformly from [-1/sqrt(fan_in), 1/sqrt(fan_in)], as PyTorch's `nn.Linear` does.
            "orthogonal" and "normal" sample such kernels, and the bias is 0.
        init_scale: Gain of the orthogonal kernel, or standard deviation of the normal one.
        dtype: Computation dtype.
        name: Name of the layer.
    """
    bound = fan_in**-0.5

    def uniform(rng: Array, shape: tuple[int, ...], param_dtype: Any = jnp.float32, **_: Any) -> Array:
        return jax.random.uniform(rng, shape, param_dtype, -bound, bound)

    if kernel_init == "torch":
        return nn.Dense(features, kernel_init=uniform, bias_init=uniform, dtype=dtype, name=name)
    init = {"orthogonal": nn.initializers.orthogonal, "normal": nn.initializers.normal}[kernel_init](init_scale)
    return nn.Dense(features, kernel_init=init, dtype=dtype, name=name)
