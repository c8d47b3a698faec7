"""The benchmark of interpolation: a tiny run, its table and JSON; grids, the least or nested, read; what is right."""

import itertools
import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from benchmarks.__main__ import main
from benchmarks.harness import timing
from benchmarks.reporting import report
from benchmarks.studies import interpolation
from benchmarks.studies.interpolation import CHECKED, OURS, Answer

lenient = pytest.mark.lenient("optax's Adam raises a float32 to an int32 power")


@pytest.fixture(autouse=True)
def as_users_write():
    """The networks add biases to batches, as most people do."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture
def rings():
    """The O-rings' surface, at 12×12 random points."""
    return interpolation._o_rings(12)


@pytest.fixture
def wave(rings, monkeypatch):
    """The same box with a wave in place of the risk: known everywhere, and grids of it cost nothing."""

    def value(first, second):
        return np.sin(np.asarray(first))[:, None] * np.exp(np.asarray(second) / 4)[None]

    monkeypatch.setattr(interpolation, "_values", lambda subject, axes: value(*axes))
    return replace(rings, truth=value(*rings.at))


@lenient
def test_a_quick_run_prints_a_table_and_writes_json_with_errors_within_what_is_claimed(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(interpolation, "_first", lambda call: 0.0)  # nothing is compiled twice: nobody times it
    assert main(["interpolation", "--smoke", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("| ")]
    table = [line for line in lines if line[2:5] not in ("by ", "---")]
    assert {"evaluations", "of the range", "stated"} <= {cell.strip() for line in lines for cell in line.split("|")}
    assert "too small to judge" in printed and "of at most 13² cells." in printed
    assert f"within 0.1, {CHECKED}, and {OURS}: " in printed
    assert all(f"- errors of {by} are at most " in printed for by in (OURS, CHECKED))
    (path,) = tmp_path.iterdir()
    found = json.loads(path.read_text())
    rows = found["rows"]
    assert path.name.startswith("interpolation-") and len(rows) == len(table) == 4 * 2 * 4
    for kind in ("tanh, random weights", "tanh, trained", "relu, random weights", "O-rings neuron in float64"):
        own = [row for row in rows if kind in row["workload"]]
        assert [row["by"].split("grid, ")[-1] for row in own] == [OURS, CHECKED, "linear", "cubic"] * 2
        for row in own:
            tolerance = float(row["workload"].split("within ")[1])
            assert row["right"]
            assert row["over"] == ((row["stated_error"] or row["range_error"]) > tolerance)
            assert row["over"] or row["range_error"] <= tolerance
            assert (row["stated_error"] is None) == (row["by"] not in (OURS, CHECKED))
            assert row["evaluations"] > 0 and row["absolute_error"] > 0
    assert found["targets"] == []


def test_sizes_that_are_judged_are_noted_where_the_machine_was_busy(monkeypatch, rings):
    monkeypatch.setattr(interpolation, "_subjects", lambda sizes: [(rings, sizes)])
    monkeypatch.setattr(interpolation, "busy", lambda where: ["busy"])
    monkeypatch.setattr(interpolation, "_first", lambda call: 7.0)
    sizes = replace(interpolation.SMOKE, tolerances=(0.1,), judged=True)
    found = interpolation.run(sizes, 2, print)
    assert found.notes[-1] == "busy"
    for note, other in zip(found.notes, ("the least grid, linear", CHECKED, "the least grid, cubic"), strict=False):
        assert note.startswith(f"within 0.1, {other}, and {OURS}: ") and note.endswith("(surfaces where both are: 1)")
    assert [(row.first_call, row.repeats) for row in found.rows] == [(7.0, 2)] * 4


def test_the_least_grid_is_the_first_that_is_within_the_tolerance(wave):
    sides, tolerances = (5, 9, 17, 33), (0.05, 0.005)
    found = interpolation.least(wave, sides, tolerances)
    for (tolerance, way), side in found.items():
        errors = [wave.error(interpolation.from_grid(wave, n, way).values) for n in sides]
        within = [n for n, error in zip(sides, errors, strict=True) if error <= tolerance]
        assert side == (within[0] if within else None)
    assert found[0.005, "cubic"] < found[0.005, "linear"] and found[0.005, "linear"] == 33


def test_no_grid_is_evaluated_beyond_the_least(monkeypatch, wave):
    grid, asked = interpolation._grid, []
    monkeypatch.setattr(interpolation, "_grid", lambda subject, side: asked.append(side) or grid(subject, side))
    assert None not in interpolation.least(wave, (5, 9, 17, 33), (0.2,)).values()
    assert asked[-1] < 33
    assert set(interpolation.least(wave, (5, 9), (1e-9,)).values()) == {None}
    assert asked[-2:] == [5, 9]


@pytest.mark.parametrize(
    ("largest", "sides"),
    [(257, [5, 9, 17, 33, 65, 129, 257]), (65, [5, 9, 17, 33, 65]), (64, [5, 9, 17, 33]), (6, [5])],
)
def test_nested_grids_have_all_positions_of_the_ones_before(rings, largest, sides):
    assert interpolation.nested(largest) == sides
    finest = interpolation._axes(rings, sides[-1])
    for side in sides:
        for own, even in zip(interpolation._thinned(finest, side), interpolation._axes(rings, side), strict=True):
            np.testing.assert_array_equal(own, even)


def test_the_spline_that_checks_itself_stops_where_the_coarser_one_is_within_the_tolerance(monkeypatch, wave):
    """It evaluates no cell twice and reads the last grid's spline."""
    values, cells = interpolation._values, []

    def recorded(subject, axes):
        cells.extend((x, y) for x in axes[0] for y in axes[1])
        return values(subject, axes)

    monkeypatch.setattr(interpolation, "_values", recorded)
    tolerance, sides = 1e-3, interpolation.nested(65)
    found = interpolation.checked(wave, tolerance, 65)
    assert found.evaluations == len(cells) == len(set(cells))

    grids = [interpolation._grid(wave, side) for side in sides]
    differences = []
    for coarse, (axes, fine) in itertools.pairwise(grids):
        differences.append(np.abs(interpolation.cubic(*coarse, axes) - fine).max() / np.ptp(fine))
    stop = next(i for i, difference in enumerate(differences) if difference <= tolerance)
    assert 0 < stop < len(differences) - 1
    assert found.evaluations == sides[stop + 1] ** 2
    assert found.stated == pytest.approx(differences[stop])
    np.testing.assert_array_equal(found.values, interpolation.cubic(*grids[stop + 1], wave.at))


def test_the_spline_that_checks_itself_states_what_it_lacks_at_the_largest_grid(wave):
    found = interpolation.checked(wave, 1e-9, 17)
    assert found.evaluations == 17**2 and 1e-9 < found.stated < 0.1
    assert interpolation.checked(wave, 1e-9, 5).stated == float("inf")


def test_new_cells_alone_give_the_same_grid(rings):
    coarse, (axes, fine) = (interpolation._grid(rings, side) for side in (5, 9))
    np.testing.assert_allclose(interpolation._refined(rings, axes, coarse[1]), fine, rtol=1e-13)


def test_the_convolutional_network_has_tolerances_and_grids_of_its_own():
    assert interpolation.SMOKE.images is None
    images = interpolation.Images(8, (2, 3), (0.1,), 9)
    own = interpolation._of_images(interpolation.SMOKE, images)
    assert (own.tolerances, own.sides) == ((0.1,), (5, 7))
    subject = interpolation._cnn(images, 4)
    assert "CNN 2-3" in subject.name and subject.name.endswith("8 examples")
    assert subject.error(interpolation._values(subject, subject.at)) < 1e-5


def test_linear_interpolation_is_exact_for_a_plane_and_cubic_for_a_cubic_up_to_the_border():
    axes = np.linspace(-1, 1, 6), np.linspace(0, 3, 5)
    at = np.array([-1.0, -0.97, 0.3, 1.0]), np.array([0.0, 0.1, 2.9, 3.0])
    for way, powers in (("linear", (1, 1)), ("cubic", (3, 2))):

        def value(x, y, powers=powers):
            return x[:, None] ** powers[0] - 2 * y[None] ** powers[1] + x[:, None] * y[None]

        np.testing.assert_allclose(interpolation.WAYS[way](axes, value(*axes), at), value(*at), atol=1e-12)


def test_the_cubic_spline_is_that_of_a_regular_grid_interpolator():
    random = np.random.default_rng(0)
    axes, values = (np.linspace(0, 1, 7), np.linspace(0, 2, 9)), random.standard_normal((7, 9))
    at = np.linspace(0, 1, 5), np.linspace(0, 2, 6)
    tight = {"rtol": 1e-13, "atol": 0.0}
    other = RegularGridInterpolator(axes, values, method="cubic", solver_args=tight)
    pairs = np.stack(np.meshgrid(*at, indexing="ij"), axis=-1)
    np.testing.assert_allclose(interpolation.cubic(axes, values, at), other(pairs), atol=1e-10)


def test_the_truth_is_the_risk_and_errors_are_shares_of_its_range(rings):
    w, b = (positions[3] for positions in rings.at)
    x, y = rings.objective.data
    z = w * np.asarray(x) + b
    assert rings.truth[3, 3] == pytest.approx(np.mean(np.logaddexp(0, z) - np.asarray(y) * z), rel=1e-12)
    assert rings.error(rings.truth) == 0
    assert rings.error(rings.truth + 0.25 * np.ptp(rings.truth)) == pytest.approx(0.25)
    for positions, (low, high) in zip(rings.at, rings.box, strict=True):
        parts = np.floor((positions - low) / (high - low) * len(positions))
        np.testing.assert_array_equal(parts, np.arange(len(positions)))


@pytest.mark.parametrize(("most", "reached"), [(10_000, True), (60, False)])
def test_what_is_stated_says_whether_the_tolerance_is_reached(monkeypatch, rings, most, reached):
    monkeypatch.setattr("landscape.surfaces.interpolate.MOST", most)
    found = interpolation.interpolated(rings, 1e-3)
    assert rings.error(found.values) <= found.stated
    assert (found.stated <= 1e-3) == reached
    assert found.evaluations <= most


@pytest.mark.parametrize(
    ("way", "error", "stated", "reached", "right"),
    [
        (OURS, 0.05, 0.08, True, True),
        (OURS, 0.09, 0.08, True, True),  # the estimate is no bound; the tolerance is kept
        (OURS, 0.2, 0.08, True, False),
        (OURS, 0.2, 0.3, False, True),
        (OURS, 0.4, 0.3, False, False),
        (CHECKED, 0.09, 0.08, True, True),
        (CHECKED, 0.2, 0.08, True, False),
        (CHECKED, 0.2, 0.3, False, True),
        ("cubic", 0.09, None, True, True),
        ("cubic", 0.11, None, True, False),
        ("linear", 0.5, None, False, True),  # claims nothing
        ("linear", float("nan"), None, False, False),
    ],
)
def test_what_is_right(rings, way, error, stated, reached, right):
    answer = Answer(rings.truth + error * rings.range, 49, stated)
    row = interpolation._row(rings, 0.1, way, timing.Timed(3.0, np.array([2.0]), np.array([1.0]), answer), reached)
    assert (row.right, row.over) == (right, not reached)
    assert row.by == (way if way in (OURS, CHECKED) else f"7×7 grid, {way}")
    assert row.workload.endswith("within 0.1")


def test_what_does_not_do_is_shown_as_over():
    timed = timing.Timed(3.0, np.array([2.0]), np.array([1.0]), None)
    rows = [report.row("w", by, timed, evaluations=49, over=over) for by, over in (("a", True), ("b", False))]
    where = {"processor": "p", "usable_cores": 1, "memory_gib": 1, "devices": [], "compiler": None}
    where |= {"python": "3", "packages": {"jax": "1"}}
    first, second = report.markdown(report.Report("n", {}, rows, [], [], where)).splitlines()[6:8]
    assert "over 2.00 s" in first and "over 49" in first
    assert "over" not in second


@pytest.mark.parametrize(
    ("error", "stated", "over", "compared"),
    [(0.0, 1e-4, False, True), (0.0, 0.02, True, False), (0.01, 1e-4, False, False)],
)
def test_notes_compare_what_is_within_the_tolerance(monkeypatch, wave, error, stated, over, compared):
    """Ours takes 50 evaluations and a second; the linear grid is not within 0.005, so it is not compared.

    Neither is a spline that says it is not within the tolerance, or that is not although it says so.
    """
    sides = {(0.005, "linear"): None, (0.005, "cubic"): 9}
    exact = {OURS: Answer(wave.truth, 50, 1e-4), "linear": Answer(wave.truth, 289), "cubic": Answer(wave.truth, 81)}
    exact[CHECKED] = Answer(wave.truth + error * wave.range, 100, stated)
    seconds = {OURS: 1.0, CHECKED: 2.0, "linear": 4.0, "cubic": 3.0}

    def race(calls, repeats):
        one = {key: np.array([seconds[key[1]]]) for key in calls}
        return {key: timing.Timed(9.0, own, own, exact[key[1]]) for key, own in one.items()}

    monkeypatch.setattr(interpolation, "race", race)
    monkeypatch.setattr(interpolation, "_first", lambda call: 5.0)
    rows, ratios = interpolation._measured(wave, sides, 17, 1)
    assert ratios == {(0.005, "cubic"): (81 / 50, 3.0)} | ({(0.005, CHECKED): (2.0, 2.0)} if compared else {})
    assert [(row.by, row.over, row.first_call) for row in rows] == [
        (OURS, False, 5.0),
        (CHECKED, over, 5.0),
        ("17×17 grid, linear", True, 5.0),
        ("9×9 grid, cubic", False, 5.0),
    ]
