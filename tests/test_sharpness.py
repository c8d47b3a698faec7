"""Sharpness: closed forms of each measure, what leaves it alone and what does not, flags, batches, refusals."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings, strategies
from scipy.optimize import brentq

import landscape as ls
from landscape.analysis.sharpness.sharpness import CHANGES, INVARIANT_TO, MEASURES
from tests.closeness import assert_close

KEY = jax.random.key(0)
BALLS = ["worst_case", "sam", "adaptive", "adaptive_sam"]


@dataclass(frozen=True)
class Quadratic:
    """½(θ − θ*)ᵀH(θ − θ*) of data (H, θ*), each with one row; θ are the entries of the leaf "W" (2, 2)."""

    def __call__(self, params, batch):
        hessian, minimum = batch
        away = params["W"].reshape(-1) - minimum[0]
        return 0.5 * jnp.vdot(away, hessian[0] @ away)[None]


def quadratic(hessian, minimum, at, dtype="float64"):
    data = tuple(np.asarray(part, dtype)[None] for part in (hessian, minimum))
    return ls.Objective(Quadratic(), data, params={"W": np.asarray(at, dtype).reshape(2, 2)})


def symmetric(seed, eigenvalues):
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(eigenvalues),) * 2))
    return rotation @ np.diag(eigenvalues) @ rotation.T


def largest_in_ball(slope, matrix, radius):
    """max ⟨b, u⟩ + ½uᵀAu over ‖u‖ ≤ ρ, where it is on the sphere: u = (μI − A)⁻¹b with μ ≥ λ_max, ‖u‖ = ρ."""
    values, vectors = np.linalg.eigh(matrix)
    b = vectors.T @ slope

    def too_long(mu):
        return np.linalg.norm(b / (mu - values)) - radius

    mu = brentq(too_long, values[-1] + 1e-12, values[-1] + 10 * np.linalg.norm(b) / radius, xtol=1e-14)
    u = b / (mu - values)
    return b @ u + 0.5 * u @ (values * u)


# ---- closed forms


def test_at_the_minimum_of_a_quadratic_all_are_known(dtype):
    """½ρ²λ_max, ½σ² tr H with variance ½σ⁴ tr H², and for diagonal H ½ρ² max hᵢθᵢ²."""
    eigenvalues = np.array([3.0, 1.0, 0.5, 0.5])
    hessian, rho = symmetric(1, eigenvalues), 0.3
    bowl = quadratic(hessian, np.zeros(4), np.zeros(4), dtype)
    found = ls.sharpness(bowl, bowl.params, radius=rho, num_probes=400, key=KEY)
    sigma = rho / 2
    eps = 64 * float(jnp.finfo(dtype).eps)
    assert abs(found["worst_case"] / (0.5 * rho**2 * 3) - 1) < eps
    assert abs(found["hessian_max"] / 3 - 1) < eps
    assert found["sam"] == found["adaptive"] == found["adaptive_sam"] == 0  # no slope, and no entry that could move
    average, trace = (found.data.sel(measure=name) for name in ("average_case", "hessian_trace"))
    assert abs(average.value - 0.5 * sigma**2 * 5) < 4 * average.stderr
    expected = sigma**2 * np.sqrt(0.5 * (eigenvalues**2).sum() / 400)
    assert abs(average.stderr / expected - 1) < 0.2
    assert abs(trace.value - 5) < 4 * trace.stderr
    assert found.data.converged.all() and found.data.finite.all()
    assert found.data.attrs["size"] == 4


def test_off_the_minimum_the_maximum_is_that_of_the_trust_region_problem(x64):
    """And SAM's is ρ‖g‖ + ½ρ² ĝᵀHĝ; the adaptive ones are these of the slope |θ|g and the matrix |θ|H|θ|."""
    minimum, at = np.array([1.0, -2.0, 0.5, 0.0]), np.array([0.5, 1.0, -1.0, 2.0])
    for seed, eigenvalues in ((2, [4.0, 2.0, 1.0, -1.0]), (3, [1.0, 0.9, 0.8, 0.1])):
        hessian = symmetric(seed, np.array(eigenvalues))
        bowl = quadratic(hessian, minimum, at)
        found = ls.sharpness(bowl, bowl.params, radius=0.7, adaptive_radius=0.4, measures=BALLS, key=KEY)
        slope = hessian @ (at - minimum)
        scale = np.abs(at)
        for rho, b, a, names in (
            (0.7, slope, hessian, ("worst_case", "sam")),
            (0.4, scale * slope, scale[:, None] * hessian * scale, ("adaptive", "adaptive_sam")),
        ):
            along = rho * b / np.linalg.norm(b)
            np.testing.assert_allclose(found[names[1]], b @ along + 0.5 * along @ a @ along, rtol=1e-12)
            np.testing.assert_allclose(found[names[0]], largest_in_ball(b, a, rho), rtol=1e-8)
            assert found[names[0]] >= found[names[1]]
        assert found.data.converged.all()


