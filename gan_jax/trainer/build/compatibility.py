"""Checks for incompatible configuration fields, and recipes whose values give way to the flags of the user."""

from collections.abc import Collection
from typing import Any

from gan_jax.losses import MULTICLASS, RELATIVISTIC, TAKES_TARGETS
from gan_jax.models import MODELS
from gan_jax.models.common import height_width
from gan_jax.trainer.build.model_options import model_options, models_with, network_classes
from gan_jax.trainer.config import Config, ConfigError, check, flag, flatten, replace_field

# The other loss with labels, minimax, trains G with the label of the fakes only.
_HAS_GENERATOR_TARGET = sorted(TAKES_TARGETS - {"minimax"})
# The sign of a logit is no decision if the targets are 1 and 0, if there are none, or if a constant shift changes nothing.
_NO_THRESHOLD = RELATIVISTIC | {"least_squares", "wasserstein"}
# D sees these contexts pixel by pixel beside the image, and these augmentations would move only the image.
_SEEN_CONTEXTS = ("image", "masked", "small")
_ADA = ("augment.ada", "augment.ada_probability", "augment.ada_probability_final")
_MOVING = ("augment.diff_augment", *_ADA, "penalty.consistency", "penalty.balanced_consistency")
_NOT_FOR_DOMAINS = (
    *("loss.reconstruction", "loss.perceptual", "loss.style", "penalty.wgan_gp", "penalty.dragan", "penalty.latent_consistency"),
    *("penalty.latent_diversity", "penalty.balanced_consistency", "penalty.consistency", "augment.diff_augment", *_ADA),
)
_IMAGES_ONLY = (
    *("loss.total_variation", "loss.perceptual", "loss.style", "penalty.consistency", "penalty.balanced_consistency"),
    *("augment.diff_augment", *_ADA, "update.joint_batches"),
)
# D of these models has a map of logits, or several.
_MAPS = ("multiscale", "pix2pix", "cyclegan", "inpaint", "unet_gan")
# Terms of G that compare its images with a target. `gan_jax.trainer.build.terms` marks them.
_TASK_TERMS = ("loss.reconstruction", "loss.feature_reconstruction", "loss.perceptual", "loss.style")
_LABELS = ("model.codes", "model.conditional", "model.auxiliary")
# Options of each row of `UPDATE_RULES` that the configuration sets.
UPDATE_OPTIONS: dict[str, tuple[str, ...]] = {
    "alternating": ("discriminator_steps", "generator_steps", "order", "fakes", "micro_batches", "generator_reals"),
    "simultaneous": ("micro_batches",),
    "unrolled": ("unroll_steps", "discriminator_steps"),
    "extragradient": (),
    "consensus": ("consensus_weight",),
    "loss_balanced": ("loss_threshold", "max_discriminator_steps", "generator_loss_threshold", "max_generator_steps"),
}


def check_compatibility(
    config: Config, image_shape: tuple[int, ...], num_classes: int, *, with_model: bool = True, own_task: bool = False
) -> None:
    """Checks that the fields fit together, and that they fit the data and the model.

    Args:
        config: A configuration that passes `gan_jax.trainer.config.check`.
        image_shape: Shape of one example of the data.
        num_classes: Number of classes of the data. 0 if it has no labels.
        with_model: Whether the networks are those of `config.model`. Otherwise its options are not checked.
        own_task: Whether the caller brings task terms of G.

    Raises:
        ConfigError: Two fields are incompatible. The message names the flag and the reason.
    """
    _check_labels(config, num_classes)
    classes = network_classes(config, num_classes)
    if with_model:
        _check_class_heads(config)
        model_options(config, image_shape, classes)
    _check_loss(config)
    _check_balance(config, with_model=with_model, own_task=own_task)
    _check_data(config, image_shape, classes)
    _check_pairs(config)
    _check_inputs(config, with_model=with_model)
    _check_domains(config)
    _check_update(config)
    _check_model(config)


