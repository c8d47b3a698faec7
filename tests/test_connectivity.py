"""Barriers and connections: known answers, theory for convex risks, honest failures, networks on digits, batch norm."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize

import landscape as ls
from landscape.charts.curve import Bezier, Polygon

ZERO = {"x": 0.0, "y": 0.0}
WELLS = ls.function(lambda p: (p["x"] ** 2 - 1) ** 2 + p["y"] ** 2, ZERO)
RING = ls.function(lambda p: (jnp.sqrt(p["x"] ** 2 + p["y"] ** 2) - 1) ** 2, ZERO)
ALONE = ls.function(lambda p: 0 * p["x"], ZERO, penalty=ls.l2(1.0))
EAST, NORTH, WEST = {"x": 1.0, "y": 0.0}, {"x": 0.0, "y": 1.0}, {"x": -1.0, "y": 0.0}
KEY, OTHER = jax.random.key(0), jax.random.key(1)
ADAM = optax.adam(0.01)

lenient = pytest.mark.lenient("optax raises decays and schedules to integer step counts")


def settling(steps: int, rate: float = 0.05) -> optax.GradientTransformation:
    """Steps that shrink to 0, so that noise in t does."""
    return optax.adam(optax.cosine_decay_schedule(rate, steps))


def xy(point) -> np.ndarray:
    return np.array([float(point["x"]), float(point["y"])])


# ---- barriers


def test_two_wells_have_a_barrier_of_one():
    """(x² − 1)² + y² from (−1, 0) to (1, 0): 0 at both ends, 1 in the middle."""
    found = ls.barrier(WELLS, WEST, EAST)
    assert (float(found.height), float(found.at), bool(found.finite)) == (1.0, 0.5, True)
    t = found.surface.t.to_numpy()
    np.testing.assert_allclose(found.surface.excess, ((2 * t - 1) ** 2 - 1) ** 2, atol=1e-6)
    assert found.surface.excess.dims == ("t",) and found.height.attrs["long_name"] == "barrier of the risk"
    assert str(found) == "The barrier is 1 at t = 0.5."
    assert "accuracy" not in found.surface
    plt.close(ls.plot.line(found.surface, "excess"))


def test_excess_is_above_the_line_between_both_ends():
    """From (0, 0), R = 1, to (1, 0), R = 0: R(t) − (1 − t) = t⁴ − 2t² + t, by hand; without it the barrier were 0."""
    found = ls.barrier(WELLS, ZERO, EAST)
    t = found.surface.t.to_numpy()
    np.testing.assert_allclose(t, np.linspace(0, 1, len(t)), atol=1e-6)
    expected = t**4 - 2 * t**2 + t
    np.testing.assert_allclose(found.surface.excess, expected, atol=1e-6)
    assert float(found.height) == pytest.approx(expected.max(), abs=1e-6)
    assert float(found.at) == t[np.argmax(expected)]


def test_a_barrier_along_a_curve():
    """Over the roof (−1, 0), (0, 1), (1, 0) the wells rise by 1 + 1; along a semicircle less than on the line."""
    roof = [WEST, NORTH, EAST]
    assert float(ls.barrier_along(WELLS, Polygon(roof)).height) == pytest.approx(2.0, abs=1e-6)
    assert float(ls.barrier_along(WELLS, Bezier(roof)).height) == pytest.approx(1.25, abs=1e-6)  # y = 1/2 at t = 1/2


@settings(max_examples=5)
@given(seed=st.integers(0, 10**6), loss=st.sampled_from(["cross_entropy", "half_squared_error"]))
def test_a_convex_risk_has_no_barrier(seed, loss):
    """Neurons between any two params: below the line between the ends, to rounding."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=40).astype("f4"), (rng.random(40) > 0.5).astype("f4")
    activation = "sigmoid" if loss == "cross_entropy" else "identity"
    neuron = ls.neuron(x, y, loss=loss, activation=activation)
    a, b = ({"w": float(w), "b": float(c)} for w, c in rng.normal(scale=5, size=(2, 2)))
    found = ls.barrier(neuron, a, b, num_points=21)
    assert 0 <= float(found.height) <= 8 * np.finfo("f4").eps * float(found.surface.risk.max())
    assert float(found.surface.excess[10]) < 0
    assert ("accuracy" in found.surface) == (loss == "cross_entropy")


