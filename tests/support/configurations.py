"""Random configurations for tests: single values that are valid each by itself, and what is documented to be refused together."""

import copy

from hypothesis import strategies as st

from gan_jax.losses import ADVERSARIAL, RELATIVISTIC
from gan_jax.models import MODELS
from gan_jax.optimizers import OPTIMIZERS
from gan_jax.trainer.config import Config, to_dict

BATCH = 4
# Model -> (how often, image size, width, further options): as small as each can be.
SMALLEST = {
    "mlp": (10, 8, None, {"generator_hidden": "8,8", "discriminator_hidden": "8"}),
    "points": (8, 8, None, {"generator_hidden": "8,8", "discriminator_hidden": "8"}),
    "dcgan": (5, 8, 4, {}),
    "sngan": (1, 32, 4, {}),
    "r3gan": (1, 8, 4, {"blocks": 1, "group_size": 2, "embedding_dim": 4}),
    "progressive": (1, 8, 4, {}),
    "multiscale": (1, 16, 4, {"patch_layers": 1}),
    "pix2pix": (1, 16, 4, {}),
    "stacked": (1, 16, 4, {"blocks": 1}),
    "vaegan": (1, 8, 4, {}),
}

# What a field may be beside its default, each valid by itself.
VALUES = {
    "steps": [2, 3],
    "scan_steps": [2, 3],
    "log_every": [2],
    "sample_every": [1, 2],
    "layer_norms": [True],
    "data.flip": [True],
    "data.pipeline": ["memory", "stream"],
    "data.workers": [0, 1],
    "data.channels": [1, 3],
    "data.split": ["test", "all"],
    "model.conditional": [True],
    "model.latents": ["spherical", "uniform"],
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
    "model.dtype": ["bfloat16"],
    "loss.name": list(ADVERSARIAL),
    "loss.real_target": [[0.7, 1.2], [0.9, 0.9]],
    "loss.fake_target": [[0.0, 0.3]],
    "loss.flip_probability": [0.1, 1.0],
    "loss.generator_target": [1.0, 0.5],
    "loss.halve": [True],
    "loss.adversarial_weight": [0.0, 0.1],
    "loss.feature_matching": [1.0],
    "loss.classifier": [0.0, 0.5],
    "loss.reconstruction": [1.0],
    "loss.feature_reconstruction": [0.1],
    "loss.total_variation": [0.01],
    "loss.kl": [0.1],
    "loss.top_k": [0.5],
    "loss.top_k_decay": [0.5, 1.0],
    "loss.top_k_interval": [1],
    **{f"penalty.{name}": [1.0] for name in ("wgan_gp", "r1", "r2", "zero_centered", "dragan", "consistency", "balanced_consistency")},
    **{f"penalty.{name}": [0.01] for name in ("orthogonal", "spectral", "latent_consistency", "lecam")},
    "penalty.target": [0.0, 2.0],
    "penalty.one_sided": [True],
    "penalty.interval": [2],
    "transform.spectral_norm": ["discriminator", "generator", "both"],
    "transform.power_iterations": [2],
    "transform.weight_norm": ["discriminator", "generator", "both"],
    "ttur.generator": list(OPTIMIZERS),
    "ttur.discriminator": list(OPTIMIZERS),
    "ttur.generator_lr": [0.0, 1e-3],
    "ttur.discriminator_lr": [0.0, 1e-3],
    "ttur.b1": [0.0, 0.9],
    "ttur.b2": [0.0, 0.99],
    "ttur.schedule": ["linear", "cosine", "exponential", "warmup_cosine"],
    "ttur.ema_decay": [0.0, 0.9],
    "ttur.ema_start": [1, 5],
    "ttur.ema_warmup": [False],
    "ttur.clip_weights": [0.01],
    "ttur.clip_gradients": [1.0],
    "ttur.adaptive_clip": [0.01],
    "ttur.historical_averaging": [0.1],
    "ttur.target_discriminator": [True],
    "strategy.name": ["simultaneous", "unrolled", "extragradient", "consensus", "loss_balanced"],
    "strategy.discriminator_steps": [2],
    "strategy.generator_steps": [2],
    "strategy.order": ["generator_first"],
    "strategy.fakes": ["shared"],
    "strategy.micro_batches": [2],
    "strategy.unroll_steps": [0, 1],
    "strategy.consensus_weight": [0.0, 1.0],
    "strategy.loss_threshold": [0.0, 1.0],
    "strategy.max_discriminator_steps": [2],
    "strategy.freeze_generator": [1],
    "strategy.freeze_discriminator": [1],
    "strategy.pool_size": [2],
    "strategy.joint_batches": [True],
    "inputs.instance_noise": [0.1],
    "inputs.instance_noise_schedule": ["cosine", "exponential", "constant"],
    "inputs.instance_noise_steps": [1, 5],
    "inputs.diff_augment": ["color", "translation,cutout"],
    "inputs.ada": [0.6],
    "inputs.pack": [2],
    "inputs.replay_size": [8],
    "inputs.replay_share": [0.0, 1.0],
    "inputs.replay_mode": ["fifo"],
    "monitor.enabled": [False],
}


