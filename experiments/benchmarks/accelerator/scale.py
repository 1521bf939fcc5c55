"""Sizes of the measurement: `FULL` for an accelerator of the size of an H100, `TOY` for a rehearsal on a CPU."""

from typing import Any, NamedTuple


class StepWorkload(NamedTuple):
    """A train step that is compared with PyTorch.

    Attributes:
        about: Description for the table.
        model: Key of `gan_jax.models.MODELS`. A model that is not there is left out by name.
        size: Side of the images.
        batch: Batch size.
        options: Options of `build_model`.
        loss: Key of `gan_jax.losses.ADVERSARIAL`.
        penalties: Weights of the gradient penalties by name.
        spectral: Whether D has spectral normalisation.
        torch: Whether PyTorch has a counterpart.
    """

    about: str
    model: str
    size: int
    batch: int
    options: dict[str, Any] = {}  # noqa: RUF012
    loss: str = "non_saturating"
    penalties: dict[str, float] = {}  # noqa: RUF012
    spectral: bool = False
    torch: bool = True


class Scale(NamedTuple):
    """The sizes.

    Attributes:
        workloads: Name -> train step.
        precisions: The precisions that are measured.
        sample_seconds: Seconds for which a program is timed.
        models: Models whose step is compared with the CPU, in the order of worth.
        seeds: Numbers of runs under `vmap`, for the perceptrons and for the convolutions.
        search_runs: Runs of each method in the search.
        search_steps: Smallest and largest number of steps of the search.
        recipe: Recipe that is trained at length, and its flags.
        recipe_steps: Smallest and largest number of steps.
        scans: Steps in one program.
        peak_size: Side of the matrix product that is called the peak.
        shares: Part -> share of the time.
        compile_seconds: Expected seconds of compiling one train step.
    """

    workloads: dict[str, StepWorkload]
    precisions: tuple[str, ...]
    sample_seconds: float
    models: tuple[str, ...]
    seeds: tuple[tuple[int, ...], tuple[int, ...]]
    search_runs: int
    search_steps: tuple[int, int]
    recipe: tuple[str, ...]
    recipe_steps: tuple[int, int]
    scans: tuple[int, ...]
    peak_size: int
    shares: dict[str, float]
    compile_seconds: float


PARTS = ("correctness", "steps", "seeds", "search", "recipe", "data", "placements")
MODELS = ("dcgan", "sngan", "r3gan", "stylegan2", "points", "biggan", "progressive", "sagan", "mlp", "vaegan", "pix2pix", "multiscale")

FULL = Scale(
    workloads={
        "dcgan64": StepWorkload("DCGAN 64x64x3, batch 256", "dcgan", 64, 256),
        "sngan32": StepWorkload("SNGAN-ResNet 32x32x3, batch 64", "sngan", 32, 64, loss="hinge", spectral=True),
        "r3gan32": StepWorkload(
            "R3GAN 32x32x3, width 192, batch 256", "r3gan", 32, 256, {"width": 192}, "relativistic", {"r1": 0.05, "r2": 0.05}
        ),
        "stylegan2_64": StepWorkload("StyleGAN2 64x64x3, batch 64", "stylegan2", 64, 64, penalties={"r1": 0.5}, torch=False),
    },
    precisions=("float32", "tf32", "bfloat16"),
    sample_seconds=1.5,
    models=MODELS,
    seeds=((1, 4, 16, 64, 256), (1, 4, 16, 64)),
    search_runs=256,
    search_steps=(2_500, 12_000),
    recipe=("r3gan", "--precision", "tf32", "--scan-steps", "50", "--log-every", "100", "--sample-every", "2000"),
    recipe_steps=(2_000, 50_000),
    scans=(1, 8, 32),
    peak_size=8192,
    shares={"correctness": 0.14, "steps": 0.32, "seeds": 0.08, "search": 0.17, "recipe": 0.17, "data": 0.04, "placements": 0.08},
    compile_seconds=20.0,
)

TOY = Scale(
    workloads={
        "mlp8": StepWorkload(
            "perceptrons, 8x8x1, batch 4",
            "mlp",
            8,
            4,
            {"channels": 1, "generator_hidden": "8", "discriminator_hidden": "8"},
            torch=False,
        ),
        "dcgan8": StepWorkload("DCGAN 8x8x1, width 4, batch 4", "dcgan", 8, 4, {"width": 4, "channels": 1}),
        "r3gan8": StepWorkload(
            "R3GAN 8x8x1, width 4, batch 4",
            "r3gan",
            8,
            4,
            {"width": 4, "channels": 1, "group_size": 2, "blocks": 1},
            "relativistic",
            {"r1": 0.05, "r2": 0.05},
        ),
        "stylegan2_64": FULL.workloads["stylegan2_64"]._replace(
            about="StyleGAN2 16x16x1, width 4, batch 4", size=16, batch=4, options={"width": 4, "channels": 1}
        ),
    },
    precisions=("float32", "bfloat16"),
    sample_seconds=0.1,
    models=("dcgan",),
    seeds=((1, 4), (2,)),
    search_runs=4,
    search_steps=(20, 40),
    recipe=(
        *("dcgan_mnist", "--model.width", "4", "--batch-size", "8", "--scan-steps", "5", "--log-every", "5", "--sample-every", "10"),
        *("--evaluation.samples", "64", "--no-tensorboard"),
    ),
    recipe_steps=(20, 40),
    scans=(1, 4),
    peak_size=512,
    # On a slow machine a part leaves time for the others, so that each has a row.
    shares={"correctness": 0.2, "steps": 0.15, "seeds": 0.05, "search": 0.1, "recipe": 0.2, "data": 0.05, "placements": 0.1},
    compile_seconds=5.0,
)