def test_each_split_has_its_barrier():
    """Of two examples one is fitted by both ends and one by neither: their barriers are apart."""
    losses = lambda p, batch: (p["x"] ** 2 - batch) ** 2  # noqa: E731
    objective = ls.Objective(losses, np.ones(4, "f4"), params=ZERO)
    found = ls.barrier(objective, WEST, EAST, data={"near": np.ones(4, "f4"), "far": np.full(2, 3, "f4")})
    assert found.height.dims == ("split",)
    np.testing.assert_allclose(found.height.sel(split="near"), 1.0, atol=1e-6)
    np.testing.assert_allclose(found.height.sel(split="far"), 9.0 - 4.0, atol=1e-5)
    assert found.finite.to_numpy().tolist() == [True, True]
    assert str(found) == "The barrier is 1 at t = 0.5 (near) and 5 at t = 0.5 (far)."


@pytest.mark.parametrize(("value", "height"), [(jnp.nan, np.nan), (jnp.inf, np.inf), (-jnp.inf, 0.0)])
def test_what_is_not_finite_is_not_dropped(value, height):
    """A hole in the middle of the line: the height is that of the hole, and `finite` is False."""
    holed = ls.function(lambda p: jnp.where(jnp.abs(p["x"]) < 0.1, value, p["y"]), ZERO)
    found = ls.barrier(holed, WEST, EAST, num_points=11)
    np.testing.assert_equal(float(found.height), height)
    assert not bool(found.finite)
    assert float(found.at) == (0.5 if height != 0 else 0.0)


def test_ends_that_are_infinite_have_no_barrier():
    pole = ls.function(lambda p: 1 / (p["x"] ** 2 - 1) ** 2, ZERO)
    found = ls.barrier(pole, WEST, EAST, num_points=5)
    assert np.isnan(float(found.height)) and not bool(found.finite)


# ---- connections with known answers


def weighted_mean(kind, f) -> float:
    """∫ f(w(t)) dt over [0, 1] of a curve of three points."""
    curve = kind([ZERO, EAST, NORTH])
    return quad(lambda t: f(np.asarray(curve.weights(jnp.float32(t)), float)), 0, 1, points=[0.5], epsabs=1e-6)[0]


@lenient
@pytest.mark.parametrize(("curve", "kind", "share"), [("bezier", Bezier, -0.75), ("polygon", Polygon, -0.25)])
def test_the_bend_under_a_penalty_alone(curve, kind, share):
    """E‖w₀a + w₁p + w₂b‖² over uniform t is least at p = −(E w₀w₁/E w₁²)·(a + b): −¾ and −¼ of a + b, in closed form.

    So t is uniform, each bend's gradient has its weight, and the penalty counts.
    """
    ratio = weighted_mean(kind, lambda w: w[0] * w[1]) / weighted_mean(kind, lambda w: w[1] ** 2)
    assert -ratio == pytest.approx(share, abs=1e-3)
    a, b = {"x": 1.0, "y": 0.5}, {"x": 1.0, "y": -0.1}
    found = ls.connect(
        ALONE,
        *(a, b),
        key=KEY,
        optimizer=optax.sgd(lambda step: 0.5 / (1 + 0.1 * step)),
        steps=4000,
        curve=curve,
    )
    assert type(found.curve) is kind and found.finite
    np.testing.assert_allclose(xy(found.curve.points[1]), share * (xy(a) + xy(b)), atol=0.05)
    assert np.array_equal(xy(found.curve.points[0]), xy(a)) and np.array_equal(
        xy(found.curve.points[2]), xy(b).astype("f4")
    )


