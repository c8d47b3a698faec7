"""Gradient flow: paths with known formulas, invariants, how runs end, and what is refused.

Compiling one program takes seconds, so tests share objectives, numbers of starts and numbers of times.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp
from scipy.optimize import brentq

import landscape as ls
from landscape.minima.gradient_flow.gradient_flow import gradient_flow
from landscape.minima.gradient_flow.max_margin import max_margin

TIMES = np.array([0.0, 1.0, 10.0, 100.0, 1e4, 1e6])
KNOWN = [0.0, 0.4428544010021943, 2.177325100614143, 4.568829494840816, 9.20951908290233]
STARTS = {"w": np.array([0.0, -2.0, 1.0]), "b": np.array([0.0, 1.0, 5.0])}


def pair(**options):
    return ls.neuron(*ls.datasets.pair(), **options)


def separate(params, batch):
    """½aᵢθᵢ² + cᵢθᵢ⁴ of each parameter: exponentials where c = 0, θ/√(1 + 8cθ²t) where a = 0."""
    a, c = batch
    return 0.5 * a * params["t"] ** 2 + c * params["t"] ** 4


def separate_objective(a, c):
    data = np.array(a, np.float32), np.array(c, np.float32)
    return ls.Objective(separate, data, params={"t": jnp.zeros(3, jnp.float32)}, reduction="sum")


def test_the_pair():
    """From (0, 0): w + exp(w) = t + 1 and b = 0; from elsewhere, SciPy's path. The data are float32, with x64 off."""
    flow = gradient_flow(pair(), STARTS, TIMES)
    assert isinstance(flow, ls.Trajectory) and flow.data.status.values.tolist() == [0, 0, 0]
    w, b = flow.params["w"], flow.params["b"]
    assert w.dtype == b.dtype == flow.data.risk.dtype == np.float64 and w.shape == (3, 6)
    np.testing.assert_allclose(w[0, :5], KNOWN, atol=1e-10)
    last = brentq(lambda w: w + np.exp(w) - 1e6 - 1, 10, 20, xtol=1e-14)
    assert w[0, -1] == pytest.approx(last, abs=1e-10)
    np.testing.assert_allclose(b[0], 0, atol=1e-15)
    np.testing.assert_allclose(flow.data.gradient_norm[0], 1 / (1 + np.exp(w[0])), rtol=1e-12)
    np.testing.assert_allclose(flow.data.risk[0], np.log1p(np.exp(-w[0])), rtol=1e-12)

    def field(_, theta):
        w, b = theta
        left, right = 1 / (1 + np.exp(w - b)), 1 / (1 + np.exp(w + b))
        return [0.5 * (left + right), 0.5 * (right - left)]

    for i in (1, 2):
        start = [STARTS["w"][i], STARTS["b"][i]]
        path = solve_ivp(field, (0, 1e6), start, "Radau", t_eval=TIMES, rtol=1e-10, atol=1e-12).y
        np.testing.assert_allclose([w[i], b[i]], path, atol=1e-7)


def test_directions_tend_to_the_largest_margin():
    """Soudry et al. (2018): from every start; the pair's is (1, 0)."""
    d = max_margin(pair()).direction
    flow = gradient_flow(pair(), STARTS, TIMES)
    along = flow.params["w"] * d["w"] + flow.params["b"] * d["b"]
    across = np.hypot(flow.params["w"] - along * d["w"], flow.params["b"] - along * d["b"])
    angles = np.arctan2(across, along)[1:]
    assert (np.diff(angles, axis=1) < 0).all()
    assert angles[0, TIMES == 1e4] < 2e-4 and (angles[:, -1] < 2e-5).all()


def test_a_penalty_and_small_steps_of_gradient_descent():
    """With l2 the flow rests at the minimizer; gradient descent is off it by O(η): half of that at η/2."""
    penalty = ls.l2(0.1)
    flow = gradient_flow(pair(penalty=penalty), STARTS, [0.0, 1.0, 10.0, 20.0, 50.0, 100.0])
    np.testing.assert_allclose(flow.params["w"][:, -1], 1.177505264154, atol=1e-9)
    np.testing.assert_allclose(flow.data.objective[:, -1], 0.407186495474, atol=1e-11)
    np.testing.assert_allclose(flow.data.risk[:, -1], 0.268534630763, atol=1e-9)
    assert float(flow.data.gradient_norm[:, -1].max()) < 1e-9
    errors = []
    for steps in (1000, 2000):
        with jax.enable_x64(True):
            run = ls.descend(pair(penalty=penalty), optax.sgd(1 / steps), STARTS, steps, record_every=steps)
        errors.append(run.params["w"][:, -1] - flow.params["w"][:, 1])
    assert np.abs(errors[0]).max() < 1e-3
    np.testing.assert_allclose(errors[0] / errors[1], 2, rtol=0.01)


