"""`make_gan` composes networks, a loss and every trick into three pure functions."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import jax
import optax

from gan_jax._internal.batches import in_batches
from gan_jax.conditioning import CONDITIONS, Condition
from gan_jax.gan.check_networks import check_networks
from gan_jax.gan.spec import GANSpec
from gan_jax.gan.state import TrainState, named_key
from gan_jax.gan.types import CutMix, GradientPenalty, LossTerm
from gan_jax.gan.update_rules import UpdateRule, alternating
from gan_jax.latents import normal, truncated_normal
from gan_jax.losses import ADVERSARIAL
from gan_jax.optimizers import ema_params, ttur
from gan_jax.replay import Replay
from gan_jax.typing import GAN, AdversarialLoss, Array, Augmentation, Metrics, Network, Players, PseudoAugmentation


def make_gan(
    generator: Network,
    discriminator: Network,
    *,
    image_shape: tuple[int, ...],
    latent_dim: int = 128,
    loss: AdversarialLoss | str = "non_saturating",
    update_rule: UpdateRule | None = None,
    optimizer: optax.GradientTransformation | None = None,
    sample_latents: Callable[..., Array] = normal,
    num_classes: int = 0,
    sample_labels: Callable[..., Array] | None = None,
    penalties: tuple[GradientPenalty, ...] = (),
    terms: tuple[LossTerm, ...] = (),
    transforms: Players = GANSpec.transforms,
    augmentations: tuple[Augmentation, ...] = (),
    pseudo_augmentation: PseudoAugmentation | None = None,
    cutmix: CutMix | None = None,
    targets: Callable[..., tuple[Array, Array]] | None = None,
    generator_target: float | None = None,
    adversarial_weight: float = 1.0,
    adaptive_weight: bool = False,
    adversarial_start: int = 0,
    halve_discriminator_loss: bool = False,
    joint_batches: bool = False,
    context: Condition = CONDITIONS[None],
    two_domains: bool = False,
    replay: Replay | None = None,
    target_discriminator: bool = False,
    top_k: Callable[[Array, Array], Array] | None = None,
    freeze: Players = GANSpec.freeze,
    curriculum: Callable[..., tuple[Mapping[str, Array], TrainState]] | None = None,
    layer_norms: bool = False,
) -> GAN:
    """Composes a GAN of its parts.

    Args:
        generator, discriminator: Networks as pure functions. `gan_jax.models.as_network` makes them of Flax modules.
        image_shape: Shape of one image, (height, width, channels), or (dim,) for points.
        latent_dim: Latents are [batch, latent_dim].
        loss: Name of a row of `gan_jax.losses.ADVERSARIAL`, or a pair of functions.
        update_rule: Result of a row of `gan_jax.gan.update_rules.UPDATE_RULES`. By default `alternating()`.
        optimizer: Optax transformation over `Players`. By default Adam with learning rate 2e-4 and a moving average of G.
        sample_latents: `(rng, shape) -> latents`, see `gan_jax.latents`.
        num_classes, sample_labels, penalties, terms, transforms, augmentations, pseudo_augmentation, cutmix, targets,
        generator_target, adversarial_weight, adaptive_weight, adversarial_start, halve_discriminator_loss, joint_batches, context,
        two_domains, replay, target_discriminator, top_k, freeze, curriculum, layer_norms: See `gan_jax.gan.spec.GANSpec`.

    Returns:
        `GAN(init, train_step, sample)`. `train_step(params, opt_state, batch, rng)` is not jitted. Jit it with
        `donate_argnums=(0, 1)`. `rng` is one constant key, into which the step folds its number. `sample` uses the moving average of
        G's weights if it is tracked.

    Raises:
        ValueError: The loss is unknown. `init` raises it if the networks do not fit each other or `image_shape`.
    """
    if isinstance(loss, str):
        if loss not in ADVERSARIAL:
            raise ValueError(f"loss must be one of {', '.join(ADVERSARIAL)}; got {loss!r}")
        loss = ADVERSARIAL[loss]
    spec = GANSpec(
        generator=generator,
        discriminator=discriminator,
        loss=loss,
        optimizer=ttur(2e-4, 2e-4, ema_decay=0.999) if optimizer is None else optimizer,
        image_shape=image_shape,
        latent_dim=latent_dim,
        sample_latents=sample_latents,
        num_classes=num_classes,
        sample_labels=sample_labels,
        penalties=penalties,
        terms=terms,
        transforms=transforms,
        augmentations=augmentations,
        pseudo_augmentation=pseudo_augmentation,
        cutmix=cutmix,
        targets=targets,
        generator_target=generator_target,
        adversarial_weight=adversarial_weight,
        adaptive_weight=adaptive_weight,
        adversarial_start=adversarial_start,
        halve_discriminator_loss=halve_discriminator_loss,
        joint_batches=joint_batches,
        context=context,
        two_domains=two_domains,
        replay=replay,
        target_discriminator=target_discriminator,
        top_k=top_k,
        freeze=freeze,
        curriculum=curriculum,
        layer_norms=layer_norms,
    )
    gan = build_gan(spec, update_rule or alternating())

    def init(rng: Array) -> tuple[Players, TrainState]:
        check_networks(spec)
        return gan.init(rng)

    return gan._replace(init=init)


def build_gan(spec: GANSpec, rule: UpdateRule) -> GAN:
    """The three functions of a GAN with a given update rule."""

    def init(rng: Array) -> tuple[Players, TrainState]:
        params, state = spec.init(rng)
        return params, state._replace(update_rule=rule.init(spec, params))

    def train_step(params: Players, opt_state: TrainState, batch: Mapping[str, Array], rng: Array) -> tuple[Players, TrainState, Metrics]:
        state, step = opt_state, opt_state.step
        if spec.curriculum is not None:
            batch, state = spec.curriculum(batch, state)
        params, state, metrics = rule.step(spec, params, state, batch, jax.random.fold_in(rng, step))
        if spec.learning_rates is not None:
            metrics = metrics | spec.learning_rates(step)
        for augmentation, augmentation_state in zip(spec.augmentations, state.augmentations, strict=True):
            metrics = {**metrics, **augmentation.metrics(augmentation_state, step)}
        return params, state._replace(step=step + 1), metrics

    def sample(
        params: Players,
        opt_state: TrainState,
        rng: Array,
        count: int,
        labels: Array | None = None,
        context: Array | None = None,
        *,
        latents: Array | None = None,
        ema: bool = True,
        truncation: float | None = None,
        batch_size: int | None = None,
    ) -> Array:
        """Generates `count` images, float in [-1, 1].

        Latents come from the GAN's distribution unless they are given. `truncation` samples normal ones with |z| <= truncation. If the
        generator has styles, `truncation` moves these towards their mean instead: mean + truncation * (styles - mean). Given latents
        can be styles, float [count, layers, dim]. With `batch_size`, the network generates at most so many images at once, which is
        faster on a CPU and needs less memory. A generator with noise of its own then gives other images.
        """
        weights = sampling_params(params, opt_state) if ema else params.generator
        if latents is None:
            latents = spec.sample_latents(named_key(rng, "latents"), (count, spec.latent_dim))
            if truncation is not None and spec.generator.mapping is None:
                latents = truncated_normal(named_key(rng, "latents"), (count, spec.latent_dim), threshold=truncation)
        if spec.num_classes and labels is None:
            labels = jax.random.randint(named_key(rng, "labels"), (count,), 0, spec.num_classes)
        effective, _ = spec.effective_params("generator", weights, opt_state)
        network_state = opt_state.networks.generator
        if truncation is not None and spec.generator.mapping is not None and latents.ndim == 2:
            latents = spec.generator.mapping(effective, network_state, latents, labels, truncation=truncation)

        def generate(inputs: tuple, rng: Array) -> Array:
            return spec.generator.apply(effective, network_state, *inputs, rng=rng, train=False)[0].images

        return in_batches(generate, (latents, labels, context), named_key(rng, "generator"), batch_size)

    return GAN(with_default_promotion(init), with_default_promotion(train_step), with_default_promotion(sample))


Function = TypeVar("Function", bound=Callable[..., Any])


def with_default_promotion(function: Function) -> Function:
    """A function that is traced with JAX's default promotion of dtypes and ranks.

    The library relies on these rules, and so do Flax and optax. Programs that set `jax_numpy_dtype_promotion` to "strict" or
    `jax_numpy_rank_promotion` to "raise" for their own code can therefore still call it.
    """

    @functools.wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return function(*arguments, **options)

    return cast(Function, wrapped)


def sampling_params(params: Players, opt_state: TrainState) -> Any:
    """The moving average of G's parameters if the optimiser tracks one, otherwise the parameters."""
    try:
        return ema_params(opt_state.optimizer)
    except ValueError:
        return params.generator
