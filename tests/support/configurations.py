"""Random configurations for tests: values that are valid by themselves, and combinations that are documented as incompatible."""

import copy

from hypothesis import strategies as st

from gan_jax.losses import ADVERSARIAL, MULTICLASS, RELATIVISTIC
from gan_jax.models import MODELS
from gan_jax.optimizers import OPTIMIZERS
from gan_jax.trainer.config import Config, to_dict

BATCH = 4
# Model -> (frequency, image size, width, further options). Each is as small as possible.
SMALLEST = {
    "mlp": (10, 8, None, {"generator_hidden": "8,8", "discriminator_hidden": "8"}),
    "points": (8, 8, None, {"generator_hidden": "8,8", "discriminator_hidden": "8"}),
    "dcgan": (5, 8, 4, {}),
    "sngan": (1, 32, 4, {}),
    "unet_gan": (1, 16, 4, {"shared_dim": 4}),
    "r3gan": (1, 8, 4, {"blocks": 1, "group_size": 2, "embedding_dim": 4}),
    "progressive": (1, 8, 4, {}),
    "multiscale": (1, 16, 4, {"patch_layers": 1}),
    "pix2pix": (1, 16, 4, {}),
    "stacked": (1, 16, 4, {"blocks": 1}),
    "vaegan": (1, 8, 4, {}),
}

# Values of each field besides its default. Each is valid by itself.
VALUES = {
    "steps": [2, 3],
    "scan_steps": [2, 3],
    "log_every": [2],
    "sample_every": [1, 2],
    "layer_norms": [True],
    "data.flip": [True],
    "data.jitter": [1, 5],
    "data.pipeline": ["memory", "stream"],
    "data.workers": [0, 1],
    "data.channels": [1, 3],
    "data.split": ["test", "all"],
    "model.conditional": [True],
    "model.latents": ["spherical", "uniform", "truncated_normal"],
    "model.norm": ["batch", "none", "instance", "layer", "pixel", "virtual_batch", "switchable"],
    "model.discriminator_norm": ["batch", "none", "instance"],
    "model.activation": ["relu", "elu", "swish", "leaky_relu"],
    "model.output_activation": ["linear", "tanh"],
    "model.output_kernel": [1, 3],
    "model.up": ["nearest", "pixel_shuffle", "bilinear", "transposed"],
    "model.down": ["average", "max", "strided"],
    "model.noise": [True],
    "model.dropout": [0.5],
    "model.discriminator_dropout": [0.5],
    "model.minibatch_stddev": [True],
    "model.minibatch_discrimination": [True],
    "model.condition": ["projection", "none", "channels"],
    "model.auxiliary": [True],
    "model.proxy_dim": [3],
    "model.gradient_checkpointing": [True],
    "precision": ["tf32", "bfloat16"],
    "loss.name": [*ADVERSARIAL, *MULTICLASS],
    "loss.real_target": [[0.7, 1.2], [0.9, 0.9]],
    "loss.fake_target": [[0.0, 0.3]],
    "loss.flip_probability": [0.1, 1.0],
    "loss.generator_target": [1.0, 0.5],
    "loss.halve": [True],
    "loss.adversarial_weight": [0.0, 0.1],
    "loss.adaptive_weight": [True],
    "loss.adversarial_start": [1],
    "loss.feature_matching": [1.0],
    "loss.classifier": [0.0, 0.5],
    "loss.data_to_data": [0.5],
    "loss.data_to_data_margin": [0.0, 1.0],
    "loss.contrastive": [0.5],
    "loss.reconstruction": [1.0],
    "loss.feature_reconstruction": [0.1],
    "loss.total_variation": [0.01],
    "loss.kl": [0.1],
    "loss.top_k": [0.5],
    "loss.top_k_decay": [0.5, 1.0],
    "loss.top_k_interval": [1],
    **{f"penalty.{name}": [1.0] for name in ("wgan_gp", "r1", "r2", "zero_centered", "dragan", "consistency", "balanced_consistency")},
    **{
        f"penalty.{name}": [0.01]
        for name in (
            "orthogonal_generator",
            "orthogonal_discriminator",
            "spectral",
            "latent_consistency",
            "latent_diversity",
            "lecam",
            "drift",
            "cutmix",
        )
    },
    "penalty.cutmix_probability": [0.0, 1.0],
    "penalty.cutmix_warmup": [2],
    "penalty.cutmix_replaces": [False],
    "penalty.target": [0.0, 2.0],
    "penalty.one_sided": [True],
    "penalty.interval": [2],
    "penalty.final": [0.0, 2.0],
    "burn_in": [0.5],
    "transform.spectral_norm": ["discriminator", "generator", "both"],
    "transform.power_iterations": [2],
    "transform.weight_norm": ["discriminator", "generator", "both"],
    "transform.gradient_normalization": [True],
    "optimizer.generator": list(OPTIMIZERS),
    "optimizer.discriminator": list(OPTIMIZERS),
    "optimizer.generator_lr": [0.0, 1e-3],
    "optimizer.discriminator_lr": [0.0, 1e-3],
    "optimizer.b1": [0.0, 0.9],
    "optimizer.b2": [0.0, 0.99],
    "optimizer.b2_final": [0.9],
    "optimizer.lr_final": [0.0, 0.5],
    "optimizer.ema_images_final": [100.0],
    "optimizer.schedule": ["linear", "constant_linear", "cosine", "exponential", "warmup_cosine"],
    "optimizer.ema_decay": [0.0, 0.9],
    "optimizer.ema_start": [1, 5],
    "optimizer.ema_warmup": [False],
    "optimizer.clip_weights": [0.01],
    "optimizer.clip_gradients": [1.0],
    "optimizer.adaptive_clip": [0.01],
    "optimizer.historical_averaging": [0.1],
    "optimizer.target_discriminator": [True],
    "update.name": ["simultaneous", "unrolled", "extragradient", "consensus", "loss_balanced"],
    "update.discriminator_steps": [2],
    "update.generator_steps": [2],
    "update.order": ["generator_first"],
    "update.fakes": ["shared"],
    "update.micro_batches": [2],
    "update.unroll_steps": [0, 1],
    "update.consensus_weight": [0.0, 1.0],
    "update.loss_threshold": [0.0, 1.0],
    "update.max_discriminator_steps": [2],
    "update.generator_loss_threshold": [0.0, 1.0],
    "update.max_generator_steps": [2],
    "update.freeze_generator": [1],
    "update.freeze_discriminator": [1],
    "update.pool_size": [2],
    "update.joint_batches": [True],
    "augment.instance_noise": [0.1],
    "augment.instance_noise_schedule": ["cosine", "exponential", "constant"],
    "augment.instance_noise_steps": [1, 5],
    "augment.diff_augment": ["color", "translation,cutout"],
    "augment.ada": [0.6],
    "augment.ada_policy": ["filter,noise,cutout"],
    "augment.ada_probability_final": [0.5],
    "augment.apa": [0.6],
    "augment.apa_interval": [1],
    "augment.apa_kimg": [0.01],
    "augment.apa_probability": [0.0, 0.5],
    "augment.pack": [2],
    "replay.size": [8],
    "replay.share": [0.0, 1.0],
    "replay.mode": ["fifo", "pool"],
    "monitor.enabled": [False],
}