def test_a_stiff_run_beside_one_that_ends():
    """Eigenvalues 1 and 10⁶: the explicit method would take millions of steps, so the implicit one is taken.

    The other run leaves every bound at the time 1/800, before it has become stiff; it stays with the explicit method.
    """
    starts = np.array([[10.0, 1.0, 1.0], [0.0, -2.0, 3.0]])
    moments = np.array([1e-7, 1e-6, 1e-3, 1.0, 10.0, 1e6])
    flow = gradient_flow(separate_objective([0, 1, 1e6], [-1, 0, 0]), {"t": starts}, moments)
    assert flow.data.status.values.tolist() == [2, 0] and flow.data.stiff.values.tolist() == [False, True]
    decay = np.exp(-np.outer(moments, [0, 1, 1e6]))
    np.testing.assert_allclose(flow.params["t"][1], starts[1] * decay, atol=1e-9)
    np.testing.assert_allclose(flow.params["t"][0, :3, 1:], decay[:3, 1:], atol=1e-9)
    assert flow.data.finite[0].values.tolist() == [True] * 3 + [False] * 3 and flow.data.finite[1].all()
    assert flow.data.end_time.values == pytest.approx([1 / 800, 1e6], rel=1e-9)


@pytest.mark.parametrize("stiff", [False, True])
def test_a_run_that_escapes_in_finite_time(stiff):
    """J = −t⁴: t = 1/√(1/t₀² − 8t) up to the time 1/(8t₀²), NaN from there on; beside it, a run that goes on."""
    starts = np.array([[1.0, 0.0, 0.0], [0.1, 0.2, -0.3]])[: 1 if stiff else 2]
    moments = np.array([0.0, 0.01, 0.1, 0.2, 0.3, 1.0])
    flow = gradient_flow(separate_objective([0, 1, 2], [-1, 0, 0]), {"t": starts}, moments, stiff=stiff)
    assert flow.data.status.values.tolist() == [2, 0][: len(starts)] and (flow.data.stiff == stiff).all()
    assert flow.data.end_time.values == pytest.approx([0.125, 1.0][: len(starts)], abs=1e-10)
    for run, end in zip(range(len(starts)), (0.125, 2.0), strict=False):
        there = moments < end
        exact = 1 / np.sqrt(1 / starts[run, 0] ** 2 - 8 * moments[there])
        np.testing.assert_allclose(flow.params["t"][run, there, 0], exact, rtol=1e-9)
        rest = starts[run, 1:] * np.exp(-np.outer(moments[there], [1, 2]))
        np.testing.assert_allclose(flow.params["t"][run, there, 1:], rest, atol=1e-10)
        np.testing.assert_array_equal(flow.data.finite[run], there)
        # Of a run that escaped nothing is left; that is known of it, so `computed` holds.
        assert np.isnan(flow.params["t"][run, ~there]).all() and flow.data.computed[run].all()
        for name in ("risk", "objective", "gradient_norm"):
            assert np.isnan(flow.data[name][run, ~there]).all() and np.isfinite(flow.data[name][run, there]).all()


def test_growth_beyond_float64_ends_in_nan():
    """J = −½θ² grows like exp(t); the gradient's term 4cθ³ with c = 0 is 0·∞ where θ³ is more than float64 holds."""
    starts = {"t": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])}
    moments = np.array([0.0, 1.0, 10.0, 100.0, 1e4, 1e6])
    flow = gradient_flow(separate_objective([-1, 1, 1], [0, 0, 0]), starts, moments)
    assert flow.data.status.values.tolist() == [2, 0]
    assert float(flow.data.end_time[0]) == pytest.approx(np.log(np.finfo(float).max) / 3, abs=1e-3)
    np.testing.assert_allclose(flow.params["t"][0, :4, 0], np.exp(moments[:4]), rtol=1e-7)
    assert flow.data.finite[0].values.tolist() == [True] * 4 + [False] * 2
    assert not flow.params["t"][1].any()


