"""The workloads of the benchmark, as options of gan_jax and of PyTorch."""

from typing import Any, NamedTuple

SMALL, COLOUR = (32, 32, 1), (32, 32, 3)

FLOAT32 = ("gan_jax", "gan_jax cores", "eager")
EVERY = ("gan_jax", "gan_jax cores", "gan_jax bfloat16", "eager", "compile", "autocast")
NARROW = ("gan_jax", "gan_jax bfloat16", "eager", "autocast")
TORCH_OPTIONS: dict[str, dict[str, bool]] = {"eager": {}, "compile": {"compiled": True}, "autocast": {"autocast": True}}


class Workload(NamedTuple):
    """One workload.

    Attributes:
        about: Description for the tables.
        spec: Options of `jax_steps.make`.
        run: Options of `jax_steps.training`.
        torch: Options of `torch_steps.training`, or None if PyTorch has no counterpart.
        kind: "training", "sampling", or "pipeline" (batches alone).
        columns: The columns to measure.
    """

    about: str
    spec: dict[str, Any]
    run: dict[str, Any]
    torch: dict[str, Any] | None
    kind: str = "training"
    columns: tuple[str, ...] = FLOAT32


def _dcgan(
    about: str, shape=SMALL, *, batch: int = 64, width: int = 64, scan: int = 8, columns=EVERY, torch=(), seeds: int = 0, **spec: Any
) -> Workload:
    shared = {"model": "dcgan", "image_shape": shape, "width": width}
    run = {"image_shape": shape, "batch": batch, "scan": scan} | ({"seeds": seeds} if seeds else {})
    norm = {"norm": spec["discriminator_norm"]} if "discriminator_norm" in spec else {}
    return Workload(about, shared | spec, run, shared | {"batch": batch} | norm | dict(torch), columns=columns)


def _sngan(about: str, *, batch: int = 64, scan: int = 2, columns=EVERY) -> Workload:
    shared = {"model": "sngan", "image_shape": COLOUR, "spectral": True}
    return Workload(about, shared, {"image_shape": COLOUR, "batch": batch, "scan": scan}, shared | {"batch": batch}, columns=columns)


def _mixture(seeds: int, *, scan: int = 100, batch: int = 256) -> Workload:
    hidden = {"generator_hidden": (128, 128), "discriminator_hidden": (128, 128), "latent_dim": 2}
    spec = {"model": "points", "image_shape": (2,)} | hidden
    run = {"image_shape": (2,), "batch": batch, "scan": scan} | ({"seeds": seeds} if seeds else {})
    torch = {"model": "points", "image_shape": (2,), "latent_dim": 2, "width": 128, "batch": batch}
    about = f"mixture of Gaussians, perceptrons of 2 x 128, batch {batch}"
    return Workload(about + (f", milliseconds per seed of {seeds} at once" if seeds else ""), spec, run, torch)


def _pipeline(about: str, kind: str) -> Workload:
    return Workload(about, {}, {"kind": kind, "batch": 64}, {"kind": kind, "batch": 64}, "pipeline", ("gan_jax", "eager"))


_PENALTY = {"discriminator_norm": "none"}
_WGAN_GP, _R1 = ("wgan_gp", 10.0), ("r1", 5.0)

CORE: dict[str, Workload] = {
    "dcgan32": _dcgan("DCGAN 32x32x1, batch norm"),
    "dcgan32_colour": _dcgan("DCGAN 32x32x3, batch norm", COLOUR),
    "dcgan32_lax": _dcgan("DCGAN 32x32x1 with XLA's own convolutions, one step a call", columns=("gan_jax lax", "eager"), scan=1),
    "dcgan32_shared": _dcgan("DCGAN 32x32x1, one generator forward shared", fakes="shared", torch={"shared_fakes": True}, columns=FLOAT32),
    "dcgan32_simultaneous": _dcgan("DCGAN 32x32x1, simultaneous; PyTorch alternating", rule="simultaneous", columns=FLOAT32),
    "dcgan32_spectral": _dcgan(
        "DCGAN 32x32x1, spectral norm in D",
        discriminator_norm="none",
        spectral=True,
        torch={"spectral": True},
        columns=FLOAT32,
    ),
    "wgan_gp32": _dcgan(
        "DCGAN 32x32x3, WGAN-GP, no norm in D",
        COLOUR,
        loss="wasserstein",
        penalty=_WGAN_GP,
        torch={"penalty": _WGAN_GP},
        columns=FLOAT32,
        **_PENALTY,
    ),
    "r1_32": _dcgan("DCGAN 32x32x3, R1, no norm in D", COLOUR, penalty=_R1, torch={"penalty": _R1}, columns=FLOAT32, **_PENALTY),
    "sngan32": _sngan("SNGAN-ResNet 32x32x3", columns=FLOAT32),
    "mixture": _mixture(0)._replace(columns=("gan_jax", "eager")),
    "mixture_4": _mixture(4),
    "mixture_16": _mixture(16),
    "mixture_64": _mixture(64, scan=25),
    "pipeline_memory": _pipeline("batches of 64 from 2,048 images 32x32x3 in memory", "memory"),
}

SCALING: dict[str, Workload] = {
    **{f"batch_{n}": _dcgan(f"DCGAN 32x32x1, batch {n}", batch=n, columns=FLOAT32) for n in (16, 128)},
    **{f"resolution_{n}": _dcgan(f"DCGAN {n}x{n}x1", (n, n, 1), scan=4, columns=FLOAT32) for n in (16, 64)},
    **{f"width_{n}": _dcgan(f"DCGAN 32x32x1, width {n}", width=n, scan=4, columns=FLOAT32) for n in (16, 32, 128)},
    **{
        f"seeds_{n}": _dcgan(f"DCGAN 32x32x1, width 16, milliseconds per seed of {n} at once", width=16, seeds=n, columns=FLOAT32)
        for n in (2, 4)
    },
}

# Measured apart from the others, with several versions of JAX.
APART: dict[str, Workload] = {
    "dcgan32_bfloat16": _dcgan("DCGAN 32x32x1, batch norm", columns=NARROW),
    "sampling": _dcgan("10,000 images of DCGAN 32x32x1", columns=NARROW)._replace(kind="sampling"),
    "pipeline_folder": _pipeline("batches of 64 from 2,048 PNG files of 64x64, decoded and resized to 32x32", "folder"),
    "pipeline_cached": _pipeline("the same from the second epoch on; PyTorch has no cache", "cached"),
}

PRESETS = {"cpu": CORE, "scaling": SCALING, "apart": APART}
WORKLOADS = CORE | SCALING | APART
