"""What a process of the command line sets before anything heavy is imported, to start and to end sooner."""

import gc
import os
from importlib.metadata import entry_points
from importlib.util import find_spec


def keep_imported(name: str) -> None:
    """Import what a command works with, `landscape.NAME`, and look for no garbage in what is there, for good.

    Looking for it when the interpreter ends takes a quarter of the core seconds of a short run. Only in a process of
    one's own, and before it loads anything of the user's: a file that is open in a cycle is written when the cycle is
    collected.
    """
    import landscape

    getattr(landscape, name)
    gc.freeze()


def settle_cache() -> None:
    """Where JAX_COMPILATION_CACHE_DIR names a folder for compiled programs, keep small ones too.

    JAX keeps by default what takes a second to compile, which of a surface nothing does. It reads these variables when
    it is imported, and they stay: for a process of one's own.
    """
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    # On CPUs with AVX-512 XLA prints two errors for every program that it loads, which are none: what differs is how
    # it was tuned (jax-ml/jax#38445). What really goes wrong is an exception, and that of a damaged file a warning.
    # Not so on an accelerator, whose errors are to be seen.
    if os.environ.get("JAX_PLATFORMS") == "cpu" or not _has_accelerator_plugin():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _has_accelerator_plugin() -> bool:
    """Whether JAX would find one: as a package of `jax_plugins`, by an entry point, or libtpu."""
    return any(map(find_spec, ("jax_plugins", "libtpu"))) or bool(entry_points(group="jax_plugins"))