def test_running_out_of_steps_is_flagged():
    """With the explicit method and few steps: what lies behind is right, what is ahead is NaN and not computed."""
    objective, moments = separate_objective([1.0, 1e3, 1e6], np.zeros(3)), [1e-6, 2e-6, 5e-6, 1e-5, 1.0, 2.0]
    flow = gradient_flow(objective, {"t": np.ones((2, 3))}, moments, stiff=False, max_steps=99)
    assert flow.data.status.values.tolist() == [3, 3] and flow.data.num_steps.values.tolist() == [99, 99]
    assert (flow.data.end_time > 1e-5).all() and (flow.data.end_time < 1).all()
    for name in ("computed", "finite"):
        assert flow.data[name].values.tolist() == [[True] * 4 + [False] * 2] * 2
    np.testing.assert_allclose(flow.params["t"][0, :4, 2], np.exp([-1.0, -2.0, -5.0, -10.0]), atol=1e-9)
    assert np.isnan(flow.params["t"][:, 4:]).all() and np.isnan(flow.data.objective[:, 4:]).all()
    assert flow.data.status.attrs["flag_meanings"].split()[3] == "ran_out_of_steps"


def test_one_example_with_squared_error_is_a_quadrature():
    """dw/dt = (y − σ(wx))σ'(wx)x, so t = ∫ dw over that. One start: no dimension of starts."""
    x, y, start = 1.5, 0.875, -3.0  # exact in float32
    one = ls.neuron([x], [y], loss="half_squared_error", bias=False)
    flow = gradient_flow(one, {"w": start}, [0.5, 5.0, 50.0, 500.0, 2000.0, 1e5])
    assert flow.data.risk.dims == ("step",) and flow.data.status.dims == ()

    def inverse_speed(w):
        s = 1 / (1 + np.exp(-w * x))
        return 1 / ((y - s) * s * (1 - s) * x)

    for w, moment in zip(flow.params["w"][:4], flow.data.time.values[:4], strict=True):
        passed = quad(inverse_speed, start, w, epsabs=0, epsrel=1e-12)[0]
        assert abs(passed - moment) < 1e-9 * inverse_speed(w)
    assert flow.params["w"][-1] == pytest.approx(np.log(7) / x, abs=1e-9)


@pytest.fixture(scope="module")
def product():
    """½(w₁w₂ − 1)², the linear network; with a frozen leaf."""

    def f(params):
        return 0.5 * (params["w"][0] * params["w"][1] - params["one"].astype(params["w"].dtype)) ** 2

    return ls.function(f, {"w": jnp.zeros(2, jnp.float32), "one": jnp.asarray(1, jnp.int32)})


@settings(max_examples=15)
@given(st.lists(st.floats(-2, 2), min_size=6, max_size=6))
def test_the_product_keeps_the_difference_of_squares(product, numbers):
    """w₁² − w₂² is conserved, whatever the start; the objective never grows."""
    starts = np.reshape(numbers, (3, 2))
    flow = gradient_flow(product, {"w": starts, "one": None}, [0.0, 0.1, 1.0, 10.0, 100.0], stiff=False, stop=1e-9)
    w = flow.params["w"]
    kept = starts[:, 0] ** 2 - starts[:, 1] ** 2
    np.testing.assert_allclose(w[..., 0] ** 2 - w[..., 1] ** 2, np.repeat(kept[:, None], 5, 1), atol=1e-8)
    assert (np.diff(flow.data.objective, axis=1) <= 1e-15).all()
    assert flow.params["one"].shape == (3, 5) and (flow.params["one"] == 1).all()