def set_field(values, path, value):
    """Sets the field at a dotted path of a configuration as plain data."""
    *groups, name = path.split(".")
    for group in groups:
        values = values[group]
    values[name] = value


def field(values, path):
    """Returns the field at a dotted path."""
    for part in path.split("."):
        values = values[part]
    return values


def base(model, directory):
    """Returns the smallest configuration of a model, as plain data."""
    _, size, width, options = SMALLEST[model]
    values = to_dict(Config(recipe="random", steps=2, batch_size=BATCH, log_every=1, sample_every=0, sample_grid=2, tensorboard=False))
    values["model"] |= {"name": model, "latent_dim": 4, "width": width, "options": options}
    values["data"] |= {"source": "mnist", "directory": str(directory), "image_size": size} if model != "points" else {"source": "ring"}
    values["evaluation"]["samples"] = 0
    values["update"] |= {"pool_interval": 2, "pool_duration": 1}
    return values


def settable(model):
    """Returns the fields that a model uses."""
    options = {*MODELS[model].options, "latents", "conditional"}
    return sorted(path for path in VALUES if not path.startswith("model.") or path.removeprefix("model.") in options)


@st.composite
def combinations(draw, directory, models=tuple(SMALLEST), most=8):
    """Draws a smallest model with up to `most` fields set to other values, each valid by itself."""
    model = draw(st.sampled_from([name for name in models for _ in range(SMALLEST[name][0])]))
    values = copy.deepcopy(base(model, directory))
    # One in eight also sets an option that the model may not have.
    paths = sorted(VALUES) if draw(st.integers(0, 7)) == 0 else settable(model)
    for path in draw(st.lists(st.sampled_from(paths), max_size=most, unique=True)):
        set_field(values, path, draw(st.sampled_from(VALUES[path])))
    return values


