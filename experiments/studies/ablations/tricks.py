"""The tricks that are switched on alone, with the fields of the configuration that they change, and the reasons of the other tricks.

Each row compares the baseline of `baselines.py` with the changes `on` against the same baseline with the changes `off`.
"""

from typing import Any, NamedTuple

Changes = dict[str, Any]


class Trick(NamedTuple):
    """One comparison.

    Attributes:
        id: Id of the row in docs/tricks.md. Several comparisons may share one.
        name: What is switched on, and against what if that is not the baseline.
        where: "mixture", "images", or both, see `GROUPS`.
        on: Changed fields by dotted path, with the trick.
        off: Changed fields by dotted path, without the trick. Empty for the unchanged baseline.
    """

    id: str
    name: str
    where: tuple[str, ...]
    on: Changes
    off: Changes = {}  # noqa: RUF012


GROUPS = {"mixture": ("ring", "grid"), "images": ("mnist5k",)}
MIXTURE, IMAGES = ("mixture",), ("images",)
BOTH = MIXTURE + IMAGES

# Batch norm couples the examples, so gradient penalties and spectral normalisation are compared in a discriminator without it.
PLAIN: Changes = {"model.discriminator_norm": "none"}
LABELS: Changes = {"model.conditional": True, "model.condition": "none"}
# The perceptrons of the baseline of the mixtures.
POINT_OPTIONS: Changes = {"generator_hidden": "128,128", "discriminator_hidden": "128,128,128", "activation": "leaky_relu"}
# Narrow modes need steep gradients of D, so penalties on points have smaller weights than penalties on images.
POINT_R1, IMAGE_R1 = 5e-3, 1.0


def _penalty(id: str, name: str, points: Changes, images: Changes) -> tuple[Trick, Trick]:
    """A penalty of D with one weight on points and another one on images."""
    return Trick(id, name, MIXTURE, points), Trick(id, name, IMAGES, PLAIN | images, PLAIN)


INPUTS_AND_LOSSES: tuple[Trick, ...] = (
    Trick("in-2", "tanh at the end of G, against linear", IMAGES, {}, {"model.output_activation": "linear"}),
    *(Trick("in-3", f"last convolution of {n}x{n}", IMAGES, {"model.output_kernel": n}) for n in (1, 3, 9)),
    Trick("in-4", "latents from a Gaussian, against a cube", BOTH, {}, {"model.latents": "uniform"}),
    Trick("in-4", "latents on the sphere", IMAGES, {"model.latents": "spherical"}),
    Trick(
        "in-4",
        "latents on the sphere, against a Gaussian of 8 dimensions",
        MIXTURE,
        {"model.latent_dim": 8, "model.latents": "spherical"},
        {"model.latent_dim": 8},
    ),
    Trick("loss-1", "minimax", BOTH, {"loss.name": "minimax"}),
    Trick("loss-2", "non-saturating, against minimax", BOTH, {}, {"loss.name": "minimax"}),
    Trick("loss-3", "least squares", BOTH, {"loss.name": "least_squares"}),
    Trick("loss-4", "Wasserstein, weights clipped at 0.01", BOTH, {"loss.name": "wasserstein", "optimizer.clip_weights": 0.01}),
    Trick("loss-4", "Wasserstein, weights clipped at 0.1", BOTH, {"loss.name": "wasserstein", "optimizer.clip_weights": 0.1}),
    Trick("loss-5", "hinge", BOTH, {"loss.name": "hinge"}),
    Trick("loss-6", "relativistic, paired", BOTH, {"loss.name": "relativistic"}),
    Trick("loss-6", "relativistic average", BOTH, {"loss.name": "relativistic_average"}),
    Trick("loss-6", "relativistic average least squares", BOTH, {"loss.name": "relativistic_average_least_squares"}),
    Trick("loss-6", "relativistic average hinge", BOTH, {"loss.name": "relativistic_average_hinge"}),
    Trick("loss-7", "feature matching beside the adversarial loss", BOTH, {"loss.feature_matching": 1.0}),
    Trick("loss-8", "total variation of the fakes, weight 1e-3", IMAGES, {"loss.total_variation": 1e-3}),
    Trick(
        "loss-10",
        "auxiliary classifier, against labels in G alone",
        IMAGES,
        LABELS | {"model.auxiliary": True},
        LABELS,
    ),
    Trick("loss-12", "(real + fake) / 2", BOTH, {"loss.halve": True}),
    Trick("label-1", "soft labels", BOTH, {"loss.real_target": (0.7, 1.2), "loss.fake_target": (0.0, 0.3)}),
    Trick("label-2", "one-sided smoothing to 0.9", BOTH, {"loss.real_target": (0.9, 0.9)}),
    Trick("label-2", "one-sided smoothing to 0.9 ... 1.1", BOTH, {"loss.real_target": (0.9, 1.1)}),
    Trick("label-3", "5% of D's labels flipped", BOTH, {"loss.flip_probability": 0.05}),
)

