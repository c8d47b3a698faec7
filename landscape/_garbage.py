"""Garbage, which Python looks for so often that importing JAX and tracing spend a tenth of their time on it."""

import contextlib
import gc
from collections.abc import Iterator

BETWEEN = 50_000  # objects made between two looks for garbage; Python 3.11 looks after 700


@contextlib.contextmanager
def seldom_collecting() -> Iterator[None]:
    """Look for garbage seldom, where it is looked for: importing JAX and tracing make many objects that stay."""
    before = gc.get_threshold()
    gc.set_threshold(before[0] and max(before[0], BETWEEN), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