def test_a_stopped_run_stays_where_it_stopped(product):
    """From (s, s): w² = 1/(1 + (1/s² − 1)exp(−2t)). From a minimum and the saddle at 0 it stops at once."""
    starts = np.array([[0.5, 0.5], [2.0, 0.5], [0.0, 0.0]])
    flow = gradient_flow(product, {"w": starts, "one": None}, [0.0, 0.1, 1.0, 10.0, 100.0], stiff=False, stop=1e-9)
    assert flow.data.status.values.tolist() == [1, 1, 1] and flow.data.finite.all() and flow.data.computed.all()
    np.testing.assert_array_equal(flow.params["w"][1:, -1], starts[1:])
    assert flow.data.end_time[0] > 10 and (flow.data.end_time[1:] < 1).all()
    moments = np.minimum(flow.data.time.values, float(flow.data.end_time[0]))
    exact = 1 / np.sqrt(1 + 3 * np.exp(-2 * moments))
    np.testing.assert_allclose(flow.params["w"][0], np.stack([exact, exact], 1), atol=1e-10)
    assert (flow.data.gradient_norm[:, -1] <= 1e-9).all() and flow.data.attrs["stop"] == 1e-9


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_the_objective_falls_and_so_do_distances(seed):
    """Along any flow J falls; where J is convex two runs never part."""
    rng = np.random.default_rng(seed)
    objective = ls.neuron(rng.normal(size=(12, 2)).astype(np.float32), rng.integers(0, 2, 12))
    starts = {"w": 3 * rng.normal(size=(2, 2)), "b": rng.normal(size=2)}
    flow = gradient_flow(objective, starts, [0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0], stiff=False)
    assert not flow.data.status.any()
    assert (np.diff(flow.data.objective, axis=1) <= 1e-12).all()
    theta = np.concatenate([flow.params["w"], flow.params["b"][..., None]], -1)
    assert (np.diff(np.linalg.norm(theta[0] - theta[1], axis=1)) <= 1e-9).all()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_margins_on_separable_data(seed):
    """‖θ‖ grows like log(t)/margin and the rest of θ is bounded: the margin is reached up to O(1/log t)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(12, 2)).astype(np.float32)
    objective = ls.neuron(x, (x @ [1.0, -2.0] > 0.3).astype(int))
    best = max_margin(objective)
    starts = {"w": 3 * rng.normal(size=(2, 2)), "b": rng.normal(size=2)}
    flow = gradient_flow(objective, starts, [1e2, 1e3, 1e4, 1e6, 1e8, 1e10, 1e11, 1e12], stiff=False)
    along = flow.params["w"] @ best.direction["w"] + flow.params["b"] * best.direction["b"]
    norms = np.sqrt((flow.params["w"] ** 2).sum(-1) + flow.params["b"] ** 2)
    angles = np.arccos(along / norms)
    assert (np.diff(angles[:, 2:], axis=1) < 0).all()
    assert (angles * np.log(flow.data.time.values) < 3).all()


def test_pictures_charts_and_stores(tmp_path):
    """What takes a Trajectory takes a flow, whose params are wider than the chart's."""
    objective = pair()
    flow = gradient_flow(objective, STARTS, TIMES)
    np.testing.assert_array_equal(flow.data.step, range(6))
    np.testing.assert_array_equal(flow.data.time, TIMES)
    assert flow.data.time.dims == ("step",) and flow.data.risk.dims == ("start", "step")
    axes = {"w": np.linspace(-5, 15, 11), "b": np.linspace(-6, 6, 9)}
    surface = ls.evaluate(
        objective, ls.axes_plane(objective.params, "w", "b"), axes, penalties={"λ=0": ls.none(), "λ=1": ls.l2(1.0)}
    )
    seen = flow.on(surface)
    np.testing.assert_allclose(seen.w, flow.params["w"], rtol=1e-6)
    assert float(seen.residual.max()) == 0 and "time" in seen.coords
    ls.plot.dark_minimum(surface, flow)
    ls.plot.trajectory(flow, "gradient_norm")
    ls.plot.trajectory({"flow": flow.sel(start=1)}, surface=surface.sel(penalty="λ=0"))
    one = flow.sel(start=2)
    assert one.params["w"].shape == (6,) and "w" in one.on(surface)
    assert repr(one) == repr(ls.Trajectory(one.params, one.data))
    ls.save(flow, tmp_path / "flow.zarr")
    again = ls.open_trajectory(tmp_path / "flow.zarr")
    np.testing.assert_array_equal(again.params["w"], flow.params["w"])
    np.testing.assert_array_equal(again.data.time, TIMES)
    np.testing.assert_array_equal(again.data.status, flow.data.status)
    np.testing.assert_array_equal(again.on(surface).w, seen.w)