PENALTIES: tuple[Trick, ...] = (
    *_penalty("gp-1", "gradient penalty on interpolates, two-sided", {"penalty.wgan_gp": 0.1}, {"penalty.wgan_gp": 10.0}),
    *_penalty(
        "gp-1",
        "gradient penalty on interpolates, one-sided",
        {"penalty.wgan_gp": 0.1, "penalty.one_sided": True},
        {"penalty.wgan_gp": 10.0, "penalty.one_sided": True},
    ),
    *_penalty(
        "gp-1",
        "WGAN-GP: the Wasserstein loss and the two-sided penalty",
        {"loss.name": "wasserstein", "penalty.wgan_gp": 0.1},
        {"loss.name": "wasserstein", "penalty.wgan_gp": 10.0},
    ),
    *_penalty("gp-2", "R1", {"penalty.r1": POINT_R1}, {"penalty.r1": IMAGE_R1}),
    *_penalty("gp-2", "R2", {"penalty.r2": POINT_R1}, {"penalty.r2": IMAGE_R1}),
    *_penalty("gp-3", "zero-centred penalty on interpolates", {"penalty.zero_centered": POINT_R1}, {"penalty.zero_centered": IMAGE_R1}),
    *_penalty("gp-4", "DRAGAN", {"penalty.dragan": 0.1}, {"penalty.dragan": 10.0}),
    *_penalty("gp-5", "spectral norm in D", *({"transform.spectral_norm": "discriminator"},) * 2),
    *_penalty("gp-5", "spectral norm in both", *({"transform.spectral_norm": "both"},) * 2),
    *_penalty("gp-6", "spectral norm regularisation", *({"penalty.spectral": 0.01},) * 2),
    Trick(
        "gp-7", "R1 every 4 steps, against every step", MIXTURE, {"penalty.r1": POINT_R1, "penalty.interval": 4}, {"penalty.r1": POINT_R1}
    ),
    Trick(
        "gp-7",
        "R1 every 4 steps, against every step",
        IMAGES,
        PLAIN | {"penalty.r1": IMAGE_R1, "penalty.interval": 4},
        PLAIN | {"penalty.r1": IMAGE_R1},
    ),
)

LAYERS: tuple[Trick, ...] = (
    Trick("layer-1", "real and fake in separate batches, against one batch", IMAGES, {}, {"update.joint_batches": True}),
    *(
        Trick("layer-2", f"{norm} norm in G, against batch norm", IMAGES, {"model.norm": norm, "model.discriminator_norm": "batch"})
        for norm in ("instance", "layer", "pixel")
    ),
    Trick("layer-3", "switchable norm in G, against batch norm", IMAGES, {"model.norm": "switchable", "model.discriminator_norm": "batch"}),
    Trick("layer-4", "virtual batch norm in G, against batch norm", IMAGES, {"model.norm": "virtual_batch"}),
    Trick(
        "layer-5",
        "conditional batch norm in G, against batch norm, both with labels",
        IMAGES,
        {"model.conditional": True, "model.norm": "conditional_batch"},
        {"model.conditional": True},
    ),
    Trick("layer-6", "LeakyReLU in both, against ReLU", IMAGES, {}, {"model.activation": "relu"}),
    Trick("layer-6", "LeakyReLU in both, against ReLU", MIXTURE, {}, {"model.options": POINT_OPTIONS | {"activation": "relu"}}),
    *(Trick("layer-7", f"{name} pooling in D, against strides", IMAGES, {"model.down": name}) for name in ("average", "max")),
    *(
        Trick("layer-8", f"up-sampling by {name}, against transposed convolutions", IMAGES, {"model.up": name})
        for name in ("pixel_shuffle", "nearest", "bilinear")
    ),
    Trick("layer-10", "minibatch discrimination", IMAGES, {"model.minibatch_discrimination": True}),
    Trick("layer-11", "minibatch standard deviation", IMAGES, {"model.minibatch_stddev": True}),
    Trick("layer-13", "Gaussian noise at every layer of G, of learned strength", IMAGES, {"model.noise": True}),
    Trick("layer-13", "Gaussian noise at every layer of G, of strength 0.1", IMAGES, {"model.options": {"noise_std": 0.1}}),
    Trick("layer-14", "dropout of 50% in G", IMAGES, {"model.dropout": 0.5}),
    Trick(
        "layer-15", "class embedding as channels of D, against labels in G alone", IMAGES, LABELS | {"model.condition": "channels"}, LABELS
    ),
    Trick("layer-16", "projection discriminator, against labels in G alone", IMAGES, LABELS | {"model.condition": "projection"}, LABELS),
)