@settings(max_examples=15)
@given(
    h=strategies.lists(strategies.floats(0.1, 10.0), min_size=4, max_size=4),
    at=strategies.lists(strategies.floats(0.1, 10.0), min_size=4, max_size=4),
    signs=strategies.lists(strategies.sampled_from([-1.0, 1.0]), min_size=4, max_size=4),
)
def test_the_adaptive_ball_of_a_diagonal_quadratic_is_unmoved_by_any_rescaling(h, at, signs):
    """½ρ² max hᵢθᵢ² at the minimum θ, which (h/c², c·θ) has too."""
    with jax.enable_x64(True):
        h, at = np.array(h), np.array(at) * signs
        factors = np.array([2.0, -0.3, 17.0, 1e-3])
        for scale in (np.ones(4), factors):
            bowl = quadratic(np.diag(h / scale**2), scale * at, scale * at)
            found = ls.sharpness(bowl, bowl.params, adaptive_radius=0.5, measures=["adaptive"], num_starts=1, key=KEY)
            np.testing.assert_allclose(found["adaptive"], 0.125 * (h * at**2).max(), rtol=1e-7)


@dataclass(frozen=True)
class Linear:
    """½‖xW − y‖², W (in, out), or (out, in)."""

    transposed: bool

    def __call__(self, params, batch):
        kernel = params["W"].T if self.transposed else params["W"]
        return 0.5 * jnp.sum((batch[0] @ kernel - batch[1]) ** 2, axis=1)


def linear_model(transposed=False):
    rng = np.random.default_rng(4)
    x, y, w = rng.normal(size=(30, 2)) * [3.0, 0.3], rng.normal(size=(30, 2)), rng.normal(size=(2, 2))
    return ls.Objective(Linear(transposed), (x, y), params={"W": w.T.copy() if transposed else w})


@pytest.mark.parametrize("transposed", [False, True])
def test_relative_flatness_of_a_linear_model_is_the_norm_times_the_trace(x64, transposed):
    """R = (1/2n)‖XW − Y‖² has H_ss' = δ_ss' XᵀX/n, so κ = ‖W‖²·tr(XᵀX)/n."""
    linear = linear_model(transposed)
    x, w = np.asarray(linear.data[0]), np.asarray(linear.params["W"])
    options = {"measures": ["relative_flatness"], "num_probes": 2000, "filter_axis": 0 if transposed else -1}
    found = ls.sharpness(linear, linear.params, key=KEY, **options).data.sel(measure="relative_flatness W")
    assert abs(found.value - (w**2).sum() * (x**2).sum() / 30) < 4 * found.stderr
    assert 0 < found.stderr < 0.1 * found.value


def test_relative_flatness_is_its_definition_on_a_network(x64):
    """Σ_ss' ⟨w_s, w_s'⟩ tr H_ss' from all entries of the Hessian."""
    objective, params = relu()
    names = ["layer1/W", "layer2/W"]
    found = ls.sharpness(objective, params, measures=["relative_flatness"], num_probes=3000, key=KEY).data
    assert found["measure"].values.tolist() == [f"relative_flatness {name}" for name in names]
    hessian = ls.hessian(objective, params)
    for i, name in enumerate(names):
        w = np.asarray(params[f"layer{i + 1}"]["W"])
        own = hessian["param"].str.startswith(name).values
        blocks = hessian.values[np.ix_(own, own)].reshape(*w.shape, *w.shape)
        expected = np.einsum("is,it,jsjt->", w, w, blocks)
        assert abs(found.value[i] - expected) < 4 * found.stderr[i]
        assert found.stderr[i] < 0.3 * abs(expected)


# ---- what leaves each measure alone


