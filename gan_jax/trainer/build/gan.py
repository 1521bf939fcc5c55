"""Builds a GAN from a configuration."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax import latents
from gan_jax.augment import adaptive_augment, diff_augment, instance_noise, pack, pseudo_augment
from gan_jax.conditioning import CONDITIONS, Condition, given_inputs
from gan_jax.distributed import Placement, distribute
from gan_jax.gan.check_networks import check_networks
from gan_jax.gan.diagnostics import with_diagnostics
from gan_jax.gan.spec import GANSpec
from gan_jax.gan.state import TrainState
from gan_jax.gan.types import CutMix, GradientPenalty, normalize_images
from gan_jax.gan.update_rules import UPDATE_RULES, UpdateRule
from gan_jax.losses import ADVERSARIAL, MULTICLASS, flip_targets, soft_targets
from gan_jax.models import MODELS, build_model
from gan_jax.models.common import SizeError
from gan_jax.optimizers import frozen_paths
from gan_jax.penalties import COUPLES_EXAMPLES, PENALTIES, draw_cutmix_masks, gradient_penalty, top_k_count, top_k_weights
from gan_jax.replay import Replay, player_pool, replay_buffer, split_replay
from gan_jax.trainer.build.compatibility import UPDATE_OPTIONS, check_compatibility
from gan_jax.trainer.build.model_options import model_options, network_classes
from gan_jax.trainer.build.optimizer import build_learning_rates, build_optimizer, over_burn_in
from gan_jax.trainer.build.precision import gan_in_precision, networks_in_precision
from gan_jax.trainer.build.terms import build_terms
from gan_jax.trainer.build.traced import is_on, with_traced
from gan_jax.trainer.config import Config, ConfigError
from gan_jax.trainer.own_parts import NO_OWN_PARTS, OwnParts
from gan_jax.transforms import gradient_normalized_network, is_kernel, is_weight, spectral_norm, weight_norm
from gan_jax.typing import GAN, Array, Augmentation, ParamTransform, Players, PseudoAugmentation


class BuiltGAN(NamedTuple):
    """A GAN as configured.

    Attributes:
        spec: Networks, loss, penalties and everything else that is static.
        rule: The update rule.
        gan: The three functions `init`, `train_step` and `sample`.
        own: The parts that the caller of `train` brought.
    """

    spec: GANSpec
    rule: UpdateRule
    gan: GAN
    own: OwnParts = NO_OWN_PARTS

    def __repr__(self) -> str:
        spec = self.spec
        classes = f", {spec.num_classes} classes" if spec.num_classes else ""
        return f"BuiltGAN({spec.latent_dim} latents -> {'x'.join(map(str, spec.image_shape))}{classes})"


def build(
    config: Config,
    image_shape: tuple[int, ...],
    num_classes: int = 0,
    placement: Placement | None = None,
    *,
    input_shape: tuple[int, ...] | None = None,
    traced: Mapping[str, Array] | None = None,
    own: OwnParts = NO_OWN_PARTS,
) -> BuiltGAN:
    """Builds the GAN that a configuration describes.

    Args:
        config: A configuration that passes `gan_jax.trainer.config.check`.
        image_shape: Shape of one example of the data.
        num_classes: Number of classes of the data. Used if the model is conditional or has an auxiliary classifier.
        placement: Devices that run `train_step`. None means one device.
        input_shape: Shape of one input if the data have inputs and targets, see `gan_jax.data.Source`.
        traced: Path -> scalar array, for fields of `traceable(config)` whose values are arguments of the compiled program.
        own: Parts of the caller of `train`.

    Raises:
        ConfigError: The networks do not fit each other or the data, or the fields are incompatible with each other, with the model or
            with the data.
    """
    try:
        spec = build_spec(config, image_shape, num_classes, traced, own, input_shape)
        if own.networks is not None:
            check_own_networks(spec)
        check_frozen_layers(config, spec)
        rule = build_update_rule(config)
        if placement is not None:
            parts = placement.devices * config.update.micro_batches * config.augment.pack
            if config.batch_size % parts:
                raise ConfigError(
                    f"--batch-size {config.batch_size}: must be a multiple of {parts} ({placement.devices} devices, "
                    "times --update.micro-batches, times --augment.pack)"
                )
            rule = distribute(rule, placement, micro_batches=config.update.micro_batches)
        return BuiltGAN(spec, rule, gan_in_precision(with_diagnostics(spec, rule), config.precision), own)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error


def build_spec(
    config: Config,
    image_shape: tuple[int, ...],
    num_classes: int,
    traced: Mapping[str, Array] | None = None,
    own: OwnParts = NO_OWN_PARTS,
    input_shape: tuple[int, ...] | None = None,
) -> GANSpec:
    """Builds the static description of the GAN. See `build` for the arguments."""
    check_compatibility(config, image_shape, num_classes, with_model=own.networks is None, own_task=any(term.task for term in own.terms))
    numbers = with_traced(config, traced)
    domains = own.networks is None and MODELS[config.model.name].context == "domains"
    classes, normalized = network_classes(config, num_classes), config.transform.gradient_normalization
    networks = networks_in_precision(own.networks or build_networks(config, image_shape, classes), config.precision)
    if config.loss.adaptive_weight and networks.generator.last_layer is None:
        reason = "the generator declares no last layer"
        raise ConfigError(f"--loss.adaptive-weight: {reason}; set last_layer of its Network, or of its module, to the path of a kernel")
    return GANSpec(
        generator=networks.generator,
        discriminator=gradient_normalized_network(networks.discriminator) if normalized else networks.discriminator,
        loss=own.loss or (ADVERSARIAL | MULTICLASS)[config.loss.name],
        optimizer=build_optimizer(numbers),
        image_shape=(*image_shape[:-1], 2 * image_shape[-1]) if domains else image_shape,
        latent_dim=config.model.latent_dim,
        sample_latents=latents.LATENTS[config.model.latents],
        num_classes=classes,
        sample_labels=partial(jax.random.randint, minval=0, maxval=config.model.codes) if config.model.codes else None,
        penalties=build_penalties(numbers),
        terms=(*build_terms(numbers, num_classes), *own.terms),
        transforms=build_transforms(config),
        augmentations=build_augmentations(config),
        pseudo_augmentation=build_pseudo_augmentation(config),
        cutmix=build_cutmix(config),
        targets=build_targets(config),
        generator_target=config.loss.generator_target,
        adversarial_weight=numbers.loss.adversarial_weight,
        adaptive_weight=config.loss.adaptive_weight,
        adversarial_start=config.loss.adversarial_start,
        halve_discriminator_loss=config.loss.halve,
        joint_batches=config.update.joint_batches,
        context=build_condition(config, image_shape, input_shape, own),
        two_domains=domains,
        replay=build_replay(config, domains=domains),
        target_discriminator=config.optimizer.target_discriminator,
        top_k=build_top_k(config),
        freeze=Players(config.update.freeze_generator, config.update.freeze_discriminator),
        curriculum=build_curriculum(config, image_shape),
        learning_rates=build_learning_rates(numbers),
        layer_norms=config.layer_norms,
        # The examples of `init` are packed too, so their number is rounded up to a multiple of the pack.
        example_batch=-(-GANSpec.example_batch // config.augment.pack) * config.augment.pack,
    )


def build_condition(
    config: Config, image_shape: tuple[int, ...], input_shape: tuple[int, ...] | None, own: OwnParts = NO_OWN_PARTS
) -> Condition:
    """Returns where the inputs of both networks come from: the data, or the real images.

    Raises:
        ConfigError: The data have inputs, and the model takes none, or the data lack the second domain that it needs.
    """
    model = config.model.name
    kind = MODELS[model].context if own.networks is None else "image"
    if kind == "domains" and input_shape is None:
        reason, advice = f"--model.name {model}: translates between two domains, and the data have one", "--data.pairs unpaired"
        raise ConfigError(reason, advice=f"use --data.source digit_edges, or {advice} --data.directory DIR with folders A and B")
    if kind == "domains" and input_shape != image_shape:
        shapes = " and ".join("x".join(map(str, shape)) for shape in (input_shape or (), image_shape))
        raise ConfigError(f"--model.name {model}: the images of the two domains must have one shape; got {shapes}; set --data.channels")
    if kind == "domains":
        return CONDITIONS[kind]
    if input_shape is None:
        return CONDITIONS[MODELS[model].context]
    if kind != "image":
        advice = "use --model.name pix2pix for pairs, cyclegan for two domains"
        raise ConfigError(f"--model.name {model}: takes no images as input, and the data have inputs", advice=advice)
    return given_inputs(input_shape)


def check_own_networks(spec: GANSpec) -> None:
    """Raises ConfigError if the networks of the caller do not fit each other or the data."""
    try:
        check_networks(spec)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"networks: {error}") from error


def build_networks(config: Config, image_shape: tuple[int, ...], num_classes: int) -> Players:
    """Returns the networks of the configured model.

    Raises:
        ConfigError: The model does not have an option, or cannot be built with it.
    """
    options = model_options(config, image_shape, num_classes)
    try:
        return build_model(config.model.name, **options)
    except SizeError as error:
        raise _size_error(config, error) from error
    except (TypeError, AttributeError, ArithmeticError) as error:
        raise ConfigError(f"--model.options: {config.model.name} cannot be built: {error}") from error


def _size_error(config: Config, error: SizeError) -> ConfigError:
    """The error of a size that the model does not make, with the flags of the size and of the nearest sizes."""

    def flags(size: tuple[int, int]) -> str:
        height, width = size
        return f"--data.image-size {height}" if height == width else f"--data.height {height} --data.width {width}"

    advice = " or ".join(map(flags, error.nearest))
    fields = ("data.image_size", "data.height", "data.width", "model.name")
    return ConfigError(f"{flags(error.size)}: {error.rule}", fields=fields, advice=f"the nearest: {advice}")


def check_frozen_layers(config: Config, spec: GANSpec) -> None:
    """Raises ConfigError if a pattern of --update.freeze-layers matches no layer of its player. The message lists the layers."""
    if not config.update.freeze_layers:
        return
    networks, _ = jax.eval_shape(spec.init_networks, jax.random.key(0))
    for value in config.update.freeze_layers:
        player, _, pattern = value.partition(":")
        try:
            frozen_paths(getattr(networks, player), pattern)
        except ValueError as error:
            raise ConfigError(f"--update.freeze-layers {value}: matches no layer; {str(error).partition('; ')[2]}") from error


def build_targets(config: Config) -> Callable[..., tuple[Array, Array]] | None:
    """Returns a function that draws the labels of reals and fakes in D's loss, or None for the labels 1 and 0."""
    loss = config.loss
    if loss.real_target is None and loss.fake_target is None and not loss.flip_probability:
        return None
    real_low, real_high = loss.real_target or (1.0, 1.0)
    fake_low, fake_high = loss.fake_target or (0.0, 0.0)

    def targets(rng: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
        for_real, for_fake, for_flip = jax.random.split(rng, 3)
        real = soft_targets(for_real, shape, real_low, real_high)
        fake = soft_targets(for_fake, shape, fake_low, fake_high)
        return flip_targets(for_flip, real, fake, loss.flip_probability) if loss.flip_probability else (real, fake)

    return targets


def build_penalties(config: Config) -> tuple[GradientPenalty, ...]:
    """Returns the gradient penalties of D with a weight above 0."""
    options = config.penalty

    def wgan_gp(critic: Callable[..., Any], real: Array, fake: Array, rng: Array) -> Array:
        return gradient_penalty(critic, real, fake, rng, target=options.target, one_sided=options.one_sided)

    rows = {
        "wgan_gp": (options.wgan_gp, wgan_gp),
        "r1": (options.r1, PENALTIES["r1"]),
        "r2": (options.r2, PENALTIES["r2"]),
        "zero_centered": (options.zero_centered, PENALTIES["zero_centered"]),
        "dragan": (options.dragan, PENALTIES["dragan"]),
    }

    def scheduled(weight: float) -> float | optax.Schedule:
        return weight if options.final is None else over_burn_in(config, weight, weight * options.final)

    return tuple(
        GradientPenalty(name, function, scheduled(weight), options.interval, couples_examples=name in COUPLES_EXAMPLES)
        for name, (weight, function) in rows.items()
        if is_on(weight)
    )


def build_transforms(config: Config) -> Players:
    """Returns the weight transforms of each player."""
    transform = config.transform

    def transforms(player: str) -> tuple[ParamTransform, ...]:
        selected = is_weight if transform.spectral_norm_embeddings in (player, "both") else is_kernel
        normalise = spectral_norm(transform.power_iterations, predicate=selected)
        spectral = (normalise,) if transform.spectral_norm in (player, "both") else ()
        return (*spectral, weight_norm()) if transform.weight_norm in (player, "both") else spectral

    return Players(*map(transforms, Players._fields))


def build_augmentations(config: Config) -> tuple[Augmentation, ...]:
    """Returns the augmentations of D's inputs, in this order: augmentation, noise, packing."""
    augment, augmentations = config.augment, []
    if augment.diff_augment:
        try:
            augmentations.append(diff_augment(policy=augment.diff_augment))
        except ValueError as error:
            raise ConfigError(f"--augment.diff-augment: {error}") from error
    fixed, final = augment.ada_probability, augment.ada_probability_final
    if augment.ada or fixed is not None or final is not None:
        try:
            ada = adaptive_augment(
                augment.ada,
                operations=augment.ada_policy,
                interval=augment.ada_interval,
                images_to_full=math.inf if fixed is not None else 1000 * augment.ada_kimg,
                initial_probability=fixed or 0.0,
                schedule=None if final is None else over_burn_in(config, fixed or 0.0, final),
                images_per_logit=augment.pack,
            )
        except ValueError as error:
            raise ConfigError(f"--augment.ada-policy: {error}") from error
        augmentations.append(ada)
    if augment.instance_noise:
        steps = augment.instance_noise_steps or max(1, config.steps // 2)
        augmentations.append(instance_noise(augment.instance_noise, steps, schedule=augment.instance_noise_schedule))
    if augment.pack > 1:
        augmentations.append(pack(augment.pack))
    return tuple(augmentations)


def build_pseudo_augmentation(config: Config) -> PseudoAugmentation | None:
    """Returns the pseudo augmentation of D's reals, or None."""
    augment, fixed = config.augment, config.augment.apa_probability
    if not augment.apa and fixed is None:
        return None
    start, packed, to_full = fixed or 0.0, augment.pack, math.inf if fixed is not None else 1000 * augment.apa_kimg
    return pseudo_augment(
        augment.apa, interval=augment.apa_interval, images_to_full=to_full, initial_probability=start, images_per_logit=packed
    )


def build_cutmix(config: Config) -> CutMix | None:
    """Returns the CutMix regularisation of D, or None."""
    penalty = config.penalty
    if not penalty.cutmix:
        return None

    def probability(step: Array) -> Array | float:
        final = penalty.cutmix_probability
        return final * jnp.minimum(step / penalty.cutmix_warmup, 1.0) if penalty.cutmix_warmup else final

    return CutMix(penalty.cutmix, probability, penalty.cutmix_replaces, draw_cutmix_masks)


def build_replay(config: Config, *, domains: bool = False) -> Replay | None:
    """Returns the replay buffer of past fakes, one for each of two domains, or None."""
    replay = config.replay
    if not replay.size:
        return None
    buffer = replay_buffer(capacity=replay.size, share=replay.share, mode=replay.mode)
    return split_replay(buffer) if domains else buffer


def build_curriculum(config: Config, image_shape: tuple[int, ...]) -> Callable[..., Any] | None:
    """Returns the curriculum of progressive growing: it sets the size of both networks and of the reals at each step."""
    if config.model.name != "progressive":
        return None
    from gan_jax.models.common import first_map
    from gan_jax.models.progressive import growth_schedule, match_growth, set_growth

    stages = first_map(image_shape[:2])[0] + 1
    phase = config.model.phase_steps or max(1, config.steps // (2 * stages - 1))

    def curriculum(batch: Mapping[str, Array], state: TrainState) -> tuple[Mapping[str, Array], TrainState]:
        growth = growth_schedule(state.step, stages=stages, fade_steps=phase, stable_steps=phase)
        networks = Players(*(set_growth(network, growth) for network in state.networks))
        real = match_growth(normalize_images(batch["image"]), growth)
        return {**batch, "image": real}, state._replace(networks=networks)

    return curriculum


def build_top_k(config: Config) -> Callable[[Array, Array], Array] | None:
    """Returns a function that computes weights, which keep only the best fakes in G's loss, or None."""
    loss = config.loss
    if loss.top_k == 1:
        return None

    def weights(logits: Array, step: Array) -> Array:
        kept = top_k_count(step, batch_size=logits.shape[0], decay=loss.top_k_decay, every=loss.top_k_interval, minimum=loss.top_k)
        return top_k_weights(logits, kept)

    return weights


def build_update_rule(config: Config) -> UpdateRule:
    """Returns the update rule with its options."""
    update = config.update
    options = {name: getattr(update, name) for name in UPDATE_OPTIONS[update.name]}
    if update.pool_size:
        options["pool"] = player_pool(capacity=update.pool_size, interval=update.pool_interval, duration=update.pool_duration)
    return UPDATE_RULES[update.name](**options)
