"""Files at a URL, of any kind that fsspec knows. Object stores write a file whole or not at all by themselves."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable, Mapping
from typing import Any

from landscape.tiles.files import UnwritableError
from landscape.tiles.manifest import ROOT


class Remote:
    """A folder at a URL. Other kinds than object stores must rename into place when they write, to be as safe."""

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        self.name = url
        try:
            self._fs, self._root = url_to_fs(url)
        except ImportError as error:
            raise ValueError(f"{url!r} is of a kind that needs another package ({error}): pip install it.") from error

    def _at(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def exists(self) -> bool:
        """Whether a store is there, or one file: a folder comes with what is first written into it."""
        self._fs.invalidate_cache()
        return self._fs.exists(self._at(ROOT)) or self._fs.isfile(self._root)

    def is_free(self) -> bool:
        return not self.exists()

    def read(self, name: str) -> bytes:
        return self._fs.cat_file(self._at(name))

    def read_all(self, folder: str) -> dict[str, bytes]:
        self._fs.invalidate_cache()
        try:
            there = self._fs.ls(self._at(folder), detail=False)
        except FileNotFoundError:
            return {}
        found = self._fs.cat(there, on_error="omit") if there else {}  # some may be removed since
        return {name.rsplit("/", 1)[-1]: data for name, data in found.items()}

    def write(self, files: Mapping[str, bytes]) -> None:
        placed = {self._at(name): data for name, data in files.items()}
        with self._writing():
            try:
                self._fs.pipe(placed)
            except FileNotFoundError:  # a file system with folders of its own
                for folder in {name.rpartition("/")[0] for name in placed}:
                    self._fs.makedirs(folder, exist_ok=True)
                self._fs.pipe(placed)

    def add(self, name: str, data: bytes) -> bool:
        with self._writing():
            try:
                self._fs.pipe_file(self._at(name), data, mode="create")
            except FileExistsError:
                return False
            except (FileNotFoundError, NotImplementedError, TypeError):  # no folder yet, or it knows no such mode
                if self._fs.exists(self._at(name)):
                    return False
                self.write({name: data})
        return True

    def create(self, parts: Iterable[Mapping[str, bytes]], last: str) -> bool:
        held = b""
        for part in parts:
            self.write({name: data for name, data in part.items() if name != last})
            held = part.get(last, held)
        return self.add(last, held)

    def move(self, name: str, to: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.write({to: self.read(name)})
            self.remove(name)

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._at(name))

    def names(self, folder: str) -> list[str]:
        self._fs.invalidate_cache()
        start = len(self._at(""))
        with contextlib.suppress(FileNotFoundError):
            return [name[start:] for name in self._fs.find(self._at(folder))]
        return []

    def children(self) -> list[str]:
        self._fs.invalidate_cache()
        with contextlib.suppress(FileNotFoundError):
            return sorted(name.rstrip("/").rpartition("/")[2] for name in self._fs.ls(self._root, detail=False))
        return []

    def sweep(self) -> None:
        """Nothing is ever half-written here."""

    @contextlib.contextmanager
    def _writing(self) -> Any:
        """Whatever goes wrong, and each kind has errors of its own, is told as one."""
        try:
            yield
        except UnwritableError:
            raise
        except Exception as error:
            number = getattr(error, "errno", None) or errno.EIO
            raise UnwritableError(number, str(error) or type(error).__name__, self.name) from error
