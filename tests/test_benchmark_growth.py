"""The study of growth: a tiny run with right answers; exponents of constructed data; the picture out of a JSON file."""

import json
import math

import numpy as np
import pytest

from benchmarks.peers import memory
from benchmarks.reporting import report
from benchmarks.studies import _growth_fit as fits
from benchmarks.studies import _growth_grid as grids
from benchmarks.studies import _growth_questions as questions
from benchmarks.studies import growth
from benchmarks.studies.growth_figure import draw, save

SIZES = np.array([1, 4, 16, 64, 256, 1024, 4096])


def _row(workload: str, by: str, seconds: float, memory: float | None = 2e6) -> dict:
    return {"workload": workload, "by": by, "core_time": seconds, "peak_bytes": memory, "compiling": 0.5}


@pytest.fixture(scope="module")
def smoke():
    """Every question once."""
    return growth.run(growth.SMOKE, 1, lambda line: None)


def test_a_tiny_run_has_right_answers(smoke):
    assert all(row.right for row in smoke.rows) and len({row.workload for row in smoke.rows}) == 10
    assert max(row.absolute_error for row in smoke.rows) < 1e-5
    assert smoke.name == "growth" and smoke.targets == [] and "too small" in smoke.notes[-1]
    assert [row.by for row in smoke.rows if row.workload.startswith("full grid")] == [
        f"{d} parameters" for d in (1, 2, 3, 4)
    ]
    assert smoke.rows[-1].by == "9610 parameters" and "through all 9610 parameters" in report.markdown(smoke)


def test_a_tiny_run_is_drawn_too(smoke, tmp_path):
    assert len(draw(report.write(smoke, tmp_path)).axes) == 2 * 8 + 1  # time and memory each, and the full grid


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("fixed", [0.0, 3e-3])
def test_the_exponent_of_a_power_is_found_beside_what_every_size_takes(exponent, fixed):
    sizes = 4.0 ** np.arange(9)
    values = fixed + 1e-3 * sizes**exponent
    found = fits.fit(sizes, values)
    large = values >= fits.BEYOND * values[0]
    taken_off = 1e-3 * (sizes**exponent - 1)  # by way of the smallest size
    expected = np.polyfit(np.log(sizes[large][-5:]), np.log(taken_off[large][-5:]), 1)[0]
    assert found.exponent == pytest.approx(expected, rel=1e-9)
    assert expected == pytest.approx(exponent, abs=0.02)
    assert found.last == sizes[-1] and found(found.last) == pytest.approx(values[-1], rel=0.02)


def test_where_nothing_grows_the_exponent_is_zero():
    found = fits.fit(SIZES, np.full(7, 2e-3))
    assert found.exponent == pytest.approx(0, abs=1e-12) and found.error < 1e-6 and found.fixed == 0


def test_the_interval_holds_the_exponent_as_often_as_it_says():
    random = np.random.default_rng(0)
    sizes = 10 * 2.0 ** np.arange(5)
    laws = [
        fits.fit(np.append(1, sizes), np.append(1e-6, sizes * np.exp(0.1 * random.normal(size=5)))) for _ in range(400)
    ]
    inside = np.mean([abs(law.exponent - 1) <= law.error for law in laws])
    assert inside == pytest.approx(0.95, abs=0.035)  # three standard errors of a share of 400


def test_a_dip_ends_what_is_fitted():
    """Only sizes from which on all are far beyond the smallest."""
    found = fits.fit(np.array([1, 2, 4, 8, 16, 32]), np.array([1.0, 9.0, 2.0, 8.0, 16.0, 32.0]))
    assert found.first == 8


def test_less_memory_than_can_be_told_apart_does_not_grow():
    curve = next(iter(fits.curves([_row("a", f"{n} cells", 1e-3, 1e3 * n) for n in (1, 8, 64)]).values()))
    assert curve.fit("memory").exponent == pytest.approx(0, abs=1e-12)


def test_too_little_is_not_fitted():
    assert fits.fit(SIZES[:2], np.ones(2)) is None
    unknown = fits.curves([_row("a", f"{n} cells", 1e-3, None) for n in SIZES])["a"]
    assert unknown.fit("memory") is None and unknown.fit("time") is not None


def test_rows_become_curves_ascending_in_size():
    found = fits.curves([_row("a", "20 cells", 2.0), _row("b", "3 units a layer", 5.0), _row("a", "10 cells", 1.0)])
    assert found["a"].sizes.tolist() == [10, 20] and found["a"].values["time"].tolist() == [1, 2]
    assert found["b"].unit == "units a layer"
    assert found["a"].fit("time", most=10) is None


