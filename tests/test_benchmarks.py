"""The benchmarks: a tiny run of everything, its table and JSON; right and wrong answers; no compiler."""

import json

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.contestants import c_loop, numpy_loop
from benchmarks.harness import report, timing
from benchmarks.workloads import neuron

lenient = pytest.mark.lenient("optax's Adam raises a float32 to an int32 power")


@lenient
def test_a_quick_run_prints_a_table_and_writes_json_with_small_errors(tmp_path, capsys):
    assert main(["neuron", "--quick", "--out", str(tmp_path)]) == 0
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("neuron-")
    found = json.loads(path.read_text())
    assert len(found["rows"]) == len(table) - 2
    assert {"processor", "usable_cores", "memory_gib", "packages", "devices", "threads"} <= set(found["environment"])
    checked = [row for row in found["rows"] if row["absolute_error"] is not None]
    assert {row["by"] for row in checked} >= {"JAX float32", "JAX float64"}
    for row in checked:
        assert row["right"], row
        assert row["absolute_error"] < (1e-12 if row["by"] == "JAX float64" else 1e-3), row


@lenient
def test_a_quick_run_of_compression(tmp_path, capsys):
    assert main(["compression", "--quick", "--out", str(tmp_path)]) == 0
    (path,) = tmp_path.iterdir()
    rows = json.loads(path.read_text())["rows"]
    assert {row["by"] for row in rows} >= {"JAX float32, compressed", "JAX float64, compressed", "JAX float32, exact"}
    assert all(row["right"] for row in rows)


def test_without_a_compiler_the_c_loop_is_skipped_with_a_word(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    for other in ("_sweep", "_descent", "_starting"):
        monkeypatch.setattr(neuron, other, lambda *arguments: ([], []))
    found = neuron.run(neuron.QUICK, 1, print)
    assert {row.by for row in found.rows} == {"NumPy float64", "JAX float32", "JAX float64"}
    assert all(row.share_of_c is None for row in found.rows)
    assert "skipped: no C compiler (no-such-compiler is not on the path)" in report.markdown(found)


def test_a_compiler_that_fails_is_skipped_with_its_message(monkeypatch, tmp_path):
    broken = tmp_path / "broken-cc"
    broken.write_text("#!/bin/sh\necho 'cannot do that' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    loop = c_loop.compile_c()
    assert not loop
    assert "cannot do that" in loop.compiler


def test_a_wrong_answer_is_shown_as_wrong_and_fails_the_run(monkeypatch, capsys):
    def run(*arguments):
        timed = timing.race({"late": lambda: [1.1]}, repeats=1)["late"]
        row = report.row("sum", "late", timed, **report.errors(timed.answer, [1.0], 1e-3, 1e-3))
        return report.Report("neuron", {}, [row], [], [], {"processor": "p", "usable_cores": 1, "compiler": "c"})

    monkeypatch.setattr(neuron, "run", run)
    assert main(["neuron", "--quick"]) == 1
    assert "WRONG: 1.0e-01" in capsys.readouterr().out


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
