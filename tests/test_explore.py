"""`ls.explore`: what the page computes, against JAX; hostile texts, sizes, bad input; the command."""

import json
import re
from collections import UserList

import jax
import numpy as np
import optax
import pytest
from explorer import AXES, SWEEP, in_node, noisy, pair, plane, surface  # noqa: F401  fixtures too

import landscape as ls
from landscape.cli import main
from landscape.explorer import _packing
from landscape.explorer.explore import Page

# ---- arrays


def test_fields_come_back_bit_for_bit():
    rng = np.random.default_rng(0)
    fields = [rng.normal(size=shape).astype(np.float32) for shape in ((1, 1), (1, 7), (5, 1), (6, 9))]
    fields[-1][2, 3:6] = [np.nan, np.inf, -np.inf]
    fields.append(np.add.outer(np.linspace(0, 1, 50) ** 2, np.linspace(1, 2, 40)).astype(np.float32))
    texts = [_packing.field(array) for array in fields]
    script = "return (await unpacked(given.texts)).map((f) => [...new Uint32Array(f.buffer)]);"
    for array, bits in zip(fields, in_node(None, script, texts=texts), strict=True):
        np.testing.assert_array_equal(np.array(bits, np.uint32), array.view(np.uint32).ravel())


def test_doubles_come_back_and_smooth_fields_are_small():
    numbers = np.array([0.1, -1e300, np.pi, 5e-324])
    script = "return [...await unpacked(given.text)];"
    assert in_node(None, script, text=_packing.doubles(numbers)) == numbers.tolist()
    x = np.linspace(-10, 10, 401)
    quadratic = np.add.outer(x**2, x**2).astype(np.float32)
    assert len(_packing.field(quadratic)["data"]) < 0.3 * quadratic.nbytes


# ---- a grid


def test_a_grid_puts_risk_and_penalty_together(surface):
    page = ls.explore(surface)
    script = "return given.l.map((l) => { const m = model.minimizer([l]); return [m.x, m.y, m.value, m.interior]; });"
    found = in_node(page, script, l=[0, 0.01, 0.1, 1.0])
    best = ls.minimum(surface)
    for k, (x, y, value, interior) in enumerate(found):
        assert (x, y) == pytest.approx((float(best.w[k]), float(best.b[k])), abs=1e-6)
        assert value == pytest.approx(float(best.objective[k]), rel=1e-6)
        assert interior == bool(best.interior[k])


def test_between_the_strengths_of_a_sweep_norms_follow_the_parabola(pair, plane, surface):
    """At λ = 0.3, which was not evaluated; float32 norms, squared and subtracted, leave 1e-5 of the largest."""
    page = ls.explore(surface)
    script = "return [0, 0.1, 0.3].map((l) => given.at.map(([x, y]) => model.at(x, y, [l]).norm));"
    at = [[-10, -8], [1.25, 0], [5, -3], [10, 8]]
    found = np.array(in_node(page, script, at=at))
    true = ls.evaluate(
        pair, plane, AXES, quantities=("gradient_norm",), penalties={"a": ls.none(), "b": ls.l2(0.1), "c": ls.l2(0.3)}
    )
    wanted = [[float(true.gradient_norm.sel(w=w, b=b)[k]) for w, b in at] for k in range(3)]
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


def test_norms_are_not_told_where_they_are_not_known(pair, plane, surface):
    one = surface.sel(penalty=["none", "λ=1"])
    assert in_node(ls.explore(one), "return [model.at(1, 1, [0]).norm > 0, model.at(1, 1, [0.5]).norm];") == [
        True,
        None,
    ]
    without = ls.evaluate(pair, plane, AXES, penalties=SWEEP)
    assert in_node(ls.explore(without), "return model.norms([0], 5, 5);") is None


def test_what_is_not_finite_stays_so(surface):
    broken = surface.copy(deep=True)
    broken["risk"][3, 4] = np.nan
    found = in_node(ls.explore(broken), "return [model.at(-9.25, -7, [0]).risk, model.at(-5, 2, [0]).risk];")
    assert found[0] is None and found[1] > 0  # JSON has null for NaN


def test_two_kinds_of_penalties_have_two_sliders(pair, plane):
    mixed = ls.evaluate(pair, plane, AXES, penalties={"l2": ls.l2(0.1), "l1": ls.l1(0.2)})
    script = "return [content.units.map((u) => u.label), model.at(2, -1, [0.1, 0.2])];"
    labels, at = in_node(ls.explore(mixed), script)
    assert sorted(labels) == ["‖θ‖²", "‖θ‖₁"]
    assert sorted(at["units"]) == pytest.approx([3.0, 5.0])


