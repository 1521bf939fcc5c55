"""Uses trained generators without training code.

`save_generator` and `load_generator` write and read a file with the weights. `export_stablehlo` writes a program that needs neither
gan_jax nor Flax.
"""

import dataclasses
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from gan_jax._internal import notebook_html
from gan_jax._internal.batches import in_batches
from gan_jax._internal.checks import one_line
from gan_jax._internal.files import read_safetensors, write_bytes
from gan_jax._internal.keys import named_key
from gan_jax.export.hub import PREFIX, WEIGHTS, download_generator
from gan_jax.latents import LATENTS, truncated_normal
from gan_jax.models import MODELS, build_model
from gan_jax.typing import Array, Network, PyTree

FORMAT = 1
METADATA_KEY = "gan_jax"


@dataclass(frozen=True)
class GeneratorConfig:
    """What is needed besides the weights to rebuild a generator. It is stored as JSON in the metadata of the file.

    Attributes:
        model: Key of `gan_jax.models.MODELS`.
        options: Options that the model was built with.
        latents: Name of the latent sampler, a key of `gan_jax.latents.LATENTS`.
        context_shape: Shape of one context if the model is conditioned on a context, otherwise None.
        class_names: Names of the classes, in the order of the labels. Empty if the classes have only numbers.
    """

    model: str
    options: Mapping[str, Any]
    latents: str = "normal"
    context_shape: tuple[int, ...] | None = None
    class_names: tuple[str, ...] = ()

    def option(self, name: str, default: Any = None) -> Any:
        """The value of an option of the model. If the option was not given, its default in `MODELS`, or else `default`."""
        return {**MODELS[self.model].options, **self.options}.get(name, default)


