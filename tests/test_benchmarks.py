"""The benchmarks: a tiny run of everything, its table and JSON; right and wrong answers; no compiler."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.contestants import c_loop, numpy_loop
from benchmarks.harness import asked, cost, timing
from benchmarks.harness.asked import Asked
from benchmarks.machine import device_time
from benchmarks.machine.environment import environment
from benchmarks.reporting import report
from benchmarks.workloads import neuron, planes

lenient = pytest.mark.lenient("optax's Adam raises a float32 to an int32 power")


ALONE = Asked(("numpy", "jax-cpu", "c"), repeats=1, progress=lambda line: None)


def test_a_small_run_prints_a_table_and_writes_json_with_errors_and_bounds(tmp_path, capsys):
    options = ["--smoke", "--backends", "numpy,jax-cpu,jax-tpu,c", "--repeats", "1"]
    assert main(["neuron", *options, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "absent: jax-tpu: " in printed and "too small to judge" in printed
    table = [line for line in printed.splitlines() if line.startswith("| ") and line[2:5] not in ("by ", "---")]
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("neuron-")
    found = json.loads(path.read_text())
    assert len(found["rows"]) == len(table) and "on the CPU use jax-cpu " in printed
    assert {"processor", "usable_cores", "memory_gib", "packages", "devices", "variables"} <= set(found["environment"])
    by = {row["by"] for row in found["rows"]}
    assert by >= {
        "numpy float64",
        "jax-cpu float32",
        "jax-cpu float64",
        "jax-cpu bfloat16",
        "jax-cpu float32, compressed",
    }
    for row in found["rows"]:
        limit = {"float32": 1e-3, "float64": 1e-12, "bfloat16": 0.2}[row["dtype"]]
        assert row["right"] and row["absolute_error"] < limit, row
        assert row["bound"] > 0 and row["over_bound"] == pytest.approx(row["median"] / row["bound"])
        assert row["binding"] in ("bytes", "exp", "log", "other")
    assert found["environment"]["ceilings"]["jax-cpu float32"]["exp"] > 1e6


@lenient
def test_a_small_run_of_compression(tmp_path, capsys):
    assert main(["compression", "--smoke", "--out", str(tmp_path)]) == 0
    (path,) = tmp_path.iterdir()
    rows = json.loads(path.read_text())["rows"]
    assert {row["by"] for row in rows} >= {"JAX float32, compressed", "JAX float64, compressed", "JAX float32, exact"}
    assert all(row["right"] for row in rows)


@pytest.fixture
def fresh():
    """What machines have is looked up anew, here and afterwards."""
    caches = asked.missing, c_loop.compile_c
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


def test_without_a_compiler_the_c_loop_is_absent_with_a_reason(monkeypatch, fresh):
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setattr(neuron, "_sweep", lambda *arguments: neuron.Part())
    found = neuron.run(neuron.SMOKE, ALONE)
    assert {row.backend for row in found.rows} == {"numpy", "jax-cpu"}
    assert "absent: c: skipped: no C compiler (no-such-compiler is not on the path)" in found.notes


def test_a_compiler_that_fails_is_skipped_with_its_message(monkeypatch, tmp_path):
    broken = tmp_path / "broken-cc"
    broken.write_text("#!/bin/sh\necho 'cannot do that' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    loop = c_loop.compile_c()
    assert not loop
    assert "cannot do that" in loop.compiler


@pytest.mark.parametrize(("ours", "status"), [(True, 1), (False, 0)])
def test_a_wrong_answer_is_shown_as_wrong_and_fails_the_run_if_it_is_ours(ours, status, monkeypatch, capsys):
    def run(*arguments):
        timed = timing.race({"late": lambda: [1.1]}, repeats=1)["late"]
        row = report.row("sum", "late", timed, ours=ours, **report.errors(timed.answer, [1.0], 1e-3, 1e-3))
        return report.Report("neuron", {}, [row], [], [], environment("no compiler"))

    monkeypatch.setattr(neuron, "run", run)
    assert main(["neuron", "--smoke"]) == status
    assert "WRONG: 1.0e-01" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["neurons"], "there is no 'neurons'; give one of neuron, planes"),
        (["--backends", "jax-cpu,cuda"], "there is no 'cuda'; give one of numpy, jax-cpu"),
        (["--dtypes", "float16"], "there is no 'float16'; give one of float32, float64, bfloat16"),
        (["--repeats", "0"], "0 repeats; give a number, 1 or more"),
        (["compression"], "compression is a study, which has no quick sizes: give --full"),
        (["--quick", "--full"], "not allowed with argument"),
    ],
)
def test_what_is_not_there_is_refused(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(neuron, "run", lambda *arguments: pytest.fail("measured"))
    with pytest.raises(SystemExit):
        main(["neuron", "--smoke", "--out", str(tmp_path / "file")])
    assert "nothing can be written there" in capsys.readouterr().err


def made(name):
    """A report of one row."""
    timed = timing.race({"": lambda: 1.0}, repeats=1)[""]
    return report.Report(name, {}, [report.row("one", "by", timed)], [], [], environment())


def test_an_interrupted_run_keeps_what_was_finished(tmp_path, monkeypatch, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(neuron, "run", lambda *arguments: made("neuron"))
    monkeypatch.setattr(planes, "run", interrupted)
    options = ["--smoke", "--backends", "jax-cpu", "--out", str(tmp_path)]
    assert main(["neuron", "planes", "latency", *options]) == 130
    assert "interrupted: what was finished is kept" in capsys.readouterr().err
    assert [path.name.split("-")[0] for path in tmp_path.iterdir()] == ["neuron"]


def test_results_of_a_part_do_not_take_the_place_of_those_of_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(neuron, "run", lambda *arguments: made("neuron"))
    monkeypatch.setattr("benchmarks.__main__.RESULTS", tmp_path)
    assert main(["neuron", "--full", "--dtypes", "float32"]) == main(["neuron", "--full", "--repeats", "1"]) == 0
    assert list(tmp_path.iterdir()) == []
    assert main(["neuron", "--full"]) == 0
    assert len(list(tmp_path.iterdir())) == 1


def test_only_what_was_asked_for_runs():
    found = neuron.run(neuron.SMOKE, replace(ALONE, backends=("jax-cpu",), dtypes=("float64",)))
    assert {row.by for row in found.rows} == {"jax-cpu float64"}


SIZES = {"much": 3_000_000, "again": 3_000_000, "little": 10}


def test_compilation_and_memory_are_counted_apart():
    with cost.counted() as taken:
        jax.jit(lambda x: jnp.sin(x) + 1)(np.float32(1))
    with cost.counted() as nothing:
        pass
    assert taken.compiling > 0 and nothing.compiling == 0
    timed = timing.race({name: lambda size=size: np.ones(size).sum() for name, size in SIZES.items()}, 2, memory=True)
    for name, size in SIZES.items():
        if (peak := timed[name].cost.peak_bytes) is not None:  # Linux
            assert 8 * size - 1e6 < peak < 8 * size + 5e6, name
    assert device_time.covered([(0.0, 2.0), (1.0, 3.0), (1.2, 1.5), (5.0, 6.0)]) == 4


def test_numpy_and_c_agree_with_the_plain_formula():
    grid = neuron.make_grid(5, 4, 16)
    z = grid.cells[:, :1].astype(np.float64) * grid.x + grid.cells[:, 1:]
    losses = np.logaddexp(0, z) - grid.y * z
    slopes = 1 / (1 + np.exp(-z)) - grid.y
    norms = np.hypot((slopes * grid.x).mean(axis=1), slopes.mean(axis=1))
    wanted = np.stack([losses.mean(axis=1), norms])
    np.testing.assert_allclose(numpy_loop.grid(grid.cells, grid.x, grid.y, True), wanted, rtol=1e-12)
    if loop := c_loop.compile_c():
        np.testing.assert_allclose(loop.run("risk_and_gradient", grid.cells, grid.x, grid.y), wanted, rtol=2e-5)
        np.testing.assert_allclose(loop.run("risk", grid.cells, grid.x, grid.y)[0], wanted[0], rtol=2e-5)


def test_the_c_loop_leaves_denormal_numbers_alone():
    c_loop.compile_c()
    assert np.float64(5e-324) * np.float64(1) > 0


def test_errors_are_against_the_right_answer_and_nan_is_wrong():
    columns = report.errors([1.0, 2.002], [1.0, 2.0], relative=1e-4, absolute=1e-6)
    assert columns["absolute_error"] == pytest.approx(2e-3)
    assert columns["relative_error"] == pytest.approx(1e-3)
    assert not columns["right"]
    assert report.errors([1.0, 2.0001], [1.0, 2.0], relative=1e-4, absolute=1e-6)["right"]
    assert not report.errors([np.nan], [1.0], relative=1e-4, absolute=1e-6)["right"]


def test_targets_are_met_from_the_right_side():
    assert report.Target("fast", 9.0, 8.0, "×", more=True).met
    assert not report.Target("fast", 7.0, 8.0, "×", more=True).met
    assert report.Target("short", 0.1, 0.15, "s").met
    assert not report.Target("short", 0.2, 0.15, "s").met


def test_contestants_take_turns_and_keep_their_first_answer():
    calls = []
    times = timing.race({name: lambda name=name: calls.append(name) or len(calls) for name in "AB"}, repeats=2)
    assert "".join(calls) == "ABABAB"
    assert [times["A"].answer, times["B"].answer] == [1, 2]
    assert times["A"].seconds.shape == (2,)
    assert timing.ratio(times["A"], times["A"]) == 1


def test_a_program_that_fails_is_not_timed():
    with pytest.raises(RuntimeError, match="failed"):
        timing.process("python3", "-c", "raise SystemExit(3)")()