def resolve(config: Config, typed: Collection[str]) -> tuple[Config, list[str]]:
    """Checks a configuration before the data is loaded. Values of the recipe give way to what the user typed.

    If two fields are incompatible and the user did not type one of them, this field takes its default.

    Args:
        config: A recipe or a saved configuration with the flags of the user.
        typed: Paths of the fields that the user typed.

    Returns:
        The configuration, and one line for each field that was reset, and for each of `cautions`.

    Raises:
        ConfigError: A value is not allowed, or the user typed incompatible fields.
    """
    notices: list[str] = []
    if "steps" in typed and "epochs" not in typed:
        config = replace_field(config, "epochs", 0)
    if config.data.pairs is not None and "data.pairs" in typed and "data.source" not in typed:
        config = replace_field(config, "data.source", "image_folder")  # The only source with pairs.
    while True:
        try:
            # Whether the data has labels is known only when it is loaded. `build` checks again.
            points = config.data.source in ("ring", "grid")
            shape = (2,) if points else (*height_width(config.data.size), config.data.channels or 1)
            check_compatibility(check(config), shape, 0 if points else 10)
            return config, notices + cautions(config, typed)
        except ConfigError as error:
            path = next((path for path in error.fields if path not in typed and _value(config, path) != _value(Config(), path)), None)
            if path is None:
                raise
            value, default = _value(config, path), _value(Config(), path)
            config = _reset(config, path)
            notices.append(f"{error.reason}; the recipe's {flag(path)} {_words(value)} is reset to {_words(default)}")


def cautions(config: Config, typed: Collection[str]) -> list[str]:
    """One line for each valid choice that probably does not do what the user expects."""
    lines, optimizer = [], config.optimizer
    fields, coupled = flatten(config), _has_discriminator_batch_norm(config)
    for path in ("transform.gradient_normalization", *(f"penalty.{name}" for name in ("wgan_gp", "r1", "r2", "zero_centered", "dragan"))):
        if fields[path] and coupled:
            line = "with batch norm in D the gradient at an example depends on the others; consider --model.discriminator-norm none"
            lines.append(f"{flag(path)} {fields[path]}: {line}")
    largest = (config.steps + 1) / (config.steps + 10)
    by_images = optimizer.ema_images or optimizer.ema_images_final
    if "optimizer.ema_decay" in typed and optimizer.ema_warmup and optimizer.ema_decay > largest and not by_images:
        line = f"the warm-up keeps the decay below {largest:.4f} in {config.steps} steps, so a larger one has no effect"
        lines.append(f"--optimizer.ema-decay {optimizer.ema_decay}: {line}; add --optimizer.no-ema-warmup or use --optimizer.ema-images")
    return lines


def _has_discriminator_batch_norm(config: Config) -> bool:
    """Whether D has batch norm that an option of its model removes."""
    known = MODELS[config.model.name].options
    if "discriminator_norm" not in known:
        return False
    own, of_generator = (
        config.model.options.get(name) or getattr(config.model, name) or known.get(name) for name in ("discriminator_norm", "norm")
    )
    # Models without a norm for D of its own give it that of G, or batch norm instead of a conditional one.
    return (own or of_generator) in ("batch", "conditional_batch")


def _value(config: Config, path: str) -> Any:
    _, is_option, name = path.partition("model.options.")
    return config.model.options.get(name) if is_option else flatten(config)[path]


def _reset(config: Config, path: str) -> Config:
    _, is_option, name = path.partition("model.options.")
    if not is_option:
        return replace_field(config, path, _value(Config(), path))
    return replace_field(config, "model.options", {key: value for key, value in config.model.options.items() if key != name})


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _refuse(config: Config, when: Any, path: str, reason: str, *others: str, advice: str = "") -> None:
    """Raises ConfigError if `when` is true. The field at `path`, or one of `others`, must change."""
    if when:
        raise ConfigError(f"{flag(path)} {_words(_value(config, path))}: {reason}", fields=(path, *others), advice=advice)


def _check_labels(config: Config, num_classes: int) -> None:
    model = config.model
    if model.codes:
        sees = "condition" in MODELS[model.name].options and model.condition != "none"
        reason, advice = "D has to predict the codes without seeing them", "set --model.auxiliary True --model.condition none"
        wrong = model.conditional or not model.auxiliary or sees
        return _refuse(config, wrong, "model.codes", reason, "model.conditional", "model.condition", advice=advice)
    reason = f"the source {config.data.source} has no labels"
    _refuse(config, model.conditional and not num_classes, "model.conditional", reason)
    _refuse(config, model.auxiliary and not num_classes, "model.auxiliary", reason)