def relu(activation="relu"):
    """A network of one hidden layer with biases, not at a minimum."""
    network = ls.mlp((2, 3, 2), activation=activation, output="softmax", loss="cross_entropy")
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(20, 2)), rng.integers(0, 2, 20)
    params = jax.tree.map(lambda leaf: leaf + 0.2, network.init(jax.random.key(3), "he"))
    return network.objective(x, y, params=params), params


def layers_rescaled(params, c=3.0):
    first, second = params["layer1"], params["layer2"]
    return params | {
        "layer1": jax.tree.map(lambda leaf: c * leaf, first),
        "layer2": {"W": second["W"] / c, "b": second["b"]},
    }


def units_rescaled(params, c=(0.2, 3.0, 7.0)):
    factors, first, second = np.array(c), params["layer1"], params["layer2"]
    return params | {
        "layer1": {"W": first["W"] * factors[None], "b": first["b"] * factors},
        "layer2": {"W": second["W"] / factors[:, None], "b": second["b"]},
    }


def units_exchanged(params, signs=(1.0, 1.0, 1.0)):
    order = np.array([2, 0, 1])
    exchanged = jax.tree.map(lambda leaf: leaf[..., order], params["layer1"])
    second = {"W": params["layer2"]["W"][order], "b": params["layer2"]["b"]}
    return units_rescaled(params | {"layer1": exchanged, "layer2": second}, signs)


def unchanged(a, b):
    """By measure, whether two findings agree: to rounding, or, of means over other probes, to their standard errors."""
    same, moved = {}, {}
    for name in a.data["measure"].values:
        one, other = (found.data.sel(measure=name) for found in (a, b))
        spread = 0 if np.isnan(one.stderr) else float(np.hypot(one.stderr, other.stderr))
        difference = abs(float(one.value - other.value))
        same[str(name)] = difference <= max(1e-9 * abs(float(one.value)), 4 * spread)
        moved[str(name)] = difference > max(1e-2 * abs(float(one.value)), 4 * spread)
    return same, moved


def of_layers(measures, change):
    """The table of the module, a row a layer."""
    return {name: change in INVARIANT_TO[name.split()[0]] for name in measures}


def test_two_layers_of_relu_rescaled(x64):
    objective, params = relu()
    a, b = (ls.sharpness(objective, at, key=KEY) for at in (params, layers_rescaled(params)))
    same, moved = unchanged(a, b)
    table = of_layers(same, "layer_rescaling")
    assert same == table
    assert moved == {name: not kept for name, kept in table.items()}
    np.testing.assert_allclose(a.data.attrs["risk"], b.data.attrs["risk"], rtol=1e-13)
    exact = ["relative_flatness layer1/W", "relative_flatness layer2/W"]  # of the same probes: to rounding
    np.testing.assert_allclose([a[name] for name in exact], [b[name] for name in exact], rtol=1e-10)


def test_units_of_relu_rescaled_keep_the_adaptive_ones_and_the_relative_flatness_of_their_own_layer(x64):
    objective, params = relu()
    measures = [name for name in MEASURES if name != "average_case"]
    both = params, units_rescaled(params)
    a, b = (ls.sharpness(objective, at, measures=measures, num_probes=3000, key=KEY) for at in both)
    same, moved = unchanged(a, b)
    table = of_layers(same, "unit_rescaling")
    own = {"relative_flatness layer1/W": True}
    assert same == table | own
    assert moved == {name: not kept for name, kept in (table | own).items()}


def test_units_exchanged_or_with_signs_changed_keep_all(x64):
    objective, params = relu("tanh")
    a, b = (
        ls.sharpness(objective, at, num_probes=400, key=KEY)
        for at in (params, units_exchanged(params, signs=(-1.0, 1.0, -1.0)))
    )
    same, _ = unchanged(a, b)
    maxima = dict.fromkeys(("worst_case", "adaptive"), True)  # found from other starts
    assert same | maxima == dict.fromkeys(same, True) and all("units" in INVARIANT_TO[name] for name in MEASURES)
    np.testing.assert_allclose([a[n] for n in maxima], [b[n] for n in maxima], rtol=1e-6)


@dataclass(frozen=True)
class Turned:
    """A smooth risk of Qθ, θ the leaf "W" (2, 2), Q among the data."""

    def __call__(self, params, batch):
        rotation, features = batch
        z = features[0] @ (rotation[0] @ params["W"].reshape(-1))
        return jnp.sum(jnp.logaddexp(z, -z) + 0.1 * z**3)[None]


