"""Parts of a run that the caller of `train` brings: data, networks, loss, loss terms, writers."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gan_jax.data import Source
from gan_jax.gan.types import LossTerm
from gan_jax.losses import ADVERSARIAL
from gan_jax.trainer import run_directory
from gan_jax.trainer.run_directory import RunError
from gan_jax.typing import AdversarialLoss, Network, Players

Writer = Callable[[int, dict[str, float]], Any]


@dataclasses.dataclass(frozen=True)
class OwnParts:
    """What replaces or extends the parts that the configuration describes.

    Attributes:
        source: The data set, instead of `config.data`.
        networks: `Players` of `Network`s, instead of `config.model`.
        loss: The adversarial loss, instead of `config.loss.name`.
        terms: Loss terms beside those of the configuration.
        writers: Functions `(step, row)` that receive each row of metrics.
        names: Names of the parts, for run.json.
    """

    source: Source | None = None
    networks: Players | None = None
    loss: AdversarialLoss | None = None
    terms: tuple[LossTerm, ...] = ()
    writers: tuple[Writer, ...] = ()
    names: dict[str, Any] = dataclasses.field(default_factory=dict)

    def recorded(self) -> dict[str, Any]:
        """The parts for run.json. Empty if there are none."""
        return {"own_parts": self.names} if self.names else {}

    def fingerprint(self) -> dict[str, Any]:
        """What a resumed run must have in common with the run that it continues."""
        return {f"own.{name}": value for name, value in self.names.items() if name != "source"}


NO_OWN_PARTS = OwnParts()


def own_parts(
    source: Any = None, networks: Any = None, loss: Any = None, terms: Sequence[LossTerm] = (), writers: Sequence[Any] = ()
) -> OwnParts:
    """Converts the arguments of `gan_jax.train`, see there.

    Raises:
        TypeError, ValueError: An argument is of no supported kind. The message names it.
    """
    names: dict[str, Any] = {}
    if source is not None:
        source = as_source(source)
        names["source"] = source.name
    if networks is not None:
        from gan_jax.models.adapters import to_network

        if not isinstance(networks, tuple | list) or len(networks) != 2:
            raise TypeError(f"networks must be (generator, discriminator); got {type(networks).__name__}")
        names["networks"] = [_name(part) for part in networks]
        networks = Players(*(to_network(part, player=player) for part, player in zip(networks, Players._fields, strict=True)))
    if loss is not None:
        loss, names["loss"] = _loss(loss)
    for term in terms:
        if not isinstance(term, LossTerm):
            raise TypeError(f"terms must be gan_jax.gan.types.LossTerm; got {type(term).__name__}")
    if terms:
        names["terms"] = [term.name for term in terms]
    functions = tuple(getattr(writer, "write", writer) for writer in writers)
    if not all(map(callable, functions)):
        raise TypeError("writers must be functions (step, row), or objects with a method write(step, row)")
    return OwnParts(source, networks, loss, tuple(terms), functions, names)


def as_source(data: Any, name: str = "own") -> Source:
    """A `Source` of images in memory.

    Args:
        data: A `Source`, images uint8 [n, height, width, channels], points float32 [n, dim], or a pair (images, labels) with int labels
            from 0.
        name: Name of the source.

    Raises:
        TypeError, ValueError: The images or labels have another type or shape.
    """
    import numpy as np

    if isinstance(data, Source):
        return data
    images, labels = data if isinstance(data, tuple) else (data, None)
    if not hasattr(images, "shape") or not hasattr(images, "dtype"):
        raise TypeError(f"source must be a Source, images, or (images, labels); got {type(images).__name__}")
    kinds = {4: np.dtype(np.uint8), 2: np.dtype(np.float32)}
    if kinds.get(len(images.shape)) != images.dtype:
        given = f"{images.dtype} {list(images.shape)}"
        raise ValueError(f"source must be images uint8 [n, height, width, channels] or points float32 [n, dim]; got {given}")
    if labels is not None:
        labels = np.asarray(labels)
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu" or labels.min() < 0:
            raise ValueError(f"labels must be integers from 0, [{len(images)}]; got {labels.dtype} {list(labels.shape)}")
        labels = labels.astype(np.int32)
    classes = 0 if labels is None else int(labels.max()) + 1
    return Source(name, images if labels is None else np.asarray(images), labels, classes, "all", "given by the caller of train")


def recorded_own_parts(directory: Path) -> dict[str, Any]:
    """The names of the own parts with which a run was trained. Empty for a run of the command line."""
    if not (directory / "run.json").is_file():
        return {}
    return run_directory.read_record(directory).get("own_parts") or {}


def check_own_parts(
    directory: Path, own: OwnParts, advice: str, *, needed: Sequence[str] = ("source", "networks", "loss", "terms")
) -> None:
    """Raises RunError if a run was trained with parts of its own that are not given now.

    Args:
        directory: Directory of the run.
        own: The parts that are given.
        advice: A format string with {missing} that says how to give them.
        needed: The parts that must be given.
    """
    recorded = recorded_own_parts(directory)
    missing = [name for name in needed if name in recorded and name not in own.names]
    if missing:
        given = ", ".join(f"{name}=..." for name in missing)
        raise RunError(f"{directory}: was trained with its own {', '.join(missing)}; {advice.format(missing=given)}")


def _name(part: Any) -> str:
    if isinstance(part, Network):
        return "Network"
    if isinstance(part, tuple | list):
        return "functions"
    return getattr(part, "__name__", type(part).__name__)


def _loss(loss: Any) -> tuple[AdversarialLoss, str]:
    if isinstance(loss, str):
        if loss not in ADVERSARIAL:
            raise ValueError(f"loss must be one of {', '.join(ADVERSARIAL)}; got {loss!r}")
        return ADVERSARIAL[loss], loss
    if isinstance(loss, AdversarialLoss):
        return loss, getattr(loss.generator, "__name__", "own")
    if isinstance(loss, tuple) and len(loss) == 2 and all(map(callable, loss)):
        return AdversarialLoss(*loss), getattr(loss[1], "__name__", "own")
    raise TypeError(f"loss must be a name, an AdversarialLoss, or a pair (discriminator, generator); got {type(loss).__name__}")