def _rates(factor: float, base: float) -> Changes:
    return {"optimizer.discriminator_lr": factor * base}


POINT_LR, IMAGE_LR = 2e-3, 1e-3  # of the baselines

TRAINING: tuple[Trick, ...] = (
    Trick("train-1", "G updated first", BOTH, {"update.order": "generator_first"}),
    Trick("train-1", "the same fakes for both networks", BOTH, {"update.fakes": "shared"}),
    Trick("train-2", "simultaneous", BOTH, {"update.name": "simultaneous"}),
    *(Trick("train-3", f"{k} steps of D", BOTH, {"update.discriminator_steps": k}) for k in (2, 5)),
    *(
        Trick("train-4", f"learning rate of D {factor:g} times G's", where, _rates(factor, base))
        for factor in (4, 2, 0.5, 0.25)
        for where, base in ((MIXTURE, POINT_LR), (IMAGES, IMAGE_LR))
    ),
    Trick("train-5", "SGD for D (rate 0.05), Adam for G", BOTH, {"optimizer.discriminator": "sgd", "optimizer.discriminator_lr": 0.05}),
    Trick("train-5", "RMSProp for both", BOTH, {"optimizer.generator": "rmsprop", "optimizer.discriminator": "rmsprop"}),
    Trick("train-6", "moving average of G", MIXTURE, {"optimizer.ema_decay": 0.999}),
    Trick("train-6", "moving average of G", IMAGES, {}, {"optimizer.ema_decay": 0.0}),
    Trick("train-7", "instance noise of 0.1, fading", BOTH, {"augment.instance_noise": 0.1}),
    Trick("train-8", "a quarter of the fakes from a buffer of 2,048", BOTH, {"replay.size": 2048, "replay.share": 0.25}),
    Trick(
        "train-9",
        "past networks swapped in, 5 kept",
        MIXTURE,
        {"update.pool_size": 5, "update.pool_interval": 200, "update.pool_duration": 20},
    ),
    Trick(
        "train-9",
        "past networks swapped in, 5 kept",
        IMAGES,
        {"update.pool_size": 5, "update.pool_interval": 50, "update.pool_duration": 5},
    ),
    Trick("train-10", "historical averaging", BOTH, {"optimizer.historical_averaging": 1e-3}),
    Trick("train-11", "unrolled, 5 steps", BOTH, {"update.name": "unrolled", "update.unroll_steps": 5}),
    Trick("train-12", "two samples packed", BOTH, {"augment.pack": 2}),
    Trick("train-12", "four samples packed", MIXTURE, {"augment.pack": 4}),
    Trick("train-13", "G trained against a moving average of D", BOTH, {"optimizer.target_discriminator": True}),
    Trick("train-13", "gradients clipped at 1", BOTH, {"optimizer.clip_gradients": 1.0}),
    Trick("train-13", "G frozen at first", MIXTURE, {"update.freeze_generator": 200}),
    Trick("train-13", "G frozen at first", IMAGES, {"update.freeze_generator": 50}),
    Trick(
        "train-14",
        "balanced by the loss, at 1.0, rates constant",
        MIXTURE,
        {"update.name": "loss_balanced", "update.loss_threshold": 1.0, "optimizer.schedule": "constant"},
        {"optimizer.schedule": "constant"},
    ),
    Trick("train-14", "balanced by the loss, at 1.0", IMAGES, {"update.name": "loss_balanced", "update.loss_threshold": 1.0}),
)

