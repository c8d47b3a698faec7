"""Stopping a run at the next place where nothing is lost. Asked for by whoever handles signals."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import NoReturn

_lock = threading.Lock()
_running: list[None] = []  # an entry a run
_asked: list[int] = []  # by which signals


class Stopped(BaseException):
    """A run has stopped because it was asked to; the argument is the signal's number.

    Not an Exception: nothing on the way may take it for a failure.
    """


def ask(number: int) -> bool:
    """Ask the run in hand, or the next one, to stop; False if none is in hand that could, after its tile.

    The next one, because an exception that a signal raises is lost where Python calls back from a library.
    """
    _asked.append(number)  # no lock: a signal may have come while it is held
    return bool(_running)


def forget() -> None:
    """Whoever asked is done."""
    _asked.clear()


def asked() -> bool:
    """Whether a run is to stop."""
    return bool(_asked)


def stop() -> NoReturn:
    """Stop the run in hand; where another process was asked to, as if this one had been by SIGTERM."""
    raise Stopped(_asked[0] if _asked else signal.SIGTERM)


@contextlib.contextmanager
def possible() -> Iterator[None]:
    """A run that keeps its tiles: it can be asked to stop."""
    with _lock:
        _running.append(None)
    try:
        yield
    finally:
        with _lock:
            _running.pop()
            if not _running:
                _asked.clear()
