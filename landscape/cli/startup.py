"""What a process of the command line sets before anything heavy is imported, to start and to end sooner."""

import atexit
import contextlib
import functools
import gc
import os
import sys
from collections.abc import Iterator

BETWEEN = 50_000  # objects made between two looks for garbage; Python looks after 700


@contextlib.contextmanager
def seldom_collecting() -> Iterator[None]:
    """Look for garbage seldom, and not at all when the process ends.

    Importing JAX and tracing make many objects that stay. Looking for garbage among them, last of all when the
    interpreter ends, takes a quarter of the core seconds of a short run.
    """
    before = gc.get_threshold()
    gc.set_threshold(BETWEEN, *before[1:])
    _keep_at_exit()
    try:
        yield
    finally:
        gc.set_threshold(*before)


@functools.cache
def _keep_at_exit() -> None:
    atexit.register(gc.freeze)  # before JAX registers what it does at the end, so after that


def settle_cache() -> None:
    """Where JAX_COMPILATION_CACHE_DIR names a folder for compiled programs, keep small ones too.

    JAX keeps by default what takes a second to compile, which of a surface nothing does.
    """
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR") or "jax" in sys.modules:  # JAX reads these when it is imported
        return
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    # On CPUs with AVX-512 XLA prints two errors for every program that it loads, which are none: what differs is how
    # it was tuned (jax-ml/jax#38445). What really goes wrong is an exception, and that of a damaged file a warning.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
