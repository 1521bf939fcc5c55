"""The files of a data set, in a directory or in a zip archive."""

import collections
import os
import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple, Protocol

from gan_jax._internal.files import check_regular
from gan_jax.data.errors import DataError, DataWarning, one_line

MEMBER_LIMIT = 2**28  # Maximum number of bytes of one file of an archive.


class Listing(NamedTuple):
    """What a tree holds, by names relative to its root with "/" between folders. Hidden files and folders are left out.

    Attributes:
        files: Names of all files, sorted.
        folders: Names of all folders, sorted.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...]


class Tree(Protocol):
    """A place with files."""

    root: Path

    def listing(self) -> Listing:
        """All files and folders."""

    def file(self, name: str) -> Path | bytes:
        """A file for `gan_jax.data.decode`: its path or its bytes. DataError if an archive cannot give it."""

    def size(self, name: str) -> int:
        """Size of a file in bytes. -1 if it is missing."""

    def stamp(self, name: str) -> tuple[int, ...]:
        """Numbers that change if a file is changed or replaced, such as its size and its times of change."""

    def path(self, name: str) -> str:
        """The name of a file for messages."""


class DirectoryTree:
    """The files below a directory.

    Links to folders are followed after all folders of the tree itself. Each folder is listed once. If a link leads to a folder that is
    already listed, e.g. in a cycle, the link is skipped and a `DataWarning` names it.

    Args:
        root: The directory.
    """

    def __init__(self, root: Path):
        self.root = root

    def listing(self) -> Listing:
        """All files and folders.

        Raises:
            DataError: If a folder cannot be listed.
        """
        names, below, listed, tops = list[str](), list[str](), set[str](), collections.deque([str(self.root)])
        while tops:
            for place, folders, files in os.walk(tops.popleft(), onerror=_refuse):
                real = os.path.realpath(place)
                if real in listed:
                    warnings.warn(f"{place}: leads to {real}, which is already listed; skipped", DataWarning, stacklevel=2)
                    folders.clear()
                    continue
                listed.add(real)
                folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
                tops += [link for folder in folders if os.path.islink(link := os.path.join(place, folder))]
                prefix = "" if place == str(self.root) else Path(os.path.relpath(place, self.root)).as_posix() + "/"
                below += [prefix.rstrip("/")] if prefix else []
                names += [prefix + file for file in files if not file.startswith(".")]
        return Listing(tuple(sorted(names)), tuple(sorted(below)))

    def file(self, name: str) -> Path:
        """The path of a file."""
        return self.root / name

    def size(self, name: str) -> int:
        """Size of a file in bytes. -1 if it is missing."""
        try:
            return (self.root / name).stat().st_size
        except OSError:
            return -1

    def stamp(self, name: str) -> tuple[int, ...]:
        """Size and times of change of a file. Empty if it is missing."""
        try:
            facts = (self.root / name).stat()
        except OSError:
            return ()
        return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns

    def path(self, name: str) -> str:
        """The path of a file as text."""
        return str(self.root / name)


class ZipTree:
    """The files of a zip archive. Nothing is extracted.

    Args:
        root: Path of the archive.

    Raises:
        DataError: If the file is not a readable zip archive.
    """

    def __init__(self, root: Path):
        self.root = root
        try:
            check_regular(root)
            self._archive = zipfile.ZipFile(root)
            self._entries = {entry.filename: entry for entry in self._archive.infolist()}
        except Exception as error:  # A crafted file makes zipfile and struct raise almost any exception.
            raise DataError(f"{root}: not a readable zip archive ({one_line(error)}); make or copy it again") from None

    def listing(self) -> Listing:
        """All files and folders, without hidden ones and the folder that macOS adds."""
        names = [name for name in self._entries if not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))]
        files = sorted(name for name in names if not name.endswith("/"))
        folders = {name.rstrip("/") for name in names if name.endswith("/")}
        for name in files:
            parts = name.split("/")[:-1]
            folders |= {"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
        return Listing(tuple(files), tuple(sorted(folders)))

    def file(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            DataError: If it is missing, encrypted, damaged or larger than 256 MiB.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise DataError(f"{self.path(name)}: no such file")
        if entry.file_size > MEMBER_LIMIT:
            raise DataError(f"{self.path(name)}: claims {entry.file_size} bytes; at most {MEMBER_LIMIT} are supported")
        try:
            archive = self._archive
            with archive.open(entry) as member:
                return member.read(entry.file_size)
        except Exception as error:  # A crafted file makes zipfile, zlib and struct raise almost any exception.
            raise DataError(f"{self.path(name)}: cannot be read ({one_line(error)}); make or copy the archive again") from None

    def size(self, name: str) -> int:
        """Size of a file in bytes. -1 if it is missing."""
        entry = self._entries.get(name)
        return -1 if entry is None else entry.file_size

    def stamp(self, name: str) -> tuple[int, ...]:
        """Size, checksum and place of a file in the archive. Empty if it is missing."""
        entry = self._entries.get(name)
        return () if entry is None else (entry.file_size, entry.CRC, entry.header_offset)

    def path(self, name: str) -> str:
        """The path of the archive, a colon, and the name in it."""
        return f"{self.root}:{name}"


def tree_of(path: Path) -> DirectoryTree | ZipTree:
    """The tree of a directory or of a zip archive."""
    return DirectoryTree(path) if path.is_dir() else ZipTree(path)


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: the directory cannot be listed ({error.strerror})")
