"""The table of docs/models.md: every model with its parameters, operations per image, paper, and differences.

Nothing is computed. Parameters come from shapes, and operations from the traced program: two for each multiply-add of its matrix
products and convolutions. Other operations are few and are not counted.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from docs._generate.tables import table
from gan_jax.models import MODELS
from gan_jax.models.network import as_networks
from gan_jax.typing import PyTree

# name -> (options of each line of the table, paper, differences). Other options have their defaults.
ROWS: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "mlp": ([{}], "Goodfellow 2014; PyTorch-GAN", "logits instead of probabilities"),
    "points": ([{}], "Srivastava 2017 (VEEGAN); Lin 2018 (PacGAN)", "none known"),
    "dcgan": ([{"image_size": 32}, {"image_size": 64}, {"image_size": 128}], "Radford 2016", "LeakyReLU in G too (ReLU can be chosen)"),
    "sngan": ([{"image_size": 32}, {"image_size": 64}], "Miyato 2018", "at 32 pixels one bias more in D, as in torch-mimicry"),
    "sagan": (
        [{"image_size": 32}, {"image_size": 64}, {"image_size": 128, "num_classes": 1000}],
        "Zhang 2019",
        "32 and 64 pixels are adaptations",
    ),
    "biggan": (
        [{"image_size": 32}, {"image_size": 128, "num_classes": 1000, "width": 96, "attention": 64, "latent_dim": 120}],
        "Brock 2019",
        "Glorot instead of orthogonal initialisation, except for the linear maps of the conditional norms",
    ),
    "unet_gan": (
        [{"image_size": 32, "channels": 1, "width": 8}, {"image_size": 128}, {"image_size": 256}],
        "Schönfeld 2020",
        "Glorot instead of orthogonal initialisation; the norms of G have linear maps of parts of the latents, where the authors' G "
        "without classes has small networks of all of them; sizes below 128 are adaptations",
    ),
    "r3gan": ([{}, {"width": 768}], "Huang 2024", "the default is an eighth as wide"),
    "progressive": (
        [{"image_size": 32}, {"image_size": 256, "width": 512, "latent_dim": 512}],
        "Karras 2018",
        "resize and convolution not fused",
    ),
    "stylegan2": (
        [{"width": 64}, {"image_size": 256, "channel_base": 16384}, {"image_size": 1024}],
        "Karras 2020",
        "lazy penalties share the optimiser step of the loss; the moving mean of the styles does not follow the pass of the path lengths; "
        "bfloat16 instead of float16",
    ),
    "multiscale": (
        [{}],
        "Wang 2018 (pix2pixHD)",
        "DCGAN's generator from latents instead of one from label maps; no instance encoder",
    ),
    "pix2pix": (
        [{}],
        "Isola 2017",
        "as many levels as reach 1x1; running averages normalise test images; the innermost level has dropout, too",
    ),
    "cyclegan": (
        [{}],
        "Zhu 2017",
        "none known; a translation each way and back, and of the own domain, counts as one operation of the generator",
    ),
    "inpaint": (
        [{}],
        "Yu 2018",
        "13 gated convolutions in each network, the authors' first has 16; no contextual attention; a width of 24 is their cnum of 48; the "
        "second network as wide as the first, and given the mask; the discriminator ends in one channel of logits, where every channel is "
        "one in the paper",
    ),
    "stacked": (
        [{}],
        "Denton 2015 (LAPGAN); Zhang 2017 (StackGAN)",
        "StackGAN's second stage without text; its discriminator sees the small image as LAPGAN's; no Laplacian residuals",
    ),
    "vaegan": (
        [{}],
        "Larsen 2016",
        "DCGAN's 4x4 convolutions instead of 5x5; the fakes, samples and reconstructions, are decoded in one batch, the reconstructions "
        "that are compared with the images in another; gamma 0.01",
    ),
    "klgan": (
        [{}],
        "Larsen 2016, section 4",
        "the paper compares pixels with one network alone; here the adversarial loss stays beside it, at both terms' full weight",
    ),
}


def _sub_jaxprs(value: Any) -> list[Any]:
    values = value if isinstance(value, list | tuple) else [value]
    return [getattr(v, "jaxpr", v) for v in values if hasattr(v, "eqns") or hasattr(v, "jaxpr")]


def operations(jaxpr: Any) -> int:
    """Two operations per multiply-add of the matrix products and convolutions of a traced program. A switch counts its largest branch."""
    total = 0
    for equation in jaxpr.eqns:
        parameters, out = equation.params, equation.outvars[0].aval
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = parameters["dimension_numbers"]
            total += 2 * math.prod(out.shape) * math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            kernel, numbers = equation.invars[1].aval.shape, parameters["dimension_numbers"]
            taps = math.prod(kernel) // kernel[numbers.rhs_spec[0]]
            # A transposed convolution is a convolution of an input with zeros between its pixels. The zeros are not counted.
            total += 2 * math.prod(out.shape) * taps // math.prod(parameters["lhs_dilation"])
        elif equation.primitive.name == "cond":
            total += max(operations(branch.jaxpr) for branch in parameters["branches"])
        else:
            total += sum(operations(sub) for value in parameters.values() for sub in _sub_jaxprs(value))
    return total


def _inputs(name: str, options: dict[str, Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Shapes of (latents, labels, context) and (images, labels, context) for one example."""
    known = {**MODELS[name].options, **options}
    size, channels = known.get("image_size", 0), known.get("channels", 3)
    image = (1, size, size, channels) if size else (1, known["dim"])
    contexts = {
        None: None,
        "image": image,
        "masked": (*image[:-1], channels + 1),
        "small": (1, size // 4, size // 4, channels),
        "real": image,
        "domains": (*image[:-1], 2 * channels),
    }
    image = contexts["domains"] if MODELS[name].context == "domains" else image
    context = contexts[MODELS[name].context]

    def shaped(shape: tuple[int, ...] | None) -> Any:
        return None if shape is None else jax.ShapeDtypeStruct(shape, jnp.float32)

    labels = jax.ShapeDtypeStruct((1,), jnp.int32) if known.get("num_classes") else None
    return (shaped((1, known["latent_dim"])) if "latent_dim" in known else None, labels, shaped(context)), (
        shaped(image),
        labels,
        shaped(context),
    )


def count(network: Any, inputs: tuple[Any, ...]) -> tuple[int, int]:
    """Parameters of a network, and its operations for one example."""
    rng = jax.eval_shape(lambda: jax.random.key(0))
    params, state = jax.eval_shape(network.init, rng, *inputs)

    def apply(params: PyTree, state: PyTree, rng: jax.Array, *inputs: Any) -> PyTree:
        return network.apply(params, state, *inputs, rng=rng)[0]

    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)), operations(
        jax.make_jaxpr(apply)(params, state, rng, *inputs).jaxpr
    )


def model_table() -> str:
    """The table.

    Raises:
        ValueError: A model has no row, or a row has no model.
    """
    if ROWS.keys() != MODELS.keys():
        raise ValueError(f"ROWS and MODELS must have the same names; they differ in {', '.join(sorted(ROWS.keys() ^ MODELS.keys()))}")
    lines = []
    for name, (variants, paper, differences) in ROWS.items():
        for options in variants:
            known = {**MODELS[name].options, **options}
            size, dim = known.get("image_size"), known.get("dim")
            shape = f"{size}x{size}x{known['channels']}" if size else f"{dim} numbers"
            changed = ", ".join(f"{key}={value}" for key, value in options.items() if key != "image_size")
            (g, g_flops), (d, d_flops) = (count(*pair) for pair in zip(as_networks(MODELS[name](**options)), _inputs(name, options)))
            figures = (f"{g:,}", f"{d:,}", f"{g_flops / 1e6:,.1f}", f"{d_flops / 1e6:,.1f}")
            lines.append((f"`{name}`", shape, changed, *figures, paper, differences))
    heads = ["model", "images", "options", "G parameters", "D parameters", "G Mflop", "D Mflop", "paper", "differences"]
    return table(heads, lines)
