"""Evaluations that are kept: gone on with, used again for another tolerance or box, and never another problem's."""

import os

import numpy as np
import pytest

import landscape as ls
from landscape.cli import main
from landscape.surfaces import io

PAIR = ls.neuron(*ls.datasets.pair(), penalty=ls.l2(0.1))
PLANE = ls.axes_plane(PAIR.params, "w", "b")
BOX = {"w": (-3, 3), "b": (-3, 3)}
SQUARE = {"x": (-1, 1), "y": (-1, 1)}


class Calls:
    """A function that knows how often it was called, and is interrupted at a call."""

    def __init__(self, stop=None):
        self.count, self.stop = 0, stop

    def __call__(self, x, y):
        if self.count == self.stop:
            raise KeyboardInterrupt
        self.count += 1
        return np.exp(np.sin(4 * x)) + y**2


@pytest.mark.parametrize("stop", [0, 5, 25, 60])
def test_an_interrupted_run_is_gone_on_with(tmp_path, stop):
    store, whole, calls = tmp_path / "run.zarr", Calls(), Calls(stop)
    wanted = ls.interpolate(whole, None, SQUARE)
    with pytest.raises(KeyboardInterrupt):
        ls.interpolate(calls, None, SQUARE, store=store)
    calls.stop = None
    found = ls.interpolate(calls, None, SQUARE, store=store)
    assert found.data.identical(wanted.data)
    assert whole.count <= calls.count <= whole.count + 1, "one to see whether it is the same function"


def test_a_repeated_call_computes_nothing_and_writes_nothing(tmp_path, compilations):
    store = tmp_path / "run.zarr"
    first = ls.interpolate(PAIR, PLANE, BOX, store=store)
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    with compilations() as tally:
        again = ls.interpolate(PAIR, PLANE, BOX, store=store)
    assert tally.count == 0 and again.data.identical(first.data)
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before


def test_another_tolerance_and_box_use_what_is_there(tmp_path):
    store, calls = tmp_path / "run.zarr", Calls()
    coarse = ls.interpolate(calls, None, SQUARE, tolerance=1e-1, store=store)
    fine = ls.interpolate(calls, None, SQUARE, tolerance=1e-4, store=store)
    rounds = len(io.rounds(store))
    assert calls.count < coarse.evaluations + fine.evaluations - 20
    assert fine.data.identical(ls.interpolate(Calls(), None, SQUARE, tolerance=1e-4).data), "and come to the same"
    ls.interpolate(calls, None, {"x": (-1, 1), "y": (-1, 0.5)}, store=store)
    assert len(io.rounds(store)) > rounds
    assert len(io.results(store)) == 3
    ls.interpolate(calls, None, SQUARE, tolerance=1e-1, store=store)
    assert ls.open_interpolant(store).data.identical(coarse.data), "what was returned last"
    ls.interpolate(calls, None, {"x": (-1, 1), "y": (-1, 0.5)}, store=store)
    assert ls.open_interpolant(store).box["y"] == (-1, 0.5), "the last one"


def test_a_damaged_round_is_computed_again(tmp_path):
    store = tmp_path / "run.zarr"
    first = ls.interpolate(PAIR, PLANE, BOX, store=store)
    chunk = next(path for path in sorted(store.glob("round-*/risk/c/*")) if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"?")
    with pytest.warns(UserWarning, match=r"tile 0 is damaged \(risk\); it is computed again"):
        again = ls.interpolate(PAIR, PLANE, BOX, store=store)
    assert again.data.identical(first.data)


def test_another_process_may_be_faster(tmp_path, monkeypatch):
    """With the same result: it is theirs that stays."""
    real, unseen = io.results, [1]
    found = ls.interpolate(PAIR, PLANE, BOX)
    ls.save(found, tmp_path / "run.zarr/result-1")
    monkeypatch.setattr(io, "results", lambda folder: [] if unseen and unseen.pop() else real(folder))
    ls.interpolate(PAIR, PLANE, BOX, store=tmp_path / "run.zarr")
    assert len(real(tmp_path / "run.zarr")) == 1


def test_the_result_is_in_the_store(tmp_path):
    store = tmp_path / "run.zarr"
    found = ls.interpolate(PAIR, PLANE, BOX, store=store)
    assert ls.open_interpolant(store).data.identical(found.data)


