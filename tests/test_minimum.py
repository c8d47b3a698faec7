"""`minimum`: the least finite value, where it is, and whether the window holds a minimum at all."""

import numpy as np
import pytest
import xarray as xr

import landscape as ls
from tests import problems

PAIR = ls.neuron(*ls.datasets.pair())
PLANE = ls.axes_plane(PAIR.params, "w", "b")


def surface(values, **axes):
    """A surface with these objectives."""
    return xr.Dataset({"objective": (tuple(axes), np.asarray(values, float))}, axes)


def test_the_minimizers_of_the_pair_to_the_grids_spacing():
    """l2 and l1 of the table, all in one sweep; b* = 0; without a penalty the least value lies on the border."""
    axes = {"w": np.linspace(-0.97, 6.0, 140), "b": np.linspace(-1.5, 1.5, 61)}
    spacing = axes["w"][1] - axes["w"][0]
    penalties = {f"l2({s})": ls.l2(s) for s in problems.PAIR_L2} | {f"l1({s})": ls.l1(s) for s in problems.PAIR_L1}
    swept = ls.evaluate(PAIR, PLANE, axes, penalties=penalties | {"none": ls.none()})
    best = ls.minimum(swept)
    expected = [w for w, _, _ in problems.PAIR_L2.values()] + list(problems.PAIR_L1.values())
    assert best.w.dims == ("penalty",) and best.penalty.values.tolist() == [*penalties, "none"]
    assert (np.abs(best.w[:-1] - expected) <= spacing).all()
    assert (best.b[:-1] == 0).all()
    assert best.interior.values.tolist() == [True] * len(expected) + [False]
    assert float(best.w[-1]) == 6.0
    np.testing.assert_allclose(best.strength[:-1], [*problems.PAIR_L2, *problems.PAIR_L1])
    # The least value of a grid is above the true one by at most the curvature's share: ½·(¼ + 2λ)·spacing².
    for i, (strength, (_, _, objective)) in enumerate(problems.PAIR_L2.items()):
        excess = float(best.objective[i]) - objective
        assert -1e-6 <= excess <= 0.5 * (0.25 + 2 * strength) * spacing**2 + 1e-6


def test_strong_l1_is_zero_exactly():
    """On a grid that holds 0."""
    penalties = {"λ=0.5": ls.l1(0.5), "λ=1": ls.l1(1.0)}
    axes = {"w": np.linspace(-1, 1, 41), "b": np.linspace(-0.5, 0.5, 21)}
    best = ls.minimum(ls.evaluate(PAIR, PLANE, axes, penalties=penalties))
    assert best.w.values.tolist() == best.b.values.tolist() == [0.0, 0.0]
    np.testing.assert_allclose(best.objective, np.log(2), rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "where", "interior"),
    [
        ([[9, 9, 9], [9, 1, 9], [9, 9, 9]], (1, 1), True),
        ([[9, 9, 9], [9, 2, 1], [9, 9, 9]], (1, 2), False),
        ([[9, 0, 9], [9, 2, 1], [9, 9, 9]], (0, 1), False),
        ([[9, 9, 9], [9, np.nan, 3], [9, -np.inf, 9]], (1, 2), False),
        ([[np.nan, 9, 9], [9, 5, 9], [9, 9, np.inf]], (1, 1), True),
        ([[np.nan, 9, 9], [9, 5, 9], [9, np.inf, 9]], (1, 1), False),
        ([[9, 9, 9], [9, 1, 1], [9, 9, 9]], (1, 1), False),
    ],
)
def test_the_border_is_no_interior_and_nan_is_no_minimum(values, where, interior):
    """Nor is a cell beside one that is not finite, or one of several that reach the border.

    −∞ is no minimum: a cell that is not finite is a finding.
    """
    u, v = np.array([-1.0, 0.0, 5.0]), np.array([10.0, 20.0, 40.0])
    best = ls.minimum(surface(values, u=u, v=v))
    assert (float(best.u), float(best.v)) == (u[where[0]], v[where[1]])
    assert bool(best.interior) is interior
    assert float(best.objective) == values[where[0]][where[1]]


def test_an_axis_of_one_position_has_no_border():
    """Restricted to ‖w‖ = 1, the minimum over the other axis counts."""
    assert bool(ls.minimum(surface([[3, 1, 2]], w=[1.0], t=[0.0, 1.0, 2.0])).interior)
    assert not bool(ls.minimum(surface([[1, 3, 2]], w=[1.0], t=[0.0, 1.0, 2.0])).interior)


def test_any_variable_of_any_number_of_dimensions():
    """Other variables, one dimension, three."""
    line = ls.evaluate(PAIR, ls.Polar(PLANE), {"log_scale": [0.0], "angle": np.linspace(-1, 1, 21)})
    assert float(ls.minimum(line.isel(log_scale=0, drop=True), "risk").angle) == pytest.approx(0.0, abs=1e-12)
    cube = np.arange(27.0).reshape(3, 3, 3)
    cube[1, 1, 2] = -1.0
    best = ls.minimum(surface(cube, a=[0, 1, 2], b=[3, 4, 5], c=[6, 7, 8]))
    assert (int(best.a), int(best.b), int(best.c), bool(best.interior)) == (1, 4, 8, False)


def test_bad_input():
    with pytest.raises(ValueError, match="`variable` is 'loss', which the surface has not; it has objective"):
        ls.minimum(surface([1.0], u=[0.0]), "loss")
    with pytest.raises(ValueError, match=r"`objective` is nowhere finite on this grid; look at `surface.finite`"):
        ls.minimum(surface([np.nan, np.inf], u=[0.0, 1.0]))