# Path -> values that are never allowed.
BREAKS = {
    **{path: [-1, "many", None, 1.5, [], True] for path in ("steps", "seed", "update.pool_size", "replay.size", "optimizer.ema_start")},
    **{path: [0, -3, "x", None, {}, 10**30] for path in ("batch_size", "scan_steps", "log_every", "sample_grid", "augment.pack")},
    **{
        path: [-0.1, float("nan"), float("inf"), "x", [1.0], None]
        for path in ("penalty.r1", "optimizer.generator_lr", "loss.kl", "augment.ada")
    },
    **{
        path: [1.0, 1.5, -0.1, float("nan"), "0.9"]
        for path in ("optimizer.b1", "optimizer.b2", "optimizer.ema_decay", "optimizer.target_decay")
    },
    **{path: ["best", "", None, 3, ["adam"]] for path in ("loss.name", "model.name", "optimizer.generator", "optimizer.discriminator")},
    **{path: ["never", None, 0, {}, []] for path in ("update.name", "optimizer.schedule", "data.pipeline", "precision")},
    **{path: ["yes", 1, None, []] for path in ("loss.halve", "data.flip", "tensorboard", "model.conditional", "update.joint_batches")},
    "loss.real_target": [[1.2, 0.7], [1.0], [1, 2, 3], "1 2", [float("nan"), 1.0], 1.0],
    "loss.fake_target": [[0.3, 0.0], [float("inf"), float("inf")], ["a", "b"]],
    "loss.flip_probability": [1.5, -0.1],
    "loss.top_k": [0.0, 1.5],
    "loss.generator_target": [float("inf"), "one"],
    "update.micro_batches": [3, 0, 5],
    "update.discriminator_steps": [0, -1, 100_000],
    "update.loss_threshold": [float("nan"), float("-inf")],
    "update.pool_duration": [0, -1],
    "data.source": ["nothing", "tfds:", "", None, 5],
    "data.directory": ["missing", 5, ["a"], "a\0b"],
    "data.image_size": [5000, 1, 0, -8, 8.0, "8"],
    "data.channels": [2, 4, 0, "grey"],
    "data.split": ["best", None, 1],
    "data.workers": [-1, 513, 0.5],
    "data.pairs": ["diagonal", "", 3, "side-by-side", "unpaired"],
    "data.direction": ["up", None, "B-to-A"],
    "data.jitter": [-1, 1025, 0.5, None],
    "data.cache": ["", "a\0b", None, 5],
    "model.latent_dim": [0, -4, 10**9, "x", 2.5],
    "model.options": [{"no_such_option": 1}, {"dtype": "float31"}, {1: 2}, {"width": [1, 2]}, [], "width 4", None],
    "model.latents": ["cauchy", None, 1],
    "augment.diff_augment": ["colour", "color;cutout", 3, None],
    "evaluation.samples": [-1, "all"],
    "no_such_field": [1, None],
    "loss.no_such_field": [1, {}],
}


# The shared options of each update rule.
RULE_OPTIONS = {
    "alternating": {"discriminator_steps", "generator_steps", "order", "fakes", "micro_batches", "pool_size"},
    "simultaneous": {"micro_batches"},
    "unrolled": {"discriminator_steps"},
    "extragradient": set(),
    "consensus": set(),
    "loss_balanced": set(),
}
FOR_IMAGES = (
    *("data.flip", "data.jitter", "data.channels", "loss.total_variation", "penalty.consistency", "penalty.balanced_consistency"),
    *("augment.diff_augment", "augment.ada", "augment.ada_probability_final", "update.joint_batches"),
)
NORMS = {"mlp": ("batch", "none"), "points": ("batch", "none"), "dcgan": VALUES["model.norm"], "multiscale": VALUES["model.norm"]}
LABELLED = ("minimax", "non_saturating", "least_squares")
ENCODERS = ("vaegan", "klgan")
# D of these models sees a map, a mask or a small image beside the image.
PAIRED = ("pix2pix", "inpaint", "stacked")


