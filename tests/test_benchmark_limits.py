"""The bound of a workload, the measured ceilings that it is made of, and the device's own time."""

import json
import math
from dataclasses import asdict, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.profiler import ProfileData

from benchmarks.contestants import c_loop
from benchmarks.machine import ceilings, device_time, limits, loops, pinning
from benchmarks.machine.c_compiler import compile_source
from benchmarks.machine.environment import usable_cores
from benchmarks.machine.limits import Ceilings, Work

RATES = Ceilings("jax-cpu", "float32", products=100.0, exp=5.0, log=2.0, tanh=4.0, other=50.0, bandwidth=20.0)
TINY = loops.Sizes(values=16, offsets=3, products=(32,), bytes=2**12)
CPU_LOOPS = [
    *(("jax-cpu", dtype) for dtype in ceilings.DTYPES),
    *((backend, dtype) for backend in ("c", "numpy") for dtype in ceilings.DTYPES[:2]),
]
TOLERANCE = {"float32": 3e-6, "float64": 1e-14, "bfloat16": 0.01}  # some eps of a function and of a short sum


def test_works_add_up_and_multiply():
    one = Work(products=1, exp=2, log=3, tanh=4, other=5, bytes=6)
    assert one + Work(exp=1, bytes=1) == Work(1, 3, 3, 4, 5, 7)
    assert 3 * one == one * 3 == Work(3, 6, 9, 12, 15, 18)
    assert sum([one, one], Work()) == 2 * one


def test_arithmetic_adds_up_and_memory_goes_on_beside_it():
    work = Work(products=200, exp=10, log=2, tanh=8, other=50)  # 2 + 2 + 1 + 2 + 1 seconds
    assert limits.bound(work, RATES) == pytest.approx(8)
    assert limits.bound(work + Work(bytes=159), RATES) == pytest.approx(8)
    assert limits.bound(work + Work(bytes=200), RATES) == pytest.approx(10)
    assert limits.bound(Work(), RATES) == 0


@pytest.mark.parametrize("kind", ["products", "exp", "log", "tanh", "other", "bytes"])
def test_the_kind_that_takes_longest_binds(kind):
    work = Work(products=100, exp=5, log=2, tanh=4, other=50, bytes=20)  # a second each
    assert limits.binding(work + Work(**{kind: 1000.0}), RATES) == kind
    assert limits.seconds(work, RATES) == dict.fromkeys(asdict(work), 1.0)


def test_the_best_of_several_is_taken_kind_by_kind():
    c = replace(RATES, backend="c", products=None, exp=4.0, log=9.0)
    best = limits.best(RATES, c)
    assert best == replace(RATES, backend="jax-cpu, c", log=9.0)
    assert limits.best(c).products is None
    assert json.loads(json.dumps(asdict(best))) == asdict(best)


@pytest.mark.parametrize("wrong", [-1.0, math.nan, math.inf])
def test_work_that_is_no_amount_is_refused(wrong):
    with pytest.raises(ValueError, match=r"`work.exp` is .*; give a finite number that is not negative"):
        limits.bound(Work(exp=wrong), RATES)


def test_a_missing_ceiling_is_refused_where_it_is_needed():
    c = replace(RATES, backend="c", products=None)
    assert limits.bound(Work(exp=5), c) == 1
    with pytest.raises(
        ValueError, match=r"`ceilings.products` of c is None, and the work has 8 of it; give those of a"
    ):
        limits.bound(Work(products=8), c)
    with pytest.raises(ValueError, match=r"`measured` is empty; give the `Ceilings` of one backend or more"):
        limits.best()


def made(backend: str, dtype: str, sizes: loops.Sizes = TINY) -> dict:
    if backend == "c" and not loops.c_library():
        pytest.skip(loops.c_library().compiler)
    return ceilings.loops(backend, dtype, sizes)


def chained(x: np.ndarray, times: int) -> np.ndarray:
    """The multiply-adds' closed form."""
    fixed = loops.OFFSET / (1 - loops.FACTOR)
    return fixed + (x - fixed) * loops.FACTOR**times


def expected(backend: str, kind: str, n: int) -> float:
    """What `n` iterations of a tiny loop return."""
    f = {"exp": np.exp, "log": np.log1p, "tanh": np.tanh, "other": lambda x: chained(x, loops.CHAIN)}[kind]
    x, cores = loops.arguments(TINY.values), usable_cores()
    moved = x + (np.arange(n) % loops.STEPS * loops.STEP)[:, None]
    if backend == "numpy":
        return n * float((loops.FACTOR * x if kind == "other" else f(x)).sum())
    if backend == "c":
        return cores * float(chained(x[: loops.CHAINS], n * TINY.values).sum() if kind == "other" else f(moved).sum())
    return float(f(moved[:, None, :] + loops.offsets(TINY.offsets)[:, None]).sum())


