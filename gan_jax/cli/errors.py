"""Errors of the commands: one line on standard error, and an exit status."""

import contextlib
import difflib
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

PEER_LOST = 4  # Exit status if another process of the run is lost.
NOT_SAVED = 5  # Exit status if training ended, but its last weights could not be saved.


def fail(message: str, status: int = 2) -> NoReturn:
    """Prints one line to standard error and exits."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(status)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns " (did you mean X?)" for the known word that is most similar, or an empty string."""
    similar = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {similar[0]}?)" if similar else ""


@contextlib.contextmanager
def errors_as_lines() -> Iterator[None]:
    """Turns the errors of the library into one line and exit status 2. Warnings are printed as one line too."""
    from gan_jax._internal.files import describe_oserror
    from gan_jax.checkpoint import errors as checkpoint_errors
    from gan_jax.data import DataError
    from gan_jax.distributed.multihost import PeerLost, PortInUse
    from gan_jax.trainer.config import ConfigError
    from gan_jax.trainer.run_directory import RunError

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)

    warnings.showwarning = show  # type: ignore[assignment]
    known = (
        ConfigError,
        DataError,
        RunError,
        OSError,
        PortInUse,
        checkpoint_errors.CheckpointNotFound,
        checkpoint_errors.ConfigurationMismatch,
        checkpoint_errors.DamagedCheckpoint,
        checkpoint_errors.TemplateMismatch,
    )
    try:
        yield
    except PeerLost as error:
        fail(f"{error}; start all of them again with --resume auto", PEER_LOST)
    except known as error:
        fail(describe_oserror(error) if isinstance(error, OSError) else str(error))
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        raise SystemExit(130) from None