def test_a_pass_is_told_from_what_does_not_grow():
    sizes = 2.0 ** np.arange(10, 20)
    assert fits.proportional(sizes, 0.2 + 3e-7 * sizes) == pytest.approx((0.2, 3e-7))


def test_a_full_grid_beyond_all_numbers():
    rows = [_row("full grid, 11 cells a side", f"{d} parameters", 2e-5 * 11**d) for d in (1, 2, 3)]
    grid = grids.grid(fits.curves(rows), 11)
    assert grid.axes == 3 and grid.cell == pytest.approx(2e-5)
    assert grid.log_seconds(9610) == pytest.approx(9610 * math.log10(11) + math.log10(2e-5))
    assert grids.span(grid.log_seconds(10)) == "6 days"
    assert grids.span(grid.log_seconds(100)) == "10^92 years"
    assert (
        grids.ages(grid.log_seconds(100)) == ", 10^82 ages of the universe" and grids.ages(grid.log_seconds(10)) == ""
    )
    assert [grids.span(math.log10(s)) for s in (0.25, 7200, 3.156e8)] == ["0.25 seconds", "2 hours", "10 years"]


def test_there_is_a_target_for_every_limit_and_one_for_what_the_data_take():
    asked = questions.examples_compressed((1, 10, 100, 1000, 10_000), most=1000)
    rows = [_row(asked.title, f"{n} examples", 0.1 + 1e-5 * n, max(2e6, 600 * n)) for n in asked.calls]
    growing = {asked: fits.curves(rows)[asked.title]}
    time, memory, own = growth._targets(growing)
    assert "exponent of time" in time.claim and "1 to 1000 examples" in time.claim and 0 < time.value < 0.1
    assert memory.value == pytest.approx(0, abs=1e-9) and time.limit == memory.limit == 0.1 and time.met
    assert own.value == pytest.approx(6e6 / 8e4) and not own.met
    powers, passes = growth._notes(growing)
    assert "memory ∝ examples^(0.00 ± 0.00)" in powers and "compiling 0.5 s first, 0.5 s last" in powers
    assert "1e+04 ns for each" in passes and "half of the time at 1e+04 examples" in passes


def test_every_question_of_the_full_sizes_can_be_fitted():
    for asked in growth._questions(growth.FULL)[:8]:
        fitted = [size for size in asked.calls if size <= asked.most]
        assert len(fitted) >= fits.LAST and list(asked.calls) == sorted(asked.calls) and "time" in asked.limits


def test_memory_of_a_call_is_what_it_touches():
    peak = memory.peak_bytes(lambda: np.ones(4_000_000))
    if peak is None:
        pytest.skip("this system does not say")
    assert peak == pytest.approx(32e6, rel=0.1)


def test_the_picture_shows_every_question_with_its_exponents(tmp_path):
    path = tmp_path / "growth.json"
    path.write_text(json.dumps({"rows": _constructed(), "sizes": {"full_side": 11, "unseen": 1024}}))
    figure = draw(path)
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    panels = [axes for axes in figure.axes if axes.get_title("left").startswith("(")]
    assert len(panels) == 4 and "full grid over $d$ of 9,610 parameters" in panels[-1].get_title("left")
    assert sum(r"time $\propto n^{1.00\pm0.00}$" in text for text in said) == 2
    assert any(r"time $\propto n^{0.00\pm0.00}$" in text for text in said)  # that beyond `unseen` is not fitted
    assert any(r"$10^{92}$ years (extrapolated)" in text for text in said)
    save(path, tmp_path / "growth.png")
    assert 10_000 < (tmp_path / "growth.png").stat().st_size < 150_000


def _constructed() -> list[dict]:
    powers = [
        _row(title, f"{n} cells", 2e-5 * n if n > 1 else 1e-9, 1e4 * n)
        for title in ("cells: a", "depth: b")
        for n in SIZES
    ]
    flat = [_row("examples: n, compressed", f"{n} examples", 1e-2 if n <= 1024 else 1.0) for n in SIZES]
    full = [_row("full grid, 11 cells a side", f"{d} parameters", 2e-5 * 11**d) for d in (1, 2, 3)]
    return [*powers, *flat, *full, _row("plane, 41×41 cells", "9610 parameters", 0.03)]