@lenient
def test_a_bend_around_a_valley_is_the_best_one():
    """A quarter of the ring (r − 1)²: the bend is SciPy's minimizer of the mean over t, the barrier nearly gone."""
    steps = 3000
    found = ls.connect(RING, EAST, NORTH, key=KEY, optimizer=settling(steps, 0.02), steps=steps)
    t = (np.arange(2000) + 0.5) / 2000
    outer = np.outer((1 - t) ** 2, xy(EAST)) + np.outer(t**2, xy(NORTH))

    def mean(bend):
        return np.mean((np.linalg.norm(outer + np.outer(2 * t * (1 - t), bend), axis=1) - 1) ** 2)

    best = minimize(mean, np.array([0.5, 0.5]), tol=1e-10)
    np.testing.assert_allclose(xy(found.curve.points[1]), best.x, atol=5e-3)
    assert float(found.before.height) == pytest.approx((1 - np.sqrt(0.5)) ** 2, rel=1e-5)
    assert float(found.after.height) < 1e-3 * float(found.before.height)
    assert float(found.after.surface.risk.max()) < 1e-3 * float(found.before.height)
    assert found.losses.dims == ("step",) and found.losses.sizes["step"] == steps
    assert float(found.losses[-100:].mean()) < 0.01 * float(found.losses[:100].mean())
    assert str(found).startswith("The barrier falls from 0.0858 on the line to ")


def test_losses_are_the_objective_where_t_was_drawn():
    """With a step of 0 the curve is the line: the losses are its risk at the drawn t; t is uniform in [0, 1]."""
    found = ls.connect(WELLS, WEST, EAST, key=KEY, optimizer=optax.sgd(0.0), steps=300, bends=2)
    t = found.losses.t.to_numpy()
    np.testing.assert_allclose(found.losses, ((2 * t - 1) ** 2 - 1) ** 2, atol=1e-6)
    assert 0 <= t.min() < 0.02 and 0.98 < t.max() <= 1 and abs(t.mean() - 0.5) < 3 / np.sqrt(12 * 300)
    assert [xy(p)[0] for p in found.curve.points] == pytest.approx([-1, -1 / 3, 1 / 3, 1], abs=1e-6)
    with pytest.raises(
        ValueError, match=r"`plane` needs a curve with one bend, and this one has 2, .*ls.plane_through"
    ):
        found.plane()


@lenient
def test_the_same_key_gives_the_same_curve_and_nothing_is_compiled_again(compilations):
    run = functools.partial(ls.connect, RING, optimizer=ADAM, steps=40)
    first = run(EAST, NORTH, key=KEY)
    with compilations() as tally:
        again, other = run(EAST, NORTH, key=KEY), run(EAST, NORTH, key=OTHER)
        run(WEST, NORTH, key=KEY)
    assert tally.count == 0
    assert np.array_equal(xy(first.curve.points[1]), xy(again.curve.points[1]))
    assert np.array_equal(first.losses, again.losses)
    assert not np.array_equal(xy(first.curve.points[1]), xy(other.curve.points[1]))


@lenient
def test_a_saddle_by_symmetry_keeps_the_bend_on_the_line():
    """On y = 0 the wells have no slope in y: the bend stays there, and `after` shows that nothing was gained."""
    found = ls.connect(WELLS, WEST, EAST, key=KEY, optimizer=settling(200), steps=200)
    assert xy(found.curve.points[1])[1] == 0
    assert float(found.after.height) >= 0.99
    with pytest.raises(ValueError, match=r"lie on one line"):
        found.plane()


def test_a_connection_that_diverges_says_so():
    """Its last finite bends are kept, the losses have what came, and the text says that it stopped."""
    cubic = ls.function(lambda p: p["x"] ** 4 + jnp.sin(p["y"]), ZERO)
    found = ls.connect(cubic, EAST, NORTH, key=KEY, optimizer=optax.sgd(1e38), steps=20)
    assert not found.finite
    assert all(np.isfinite(xy(point)).all() for point in found.curve.points)
    assert "did not stay finite" in str(found)


