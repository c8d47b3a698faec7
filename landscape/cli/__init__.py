"""The command line: `landscape surface`, `descend`, `show`, `status`, `verify` and `figures`.

Nothing heavy is imported before a command runs. Mistakes are one line on standard error and exit status 2; signal
handlers live here only.
"""

import contextlib
import os
import signal
import sys
import threading
import warnings
from argparse import Namespace
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

from landscape._garbage import seldom_collecting
from landscape.cli import startup
from landscape.tiles import stopping

MISTAKE, INTERRUPTED, BROKEN_PIPE, TERMINATED = 2, 128 + signal.SIGINT, 128 + 13, 128 + signal.SIGTERM


class _Interrupted(BaseException):
    """A signal arrived; the argument is its number."""


def console() -> int:
    """`main` as a process of its own, which may set what outlasts a call: the entry point."""
    startup.settle_cache()
    return _ended(None, alone=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status.

    0: done; 1: a check failed (`verify`, `figures --check`); 2: a mistake in what was asked; 130, 143: interrupted.
    """
    return _ended(argv, alone=False)


def _ended(argv: Sequence[str] | None, alone: bool) -> int:
    """The exit status. alone: nothing else runs in this process."""
    from landscape.cli.parser import parser

    args = None
    try:
        with signals(), _short_warnings(), seldom_collecting():
            args = parser().parse_args(argv, Namespace(alone=alone))
            status = _run(args)
            sys.stdout.flush()
            return status
    except (ValueError, TypeError, OSError, MemoryError) as error:
        if isinstance(error, BrokenPipeError):  # whoever reads has seen enough: landscape show … | head -1
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BROKEN_PIPE
        if os.environ.get("LANDSCAPE_TRACEBACK"):
            raise
        return _report(f"error: {_one_line(error)}", MISTAKE)
    except Exception as error:
        if not type(error).__module__.startswith("jax") or os.environ.get("LANDSCAPE_TRACEBACK"):
            raise
        return _report(f"error: {_jax_line(error)}", MISTAKE)
    except (KeyboardInterrupt, _Interrupted, stopping.Stopped) as stop:
        number = stop.args[0] if stop.args else signal.SIGINT
        status = TERMINATED if number == signal.SIGTERM else INTERRUPTED
        _report(f"interrupted; {_kept(args)}", status)
        at_work = any(thread.name.startswith("tiles on") for thread in threading.enumerate())
        if at_work or getattr(args, "distributed", None) is not None:
            os._exit(status)  # Python would wait for these threads, and JAX for the other processes
        return status


def _run(args: Any) -> int:
    from landscape.cli import commands

    return getattr(commands, args.command)(args)


def _report(line: str, status: int) -> int:
    print(f"landscape: {line}", file=sys.stderr)
    return status


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{str(error.filename)!r}: {error.strerror}"
    text = " ".join(str(error).split())
    return f"not enough memory: {text}" if isinstance(error, MemoryError) else text or type(error).__name__


def _jax_line(error: Exception) -> str:
    """The first line of what JAX or its device says, which may go on for pages."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return f"not enough memory: {first}" if first.startswith("RESOURCE_EXHAUSTED") else f"JAX: {first}"


def _kept(args: Any) -> str:
    """What is safe."""
    if getattr(args, "command", None) == "figures":
        return "the figures drawn before are kept"
    output = getattr(args, "output", None)
    if not output:
        return "nothing was saved"
    from landscape.tiles.store import open_store

    try:
        store = open_store(output)
        done, total = len(store.records()), store.manifest.tiling.count
    except (OSError, ValueError):
        return "nothing was saved"
    if done == total:
        return f"{output!r} was saved before"
    return f"{done} of {total} tiles safe in {output!r}, run the same again to resume"


@contextlib.contextmanager
def signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM: a run with a store finishes the tile in hand; everything else, and a second one, stops now.

    By an exception, so that nothing is left half-written.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    first: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if first or not stopping.ask(number):
            raise _Interrupted(number)
        first.append(number)
        # Not print: the signal may have come in the middle of one.
        os.write(2, b"landscape: finishing what is in hand, to lose nothing; once more to stop at once\n")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stopping.forget()


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
    """Warnings in one line, without the place in the code."""

    def show(message: Warning | str, *place: Any, **options: Any) -> None:
        print(f"landscape: warning: {_one_line(message) if isinstance(message, Warning) else message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
