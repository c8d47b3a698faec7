"""Leases: who is writing which shard of a store. A courtesy to users: correctness never rests on it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

from landscape._callers import outside
from landscape.tiles.files import Files
from landscape.tiles.local import is_running

WRITERS = "landscape/writers"
BEAT = 15.0  # seconds between signs of life
STALE = 60.0  # seconds without one, after which a writer counts as gone


class Shard(NamedTuple):
    """The share of one process: tiles index, index + count, …"""

    index: int
    count: int


class Writer(NamedTuple):
    """A process that writes, or wrote, a shard of a store."""

    shard: Shard
    host: str
    pid: int
    since: float  # seconds since the epoch
    seen: float

    @property
    def alive(self) -> bool:
        """Whether it gave a sign of life lately and, on this machine, still runs."""
        here = self.host == socket.gethostname()
        return time.time() - self.seen < STALE and not (here and not is_running(self.pid))

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def me() -> str:
    """This process, for records."""
    return f"{socket.gethostname()}-{os.getpid()}"


def writers(files: Files) -> list[Writer]:
    """Everybody who holds a lease, dead or alive."""
    found = []
    for data in files.read_all(WRITERS).values():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            said = json.loads(data)
            shard = Shard(int(said["shard"]), int(said["of"]))
            found.append(Writer(shard, str(said["host"]), int(said["pid"]), float(said["since"]), float(said["seen"])))
    return sorted(found)


@contextlib.contextmanager
def lease(files: Files, shard: Shard) -> Iterator[None]:
    """Hold the lease of a shard; a warning if somebody alive holds it, and then both write.

    Raises: OSError, before anything is computed, where the store cannot be written to.
    """
    since, stop = time.time(), threading.Event()
    name = f"{WRITERS}/{shard.index}-of-{shard.count}.json"
    mine: dict[str, Any] = {"shard": shard.index, "of": shard.count, "host": socket.gethostname(), "pid": os.getpid()}
    for other in writers(files):
        if other.shard == shard and other.alive and (other.host, other.pid) != (mine["host"], mine["pid"]):
            warnings.warn(
                f"{other} is writing shard {shard.index} of {shard.count} of {files.name!r} too; nothing is lost, but "
                "work is done twice. Give each process its own shard, or stop one.",
                UserWarning,
                stacklevel=outside(),
            )

    def beat() -> None:
        files.write({name: json.dumps(mine | {"since": since, "seen": time.time()}).encode()})

    def live() -> None:
        while not stop.wait(BEAT):
            with contextlib.suppress(OSError):  # the next tile will say what is wrong
                beat()

    beat()
    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        with contextlib.suppress(Exception):  # it must not hide what went wrong
            if any(w.shard == shard and (w.host, w.pid) == (mine["host"], mine["pid"]) for w in writers(files)):
                files.remove(name)