@lenient
def test_a_risk_with_a_hole_stops_the_training():
    holed = ls.function(lambda p: jnp.where(p["x"] < 0.9, jnp.nan, 0.0), ZERO)
    found = ls.connect(holed, EAST, NORTH, key=KEY, optimizer=ADAM, steps=20)
    assert not found.finite and np.isnan(found.losses).any() and np.isnan(float(found.after.height))


@pytest.mark.parametrize(
    ("optimizer", "atol"),
    [(optax.lbfgs(), 5.0), (optax.contrib.schedule_free_sgd(0.3), 0.2)],
    ids=["line search", "schedule-free"],
)
def test_optimizers_that_want_more(optimizer, atol):
    """A line search is given the objective at the step's t, whose optimum jumps; schedule-free bends are averaged."""
    found = ls.connect(ALONE, EAST, NORTH, key=KEY, optimizer=optimizer, steps=150)
    assert found.finite and not np.allclose(xy(found.curve.points[1]), 0.5)
    np.testing.assert_allclose(xy(found.curve.points[1]), [-0.75, -0.75], atol=atol)


@lenient
def test_leaves_of_every_kind_and_mini_batches():
    """bfloat16 stays bfloat16; frozen leaves are the objective's, whatever a and b hold; batches of examples."""
    params = {"w": jnp.zeros(3, jnp.bfloat16), "v": jnp.zeros(()), "n": jnp.asarray(2)}

    def losses(p, batch):
        return jnp.square(jnp.sum(p["w"].astype(jnp.float32) ** 2) - 1 + p["v"] * batch) * p["n"].astype(jnp.float32)

    objective = ls.Objective(losses, np.linspace(-1, 1, 12).astype("f4"), params=params)
    a = {"w": np.array([1, 0, 0], "f4"), "v": 0.0, "n": None}
    b = {"w": jnp.array([0, 1, 0], jnp.bfloat16), "v": 0.0, "n": None}
    found = ls.connect(objective, a, b, key=KEY, optimizer=settling(300), steps=300, batch_size=4, bends=2)
    assert [leaf.dtype for leaf in jax.tree.leaves(found.curve.points[1])] == [jnp.int32, jnp.float32, jnp.bfloat16]
    assert int(found.curve.points[2]["n"]) == 2 and found.finite
    assert float(found.after.height) < 0.2 * float(found.before.height)


# ---- networks


@functools.cache
def digits(count: int = 400):
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images, labels = (images / 16).astype("f4"), labels.astype("i4")
    return {"train": (images[:count], labels[:count]), "test": (images[count : 2 * count], labels[count : 2 * count])}


def trained(objective, init, steps):
    """The params of two runs of Adam from two keys."""

    def step(state, _):
        params, memory = state
        updates, memory = ADAM.update(jax.grad(objective.risk)(params), memory)
        return (optax.apply_updates(params, updates), memory), None

    def run(key):
        params = init(key)
        return jax.lax.scan(step, (params, ADAM.init(params)), length=steps)[0][0]

    both = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(1), 2))
    return tuple(jax.tree.map(lambda leaf, i=i: leaf[i], both) for i in (0, 1))


@lenient
def test_two_networks_are_connected_around_their_barrier():
    """Digits, 64-16-10: the bend lowers the barrier at least fivefold, on both splits; its plane holds the curve."""
    network = ls.mlp((64, 16, 10), output="softmax", loss="cross_entropy")
    objective = network.objective(*digits()["train"])
    a, b = trained(objective, network.init, 200)
    found = ls.connect(
        objective, a, b, key=KEY, optimizer=ADAM, steps=250, batch_size=100, data=digits(), num_points=21
    )
    assert found.finite and float(found.before.height.min()) > 0.1
    assert bool((found.after.height < found.before.height / 5).all())
    accuracy = found.after.surface.accuracy
    assert accuracy.dims == ("split", "t") and float(accuracy.sel(split="train").min()) > 0.97
    assert float(found.before.surface.accuracy.sel(split="train").min()) < 0.97

    plane, run = found.plane(), found.trajectory(num=5)
    seen = run.on(plane)
    length = np.sqrt(sum(float(jnp.sum((a[k][n] - b[k][n]) ** 2)) for k in a for n in a[k]))
    assert float(seen.residual.max()) < 1e-6 * length
    assert [float(seen.alpha[0]), float(seen.alpha[-1])] == pytest.approx([0.0, 1.0], abs=1e-5)
    np.testing.assert_allclose(run.data.risk, found.after.surface.risk.sel(split="train")[::5], rtol=1e-5)
    surface = ls.evaluate(objective, plane, ls.axes_around(seen, points=5))
    plt.close(ls.plot.contour(surface, runs=run))
    plt.close(ls.plot.line(found.after.surface.sel(split="test")))
    with pytest.raises(ValueError, match=r"`num` is 1; it must be at least 2"):
        found.trajectory(num=1)


