"""Surfaces on compressed examples: those of all examples; and what is not compressed says why."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape.surfaces import _compress, _compressed
from landscape.surfaces._compress import Moments
from tests.stored import Puts

LOSSES = ("cross_entropy", "sigmoid", "tanh", "softplus", "identity")


@pytest.fixture
def worthwhile(monkeypatch):
    """Whatever can be compressed is, though examples this few are not worth it."""
    monkeypatch.setattr(_compressed, "WORTH", 0)


RNG = np.random.default_rng(5)
X = RNG.normal(size=4000)
Y = (RNG.random(4000) < 1 / (1 + np.exp(-2 * X - 0.5))).astype(float)
EVERYTHING = ("risk_stderr", "gradient_norm", "slope", "plane_hessian")
AXES = {"w": np.linspace(-4, 4, 9), "b": np.linspace(-3, 3, 7)}
PENALTIES = {"none": ls.none(), "l1": ls.l1(0.1)}


def compressed_surface(objective, chart, axes, **options):
    """The surface on compressed examples."""
    compressed = ls.evaluate(objective, chart, axes, **options)
    (how, *_) = json.loads(compressed.attrs["compression"])
    assert how["why_not"] == "" and how["nodes"] < how["examples"] / 2
    return compressed


def both(objective, chart, axes, **options):
    """The surface on compressed examples, and on all."""
    return compressed_surface(objective, chart, axes, **options), ls.evaluate(
        objective, chart, axes, **options, exact=True
    )


def assert_alike(compressed, exact, tolerance):
    """Each variable to within its largest size times the tolerance."""
    for name, values in exact.data_vars.items():
        if values.dtype.kind == "f":
            largest = float(np.abs(values).max())
            assert float(np.abs(compressed[name] - values).max()) <= tolerance * largest, name
        else:
            assert compressed[name].equals(values)


@pytest.mark.parametrize("loss", LOSSES)
def test_surfaces_of_all_quantities(loss, worthwhile, x64):
    """In float64, of which nothing hides in rounding; each of the losses that can be compressed."""
    options = {} if loss == "cross_entropy" else {"loss": "half_squared_error", "activation": loss}
    objective = ls.neuron(X, Y if loss != "softplus" else 3 * Y - 1, **options)
    plane = ls.axes_plane(objective.params, "w", "b")
    fine, exact = both(objective, plane, AXES, quantities=EVERYTHING, penalties=PENALTIES)
    assert_alike(fine, exact, 1e-10)
    coarse = compressed_surface(objective, plane, AXES, quantities=EVERYTHING, penalties=PENALTIES, tolerance=1e-3)
    assert_alike(coarse, exact, 1e-3)


@pytest.mark.parametrize("stderr", [False, True])
@pytest.mark.parametrize("loss", LOSSES[1:])
def test_squared_errors_of_many_labels(loss, stderr, worthwhile, x64):
    """Each example has its own; at the minimum, where the terms of the sum are fifty times as large, too."""
    x = np.random.default_rng(1).normal(size=20_000)
    y = _compressed.CURVES[loss][0](1.5 * x - 0.2) + (0.3 if stderr else 0.1) * RNG.normal(size=20_000)
    objective = ls.neuron(x, y, loss="half_squared_error", activation=loss)
    axes = {"w": [-4.0, 0.0, 1.5, 4.0], "b": [-3.0, -0.2, 1.0]}
    plane, quantities = ls.axes_plane(objective.params, "w", "b"), EVERYTHING if stderr else EVERYTHING[1:]
    compressed = compressed_surface(objective, plane, axes, quantities=quantities)
    exact = ls.evaluate(objective, plane, axes, quantities=EVERYTHING, exact=True)  # one program for both
    assert_alike(compressed, exact if stderr else exact.drop_vars("risk_stderr"), 1e-10)
    (how,) = json.loads(compressed.attrs["compression"])
    assert how["error"] <= how["tolerance"] == 2.0**-20
    np.testing.assert_allclose(compressed.risk, exact.risk, rtol=how["error"] / 10)


@pytest.mark.parametrize("kind", ["two places", "narrow", "far labels"])
def test_squares_that_would_cancel_are_exact(kind, dtype, worthwhile):
    """Weights of a few places in a piece have both signs; what is lost then is counted, or nothing compressed."""
    rng = np.random.default_rng(3)
    x = {
        "two places": rng.integers(0, 2, 20_000) - 0.37,
        "narrow": 1.442 + 1e-3 * rng.normal(size=20_000),
        "far labels": rng.normal(size=20_000),
    }[kind]
    y = np.tanh(1.5 * x + 0.2) + 0.004 * rng.normal(size=20_000) + 100 * (kind == "far labels")
    objective = ls.neuron(x.astype(dtype), y.astype(dtype), loss="half_squared_error", activation="tanh")
    plane, axes = ls.axes_plane(objective.params, "w", "b"), {"w": [1.5, 4.0], "b": [-1.0, 0.2]}
    axes = {name: np.array(values, dtype) for name, values in axes.items()}
    found, exact = (ls.evaluate(objective, plane, axes, exact=exact) for exact in (False, True))
    (how,) = json.loads(found.attrs["compression"])
    allowed = 0 if how["why_not"] else how["error"] + (2e-6 if dtype == "float32" else 1e-11)
    np.testing.assert_allclose(found.risk, exact.risk, rtol=allowed)


def test_labels_without_noise_are_not_compressed(worthwhile, x64):
    objective = ls.neuron(X, 0.5 + 0.1 * np.tanh(X), loss="half_squared_error")
    plan = ls.explain(objective, ls.axes_plane(objective.params, "w", "b"), {"w": [-2.0, 2.0], "b": [0.0]})
    assert "so small beside the labels that interpolation would change them by" in plan.examples


def test_labels_that_come_in_late_are_read_again(worthwhile, x64, monkeypatch):
    monkeypatch.setattr(_compressed, "READ", 1000)
    y = np.where(np.arange(20_000) < 5000, 0.0, RNG.normal(size=20_000))
    objective = ls.neuron(np.tile(X, 5), y, loss="half_squared_error", activation="tanh")
    assert_alike(*both(objective, ls.axes_plane(objective.params, "w", "b"), AXES), 1e-10)


def test_squared_errors_of_many_labels_in_float32(worthwhile):
    x = np.random.default_rng(1).normal(size=20_000).astype("float32")
    y = (np.tanh(1.5 * x - 0.2) + 0.1 * RNG.normal(size=20_000)).astype("float32")
    objective = ls.neuron(x, y, loss="half_squared_error", activation="tanh")
    axes = {"w": np.float32([-4, 0, 1.5, 4]), "b": np.float32([-3, -0.2, 1])}
    compressed, exact = both(objective, ls.axes_plane(objective.params, "w", "b"), axes)
    np.testing.assert_allclose(compressed.risk, exact.risk, rtol=1e-6)
    weighted = objective.with_data((x, y, RNG.random(20_000).astype("float32")))
    compressed, exact = both(weighted, ls.axes_plane(objective.params, "w", "b"), axes)
    np.testing.assert_allclose(compressed.risk, exact.risk, rtol=1e-6)


def test_float32_is_as_good_as_the_dtype(worthwhile, dtype):
    objective = ls.neuron(X.astype(dtype), Y.astype(dtype))
    plane = ls.axes_plane(objective.params, "w", "b")
    compressed, exact = both(objective, plane, AXES, quantities=EVERYTHING, penalties=PENALTIES)
    assert compressed.risk.dtype == dtype
    assert_alike(compressed, exact, {"float32": 2e-5, "float64": 1e-11}[dtype])


@pytest.mark.parametrize("chart", ["polar", "boundary", "line", "two features"])
def test_charts_on_which_one_number_is_seen(chart, worthwhile, x64):
    objective = ls.neuron(X, Y)
    plane = ls.axes_plane(objective.params, "w", "b")
    charts = {
        "polar": (lambda: ls.Polar(plane), {"log_scale": [-1.0, 0.0, 1.0], "angle": [0.0, 1.0, 2.0]}),
        "boundary": (lambda: ls.Boundary(plane), {"threshold": [-1.0, 0.5], "w": [0.5, 4.0]}),
        "line": (lambda: ls.axes_plane(objective.params, "w"), {"w": [-1.0, 0.0, 3.0]}),
    }
    if chart == "two features":
        objective = ls.neuron(np.stack([X, X**2], axis=1), Y)
        direction = {"w": np.array([2.0, -1.0]), "b": np.array(0.5)}
        along = ls.Plane(objective.params, (direction, {"w": np.zeros(2), "b": np.array(1.0)}), ("a", "b"))
        quantities = ("risk_stderr", "slope", "plane_hessian")
        assert_alike(*both(objective, along, {"a": [-1.0, 0.3], "b": [0.0, 1.0]}, quantities=quantities), 1e-11)
        return
    make, axes = charts[chart]
    assert_alike(*both(objective, make(), axes, quantities=("slope", "gradient_norm")), 1e-11)


def test_weights_splits_and_sums(worthwhile, x64):
    weights = RNG.random(4000)
    objective = ls.neuron(X, Y, weights=weights, reduction="sum")
    plane = ls.axes_plane(objective.params, "w", "b")
    data = {"train": (X[:3000], Y[:3000], weights[:3000]), "test": (X[3000:], Y[3000:], weights[3000:])}
    compressed, exact = both(objective, plane, AXES, data=data, quantities=("gradient_norm",))
    assert len(json.loads(compressed.attrs["compression"])) == 2
    assert_alike(compressed, exact, 1e-11)


def test_data_on_disk_and_in_batches_are_read_once(worthwhile, x64, tmp_path, monkeypatch):
    """Batch by batch, and to the same nodes as from memory, but for the order of the sums."""
    monkeypatch.setattr(_compressed, "READ", 300)
    for name, values in (("x", X), ("y", Y)):
        np.save(tmp_path / f"{name}.npy", values)
    mapped = tuple(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("x", "y"))
    memory = ls.neuron(X, Y)
    plane = ls.axes_plane(memory.params, "w", "b")
    wanted = ls.evaluate(memory, plane, AXES)
    for data in (mapped, ls.Batches([(X[:1500], Y[:1500]), (X[1500:], Y[1500:])])):
        compressed, exact = both(memory.with_data(data), plane, AXES)
        assert_alike(compressed, wanted, 1e-13)
        assert_alike(compressed, exact, 1e-11)


def test_a_store_goes_on_and_another_tolerance_is_another_problem(worthwhile, tmp_path, puts: Puts, monkeypatch):
    from landscape.surfaces import _plan

    monkeypatch.setattr(_plan, "stored_cells", lambda sizes, n: 9)
    objective = ls.neuron(X.astype("float32"), Y.astype("float32"))
    plane = ls.axes_plane(objective.params, "w", "b")
    puts.stop_after(3)
    with pytest.raises(KeyboardInterrupt):
        ls.evaluate(objective, plane, AXES, store=tmp_path / "s.zarr")
    puts.stop_after(99)
    kept = ls.evaluate(objective, plane, AXES, store=tmp_path / "s.zarr")
    assert kept.risk.equals(ls.evaluate(objective, plane, AXES, store=tmp_path / "t.zarr").risk)
    for other in ({"exact": True}, {"tolerance": 1e-3}):
        with pytest.raises(ValueError, match=r"(?s)s.zarr'.*examples"):
            ls.evaluate(objective, plane, AXES, store=tmp_path / "s.zarr", **other)


def test_other_data_of_that_size_compile_nothing(worthwhile, compilations):
    """The nodes are padded to one of few sizes."""

    def measured(seed):
        rng = np.random.default_rng(seed)
        x = rng.uniform(-1, 1, 4000).astype("float32")
        objective = ls.neuron(x, (x > rng.random(4000)).astype("float32"))
        return ls.evaluate(objective, ls.axes_plane(objective.params, "w", "b"), AXES, quantities=("slope",))

    measured(0)
    with compilations() as tally:
        measured(1)
    assert tally.count == 0


def test_explain_says_what_is_done():
    x = RNG.normal(size=100_000).astype("float32")
    objective = ls.neuron(x, (x > 0).astype("float32"))
    axes = {"w": np.linspace(-10, 10, 401), "b": np.linspace(-10, 10, 401)}
    plan = ls.explain(objective, ls.axes_plane(objective.params, "w", "b"), axes)
    assert plan.examples.startswith("100000 as ") and "nodes of degree 8, error at most 1.4e-07" in plan.examples
    assert f"examples: {plan.examples}" in str(plan)
    assert ls.explain(objective, ls.axes_plane(objective.params, "w", "b"), axes, exact=True).examples == (
        "all, as exact=True asks"
    )


def network(params, batch):
    return (params["w"] * batch[0] + params["b"] - batch[1]) ** 2


def prepared():
    neuron = ls.neuron(X, Y)
    return ls.Objective(neuron.losses, neuron.data, params=neuron.params, prepare=lambda params, batches: params)


def relu():
    return ls.neuron(X, Y, loss="half_squared_error", activation="relu")


TWO = np.stack([X, X[::-1]], axis=1)
WRONG = ls.Metric("wrong", lambda p, batch: (p["w"] * batch[0] + p["b"] > 0) != (batch[1] > 0.5))


@pytest.mark.parametrize(
    ("objective", "options", "reason"),
    [
        (lambda: ls.Objective(network, (X, Y), params={"w": 0.0, "b": 0.0}), {}, "not known to be those of a neuron"),
        (prepared, {}, "not known to be those of a neuron"),
        (relu, {}, "the activation is not smooth"),
        (
            lambda: ls.neuron(jnp.asarray(X, "bfloat16"), jnp.asarray(Y, "bfloat16")),
            {},
            "dtype bfloat16 are too narrow",
        ),
        (lambda: ls.neuron(X, Y), {"quantities": [WRONG]}, "need not be smooth"),
        (lambda: ls.neuron(X, Y), {"quantities": ["accuracy"]}, "need not be smooth"),
        (lambda: ls.neuron(X, Y, weights=Y + 1), {"quantities": ["risk_stderr"]}, "a standard error under weights"),
        (lambda: ls.neuron(TWO, Y), {}, "more than one number"),
        (lambda: ls.neuron(X, Y).with_data((X, Y, Y - 0.5)), {}, "some weights are negative"),
        (lambda: ls.neuron(X[:40], Y[:40]), {}, "would take their place"),
    ],
)
def test_what_is_not_compressed_says_why(objective, options, reason, worthwhile, x64):
    objective = objective()
    width = np.shape(objective.params["w"])
    moves = ({"w": np.ones(width), "b": 0.0}, {"w": np.zeros(width), "b": 1.0})
    if width:
        moves = ({"w": np.array([1.0, 0.0]), "b": 0.0}, {"w": np.array([0.0, 1.0]), "b": 0.0})
    dtype = objective.params["w"].dtype
    moves = tuple(jax.tree.map(lambda leaf: np.asarray(leaf, dtype), move) for move in moves)
    plane = ls.Plane(objective.params, moves, ("first", "second"))
    axes = {"first": [-50.0, 1.0], "second": [-1.0, 1.0]}
    assert reason in ls.explain(objective, plane, axes, **options).examples
    surface = ls.evaluate(objective, plane, axes, **options)
    assert reason in json.loads(surface.attrs["compression"])[0]["why_not"]


def test_little_work_is_done_at_once():
    objective = ls.neuron(X.astype("float32"), Y.astype("float32"))
    assert "too little to save" in ls.explain(objective, ls.axes_plane(objective.params, "w", "b"), AXES).examples


def test_data_that_are_spread_too_wide(worthwhile, monkeypatch):
    """Stop taking room."""
    monkeypatch.setattr(_compress, "ROOM", 1000)
    monkeypatch.setattr(_compress, "CHUNK", 100)
    monkeypatch.setattr(_compressed, "READ", 200)
    objective = ls.neuron(X.astype("float32"), Y.astype("float32"))
    axes = {"w": [-1e3, 1e3], "b": [0.0]}
    assert "they are spread too wide" in ls.explain(objective, ls.axes_plane(objective.params, "w", "b"), axes).examples


def test_an_input_of_all_weights_needs_all_of_each_input(worthwhile, x64):
    objective = ls.neuron(TWO, Y)
    line = ls.Plane(objective.params, ({"w": np.ones(2), "b": np.array(0.0)},), ("a",))
    plan = ls.explain(objective, line, {"a": [0.0, 1.0]}, quantities=["gradient_norm"])
    assert "a gradient over all weights" in plan.examples


@pytest.mark.parametrize("tolerance", [1e-9, 0.0, -1.0, 1.0, np.nan])
def test_bad_tolerance(tolerance):
    objective = ls.neuron(X.astype("float32"), Y.astype("float32"))
    with pytest.raises(
        ValueError, match=r"`tolerance` is .*; in float32 it must be at least 9.54e-07, .* and less than 1"
    ):
        ls.evaluate(objective, ls.axes_plane(objective.params, "w", "b"), AXES, tolerance=tolerance)


def test_a_compressed_surface_is_verified(worthwhile, x64):
    """To within the error that it states."""
    objective = ls.neuron(X, Y)
    plane = ls.axes_plane(objective.params, "w", "b")
    surface = ls.evaluate(objective, plane, AXES, quantities=EVERYTHING, tolerance=1e-2)
    from landscape.surfaces.verify import verify

    assert all(number.agrees for number in verify(surface, objective, cells=10))
    wrong = surface.assign(risk=surface.risk * 1.1)
    assert not all(number.agrees for number in verify(wrong, objective, cells=10))


def test_examples_that_are_not_finite_stay_so(worthwhile, tmp_path, x64):
    """On disk nobody has looked at them."""
    bad = X.copy()
    bad[17] = np.nan
    np.save(tmp_path / "x.npy", bad)
    objective = ls.neuron(X, Y).with_data((np.load(tmp_path / "x.npy", mmap_mode="r"), Y))
    none, why = (
        pytest.warns(UserWarning, match=m) for m in ("finite at none of the cells", "`data` hold numbers that")
    )
    with none, why:
        surface = ls.evaluate(objective, ls.axes_plane(objective.params, "w", "b"), AXES)
    assert "some are not finite" in surface.attrs["compression"] and not surface.finite.any()


def test_inputs_that_are_all_0_and_weights_that_are(worthwhile, x64):
    for x, w in ((0 * X, 3.0), (X, 0.0)):
        objective = ls.neuron(x, Y)
        plane = ls.axes_plane(objective.params, "w", "b")
        assert_alike(*both(objective, plane, {"w": [w], "b": [-1.0, 2.0]}, quantities=EVERYTHING), 1e-11)


def test_derivatives_along_what_is_held_are_of_the_whole_input(worthwhile, x64):
    """Cells on a line, of a plane: the slope across it needs more than the line."""
    objective = ls.neuron(TWO, Y)
    plane = ls.axes_plane(objective.params, "w[0]", "w[1]")
    axes = {"w[0]": np.linspace(-3, 3, 5), "w[1]": [0.0]}
    surface = ls.evaluate(objective, plane, axes, quantities=("slope", "plane_hessian"))
    assert "more than one number" in surface.attrs["compression"]
    assert_alike(surface, ls.evaluate(objective, plane, axes, quantities=("slope", "plane_hessian"), exact=True), 0)


def test_along_a_line_through_0(worthwhile, x64):
    """At w = 0 too the direction is the line's."""
    objective = ls.neuron(TWO, Y)
    line = ls.Plane(objective.params, ({"w": np.array([3.0, 4.0]), "b": np.array(1.0)},), ("a",))
    assert_alike(*both(objective, line, {"a": [0.0]}, quantities=("slope", "plane_hessian")), 1e-11)