@pytest.mark.parametrize(("backend", "dtype"), CPU_LOOPS)
def test_every_iteration_of_a_loop_is_in_what_it_returns(backend, dtype):
    with jax.enable_x64(dtype == "float64"):
        made_loops = made(backend, dtype)
        for kind in ("exp", "log", "tanh", "other"):
            for n in (1, 2) if kind == "other" else (1, 70):
                for loop in made_loops[kind]:
                    assert loop.run(n) == pytest.approx(expected(backend, kind, n), rel=TOLERANCE[dtype]), (kind, n)
        (loop,) = made_loops["bandwidth"]  # x ← x + 0 + 1 + 2 + 3 + 4, on every core's part of x in C
        assert [loop.run(5), loop.run(5)] == [k * (usable_cores() if backend == "c" else 1) for k in (10, 20)]
        for loop in made_loops.get("products", ()):
            x, reflection = loops._product_operands(32)
            eps = 5 * TOLERANCE[dtype]
            once, twice = (x @ reflection)[0, 0], x[0, 0]
            assert abs(once - twice) > 2 * eps
            assert [loop.run(1), loop.run(2), loop.run(9)] == pytest.approx([once, twice, once], abs=eps)


def test_the_loops_of_accelerators_do_the_same():
    made_loops = loops.jax_loops(jax.devices("cpu")[0], "float32", TINY, None)
    for kind in ("exp", "log", "tanh", "other"):
        for loop in made_loops[kind]:
            assert loop.run(70) == pytest.approx(expected("jax-gpu", kind, 70), rel=TOLERANCE["float32"])
            assert loop.cores is None
    assert [len(made_loops[kind]) for kind in ("products", "products_by_default", "bandwidth")] == [1, 1, 1]


@pytest.mark.parametrize("backend", ["jax-cpu", "c"])  # whose compilers might leave something out
def test_time_grows_with_the_number_of_iterations(backend):
    made_loops = made(backend, "float32", loops.Sizes(2**12, 4, (128,), 2**22))
    for kind in ("exp", "log", "tanh", "other", "products"):
        for loop in made_loops.get(kind, ()):
            n = 1
            while _least_seconds(loop, n) < 4e-3:  # far more than it takes to start
                n *= 2
            growth = _least_seconds(loop, 4 * n) / _least_seconds(loop, n)
            assert 2 < growth < 8, (kind, n, growth)


def _least_seconds(loop: loops.Loop, n: int) -> float:
    """Of a core, as others may keep the machine busy."""
    return min(ceilings._elapsed(replace(loop, cores=1), n) for _ in range(3))


def test_rates_are_sound():
    """Of C and JAX not too far apart; a product in float32 has twice the numbers in a vector of float64."""
    sizes = loops.Sizes(2**12, 4, (512,), 2**16)
    rates = {}
    for backend, dtype in [("jax-cpu", "float32"), ("jax-cpu", "float64"), ("c", "float32"), ("c", "float64")]:
        if backend == "c" and not loops.c_library():
            continue
        with jax.enable_x64(dtype == "float64"):
            for kind, (loop, *_) in made(backend, dtype, sizes).items():
                if kind != "bandwidth":  # memory is shared with whoever else runs
                    rates[backend, dtype, kind] = ceilings.rate(loop, 0.005, 4)
    assert all(math.isfinite(rate) and rate > 1e6 for rate in rates.values())
    for (backend, dtype, kind), rate in rates.items():
        assert 1 / 20 < rate / rates.get(("c", dtype, kind), rate) < 20, (backend, dtype, kind)
    assert rates["jax-cpu", "float32", "products"] > 1.3 * rates["jax-cpu", "float64", "products"]


def test_ceilings_are_measured_once(monkeypatch):
    monkeypatch.setattr(ceilings, "large_array", lambda: 2**24)
    found = ceilings.ceilings("numpy", "float32")
    assert (found.backend, found.dtype, found.products_by_default) == ("numpy", "float32", None)
    rates = [found.products, found.exp, found.log, found.tanh, found.other, found.bandwidth]
    assert all(rate is not None and math.isfinite(rate) and rate > 1e6 for rate in rates)
    assert ceilings.ceilings("numpy", "float32") is found


def test_on_a_cpu_everyone_is_held_against_what_anyone_reached(monkeypatch):
    monkeypatch.setattr(ceilings, "ceilings", lambda backend, dtype: (backend, dtype))
    monkeypatch.setattr(ceilings, "c_library", lambda: True)
    assert ceilings.machine("torch", "float64") == (("jax-cpu", "float64"), ("c", "float64"), ("numpy", "float64"))
    bfloat16 = ("jax-cpu", "bfloat16"), ("c", "float32"), ("numpy", "float32")
    assert ceilings.machine("jax-cpu", "bfloat16") == bfloat16
    assert ceilings.machine("jax-gpu", "float32") == (("jax-gpu", "float32"),)
    monkeypatch.setattr(ceilings, "c_library", lambda: False)
    assert ceilings.machine("numpy", "float32") == (("jax-cpu", "float32"), ("numpy", "float32"))


