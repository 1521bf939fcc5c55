"""Reads damaged files by the hundred in a process of its own, with a limit on memory and on time, and says how each was received.

    python tests/support/fuzzing.py KIND COUNT SEED DIRECTORY

prints one JSON object. A file may be refused by the reader's own kind of error, in a message that names it, or read. Everything else is a
failure: another exception, a message without the name, more than ten seconds, more than 1 GiB above what the process took before, and any
use of pickle.
"""

import copy
import hashlib
import importlib
import json
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 2**30
SECONDS = 10


class Kind(NamedTuple):
    """A kind of file to damage.

    Attributes:
        prepare: makes the whole files in a directory, and returns those that are to be damaged.
        read: what is done with the directory; raises `refusals` against a damaged file.
        refusals: the errors that are meant for a person.
        damage: (content, draws) -> damaged content.
    """

    prepare: Callable[[Path], list[Path]]
    read: Callable[[Path], Any]
    refusals: tuple[type[Exception], ...]
    damage: Callable[[bytes, random.Random], bytes]


WILD = [
    *(None, True, False, -1, 0, 1, 2**31, 2**63, 10**30, -(10**300), 1e-300, 1e308, float("nan"), float("inf")),
    *("", "x" * 2000, "\x00", "../../outside", "NaN", "1e5", [], {}, [None], {"a": {}}, [[[[[]]]]], [0] * 1000),
]


def nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """The places in plain data: (container, key)."""
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(item, dict | list):
            yield from nodes(item)


def damage_data(value: Any, draws: random.Random) -> Any:
    """Plain data with one to three places put to wild values, deleted, renamed, or swapped."""
    value = copy.deepcopy(value)
    if draws.random() < 0.03:
        return draws.choice(WILD)
    for _ in range(draws.randint(1, 3)):
        places = list(nodes(value)) if isinstance(value, dict | list) else []
        if not places:
            break
        container, key = draws.choice(places)
        kind = draws.randrange(5)
        if kind <= 2:
            container[key] = copy.deepcopy(draws.choice(WILD))
        elif kind == 3:
            del container[key]
        elif isinstance(container, dict):
            container[draws.choice(["", "step", "sha256", "é" * 20, str(key) + "x"])] = container.pop(key)
    return value


def damage_bytes(content: bytes, draws: random.Random) -> bytes:
    """One to four bytes changed, cut, doubled or put elsewhere; half of them near the beginning."""
    from support.damage import mutate

    return mutate(content, np.random.default_rng(draws.getrandbits(32)))


def damage_json(content: bytes, draws: random.Random) -> bytes:
    """Bytes or values of a JSON file."""
    if draws.random() < 0.4:
        return damage_bytes(content, draws)
    if draws.random() < 0.02:
        return b"[" * draws.choice([1000, 100_000])
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return damage_bytes(content, draws)
    return json.dumps(damage_data(value, draws)).encode()


def damage_lines(content: bytes, draws: random.Random) -> bytes:
    """Bytes or values of a file of JSON lines."""
    lines = content.splitlines(keepends=True)
    for _ in range(draws.randint(1, 4)):
        at = draws.randrange(len(lines))
        lines[at] = damage_json(lines[at].strip(), draws) + b"\n"
    return b"".join(lines)


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (name, name, b",".join([b"*%c" % (name - 1)] * 9)) for name in b"bcdefghi"
)
YAML_TRAPS = [
    BOMB + b"seed: *i\n",
    BOMB.replace(b"\n", b"\n  ").join([b"model:\n  options:\n    ", b"\n"]),
    b"seed: &a [*a]\n",
    b"seed: 0x" + b"f" * 6000 + b"\n",
    b"seed: " + b"9" * 6000 + b"\n",
    b"optimizer: {generator_lr: " + b"9" * 400 + b"}\n",
    b"seed: 2001-99-99\n",
    b"seed: !!python/object/apply:os.system [exit]\n",
    b"? [a, b]\n: c\n",
    b"{" * 5000,
    b"- " * 5000,
    b"seed: !!binary x\n",
    b"seed: 1:60:99\n",
]


def damage_yaml(content: bytes, draws: random.Random) -> bytes:
    """Bytes, values, or one of the known traps of YAML."""
    chance = draws.random()
    if chance < 0.05:
        return draws.choice(YAML_TRAPS)
    if chance < 0.4:
        return damage_bytes(content, draws)
    return yaml.safe_dump(damage_data(yaml.safe_load(content), draws), sort_keys=False).encode()


def damage_manifest(content: bytes, draws: random.Random) -> bytes:
    """Values of a checkpoint's manifest, with the sha256 made right again: what no accident does."""
    line = json.dumps(damage_data(json.loads(content.splitlines()[0]), draws)).encode()
    return line + b"\n" + hashlib.sha256(line).hexdigest().encode() + b"\n"