def test_it_opens_with_the_strength_of_the_runs_and_never_with_two_penalties_of_a_sweep(pair, plane):
    sweep = {"a": ls.l2(0.1), "b": ls.l2(1.0), "c": ls.l1(0.2), "d": ls.none()}
    mixed = ls.evaluate(pair, plane, AXES, penalties=sweep)
    starts = "return Object.fromEntries(content.units.map((u) => [u.label, u.start]));"
    assert in_node(ls.explore(mixed), starts) == {"‖θ‖²": 1.0, "‖θ‖₁": 0.0}
    for label, penalty, wanted in (("c", ls.l1(0.2), 0.2), ("d", ls.none(), 0.0)):
        runs = ls.descend(pair, optax.sgd(0.1), {"w": 1.0, "b": 1.0}, steps=3, penalties={label: penalty})
        assert in_node(ls.explore(mixed, runs), starts) == {"‖θ‖²": 0.0, "‖θ‖₁": wanted}


def test_texts_of_values_tell_them_apart():
    script = "return given.values.map((own) => apart(own));"
    found = in_node(None, script, values=[[1, 2.5, 1000], [3.0000001, 3.0000005], [0.4072, 0.40725], [5, 5]])
    assert found == [["1", "2.5", "1000"], ["3.0000001", "3.0000005"], ["0.4072", "0.40725"], ["5", "5"]]


# ---- a neuron


CASES = [
    ("cross_entropy", "sigmoid"),
    *(("half_squared_error", name) for name in ("identity", "sigmoid", "tanh", "relu", "softplus")),
]


