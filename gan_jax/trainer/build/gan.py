"""From a configuration to a game: here, and in `gan_jax.trainer.build.optimizer`, names become functions."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax

from gan_jax import latents
from gan_jax.augment import adaptive_augment, diff_augment, instance_noise, pack
from gan_jax.conditioning import CONDITIONS
from gan_jax.distributed import Placement, distribute
from gan_jax.gan.diagnostics import with_diagnostics
from gan_jax.gan.spec import GANSpec
from gan_jax.gan.state import TrainState
from gan_jax.gan.types import GradientPenalty, normalize_images
from gan_jax.gan.update_rules import UPDATE_RULES, UpdateRule
from gan_jax.losses import ADVERSARIAL, TAKES_TARGETS, flip_targets, soft_targets
from gan_jax.models import MODELS, build_model
from gan_jax.penalties import COUPLES_EXAMPLES, PENALTIES, gradient_penalty, top_k_count, top_k_weights
from gan_jax.replay import Replay, player_pool, replay_buffer
from gan_jax.trainer.build.compatibility import check_compatibility
from gan_jax.trainer.build.optimizer import build_learning_rates, build_optimizer
from gan_jax.trainer.build.terms import build_terms
from gan_jax.trainer.config import Config, ConfigError
from gan_jax.transforms import spectral_norm, weight_norm
from gan_jax.typing import GAN, Array, Augmentation, ParamTransform, Players


class BuiltGAN(NamedTuple):
    """A game as configured: the parts, for those who look inside, and the three functions."""

    spec: GANSpec
    rule: UpdateRule
    gan: GAN


def build(config: Config, image_shape: tuple[int, ...], num_classes: int = 0, placement: Placement | None = None) -> BuiltGAN:
    """Makes the game that a configuration describes.

    Args:
        config: checked with `gan_jax.trainer.config.check`.
        image_shape: of one example of the data.
        num_classes: of the data; used where the model is conditional or classifies.
        placement: the devices that `train_step` is spread over; None for one.

    Raises:
        ConfigError: a name that no table has, or a combination that cannot be.
    """
    try:
        rule = build_update_rule(config)
        spec = build_spec(config, image_shape, num_classes)
        if placement is not None:
            parts = placement.devices * config.update.micro_batches * config.augment.pack
            if config.batch_size % parts:
                raise ConfigError(
                    f"--batch-size {config.batch_size}: must be a multiple of {parts} ({placement.devices} devices, "
                    "times --update.micro-batches, times --augment.pack)"
                )
            rule = distribute(rule, placement, micro_batches=config.update.micro_batches)
        return BuiltGAN(spec, rule, with_diagnostics(spec, rule))
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error


def build_spec(config: Config, image_shape: tuple[int, ...], num_classes: int) -> GANSpec:
    """The networks, the loss, and everything that hangs on them."""
    if config.loss.name not in ADVERSARIAL:
        raise ConfigError(f"--loss.name {config.loss.name}: must be one of {', '.join(ADVERSARIAL)}")
    classes = _classes(config, num_classes)
    options = model_options(config, image_shape, classes)
    try:
        networks = build_model(config.model.name, **options)
    except (TypeError, AttributeError, ArithmeticError) as error:
        raise ConfigError(f"--model.options: {config.model.name} cannot be built: {error}") from error
    check_compatibility(config, image_shape, classes)
    return GANSpec(
        generator=networks.generator,
        discriminator=networks.discriminator,
        loss=ADVERSARIAL[config.loss.name],
        optimizer=build_optimizer(config),
        image_shape=image_shape,
        latent_dim=config.model.latent_dim,
        sample_latents=latents.LATENTS[config.model.latents],
        num_classes=classes,
        sample_labels=partial(jax.random.randint, minval=0, maxval=config.model.codes) if config.model.codes else None,
        penalties=build_penalties(config),
        terms=build_terms(config, num_classes),
        transforms=build_transforms(config),
        augmentations=build_augmentations(config),
        targets=build_targets(config),
        generator_target=config.loss.generator_target,
        adversarial_weight=config.loss.adversarial_weight,
        halve_discriminator_loss=config.loss.halve,
        joint_batches=config.update.joint_batches,
        context=CONDITIONS[MODELS[config.model.name].context],
        replay=build_replay(config),
        target_discriminator=config.optimizer.target_discriminator,
        top_k=build_top_k(config),
        freeze=Players(config.update.freeze_generator, config.update.freeze_discriminator),
        curriculum=build_curriculum(config, image_shape),
        learning_rates=build_learning_rates(config),
        layer_norms=config.layer_norms,
        # The examples of `init` are packed as well: the least multiple of the pack that is not below the usual number.
        example_batch=-(-GANSpec.example_batch // config.augment.pack) * config.augment.pack,
    )


def _classes(config: Config, num_classes: int) -> int:
    if config.model.codes:
        sees = "condition" in MODELS[config.model.name].options and config.model.condition != "none"
        if config.model.conditional or not config.model.auxiliary or sees:
            raise ConfigError("--model.codes: D has to tell them without seeing them; set --model.auxiliary True --model.condition none")
        return config.model.codes
    wanted = config.model.conditional or config.model.auxiliary
    if wanted and not num_classes:
        raise ConfigError(f"--model.conditional: the source {config.data.source} has no labels")
    return num_classes if wanted else 0


# Fields of ModelConfig that are no options of a model.
_NOT_OPTIONS = ("name", "latents", "conditional", "codes", "options", "phase_steps")


def model_options(config: Config, image_shape: tuple[int, ...], num_classes: int) -> dict[str, Any]:
    """The options that the model is built with; refuses those that it does not understand."""
    if config.model.name not in MODELS:
        raise ConfigError(f"--model.name {config.model.name}: must be one of {', '.join(MODELS)}")
    known = MODELS[config.model.name].options
    of_data: dict[str, Any] = {"num_classes": num_classes}
    if len(image_shape) == 3:
        of_data |= {"image_size": image_shape[0], "channels": image_shape[2]}
    else:
        of_data |= {"dim": image_shape[0]}
    needed = [name for name in of_data if name not in known and of_data[name]]
    if "num_classes" in needed:
        raise ConfigError(f"--model.conditional: the model {config.model.name} has no conditional form")
    if needed:
        raise ConfigError(f"--model.name {config.model.name}: does not make data of shape {image_shape}")
    chosen = {field.name: getattr(config.model, field.name) for field in dataclasses.fields(config.model) if field.name not in _NOT_OPTIONS}
    chosen = {name: value for name, value in chosen.items() if value is not None and (value != "float32" or name in known)}
    for name in chosen | config.model.options:
        if name not in known:
            where = f"--model.{name.replace('_', '-')}" if name in chosen else f"--model.options {name}"
            raise ConfigError(f"{where}: the model {config.model.name} has no such option; it has {', '.join(known)}")
    return {name: value for name, value in of_data.items() if name in known} | chosen | config.model.options


def build_targets(config: Config) -> Callable[..., tuple[Array, Array]] | None:
    """Labels of reals and fakes in D's loss, drawn anew in every step, or None for 1 and 0."""
    loss = config.loss
    if loss.real_target is None and loss.fake_target is None and not loss.flip_probability:
        return None
    if loss.name not in TAKES_TARGETS:
        raise ConfigError(
            f"--loss.real-target, --loss.fake-target, --loss.flip-probability: {loss.name} has no labels; "
            f"{', '.join(sorted(TAKES_TARGETS))} have; --loss.real-target None takes the recipe's labels away"
        )
    real_low, real_high = loss.real_target or (1.0, 1.0)
    fake_low, fake_high = loss.fake_target or (0.0, 0.0)

    def targets(rng: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
        for_real, for_fake, for_flip = jax.random.split(rng, 3)
        real = soft_targets(for_real, shape, real_low, real_high)
        fake = soft_targets(for_fake, shape, fake_low, fake_high)
        return flip_targets(for_flip, real, fake, loss.flip_probability) if loss.flip_probability else (real, fake)

    return targets


def build_penalties(config: Config) -> tuple[GradientPenalty, ...]:
    """Gradient penalties of D with a weight above 0."""
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
    return tuple(
        GradientPenalty(name, function, weight, options.interval, couples_examples=name in COUPLES_EXAMPLES)
        for name, (weight, function) in rows.items()
        if weight
    )


def build_transforms(config: Config) -> Players:
    """Reparametrisations of each player's weights."""

    def of(player: str) -> tuple[ParamTransform, ...]:
        found = []
        if config.transform.spectral_norm in (player, "both"):
            found.append(spectral_norm(config.transform.power_iterations))
        if config.transform.weight_norm in (player, "both"):
            found.append(weight_norm())
        return tuple(found)

    return Players(*(of(player) for player in Players._fields))


def build_augmentations(config: Config) -> tuple[Augmentation, ...]:
    """Transformations of D's inputs: augmentation first, then noise, then packing."""
    augment, found = config.augment, []
    if augment.diff_augment:
        try:
            found.append(diff_augment(policy=augment.diff_augment))
        except ValueError as error:
            raise ConfigError(f"--augment.diff-augment: {error}") from error
    if augment.ada:
        found.append(adaptive_augment(target=augment.ada))
    if augment.instance_noise:
        steps = augment.instance_noise_steps or max(1, config.steps // 2)
        found.append(instance_noise(augment.instance_noise, steps, schedule=augment.instance_noise_schedule))
    if augment.pack > 1:
        found.append(pack(augment.pack))
    return tuple(found)


def build_replay(config: Config) -> Replay | None:
    """The memory of past fakes."""
    replay = config.replay
    if not replay.size:
        return None
    return replay_buffer(capacity=replay.size, share=replay.share, mode=replay.mode)


def build_curriculum(config: Config, image_shape: tuple[int, ...]) -> Callable[..., Any] | None:
    """Progressive growing: both networks and the reals at the size reached at each step."""
    if config.model.name != "progressive":
        return None
    from gan_jax.models.progressive import growth_schedule, match_growth, set_growth

    stages = image_shape[0].bit_length() - 2
    phase = config.model.phase_steps or max(1, config.steps // (2 * stages - 1))

    def curriculum(batch: Mapping[str, Array], state: TrainState) -> tuple[Mapping[str, Array], TrainState]:
        growth = growth_schedule(state.step, stages=stages, fade_steps=phase, stable_steps=phase)
        networks = Players(*(set_growth(network, growth) for network in state.networks))
        real = match_growth(normalize_images(batch["image"]), growth)
        return {**batch, "image": real}, state._replace(networks=networks)

    return curriculum


def build_top_k(config: Config) -> Callable[[Array, Array], Array] | None:
    """Weights that keep the best fakes in G's loss."""
    loss = config.loss
    if loss.top_k == 1:
        return None

    def weights(logits: Array, step: Array) -> Array:
        kept = top_k_count(step, batch_size=logits.shape[0], decay=loss.top_k_decay, every=loss.top_k_interval, minimum=loss.top_k)
        return top_k_weights(logits, kept)

    return weights


# The options of each row of UPDATE_RULES that the configuration sets.
_UPDATE_OPTIONS = {
    "alternating": ("discriminator_steps", "generator_steps", "order", "fakes", "micro_batches"),
    "simultaneous": ("micro_batches",),
    "unrolled": ("unroll_steps", "discriminator_steps"),
    "extragradient": (),
    "consensus": ("consensus_weight",),
    "loss_balanced": ("loss_threshold", "max_discriminator_steps"),
}


def build_update_rule(config: Config) -> UpdateRule:
    """The update rule; refuses options that it does not have."""
    chosen = config.update
    options = {name: getattr(chosen, name) for name in _UPDATE_OPTIONS[chosen.name]}
    shared = ("discriminator_steps", "generator_steps", "order", "fakes", "micro_batches")
    default = type(chosen)()
    for name in shared:
        if name not in options and getattr(chosen, name) != getattr(default, name):
            raise ConfigError(f"--update.{name.replace('_', '-')}: the strategy {chosen.name} has no such option")
    if chosen.fakes == "shared" and (chosen.micro_batches > 1 or chosen.pool_size):
        raise ConfigError("--update.fakes shared: excludes --update.micro-batches and --update.pool-size")
    if chosen.pool_size:
        if chosen.name != "alternating":
            raise ConfigError("--update.pool-size: only with --update.name alternating")
        options["pool"] = player_pool(capacity=chosen.pool_size, interval=chosen.pool_interval, duration=chosen.pool_duration)
    return UPDATE_RULES[chosen.name](**options)
