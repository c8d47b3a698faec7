"""The command line: `landscape surface`, `descend`, `show`, `verify` and `figures`.

Nothing heavy is imported before a command runs. Mistakes are one line on standard error and exit status 2; signal
handlers live here only.
"""

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

MISTAKE, INTERRUPTED, BROKEN_PIPE, TERMINATED = 2, 128 + signal.SIGINT, 128 + 13, 128 + signal.SIGTERM


class _Terminated(BaseException):
    """SIGTERM arrived."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status.

    0: done; 1: a check failed (`verify`, `figures --check`); 2: a mistake in what was asked; 130, 143: interrupted.
    """
    from landscape.cli.parser import parser

    args = None
    try:
        with _signals(), _short_warnings():
            args = parser().parse_args(argv)
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
    except (KeyboardInterrupt, _Terminated) as stop:
        status = INTERRUPTED if isinstance(stop, KeyboardInterrupt) else TERMINATED
        return _report(f"interrupted; {_kept(args)}", status)


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
    if getattr(args, "command", None) == "figures":
        return "the figures drawn before are kept"
    output = getattr(args, "output", None)
    return f"{output!r} was saved before" if output and os.path.exists(output) else "nothing was saved"


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM stops a command as Ctrl-C does: by an exception, so that nothing is left half-written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
    """Warnings in one line, without the place in the code."""

    def show(message: Warning | str, *place: Any, **options: Any) -> None:
        print(f"landscape: warning: {_one_line(message) if isinstance(message, Warning) else message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