def test_rotations_keep_the_euclidean_ones_alone(x64):
    rng = np.random.default_rng(6)
    rotation, features, at = np.linalg.qr(rng.normal(size=(4, 4)))[0], rng.normal(size=(6, 4)), rng.normal(size=4)
    found = [
        ls.sharpness(ls.Objective(Turned(), (q[None], features[None]), params=params), params, num_probes=3000, key=KEY)
        for q, params in ((np.eye(4), {"W": at.reshape(2, 2)}), (rotation, {"W": (rotation.T @ at).reshape(2, 2)}))
    ]
    same, moved = unchanged(*found)
    np.testing.assert_allclose(found[0]["worst_case"], found[1]["worst_case"], rtol=1e-6)
    table = of_layers(same, "rotation")
    assert same | {"worst_case": True} == table
    assert moved == {name: not kept for name, kept in table.items()}


def test_the_table_names_known_changes():
    assert set(INVARIANT_TO) == set(MEASURES)
    assert {change for kept in INVARIANT_TO.values() for change in kept} == set(CHANGES)


# ---- what it is of, and how it is read


def test_the_penalty_is_left_out(x64):
    objective, params = relu()
    options = {"measures": ["worst_case", "average_case", "hessian_max"], "num_probes": 8, "key": KEY}
    a, b = (ls.sharpness(one, params, **options) for one in (objective, objective.with_penalty(ls.l2(1.0))))
    assert a.data.equals(b.data)


def test_data_in_batches_give_the_same(x64):
    linear = linear_model()
    x, y = (np.asarray(part) for part in linear.data)
    batches = ls.Batches([(x[:20], y[:20]), (x[20:], y[20:])])
    whole = ls.sharpness(linear, linear.params, num_probes=8, key=KEY).data
    parts = ls.sharpness(linear.with_data(batches), linear.params, num_probes=8, key=KEY).data
    np.testing.assert_allclose(parts.value, whole.value, rtol=1e-8)
    assert_close(parts.stderr, whole.stderr.values, eps=1e5)
    cheap = ["average_case", "sam", "relative_flatness"]
    cut = ls.sharpness(linear, linear.params, measures=cheap, num_probes=8, batch_size=20, key=KEY).data
    np.testing.assert_allclose(cut.value, whole.value.sel(measure=cut.measure), rtol=1e-8)


def test_prepared_params_and_frozen_leaves(x64):
    """R(θ) = Σᵢ ½‖2θ − aᵢ‖², doubled by `prepare`: H = 4n·I, and an integer leaf does not move."""
    prepared = ls.Objective(
        lambda given, batch: 0.5 * jnp.sum((given["W"][None] - batch) ** 2, axis=(1, 2)),
        np.array([[[1.0, 0.0], [0.0, 0.0]], [[3.0, 0.0], [0.0, 0.0]]]),
        params={"W": np.array([[0.5, 0.0], [0.0, 0.0]]), "count": np.array(3)},
        reduction="sum",
        prepare=lambda params, batches: params | {"W": 2 * params["W"]},
    )
    measures = ["sam", "worst_case", "hessian_max"]
    found = ls.sharpness(prepared, prepared.params, radius=0.1, measures=measures, key=KEY)
    assert_close(np.array([found["hessian_max"]]), np.array([8.0]), eps=16)
    # g = 2·(2·½ − 1 + 2·½ − 3) = −4 along the first entry: 4ρ + ½·8ρ²
    assert_close(np.array([found["worst_case"], found["sam"]]), np.array([0.44, 0.44]), eps=64)
    assert found.data.attrs["size"] == 4


def test_narrow_params_are_moved_in_float32():
    """R = 2x² at 1: g = 4, and R(1 + ρ) − R(1) = 4ρ + 2ρ²."""
    narrow = ls.function(lambda p: 2 * jnp.square(p["x"]).astype(jnp.float32), {"x": jnp.ones((), jnp.bfloat16)})
    found = ls.sharpness(narrow, narrow.params, radius=0.5, measures=["sam"], key=KEY)
    assert abs(found["sam"] / 2.5 - 1) < 0.02  # bfloat16 has 8 digits of 2