class Normalized(nn.Module):
    """64-12-10 with batch norm."""

    momentum: float = 0.9

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.BatchNorm(use_running_average=not train, momentum=self.momentum)(nn.Dense(12)(x))
        return nn.Dense(10)(nn.relu(x))


NETWORK = Normalized()
LOSS = optax.softmax_cross_entropy_with_integer_labels


def anew(params, batches):
    """Params with the statistics of all examples at this point."""
    x = batches[0].reshape(-1, 64)
    blank = {"BatchNorm_0": {"mean": jnp.zeros(12), "var": jnp.ones(12)}}
    given = {"params": params, "batch_stats": blank}
    return {"params": params} | NETWORK.clone(momentum=0.0).apply(given, x, train=True, mutable=["batch_stats"])[1]


def with_statistics(variables, batch):
    return LOSS(NETWORK.apply(variables, batch[0]), batch[1])


@pytest.mark.lenient("flax's BatchNorm promotes ranks and dtypes")
def test_batch_statistics_belong_to_a_point():
    """Frozen at a, the statistics ruin b and the way there; computed anew, ends are what was trained, and connect."""
    with jax.numpy_rank_promotion("allow"):
        data = digits(120)["train"]
        example = jax.jit(NETWORK.init)(KEY, data[0])["params"]
        objective = ls.Objective(with_statistics, data, params=example, prepare=anew)
        a, b = trained(objective, lambda key: NETWORK.init(key, data[0])["params"], 40)
        kept = jax.jit(anew)(a, (data[0][None],))["batch_stats"]
        frozen = ls.Objective(
            lambda p, batch: with_statistics({"params": p, "batch_stats": kept}, batch), data, params=example
        )
        of_a = ls.barrier(frozen, a, b, num_points=7)
        found = ls.connect(objective, a, b, key=KEY, optimizer=ADAM, steps=60, num_points=7)
    ends = found.before.surface.risk[[0, -1]]
    np.testing.assert_allclose(ends, [float(objective.risk(p)) for p in (a, b)], rtol=1e-4)
    np.testing.assert_allclose(of_a.surface.risk[0], ends[0], rtol=1e-4)
    assert float(of_a.surface.risk[-1]) > 3 * float(ends[-1])
    assert float(of_a.surface.risk.max()) > 1.2 * float(found.before.surface.risk.max())
    assert float(found.after.height) < float(found.before.height) / 2


def test_ends_that_are_one_have_no_barrier():
    """As a network has with its aligned copy, bit for bit or all but rounding."""
    for b in (EAST, {"x": EAST["x"] * (1 + 1e-7), "y": EAST["y"]}):
        found = ls.barrier(RING, EAST, b, num_points=7)
        assert 0 <= float(found.height) < 1e-6 and found.surface.sizes["t"] == 7 and bool(found.finite)
        np.testing.assert_allclose(found.surface.t, np.linspace(0, 1, 7), rtol=1e-6)