def refusals(values):
    """Returns the flags for which a combination of values is documented as incompatible. It must run if there are none."""
    model, loss, rule = values["model"], values["loss"], values["update"]
    name, known = model["name"], MODELS[model["name"]].options
    classes = model["conditional"] or model["auxiliary"]
    found = []

    def refuse(when, path):
        if when:
            found.append("--" + path.replace("_", "-"))

    for option, value in model.items():
        if value != getattr(Config().model, option) and f"model.{option}" in VALUES and option not in ("latents", "conditional"):
            refuse(option not in known, f"model.{option}")
    refuse(classes and "num_classes" not in known, "model.conditional")
    for path in ("real_target", "fake_target", "flip_probability"):
        refuse(loss[path] and loss["name"] not in LABELLED, f"loss.{path}")
    # The minimax loss of G does not use the target of G.
    refuse(loss["generator_target"] is not None and loss["name"] not in ("non_saturating", "least_squares"), "loss.generator_target")
    seen = "condition" in known and model["condition"] in (None, "channels")
    for path in ("loss.data_to_data", "loss.contrastive"):
        refuse(field(values, path) and not model["proxy_dim"], path)
    proxies = model["proxy_dim"] and "proxy_dim" in known
    refuse(proxies and not (loss["data_to_data"] or loss["contrastive"]), "model.proxy_dim")
    refuse(proxies and (seen or not model["conditional"]), "model.proxy_dim")
    if loss["name"] in MULTICLASS:
        visible = seen or model["condition"] == "projection"
        refuse("fake_class" not in known or not model["conditional"] or visible or model["auxiliary"], "loss.name")
        refuse(values["transform"]["gradient_normalization"], "loss.name")
    for path in ("loss.adaptive_weight", "loss.adversarial_start"):
        refuse(field(values, path) and MODELS[name].context is None, path)
        refuse(field(values, path) and not (loss["reconstruction"] or loss["feature_reconstruction"]), path)
    refuse(loss["adaptive_weight"] and rule["name"] == "unrolled", "loss.adaptive_weight")
    refuse(loss["adaptive_weight"] and values["transform"]["weight_norm"] in ("generator", "both"), "loss.adaptive_weight")
    for path in FOR_IMAGES:
        refuse(name == "points" and field(values, path), path)
    refuse(
        name in ("multiscale", "pix2pix", "unet_gan") and values["transform"]["gradient_normalization"], "transform.gradient_normalization"
    )
    if values["penalty"]["cutmix"]:
        refuse(name != "unet_gan" or loss["name"] not in ("non_saturating", "minimax"), "penalty.cutmix")
        for path in ("augment.diff_augment", "augment.ada", "augment.ada_probability_final"):
            refuse(field(values, path), path)
        refuse(values["augment"]["pack"] > 1, "augment.pack")
    for path in ("penalty.consistency", "penalty.balanced_consistency"):
        refuse(name == "unet_gan" and field(values, path), path)
    refuse(loss["kl"] and name not in ENCODERS, "loss.kl")
    for path in ("feature_matching", "feature_reconstruction"):
        refuse(loss[path] and name == "progressive", f"loss.{path}")
    for option in sorted(set().union(*RULE_OPTIONS.values()) - RULE_OPTIONS[rule["name"]]):
        refuse(rule[option] != getattr(Config().update, option), f"update.{option}")
    refuse(rule["fakes"] == "shared" and (rule["micro_batches"] > 1 or rule["pool_size"]), "update.fakes")
    optimizer, penalty = values["optimizer"], values["penalty"]
    refuse(rule["name"] == "loss_balanced" and optimizer["schedule"] != "constant", "optimizer.schedule")
    for path in ("lr_final", "b2_final", "ema_images_final"):
        refuse(rule["name"] == "loss_balanced" and optimizer[path] is not None, f"optimizer.{path}")
    refuse(optimizer["lr_final"] is not None and optimizer["schedule"] != "constant", "optimizer.schedule")
    gradient_penalties = any(penalty[path] for path in ("wgan_gp", "r1", "r2", "zero_centered", "dragan"))
    refuse(penalty["final"] is not None and not gradient_penalties, "penalty.final")
    refuse(rule["name"] == "unrolled" and values["optimizer"]["adaptive_clip"], "optimizer.adaptive_clip")
    # Most models have all norms except virtual batch norm, which needs a reference batch.
    norms = NORMS.get(name, [norm for norm in VALUES["model.norm"] if norm != "virtual_batch"])
    refuse(model["norm"] is not None and (model["norm"] not in norms or (model["norm"] == "virtual_batch" and classes)), "model.norm")
    # The skips of its residual blocks are resized without weights.
    refuse(name in ("sngan", "unet_gan") and model["up"] not in (None, "nearest", "bilinear"), "model.up")
    refuse(classes and values["replay"]["size"], "replay.size")
    refuse(classes and values["augment"]["pack"] > 1, "augment.pack")
    for path in ("consistency", "balanced_consistency", "latent_consistency"):
        refuse(values["penalty"][path] and values["augment"]["pack"] > 1, f"penalty.{path}")
    for path in ("augment.ada", "augment.apa"):
        refuse(field(values, path) and loss["name"] in ("wasserstein", "least_squares", *RELATIVISTIC), path)
    for path in ("augment.ada", "augment.ada_probability_final", "penalty.consistency", "penalty.balanced_consistency"):
        refuse(name in PAIRED and field(values, path), path)
    refuse(name in PAIRED and "translation" in values["augment"]["diff_augment"], "augment.diff_augment")
    refuse(name in PAIRED and values["augment"]["pack"] > 1, "augment.pack")
    # A past fake belongs to another pair.
    refuse(values["replay"]["size"] and (name in PAIRED or values["penalty"]["latent_consistency"]), "replay.size")
    return found
