"""Files under one folder, local or at a URL: read whole, written whole or not at all."""

from collections.abc import Iterable, Mapping
from typing import Protocol


class UnwritableError(OSError):
    """Files could not be written: no space, no permission, no folder."""


class Files(Protocol):
    """Named bytes under one folder; names have forward slashes."""

    name: str  # as the user wrote it

    def exists(self) -> bool:
        """Whether anything is there."""
        ...

    def is_free(self) -> bool:
        """Whether a store can be made here."""
        ...

    def read(self, name: str) -> bytes:
        """The bytes; FileNotFoundError if there are none of that name."""
        ...

    def read_all(self, folder: str) -> dict[str, bytes]:
        """Everything directly in a folder, by the last part of its name."""
        ...

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files, each whole or not at all; they last when this returns. Raises: UnwritableError."""
        ...

    def add(self, name: str, data: bytes) -> bool:
        """Write a file if there is none of that name; False if there is. Raises: UnwritableError."""
        ...

    def create(self, parts: Iterable[Mapping[str, bytes]], last: str) -> bool:
        """Write all files where there is nothing yet, the one called `last` last; False if somebody was faster."""
        ...

    def move(self, name: str, to: str) -> None:
        """Give a file another name; nothing happens if it is gone."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens if it is gone."""
        ...

    def names(self, folder: str) -> list[str]:
        """Names of all files under a folder, at any depth."""
        ...

    def children(self) -> list[str]:
        """Names of all files and folders directly under it."""
        ...

    def sweep(self) -> None:
        """Remove what writers of this machine that are no more left half-written."""
        ...
