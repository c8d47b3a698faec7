"""The benchmark of trainability: a tiny run, what it is judged by, and the check of its answers."""

from dataclasses import replace

import numpy as np
import xarray

import landscape as ls
from benchmarks.reporting import report
from benchmarks.studies import trainability


def test_a_quick_run_has_right_answers_and_one_that_is_judged_an_estimate(monkeypatch):
    monkeypatch.setattr(trainability, "busy", lambda where: ["busy"])
    found = trainability.run(replace(trainability.SMOKE, judged=True), 1, lambda line: None)
    assert all(row.right for row in found.rows) and found.rows[0].relative_error < 1e-5
    (target,) = found.targets
    assert target.claim == "512 × 512 learning rates, 30 steps, estimated" and target.limit == 10
    assert target.value == found.rows[0].median * (512 / 6) ** 2 / 60
    assert found.notes[-1] == "busy" and "products and sums" in found.notes[1]
    assert "relative" in report.markdown(found)


def test_the_network_as_sums_is_the_same_and_wrong_sums_are_found():
    start, batch = trainability._drawn()
    objective, sums = (
        ls.Objective(losses, batch, params=start) for losses in (trainability.losses, trainability.losses_as_sums)
    )
    np.testing.assert_allclose(objective.risk(start), sums.risk(start), rtol=1e-5)
    exact = trainability._numpy(1.0, 2.0, start, batch, 1)
    assert exact == 1.0  # J₀/J₀
    wrong = xarray.Dataset({"measure": (("eta1", "eta2"), [[1.01]])}, {"eta1": [1.0], "eta2": [2.0]})
    assert trainability._error(wrong, start, batch, 1) > 9e-3