def damage_safetensors(content: bytes, draws: random.Random) -> bytes:
    """Bytes, or values of the header (those of the metadata among them), with its length made right again."""
    if draws.random() < 0.4:
        return damage_bytes(content, draws)
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    inner = header.get("__metadata__", {}).get("gan_jax")
    if inner and draws.random() < 0.6:
        header["__metadata__"]["gan_jax"] = json.dumps(damage_data(json.loads(inner), draws))
    else:
        header = damage_data(header, draws)
    text = json.dumps(header).encode()
    length = draws.choice([len(text)] * 8 + [2**62, 0])
    return length.to_bytes(8, "little") + text + content[8 + size :]


def prepare_generator(place: Path) -> list[Path]:
    import jax
    import jax.numpy as jnp

    from gan_jax.export.generator import GeneratorConfig, save_generator
    from gan_jax.models import build_model

    options = {"image_size": 8, "channels": 1, "latent_dim": 3, "generator_hidden": "4", "discriminator_hidden": "4"}
    params, state = build_model("mlp", **options).generator.init(jax.random.key(0), jnp.zeros((2, 3)), None, None)
    save_generator(place / "file.safetensors", GeneratorConfig("mlp", options), params, state)
    return [place / "file.safetensors"]


def prepare_classifier(place: Path) -> list[Path]:
    from importlib import resources

    shutil.copy(Path(str(resources.files("gan_jax.metrics"))) / "files" / "digit_classifier.safetensors", place / "file.safetensors")
    return [place / "file.safetensors"]


def prepare_arrays(place: Path) -> list[Path]:
    from safetensors.numpy import save_file

    save_file({"conv1_1/kernel": np.zeros((3, 3, 3, 4), np.float32), "fc.bias": np.ones(5, np.float32)}, place / "file.safetensors")
    return [place / "file.safetensors"]


def prepare_torch(form: str) -> Callable[[Path], list[Path]]:
    def prepare(place: Path) -> list[Path]:
        shutil.copy(ROOT / "tests" / "golden" / f"models_vgg_{form}.pth", place / "file.pth")
        return [place / "file.pth"]

    return prepare


def checkpoint_tree() -> dict[str, Any]:
    """What the checkpoint holds: arrays of several types, a key as its data, numbers."""
    return {"kernel": np.arange(12, dtype=np.float32).reshape(3, 4), "count": np.int32(3), "flag": True, "rate": 0.5, "name": "x"}


def prepare_checkpoint(file: str) -> Callable[[Path], list[Path]]:
    def prepare(place: Path) -> list[Path]:
        from gan_jax.checkpoint import Checkpointer

        with Checkpointer(place / "checkpoints", config={"lr": 0.1}) as manager:
            manager.save(1, checkpoint_tree(), {"seed": 0})
        return sorted((place / "checkpoints" / "step_00000001").glob(file))

    return prepare


def read_checkpoint(place: Path) -> Any:
    from gan_jax.checkpoint import Checkpointer

    return Checkpointer(place / "checkpoints", config={"lr": 0.1}).restore(checkpoint_tree(), step=1)


def prepare_config(place: Path) -> list[Path]:
    from gan_jax.trainer.config import Config, save_config

    save_config(Config(recipe="x", out=place / "run"), place / "config.yaml")
    return [place / "config.yaml"]


def read_config(place: Path) -> Any:
    from gan_jax.trainer.config import load_config

    return load_config(place / "config.yaml")


def prepare_run(*names: str) -> Callable[[Path], list[Path]]:
    def prepare(place: Path) -> list[Path]:
        from support.fake_run import FINDING, make_run

        run = make_run(place / "run", steps=400, every=20, grids=2, findings=(FINDING,))
        return [file for name in names for file in sorted(run.glob(name))]

    return prepare


def read_report(place: Path) -> Any:
    from gan_jax.trainer.report import write_report

    return write_report(place / "run")


def prepare_record(place: Path) -> list[Path]:
    record = {"data": {"examples": 3, "shape": [2], "fingerprint": "0"}, "rollbacks": [{"to_step": 3, "at_step": 5}], "step": 4, "steps": 9}
    (place / "run.json").write_text(json.dumps(record))
    return [place / "run.json"]


def read_record(place: Path) -> Any:
    """What resuming reads of run.json."""
    from gan_jax.trainer.run_directory import recorded_data, recorded_rollbacks

    for happened in recorded_rollbacks(place):
        int(happened["to_step"])
    return recorded_data(place)["examples"]


def read_log(place: Path) -> Any:
    """What resuming reads of metrics.jsonl."""
    from gan_jax.monitor import RunInfo
    from gan_jax.trainer.config import Config
    from gan_jax.trainer.failure_policy import FailurePolicy
    from gan_jax.trainer.writers.jsonl import JsonLines

    JsonLines(place / "run" / "metrics.jsonl", after_step=300)
    return FailurePolicy(Config(), RunInfo(), place / "run")


