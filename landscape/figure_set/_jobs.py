"""Figures drawn by several processes at once: what takes their time, tracing and compiling, uses one core.

A process is started by `subprocess`, not `multiprocessing`: then it runs nothing of the caller's, whose script need not
be guarded, and a Ctrl-C reaches the parent alone, which ends the others. Tasks and results go as pickles.
"""

import contextlib
import io
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from landscape._backend import usable_cores

MEMORY = 4 * 2**30  # bytes for a process, that of compiled programs above all
SERVE = """
from landscape._garbage import seldom_collecting
with seldom_collecting():
    from landscape.figure_set._jobs import serve
    serve()
"""
PATIENCE = 5.0  # seconds between asking a process to end and ending it


@dataclass
class Said:
    """What a task printed and warned of, to be said by the parent in its turn."""

    out: str = ""
    error: str = ""
    warned: list[tuple[str, type[Warning], str, int]] = field(default_factory=list)  # text, kind, file, line

    def again(self) -> None:
        sys.stdout.write(self.out)
        sys.stderr.write(self.error)
        for warning in self.warned:
            warnings.warn_explicit(*warning)


class Ended(Exception):
    """The process ended before its task did."""

    def __init__(self, status: int) -> None:
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        why = ", perhaps for want of memory" if status == -9 else ""
        super().__init__(
            f"its process ended {how}{why}: draw it alone, with `only` and `jobs=1` (--only NAME --jobs 1)."
        )


def suitable() -> int:
    """As many jobs as there are cores and memory for; accelerators are not shared."""
    import jax

    if jax.default_backend() != "cpu":
        return 1
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return 1
    return max(1, min(usable_cores(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MEMORY))


def in_order(
    function: Callable[[Any], Any], tasks: Iterable[Any], jobs: int, environment: Mapping[str, str]
) -> Iterator[Any]:
    """What function(task) returns for each task, in their order, worked out by so many processes; or `Ended`.

    `function` is one of a module, and does not raise; `environment` is what of theirs is not as here.
    """
    processes = _Processes(function, environment)
    threads = ThreadPoolExecutor(jobs)
    try:
        for result, said in threads.map(processes, list(tasks)):
            said.again()
            yield result
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        processes.end()
        threads.shutdown()
        processes.close()


class _Processes:
    """One process for each thread that calls, started by its first call and after one that has ended."""

    def __init__(self, function: Callable[[Any], Any], environment: Mapping[str, str]) -> None:
        self._function, self._environment = function, environment
        self._own, self._ending = threading.local(), False
        self._all: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()

    def __call__(self, task: Any) -> tuple[Any, Said]:
        process = getattr(self._own, "process", None) or self._start()
        try:
            _send(process.stdin, (self._function, task))
            return pickle.load(process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            self._own.process = None
            return Ended(process.wait()), Said()

    def _start(self) -> Any:
        # What Python looks for modules in is set, so that a landscape that is not installed is found all the same.
        path = os.pathsep.join(part or os.getcwd() for part in sys.path)
        command = [sys.executable, "-P", "-c", SERVE]
        with self._lock:
            if self._ending:
                raise RuntimeError("no process is started any more")
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": path, **self._environment},
                start_new_session=True,  # a terminal's Ctrl-C goes to the parent's
            )
            self._all.append(process)
        self._own.process = process
        return process

    def end(self) -> None:
        with self._lock:
            self._ending = True
        for process in self._all:
            _ask_to_end(process)
        until = time.monotonic() + PATIENCE
        for process in self._all:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()

    def close(self) -> None:
        """Wait for what has been killed, and close the pipes, which nobody reads any more."""
        for process in self._all:
            process.wait()
            for pipe in filter(None, (process.stdin, process.stdout)):
                with contextlib.suppress(OSError):  # what could not be sent before is tried once more
                    pipe.close()


def _ask_to_end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM for a process and what it has started itself, which is of its session."""
    if process.poll() is not None:
        return
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    else:
        process.terminate()


def serve() -> None:
    """Work for a parent, in a process of one's own, until it closes the pipe."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an exception, so that nothing is left half-written
    tasks, results = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)  # a figure that asks is told at once that nobody answers
    os.dup2(2, 1)  # what a library prints past Python is no result
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            _send(results, _done(*pickle.load(tasks)))
    os._exit(0)  # to look for garbage takes longer than many a figure


def _done(function: Callable[[Any], Any], task: Any) -> tuple[Any, Said]:
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as error,  # no terminal: progress bars are silent
        warnings.catch_warnings(record=True) as warned,
    ):
        result = function(task)
    told = [(str(one.message), _known_kind(one.category), one.filename, one.lineno) for one in warned]
    return result, Said(out.getvalue(), error.getvalue(), told)


def _known_kind(category: type[Warning]) -> type[Warning]:
    """The nearest of Python's own kinds, which the parent knows too."""
    return next(kind for kind in category.__mro__ if kind.__module__ == "builtins")  # type: ignore[return-value]


def _send(pipe: BinaryIO | Any, what: Any) -> None:
    pickle.dump(what, pipe)
    pipe.flush()