def test_other_numbers_compile_nothing(compilations):
    """Times, tolerances, penalties and data are arguments of the compiled program."""
    x, y = ls.datasets.pair()
    gradient_flow(pair(), STARTS, TIMES, stiff=False)
    objective = ls.neuron(2 * np.asarray(x, np.float32), y, penalty=ls.l2(0.5))
    with compilations() as tally:
        gradient_flow(objective, STARTS, TIMES / 1e4, stiff=False, rtol=1e-8, atol=1e-9, max_steps=5000)
    assert tally.count == 0


REFUSED = {
    "l1": ({"objective": pair(penalty=ls.l1(0.1))}, r"`objective` has the penalty 0\.1·‖θ‖₁, whose l1 part"),
    "no objective": ({"objective": {}}, "`objective` is a dict"),
    "times in two dimensions": ({"times": [[1.0, 2.0]]}, r"`times` has shape \(1, 2\); give a 1-D list"),
    "no times": ({"times": []}, r"`times` has shape \(0,\)"),
    "times that fall": ({"times": [1.0, 3.0, 2.0]}, r"strictly increasing; times\[2\] is 2"),
    "times that stand": ({"times": [1.0, 1.0]}, r"strictly increasing; times\[1\] is 1"),
    "times before 0": ({"times": [-1.0, 3.0]}, r"`times` must be ≥ 0 and strictly increasing; times\[0\] is -1"),
    "infinite times": ({"times": [1.0, np.inf]}, "`times` holds 1 of 2 values that are not finite"),
    "stiff": ({"stiff": "auto"}, "`stiff` is 'auto'; it must be True, False, or None"),
    "stop": ({"stop": 0.0}, "`stop` is 0.0; it must be a finite number > 0"),
    "rtol": ({"rtol": 1e-15}, "`rtol` is 1e-15; float64 does not hold errors below"),
    "atol": ({"atol": 0.0}, "`atol` is 0.0; it must be a finite number > 0"),
    "max_steps": ({"max_steps": 0}, "`max_steps` is 0; it must be at least 1"),
    "starts": ({"starts": {"w": 0.0}}, "`starts` must have the structure of the objective's params"),
    "starts that are not finite": ({"starts": {"w": np.nan, "b": 0.0}}, "Start from finite params"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input(case):
    changed, message = REFUSED[case]
    arguments = {"objective": pair(), "starts": {"w": 0.0, "b": 0.0}, "times": [1.0]} | changed
    with pytest.raises((ValueError, TypeError), match=message):
        gradient_flow(**arguments)


def test_data_that_are_not_in_memory_are_refused():
    def losses(params, batch):
        return (params["w"] - batch) ** 2

    batches = ls.Batches([np.ones(2, np.float32), np.zeros(2, np.float32)])
    with pytest.raises(ValueError, match="gradient_flow needs them as arrays in memory"):
        gradient_flow(ls.Objective(losses, batches, params={"w": 0.0}), {"w": 0.0}, [1.0])


def test_losses_that_are_not_computed_in_float64_are_refused():
    narrow = ls.function(lambda p: jnp.square(p["w"]).astype(jnp.float32), {"w": jnp.zeros((), jnp.float32)})
    with pytest.raises(ValueError, match="computes its losses in float32 of params and data in float64"):
        gradient_flow(narrow, {"w": 1.0}, [1.0])


def test_x64_stays_as_it_was():
    with jax.enable_x64(False):
        gradient_flow(pair(), STARTS, TIMES)
        assert jnp.asarray(1.0).dtype == jnp.float32


def test_a_kink_is_no_escape():
    """A relu's flow that slides along its kink: from w = 1 it comes to 0 at 2 log 2, and JAX's gradient jumps there."""
    with jax.enable_x64(True):
        unit = ls.neuron([1.0, -1.0], [-1.0, -1.0], activation="relu", bias=False, loss="half_squared_error")
    flow = gradient_flow(unit, {"w": 1.0}, [1.0, 2.0, 10.0])
    assert flow.data.status == 4 and flow.data.computed.values.tolist() == [True, False, False]
    assert flow.data.end_time == pytest.approx(2 * np.log(2))
    assert flow.data.status.attrs["flag_values"] == [0, 1, 2, 3, 4]
    assert flow.data.status.attrs["flag_meanings"].split()[4] == "met_a_kink"