def _check_class_heads(config: Config) -> None:
    """The embedding of ReACGAN and the class of the fakes of the multi-hinge loss, which exclude a D that sees the labels."""
    model, loss = config.model, config.loss
    known = MODELS[model.name].options
    for path in ("loss.data_to_data", "loss.contrastive"):
        reason = f"the D of {model.name} has no embedding"
        without = _value(config, path) and "proxy_dim" not in known
        _refuse(config, without, path, reason, advice=f"use --model.name {', '.join(models_with('proxy_dim'))}")
        without = _value(config, path) and not model.proxy_dim
        _refuse(config, without, path, "D has no embedding that it could compare", advice="add --model.proxy-dim 512")
    losses = loss.data_to_data or loss.contrastive
    reason, advice = "no loss trains the embedding", "add --loss.data-to-data 0.5 or --loss.contrastive 1"
    _refuse(config, model.proxy_dim and not losses, "model.proxy_dim", reason, advice=advice)
    for path, on in (("model.proxy_dim", model.proxy_dim), ("loss.name", loss.name in MULTICLASS)):
        _refuse(config, on and not model.conditional, path, "G and D need labels", advice="add --model.conditional")
        allowed = ("none", "projection") if path == "model.proxy_dim" else ("none",)
        sees = "condition" in known and (model.condition or "channels") not in allowed
        reason, advice = "D has to find the class without seeing it", "add --model.condition none"
        _refuse(config, on and sees, path, reason, "model.condition", advice=advice)
    wrong = loss.name in MULTICLASS and config.transform.gradient_normalization
    reason = "--transform.gradient-normalization normalises one logit, and this loss uses those of all classes"
    _refuse(config, wrong, "loss.name", reason, "transform.gradient_normalization", advice="use --transform.spectral-norm discriminator")
    wrong, reason = loss.name in MULTICLASS and model.auxiliary, "its class logits are those of --model.auxiliary, too"
    _refuse(config, wrong, "loss.name", reason, "model.auxiliary", advice="drop --model.auxiliary")


def _check_data(config: Config, image_shape: tuple[int, ...], num_classes: int) -> None:
    fields, advice = flatten(config), "drop --model.conditional"
    for path in _IMAGES_ONLY if len(image_shape) == 1 else ():
        _refuse(config, fields[path], path, f"for images only, and {config.data.source} has points")
    for path in ("loss.perceptual", "loss.style"):
        _refuse(
            config, fields[path] and image_shape[-1] == 4, path, "VGG16 reads grey or colour, not opacity", advice="use --data.channels 3"
        )
    _refuse(config, config.replay.size and num_classes, "replay.size", "past fakes have no labels", *_LABELS, advice=advice)
    packed = config.augment.pack > 1 and num_classes
    _refuse(config, packed, "augment.pack", "packed samples have no single label", *_LABELS, advice=advice)


def _check_loss(config: Config) -> None:
    loss, advice = config.loss, "use --loss.name {}".format
    for name in ("real_target", "fake_target", "flip_probability"):
        wrong = getattr(loss, name) and loss.name not in TAKES_TARGETS
        _refuse(config, wrong, f"loss.{name}", f"{loss.name} has no labels", advice=advice(" or ".join(sorted(TAKES_TARGETS))))
    wrong = loss.generator_target is not None and loss.name not in _HAS_GENERATOR_TARGET
    _refuse(config, wrong, "loss.generator_target", f"{loss.name} gives G no label", advice=advice(" or ".join(_HAS_GENERATOR_TARGET)))
    reason = f"its measure needs a decision at logit 0, which {loss.name} does not have"
    for name in ("ada", "apa"):
        _refuse(config, getattr(config.augment, name) and loss.name in _NO_THRESHOLD, f"augment.{name}", reason)


