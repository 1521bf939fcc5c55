"""Which fields of a configuration cannot be had together."""

from gan_jax.losses import RELATIVISTIC, TAKES_TARGETS
from gan_jax.models import MODELS
from gan_jax.trainer.config import Config, ConfigError, flag, flatten

# G's loss in the minimax game looks at the label of the fakes alone.
_GENERATOR_AIMS = sorted(TAKES_TARGETS - {"minimax"})
# Losses under which the sign of a logit is no decision: with targets 1 and 0, without any, or where a constant shift changes nothing.
_NO_THRESHOLD = RELATIVISTIC | {"least_squares", "wasserstein"}
# Contexts that D sees pixel by pixel beside the image, and what would move the image alone.
_SEEN_CONTEXTS = ("image", "masked", "small")
_MOVING = ("augment.diff_augment", "augment.ada", "penalty.consistency", "penalty.balanced_consistency")
# Fields that mean something for images only.
_FOR_IMAGES = (
    *("loss.total_variation", "loss.perceptual", "loss.style", "penalty.consistency", "penalty.balanced_consistency"),
    *("augment.diff_augment", "augment.ada", "update.joint_batches"),
)


def check_compatibility(config: Config, image_shape: tuple[int, ...], num_classes: int) -> None:
    """Refuses fields that are valid by themselves but cannot be had together, or not with this data or model.

    Args:
        config: checked with `gan_jax.trainer.config.check`, its names all known.
        image_shape: of one example of the data.
        num_classes: that the networks are given; 0 for none.

    Raises:
        ConfigError: names the flag and the reason.
    """
    _check_loss(config)
    _check_data(config, image_shape, num_classes)
    _check_pairs(config)
    _check_update(config)
    _check_model(config)


def _check_data(config: Config, image_shape: tuple[int, ...], num_classes: int) -> None:
    fields = flatten(config)
    if len(image_shape) == 1:
        for path in _FOR_IMAGES:
            if fields[path]:
                raise ConfigError(f"{flag(path)}: for images only; {config.data.source} has points")
    if config.replay.size and num_classes:
        raise ConfigError("--replay.size: past fakes carry no labels; drop --model.conditional")
    if config.augment.pack > 1 and num_classes:
        raise ConfigError("--augment.pack: packed samples have no single label; drop --model.conditional")


def _check_loss(config: Config) -> None:
    name = config.loss.name
    if config.loss.generator_target is not None and name not in _GENERATOR_AIMS:
        raise ConfigError(f"--loss.generator-target: {name} gives G no label to aim at; {', '.join(_GENERATOR_AIMS)} do")
    if config.augment.ada and name in _NO_THRESHOLD:
        raise ConfigError(f"--augment.ada: its measure needs a decision at logit 0, which {name} does not have")


def _check_pairs(config: Config) -> None:
    """What is compared image by image, or seen beside an image, must stay with its image."""
    fields, model = flatten(config), config.model.name
    for path in ("penalty.consistency", "penalty.balanced_consistency", "penalty.latent_consistency"):
        if fields[path] and config.augment.pack > 1:
            raise ConfigError(f"{flag(path)}: compares D's answers image by image, and packed samples share one; drop --augment.pack")
    if config.penalty.latent_consistency and config.replay.size:
        raise ConfigError("--replay.size: --penalty.latent-consistency compares fakes of near latents, not past ones; drop one of them")
    if MODELS[model].context in _SEEN_CONTEXTS:
        if config.augment.pack > 1:
            raise ConfigError(f"--augment.pack: packed samples of {model} have no single image that they are paired with; drop it")
        if config.replay.size:
            raise ConfigError(f"--replay.size: a past fake of {model} was made for another image than the one D sees beside it; drop it")
        for path in _MOVING:
            # DiffAugment's colours and holes leave everything in its place.
            if fields[path] and (path != "augment.diff_augment" or "translation" in fields[path]):
                raise ConfigError(f"{flag(path)} {fields[path]}: moves the images, and not those that {model} pairs them with; drop it")


def _check_update(config: Config) -> None:
    if config.update.name == "loss_balanced" and config.optimizer.schedule != "constant":
        raise ConfigError(
            f"--optimizer.schedule {config.optimizer.schedule}: with --update.name loss_balanced nobody knows beforehand how often D moves; "
            "take --optimizer.schedule constant"
        )
    if config.update.name == "unrolled" and config.optimizer.adaptive_clip:
        raise ConfigError(
            "--optimizer.adaptive-clip: the norm of a dead unit's gradient has no derivative, which --update.name unrolled needs; "
            "take --optimizer.clip-gradients"
        )


def _check_model(config: Config) -> None:
    fields, model = flatten(config), config.model.name
    if config.loss.kl and MODELS[model].context != "real":
        raise ConfigError(f"--loss.kl: the model {model} has no encoder")
    if model == "progressive":
        for path in ("loss.feature_matching", "loss.feature_reconstruction"):
            if fields[path]:
                raise ConfigError(f"{flag(path)}: the discriminator of progressive gives no features")
