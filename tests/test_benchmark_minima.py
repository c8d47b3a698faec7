"""The benchmark of minima: a tiny run, its table and JSON; data as they are built; residuals and what is wrong."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

import landscape as ls
from benchmarks.__main__ import main
from benchmarks.studies import minima


def test_a_quick_run_prints_a_table_and_writes_json_with_right_answers(tmp_path, capsys):
    assert main(["minima", "--smoke", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("| ")]
    table = [line for line in lines if line[2:5] not in ("by ", "---")]
    assert {"residual", "relative", "stated"} <= {cell.strip() for line in lines for cell in line.split("|")}
    assert "too small to judge" in printed
    (path,) = tmp_path.iterdir()
    found = json.loads(path.read_text())
    rows = found["rows"]
    assert path.name.startswith("minima-") and len(rows) == len(table) == 12 and found["targets"] == []
    assert all(row["right"] for row in rows)
    own = [row for row in rows if row["by"] == "ls.critical_points"]
    assert len(own) == 2 and all(row["relative_error"] <= row["stated_error"] < 1e-8 for row in own)
    paths = {row["by"]: row["residual"] for row in rows if row["residual"] is not None and "cancer" in row["workload"]}
    assert paths["ls.penalty_path"] < 1e-12 < paths["saga, tol=0.01"]
    assert [row["workload"].split("separation ")[1] for row in rows[-3:]] == ["none", "complete", "quasi-complete"]


def test_sizes_that_are_judged_have_targets(monkeypatch):
    monkeypatch.setattr(minima, "busy", lambda where: ["busy"])
    monkeypatch.setattr(minima, "_critical_points", lambda sizes, repeats: ([], []))
    found = minima.run(replace(minima.SMOKE, judged=True), 1, print)
    assert found.notes[-1] == "busy"
    saga, *attained = found.targets
    assert "saga, tol=0.01" in saga.claim and saga.more and saga.limit == 1 and saga.value > 0
    assert len(attained) == 3 and all(target.limit == 10 and target.met for target in attained)


@pytest.mark.parametrize(("n", "d"), [(200, 3), (1000, 20)])
def test_data_are_separable_as_they_are_built(n, d):
    for kind, (x, y) in minima._built(n, d).items():
        assert x.shape == (n, d) and set(y) == {0, 1}
        with jax.enable_x64(True):
            assert ls.attainment(ls.neuron(x, y)).separation == kind


def test_a_verdict_that_differs_is_wrong(monkeypatch):
    built = minima._built(60, 2)
    monkeypatch.setattr(minima, "_built", lambda n, d: {"complete": built["none"], "none": built["none"]})
    assert [row.right for row in minima._attainment(minima.SMOKE, 1)[0]] == [False, True]


def test_residuals_are_the_least_subgradients_norm():
    x, y = np.array([[-1.0], [1.0]]), np.array([0.0, 1.0])
    paths = np.array([[0.0, 0.0], [0.0, 0.3], [1.0, 0.0]])
    strengths = np.array([0.5, 0.5, 0.25])

    def mean(z):
        return 1 / (1 + np.exp(-z))

    def own(i, subgradient):
        return minima._residual(paths[i : i + 1], x, y, strengths[i : i + 1], mean) == pytest.approx(subgradient)

    assert own(0, 0.0)  # from λ = ½ on both are 0
    assert own(1, mean(0.3) - 0.5)
    assert own(2, abs(0.25 - mean(-1.0)))


def test_a_point_that_is_no_zero_strays(x64):
    x, y = np.array([-1.0, 0.5, 2.0]), np.array([0.0, 1.0, 0.0])
    found = ls.critical_points(ls.neuron(x, y), {"w": np.zeros(1), "b": np.zeros(1)})
    slope = minima.SLOPES["cross_entropy"]
    ((stray, stated),) = minima._strays(found, slope, x, y)
    assert stray <= stated < 1e-12
    moved = replace(found, params={"w": found.params["w"] + 0.01, "b": found.params["b"]})
    ((stray, stated),) = minima._strays(moved, slope, x, y)
    assert stray > 1e-3 > stated


def test_slopes_are_those_of_the_losses(x64):
    x, y, theta = np.array([0.3, -2.0]), np.array([1.0, 0.2]), np.array([0.7, -0.4])

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    for loss, slope in minima.SLOPES.items():
        objective = ls.neuron(x, y, loss=loss)
        gradient = jax.grad(objective.risk)({"w": theta[0], "b": theta[1]})
        slopes = slope(theta[0] * x + theta[1], y, sigmoid)
        np.testing.assert_allclose([gradient["w"], gradient["b"]], [np.mean(slopes * x), np.mean(slopes)], rtol=1e-12)
