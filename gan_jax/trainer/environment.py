"""The environment of a run for run.json: versions, processor, devices, git commit."""

import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

import gan_jax


def describe() -> dict[str, Any]:
    """Versions, processor, devices and commit of this process."""
    versions = {"gan_jax": gan_jax.__version__, "python": platform.python_version()}
    for package in ("jax", "jaxlib", "flax", "optax", "numpy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    devices = jax.devices()
    return {
        "versions": versions,
        "platform": "-".join([platform.system(), platform.machine(), *filter(None, platform.libc_ver())]),  # Without the kernel.
        "processor": platform.processor() or platform.machine(),
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "cpus_allowed": cpus_allowed(),
        "device": devices[0].device_kind,
        "devices": len(devices),
        "backend": jax.default_backend(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "jax_options": jax_options(),
        "commit": commit(),
        "code": code_hash(),
    }


# Options of JAX that change which operations a program computes or their order.
JAX_OPTIONS = (
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_disable_most_optimizations",
    "jax_enable_x64",
    "jax_numpy_dtype_promotion",
    "jax_optimization_level",
    "jax_threefry_partitionable",
)


def jax_options() -> dict[str, Any]:
    """The options of JAX that can change the bytes of a run, with their values."""
    return {name: jax.config.values[name] for name in JAX_OPTIONS if name in jax.config.values}


def peak_memory() -> int | None:
    """The largest number of bytes that this process had in use on one of its devices, or None if the devices do not tell it (a CPU)."""
    known = [statistics["peak_bytes_in_use"] for device in jax.local_devices() if (statistics := device.memory_stats())]
    return max(known, default=None)


def cpus_allowed() -> int:
    """The number of CPU cores that this process may use. On systems without CPU affinity (macOS) it is the number of all cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    """The model of the processor, e.g. "AMD EPYC (family 25, model 17, stepping 1)".

    Another model can have other vector units and so compute other last bits. The numbers distinguish models that share one name.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    pairs = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    facts = dict(reversed(pairs))  # Of entries with equal names the first is kept.
    name = facts.get("model name") or facts.get("hardware") or platform.machine()
    keys = ("cpu family", "model", "stepping") if "cpu family" in facts else ()  # On other processors "model" is the board.
    numbers = [f"{key.removeprefix('cpu ')} {facts[key]}" for key in keys if key in facts]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def commit() -> str:
    """The git commit of the package's repository, followed by "+" if tracked files differ from it. "" if the package has no repository.

    Files below docs/data do not count: they hold the rows of measurements, and a study that appends to them does not change its own code.
    """
    root = Path(gan_jax.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return ""
    try:
        options: dict[str, Any] = {"cwd": root, "capture_output": True, "text": True, "timeout": 10, "check": True}
        head = subprocess.run(["git", "rev-parse", "HEAD"], **options).stdout.strip()
        status = ["git", "--no-optional-locks", "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)docs/data"]
        changed = subprocess.run(status, **options).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
    return head + ("+" if changed else "")


def code_hash() -> str:
    """The first 12 hexadecimal digits of a SHA-256 over the paths and contents of all Python files of the package.

    Two rows are comparable only if they were measured with the same code. Unlike the commit, the hash does not change with a page or a
    test, and it notices a change that is not committed.
    """
    root = Path(gan_jax.__file__).resolve().parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:12]
