"""What this machine was measured to do: the best rate of each kind of work, through JAX, NumPy and compiled C.

On a CPU the rate of arithmetic is that of a busy core times the cores that the process may use: what others take of
them meanwhile does not count. Memory is shared: its rate is by the clock on the wall.
"""

import functools
import math
import time
from collections.abc import Sequence
from typing import Any

import jax

from benchmarks.machine.environment import usable_cores
from benchmarks.machine.limits import Ceilings
from benchmarks.machine.loops import Loop, Sizes, c_library, c_loops, jax_loops, large_array, numpy_loops

ON_CPU, ACCELERATORS = ("jax-cpu", "c", "numpy"), ("jax-gpu", "jax-tpu")
DTYPES = ("float32", "float64", "bfloat16")
SECONDS = 0.02  # of a run at least
REPEATS, BY_THE_CLOCK = 4, 8  # timed runs, of which the best is the ceiling: more where others' work may count
SETTLE = 0.005
CORE_BLOCK = 2**14  # values that stay in a core's second-level cache
C_BLOCK = 2**11  # in its first-level one


@functools.cache
def ceilings(backend: str, dtype: str) -> Ceilings:
    """Measure a backend of `ON_CPU` or `ACCELERATORS`, once in a process.

    Raises: ValueError if it cannot compute in the dtype, or is not here.
    """
    _check(backend, dtype)
    with jax.enable_x64(dtype == "float64"):
        measured = {kind: max(map(rate, alternatives)) for kind, alternatives in loops(backend, dtype).items()}
    return Ceilings(backend, dtype, **({"products": None} | measured))


def machine(backend: str, dtype: str) -> tuple[Ceilings, ...]:
    """All that a backend's work is held against (`limits.best` of them): on a CPU what anyone reached on it.

    bfloat16 is held there against float32 in C and NumPy too, which can compute whatever it can.
    """
    if backend in ACCELERATORS:
        return (ceilings(backend, dtype),)
    wide = "float32" if dtype == "bfloat16" else dtype
    others = ("c", "numpy") if c_library() else ("numpy",)
    return (ceilings("jax-cpu", dtype), *(ceilings(other, wide) for other in others))


def rate(loop: Loop, seconds: float = SECONDS, repeats: int | None = None) -> float:
    """The most of a loop's work that is done in a second."""
    n = 1
    loop.run(n)  # compiles, and touches the memory
    while (elapsed := _elapsed(loop, n)) < seconds:
        wanted = math.ceil(1.2 * n * seconds / max(elapsed, 1e-9))
        n = min(max(wanted, 2 * n), 100 * n)  # a clock may be coarse, and the first iterations slow
    times = repeats or (REPEATS if loop.cores else BY_THE_CLOCK)
    return n * loop.amount / min(_elapsed(loop, n) for _ in range(times))


def _elapsed(loop: Loop, n: int) -> float:
    """Seconds of n iterations, had the loop its cores for itself."""
    start = _clock(loop)
    loop.run(n)
    return (_clock(loop) - start) / (loop.cores or 1)


def _clock(loop: Loop) -> float:
    if loop.cores is None:
        return time.perf_counter()
    time.sleep(SETTLE)  # of another thread the seconds since the kernel's last tick count only when it sleeps
    return time.process_time()


def loops(backend: str, dtype: str, sizes: Sizes | None = None) -> dict[str, Sequence[Loop]]:
    """The loops of each kind of work, of which the fastest counts; `sizes` for tests."""
    if backend == "numpy":
        return numpy_loops(dtype, sizes or Sizes(CORE_BLOCK, 1, (1024,), large_array()))
    if backend == "c":
        return c_loops(_library(), dtype, sizes or Sizes(C_BLOCK, 1, (), large_array()))
    if backend == "jax-cpu":
        cores = usable_cores()
        return jax_loops(
            _device(backend), dtype, sizes or Sizes(CORE_BLOCK * cores, 4, (512, 1024), large_array()), cores
        )
    # An accelerator starts a kernel for each iteration, which must be long enough.
    return jax_loops(_device(backend), dtype, sizes or Sizes(2**16, 2**14, (4096, 8192), 2**30), None)


def _check(backend: str, dtype: str) -> None:
    if backend not in ON_CPU + ACCELERATORS:
        raise ValueError(f"`backend` is {backend!r}; give one of {', '.join(ON_CPU + ACCELERATORS)}")
    if dtype not in DTYPES or (dtype == "bfloat16" and not backend.startswith("jax")):
        allowed = DTYPES if backend.startswith("jax") else DTYPES[:2]
        raise ValueError(f"`dtype` is {dtype!r}; {backend} is measured in one of {', '.join(allowed)}")


def _library() -> Any:
    compiled = c_library()
    if not compiled:
        raise ValueError(f"`backend` is 'c', and its loops could not be compiled here ({compiled.compiler})")
    return compiled.library


def _device(backend: str) -> jax.Device:
    platform = backend.removeprefix("jax-")
    try:
        return jax.devices(platform)[0]
    except RuntimeError as error:
        raise ValueError(f"`backend` is {backend!r}, and JAX finds no {platform} here ({error})") from error