def set_field(values, path, value):
    """Sets the field at a dotted path of a configuration as plain data."""
    *groups, name = path.split(".")
    for group in groups:
        values = values[group]
    values[name] = value


def field(values, path):
    """The field at a dotted path."""
    for part in path.split("."):
        values = values[part]
    return values


def base(model, directory):
    """The smallest configuration of a model, as plain data."""
    _, size, width, options = SMALLEST[model]
    values = to_dict(Config(recipe="random", steps=2, batch_size=BATCH, log_every=1, sample_every=0, sample_grid=2, tensorboard=False))
    values["model"] |= {"name": model, "latent_dim": 4, "width": width, "options": options}
    values["data"] |= {"source": "mnist", "directory": str(directory), "image_size": size} if model != "points" else {"source": "ring"}
    values["evaluation"]["samples"] = 0
    values["strategy"] |= {"pool_interval": 2, "pool_duration": 1}
    return values


def settable(model):
    """The fields that mean something to a model."""
    options = {*MODELS[model].options, "latents", "conditional"}
    return sorted(path for path in VALUES if not path.startswith("model.") or path.removeprefix("model.") in options)


@st.composite
def combinations(draw, directory, models=tuple(SMALLEST), most=8):
    """A model at its smallest, with up to `most` fields set to other values that are valid each by itself."""
    model = draw(st.sampled_from([name for name in models for _ in range(SMALLEST[name][0])]))
    values = copy.deepcopy(base(model, directory))
    # One in eight also sets an option that the model may not have.
    paths = sorted(VALUES) if draw(st.integers(0, 7)) == 0 else settable(model)
    for path in draw(st.lists(st.sampled_from(paths), max_size=most, unique=True)):
        set_field(values, path, draw(st.sampled_from(VALUES[path])))
    return values


# Ways to break one field, whatever the rest: path, values that it cannot have.
BREAKS = {
    **{path: [-1, "many", None, 1.5, [], True] for path in ("steps", "seed", "strategy.pool_size", "inputs.replay_size", "ttur.ema_start")},
    **{path: [0, -3, "x", None, {}, 10**30] for path in ("batch_size", "scan_steps", "log_every", "sample_grid", "inputs.pack")},
    **{path: [-0.1, float("nan"), float("inf"), "x", [1.0], None] for path in ("penalty.r1", "ttur.generator_lr", "loss.kl", "inputs.ada")},
    **{path: [1.0, 1.5, -0.1, float("nan"), "0.9"] for path in ("ttur.b1", "ttur.b2", "ttur.ema_decay", "ttur.target_decay")},
    **{path: ["best", "", None, 3, ["adam"]] for path in ("loss.name", "model.name", "ttur.generator", "ttur.discriminator")},
    **{path: ["never", None, 0, {}, []] for path in ("strategy.name", "ttur.schedule", "data.pipeline", "model.dtype")},
    **{path: ["yes", 1, None, []] for path in ("loss.halve", "data.flip", "tensorboard", "model.conditional", "strategy.joint_batches")},
    "loss.real_target": [[1.2, 0.7], [1.0], [1, 2, 3], "1 2", [float("nan"), 1.0], 1.0],
    "loss.fake_target": [[0.3, 0.0], [float("inf"), float("inf")], ["a", "b"]],
    "loss.flip_probability": [1.5, -0.1],
    "loss.top_k": [0.0, 1.5],
    "loss.generator_target": [float("inf"), "one"],
    "strategy.micro_batches": [3, 0, 5],
    "strategy.discriminator_steps": [0, -1, 100_000],
    "strategy.loss_threshold": [float("nan"), float("-inf")],
    "strategy.pool_duration": [0, -1],
    "data.source": ["nothing", "tfds:", "", None, 5],
    "data.directory": ["missing", 5, ["a"], "a\0b"],
    "data.image_size": [5000, 1, 0, -8, 8.0, "8"],
    "data.channels": [2, 4, 0, "grey"],
    "data.split": ["best", None, 1],
    "data.workers": [-1, 513, 0.5],
    "model.latent_dim": [0, -4, 10**9, "x", 2.5],
    "model.options": [{"no_such_option": 1}, {"dtype": "float31"}, {1: 2}, {"width": [1, 2]}, [], "width 4", None],
    "model.latents": ["cauchy", None, 1],
    "inputs.diff_augment": ["colour", "color;cutout", 3, None],
    "evaluation.samples": [-1, "all"],
    "no_such_field": [1, None],
    "loss.no_such_field": [1, {}],
}