@pytest.mark.parametrize(("offset", "said"), [(2e3, ""), (1e6, "too close together for float32")])
def test_places_of_nodes_are_rounded_before_they_are_weighted(worthwhile, offset, said):
    """Far from 0 float32 is coarse: all examples lie on its grid, and so must the nodes."""
    x = (offset + X).astype("float32")
    y = (x > offset).astype("float32")
    objective = ls.neuron(x, y)
    line = ls.Plane(
        {"w": jnp.float32(1), "b": jnp.float32(-offset)}, ({"w": jnp.float32(1), "b": jnp.float32(-offset)},)
    )
    surface = ls.evaluate(objective, line, {"alpha": [0.0, 1.0]}, quantities=("slope",))
    why_not = json.loads(surface.attrs["compression"])[0]["why_not"]
    assert said in why_not if said else why_not == ""
    z = np.array([[1.0], [2.0]]) * (x.astype(float) - offset)
    np.testing.assert_allclose(surface.risk, np.logaddexp(0, (1 - 2 * y) * z).mean(axis=1), rtol=3e-6)


@pytest.mark.parametrize("change", ["columns", "more arrays", "lists", "integers", "zero weights", "no bias"])
def test_data_in_other_forms(worthwhile, x64, change):
    objective = ls.neuron(X, Y, bias=change != "no bias")
    grid = RNG.integers(0, 6, 4000)
    data = {
        "columns": (X[:, None], Y),
        "more arrays": (X, Y, np.ones(4000), np.arange(4000)),
        "lists": [X, Y],
        "integers": (grid, (grid > 2).astype(int)),
        "zero weights": (X, Y, (X > 0).astype(float)),
        "no bias": (X, Y),
    }[change]
    names = ("w",) if change == "no bias" else ("w", "b")
    axes = {name: AXES[name] for name in names}
    plane = ls.axes_plane(objective.params, *names)
    assert_alike(*both(objective.with_data(data), plane, axes, quantities=("slope", "gradient_norm")), 1e-11)


