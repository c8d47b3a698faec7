"""Loops that do one kind of work only, through JAX, NumPy and compiled C.

Their operands stay in a core's cache (but for `bandwidth`), change from iteration to iteration, and end in a number
that is returned: no compiler can leave any of the work out.
"""

import ctypes
import functools
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.machine.c_compiler import Compiled, compile_source
from benchmarks.machine.environment import usable_cores
from landscape.objectives.activations import log1p_exp

STEP, STEPS = 2.0**-10, 64  # the argument moves by STEP from iteration to iteration and starts again after STEPS
FACTOR, OFFSET, CHAIN = 0.75, 0.125, 16  # x ← FACTOR·x + OFFSET, CHAIN times: a bounded chain of multiply-adds
CHAINS = 12  # independent ones in C: a multiply-add takes some four cycles, in each of which two may start
C_SOURCE = r"""
#include <math.h>
#if defined(__AVX512F__)
#define WIDTH 64
#elif defined(__AVX__)
#define WIDTH 32
#else
#define WIDTH 16
#endif
#define CALLS(NAME, TYPE, FUNCTION)                                       \
double NAME(long n, const TYPE *x, long length) {                         \
    double total = 0;                                                     \
    for (long i = 0; i < n; i++) {                                        \
        TYPE sum = 0, move = (i % STEPS) * STEP;                          \
        for (long k = 0; k < length; k++) sum += FUNCTION(x[k] + move);   \
        total += sum;                                                     \
    }                                                                     \
    return total;                                                         \
}
#define OTHER(NAME, VECTOR, TYPE)                                              \
typedef TYPE VECTOR __attribute__((vector_size(WIDTH)));                       \
double NAME(long n, const TYPE *x, long length) {                              \
    VECTOR z[CHAINS], a = (VECTOR){} + (TYPE)FACTOR, b = (VECTOR){} + (TYPE)OFFSET; \
    double total = 0;                                                          \
    for (int k = 0; k < CHAINS; k++) z[k] = (VECTOR){} + x[k];                 \
    for (long i = 0; i < n * length; i++)                                      \
        UNROLLED for (int k = 0; k < CHAINS; k++) z[k] = z[k] * a + b;         \
    for (int k = 0; k < CHAINS; k++) total += z[k][0];                         \
    return total;                                                              \
}
#define BANDWIDTH(NAME, TYPE)                        \
double NAME(long i, TYPE *x, long length) {          \
    for (long k = 0; k < length; k++) x[k] += i;     \
    return x[length - 1];                            \
}
#ifdef __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 12")
#endif
CALLS(exp_float32, float, expf) CALLS(log_float32, float, log1pf) CALLS(tanh_float32, float, tanhf)
CALLS(exp_float64, double, exp) CALLS(log_float64, double, log1p) CALLS(tanh_float64, double, tanh)
OTHER(other_float32, floats, float) OTHER(other_float64, doubles, double)
BANDWIDTH(bandwidth_float32, float) BANDWIDTH(bandwidth_float64, double)
long vector_bytes(void) { return WIDTH; }
"""


@dataclass(frozen=True)
class Loop:
    """`run(n)` does n iterations of `amount` and returns a number that all of them went into."""

    run: Callable[[int], float]
    amount: float  # of an iteration: calls, operations or bytes
    cores: int | None = None  # how many cores' rate is stated, by core seconds; None: by the clock on the wall


@dataclass(frozen=True)
class Sizes:
    """Of the loops of a backend."""

    values: int  # arguments of the elementwise functions
    offsets: int  # added to each of them in one iteration
    products: tuple[int, ...]  # m = n = k
    bytes: int  # of the array whose bandwidth is measured


def _log_of_losses(e: jax.Array) -> jax.Array:
    """log1p(e) for e ≤ 1, which is all that a cross-entropy needs, as `landscape` computes it."""
    return log1p_exp(e / (2.0 + e))


def jax_loops(device: jax.Device, dtype: str, sizes: Sizes, cores: int | None) -> dict[str, Sequence[Loop]]:
    """On a CPU on all `cores`; for accelerators (None) also products at JAX's own precision, which may be lower."""
    calls = sizes.values * sizes.offsets
    functions = {
        "exp": [(jnp.exp, 1)],
        "log": [(jnp.log1p, 1), (_log_of_losses, 1)],
        "tanh": [(jnp.tanh, 1)],
        "other": [(_chain, 2 * CHAIN)],
    }
    x = jax.device_put(jnp.asarray(arguments(sizes.values), dtype), device)
    program = _unrolled if cores else _reduced
    found: dict[str, Sequence[Loop]] = {
        kind: [Loop(_elementwise(program, f, x, sizes.offsets), amount * calls, cores) for f, amount in alternatives]
        for kind, alternatives in functions.items()
    }
    found["products"] = [_jax_product(device, dtype, m, "highest", cores) for m in sizes.products]
    if cores is None:
        found["products_by_default"] = [_jax_product(device, dtype, m, "default", cores) for m in sizes.products]
    found["bandwidth"] = [_jax_bandwidth(device, dtype, sizes.bytes)]
    return found