def test_the_same_key_gives_the_same_and_other_params_compile_nothing(compilations):
    bowl = quadratic(symmetric(1, np.array([2.0, 1.0, 0.5, 0.2])), np.zeros(4), np.ones(4), "float32")
    found = ls.sharpness(bowl, bowl.params, num_probes=8, key=KEY)
    other = quadratic(symmetric(2, np.array([5.0, 1.0, 0.1, 0.1])), np.ones(4), np.zeros(4), "float32")
    keys = jax.random.key(7)
    with compilations() as tally:
        ls.sharpness(other, {"W": np.full((2, 2), 2.0, np.float32)}, num_probes=8, key=keys)
    assert tally.count == 0
    assert found.data.equals(ls.sharpness(bowl, bowl.params, num_probes=8, key=KEY).data)


# ---- flags


def test_what_has_not_converged_says_so(x64):
    bowl = quadratic(symmetric(3, np.array([1.0, 0.999, 0.998, 0.997])), np.zeros(4), np.ones(4))
    found = ls.sharpness(bowl, bowl.params, measures=["worst_case", "sam"], num_starts=1, max_steps=0, key=KEY)
    assert not found.data.converged.sel(measure="worst_case") and found.data.converged.sel(measure="sam")
    worst, sam = (line for line in str(found).splitlines() if line.strip().startswith(("worst", "sam")))
    assert worst.endswith("NOT converged") and "NOT" not in sam


def test_at_a_maximum_nothing_is_higher(x64):
    hill = quadratic(-np.diag([1.0, 2.0, 2.0, 3.0]), np.zeros(4), np.zeros(4))
    found = ls.sharpness(hill, hill.params, measures=["worst_case", "hessian_max"], key=KEY)
    assert found["worst_case"] == 0 and found["hessian_max"] == -1 and found.data.converged.all()


def test_what_is_not_finite_stays_and_is_flagged(x64):
    """√(1 − x²) is NaN beyond a distance of 1, and has no curvature at 1."""
    arc = ls.function(lambda p: -jnp.sqrt(1 - p["W"][0, 0] ** 2), {"W": jnp.zeros((2, 2))})
    measures = ["worst_case", "sam", "hessian_max"]
    inside, on_edge, gone = (
        ls.sharpness(arc, {"W": np.diag([x, 0.0])}, radius=rho, measures=measures, num_starts=1, key=KEY).data
        for x, rho in ((0.0, 1.5), (1.0, 0.25), (np.nan, 0.25))
    )
    assert inside.finite.values.tolist() == [False, True, True]  # 0 is stationary: SAM does not move
    assert np.isnan(inside.value[0]) and not inside.converged[0]
    assert not on_edge.converged.sel(measure=["worst_case", "hessian_max"]).any()
    assert not on_edge.finite.any() and not gone.finite.any() and np.isnan(gone.value).all()


# ---- along a run


def test_on_a_quadratic_the_sharpness_is_constant_and_the_threshold_says_which_run_diverges(x64):
    """Heavy ball is stable up to (2 + 2β)/η: one run is just below, one just above it."""
    top, beta = 3.0, 0.6
    bowl = quadratic(symmetric(1, np.array([top, 1.0, 0.5, 0.2])), np.zeros(4), np.ones(4))
    rates = {"below": 0.97 * (2 + 2 * beta) / top, "above": 1.03 * (2 + 2 * beta) / top}
    optimizers = {label: optax.sgd(rate, momentum=beta) for label, rate in rates.items()}
    starts = {"W": np.stack([np.ones((2, 2)), np.full((2, 2), -2.0)])}
    runs = ls.descend(bowl, optimizers, starts, 100, record_every=50)
    found = ls.sharpness_along(bowl, runs, learning_rate=rates, momentum=beta, key=KEY)
    assert found.hessian_max.dims == ("optimizer", "start", "step") == found.above.dims
    assert found.threshold.dims == ("optimizer",)
    assert_close(found.hessian_max, np.full((2, 2, 3), top), eps=64)
    assert found.converged.all() and found.finite.all()
    assert found.above.sel(optimizer="above").all() and not found.above.sel(optimizer="below").any()
    grown = runs.data.risk.isel(step=-1) / runs.data.risk.isel(step=0)
    assert (grown.sel(optimizer="above") > 1e2).all() and (grown.sel(optimizer="below") < 1e-2).all()