@dataclass(frozen=True)
class Generator:
    """A trained generator: its network, weights and configuration.

    Attributes:
        network: Pure functions, see `gan_jax.typing.Network`.
        params: Parameters of the network.
        state: State of the network (batch statistics).
        config: Configuration that the network was rebuilt from.
    """

    network: Network
    params: PyTree
    state: PyTree
    config: GeneratorConfig

    @property
    def latent_dim(self) -> int:
        """Dimension of the latents [batch, latent_dim]."""
        return int(self.config.option("latent_dim"))

    @property
    def num_classes(self) -> int:
        """Number of classes. 0 if the model takes no labels."""
        return int(self.config.option("num_classes", 0) or 0)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels. Empty if they have only numbers."""
        return self.config.class_names

    @functools.cached_property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one image, (height, width, channels), or (dim,) of a point."""
        images = jax.eval_shape(lambda *inputs: self(*inputs, rng=jax.random.key(0)), *self._inputs(1))
        return tuple(images.shape[1:])

    def __repr__(self) -> str:
        classes = f", {self.num_classes} classes" if self.num_classes else ""
        count = sum(int(leaf.size) for leaf in jax.tree.leaves(self.params))
        shape = "x".join(map(str, self.image_shape))
        return f"Generator({self.config.model}: {self.latent_dim} latents -> {shape}{classes}, {count:,} parameters)"

    @functools.cached_property
    def _samples_html(self) -> str:
        """A row of samples for notebooks. Empty for points, large images, and images of a context."""
        shape = self.image_shape
        if len(shape) != 3 or shape[-1] not in (1, 3, 4) or max(shape) > 128 or self.config.context_shape is not None:
            return ""
        row = np.concatenate(list(self.as_uint8(self.sample(0, 8))), axis=1)
        return notebook_html.image(row, "8 samples", width=min(2 * row.shape[1], 960))

    def _repr_html_(self) -> str:
        facts = [
            ("model", self.config.model),
            ("latents", f"{self.latent_dim}, {self.config.latents}"),
            ("samples", "x".join(map(str, self.image_shape))),
            ("classes", ", ".join(self.class_names) or self.num_classes or ""),
            ("parameters", f"{sum(int(leaf.size) for leaf in jax.tree.leaves(self.params)):,}"),
            ("sample with", "generator.sample(jax.random.key(0), 16)"),
        ]
        return notebook_html.block("Generator", notebook_html.facts_table(facts), self._samples_html)

    def __call__(self, latents: Array, labels: Array | None = None, context: Array | None = None, *, rng: Array | None = None) -> Array:
        """Generates the images of given latents.

        Args:
            latents: float [batch, latent_dim], or styles, float [batch, layers, dim], for a model that has them.
            labels: int32 [batch], for a conditional model.
            context: float [batch, *context_shape], for a model that is conditioned on a context.
            rng: Typed key, for a model that uses noise or dropout in sampling.

        Returns:
            float [batch, height, width, channels], or [batch, dim] for the model "points". The values are in [-1, 1] if the model ends in
            tanh. They can lie outside if the output is linear, which is the default of "r3gan", "progressive" and "points".

        Raises:
            ValueError: A label is not one of the classes. Inside a transformation such as `jax.jit` labels are not checked.
        """
        self._check_labels(labels)
        return self.network.apply(self.params, self.state, latents, labels, context, rng=rng, train=False)[0].images

    def _check_labels(self, labels: Array | None) -> None:
        classes = self.num_classes
        if classes and labels is not None and not isinstance(labels, jax.core.Tracer):
            low, high = int(jnp.min(labels)), int(jnp.max(labels))
            if low < 0 or high >= classes:
                raise ValueError(f"labels must be in 0, ..., {classes - 1}; got {low} to {high}")

    def sample(
        self,
        rng: Array | int,
        count: int,
        labels: Array | None = None,
        context: Array | None = None,
        *,
        truncation: float | None = None,
        batch_size: int | None = None,
    ) -> Array:
        """Samples images. The result is that of `GAN.sample` of the trained GAN with the same key and batch size.

        Args:
            rng: Typed key, or the int seed of one.
            count: Number of images.
            labels: int32 [count]. If a conditional model gets no labels, they are sampled uniformly.
            context: See `__call__`.
            truncation: Moves styles towards their mean, mean + truncation * (styles - mean). For a generator without styles, samples
                normal latents with |z| <= truncation.
            batch_size: Most images that the network generates at once. None: all. On a CPU, 64 is several times faster than 1,000,
                and needs less memory. A generator with noise of its own gives other images with another batch size.

        Returns:
            `count` images, see `__call__`.
        """
        rng = jax.random.key(rng) if isinstance(rng, int | np.integer) else rng
        key, shape = named_key(rng, "latents"), (count, self.latent_dim)
        in_latents = truncation is not None and self.network.mapping is None
        latents = truncated_normal(key, shape, threshold=truncation) if in_latents else LATENTS[self.config.latents](key, shape)
        if self.num_classes and labels is None:
            labels = jax.random.randint(named_key(rng, "labels"), (count,), 0, self.num_classes)
        self._check_labels(labels)
        if truncation is not None and self.network.mapping is not None:
            latents = self.network.mapping(self.params, self.state, latents, labels, truncation=truncation)
        return in_batches(lambda inputs, rng: self(*inputs, rng=rng), (latents, labels, context), named_key(rng, "generator"), batch_size)

    def folded(self, *, dtype: str | None = None) -> "Generator":
        """The same generator with batch norm folded into its layers, for sampling. See `gan_jax.models.folding.fold_batch_norm`.

            fast = generator.folded(dtype="bfloat16")
            sample = jax.jit(lambda rng: fast.sample(rng, 1024, batch_size=64))

        Args:
            dtype: Dtype that the network computes in, "float32" or "bfloat16". None: that of the model.

        Returns:
            A generator whose images are the same up to rounding. It cannot be saved.

        Raises:
            ValueError: If the model does not have the option dtype.
        """
        from gan_jax.models.folding import fold_batch_norm  # Flax, which loading a generator for its metadata need not wait for

        config = dataclasses.replace(self.config, options={**self.config.options, **({"dtype": dtype} if dtype else {})})
        module = MODELS[config.model](**config.options).generator
        network, params, state = fold_batch_norm(module, self.params, self.state, *self._inputs(1))
        return Generator(network, params, state, config)

    def _inputs(self, count: int) -> tuple[Any, Any, Any]:
        """The shapes of latents, labels and context."""
        shape = self.config.context_shape
        return (
            jax.ShapeDtypeStruct((count, self.latent_dim), jnp.float32),
            jax.ShapeDtypeStruct((count,), jnp.int32) if self.num_classes else None,
            None if shape is None else jax.ShapeDtypeStruct((count, *shape), jnp.float32),
        )

    def styles(self, latents: Array, labels: Array | None = None, *, truncation: float | None = None) -> Array:
        """Maps latents to styles, which `__call__` accepts in place of latents.

        Args:
            latents: float [batch, latent_dim].
            labels: int32 [batch], for a conditional model.
            truncation: Moves the styles towards their mean.

        Returns:
            float32 [batch, layers, dim].

        Raises:
            ValueError: If the model has no styles, or if a label is not one of the classes.
        """
        if self.network.mapping is None:
            raise ValueError(f"the model {self.config.model!r} has no styles")
        self._check_labels(labels)
        return self.network.mapping(self.params, self.state, latents, labels, truncation=truncation)

    @staticmethod
    def as_uint8(images: Any) -> np.ndarray:
        """Images as bytes: round(127.5 (x + 1)), clipped to [0, 255]. A value that is not finite becomes black or, for +Inf, white.

        Args:
            images: float in [-1, 1], any shape.

        Returns:
            uint8, same shape.
        """
        scaled = 127.5 * (np.asarray(images, np.float32) + 1)
        return np.rint(np.clip(np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0), 0, 255)).astype(np.uint8)

    @classmethod
    def as_pil(cls, images: Any) -> list[Any]:
        """Images as a list of `PIL.Image.Image`.

        Args:
            images: float in [-1, 1], [count, height, width, 1, 3 or 4].

        Raises:
            ValueError: The images have another shape, e.g. because they are points.
        """
        from PIL import Image

        pixels = cls.as_uint8(images)
        if pixels.ndim != 4 or pixels.shape[-1] not in (1, 3, 4):
            raise ValueError(f"images must be [count, height, width, 1, 3 or 4]; got {list(pixels.shape)}")
        return [Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image) for image in pixels]