def test_an_incomplete_one_says_so(tmp_path):
    store = tmp_path / "run.zarr"
    with pytest.raises(KeyboardInterrupt):
        ls.interpolate(Calls(30), None, SQUARE, store=store)
    with pytest.raises(ValueError, match=r"holds the evaluations of an interpolant that is not complete: repeat the"):
        ls.open_interpolant(store)


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        ({"objective": PAIR.with_penalty(ls.l2(0.2))}, "penalties"),
        ({"chart": ls.Plane(PAIR.params, [{"w": 2.0, "b": 0.0}, {"w": 0.0, "b": 1.0}], names=("w", "b"))}, "chart"),
        ({"quantities": ("risk_stderr",)}, "quantities"),
    ],
)
def test_another_problem_is_refused(tmp_path, other, differs):
    store = tmp_path / "run.zarr"
    ls.interpolate(PAIR, PLANE, BOX, store=store, tolerance=1e-1)
    given = {"objective": PAIR, "chart": PLANE} | other
    objective, chart = given.pop("objective"), given.pop("chart")
    with pytest.raises(ValueError, match=f"holds another problem; {differs} differ"):
        ls.interpolate(objective, chart, BOX, store=store, **given)


def test_another_function_is_refused(tmp_path):
    store = tmp_path / "run.zarr"

    def f(x, y):
        return x + y

    def g(x, y):
        return x - y

    g.__qualname__ = f.__qualname__
    ls.interpolate(f, None, SQUARE, store=store)
    with pytest.raises(ValueError, match=r"`store` holds values of another function: .* at .*, where `function` gives"):
        ls.interpolate(g, None, SQUARE, store=store)
    with pytest.raises(ValueError, match="holds another problem; function differ"):
        ls.interpolate(Calls(), None, SQUARE, store=store)


def test_functions_that_agree_on_the_corners_are_told_apart(tmp_path):
    def f(x, y):
        return x * x + y * y

    def g(x, y):
        return x**4 + y**4

    g.__qualname__ = f.__qualname__
    ls.interpolate(f, None, SQUARE, store=tmp_path / "run.zarr")
    with pytest.raises(ValueError, match="holds values of another function"):
        ls.interpolate(g, None, SQUARE, store=tmp_path / "run.zarr")


def test_what_holds_something_else_is_no_store_of_it(tmp_path):
    axes = {"w": np.linspace(-1, 1, 3), "b": np.linspace(-1, 1, 3)}
    ls.evaluate(PAIR, PLANE, axes, store=tmp_path / "surface.zarr")
    with pytest.raises(ValueError, match=r"surface\.zarr' holds a store of a surface; take another path"):
        ls.interpolate(PAIR, PLANE, BOX, store=tmp_path / "surface.zarr")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"holds 'notes.txt', which is no round of evaluations; take another path"):
        ls.interpolate(PAIR, PLANE, BOX, store=tmp_path / "mine")
    ls.interpolate(PAIR, PLANE, BOX, store=tmp_path / "rounds")
    with pytest.raises(ValueError, match=r"holds an interpolant, not a surface: open it with ls\.open_interpolant"):
        ls.open_surface(tmp_path / "rounds")


def test_a_url_is_a_store_too():
    found = ls.interpolate(PAIR, PLANE, BOX, store="memory://interpolants/run.zarr")
    assert ls.open_interpolant("memory://interpolants/run.zarr").data.identical(found.data)
    calls = Calls()
    ls.interpolate(calls, None, SQUARE, store="memory://interpolants/calls.zarr")
    before = calls.count
    ls.interpolate(calls, None, SQUARE, store="memory://interpolants/calls.zarr")
    assert calls.count - before == 1


def test_the_command_line_shows_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = ls.interpolate(PAIR, PLANE, BOX, store="run.zarr")
    ls.save(found, "saved.zarr")
    for path in ("run.zarr", "saved.zarr"):
        assert main(["show", path, "--plot", f"{path}.png"]) == 0
        shown = capsys.readouterr().out
        assert f"interpolated  {found.evaluations} evaluations, 1 piece, estimated error" in shown
        assert "least objective" in shown and os.path.getsize(f"{path}.png") > 1000
    assert main(["status", "run.zarr"]) == 0
    said = capsys.readouterr().out
    kept = f"  {found.evaluations} evaluations kept, in {len(io.rounds('run.zarr'))} rounds"
    assert said.rstrip() == f"interpolant run.zarr\n  complete; 1 result\n{kept}"
    assert main(["verify", "run.zarr", "--data", "pair"]) == 2
    assert "holds an interpolant, not a surface" in capsys.readouterr().err