def test_without_any_weight_there_is_no_risk(worthwhile, x64):
    grid = RNG.integers(0, 6, 4000).astype(float)
    objective = ls.neuron(X, Y).with_data((grid, Y, 0 * Y))
    with pytest.warns(UserWarning, match="finite at none of the cells"):
        surface = ls.evaluate(objective, ls.axes_plane(objective.params, "w", "b"), AXES)
    assert "because 0 nodes" in surface.attrs["compression"] and np.isnan(surface.risk).all()


def test_small_batches_are_taken_together(worthwhile, x64, monkeypatch):
    """A chunk at a time, whatever the batches."""
    calls = []
    monkeypatch.setattr(Moments, "_add", lambda self, examples, real=Moments._add: calls.append(real(self, examples)))
    batches = ls.Batches([(X[i : i + 8], Y[i : i + 8]) for i in range(0, 4000, 8)])
    objective = ls.neuron(X, Y).with_data(batches)
    assert_alike(*both(objective, ls.axes_plane(objective.params, "w", "b"), AXES), 1e-11)
    assert len(calls) == 1


def test_what_will_not_be_compressed_is_noticed_early(worthwhile, monkeypatch):
    monkeypatch.setattr(_compressed, "READ", 2**13)
    monkeypatch.setattr(_compress, "CHUNK", 2**12)
    added = []
    monkeypatch.setattr(Moments, "add", lambda self, *part, real=Moments.add: added.append(real(self, *part)))
    x = np.random.default_rng(0).standard_cauchy(2**17).astype("float32")
    objective = ls.neuron(x, (x > 0).astype("float32"))
    plan = ls.explain(objective, ls.axes_plane(objective.params, "w", "b"), {"w": [-1e7, 1e7], "b": [0.0]})
    assert "nearly as many nodes" in plan.examples and len(added) == 1


@pytest.mark.parametrize("options", [{"exact": 1}, {"exact": True, "tolerance": 1e-3}])
def test_contradictions_about_exactness(options):
    objective = ls.neuron(X.astype("float32"), Y.astype("float32"))
    with pytest.raises((TypeError, ValueError), match=r"`exact` is an int|`tolerance` is that of compressed examples"):
        ls.evaluate(objective, ls.axes_plane(objective.params, "w", "b"), AXES, **options)