def _flatten(params: PyTree, state: PyTree) -> dict[str, np.ndarray]:
    """Maps names to leaves: "params/project/kernel", "state/batch_stats/norm_0/mean", ..."""
    leaves, _ = jax.tree_util.tree_flatten_with_path({"params": params, "state": state})
    # safetensors writes the memory of an array as it lies, so a transposed array must be copied.
    return {"/".join(str(key.key) for key in path): np.asarray(leaf, order="C") for path, leaf in leaves}


def _unflatten(arrays: Mapping[str, np.ndarray]) -> tuple[PyTree, PyTree]:
    tree: dict[str, Any] = {"params": {}, "state": {}}
    for name, array in arrays.items():
        *path, last = name.split("/")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = jnp.asarray(array)
    return tree["params"], tree["state"]


def save_generator(path: str | Path, config: GeneratorConfig, params: PyTree, state: PyTree) -> None:
    """Writes a generator to a safetensors file. Its configuration is stored as JSON in the metadata.

    Save the weights that the GAN samples with, i.e. after spectral normalisation and other weight transforms. With a GAN spec `spec`:

        effective, _ = spec.effective_params("generator", sampling_params(params, opt_state), opt_state)
        save_generator(path, config, effective, opt_state.networks.generator)

    Args:
        path: Path of the file. An existing file is replaced atomically, so a crash leaves the old file or the new one.
        config: Configuration of the generator.
        params: Parameters of the generator, nested dicts of arrays.
        state: State of the generator, nested dicts of arrays.

    Raises:
        ValueError: If params or state do not match the model of config.
    """
    from safetensors.numpy import save

    arrays = _flatten(params, state)
    _check_arrays("params and state", config, arrays)
    write_bytes(Path(path), save(arrays, {METADATA_KEY: json.dumps(describe_config(config))}))


def describe_config(config: GeneratorConfig) -> dict[str, Any]:
    """The configuration as plain values, as it is stored in the metadata of the file."""
    described = {"format": FORMAT, "model": config.model, "options": dict(config.options), "latents": config.latents}
    described["context_shape"] = list(config.context_shape) if config.context_shape else None
    described["class_names"] = list(config.class_names)
    return described


def load_generator(path: str | Path) -> Generator:
    """Loads a generator from a file that `save_generator` wrote.

        generator = gan_jax.load_generator("generator.safetensors")
        images = generator.sample(jax.random.key(0), 16)

    Args:
        path: Path of the file, or of a folder with the file generator.safetensors, or an address hf://USER/NAME[@REVISION] on the
            Hugging Face Hub, which needs the package huggingface_hub.

    Returns:
        The generator. Call it with latents, or use its method `sample`.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not such a file, is damaged, or does not hold the arrays of its model. The message names the file.
    """
    path = download_generator(path) if isinstance(path, str) and path.startswith(PREFIX) else Path(path)
    path = path / WEIGHTS if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    arrays, metadata = read_safetensors(path)
    try:
        described = json.loads(metadata[METADATA_KEY])
        if described["format"] != FORMAT:
            raise ValueError(f"unsupported format {described['format']}; must be {FORMAT}")
        shape, names = described["context_shape"], described.get("class_names", ())
        config = GeneratorConfig(
            described["model"], described["options"], described["latents"], tuple(shape) if shape else None, tuple(map(str, names))
        )
        _check_arrays("arrays", config, arrays)
        network = build_model(config.model, **config.options).generator
    except Exception as error:  # Metadata that save_generator did not write can make a builder raise any exception.
        raise ValueError(f"{path}: not a generator of gan_jax ({one_line(error, limit=500)})") from error
    params, state = _unflatten(arrays)
    return Generator(network, params, state, config)


def _check_arrays(where: str, config: GeneratorConfig, arrays: Mapping[str, np.ndarray]) -> None:
    """Raises ValueError if the names and shapes of the arrays are not those of the model."""
    if config.latents not in LATENTS:
        raise ValueError(f"latents must be one of {', '.join(LATENTS)}; got {config.latents!r}")
    network = build_model(config.model, **config.options).generator
    # Shapes only: the metadata of a file can claim any size.
    latents = jax.ShapeDtypeStruct((1, config.option("latent_dim")), jnp.float32)
    labels = jax.ShapeDtypeStruct((1,), jnp.int32) if config.option("num_classes", 0) else None
    context = None if config.context_shape is None else jax.ShapeDtypeStruct((1, *config.context_shape), jnp.float32)
    params, state = jax.eval_shape(lambda *inputs: network.init(jax.random.key(0), *inputs), latents, labels, context)
    leaves, _ = jax.tree_util.tree_flatten_with_path({"params": params, "state": state})
    expected = {"/".join(str(key.key) for key in path): leaf.shape for path, leaf in leaves}
    found = {name: array.shape for name, array in arrays.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            wanted, came = expected.get(name, "no such array"), found.get(name, "none")
            raise ValueError(f"{where}: {name} of model {config.model!r} must have shape {wanted}; got {came}")