def _check_balance(config: Config, *, with_model: bool, own_task: bool) -> None:
    """The adversarial term can be balanced with a task, or wait for it, only if G has one."""
    fields, model = flatten(config), config.model.name
    models = ", ".join(name for name, row in MODELS.items() if row.context is not None)
    for path in ("loss.adaptive_weight", "loss.adversarial_start"):
        if not fields[path] or own_task:
            continue
        without = with_model and MODELS[model].context is None
        reason = f"the model {model} has no target image, so G has no task term"
        _refuse(config, without, path, reason, advice=f"use --model.name {models}")
        advice = f"add {', '.join(map(flag, _TASK_TERMS))}"
        _refuse(config, not any(fields[term] for term in _TASK_TERMS), path, "G has no task term", advice=advice)
    wrong, reason = config.update.name == "unrolled", "--update.name unrolled differentiates G's loss as one scalar"
    _refuse(config, config.loss.adaptive_weight and wrong, "loss.adaptive_weight", reason, "update.name")
    wrong = config.transform.weight_norm in ("generator", "both")
    reason = "weight normalisation splits the kernel of G's last layer"
    _refuse(config, config.loss.adaptive_weight and wrong, "loss.adaptive_weight", reason, "transform.weight_norm")


def _check_pairs(config: Config) -> None:
    """Values that are compared image by image, or contexts that D sees beside an image, must stay with their image."""
    fields, model = flatten(config), config.model.name
    for path in ("penalty.consistency", "penalty.balanced_consistency", "penalty.latent_consistency"):
        reason = "compares D's outputs image by image, and packed samples share one output"
        _refuse(config, fields[path] and config.augment.pack > 1, path, reason, "augment.pack", advice="drop --augment.pack")
    reason, other = "--penalty.latent-consistency compares new fakes of similar latents, not past fakes", "penalty.latent_consistency"
    _refuse(config, fields[other] and config.replay.size, "replay.size", reason, other, advice="drop one of them")
    if model == "unet_gan":
        for path in ("penalty.consistency", "penalty.balanced_consistency"):
            _refuse(config, fields[path], path, "compares D's outputs pixel by pixel, and moves the images but not the logits of unet_gan")
    if MODELS[model].context not in _SEEN_CONTEXTS:
        return
    _refuse(config, config.augment.pack > 1, "augment.pack", f"packed samples of {model} have no single paired image")
    _refuse(config, config.replay.size, "replay.size", f"a past fake of {model} was made for another paired image")
    for path in _MOVING:
        # The colours and holes of DiffAugment leave everything in its place.
        moves = fields[path] and (path != "augment.diff_augment" or "translation" in fields[path])
        _refuse(config, moves, path, f"moves the images but not the paired images of {model}")


def _check_domains(config: Config) -> None:
    """Between two domains nothing compares an output with a target, and D sees an image of each domain along the channels."""
    fields, model = flatten(config), config.model.name
    two = MODELS[model].context == "domains"
    for path in ("loss.cycle", "loss.identity"):
        _refuse(config, fields[path] and not two, path, f"the model {model} does not translate between two domains")
    for path in _NOT_FOR_DOMAINS if two else ():
        _refuse(config, fields[path], path, f"does not suit {model}, whose examples are an image of each of two domains")
    _refuse(config, two and config.augment.pack > 1, "augment.pack", f"does not suit {model}, whose examples are images of two domains")


def _check_inputs(config: Config, *, with_model: bool) -> None:
    data, model = config.data, config.model.name
    pairs, advice = data.pairs is not None, "use --data.source image_folder --data.directory DIR"
    _refuse(config, pairs and data.source != "image_folder", "data.pairs", f"{data.source} has no pairs", "data.source", advice=advice)
    kind, needed = MODELS[model].context, "domains" if data.pairs == "unpaired" else "image"
    others = ", ".join(name for name, row in MODELS.items() if row.context == needed)
    reason = f"the model {model} learns from " + {"image": "pairs", "domains": "unpaired images"}.get(kind or "", "single images")
    _refuse(config, pairs and with_model and kind != needed, "data.pairs", reason, advice=f"use --model.name {others}")
    wrong = not pairs and data.direction != Config().data.direction
    _refuse(config, wrong, "data.direction", "there are no pairs", advice="use --data.pairs side-by-side or folders")


