"""Generators on the Hugging Face Hub: addresses such as hf://user/name, and the files of a repository."""

import importlib.util
from pathlib import Path
from typing import NamedTuple

PREFIX = "hf://"
WEIGHTS = "generator.safetensors"
CONFIG = "config.json"
CARD = "README.md"


class HubAddress(NamedTuple):
    """Address of a repository on the Hub.

    Attributes:
        repository: "user/name".
        revision: Branch, tag or commit, or None for the main branch.
    """

    repository: str
    revision: str | None = None


def parse_address(address: str) -> HubAddress:
    """Parses "hf://user/name" or "hf://user/name@revision".

    Raises:
        ValueError: If the address has another form.
    """
    repository, _, revision = address.removeprefix(PREFIX).partition("@")
    if not address.startswith(PREFIX) or len([part for part in repository.split("/") if part]) != 2 or repository.count("/") != 1:
        raise ValueError(f"{address}: must be hf://USER/NAME or hf://USER/NAME@REVISION")
    return HubAddress(repository, revision or None)


def download_generator(address: str) -> Path:
    """Returns the path of a generator's weights in the local cache of the Hub, and downloads them first if necessary.

    Args:
        address: See `parse_address`.

    Raises:
        ImportError: If the package huggingface_hub is not installed.
        FileNotFoundError: If there is no such repository, revision or file, or if the Hub cannot be reached.
        ValueError: If the address has another form.
    """
    repository, revision = parse_address(address)
    if importlib.util.find_spec("huggingface_hub") is None:
        raise ImportError(f'{address}: needs the package huggingface_hub: pip install "gan-jax[hub]"')
    from huggingface_hub import errors, hf_hub_download

    try:
        return Path(hf_hub_download(repository, WEIGHTS, revision=revision, library_name="gan_jax"))
    except errors.HFValidationError as error:
        raise ValueError(f"{address}: {_one_line(error)}") from error
    except (errors.HfHubHTTPError, errors.EntryNotFoundError, errors.LocalEntryNotFoundError, OSError) as error:
        raise FileNotFoundError(f"{address}: {WEIGHTS} cannot be downloaded ({_one_line(error)})") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
