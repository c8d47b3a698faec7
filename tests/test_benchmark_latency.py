"""The benchmark of latency: a tiny run of everything, its table and JSON; what it compares with; wrong answers."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from benchmarks.harness.asked import Asked
from benchmarks.reporting import report
from benchmarks.workloads import latency

SURFACE = "landscape", "landscape, empty cache of programs", "landscape, filled cache of programs"


def test_a_tiny_run_gives_a_table_and_json_with_right_answers(tmp_path):
    asked = Asked(("jax-cpu",), ("float32",), 1, lambda line: None)
    found = latency.run(latency.SMOKE, asked)
    printed = report.markdown(found)
    table = [line for line in printed.splitlines() if line.startswith("| ") and line[2:5] not in ("by ", "---")]
    assert "too small to judge" in printed
    path = report.write(found, tmp_path)
    rows = json.loads(path.read_text())["rows"]
    assert path.name.startswith("latency-") and len(rows) == len(table)
    computed = [row for row in rows if row["absolute_error"] is not None]
    assert [row["by"] for row in computed[:3]] == list(SURFACE)
    assert [row["by"] for row in computed[3:]] == [
        "ls.evaluate, first call",
        "ls.evaluate, second call",
        "ls.evaluate, new objective on other data",
        "ls.descend, first call",
        "ls.descend, second call",
    ]
    assert all(row["right"] and row["relative_error"] < 1e-5 for row in computed)
    first, second, *_ = (row["core_time"] for row in computed[3:])
    assert second < first  # which compiles


def test_each_promise_is_judged(monkeypatch, tmp_path):
    seconds = iter([0.1, 1.2, 1.0, 3.0, 3.0, 2.0, 1.0])

    def rounds(calls, repeats):
        times = {name: np.array([next(seconds)] * repeats) for name in calls}
        return {name: latency.Timed(own[0], own, own, []) for name, own in times.items()}

    monkeypatch.setattr(latency, "rounds", rounds)
    monkeypatch.setattr(latency, "started", lambda *command, **options: lambda: "")
    monkeypatch.setattr(latency, "_pair_errors", lambda folders: {})
    targets = [*latency._starting(2).targets, *latency._cold(2).targets]
    assert [(target.value, target.limit, target.met) for target in targets] == [
        (0.1, 0.15, True),
        (1.2, 1.3, True),
        (3.0, 2.0, False),
    ]


def test_nothing_is_measured_where_the_cpu_was_not_asked_for():
    asked = Asked(("numpy",), ("float32",), 1, lambda line: None)
    assert latency.run(latency.SMOKE, asked).rows == []


def test_a_wrong_surface_is_seen(monkeypatch):
    right = latency.evaluated
    monkeypatch.setattr(latency, "evaluated", lambda objective, sizes: right(objective, sizes) + 1e-3)
    rows = latency._calls(latency.SMOKE, 1).rows
    assert [row.right for row in rows] == [False, False, False, True, True]


def test_descent_in_numpy_is_that_of_optax():
    """The truth that `ls.descend` is compared with, by another way: optax's own update."""
    data = latency.noise(3, 8)
    with jax.enable_x64(True):
        x, y = (jnp.asarray(part, jnp.float64) for part in data)
        losses = jax.value_and_grad(lambda p: jnp.mean(jnp.logaddexp(0, p[0] * x + p[1]) - y * (p[0] * x + p[1])))
        optimizer, params, wanted = optax.sgd(latency.RATE), jnp.ones(2, jnp.float64), []
        state = optimizer.init(params)
        for _ in range(4):
            value, gradient = losses(params)
            wanted.append(float(value))
            updates, state = optimizer.update(gradient, state)
            params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(latency.steps_of(data, 3), wanted, rtol=1e-12)


def test_programs_are_counted():
    with latency.counted() as programs:
        jax.jit(lambda x: x + 1)(np.arange(3, dtype=np.float32))
    jax.jit(lambda x: x + 2)(np.arange(3, dtype=np.float32))
    assert programs.count == 1


def test_a_program_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"(?s)-c .* failed:.*ZeroDivisionError"):
        latency.started(str(tmp_path), sys.executable, "-c", "1 / 0")()
