"""Pictures of spectra: line, band and marks where the results have them; a known density drawn alike; refusals."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from pictures import closed, legend_labels, rendered  # noqa: F401  the first is a fixture

from landscape.operators.spectral_density import SpectralDensity
from landscape.operators.top_eigenpairs import Eigenpairs
from landscape.plot import style
from landscape.plot.spectrum import spectrum

VALUES = np.array([-0.2, 0.0, 0.0, 0.0, 0.1, 0.2, 1.0, 3.0])  # all eigenvalues of a matrix
GRID, WIDTH = np.linspace(-1, 4, 501), 0.05
PEAK = 1 / (len(VALUES) * WIDTH * np.sqrt(2 * np.pi))


def density(probes=3):
    """Probes whose nodes are the eigenvalues, with weights around 1/p."""
    weights = np.random.default_rng(0).uniform(0.5, 1.5, (probes, len(VALUES)))
    weights /= weights.sum(axis=1, keepdims=True)
    return SpectralDensity(np.tile(VALUES, (probes, 1)), weights, "Hessian", len(VALUES), ())


def pairs(converged=(True, False)):
    values = np.array([3.0, 1.0])
    return Eigenpairs(values, {}, np.zeros(2), np.array(converged), 9, "Hessian", len(VALUES), ())


def test_line_and_band_are_the_density_and_two_standard_errors():
    data = density().density(GRID, WIDTH)
    figure = spectrum(data)
    (axes,) = figure.axes
    (line,) = axes.lines
    inside = data.density.values > 1e-3
    np.testing.assert_array_equal(line.get_xdata(), GRID)
    np.testing.assert_array_equal(line.get_ydata()[inside], data.density.values[inside])
    (band,) = (c for c in axes.collections if isinstance(c, PolyCollection))
    corners = band.get_paths()[0].vertices
    at = np.abs(GRID - 3).argmin()
    drawn = sorted(set(corners[np.isclose(corners[:, 0], GRID[at]), 1]))
    wanted = data.density.values[at] + np.array([-2, 2]) * data.density_stderr.values[at]
    np.testing.assert_allclose(drawn, wanted)
    assert axes.get_yscale() == "log" and axes.get_xlim() == (-1, 4)
    assert axes.get_ylim()[0] == pytest.approx(PEAK / 10) and axes.get_ylim()[1] > data.density.max()
    assert axes.get_xlabel() == "eigenvalue of the Hessian" and axes.get_ylabel() == "density"
    assert legend_labels(figure) == {"3 probes of 8 products", "±2 s.e."}
    assert rendered(figure) == rendered(spectrum(data))


def test_a_result_is_drawn_as_its_density_and_one_probe_has_no_band():
    found = density(probes=1)
    (axes,) = spectrum(found).axes
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), found.density().eigenvalue)
    assert not [c for c in axes.collections if isinstance(c, PolyCollection)]
    assert np.isfinite(axes.lines[0].get_ydata()).all() and (axes.lines[0].get_ydata() > 0).all()


def test_all_eigenvalues_are_smoothed_alike():
    """With equal weights the density of the probes is the exact one: one line on the other."""
    equal = SpectralDensity(VALUES[None], np.full((1, len(VALUES)), 1 / len(VALUES)), "Hessian", len(VALUES), ())
    (axes,) = spectrum(equal.density(GRID, WIDTH), exact=VALUES).axes
    own, exact = (line.get_ydata() for line in axes.lines)
    np.testing.assert_allclose(exact, own, rtol=1e-10)
    assert exact[np.abs(GRID - 3).argmin()] == pytest.approx(PEAK)
    assert axes.lines[0].get_linestyle() == "-" and axes.lines[1].get_linestyle() == "--"


def test_eigenvalues_are_triangles_at_the_peak_of_one_and_hollow_where_not_converged():
    figure = spectrum(density().density(GRID, WIDTH), pairs())
    (axes,) = figure.axes
    marks = {to_hex(m.get_markerfacecolor()): m for m in axes.lines if m.get_marker() == "v"}
    filled, hollow = marks[style.VERMILLION.lower()], marks["#ffffff"]
    assert filled.get_xdata().tolist() == [3.0] and hollow.get_xdata().tolist() == [1.0]
    assert filled.get_ydata()[0] == hollow.get_ydata()[0] == pytest.approx(PEAK)
    assert legend_labels(figure) >= {"eigenvalue", "not converged"}


def test_axes_of_the_callers_take_several_spectra():
    """Each with its color; eigenvalues may be plain numbers."""
    axes = plt.figure().subplots()
    spectrum(density(), [3.0, 1.0], ax=axes)
    figure = spectrum(density(probes=1), color=style.ORANGE, ax=axes)
    assert figure is axes.get_figure()
    assert [to_hex(line.get_color()) for line in axes.lines if line.get_marker() == "None"] == [
        style.BLUE.lower(),
        style.ORANGE.lower(),
    ]
    (mark,) = (line for line in axes.lines if line.get_marker() == "v")
    assert mark.get_xdata().tolist() == [3.0, 1.0]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"density": [1.0]}, TypeError, r"`density` is .*; give what landscape.spectral_density returned"),
        ({"exact": VALUES[:3]}, ValueError, r"`exact` has shape \(3,\); give all 8 eigenvalues"),
        ({"exact": np.full(8, np.nan)}, ValueError, r"`exact`"),
        ({"eigenpairs": [[1.0]]}, ValueError, r"`eigenpairs` has shape \(1, 1\); give eigenvalues \(k,\)"),
        ({"eigenpairs": [np.inf]}, ValueError, r"`eigenpairs`"),
    ],
)
def test_refusals(wrong, error, message):
    with pytest.raises(error, match=message):
        spectrum(**({"density": density()} | wrong))
