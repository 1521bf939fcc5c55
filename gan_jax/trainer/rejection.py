"""Discriminator rejection sampling from a run."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.data.missing import why_missing
from gan_jax.gan.rejection import Calibration, acceptance_probabilities, calibrate_logits
from gan_jax.gan.spec import GANSpec
from gan_jax.gan.types import normalize_images
from gan_jax.trainer import image_grid
from gan_jax.trainer.config import ConfigError
from gan_jax.trainer.contexts import needs_context
from gan_jax.trainer.loaded_run import LoadedRun
from gan_jax.trainer.sample_images import SAMPLE_BATCH
from gan_jax.trainer.sampling import Samples, Weights
from gan_jax.typing import Array

CALIBRATION = 2048  # Maximum number of reals, and of fakes, for the calibration. The fakes are the burn-in, too.
MOST_CANDIDATES = 1000  # Maximum number of candidates for each sample.


def check_rejection(run: LoadedRun) -> None:
    """Raises ConfigError if the discriminator of the run cannot judge single samples against its data."""
    if run.config.augment.pack > 1:
        raise ConfigError(f"--rejection: D judges packs of {run.config.augment.pack} images, not single ones")
    if needs_context(run.built) or run.built.spec.sample_labels is not None:
        raise ConfigError(f"--rejection: the model {run.config.model.name} has inputs besides latents and classes of the data")
    if reason := why_missing(run.source):
        raise ConfigError(f"--rejection: D is calibrated on the data of the run, and they are gone: {reason}")


def rejection_samples(
    run: LoadedRun,
    count: int,
    *,
    seed: int,
    weights: Weights,
    gamma_percentile: float,
    label: int | None = None,
    print_line: Callable[[str], Any] = print,
) -> Samples:
    """Samples that D accepts. A conditional model has equally many samples of each class, up to one, unless the class is given.

    D is calibrated on held-out images, or on training images if there are none, and on equally many fakes.

    Args:
        run: The run.
        count: Number of samples.
        seed: Random seed.
        weights: How to sample.
        gamma_percentile: See `acceptance_probabilities`.
        label: Class of all samples.
        print_line: Prints how many candidates were accepted.

    Raises:
        ConfigError: See `check_rejection`. Or too few candidates were accepted.
    """
    check_rejection(run)
    spec, rng = run.built.spec, jax.random.fold_in(jax.random.key(seed), 7)
    conditional = spec.num_classes > 0

    logits_of = _discriminator_logits(spec, rng)

    @jax.jit
    def candidates(params: Any, opt_state: Any, rng: Any, labels: Any) -> Any:
        return run.built.gan.sample(params, opt_state, rng, SAMPLE_BATCH, labels, ema=weights.ema, truncation=weights.truncation)

    def draw(number: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        wanted = np.arange(SAMPLE_BATCH) % spec.num_classes if conditional and label is None else np.full(SAMPLE_BATCH, label or 0)
        labels = jnp.asarray(wanted, jnp.int32) if conditional else None
        images = candidates(run.params, run.opt_state, jax.random.fold_in(rng, number), labels)
        return np.asarray(images), wanted if conditional else None, np.asarray(logits_of(run.params, run.opt_state, images, labels))

    real_logits = _real_logits(run, logits_of, label)
    burn_in = [draw(number)[2] for number in range(-(-len(real_logits) // SAMPLE_BATCH))]
    fake_logits = np.concatenate(burn_in)[: len(real_logits)]
    calibration = _calibrated(real_logits, fake_logits)
    maximum = float(calibration(fake_logits).max())

    kept: list[np.ndarray] = []
    kept_labels: list[int] = []
    classes = spec.num_classes if conditional and label is None else 1
    quota = np.array([len(range(index, count, classes)) for index in range(classes)])
    number, tried = len(burn_in), 0
    while len(kept) < count:
        if tried >= MOST_CANDIDATES * count + SAMPLE_BATCH:
            raise ConfigError(f"--rejection {gamma_percentile:g}: {len(kept)} of {tried} candidates were accepted; lower the percentile")
        images, labels, logits = draw(number)
        probabilities, new = acceptance_probabilities(calibration(logits), maximum, gamma_percentile=gamma_percentile)
        maximum = float(new)
        accepted = np.random.default_rng([seed, number]).random(len(images)) < np.asarray(probabilities)
        for index in np.flatnonzero(accepted):
            group = 0 if labels is None or label is not None else int(labels[index])
            if quota[group]:
                quota[group] -= 1
                kept.append(images[index])
                kept_labels.append(0 if labels is None else int(labels[index]))
        number, tried = number + 1, tried + len(images)
    print_line(f"rejection: {len(kept)} samples of {tried} candidates")
    samples, columns = np.stack(kept), None
    if classes > 1:
        # Row by row, each class in turn, as for other samples.
        order = np.lexsort((np.array(kept_labels), _rank_in_class(kept_labels)))
        samples, kept_labels = samples[order], [kept_labels[index] for index in order]
        columns = classes if count >= classes else None
    images = image_grid.to_uint8(samples) if samples.ndim == 4 else samples
    return Samples(images, np.array(kept_labels, np.int32) if conditional else None, columns)


def _discriminator_logits(spec: GANSpec, rng: Array) -> Callable[..., Any]:
    """A compiled function (params, opt_state, images, labels) -> float [batch], D's output. A patch map and several scales are averaged."""

    @jax.jit
    def logits_of(params: Any, opt_state: Any, images: Any, labels: Any) -> Any:
        effective, _ = spec.effective_params("discriminator", params.discriminator, opt_state)
        state = opt_state.networks.discriminator
        output, _ = spec.discriminator.apply(effective, state, images, labels, None, rng=rng, train=False)
        scales = [logits.reshape(len(images), -1).mean(axis=1) for logits in jax.tree.leaves(output.logits)]
        return sum(scales) / len(scales)

    return logits_of


