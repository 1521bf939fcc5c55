"""The latents of an image for the generator of a run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import losses
from gan_jax.gan.inversion import PROJECTIONS, invert
from gan_jax.models import MODELS, vgg
from gan_jax.trainer import image_grid
from gan_jax.trainer.config import ConfigError
from gan_jax.trainer.loaded_run import LoadedRun
from gan_jax.typing import Array

DISTANCES = ("pixels", "discriminator", "vgg")


class InvertedImage(NamedTuple):
    """The best start of an inversion.

    Attributes:
        latents: float32 [1, latent_dim].
        label: Class of a conditional model, otherwise None.
        image: uint8 [height, width, channels], the image of the latents.
        pixel_error: Mean squared difference to the target in [-1, 1].
        history: float [steps], the objective's distance of the best start. 1 is the mean of the random starts.
    """

    latents: np.ndarray
    label: int | None
    image: np.ndarray
    pixel_error: float
    history: np.ndarray

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio in decibel: 10 log10(4 / error), because the images span 2."""
        return float(10 * np.log10(4 / max(self.pixel_error, 1e-12)))


def distance_to(run: LoadedRun, target: Array, name: str, *, vgg_weights: Path | None, labels: Array | None) -> Callable[[Array], Array]:
    """A distance to a target image, as a function of images [count, height, width, channels].

    Args:
        run: The run.
        target: float [height, width, channels] in [-1, 1].
        name: "pixels" (mean squared difference), "discriminator" (D's features) or "vgg" (VGG16's). Each layer of features counts
            equally: its mean squared difference is divided by the mean square of the target's features.
        vgg_weights: Weight file of VGG16.
        labels: int [count], the classes of the images, for a conditional D.

    Raises:
        ConfigError: There is no such distance, VGG16 needs its weight file, or D has no features.
    """
    if name not in DISTANCES:
        raise ConfigError(f"distance {name}: must be one of {', '.join(DISTANCES)}")

    def copies(images: Array) -> Array:
        return jnp.broadcast_to(target, (len(images), *target.shape))

    if name == "pixels":
        return lambda images: losses.l2_loss(copies(images), images)
    if name == "vgg":
        if vgg_weights is None:
            raise ConfigError("--distance vgg: needs --vgg FILE; python experiments/tools/convert_vgg.py --help says how to get it")
        try:
            features: Callable[[Array], Any] = vgg.feature_extractor(vgg_weights)
            jax.eval_shape(features, jnp.zeros((1, *target.shape)))
        except ValueError as error:  # The file is no weight file, or the images are too small.
            raise ConfigError(f"--distance vgg: {error}") from error
    else:
        spec = run.built.spec
        if run.config.augment.pack > 1:
            raise ConfigError("--distance discriminator: D of the run sees packs of images (--augment.pack)")
        params, _ = spec.effective_params("discriminator", run.params.discriminator, run.opt_state)

        def features(images: Array) -> Any:
            network_state = run.opt_state.networks.discriminator
            return dict(spec.discriminator.apply(params, network_state, images, labels, train=False)[0].features)

        if not jax.eval_shape(features, jnp.zeros((1 if labels is None else len(labels), *target.shape))):
            raise ConfigError(f"--distance discriminator: D of the model {run.config.model.name} has no features")

    def of_features(images: Array) -> Array:
        wanted = jax.lax.stop_gradient(features(copies(images)))
        weights = jax.tree.map(lambda leaf: 1 / jnp.maximum(jnp.mean(jnp.square(leaf)), 1e-8), wanted)
        made = features(images)
        values = [weights[layer] * losses.l2_loss(wanted[layer], made[layer]) for layer in wanted]
        return sum(values) / len(values)

    return of_features


def invert_image(
    run: LoadedRun,
    image: np.ndarray,
    *,
    distances: Sequence[str] = ("pixels",),
    vgg_weights: Path | None = None,
    steps: int = 500,
    starts: int = 16,
    learning_rate: float = 0.05,
    prior_weight: float = 1e-3,
    label: int | None = None,
    seed: int = 0,
    ema: bool = True,
) -> InvertedImage:
    """Finds the latents whose image is nearest to an image, see `gan_jax.gan.inversion.invert`.

    Args:
        run: The run.
        image: uint8 [height, width, channels], the shape of the run's images.
        distances: Names of `DISTANCES`. Their sum is minimised, each divided by its mean over the random starts.
        vgg_weights: Weight file of VGG16, for the distance "vgg".
        steps: Number of steps.
        starts: Number of random starts.
        learning_rate: Learning rate of Adam at the first step.
        prior_weight: Weight of the prior.
        label: Class of a conditional model. By default the starts have each class in turn, and the best start decides.
        seed: Random seed of the starts, and of the noise of a model that has some.
        ema: Whether to sample with the moving average of the parameters.

    Raises:
        ConfigError: The model samples from images, or the image has another shape, or a distance cannot be computed.
    """
    spec, model = run.built.spec, run.config.model
    if MODELS[model.name].context not in (None, "real"):
        raise ConfigError(f"the model {model.name} samples from images, not from latents alone; it cannot be inverted")
    if image.shape != spec.image_shape:
        raise ConfigError(f"the image must have the shape {spec.image_shape} of the run; got {image.shape}")
    key = jax.random.key(seed)
    first = spec.sample_latents(key, (starts, spec.latent_dim))
    labels = None
    if spec.num_classes:
        labels = jnp.arange(starts) % spec.num_classes if label is None else jnp.full(starts, label)
    target = jnp.asarray(image, jnp.float32) / 127.5 - 1

    def generate(latents: Array, labels: Array | None) -> Array:
        return run.built.gan.sample(run.params, run.opt_state, key, len(latents), labels, latents=latents, ema=ema)

    parts = [distance_to(run, target, name, vgg_weights=vgg_weights, labels=labels) for name in distances]

    @jax.jit
    def search(first: Array) -> tuple[Any, Array]:
        images = generate(first, labels)
        scales = [1 / jnp.maximum(jnp.mean(part(images)), 1e-12) for part in parts]

        def distance(images: Array) -> Array:
            return sum(scale * part(images) for scale, part in zip(scales, parts, strict=True)) / len(parts)

        options = {"steps": steps, "learning_rate": learning_rate, "prior_weight": prior_weight, "project": PROJECTIONS[model.latents]}
        result = invert(lambda latents: generate(latents, labels), distance, first, **options)
        return result, generate(result.latents, labels)

    result, images = search(first)
    if not np.isfinite(result.distances).any():
        raise ConfigError("the distances are not finite; lower --learning-rate, or choose another --step")
    best = int(np.nanargmin(result.distances))
    made = np.asarray(images[best])
    return InvertedImage(
        np.asarray(result.latents[best : best + 1]),
        None if labels is None else int(labels[best]),
        image_grid.to_uint8(made),
        float(np.mean(np.square(made - np.asarray(target)))),
        np.asarray(result.history[:, best]),
    )
