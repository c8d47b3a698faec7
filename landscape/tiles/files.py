"""Files under one folder, local or at any URL that fsspec knows: read whole, written whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import shutil
import socket
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

PARTIAL = ".partial"  # where local files are until they are whole
BINARY = getattr(os, "O_BINARY", 0)  # of Windows
AT_ONCE = 8  # files that are forced to disk at a time
_numbers = itertools.count()


class UnwritableError(OSError):
    """Files could not be written: no space, no permission, no folder."""


class Files(Protocol):
    """Named bytes under one folder; names have forward slashes."""

    name: str  # as the user wrote it

    def exists(self) -> bool:
        """Whether anything is there."""
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

    def create(self, files: Mapping[str, bytes], last: str) -> bool:
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

    def zarr(self) -> Any:
        """What zarr and xarray open."""
        ...

    def sweep(self) -> None:
        """Remove what writers of this machine that are no more left half-written."""
        ...


def files(path: str | os.PathLike[str]) -> Files:
    """The files at a path or URL.

    Raises: ValueError where fsspec does not know the URL's kind; ImportError where it lacks a package for it.
    """
    text = os.fspath(path)
    if "://" not in text:
        return _Local(Path(text))
    if text.startswith("file://"):
        return _Local(Path(text.removeprefix("file://")))
    return _Remote(text)


class _Local:
    """A folder. A file is written elsewhere in it, forced to disk and renamed into its place."""

    def __init__(self, path: Path) -> None:
        self.name, self._path = str(path), path

    def exists(self) -> bool:
        return self._path.exists() or self._path.is_symlink()

    def read(self, name: str) -> bytes:
        number = os.open(f"{self.name}/{name}", os.O_RDONLY | BINARY)  # `open` takes half as long again
        try:
            size = os.fstat(number).st_size
            data = os.read(number, size)
            while len(data) < size and (more := os.read(number, size - len(data))):
                data += more
            return data
        finally:
            os.close(number)

    def read_all(self, folder: str) -> dict[str, bytes]:
        found = {}
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._path / folder):
                with contextlib.suppress(FileNotFoundError):  # removed since
                    found[name] = self.read(f"{folder}/{name}")
        return found

    def write(self, files: Mapping[str, bytes]) -> None:
        waiting = {self._path / PARTIAL / _mine(): name for name in files}
        try:
            (self._path / PARTIAL).mkdir(parents=True, exist_ok=True)
            _at_once(_write_through, waiting, [files[name] for name in waiting.values()])
            for path, name in waiting.items():
                (self._path / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, self._path / name)
        except OSError as error:
            raise UnwritableError(error.errno, error.strerror, self.name) from error
        finally:
            for path in waiting:
                with contextlib.suppress(OSError):
                    path.unlink()
        _at_once(_sync_folder, {(self._path / name).parent for name in files})

    def create(self, files: Mapping[str, bytes], last: str) -> bool:
        target = self._path.absolute()
        _sweep(target.parent, prefix=f".{target.name}.")
        whole = _Local(target.with_name(f".{target.name}.{_mine()}"))
        try:
            whole.write(files)
            os.rename(whole._path, target)
        except OSError as error:
            if target.is_dir() and any(target.iterdir()):
                return False
            raise UnwritableError(error.errno, error.strerror, self.name) from error
        finally:
            shutil.rmtree(whole._path, ignore_errors=True)
        _sync_folder(target.parent)
        return True

    def move(self, name: str, to: str) -> None:
        (self._path / to).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.replace(self._path / name, self._path / to)

    def remove(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)

    def names(self, folder: str) -> list[str]:
        found = (path for path in (self._path / folder).rglob("*") if path.is_file())
        return [path.relative_to(self._path).as_posix() for path in found]

    def zarr(self) -> Any:
        return str(self._path)

    def sweep(self) -> None:
        _sweep(self._path / PARTIAL)


class _Remote:
    """A folder at a URL. Object stores write a file whole or not at all by themselves."""

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        self.name = url
        self._fs, self._root = url_to_fs(url)

    def _at(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def exists(self) -> bool:
        self._fs.invalidate_cache()
        return self._fs.exists(self._root)

    def read(self, name: str) -> bytes:
        return self._fs.cat_file(self._at(name))

    def read_all(self, folder: str) -> dict[str, bytes]:
        self._fs.invalidate_cache()
        if not self._fs.exists(self._at(folder)):
            return {}
        found = self._fs.cat([entry for entry in self._fs.ls(self._at(folder), detail=False)])
        return {name.rsplit("/", 1)[-1]: data for name, data in found.items()}

    def write(self, files: Mapping[str, bytes]) -> None:
        try:
            self._fs.pipe({self._at(name): data for name, data in files.items()})
        except OSError as error:
            raise UnwritableError(error.errno, error.strerror or str(error), self.name) from error

    def create(self, files: Mapping[str, bytes], last: str) -> bool:
        self.write({name: data for name, data in files.items() if name != last})
        try:
            self._fs.pipe_file(self._at(last), files[last], mode="create")
        except FileExistsError:
            return False
        return True

    def move(self, name: str, to: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.mv(self._at(name), self._at(to))

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._at(name))

    def names(self, folder: str) -> list[str]:
        self._fs.invalidate_cache()
        start = len(self._at(""))
        return [name[start:] for name in self._fs.find(self._at(folder))]

    def zarr(self) -> Any:
        from zarr.storage import FsspecStore

        return FsspecStore.from_url(self.name, read_only=True)

    def sweep(self) -> None:
        """Nothing is ever half-written here."""


def is_running(pid: int) -> bool:
    """Whether this machine has such a process; yes where one cannot ask."""
    if os.name == "nt":  # signal 0 would end it
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _mine() -> str:
    """A name that no other thread, process or machine gives to what it writes."""
    return f"{socket.gethostname()}-{os.getpid()}-{next(_numbers)}"


def _sweep(folder: Path, prefix: str = "") -> None:
    """Remove what processes of this machine that are no more left in a folder under such names."""
    start = f"{prefix}{socket.gethostname()}-"
    for path in folder.glob(f"{glob.escape(start)}*"):
        pid = path.name.removeprefix(start).partition("-")[0]
        if pid.isdecimal() and not is_running(int(pid)):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _at_once(action: Callable[..., None], *arguments: Collection[Any]) -> None:
    """Call it for all at once: a disk forces several files out in little more than the time of one."""
    if len(arguments[0]) == 1:
        return action(*(own for (own,) in arguments))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(action, *arguments))


def _write_through(path: Path, data: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """The names in it last, too."""
    if os.name == "nt":
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
