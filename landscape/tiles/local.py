"""Files in a folder of a file system: written elsewhere in it, forced to disk and renamed into their places."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from landscape.tiles.files import UnwritableError

PARTIAL = ".partial"  # where local files are until they are whole
BINARY = getattr(os, "O_BINARY", 0)  # of Windows
AT_ONCE = 8  # files that are forced to disk at a time
LEFT_FOR = 60.0  # seconds, after which what a process that is gone was writing is removed


class Local:
    """A folder."""

    def __init__(self, path: Path) -> None:
        self.name, self._path = str(path), path
        self._made: set[Path] = set()  # folders that are known to be there

    def exists(self) -> bool:
        return self._path.exists() or self._path.is_symlink()

    def is_free(self) -> bool:
        return not self.exists() or (self._path.is_dir() and not any(self._path.iterdir()))

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
        def place(path: Path, target: Path) -> None:
            os.replace(path, target)

        self._written(files, place)

    def add(self, name: str, data: bytes) -> bool:
        try:
            self._written({name: data}, os.link)
        except UnwritableError as error:
            if isinstance(error.__cause__, FileExistsError):
                return False
            if not isinstance(error.__cause__, PermissionError | NotImplementedError):
                raise
            # A file system without links: nearly as good.
            if (self._path / name).exists():
                return False
            self.write({name: data})
        return True

    def _written(self, files: Mapping[str, bytes], place: Callable[[Path, Path], None]) -> None:
        """Write files elsewhere, then place(path, target)."""
        waiting = {self._path / PARTIAL / _mine(): self._path / name for name in files}
        try:
            changed = self._make({self._path / PARTIAL, *(target.parent for target in waiting.values())})
            _at_once(_write_through, waiting, files.values())
            for path, target in waiting.items():
                place(path, target)
            _at_once(_sync_folder, changed | {target.parent for target in waiting.values()})
        except OSError as error:
            raise UnwritableError(error.errno, error.strerror, self.name) from error
        finally:
            for path in waiting:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _make(self, folders: set[Path]) -> set[Path]:
        """Make folders, and say in which others their names are new."""
        changed = set()
        for folder in folders - self._made:
            above = folder
            while not above.exists():
                above = above.parent
                changed.add(above)
            folder.mkdir(parents=True, exist_ok=True)
            self._made.add(folder)
        return changed

    def create(self, parts: Iterable[Mapping[str, bytes]], last: str) -> bool:
        target = self._path.absolute()
        _sweep(target.parent, prefix=f".{target.name}.")
        whole = Local(target.with_name(f".{target.name}.{_mine()}"))
        try:
            for part in parts:
                whole.write(part)
            os.rename(whole._path, target)
            _sync_folder(target.parent)
        except OSError as error:
            if not self.is_free() and target.is_dir():
                return False
            raise UnwritableError(error.errno, error.strerror, self.name) from error
        finally:
            shutil.rmtree(whole._path, ignore_errors=True)
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

    def children(self) -> list[str]:
        return sorted(os.listdir(self._path)) if self._path.is_dir() else []

    def sweep(self) -> None:
        _sweep(self._path / PARTIAL)


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
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"


def _sweep(folder: Path, prefix: str = "") -> None:
    """Remove what processes of this machine that are no more left in a folder under such names.

    After a while: in a container the others of this machine look as if they were no more.
    """
    start = f"{prefix}{socket.gethostname()}-"
    for path in folder.glob(f"{glob.escape(start)}*"):
        pid = path.name.removeprefix(start).partition("-")[0]
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > LEFT_FOR and pid.isdecimal() and not is_running(int(pid)):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _at_once(action: Callable[..., None], *arguments: Collection[Any]) -> None:
    """Call it for all at once: a disk forces several files out in little more than the time of one."""
    if len(arguments[0]) == 1:
        return action(*(own for (own,) in arguments))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(action, *arguments))


def _write_through(path: Path, data: bytes) -> None:
    with open(path, "xb", buffering=0) as file:
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
