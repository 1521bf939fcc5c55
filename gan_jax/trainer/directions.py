"""The leading directions of a run's latents (SeFa), and samples along them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.gan.directions import closed_form_directions
from gan_jax.gan.make import sampling_params
from gan_jax.models import MODELS
from gan_jax.models.first_layer import first_dense_input
from gan_jax.trainer.build.gan import model_options
from gan_jax.trainer.config import ConfigError
from gan_jax.trainer.contexts import needs_context
from gan_jax.trainer.loaded_run import LoadedRun

# The range and the truncation of the authors' code (genforce/sefa, sefa.py, commit 69467f2).
REACH = 3.0
TRUNCATION = 0.7


def run_directions(run: LoadedRun, *, ema: bool = True) -> tuple[np.ndarray, np.ndarray] | None:
    """The directions [dim, dim] and eigenvalues [dim] of a run, see `closed_form_directions`.

    For StyleGAN2 they are directions of the styles, from the affine layers of all stages. For other models they are directions of the
    latents, from the first dense layer.

    Args:
        run: The run.
        ema: Whether to use the moving average of the parameters.

    Returns:
        None if no dense layer receives the latents, or if the networks are not of this library.
    """
    if run.built.own.networks is not None or needs_context(run.built):
        return None
    effective, _ = run.built.spec.effective_params("generator", _weights(run, ema), run.opt_state)
    if run.built.spec.generator.mapping is not None:
        weights = [leaf for path, leaf in jax.tree_util.tree_flatten_with_path(effective)[0] if _names(path)[-3:-1] == ["affine", "dense"]]
        weights = [weight for weight in weights if weight.ndim == 2]
    else:
        first = first_weight(run, effective)
        weights = [] if first is None else [first]
    if not weights:
        return None
    directions, values = jax.jit(closed_form_directions)(weights)
    return np.asarray(directions), np.asarray(values)


def first_weight(run: LoadedRun, effective: Any) -> Any:
    """The weight [latent_dim, outputs] of the first dense layer, if its input begins with the latents, up to a factor of each example."""
    spec = run.built.spec
    module = MODELS[run.config.model.name](**model_options(run.config, spec.image_shape, spec.num_classes)).generator
    paths = []

    @jax.jit
    def first_input(params: Any, opt_state: Any, latents: Any) -> Any:
        extra = {"labels": jnp.zeros(len(latents), jnp.int32)} if spec.num_classes else {}
        rngs = dict(zip(("noise", "dropout"), jax.random.split(jax.random.key(0))))
        variables = {"params": params, **opt_state.networks.generator}
        path, given = first_dense_input(module, variables, latents, **extra, train=False, rngs=rngs)
        paths.append(path)
        return given

    latents = spec.sample_latents(jax.random.key(0), (2, spec.latent_dim))
    seen = np.asarray(first_input(effective, run.opt_state, latents), np.float32)
    if seen.ndim != 2 or seen.shape[1] < spec.latent_dim:
        return None
    factors = seen[:, : spec.latent_dim] / np.asarray(latents)
    if not np.allclose(factors, factors[:, :1], rtol=1e-2):  # Low precision rounds them.
        return None
    kernel = effective
    for name in (*paths[0], "kernel"):
        kernel = kernel[name]
    return kernel[: spec.latent_dim]


def along_direction(run: LoadedRun, latents: Any, direction: np.ndarray, *, steps: int, labels: Any = None, ema: bool = True) -> Any:
    """Latents along a direction, from -3 to 3: float [rows, steps, latent_dim], or styles [rows, steps, layers, dim] for StyleGAN2.

    Styles are truncated at 0.7, as in the authors' code.

    Args:
        run: The run.
        latents: float [rows, latent_dim].
        direction: float [dim], of norm 1.
        steps: Number of steps.
        labels: int32 [rows] for a conditional model.
        ema: Whether the mapping network has the moving average of the parameters.
    """
    distances = jnp.linspace(-REACH, REACH, steps)
    spec = run.built.spec
    if spec.generator.mapping is None:
        return latents[:, None] + distances[None, :, None] * direction
    effective, _ = spec.effective_params("generator", _weights(run, ema), run.opt_state)
    styles = spec.generator.mapping(effective, run.opt_state.networks.generator, latents, labels, truncation=TRUNCATION)
    return styles[:, None] + distances[None, :, None, None] * direction


def direction_of(run: LoadedRun, number: int, *, ema: bool) -> np.ndarray:
    """The direction with a number, 1 for the leading one.

    Raises:
        ConfigError: The run has none of this number.
    """
    found = run_directions(run, ema=ema)
    if found is None:
        raise ConfigError(f"--direction {number}: no dense layer of the model {run.config.model.name} receives the latents alone")
    if not 1 <= number <= len(found[0]):
        raise ConfigError(f"--direction {number}: must be between 1 and {len(found[0])}, the number of directions")
    return found[0][number - 1]


def _weights(run: LoadedRun, ema: bool) -> Any:
    return sampling_params(run.params, run.opt_state) if ema else run.params.generator


def _names(path: Any) -> list[str]:
    return [str(entry.key) for entry in path if hasattr(entry, "key")]