def test_along_a_run_it_is_the_largest_eigenvalue_of_the_penalized_hessian(x64):
    rng = np.random.default_rng(8)
    objective = ls.Objective(
        Turned(),
        (np.eye(4)[None], rng.normal(size=(1, 6, 4))),
        params={"W": rng.normal(size=(2, 2))},
        penalty=ls.l2(0.05),
    )
    run = ls.descend(objective, optax.sgd(0.02), objective.params, 20, record_every=10)
    found = ls.sharpness_along(objective, run, learning_rate=0.02, key=KEY)
    points = [jax.tree.map(lambda leaf, i=i: leaf[i], run.params) for i in range(3)]
    hessians = [jax.hessian(objective)(at)["W"]["W"].reshape(4, 4) for at in points]
    expected = [np.linalg.eigvalsh(hessian)[-1] for hessian in hessians]
    np.testing.assert_allclose(found.hessian_max, expected, rtol=1e-9)
    assert float(found.threshold) == 100 and found.step.values.tolist() == [0, 10, 20]
    stacked = ls.sharpness_along(objective, run.params, key=KEY)
    np.testing.assert_array_equal(stacked.hessian_max, found.hessian_max)
    assert stacked.hessian_max.dims == ("point",) and "threshold" not in stacked
    one = ls.sharpness_along(objective, points[1], key=KEY)
    assert one.hessian_max.dims == () and float(one.hessian_max) == float(found.hessian_max[1])


def test_where_a_run_has_diverged_it_is_nan_and_flagged(x64):
    """Even where the Hessian is the same everywhere."""
    bowl = quadratic(np.diag([4.0, 3.0, 2.0, 1.0]), np.zeros(4), np.ones(4))
    points = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, np.inf, 1.0, 1.0], [np.nan, 1.0, 1.0, 1.0]])
    points = {"W": points.reshape(3, 2, 2)}
    found = ls.sharpness_along(bowl, points, learning_rate=1.0, key=KEY)
    assert_close(found.hessian_max, np.array([4.0, np.nan, np.nan]))
    assert np.isnan(found.residual[1:]).all()
    for flag in (found.finite, found.converged, found.above):
        assert flag.values.tolist() == [True, False, False]


def test_few_products_are_said_to_be_too_few(x64):
    bowl = quadratic(np.diag([4.0, 3.0, 2.0, 1.0]), np.zeros(4), np.ones(4))
    found = ls.sharpness_along(bowl, bowl.params, max_products=2, key=KEY)
    assert not found.converged and found.finite and found.residual > 0


# ---- refusals

BOWL = ls.function(lambda p: p["x"] ** 2, {"x": 1.0})


@pytest.mark.parametrize(
    "wrong, error, message",
    [
        ({"radius": 0.0}, ValueError, r"`radius` is 0.0; it must be a finite number > 0"),
        ({"adaptive_radius": -1.0}, ValueError, r"`adaptive_radius` is -1.0; it must be"),
        ({"key": 3}, TypeError, r"`key` is an int \(3\), not one random key"),
        ({"num_probes": 1}, ValueError, r"`num_probes` is 1; it must be at least 2"),
        ({"num_starts": -1}, ValueError, r"`num_starts` is -1; it must be at least 0"),
        ({"max_steps": 1.5}, TypeError, r"`max_steps` is 1.5 \(float\); it must be a whole number"),
        ({"measures": "sam"}, TypeError, r"`measures` is a str; give a list of names, such as \['worst_case'"),
        ({"measures": ["flat"]}, ValueError, r"`measures` is 'flat'; it must be one of 'worst_case', "),
        ({"measures": []}, ValueError, r"`measures` is empty; give some of worst_case, "),
        ({"batch_size": 0}, ValueError, r"`batch_size` is 0; it must be at least 1"),
    ],
)
def test_bad_arguments_are_named(wrong, error, message):
    with pytest.raises(error, match=message):
        ls.sharpness(BOWL, BOWL.params, **{"key": KEY, **wrong})


def test_bad_objectives_params_and_names_are_named():
    with pytest.raises(TypeError, match=r"`objective` is a function; give an Objective"):
        ls.sharpness(lambda p: p, {}, key=KEY)
    with pytest.raises(ValueError, match=r"`params` must have the structure of the objective's own"):
        ls.sharpness(BOWL, {"y": 1.0}, key=KEY)
    with pytest.raises(
        ValueError, match=r"`measures` is relative_flatness alone, but `params` has no matrix of weights"
    ):
        ls.sharpness(BOWL, BOWL.params, measures=["relative_flatness"], key=KEY)
    found = ls.sharpness(BOWL, BOWL.params, measures=["sam"], key=KEY)
    with pytest.raises(ValueError, match=r"`measure` is 'asam'; it must be one of 'sam'"):
        found["asam"]


