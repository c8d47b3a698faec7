"""Minimizers that are known, found by descent: the pair's table, the O-rings, gradient flow, scikit-learn."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

import landscape as ls
from tests import problems

# Kept, since optimizers are matched by identity: one compilation serves every test of equal shapes.
SGD = optax.sgd(0.8)
NESTEROV = optax.sgd(0.4, momentum=0.9, nesterov=True)
ADAM = optax.adam(optax.cosine_decay_schedule(0.1, 3000))
LBFGS = optax.lbfgs()
FIRST_ORDER = {"sgd": SGD, "nesterov": NESTEROV, "adam": ADAM}
# The first start is far from b* = 0. l1's kink at b = 0 stops subgradient steps from nearby only, so l1 has the second.
STARTS = {"w": np.array([-1.0, 0.5]), "b": np.array([2.0, 0.0])}
INT_STEPS = "optax raises a Python float to the power of an int32 step count"
INT_COUNT = "the line search of optax.lbfgs adds int32 and int64 counts when x64 is on"


def pair():
    """In the precision of now."""
    return ls.neuron(*ls.datasets.pair())


@functools.cache
def l2_runs(optimizer):
    """The end of one optimizer under every l2 of the table."""
    penalties = {str(strength): ls.l2(strength) for strength in problems.PAIR_L2}
    steps = 60 if optimizer is LBFGS else 3000
    return ls.descend(pair(), optimizer, STARTS, steps, penalties=penalties, record_every=steps)


@pytest.mark.lenient(INT_STEPS)
@pytest.mark.parametrize("optimizer", [SGD, NESTEROV, ADAM, LBFGS], ids=["sgd", "nesterov", "adam", "lbfgs"])
def test_l2_minimizers_of_the_pair(optimizer, x64):
    """w* to 1e-8, b* = 0, the risk and the objective there to 1e-11, from both starts."""
    end = l2_runs(optimizer)
    for i, (w, risk, objective) in enumerate(problems.PAIR_L2.values()):
        np.testing.assert_allclose(end.params["w"][i, :, -1], w, atol=1e-8)
        np.testing.assert_allclose(end.params["b"][i, :, -1], 0.0, atol=1e-8)
        np.testing.assert_allclose(end.data.objective[i, :, -1], objective, atol=1e-11)
        np.testing.assert_allclose(end.data.risk[i, :, -1], risk, atol=1e-8)
        assert (end.data.gradient_norm[i, :, -1] < 1e-8).all()


@pytest.mark.lenient(INT_STEPS)
@pytest.mark.parametrize("optimizer", [SGD, NESTEROV, ADAM], ids=["sgd", "nesterov", "adam"])
def test_l1_minimizers_of_the_pair_by_subgradients(optimizer, x64):
    """log((1 − λ)/λ) where it is positive: there the objective is smooth, on b = 0."""
    strengths = [strength for strength, w in problems.PAIR_L1.items() if w > 0]
    start = {name: leaf[1] for name, leaf in STARTS.items()}
    penalties = {str(strength): ls.l1(strength) for strength in strengths}
    end = ls.descend(pair(), optimizer, start, 3000, penalties=penalties, record_every=3000)
    np.testing.assert_allclose(end.params["w"][:, -1], [problems.PAIR_L1[s] for s in strengths], atol=1e-8)
    assert (end.params["b"][:, -1] == 0).all()
    np.testing.assert_allclose(end.params["w"][:, -1], np.log((1 - np.array(strengths)) / strengths), atol=1e-8)


@pytest.mark.parametrize("rate", [0.5, 4.0])  # 4 is one over the largest curvature
def test_l1_minimizers_of_the_pair_by_proximal_steps(rate, x64):
    """From anywhere: b* is 0.0 exactly for every λ, and so is w* from λ = ½ on.

    At λ = ½ itself the way to 0 is geometric, w ← (1 − rate/4)·w: short steps end one rounding error before it.
    """
    penalties = {str(strength): ls.l1(strength) for strength in problems.PAIR_L1}
    end = ls.descend(pair(), ls.proximal_gradient(rate), STARTS, 4000, penalties=penalties, record_every=4000)
    for i, (strength, w) in enumerate(problems.PAIR_L1.items()):
        assert (end.params["b"][i, :, -1] == 0.0).all()
        if strength > 0.5 or (strength == 0.5 and rate == 4.0):
            assert (end.params["w"][i, :, -1] == 0.0).all()
        np.testing.assert_allclose(end.params["w"][i, :, -1], w, atol=1e-8)
        assert (end.data.gradient_norm[i, :, -1] < 1e-9).all()


def test_gradient_flow_of_the_pair(x64):
    """sgd with steps h, h/2, h/4 from (0, 0), extrapolated to h = 0: w + e^w = t + 1 on b = 0, at t = 1, 10, 100."""
    ends = []
    for refinement in (1, 2, 4):
        h = 0.05 / refinement
        every = 20 * refinement  # a time of 1
        run = ls.descend(pair(), optax.sgd(h), {"w": 0.0, "b": 0.0}, 100 * every, record_every=every)
        assert (run.params["b"] == 0).all()
        ends.append(np.array([run.params["w"][t] for t in problems.PAIR_FLOW]))
    once = [2 * ends[1] - ends[0], 2 * ends[2] - ends[1]]
    twice = (4 * once[1] - once[0]) / 3
    expected = np.array(list(problems.PAIR_FLOW.values()))
    assert np.abs(ends[2] - expected).max() > 1e-4  # the steps alone are not that good
    np.testing.assert_allclose(twice, expected, atol=2e-7)
    np.testing.assert_allclose(expected + np.exp(expected), np.array(list(problems.PAIR_FLOW)) + 1.0, rtol=1e-12)


def test_without_a_penalty_the_norm_grows_without_end():
    """Separable data: the risk falls towards 0, w grows like log t, and no step is the last."""
    run = ls.descend(pair(), optax.sgd(1.0), {"w": 0.0, "b": 0.0}, 2000, record_every=100)
    w = run.params["w"][1:]
    assert (np.diff(w) > 0).all() and (np.diff(run.data.risk) < 0).all()
    t = run.data.step.to_numpy()[1:].astype(float)
    np.testing.assert_allclose(w, np.log(t), atol=0.06)


def o_rings(standardized):
    """The launches, in °F or in standard deviations from the mean."""
    x, y = ls.datasets.o_rings()
    return (ls.neuron((x - x.mean()) / x.std(), y) if standardized else ls.neuron(x, y)), x.mean(), x.std()


def assert_is_the_published_fit(w, b, risk):
    """Six digits and more."""
    fit = problems.O_RINGS
    assert w == pytest.approx(fit.w, rel=1e-7)
    assert b == pytest.approx(fit.b, rel=1e-7)
    assert risk == pytest.approx(fit.risk, rel=1e-14)


@pytest.mark.parametrize("optimizer", [SGD, NESTEROV], ids=["sgd", "nesterov"])
def test_the_o_ring_fit_in_standardized_temperature(optimizer, x64):
    """A bowl: plain descent finds the fit, and the conversion back to °F is exact."""
    objective, mean, deviation = o_rings(standardized=True)
    run = ls.descend(objective, optimizer, {"w": 0.0, "b": 0.0}, 2000, record_every=2000)
    w, b = run.params["w"][-1] / deviation, run.params["b"][-1]
    assert_is_the_published_fit(w, b - w * mean, float(run.data.risk[-1]))


@pytest.mark.lenient(INT_COUNT)
def test_the_o_ring_fit_in_degrees_fahrenheit(x64):
    """A valley, condition number 8.26e5: lbfgs finds the fit; standard errors come from the inverse information."""
    objective, _, _ = o_rings(standardized=False)
    run = ls.descend(objective, LBFGS, {"w": 0.0, "b": 0.0}, 60, record_every=60)
    end = {name: jnp.asarray(run.params[name][-1]) for name in "wb"}
    assert_is_the_published_fit(float(end["w"]), float(end["b"]), float(run.data.risk[-1]))
    blocks = jax.jit(jax.hessian(objective.risk))(end)
    hessian = np.array([[blocks[i][j] for j in "wb"] for i in "wb"])
    assert np.linalg.cond(hessian) == pytest.approx(problems.O_RINGS.condition, rel=1e-3)
    errors = np.sqrt(np.diag(np.linalg.inv(23 * hessian)))
    np.testing.assert_allclose(errors, problems.O_RINGS.standard_errors, rtol=5e-4)
    crawl = ls.descend(objective, optax.sgd(1e-3), {"w": 0.0, "b": 0.0}, 1000, record_every=1000)
    assert abs(float(crawl.params["b"][-1])) < 0.5  # where descent in °F still is after a thousand steps


def breast_cancer():
    """Four standardized columns of scikit-learn's data, 569 rows."""
    bunch = load_breast_cancer()
    x = bunch.data[:, [0, 1, 4, 8]]
    return (x - x.mean(axis=0)) / x.std(axis=0), bunch.target.astype(float)