def arguments(values: int) -> np.ndarray:
    """Where the elementwise functions are called, before the offsets and the moves are added."""
    return np.linspace(0.125, 1, values)


def offsets(number: int) -> np.ndarray:
    """What is added to each argument in turn within one iteration."""
    return np.arange(number) / (16 * number)


def _chain(x: Any) -> Any:
    for _ in range(CHAIN):
        x = x * FACTOR + OFFSET
    return x


def _elementwise(program: Callable[..., Any], f: Callable, x: jax.Array, number: int) -> Callable[[int], float]:
    compiled = jax.jit(functools.partial(program, f))
    added = jax.device_put(jnp.asarray(offsets(number), x.dtype), x.sharding)
    return lambda n: float(compiled(x, added, n))


def _unrolled(f: Callable, x: jax.Array, added: jax.Array, n: Any) -> jax.Array:
    """Σ over iterations, offsets and values of f: XLA shares the values out among the cores and vectorizes over them.

    (A sum over them within the iteration it does on one core, and a third slower.)
    """
    wide = _wide(x.dtype)

    def body(i: jax.Array, total: jax.Array) -> jax.Array:
        for k in range(added.size):
            total = total + f(x + (added[k] + _move(i, x.dtype))).astype(wide)
        return total

    return jax.lax.fori_loop(0, n, body, jnp.zeros_like(x, dtype=wide)).sum()


def _reduced(f: Callable, x: jax.Array, added: jax.Array, n: Any) -> jax.Array:
    """The same for many offsets, in one kernel an iteration that writes sums only."""
    wide = _wide(x.dtype)

    def body(i: jax.Array, total: jax.Array) -> jax.Array:
        return total + f(x[None, :] + (added + _move(i, x.dtype))[:, None]).astype(wide).sum(axis=0)

    return jax.lax.fori_loop(0, n, body, jnp.zeros_like(x, dtype=wide)).sum()


def _wide(dtype: Any) -> Any:
    """Of a sum: in bfloat16 it would cost more than the function."""
    return jnp.float32 if dtype == jnp.bfloat16 else dtype


def _move(i: jax.Array, dtype: Any) -> jax.Array:
    return (i % STEPS).astype(dtype) * jnp.asarray(STEP, dtype)


def _jax_product(device: jax.Device, dtype: str, m: int, precision: str, cores: int | None) -> Loop:
    """x ← x·H with a reflection H: the values keep their size however often, and every second time they are back."""
    x, reflection = (jax.device_put(jnp.asarray(a, dtype), device) for a in _product_operands(m))

    @jax.jit
    def program(x: jax.Array, reflection: jax.Array, n: Any) -> jax.Array:
        def body(_: Any, x: jax.Array) -> jax.Array:
            return jnp.matmul(x, reflection, precision=precision)

        return jax.lax.fori_loop(0, n, body, x)[0, 0]

    return Loop(lambda n: float(program(x, reflection, n)), 2.0 * m**3, cores)


def _product_operands(m: int) -> tuple[np.ndarray, np.ndarray]:
    v = np.linspace(-1, 1, m)
    reflection = np.eye(m) - 2 * np.outer(v, v) / (v @ v)
    return np.random.default_rng(0).normal(size=(m, m)), reflection