@pytest.mark.parametrize(("loss", "activation"), CASES)
def test_the_neuron_is_that_of_jax(loss, activation):
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        x, y, weights = rng.normal(size=7), rng.uniform(size=7), rng.uniform(0.1, 2, 7)
        penalty = ls.l2(0.3) + ls.l1(0.2)
        neuron = ls.neuron(x, y, loss=loss, activation=activation, weights=weights, penalty=penalty)
        at = [[-3.0, 2.0], [0.4, -0.7], [2.5, 1.5], [30.0, -4.0]]
        values = [float(neuron({"w": w, "b": b})) for w, b in at]
        slopes = [jax.grad(neuron)({"w": w, "b": b}) for w, b in at]
        page = ls.explore(neuron)
    script = "return given.at.map(([w, b]) => { const j = model.jet(w, b, [0.5]); return [j.value, ...j.slope]; });"
    found = np.array(in_node(page, script, at=at))
    np.testing.assert_allclose(found[:, 0], values, rtol=1e-12)
    np.testing.assert_allclose(found[:, 1:], [[float(s["w"]), float(s["b"])] for s in slopes], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("activation", ["identity", "sigmoid", "tanh", "softplus"])
def test_the_neurons_curvature_is_that_of_differences(activation):
    neuron = ls.neuron([-1.0, 0.5, 2.0], [0.2, 0.9, 0.4], loss="half_squared_error", activation=activation)
    script = """
      const [w, b, h] = [0.7, -0.4, 1e-5];
      const slope = (w, b) => model.jet(w, b, [0.2, 0]).slope;
      const off = (a, b) => a.map((v, k) => (v - b[k]) / (2 * h));
      const [along_w, along_b] = [off(slope(w + h, b), slope(w - h, b)), off(slope(w, b + h), slope(w, b - h))];
      return [model.jet(w, b, [0.2, 0]).curvature, along_w, along_b];"""
    [ww, wb, bb], along_w, along_b = in_node(ls.explore(neuron), script)
    assert [ww, wb, wb, bb] == pytest.approx([*along_w, *along_b], rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("strengths", [(0.0, 0.0), (0.1, 0.0), (1.0, 0.0), (0.0, 0.05), (0.0, 0.4), (0.02, 0.1)])
@pytest.mark.parametrize("which", ["pair", "noisy"])
def test_the_minimizer_is_that_of_attainment(pair, noisy, which, strengths):
    neuron = {"pair": pair, "noisy": noisy}[which]
    found = in_node(ls.explore(neuron), "return [model.minimizer(given.l), model.verdict(given.l)];", l=strengths)
    attained = ls.attainment(neuron.with_penalty(ls.l2(strengths[0]) + ls.l1(strengths[1])))
    if attained.minimizer is None:
        assert found[0] is None and "no minimum" in found[1]["text"]
        return
    assert found[1] is None
    assert [found[0]["x"], found[0]["y"]] == pytest.approx([float(attained.minimizer[n]) for n in ("w", "b")], abs=2e-5)


def test_a_squared_error_that_falls_for_ever_is_no_minimum_and_a_far_minimum_is_found():
    separated = ls.neuron([-1.0, 1.0], [0.0, 1.0], loss="half_squared_error")
    script = "const m = model.minimizer(given.l); return [m.running, m.value];"
    running, _ = in_node(ls.explore(separated), script, l=[0, 0])
    assert running
    running, value = in_node(ls.explore(separated), script, l=[0.01, 0])
    axis = np.linspace(-10, 10, 401).astype(np.float32)
    grid = separated.with_penalty(ls.l2(0.01))
    least = ls.evaluate(grid, ls.axes_plane(grid.params, "w", "b"), {"w": axis, "b": axis}).objective.min()
    assert not running and float(least) - 1e-4 < value <= float(least) + 1e-7


def test_whether_there_is_a_minimum_is_said_as_attainment_says_it():
    """Of small random data sets, with equal inputs and labels between 0 and 1 among them."""
    rng = np.random.default_rng(2)
    sets = [
        (rng.integers(-3, 4, n).astype(float).tolist(), rng.choice([0.0, 1.0, 0.5], n, p=[0.45, 0.45, 0.1]).tolist())
        for n in rng.integers(1, 6, 60)
    ]
    script = """return given.sets.map(([x, y]) => {
      model.examples = x.map((value, k) => ({ x: value, y: y[k], weight: 1 }));
      const verdict = model.verdict([0, 0]);
      return verdict && verdict.direction;
    });"""
    found = in_node(ls.explore(ls.neuron([-1, 1], [0, 1])), script, sets=sets)
    attained = [ls.attainment(ls.neuron(x, y)).verdict != INFINITY for x, y in sets]
    assert [direction is None for direction in found] == attained
    assert set(attained) == {True, False}
    for (x, y), direction in zip(sets, found, strict=True):
        if direction is not None:  # no example gets worse, and one better
            z = np.array(x) * direction[0] + direction[1]
            gains = np.where(np.array(y) == 1, z, np.where(np.array(y) == 0, -z, -np.abs(z)))
            assert gains.min() >= -1e-12 and gains.max() > 0


def test_runs_of_other_penalties_come_with_their_sliders(pair):
    runs = ls.descend(pair, {"sgd": optax.sgd(0.5)}, {"w": -3.0, "b": 2.0}, steps=20, penalties={"λ=0.1": ls.l2(0.1)})
    kept = in_node(ls.explore(pair, runs), "return content.runs.map((r) => [r.label, r.strengths, [...r.x]]);")
    assert kept[0][:2] == ["sgd, λ=0.1", [0.1, 0]]
    np.testing.assert_allclose(kept[0][2], runs.params["w"].ravel())


# ---- polynomials


def test_polynomials_are_those_of_the_interpolant():
    rings = ls.neuron(*ls.datasets.o_rings(), loss="half_squared_error")
    plane = ls.axes_plane(rings.params, "w", "b")
    smooth = ls.interpolate(
        rings, plane, {"w": (-0.5, 0.5), "b": (-20, 20)}, tolerance=1e-3, penalties={"λ": ls.l2(1e-3)}
    )
    axes = {"w": np.linspace(-0.5, 0.5, 7), "b": np.linspace(-20, 20, 9)}
    known = smooth.on(axes, quantities=("slope",))
    at = [[w, b] for w in axes["w"].tolist() for b in axes["b"].tolist()]
    script = "return given.at.map(([x, y]) => { const j = model.jet(x, y, [0]); return [j.value, ...j.slope]; });"
    found = np.array(in_node(ls.explore(smooth), script, at=at)).reshape(7, 9, 3)
    np.testing.assert_allclose(found[..., 0], known.risk, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[1:-1, 1:-1, 1:], known.slope.to_numpy()[1:-1, 1:-1], rtol=1e-6, atol=1e-9)
    best = smooth.minimum()
    value = in_node(ls.explore(smooth), "return model.minimizer([given.l]).value;", l=1e-3)
    assert value == pytest.approx(float(best.objective[0]), rel=1e-6)


# ---- the page


def test_the_page_is_one_file_that_asks_for_nothing(surface, pair):
    for shown in (surface, pair):
        html = ls.explore(shown).html
        assert "http://" not in html and "https://" not in html and "@@" not in html
        assert "default-src 'none'" in html


def test_a_large_surface_with_penalties_and_runs_is_small_enough(pair, plane):
    """401×401 cells, four kinds of penalties, ten runs: under 3 MB."""
    axes = {name: np.linspace(-10, 10, 401) for name in ("w", "b")}
    kinds = {"l2": ls.l2(0.1), "l1": ls.l1(0.1), "decay": ls.weight_decay(0.1), "net": ls.elastic_net(0.1, 0.1)}
    large = ls.evaluate(pair, plane, axes, quantities=("gradient_norm",), penalties=kinds)
    starts = {"w": np.linspace(-5, 5, 10), "b": np.linspace(5, -5, 10)}
    runs = ls.descend(pair, optax.sgd(0.5), starts, steps=500, penalties={"l2": ls.l2(0.1)})
    assert len(ls.explore(large, runs).html.encode()) < 3e6


INFINITY = "approached at infinity"
HOSTILE = "</script><img src=x onerror=alert(1)>@@SCRIPT@@ & <b>"


def test_hostile_texts_are_texts(pair, plane):
    runs = {HOSTILE: ls.descend(pair, optax.sgd(0.5), {"w": 1.0, "b": 1.0}, steps=3)}
    page = ls.explore(ls.evaluate(pair, plane, AXES), runs, title=HOSTILE)
    assert "<img" not in page.html
    found = json.loads(re.search(r'id="content">(.*?)</script>', page.html, re.S).group(1))
    assert found["title"] == HOSTILE and found["runs"][0]["label"] == HOSTILE


def test_notebooks_show_it_in_a_frame_of_its_own(pair):
    page = ls.explore(pair)
    assert page._repr_html_().startswith('<iframe srcdoc="&lt;!doctype html&gt;') and "sandbox=" in page._repr_html_()
    assert "MB" in repr(page)


def test_a_page_that_cannot_be_written_leaves_nothing(tmp_path, pair):
    with pytest.raises(FileNotFoundError):
        ls.explore(pair).save(tmp_path / "missing" / "page.html")
    ls.explore(pair).save(tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda s: 3, TypeError, "`surface` is an? int"),
        (lambda s: ls.neuron([[1.0, 2.0]], [1]), ValueError, "one w and b"),
        (lambda s: ls.neuron([0] * 3000, [0] * 3000), ValueError, "3000 examples"),
        (lambda s: ls.function(lambda p: p["u"] ** 2, {"u": 1.0}), TypeError, "no ls.neuron"),
        (lambda s: s.isel(b=0), ValueError, "two coordinates"),
    ],
)
def test_what_cannot_be_explored_is_refused(surface, make, error, message):
    with pytest.raises(error, match=message):
        ls.explore(make(surface))