BEYOND: tuple[Trick, ...] = (
    *_penalty(
        "beyond-1",
        "R3GAN's loss: paired relativistic, R1 and R2",
        {"loss.name": "relativistic", "penalty.r1": POINT_R1, "penalty.r2": POINT_R1},
        {"loss.name": "relativistic", "penalty.r1": IMAGE_R1, "penalty.r2": IMAGE_R1},
    ),
    Trick("beyond-2", "DiffAugment: colour, translation, cutout", IMAGES, {"augment.diff_augment": "color,translation,cutout"}),
    Trick("beyond-2", "DiffAugment: translation", IMAGES, {"augment.diff_augment": "translation"}),
    Trick("beyond-3", "adaptive augmentation", IMAGES, {"augment.ada": 0.6}),
    Trick("beyond-4", "consistency of D on augmented reals (CR)", IMAGES, {"penalty.consistency": 10.0}),
    Trick("beyond-4", "consistency on reals and fakes (bCR)", IMAGES, {"penalty.balanced_consistency": 10.0}),
    Trick(
        "beyond-4",
        "consistency under small changes of the latents (zCR)",
        BOTH,
        {"penalty.latent_consistency": 5.0, "penalty.latent_diversity": 0.5},
    ),
    Trick("beyond-5", "LeCam, two-sided", BOTH, {"penalty.lecam": 0.3, "penalty.lecam_one_sided": False}),
    Trick("beyond-6", "orthogonal regularisation", BOTH, {"penalty.orthogonal_generator": 1e-4, "penalty.orthogonal_discriminator": 1e-4}),
    Trick("beyond-7", "top-k training of G, down to a half", MIXTURE, {"loss.top_k": 0.5, "loss.top_k_interval": 20}),
    Trick("beyond-7", "top-k training of G, down to a half", IMAGES, {"loss.top_k": 0.5, "loss.top_k_interval": 5}),
    Trick("beyond-8", "extragradient", BOTH, {"update.name": "extragradient"}),
    Trick("beyond-8", "optimistic Adam", BOTH, {"optimizer.generator": "optimistic_adam", "optimizer.discriminator": "optimistic_adam"}),
    Trick("beyond-8", "consensus, weight 0.1", BOTH, {"update.name": "consensus", "update.consensus_weight": 0.1}),
    Trick(
        "beyond-14",
        "data-to-data cross-entropy (ReACGAN), against labels in G alone",
        IMAGES,
        LABELS | {"model.proxy_dim": 512, "loss.data_to_data": 0.5},
        LABELS,
    ),
    Trick(
        "beyond-14",
        "contrastive loss (ContraGAN), against labels in G alone",
        IMAGES,
        LABELS | {"model.proxy_dim": 512, "loss.contrastive": 1.0},
        LABELS,
    ),
    *_penalty("beyond-16", "gradient normalisation of D", *({"transform.gradient_normalization": True},) * 2),
    Trick("beyond-17", "adaptive pseudo augmentation (APA)", IMAGES, {"augment.apa": 0.6}),
)

TRICKS: tuple[Trick, ...] = INPUTS_AND_LOSSES + PENALTIES + LAYERS + TRAINING + BEYOND

_MODEL = "a whole model, which docs/recipes.md lists if it was trained"
_WATCH = "monitors a run and does not change it"

# Rows of docs/tricks.md that are not compared at all.
NOT_SWITCHED: dict[str, str] = {
    "in-1": "a contract of the data pipeline, which the networks are built for",
    "in-5": "a way to show samples of a trained generator",
    "loss-9": "needs an encoder, as in the recipes klgan and vaegan",
    "loss-11": "weighs the adversarial term against another term, and the baselines have none",
    "label-4": "the same function as loss-2, as a test shows",
    "layer-9": "a layer that the inpainting networks always have",
    "layer-12": "a layer that SAGAN and BigGAN always have",
    "layer-17": "a layer that the progressive networks always have",
    "beyond-9": _MODEL,
    "beyond-10": "a regularisation of StyleGAN2's generator",
    "beyond-11": "weighs the adversarial term against a task, and the baselines have none",
    "beyond-12": "needs a run whose weights it begins with, and docs/next_run.md has its measurement",
    "beyond-13": "schedules of other settings, which the recipe r3gan describes",
    "beyond-15": _MODEL,
    "beyond-18": _MODEL,
    "beyond-19": "needs a network of frozen features that the user gives",
    **{f"model-{n}": _MODEL for n in range(1, 11)},
    **{f"watch-{n}": _WATCH for n in range(1, 8)},
}

# The reasons why rows with a comparison on one kind of data have none on the other.
NOT_ON_MIXTURES = "acts on images or on the layers of convolutional networks"
NOT_COMPARED_HERE: dict[str, str] = {
    "loss-8": "only total variation is compared, because the L1, perceptual and style terms need a target image",
    "beyond-6": "truncation is compared nowhere, because it changes sampling and not training",
}


def tricks(group: str = "all", ids: tuple[str, ...] = ()) -> list[Trick]:
    """The rows of a group ("mixture", "images" or "all"), limited to some ids if `ids` is not empty."""
    return [row for row in TRICKS if (group == "all" or group in row.where) and (not ids or row.id in ids)]


def as_flags(changes: Changes) -> str:
    """Changed fields as flags of `train`."""
    words = []
    for path, value in changes.items():
        name = path.replace("_", "-")
        if isinstance(value, dict):
            words += [f"--{name}.{key} {option}" for key, option in value.items()]
            continue
        if value is False and not path.startswith("model."):
            section, _, field = name.rpartition(".")
            words.append(f"--{section}.no-{field}" if section else f"--no-{field}")
            continue
        switch = (value is True and not path.startswith("model.")) or path == "model.conditional"
        text = " ".join(f"{part:g}" if isinstance(part, float) else str(part) for part in (value if isinstance(value, tuple) else (value,)))
        words.append(f"--{name}" if switch else f"--{name} {text}")
    return " ".join(words)