# ---- bad input


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"b": {"x": jnp.ones(2), "y": 0.0}},
            ValueError,
            r"`b` must match `a` leaf .* 'x' is of shape \(2,\), wanted of",
        ),
        ({"a": {"x": 1.0}, "b": {"x": 2.0}}, ValueError, r"`a` must match `objective.params` leaf .* 'y', .* missing"),
        ({"b": ls.Trajectory(EAST, None)}, TypeError, "`b` is a Trajectory; pass its params, b=b.params"),
        ({"b": EAST}, ValueError, r"`a` and `b` are equal; give parameter sets that differ"),
        ({"b": {"x": np.inf, "y": 0.0}}, ValueError, r"`b 'x'` holds 1 of 1 values that are not finite"),
        ({"a": {"x": 1, "y": 0.0}}, TypeError, r"`a` leaf 'x' is 1, a Python int"),
        ({"objective": None}, TypeError, r"`objective` is a NoneType; give an Objective"),
        ({"num_points": 2}, ValueError, r"`num_points` is 2; it must be at least 3"),
        ({"curve": "spline"}, ValueError, r"`curve` is 'spline'; it must be one of 'bezier', 'polygon'"),
        ({"bends": 0}, ValueError, r"`bends` is 0; it must be at least 1"),
        ({"steps": 0}, ValueError, r"`steps` is 0; it must be at least 1"),
        ({"key": 0}, TypeError, r"`key` is an int \(0\), not one random key; pass jax.random.key\(0\)"),
        ({"optimizer": 0.1}, TypeError, r"`optimizer` is a float; give one of optax, such as optax.adam\(0.01\)"),
        ({"batch_size": 2}, ValueError, r"`batch_size` is 2 but there are 1 examples; leave it out"),
    ],
)
def test_bad_arguments_are_named(change, error, message):
    given = {"objective": RING, "a": EAST, "b": NORTH, "key": KEY, "optimizer": ADAM, "steps": 5} | change
    with pytest.raises(error, match=message):
        ls.connect(**given)
    if set(change) <= {"objective", "a", "b", "num_points"} and "are equal" not in message:
        with pytest.raises(error, match=message):
            ls.barrier(**{name: given[name] for name in ("objective", "a", "b", *change)})


def test_charts_and_data_that_do_not_fit(tmp_path):
    pair = ls.neuron(*ls.datasets.pair())
    with pytest.raises(ValueError, match=r"`chart` has the coordinates w, b; a path has one: give a Bezier"):
        ls.barrier_along(pair, ls.axes_plane(pair.params, "w", "b"))
    with pytest.raises(TypeError, match=r"`chart` is a dict; give a Plane"):
        ls.barrier_along(pair, pair.params)
    np.save(tmp_path / "x.npy", np.ones(4, "f4"))
    mapped = ls.Objective(lambda p, x: p["x"] * x, np.load(tmp_path / "x.npy", mmap_mode="r"), params=ZERO)
    with pytest.raises(ValueError, match=r"`objective` reads its data from disk .* `connect` needs them as arrays"):
        ls.connect(mapped, EAST, NORTH, key=KEY, optimizer=ADAM, steps=5)


def test_what_decides_nothing_has_no_accuracy():
    """Outputs of a shape that fits no label: the risk alone is measured. A neuron's probabilities have an accuracy."""
    objective = ls.Objective(
        lambda p, batch: p["x"] * batch[0],
        (np.ones(4, "f4"), np.ones(4, "f4")),
        params=ZERO,
        predict=lambda p, x: p["x"] * jnp.ones((4, 3)),
    )
    assert "accuracy" not in ls.barrier(objective, EAST, NORTH, num_points=3).surface
    neuron = ls.neuron(*ls.datasets.pair())
    assert "accuracy" in ls.barrier(neuron, {"w": 0.0, "b": 0.0}, {"w": 1.0, "b": 0.0}, num_points=3).surface


@lenient
def test_float64(x64):
    """In float64 the barrier of the wells is 1 to 1e-15, and so is a bend's dtype."""
    wells = ls.function(lambda p: (p["x"] ** 2 - 1) ** 2 + p["y"] ** 2, ZERO)
    found = ls.connect(wells, WEST, EAST, key=KEY, optimizer=ADAM, steps=5)
    assert abs(float(found.before.height) - 1) < 1e-15
    assert found.curve.points[1]["x"].dtype == jnp.float64 == found.losses.dtype