@pytest.mark.parametrize(
    ("which", "names", "error", "message"),
    [
        ("surface", ["x", "y"], ValueError, "`names` are given for a page that shows no data"),
        ("pair", "xy", TypeError, "`names` is 'xy'; give two texts"),
        ("pair", ["x"], TypeError, r"`names` is \['x'\]; give two texts"),
        ("pair", ["x", 3], TypeError, r"`names` is \['x', 3\]; give two texts"),
        ("pair", 3, TypeError, "`names` is 3; give two texts"),
    ],
)
def test_names_of_no_data_are_refused(surface, pair, which, names, error, message):
    with pytest.raises(error, match=message):
        ls.explore({"surface": surface, "pair": pair}[which], names=names)


def test_names_are_any_two_texts(pair):
    for names in (("x", "y"), [np.str_("x"), np.str_("y")], UserList(["x", "y"])):
        assert in_node(ls.explore(pair, names=names), "return content.model.names;") == ["x", "y"]


def test_heights_are_between_samples_and_the_nearest_ones_where_one_is_not_finite():
    script = """const shares = [0, 1, 2, -50, 9, 2, 0, Infinity, 2];
      return given.places.map(([s, t]) => between(shares, 3, s, t));"""
    places = [[0.25, 0], [0, 0.25], [0.75, 0.25], [0.5, 0.5], [0, 1], [0.2, 0.9], [0.3, 0.9], [1, 1]]
    assert in_node(None, script, places=places) == [0.5, 0, 2.25, 4, 0, 0, None, 2]


