"""The benchmark of scaling: a tiny run of everything, its table and JSON; rates, the estimate, wrong answers."""

import json

import jax
import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.harness import timing
from benchmarks.harness.asked import Asked
from benchmarks.reporting import report
from benchmarks.workloads import scaling, store_process

PARTS = ("_processes", "_overhead", "_devices", "_memory", "_many")


@pytest.fixture(autouse=True)
def as_users_write():
    """The networks add biases to batches, as most people do."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture
def compiled_once(monkeypatch, tmp_path_factory):
    """The processes share what they compile: here nobody times it."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def test_a_small_run_prints_a_table_and_writes_json_with_right_answers(compiled_once, tmp_path, capsys):
    assert main(["scaling", "--smoke", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("| ")]
    table = [line for line in lines if line[2:5] not in ("by ", "---")]
    assert {"tiles/s", "µs/tile", "memory"} <= {cell.strip() for line in lines for cell in line.split("|")}
    assert "estimate, not measured: 100 tiles on 8 hosts" in printed and "too small to judge" in printed
    (path,) = tmp_path.iterdir()
    found = json.loads(path.read_text())
    assert path.name.startswith("scaling-") and len(found["rows"]) == len(table)
    assert [row["by"] for row in found["rows"]] == [
        "1 process on one core",
        "2 processes, a core each",
        "in memory",
        "in a new store",
        "put",
        "has",
        "read",
        "1 device of the CPU",
        "2 devices of the CPU",
        "in memory",
        "in a new store",
        "ls.open_surface",
        "evaluate, all tiles there",
        "status",
    ]
    assert all(row["right"] for row in found["rows"])
    assert all(row["relative_error"] < 1e-5 for row in found["rows"] if row["relative_error"] is not None)
    peaks = [row["peak_bytes"] for row in found["rows"] if row["peak_bytes"] is not None]
    assert len(peaks) == 2 and all(1e7 < peak < 4e9 for peak in peaks)
    assert found["targets"] == []


def test_sizes_that_are_judged_have_targets(monkeypatch):
    target = report.Target("opening", 0.5, 1, "s")
    costs = dict.fromkeys(("start", "tile", "put", "has", "read"), 1.0)
    for part in PARTS:
        monkeypatch.setattr(scaling, part, lambda *arguments: scaling.Found())
    monkeypatch.setattr(scaling, "_many", lambda *arguments: scaling.Found((), [target], ["said"], costs))
    found = scaling.run(scaling.FULL, Asked(("jax-cpu",), repeats=1))
    assert found.targets == [target] and found.notes[0] == "said"
    assert "10000 tiles on 64 hosts" in found.notes[1]


def test_the_rate_is_that_while_all_are_at_work():
    """One starts late, one ends late; each takes a second a tile, then two."""
    early = [{"by": "a", "finished": t} for t in (0.0, 1.0, 2.0, 3.0, 4.0)]
    late = [{"by": "b", "finished": t} for t in (2.0, 4.0, 6.0, 8.0)]
    assert scaling.steady(early) == (0.0, 4.0, 1.0)
    assert scaling.steady([*late, *early]) == (2.0, 4.0, 1.5)
    assert np.isnan(scaling.steady([*early, {"by": "c", "finished": 9.0}])[2])


def test_what_came_of_two_processes():
    """Both are at work from 2 to 4, half of the time each on their cores: 2 core seconds for 3 tiles."""
    records = [{"by": "a", "finished": t, "seconds": 1.0} for t in (1.0, 2.0, 3.0, 4.0, 5.0)]
    records += [{"by": "b", "finished": t, "seconds": 1.0} for t in (2.0, 4.0, 6.0)]
    one = {"risk": [1.0], "digest": "d", "threads": 1, "samples": [(0.0, 0.0), (8.0, 4.0)]}
    found = scaling._filled(0.5, [one, one], records)
    assert (found["rate"], found["first"], found["tile"], found["digest"]) == (1.5, 0.5, 1.0, "d")
    assert found["core"] == pytest.approx(2 / 3)
    assert scaling._filled(0.5, [one, one | {"digest": "e"}], records)["digest"] not in ("d", "e")


def test_the_estimate_is_the_formula():
    """⌈10/4⌉ = 3 tiles of its own, one more, and every tile is asked for and read."""
    costs = scaling.Costs(start=5.0, tile=1.0, put=0.25, has=0.01, read=0.02)
    assert scaling.estimate(costs, tiles=10, hosts=4) == pytest.approx(5 + 4 * 1.25 + 10 * 0.03)


@pytest.mark.parametrize(("other", "right"), [("same", True), ("another", False)])
def test_answers_that_differ_in_a_bit_are_wrong(monkeypatch, other, right):
    problem = store_process.perceptron(3, 10, 2, 4)
    monkeypatch.setattr(scaling.plain_loop, "truth", lambda *arguments: [np.ones(16)])

    def at(digest):
        return timing.Timed(1.0, np.ones(1), np.ones(1), [{"digest": digest, "risk": [1.0] * 16}])

    times, rates = {1: at("same"), 2: at(other)}, {1: np.ones(1), 2: np.full(1, 2.0)}
    rows = scaling._rows("title", problem, {1: "one", 2: "two"}, times, rates)
    assert [row.right for row in rows] == [right, right]
    assert [row.tiles_a_second for row in rows] == [1.0, 2.0]


def test_a_grid_has_the_tiles_it_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(store_process._plan, "plan", store_process._plan.plan)
    problem = store_process._tiled(store_process.perceptron(3, 10, 4, 8), 8)
    stored = store_process._evaluate(problem, store=str(tmp_path / "store"))
    assert store_process._evaluate(problem).attrs["tile_shape"] == stored.attrs["tile_shape"] == [4, 4]
    assert store_process.open_store(tmp_path / "store").manifest.tiling.count == 8
    risks = store_process._answer(problem, stored)["risk"]
    assert len(risks) == len(problem.cells[:: store_process.every(problem)])


def test_a_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match=r"`fill` failed:\n(.|\n)*TypeError"):
        store_process.ask(("fill", {}))
