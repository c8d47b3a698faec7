"""What notebooks show of an objective, a plane and a trajectory: HTML with all text escaped, in the page's colors."""

import html
import re
import subprocess
import sys
from html.parser import HTMLParser

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import landscape as ls

BAD = """</code></td><script>alert("1")</script><b onclick='x'>&amp;$x$"""
SGD = optax.sgd(0.1)


class Page(HTMLParser):
    """The tags that are open, those that were seen, and the text of table cells."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.cells, self.text, self.coded = [], set(), [], "", ""
        self.feed(text)
        self.close()
        assert not self.open, "all tags are closed"

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.add(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        self.coded += data if {"code", "pre"} & set(self.open) else ""
        if {"td", "th"} & set(self.open):
            self.cells[-1] += data


def shown(value):
    return Page(value._repr_html_())


def pair(**options):
    return ls.neuron(*ls.datasets.pair(), **options)


@pytest.mark.parametrize("penalty", [None, ls.l2(0.1)])
def test_an_objective_has_its_formula_in_latex_and_in_text(penalty):
    """Jupyter prefers HTML to LaTeX, so the HTML has the same LaTeX, for MathJax."""
    objective = pair(penalty=penalty)
    page = shown(objective)
    assert objective._repr_latex_() in page.text and str(objective) in page.text
    assert str(objective) in page.coded and objective._repr_latex_() not in page.coded, "MathJax skips code and pre"
    assert "2 examples, the mean of their losses" in page.text and "2 parameters" in page.text
    assert ("no penalty" in page.text) is (penalty is None)
    assert page.cells == ["leaf", "shape", "dtype", "b", "scalar", "float32", "w", "scalar", "float32"]


def test_many_leaves_are_counted():
    params = {f"layer{i:02}": jnp.ones((2, 3)) for i in range(40)} | {"steps": jnp.arange(2)}
    page = shown(ls.function(lambda p: jnp.sum(p["layer00"]), params))
    assert "240 parameters" in page.text and "and 29 more" in page.cells and len(page.cells) == 3 * 13 + 1
    assert "2×3" in page.cells
    frozen = shown(ls.function(lambda p: jnp.sum(p["a"]), {"a": jnp.ones(2), "steps": jnp.arange(2)}))
    assert "int32, frozen" in frozen.cells


def test_a_plane_has_lengths_and_cosines():
    params = {"w": jnp.zeros(2)}
    plane = ls.Plane(params, ({"w": jnp.array([3.0, 4.0])}, {"w": jnp.array([1.0, 0.0])}))
    cells = shown(plane).cells
    assert cells[:6] == ["coordinate", "length of its direction", "alpha", "5", "beta", "1"]
    assert cells[6:10] == ["directions", "cosine between them", "alpha and beta", "0.6"]
    line = shown(ls.Plane(params, ({"w": jnp.array([3.0, 4.0])},)))
    assert "Plane in 1 coordinate" in line.text and "directions" not in line.cells


def test_a_plane_in_three_coordinates_has_three_pairs():
    basis = np.eye(3, dtype=np.float32)
    plane = ls.Plane({"w": np.zeros(3, np.float32)}, tuple({"w": row} for row in basis))
    assert [cell for cell in shown(plane).cells if " and " in cell] == [
        "alpha and beta", "alpha and gamma", "beta and gamma",
    ]  # fmt: skip


def test_a_trajectory_has_a_row_a_run():
    run = ls.descend(pair(penalty=ls.l2(0.1)), {"sgd": SGD, "wild": optax.sgd(500.0)}, {"w": 1.0, "b": 1.0}, steps=40)
    page = shown(run)
    head = ["optimizer", "step", "risk", "objective", "gradient norm"]
    assert page.cells[:5] == head and page.cells[5:7] == ["sgd", "40"] and page.cells[10] == "wild"
    last = run.sel(optimizer="sgd").data.isel(step=-1)
    assert page.cells[7:10] == [f"{float(last[name]):.6g}" for name in ("risk", "objective", "gradient_norm")]
    wild = run.sel(optimizer="wild").data
    failed = int(wild.step[int(np.argmin(wild.finite.to_numpy()))])
    assert page.cells[11] == f"{failed - 1}, then not finite" and "1 became non-finite" in page.text


def test_a_single_run_and_one_that_never_was_finite():
    assert shown(ls.descend(pair(), SGD, {"w": 1.0, "b": 1.0}, steps=3)).cells[:2] == ["step", "risk"]
    nowhere = ls.function(lambda p: jnp.log(-p["t"]), {"t": 1.0})
    cells = shown(ls.descend(nowhere, SGD, nowhere.params, steps=3)).cells
    assert cells[4:] == ["0, not finite", "–", "–", "–"]


def test_many_runs_are_counted_and_what_is_awaited_is_said():
    starts = {"w": np.linspace(-1, 1, 30, dtype=np.float32), "b": np.zeros(30, np.float32)}
    run = ls.descend(pair(), SGD, starts, steps=2)
    assert "and 18 more" in shown(run).cells
    partly = ls.Trajectory(run.params, run.data.assign(computed=("start", np.arange(30) != 1)))
    assert shown(partly).cells[5 + 5 + 1] == "not computed yet"


def test_hostile_names_are_shown_as_text():
    """In code, in which MathJax looks for no formulas."""
    params = {BAD: jnp.ones((3, 2))}
    objective = ls.function(lambda p: jnp.sum(p[BAD] ** 2), params)
    named = ls.Objective(lambda p, x: x * p[BAD].sum(), jnp.ones(2), params=params, data_id=BAD)
    plane = ls.Plane(params, (params, {BAD: jnp.arange(6.0).reshape(3, 2)}), names=(BAD, "b"))
    run = ls.descend(objective, {BAD: SGD}, params, steps=2)
    run = ls.Trajectory(run.params, run.data.assign_attrs(objective=BAD))
    for value in (objective, named, plane, run):
        page = shown(value)
        assert not {"script", "b"} & page.seen and BAD in page.coded
        assert page.text.count("$x$") == page.coded.count("$x$") > 0
    assert html.escape(BAD) in objective._repr_html_()


def test_colors_are_the_page_s():
    """No color is set but a gray of lines that is seen on light and dark ground."""
    plane = ls.axes_plane(pair().params, "w", "b")
    for value in (pair(), plane, ls.descend(pair(), SGD, {"w": 1.0, "b": 1.0}, steps=3)):
        text = value._repr_html_()
        assert set(re.findall(r"(?<![-\w])color:([^;\"]*)", text)) == {"inherit"}
        assert set(re.findall(r"background[-\w]*:([^;\"]*)", text)) <= {"none"}
        assert len(text) < 8000


def test_nothing_heavy_is_loaded():
    program = (
        "import landscape as ls, sys; o = ls.neuron(*ls.datasets.pair()); o._repr_html_(); "
        "ls.axes_plane(o.params, 'w', 'b')._repr_html_(); print('matplotlib' in sys.modules, 'xarray' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "False"]