def _check_update(config: Config) -> None:
    update, optimizer = config.update, config.optimizer
    for name in (*UPDATE_OPTIONS["alternating"], "pool_size"):
        known = name in UPDATE_OPTIONS[update.name] or (name == "pool_size" and update.name == "alternating")
        wrong = not known and getattr(update, name) != getattr(Config().update, name)
        _refuse(config, wrong, f"update.{name}", f"the update rule {update.name} has no such option")
    others = ("update.micro_batches", "update.pool_size", "update.generator_reals")
    wrong = update.fakes == "shared" and (update.micro_batches > 1 or update.pool_size or update.generator_reals == "fresh")
    _refuse(config, wrong, "update.fakes", f"excludes {', '.join(map(flag, others))}", *others)
    reason = "--update.name loss_balanced does not know in advance how often it updates the players"
    for path in ("optimizer.schedule", "optimizer.lr_final", "optimizer.b2_final", "optimizer.ema_images_final"):
        wrong = update.name == "loss_balanced" and _value(config, path) != _value(Config(), path)
        advice = "use --optimizer.schedule constant" if path.endswith("schedule") else f"drop {flag(path)}"
        _refuse(config, wrong, path, reason, advice=advice)
    wrong = optimizer.lr_final is not None and optimizer.schedule != "constant"
    _refuse(config, wrong, "optimizer.schedule", "excludes --optimizer.lr-final", "optimizer.lr_final")
    wrong, options = config.penalty.final is not None, ("wgan_gp", "r1", "r2", "zero_centered", "dragan")
    wrong = wrong and not any(getattr(config.penalty, name) for name in options)
    _refuse(config, wrong, "penalty.final", "there is no gradient penalty whose weight could change")
    wrong, advice = update.name == "unrolled" and optimizer.adaptive_clip, "use --optimizer.clip-gradients"
    reason = "the gradient norm of a dead unit has no derivative, which --update.name unrolled needs"
    _refuse(config, wrong, "optimizer.adaptive_clip", reason, advice=advice)


def _check_cutmix(config: Config) -> None:
    """CutMix needs logits of pixels that stay with their image, and labels for them."""
    fields, path = flatten(config), "penalty.cutmix"
    if not fields[path]:
        return
    reason = f"needs logits of pixels, and the D of {config.model.name} has none"
    _refuse(config, config.model.name != "unet_gan", path, reason, advice="use --model.name unet_gan")
    losses = ("non_saturating", "minimax")
    reason, advice = f"is a cross-entropy, and {config.loss.name} is none", f"use --loss.name {' or '.join(losses)}"
    _refuse(config, config.loss.name not in losses, path, reason, "loss.name", advice=advice)
    for other in ("augment.diff_augment", *_ADA):
        _refuse(config, fields[other], other, "gives reals, fakes and mixed images other changes, and --penalty.cutmix compares them", path)
    _refuse(config, config.augment.pack > 1, "augment.pack", "packed samples share the logits that --penalty.cutmix compares", path)


def _check_model(config: Config) -> None:
    fields, model = flatten(config), config.model.name
    _check_cutmix(config)
    wrong, advice = config.transform.gradient_normalization and model in _MAPS, "use --transform.spectral-norm discriminator"
    reason = f"needs one logit per image, and the D of {model} has many"
    _refuse(config, wrong, "transform.gradient_normalization", reason, advice=advice)
    _refuse(config, config.loss.kl and MODELS[model].context != "real", "loss.kl", f"the model {model} has no encoder")
    for path in ("loss.feature_matching", "loss.feature_reconstruction"):
        _refuse(config, fields[path] and model == "progressive", path, "the discriminator of progressive has no features")
    has_styles = "style_dim" in MODELS[model].options
    reason, advice = f"the model {model} has no styles", "use --model.name stylegan2"
    _refuse(config, config.penalty.path_length and not has_styles, "penalty.path_length", reason, "model.name", advice=advice)
    mixes = has_styles and config.model.options.get("style_mixing", MODELS[model].options["style_mixing"])
    wrong = mixes and config.model.latents not in ("normal", "spherical")
    reason, advice = "style mixing draws normal latents", "use --model.latents normal, or --model.options.style-mixing 0"
    _refuse(config, wrong, "model.latents", reason, "model.options.style_mixing", advice=advice)
