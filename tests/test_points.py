"""Scattered points on a chart: the numbers of a grid, in one program, however many there are."""

import jax
import numpy as np
import pytest

import landscape as ls
from landscape.surfaces._task import LISTED
from landscape.surfaces.evaluate import evaluate_at
from tests.closeness import assert_close

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 3)).astype(np.float32)
WIDE = ls.neuron(X, (X[:, 0] > 0).astype(np.float32), penalty=ls.l2(0.1))
PLANE = ls.axes_plane(WIDE.params, "w[0]", "b")
POINTS = RANDOM.uniform(-2, 2, (2 * LISTED + 3, 2))
WANTED = ("risk_stderr", "gradient_norm", "slope", "plane_hessian")
PENALTIES = {"none": ls.none(), "l2": ls.l2(0.1), "l1": ls.l1(0.3)}


def assert_same(got, true):
    """All variables, to rounding of sums in another order."""
    for name, values in true.drop_vars("finite").data_vars.items():
        assert_close(got[name].to_numpy(), values.to_numpy(), eps=32, scale=0.1)
    assert (got.finite == true.finite).all()


@pytest.mark.parametrize("count", [1, 2, LISTED - 1, LISTED, LISTED + 1, 2 * LISTED + 3])
def test_each_is_the_cell_of_a_grid(count):
    got = evaluate_at(WIDE, PLANE, POINTS[:count], quantities=WANTED, penalties=PENALTIES)
    assert got.sizes["evaluation"] == count
    np.testing.assert_array_equal(np.stack([got["w[0]"], got.b], axis=1), POINTS[:count])
    for i in {0, count // 2, count - 1}:
        axes = {"w[0]": POINTS[i, :1], "b": POINTS[i, 1:]}
        cell = ls.evaluate(WIDE, PLANE, axes, quantities=WANTED, penalties=PENALTIES).squeeze(["w[0]", "b"])
        assert_same(got.isel(evaluation=i), cell)


@pytest.mark.parametrize("options", [{"batch_size": 7}, {"memory": 2**20}])
def test_in_batches(options):
    got = evaluate_at(WIDE, PLANE, POINTS, quantities=WANTED, **options)
    whole = evaluate_at(WIDE, PLANE, POINTS, quantities=WANTED)
    assert_same(got, whole)


def test_one_program_for_any_number(compilations):
    evaluate_at(WIDE, PLANE, POINTS[:5])
    with compilations() as tally:
        for count in (1, 17, LISTED, LISTED + 9):
            evaluate_at(WIDE, PLANE, POINTS[-count:])
    assert tally.count == 0


def test_they_are_stored(tmp_path):
    whole = evaluate_at(WIDE, PLANE, POINTS, store=str(tmp_path / "p.zarr"))
    assert ls.open_surface(tmp_path / "p.zarr").identical(whole)
    assert_close(whole.risk.to_numpy(), evaluate_at(WIDE, PLANE, POINTS).risk.to_numpy())


def test_in_float64():
    with jax.enable_x64(True):
        wide = ls.neuron(X.astype(np.float64), (X[:, 0] > 0).astype(np.float64))
        plane = ls.axes_plane(wide.params, "w[0]", "b")
        found = ls.interpolate(wide, plane, {"w[0]": (-2, 2), "b": (-1, 3)}, tolerance=1e-9)
        assert found.converged and found.data.attrs["dtype"] == "float64"
        got = found.on({"w[0]": POINTS[:3, 0], "b": [0.5]})
        for i, w in enumerate(POINTS[:3, 0]):
            true = wide.risk({"w": np.array([w, 0.0, 0.0]), "b": np.array(0.5)})
            assert float(got.risk[i, 0]) == pytest.approx(float(true), abs=2 * found.errors["risk"])