def sklearn_fit(x, y, C, fit_intercept):
    """Coefficients and intercept of scikit-learn, converged far beyond its default."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it says about its own options
        model = LogisticRegression(C=C, fit_intercept=fit_intercept, solver="newton-cholesky", tol=1e-14, max_iter=1000)
        return model.fit(x, y)


@pytest.mark.parametrize("C", [0.01, 1.0])
@pytest.mark.parametrize("bias", ["free", "penalized"])
def test_agreement_with_scikit_learn(bias, C, x64):
    """C = 1/(2nλ). scikit-learn leaves the intercept free (scope="weights"); a column of ones is penalized too."""
    x, y = breast_cancer()
    strength = ls.strength_from(sklearn_C=C, n=len(y))
    assert strength == pytest.approx(1 / (2 * len(y) * C))
    objective = ls.neuron(x, y, penalty=ls.l2(strength, scope="weights" if bias == "free" else "all"))
    run = ls.descend(objective, NESTEROV, {"w": np.zeros(4), "b": 0.0}, 3000, record_every=3000)
    if bias == "free":
        model = sklearn_fit(x, y, C, fit_intercept=True)
        w, b = model.coef_[0], model.intercept_[0]
    else:
        model = sklearn_fit(np.column_stack([x, np.ones(len(y))]), y, C, fit_intercept=False)
        w, b = model.coef_[0, :4], model.coef_[0, 4]
    np.testing.assert_allclose(run.params["w"][-1], w, atol=1e-7)
    np.testing.assert_allclose(run.params["b"][-1], b, atol=1e-7)
    assert float(run.data.gradient_norm[-1]) < 1e-9
    h = objective.predict({"w": jnp.asarray(w), "b": jnp.asarray(b)}, x[:5])
    columns = x[:5] if bias == "free" else np.column_stack([x[:5], np.ones(5)])
    np.testing.assert_allclose(h, model.predict_proba(columns)[:, 1], rtol=1e-12)


def test_the_o_rings_with_scikit_learn(x64):
    """On the other bundled data set: scikit-learn's default C = 1 in standardized temperature."""
    objective, mean, deviation = o_rings(standardized=True)
    temperature, y = ls.datasets.o_rings()
    x = (temperature - mean) / deviation
    ridge = objective.with_penalty(ls.l2(ls.strength_from(sklearn_C=1.0, n=23), scope="weights"))
    run = ls.descend(ridge, SGD, {"w": 0.0, "b": 0.0}, 2000, record_every=2000)
    model = sklearn_fit(x[:, None], y, 1.0, fit_intercept=True)
    np.testing.assert_allclose(run.params["w"][-1], model.coef_[0, 0], atol=1e-9)
    np.testing.assert_allclose(run.params["b"][-1], model.intercept_[0], atol=1e-9)