def test_runs_of_another_objective_and_too_many_are_refused(surface, pair, noisy):
    with pytest.raises(ValueError, match="another objective"):
        ls.explore(surface, ls.descend(noisy, optax.sgd(0.1), {"w": 0.0, "b": 0.0}, steps=2))
    starts = {"w": np.zeros(101), "b": np.zeros(101)}
    with pytest.raises(ValueError, match="`runs` are 101"):
        ls.explore(pair, ls.descend(pair, optax.sgd(0.1), starts, steps=2))


# ---- the command


def test_the_command_writes_pages_of_stores_and_of_built_in_data(tmp_path, capsys, monkeypatch, pair):
    monkeypatch.chdir(tmp_path)
    sweep = ["--axis", "w=-3:3:31", "b=-3:3:21", "--penalty", "l2=0,0.1"]
    assert main(["surface", "--data", "pair", *sweep, "-o", "pair.zarr"]) == 0
    start = ["descend", "--data", "pair", "--penalty", "l2=0.1", "--optimizer", "sgd=0.1", "--steps", "5"]
    assert main([*start, "-o", "runs.zarr"]) == 0
    assert main(["explore", "pair.zarr", "--runs", "runs.zarr", "-o", "stored.html"]) == 0
    assert main(["explore", "o_rings", "-o", "rings.html", "--title", "O-rings"]) == 0
    assert "written: rings.html" in capsys.readouterr().out
    stored, rings = ((tmp_path / name).read_text("utf-8") for name in ("stored.html", "rings.html"))
    assert '"kind": "grid"' in stored and '"label": "sgd' in stored
    assert '"kind": "neuron"' in rings and '"title": "O-rings"' in rings


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["explore", "pair", "-o", "page.png"], "must end in .html"),
        (["explore", "pair", "-o", "missing/page.html"], "no folder"),
        (["explore", "nothing.zarr", "-o", "page.html"], "nothing.zarr"),
    ],
)
def test_the_command_refuses_in_one_line(tmp_path, capsys, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.fixture
def flights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = ["temperature;wind;distress", "53,1;3;1", "57;4,5;1", "66;2;0", "67;1;1", "70,25;0;0", "75;2;0"]
    (tmp_path / "flights.csv").write_text("\n".join(rows), encoding="utf-8")
    return ["--data", "flights.csv", "--x", "temperature", "--y", "distress", "--decimal", ","]


def test_the_command_writes_a_page_of_a_file(tmp_path, flights, capsys):
    """It holds every digit of the file, and the runs of the command line fit it."""
    assert main(["explore", *flights, "-o", "page.html"]) == 0
    assert "flights.csv: x = temperature; y = distress" in capsys.readouterr().out
    page = Page((tmp_path / "page.html").read_text("utf-8"))
    examples = in_node(page, "return [content.title, model.examples.map((e) => [e.x, e.y])];")
    assert examples == ["flights", [[53.1, 1], [57, 1], [66, 0], [67, 1], [70.25, 0], [75, 0]]]
    assert in_node(page, "return content.model.names;") == ["temperature", "distress"]
    squared = [*flights, "--standardize", "--loss", "half_squared_error"]
    assert main(["descend", *squared, "--optimizer", "sgd=0.5", "--steps", "3", "-o", "runs.zarr"]) == 0
    assert main(["explore", *squared, "--runs", "runs.zarr", "-o", "runs.html"]) == 0
    page = Page((tmp_path / "runs.html").read_text("utf-8"))
    mean, entropy, runs, names = in_node(
        page,
        "const { runs, model: { names } } = content;"
        "return [model.examples.reduce((s, e) => s + e.x, 0), model.entropy, runs.length, names];",
    )
    assert abs(mean) < 1e-5 and entropy is False and runs == 1 and names == ["temperature, standardized", "distress"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--x", "wind"], "--x has 2 columns"),
        (["--no-bias"], "--no-bias is given"),
        (["--weights", "none"], "no column 'none'"),
        (["pair"], "not allowed with"),
    ],
)
def test_a_file_that_cannot_be_a_page_is_refused_in_words_of_options(tmp_path, flights, capsys, more, message):
    assert main(["explore", *flights, *more, "-o", "page.html"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_too_many_examples_and_columns_of_a_result_are_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "many.csv").write_text("x,y\n" + "1,0\n2,1\n" * 1001, encoding="utf-8")
    assert main(["explore", "--data", "many.csv", "--x", "x", "--y", "y", "-o", "page.html"]) == 2
    assert "2002 examples; a page computes with 2000" in capsys.readouterr().err
    assert main(["explore", "some.zarr", "--x", "x", "-o", "page.html"]) == 2
    assert "--x belongs to --data; a result has its own" in capsys.readouterr().err