def test_the_kernels_of_equinox_need_their_axis():
    eqx = pytest.importorskip("equinox")
    model = eqx.nn.Linear(3, 2, key=KEY)
    params, static = eqx.partition(model, eqx.is_inexact_array)
    x = np.ones((4, 3), np.float32)
    objective = ls.Objective(
        lambda p, batch: jnp.sum(jax.vmap(eqx.combine(p, static))(batch) ** 2, axis=1), x, params=params
    )
    with pytest.raises(ValueError, match=r"`filter_axis` is not given, and leaf 'weight' \(2, 3\)"):
        ls.sharpness(objective, params, measures=["relative_flatness"], key=KEY)


def test_bad_runs_and_rates_are_named():
    plane = ls.axes_plane({"x": 1.0, "y": 0.0}, "x", "y")
    bowl = ls.function(lambda p: p["x"] ** 2 + p["y"] ** 2, {"x": 1.0, "y": 0.0})
    seen = ls.descend(bowl, optax.sgd(0.1), bowl.params, 2, record=plane)
    with pytest.raises(ValueError, match=r"`params` is a trajectory that keeps coordinates on a chart"):
        ls.sharpness_along(bowl, seen, key=KEY)
    with pytest.raises(ValueError, match=r"`params` must have the structure of the objective's params"):
        ls.sharpness_along(bowl, {"x": 1.0}, key=KEY)
    for wrong in ({"x": np.ones(2), "y": np.ones(3)}, {"x": np.ones((2, 2)), "y": np.ones((2, 2))}):
        with pytest.raises(ValueError, match=r"`params` must have the shapes of the objective's params, or one more"):
            ls.sharpness_along(bowl, wrong, key=KEY)
    for options, message in (
        ({"learning_rate": 0.0}, r"`learning_rate` is 0.0; it must be a finite number > 0"),
        ({"learning_rate": 0.1, "momentum": 1.0}, r"`momentum` is 1.0; it must be at least 0 and less than 1"),
        ({"learning_rate": {"sgd": 0.1}}, r"`learning_rate` is a mapping from 'sgd', but `params` has no dimension"),
    ):
        with pytest.raises(ValueError, match=message):
            ls.sharpness_along(bowl, bowl.params, key=KEY, **options)
    runs = ls.descend(bowl, {"a": optax.sgd(0.1), "b": optax.sgd(0.2)}, bowl.params, 2)
    with pytest.raises(ValueError, match=r"from 'a', but `params` has the optimizers 'a', 'b'; give one number"):
        ls.sharpness_along(bowl, runs, learning_rate={"a": 0.1}, key=KEY)


def test_each_optimizer_has_its_momentum_and_momentum_needs_a_rate():
    bowl = ls.function(lambda p: 2 * p["x"] ** 2, {"x": 1.0})
    sgd = {"plain": optax.sgd(0.3), "heavy": optax.sgd(0.3, momentum=0.9)}
    runs = ls.descend(bowl, sgd, {"x": 1.0}, steps=2, record_every=2)
    found = ls.sharpness_along(bowl, runs, key=KEY, learning_rate=0.3, momentum={"plain": 0.0, "heavy": 0.9})
    np.testing.assert_allclose(found.threshold, [2 / 0.3, 3.8 / 0.3])
    with pytest.raises(ValueError, match="`momentum` is given without `learning_rate`"):
        ls.sharpness_along(bowl, runs, key=KEY, momentum=0.9)
    with pytest.raises(ValueError, match="`momentum` is a mapping from 'other', but `params` has the optimizers"):
        ls.sharpness_along(bowl, runs, key=KEY, learning_rate=0.3, momentum={"other": 0.1})


def test_kinks_are_said_beside_the_measures():
    relu = ls.mlp((1, 3, 1), activation="relu").objective([[0.0], [1.0]], [0.0, 1.0])
    found = ls.sharpness(relu, relu.params, key=KEY, measures=("hessian_max",))
    assert "There are kinks (relu): this is the Hessian of the smooth piece" in str(found)