def _calibrated(real_logits: np.ndarray, fake_logits: np.ndarray) -> Calibration:
    if not (np.isfinite(real_logits).all() and np.isfinite(fake_logits).all()):
        raise ConfigError("--rejection: D's output is not finite")
    calibration: Calibration = jax.jit(calibrate_logits)(real_logits, fake_logits)
    if calibration.slope <= 0:
        raise ConfigError("--rejection: D rates fakes higher than held-out reals, so it cannot choose among them")
    return calibration


def _rank_in_class(labels: list[int]) -> np.ndarray:
    """For each label, how many equal ones stand before it."""
    values = np.array(labels)
    ranks = np.zeros(len(values), int)
    for label in np.unique(values):
        ranks[values == label] = np.arange((values == label).sum())
    return ranks


def _real_logits(run: LoadedRun, logits_of: Callable[..., Any], label: int | None) -> np.ndarray:
    """D's output on held-out images, or on training images if there are none. With `label` only on those of the class, if there are any."""
    source = run.source.held_out or run.source
    chosen = np.random.default_rng(0).permutation(len(source))
    if label is not None and source.labels is not None:
        of_class = chosen[np.asarray(source.labels)[chosen] == label]
        chosen = of_class if len(of_class) else chosen
    chosen = np.sort(chosen[:CALIBRATION])
    if run.built.spec.num_classes and source.labels is None:
        raise ConfigError("--rejection: the images for the calibration have no classes, and the model has")
    parts = []
    for part in np.array_split(chosen, -(-len(chosen) // SAMPLE_BATCH)):
        labels = jnp.asarray(np.asarray(source.labels)[part], jnp.int32) if run.built.spec.num_classes else None
        parts.append(np.asarray(logits_of(run.params, run.opt_state, normalize_images(jnp.asarray(source.images[part])), labels)))
    return np.concatenate(parts)