def named(module: str, name: str) -> Callable[[Path], Any]:
    """A reader of one file, by its name."""
    return lambda place: getattr(importlib.import_module(module), name)(next(place.glob("file.*")))


def kinds() -> dict[str, Kind]:
    """All kinds, by name."""
    from gan_jax.checkpoint import CheckpointNotFound, ConfigurationMismatch, DamagedCheckpoint, TemplateMismatch
    from gan_jax.trainer.config import ConfigError
    from gan_jax.trainer.report import ReportError
    from gan_jax.trainer.run_directory import RunError

    checkpoint = (DamagedCheckpoint, TemplateMismatch, ConfigurationMismatch, CheckpointNotFound)
    logs = ("metrics.jsonl", "run.json", "findings.jsonl", "metrics.json", "config.yaml")
    return {
        "generator": Kind(prepare_generator, named("gan_jax", "load_generator"), (ValueError,), damage_safetensors),
        "classifier": Kind(prepare_classifier, named("gan_jax.metrics.classifier", "load"), (ValueError,), damage_safetensors),
        "inception": Kind(prepare_arrays, named("gan_jax.metrics.inception", "load"), (ValueError,), damage_safetensors),
        "vgg": Kind(prepare_arrays, named("gan_jax.models.vgg", "load_vgg16"), (ValueError,), damage_safetensors),
        "torch.zip": Kind(prepare_torch("zip"), named("gan_jax.metrics.torch_weights", "load_torch_weights"), (ValueError,), damage_bytes),
        "torch.legacy": Kind(
            prepare_torch("legacy"), named("gan_jax.metrics.torch_weights", "load_torch_weights"), (ValueError,), damage_bytes
        ),
        "checkpoint": Kind(prepare_checkpoint("*"), read_checkpoint, checkpoint, damage_bytes),
        "checkpoint.manifest": Kind(prepare_checkpoint("manifest.json"), read_checkpoint, checkpoint, damage_manifest),
        "config": Kind(prepare_config, read_config, (ConfigError,), damage_yaml),
        "record": Kind(prepare_record, read_record, (RunError,), damage_json),
        "log": Kind(prepare_run("metrics.jsonl"), read_log, (), damage_lines),
        "report": Kind(prepare_run(*logs), read_report, (ReportError,), damage_lines),
        "report.pictures": Kind(prepare_run("samples/*.png"), read_report, (ReportError,), damage_bytes),
    }


def forbid_pickle() -> None:
    """Makes every way to unpickle an error that no reader expects."""

    def refuse(*_: Any, **__: Any) -> None:
        raise SystemError("something was unpickled")

    for name in ("load", "loads", "Unpickler", "_Unpickler", "_load", "_loads"):
        setattr(importlib.import_module("pickle"), name, refuse)


def address_space() -> int:
    """The bytes of address space that this process takes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def receive(kind: Kind, place: Path, damaged: Path) -> tuple[str, str]:
    """Reads the directory: ("read", ""), ("refused", the message), or ("failed", what happened)."""

    def hang(*_: Any) -> None:
        raise SystemError(f"more than {SECONDS} seconds")

    signal.signal(signal.SIGALRM, hang)
    signal.alarm(SECONDS)
    try:
        kind.read(place)
    except kind.refusals as error:
        name = damaged.name if damaged.parent == place else damaged.parent.name
        return ("refused", str(error)) if name in str(error) else ("failed", f"the message does not name the file: {error}")
    except (Exception, SystemError) as error:
        return "failed", f"{type(error).__name__}: {str(error)[:300]}"
    finally:
        signal.alarm(0)
    return "read", ""


def main(name: str, count: int, seed: int, place: Path) -> dict[str, Any]:
    """Damages and reads `count` files, and sums up."""
    kind, draws = kinds()[name], random.Random(f"{name} {seed}")
    files = kind.prepare(place)
    with suppress(*kind.refusals):  # weights of a large network are stood for by a few of its arrays
        kind.read(place)
    forbid_pickle()
    whole = {file: file.read_bytes() for file in files}
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + MEMORY, resource.RLIM_INFINITY))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts, failures, slowest = {"read": 0, "refused": 0, "failed": 0}, [], 0.0
    for number in range(count):
        damaged = draws.choice(files)
        damaged.write_bytes(kind.damage(whole[damaged], draws))
        started = time.monotonic()
        outcome, message = receive(kind, place, damaged)
        slowest = max(slowest, time.monotonic() - started)
        counts[outcome] += 1
        if outcome == "failed":
            failures.append(f"{number}: {message}; {damaged.name} began with {damaged.read_bytes()[:300]!r}")
        for file, content in whole.items():
            file.write_bytes(content)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return counts | {"slowest": round(slowest, 2), "grown_mib": grown // 1024, "failures": failures[:5]}


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "data")]
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))))