def test_what_cannot_be_measured_is_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"`backend` is 'torch'; give one of jax-cpu, c, numpy, jax-gpu, jax-tpu"):
        ceilings.ceilings("torch", "float32")
    with pytest.raises(ValueError, match=r"`dtype` is 'bfloat16'; c is measured in one of float32, float64$"):
        ceilings.ceilings("c", "bfloat16")
    with pytest.raises(
        ValueError, match=r"`dtype` is 'int8'; jax-cpu is measured in one of float32, float64, bfloat16"
    ):
        ceilings.ceilings("jax-cpu", "int8")
    monkeypatch.setattr(jax, "devices", lambda platform: (_ for _ in ()).throw(RuntimeError("Unknown backend gpu")))
    with pytest.raises(ValueError, match=r"`backend` is 'jax-gpu', and JAX finds no gpu here \(Unknown backend gpu\)"):
        ceilings.ceilings("jax-gpu", "float32")


def test_c_that_does_not_compile_says_so(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    reason = compile_source("int one(void) { return 1; }")
    assert not reason
    monkeypatch.setattr(ceilings, "c_library", lambda: reason)
    with pytest.raises(ValueError, match=r"`backend` is 'c', and its loops could not be compiled here \(skipped: no C"):
        ceilings.ceilings.__wrapped__("c", "float64")  # whatever was measured before


def plane(name: str, **lines: list[tuple[float, float]]) -> str:
    """A plane of a trace as text: by each line's name the starts and durations of its events, in nanoseconds."""
    text = ""
    for line, events in lines.items():
        inside = "".join(
            f"events {{ metadata_id: 1 offset_ps: {round(1e3 * start)} duration_ps: {round(1e3 * duration)} }} "
            for start, duration in events
        )
        text += f'lines {{ name: "{line}" timestamp_ns: 1000 {inside} }} '
    return f'planes {{ name: "{name}" {text} event_metadata {{ key: 1 value {{ id: 1 name: "kernel" }} }} }} '


def busy(*planes: str) -> float | None:
    return device_time.busy_seconds(ProfileData.from_text_proto("".join(planes)))


def test_a_device_is_busy_while_any_of_its_streams_is():
    streams = {
        "Stream #14(Kernel)": [(500, 100), (0, 200), (100, 200)],
        "Stream #15(MemcpyD2H)": [(150, 50), (580, 40)],
    }
    around = {"XLA Modules": [(0, 5000)], "Steps": [(0, 9000)], "CUPTI overhead": [(700, 90)]}
    host = plane("/host:CPU", python=[(0, 10_000)])
    assert busy(host, plane("/device:GPU:0", **streams, **around)) == pytest.approx((300 + 120) / 1e9)
    other = plane("/device:GPU:1", **{"Stream #7": [(0, 451)]})
    assert busy(host, plane("/device:GPU:0", **streams), other) == pytest.approx(451e-9)
    assert busy(plane("/device:TPU:0", **{"XLA Ops": [(0, 30), (40, 30)]}, **around)) == pytest.approx(60e-9)


def test_without_a_device_there_is_no_device_time():
    assert busy(plane("/host:CPU", python=[(0, 10)])) is None
    assert busy(plane("/device:GPU:0")) is None  # nothing recorded, which is not the same as no time
    calls = []

    def call() -> jax.Array:
        calls.append(1)
        return jnp.ones(1000).sum()

    found = device_time.device_seconds(call)
    assert len(calls) == 2
    assert found is None if jax.default_backend() == "cpu" else found > 0


@pytest.mark.skipif(not pinning.PINS, reason="the system puts threads where it likes")
def test_xlas_threads_get_a_core_each(monkeypatch):
    """In turn, of the cores that this process may use; other threads stay as they are."""
    jnp.arange(8).sum().block_until_ready()
    names = {int(task.name): (task / "comm").read_text() for task in pinning.TASKS.iterdir()}
    pool = sorted(thread for thread, name in names.items() if pinning.POOL in name)
    pinned = {}
    monkeypatch.setattr(pinning.os, "sched_getaffinity", lambda _: {3, 5})
    monkeypatch.setattr(pinning.os, "sched_setaffinity", pinned.__setitem__)
    pinning.pin_threads()
    assert pool and pinned == {thread: {(3, 5)[i % 2]} for i, thread in enumerate(pool)}


@pytest.mark.parametrize("size", [1, 7, 256])
def test_the_c_loop_reads_from_the_beginning_of_a_cache_line(size):
    array = np.arange(size, dtype=np.float64)[::-1]
    aligned = c_loop._aligned(array)
    assert aligned.ctypes.data % c_loop.LINE == 0 and aligned.dtype == np.float32
    np.testing.assert_array_equal(aligned, array)