# Which of the options that several strategies share each of them has.
STRATEGY_OPTIONS = {
    "alternating": {"discriminator_steps", "generator_steps", "order", "fakes", "micro_batches", "pool_size"},
    "simultaneous": {"micro_batches"},
    "unrolled": {"discriminator_steps"},
    "extragradient": set(),
    "consensus": set(),
    "loss_balanced": set(),
}
FOR_IMAGES = (
    *("data.flip", "data.channels", "loss.total_variation", "penalty.consistency", "penalty.balanced_consistency"),
    *("inputs.diff_augment", "inputs.ada", "strategy.joint_batches"),
)
NORMS = {"mlp": ("batch", "none"), "points": ("batch", "none"), "dcgan": VALUES["model.norm"], "multiscale": VALUES["model.norm"]}
LABELLED = ("minimax", "non_saturating", "least_squares")
ENCODERS = ("vaegan", "klgan")
# Models whose D sees a map, a mask or a small image beside the image.
PAIRED = ("pix2pix", "inpaint", "stacked")


def refusals(values):
    """The flags for which a combination of values, each valid by itself, is documented to be refused; empty where it must run."""
    model, loss, strategy = values["model"], values["loss"], values["strategy"]
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
        refuse(loss[path] and loss["name"] not in LABELLED, "loss.real_target")
    # G's loss in the minimax game does not look at what it wants D to output.
    refuse(loss["generator_target"] is not None and loss["name"] not in ("non_saturating", "least_squares"), "loss.generator_target")
    for path in FOR_IMAGES:
        refuse(name == "points" and field(values, path), path)
    refuse(loss["kl"] and name not in ENCODERS, "loss.kl")
    for path in ("feature_matching", "feature_reconstruction"):
        refuse(loss[path] and name == "progressive", f"loss.{path}")
    for option in sorted(set().union(*STRATEGY_OPTIONS.values()) - STRATEGY_OPTIONS[strategy["name"]]):
        refuse(strategy[option] != getattr(Config().strategy, option), f"strategy.{option}")
    refuse(strategy["fakes"] == "shared" and (strategy["micro_batches"] > 1 or strategy["pool_size"]), "strategy.fakes")
    refuse(strategy["name"] == "loss_balanced" and values["ttur"]["schedule"] != "constant", "ttur.schedule")
    refuse(strategy["name"] == "unrolled" and values["ttur"]["adaptive_clip"], "ttur.adaptive_clip")
    # Most models have all of them but virtual batch norm, which needs a reference batch.
    norms = NORMS.get(name, [norm for norm in VALUES["model.norm"] if norm != "virtual_batch"])
    refuse(model["norm"] is not None and (model["norm"] not in norms or (model["norm"] == "virtual_batch" and classes)), "model.norm")
    # The skips of its residual blocks are resized, by no weights.
    refuse(name == "sngan" and model["up"] not in (None, "nearest", "bilinear"), "model.up")
    for path in ("replay_size", "pack"):
        refuse(classes and values["inputs"][path] > (path == "pack"), f"inputs.{path}")
    for path in ("consistency", "balanced_consistency", "latent_consistency"):
        refuse(values["penalty"][path] and values["inputs"]["pack"] > 1, f"penalty.{path}")
    refuse(values["inputs"]["ada"] and loss["name"] in ("wasserstein", "least_squares", *RELATIVISTIC), "inputs.ada")
    for path in ("inputs.ada", "penalty.consistency", "penalty.balanced_consistency"):
        refuse(name in PAIRED and field(values, path), path)
    refuse(name in PAIRED and "translation" in values["inputs"]["diff_augment"], "inputs.diff_augment")
    refuse(name in PAIRED and values["inputs"]["pack"] > 1, "inputs.pack")
    # A past fake has another partner.
    refuse(values["inputs"]["replay_size"] and (name in PAIRED or values["penalty"]["latent_consistency"]), "inputs.replay_size")
    return found