def _jax_bandwidth(device: jax.Device, dtype: str, size: int) -> Loop:
    """x ← x + i in place: unlike in a copy, no line of the target is read only to be overwritten."""
    held = [jax.device_put(jnp.zeros(size // jnp.dtype(dtype).itemsize, dtype), device)]

    @functools.partial(jax.jit, donate_argnums=0)
    def program(x: jax.Array, n: Any) -> tuple[jax.Array, jax.Array]:
        x = jax.lax.fori_loop(0, n, lambda i, x: x + i.astype(x.dtype), x)
        return x, x[-1]

    def run(n: int) -> float:
        held[0], last = program(held[0], n)
        return float(last)

    return Loop(run, 2.0 * size)


def numpy_loops(dtype: str, sizes: Sizes) -> dict[str, Sequence[Loop]]:
    """On one thread, as NumPy is, but for the products: those are its BLAS's.

    Its threads spin while they wait, and their core seconds are no work: products go by the clock on the wall.
    """
    x = arguments(sizes.values).astype(dtype)
    scale = functools.partial(np.multiply, FACTOR)
    found: dict[str, Sequence[Loop]] = {
        kind: [Loop(functools.partial(_numpy_calls, f, x), x.size, 1)]
        for kind, f in (("exp", np.exp), ("log", np.log1p), ("tanh", np.tanh), ("other", scale))
    }
    operands = [(m, [a.astype(dtype) for a in _product_operands(m)]) for m in sizes.products]
    found["products"] = [Loop(functools.partial(_numpy_product, *o), 2.0 * m**3) for m, o in operands]
    held = np.zeros(sizes.bytes // x.itemsize, dtype)
    found["bandwidth"] = [Loop(functools.partial(_numpy_bandwidth, held), 2.0 * held.nbytes)]
    return found


def _numpy_calls(f: Callable, x: np.ndarray, n: int) -> float:
    out = np.zeros_like(x)
    for _ in range(n):
        f(x, out=out)
    return n * float(out.sum(dtype=np.float64))


def _numpy_product(x: np.ndarray, reflection: np.ndarray, n: int) -> float:
    now, other = x.copy(), np.empty_like(x)
    for _ in range(n):
        np.matmul(now, reflection, out=other)
        now, other = other, now
    return float(now[0, 0])


def _numpy_bandwidth(x: np.ndarray, n: int) -> float:
    for i in range(n):
        np.add(x, x.dtype.type(i), out=x)
    return float(x[-1])


@functools.cache
def c_library() -> Compiled:
    """The C loops, compiled once in a process; or why they are not."""
    numbers = {"STEP": STEP, "STEPS": STEPS, "FACTOR": FACTOR, "OFFSET": OFFSET, "CHAINS": CHAINS}
    compiled = compile_source("".join(f"#define {name} {value!r}\n" for name, value in numbers.items()) + C_SOURCE)
    for kind in ("exp", "log", "tanh", "other", "bandwidth") if compiled else ():
        for dtype in ("float32", "float64"):
            function = getattr(compiled.library, f"{kind}_{dtype}")
            function.argtypes, function.restype = (ctypes.c_long, ctypes.c_void_p, ctypes.c_long), ctypes.c_double
    return compiled


def c_loops(library: Any, dtype: str, sizes: Sizes) -> dict[str, Sequence[Loop]]:
    """One thread a core, each with its own operands. A product in C would be a BLAS's: NumPy's is the machine's."""
    cores = usable_cores()
    blocks = np.tile(arguments(sizes.values).astype(dtype), (cores, 1))
    calls = cores * sizes.values
    operations = 2 * CHAINS * library.vector_bytes() // blocks.itemsize
    found: dict[str, Sequence[Loop]] = {
        kind: [Loop(_on_all_cores(getattr(library, f"{kind}_{dtype}"), blocks), amount * calls, cores)]
        for kind, amount in (("exp", 1), ("log", 1), ("tanh", 1), ("other", operations))
    }
    held = np.zeros((cores, sizes.bytes // (cores * blocks.itemsize)), dtype)
    once = getattr(library, f"bandwidth_{dtype}")  # in one call a compiler may do several iterations in one pass

    def passes(n: int, pointer: int, length: int) -> float:
        return [once(i, pointer, length) for i in range(n)][-1]

    found["bandwidth"] = [Loop(_on_all_cores(passes, held), 2.0 * held.nbytes)]
    return found


def _on_all_cores(function: Callable, blocks: np.ndarray) -> Callable[[int], float]:
    """Threads of our own: OpenMP's wait for each other in a loop, whose core seconds would count as work."""

    def run(n: int) -> float:
        with ThreadPoolExecutor(len(blocks)) as threads:
            return sum(threads.map(lambda block: function(n, block.ctypes.data, block.size), blocks))

    return run


def large_array() -> int:
    """Bytes of an array that is four times all last-level caches together."""
    caches: dict[tuple[str, str], int] = {}
    for index in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cache/index[0-9]"):
        level, size, cores = (Path(index, name) for name in ("level", "size", "shared_cpu_list"))
        if size.exists() and (found := re.fullmatch(r"(\d+)K\s*", size.read_text())):
            caches[level.read_text(), cores.read_text()] = int(found[1]) * 2**10
    last = max((level for level, _ in caches), default=None)
    together = sum(size for (level, _), size in caches.items() if level == last)
    return 4 * max(together, 2**25)
