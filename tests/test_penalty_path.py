"""Penalty paths: scikit-learn's, the pair's closed forms, certificates of the objective itself, and both ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape.minima.penalty_path.choose_strength import choose_strength
from landscape.minima.penalty_path.penalty_path import penalty_path
from tests import problems

IDENTITY = {"loss": "half_squared_error", "activation": "identity"}


@pytest.fixture
def pair():
    return ls.neuron(*ls.datasets.pair())


@pytest.fixture
def overlapping():
    return ls.neuron(*problems.classification(4, 60, 5))


def standardized(load):
    x, y = load(return_X_y=True)
    return (x - x.mean(axis=0)) / x.std(axis=0), y.astype(float)


def test_the_pair_under_l1(pair):
    path = penalty_path(pair, list(problems.PAIR_L1), penalty=ls.l1(1.0))
    wanted = np.array(list(problems.PAIR_L1.values()))
    np.testing.assert_allclose(path.params["w"], wanted, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(path.params["w"] == 0, wanted == 0)
    np.testing.assert_array_equal(path.data.nonzero, [1, 1, 1, 0, 0])
    np.testing.assert_allclose(path.strength_max, 0.5, rtol=1e-15)
    assert path.params["w"].dtype == np.float64 and path.params["w"].shape == (5,)
    assert str(path) == (
        "5 minimizers of R + λ·(1·‖θ‖₁), λ from 1 to 0.01: 0 to 1 penalized parameters are not 0.\n"
        "From λ = 0.5 on all under l1 are 0.\n"
        "As λ → 0 the path runs away: without a penalty the infimum of the risk is not attained; ‖θ‖ grows by 2.4 a "
        "decade of 1/λ."
    )


def test_the_pair_under_l2(pair):
    path = penalty_path(pair.with_penalty(ls.l2(7.0)), list(problems.PAIR_L2))
    w, risk, objective = np.array(list(problems.PAIR_L2.values())).T
    np.testing.assert_allclose(path.params["w"], w, rtol=0, atol=1e-10)
    np.testing.assert_allclose(path.params["b"], 0, atol=1e-14)
    np.testing.assert_allclose(path.data.risk, risk, rtol=0, atol=1e-11)
    np.testing.assert_allclose(path.data.objective, objective, rtol=0, atol=1e-11)
    np.testing.assert_allclose(path.data.objective, path.data.risk + path.data.penalty_value)
    np.testing.assert_allclose(path.data.coefficient.sel(parameter="w"), w, rtol=0, atol=1e-10)
    assert path.strength_max == np.inf and path.data.converged.all()


def test_lasso():
    """Of scikit-learn, whose objective is ours: ‖y − Xw‖²/2n + α‖w‖₁."""
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import lasso_path

    x, y = standardized(load_diabetes)
    given = np.abs(x.T @ (y - y.mean())).max() / len(y) * np.geomspace(1, 1e-3, 30)
    strengths, wanted, _ = lasso_path(x, y - y.mean(), alphas=given, tol=1e-12, max_iter=100_000)
    with jax.enable_x64(True):
        objective = ls.neuron(x, y, penalty=ls.l1(1.0, scope="weights"), **IDENTITY)
    path = penalty_path(objective, strengths)
    assert path.data.converged.all() and (np.diff(path.data.strength) < 0).all()  # in the order given
    np.testing.assert_allclose(path.params["w"], wanted.T, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(path.params["w"][1:] != 0, wanted.T[1:] != 0)  # the first is λ_max, to rounding
    np.testing.assert_allclose(path.params["b"], y.mean(), rtol=1e-12)
    np.testing.assert_allclose(path.strength_max, strengths[0], rtol=1e-12)
    assert path.data.nonzero.values[-1] == 10


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_logistic_regression(kind):
    """Of scikit-learn: C = 1/(nλ) for l1(λ), 1/(2nλ) for l2(λ), the intercept free."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression

    x, y = standardized(load_breast_cancer)
    penalty = {"l1": ls.l1, "l2": ls.l2}[kind](1.0, scope="weights")
    share, solver = {"l1": (1, "saga"), "l2": (2, "newton-cholesky")}[kind]
    strengths = np.array([0.05, 0.2])
    with jax.enable_x64(True):
        path = penalty_path(ls.neuron(x, y), strengths, penalty=penalty)
    # `penalty=` is deprecated since 1.8, and needed before.
    named = LogisticRegression().get_params()["penalty"] != "deprecated"
    options = {"penalty": kind} if named else {"l1_ratio": float(kind == "l1")}
    for i, strength in enumerate(strengths):
        fit = LogisticRegression(solver=solver, C=1 / (share * len(y) * strength), tol=1e-9, max_iter=20_000, **options)
        peer = fit.fit(x, y)
        np.testing.assert_allclose(path.params["w"][i], peer.coef_[0], rtol=0, atol=1e-5)
        np.testing.assert_allclose(path.params["b"][i], peer.intercept_[0], rtol=0, atol=1e-5)
        np.testing.assert_array_equal(path.params["w"][i] != 0, peer.coef_[0] != 0)


@pytest.mark.parametrize(
    "penalty",
    [ls.l1(1.0), ls.l2(1.0), ls.elastic_net(0.3, 0.7), ls.weight_decay(1.0), ls.l1(1.0, scope="weights") + ls.l2(0.5)],
    ids=str,
)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_certificates_of_the_objective_itself(penalty, reduction, x64):
    """Its own minimum-norm subgradient, and no lower value beside it."""
    x, y = problems.classification(4, 60, 5)
    objective = ls.neuron(x.astype(float), y.astype(float), reduction=reduction)
    path = penalty_path(objective, [1e-4, 0.01, 0.1], penalty=penalty)
    assert path.data.converged.all()
    for i, strength in enumerate(path.data.strength.to_numpy()):
        own = objective.with_penalty(strength * penalty.unit())
        params = jax.tree.map(lambda leaf, i=i: leaf[i], path.params)
        gradient = own.gradient(params)
        norm = np.sqrt(sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(gradient)))
        assert norm < 1e-12 and path.data.residual[i] < 1e-12
        np.testing.assert_allclose(float(own(params)), path.data.objective[i], rtol=1e-13)
        np.testing.assert_allclose(float(own.risk(params)), path.data.risk[i], rtol=1e-13)


def test_a_mask_as_scope(overlapping):
    """What is not in it is not shrunk: of three columns under l1 none is left, of the others all."""
    mask = {"w": np.array([True, False, True, False, True]), "b": np.array(False)}
    path = penalty_path(overlapping, [10.0], penalty=ls.l1(1.0, scope=mask))
    np.testing.assert_array_equal(path.params["w"][0] != 0, ~mask["w"])
    assert path.data.nonzero.item() == 0


@pytest.mark.parametrize(
    "penalty", [ls.l1(1.0), ls.elastic_net(0.5, 0.5), ls.l1(1.0, scope="weights") + ls.l2(1.0)], ids=str
)
def test_strength_max_is_where_the_first_parameter_enters(penalty, overlapping):
    edge = penalty_path(overlapping, [1.0], penalty=penalty).strength_max
    around = penalty_path(overlapping, edge * np.array([0.999, 1.0, 1.001]), penalty=penalty)
    assert [int((w != 0).sum()) for w in around.params["w"]] == [1, 0, 0]


def test_the_order_of_the_strengths_does_not_matter(overlapping):
    strengths = np.geomspace(1e-4, 1, 7)
    up, down = (penalty_path(overlapping, s, penalty=ls.l1(1.0)).data for s in (strengths, strengths[::-1]))
    np.testing.assert_array_equal(up.strength, down.strength[::-1])
    np.testing.assert_array_equal(up.coefficient, down.coefficient[::-1])
    assert (np.diff(up.risk) > 0).all()


def test_it_settles_at_the_minimizer():
    path = penalty_path(ls.neuron(*ls.datasets.o_rings()), np.geomspace(1e-9, 1, 10), penalty=ls.weight_decay(1.0))
    assert path.at_zero == "settles at the minimizer without a penalty"
    np.testing.assert_allclose(path.limit["w"], problems.O_RINGS.w, rtol=0, atol=1e-8)
    np.testing.assert_allclose(path.params["w"][0], problems.O_RINGS.w, rtol=1e-6)
    assert path.direction is None


def test_among_many_minimizers_l2_takes_the_shortest():
    """Interpolation: fewer examples than parameters; the pseudoinverse's."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(4, 9)), rng.normal(size=4)
    with jax.enable_x64(True):
        objective = ls.neuron(x, y, bias=False, **IDENTITY)
    path = penalty_path(objective, [1e-10, 1e-5], penalty=ls.l2(1.0))
    assert "least Ω" in path.at_zero
    np.testing.assert_allclose(path.limit["w"], np.linalg.pinv(x) @ y, rtol=0, atol=1e-12)
    np.testing.assert_allclose(path.params["w"][0], path.limit["w"], rtol=0, atol=1e-7)
    assert penalty_path(objective, [1e-5], penalty=ls.l1(1.0)).limit is None


def test_on_separable_data_it_runs_away_along_the_largest_margin():
    """(1, 2) and (3, −1) both support it: w = (3, 2)/7 = 9/49·(1, 2) + 4/49·(3, −1), both margins 1."""
    x = np.array([[1.0, 2.0], [3.0, -1.0], [-1.0, -2.0], [-3.0, 1.0]])
    with jax.enable_x64(True):
        objective = ls.neuron(x, np.array([1.0, 1.0, 0.0, 0.0]), bias=False)
    path = penalty_path(objective, np.geomspace(1e-9, 1, 10), penalty=ls.l2(1.0))
    assert path.at_zero.startswith("runs away") and path.limit is None
    margin = np.linalg.solve(x[:2], np.ones(2))
    np.testing.assert_allclose(path.direction["w"], margin / np.linalg.norm(margin), rtol=0, atol=0.03)
    growth = np.diff(path.data.norm)[:3] / -1
    np.testing.assert_allclose(growth, np.linalg.norm(margin) * np.log(10), rtol=0.1)  # like log 1/λ


def test_one_class_only_is_flagged():
    """The free bias escapes at every strength."""
    path = penalty_path(ls.neuron([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]), [0.1, 1.0], penalty=ls.weight_decay(1.0))
    assert not path.data.converged.any() and np.isfinite(path.data.residual).all()
    assert "2 did not converge" in str(path) and path.at_zero.startswith("runs away")


def test_a_constant_feature_is_no_trouble():
    x, y = problems.classification(6, 50, 2)
    objective = ls.neuron(np.c_[x, np.full(50, 3, np.float32)], y)
    path = penalty_path(objective, [0.01, 0.1], penalty=ls.l1(1.0, scope="weights"))
    assert path.data.converged.all()
    np.testing.assert_array_equal(path.params["w"][:, 2], 0)  # the free bias does the same for nothing


def test_held_out_risk(overlapping):
    x, y = problems.classification(7, 30, 5)
    path = penalty_path(overlapping, [0.01, 0.1], penalty=ls.l2(1.0), held_out=(x, y.astype(int)))
    z = path.params["w"] @ x.T.astype(float) + path.params["b"][:, None]
    wanted = (problems.softplus(z) - y * z).mean(axis=1)
    np.testing.assert_allclose(path.data.held_out_risk, wanted, rtol=1e-12)


def test_strength_zero_is_the_problem_without_a_penalty():
    path = penalty_path(ls.neuron(*ls.datasets.o_rings()), [0.0, 1.0], penalty=ls.l2(1.0))
    np.testing.assert_allclose(path.params["b"][0], problems.O_RINGS.b, rtol=0, atol=1e-8)
    away = penalty_path(ls.neuron(*ls.datasets.pair()), [0.0, 1.0], penalty=ls.l2(1.0))
    np.testing.assert_array_equal(away.data.converged, [False, True])


@pytest.mark.parametrize(
    ("strengths", "message"),
    [
        ([0.1, 1.0, 0.5], r"not sorted, or hold one twice; pass np.unique\(strengths\): \[0.1, 0.5, 1\]"),
        ([0.1, 0.1], "hold one twice"),
        ([-1.0, 1.0], r"`strengths` holds -1; a penalty's strength must be a finite number ≥ 0"),
        ([0.1, np.nan], "`strengths` holds 1 of 2 values that are not finite"),
        ([], r"`strengths` has shape \(0,\)"),
        (1.0, r"`strengths` has shape \(\)"),
    ],
)
@pytest.mark.parametrize("function", [penalty_path, choose_strength])
def test_bad_strengths(function, strengths, message, pair):
    with pytest.raises(ValueError, match=message):
        function(pair, strengths, penalty=ls.l1(1.0))


def test_bad_objectives(pair):
    with pytest.raises(ValueError, match="`penalty` is none"):
        penalty_path(pair, [1.0])
    with pytest.raises(TypeError, match="`penalty` is a float"):
        penalty_path(pair, [1.0], penalty=0.1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"not convex with this activation.*ls.critical_points"):
        penalty_path(ls.neuron([1.0], [1.0], loss="half_squared_error"), [1.0], penalty=ls.l1(1.0))
    with pytest.raises(ValueError, match="`objective` has no `structure`, which is what penalty_path reads"):
        penalty_path(ls.function(lambda p: p["u"] ** 2, {"u": 1.0}), [1.0], penalty=ls.l1(1.0))
    with pytest.raises(TypeError, match="`objective` is a dict"):
        penalty_path({}, [1.0], penalty=ls.l1(1.0))  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="`held_out` must hold arrays"):
        penalty_path(pair, [1.0], penalty=ls.l1(1.0), held_out=([0.0], [1.0]))
    with pytest.raises(ValueError, match="`held_out` holds 1 of 1 values that are not finite"):
        penalty_path(pair, [1.0], penalty=ls.l1(1.0), held_out=(np.array([np.nan]), np.array([1.0])))


STRENGTHS = np.geomspace(1e-3, 1, 6)


def test_blocks_are_fitted_without_themselves(overlapping):
    """By hand: a neuron of the other examples, its risk on the block."""
    found = choose_strength(overlapping, STRENGTHS, penalty=ls.l1(1.0), blocks=4)
    x, y = problems.classification(4, 60, 5)
    held = slice(15, 30)
    rest = ls.neuron(np.delete(x, held, axis=0), np.delete(y, held))
    path = penalty_path(rest, STRENGTHS, penalty=ls.l1(1.0), held_out=(x[held], y[held]))
    np.testing.assert_allclose(found.held_out_risk.sel(block=1), path.data.held_out_risk, rtol=1e-10)
    np.testing.assert_allclose(found["mean"], found.held_out_risk.mean("block"))
    np.testing.assert_allclose(found.standard_error, found.held_out_risk.std("block", ddof=1) / 2)
    np.testing.assert_allclose(found.coefficient.sel(block=1), path.data.coefficient, atol=1e-10)
    np.testing.assert_array_equal(found.held_out_in == 1, np.isin(np.arange(60), np.arange(60)[held]))


def test_best_and_one_standard_error(overlapping):
    found = choose_strength(overlapping, STRENGTHS, penalty=ls.l2(1.0), blocks=6)
    best = found.sel(strength=found.best)
    assert best["mean"] == found["mean"].min()
    allowed = found.strength[found["mean"] <= best["mean"] + best.standard_error]
    assert found.one_standard_error == allowed.max() and found.one_standard_error >= found.best


def test_blocks_by_label_and_shuffled(overlapping):
    labels = np.repeat(["c", "a", "b"], 20)
    labeled = choose_strength(overlapping, STRENGTHS, penalty=ls.l2(1.0), blocks=labels)
    cut = choose_strength(overlapping, STRENGTHS, penalty=ls.l2(1.0), blocks=3)
    assert labeled.block.values.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(labeled.held_out_in, labels)
    np.testing.assert_allclose(labeled.held_out_risk.sel(block=["c", "a", "b"]), cut.held_out_risk, rtol=1e-12)
    shuffled = [
        choose_strength(overlapping, STRENGTHS, penalty=ls.l2(1.0), blocks=3, key=jax.random.key(seed)).held_out_risk
        for seed in (0, 0, 1)
    ]
    assert shuffled[0].equals(shuffled[1]) and not shuffled[0].equals(shuffled[2])


def test_copies_in_one_block_say_nothing_new(overlapping):
    """All examples twice, each with its copy in its block: the same risks; and a sum has them as a mean has."""
    x, y = problems.classification(4, 60, 5)
    labels = np.arange(60) // 20
    once = choose_strength(overlapping, STRENGTHS, penalty=ls.l2(1.0), blocks=labels)
    twice = ls.neuron(np.r_[x, x], np.r_[y, y], reduction="sum")
    again = choose_strength(twice, 120 * STRENGTHS, penalty=ls.l2(1.0), blocks=np.r_[labels, labels])
    np.testing.assert_allclose(again.held_out_risk, once.held_out_risk, rtol=1e-10)


def test_blocks_that_leave_one_class_are_flagged():
    """Sorted by class, in two blocks, with a free bias: nothing converges, and nothing is chosen."""
    objective = ls.neuron([1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 1.0, 1.0], penalty=ls.weight_decay(1.0))
    with pytest.warns(UserWarning, match=r"sorted by their labels, .* key=jax.random.key"):
        found = choose_strength(objective, [0.1, 1.0], blocks=2)
    assert not found.converged.any() and np.isnan(found.best) and np.isnan(found.one_standard_error)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": 1}, "`blocks` is 1; it must be at least 2"),
        ({"blocks": 61}, "`blocks` is 61, but there are 60 examples"),
        ({"blocks": [0, 1]}, r"`blocks` has shape \(2,\); give a number of blocks, or a label an example, \(60,\)"),
        ({"blocks": [0] * 60}, "`blocks` has the one label 0"),
        ({"blocks": [0, 1] * 30, "key": 0}, "with `blocks` as labels nothing is cut"),
    ],
)
def test_bad_blocks(options, message, overlapping):
    with pytest.raises(ValueError, match=message):
        choose_strength(overlapping, STRENGTHS, penalty=ls.l2(1.0), **options)


def test_blocks_without_weight_are_refused():
    x, y = problems.classification(4, 4, 1)
    objective = ls.neuron(x, y, weights=[0.0, 0.0, 1.0, 1.0], penalty=ls.l2(1.0))
    with pytest.raises(ValueError, match="`blocks` has the block 0, in which"):
        choose_strength(objective, [1.0], blocks=2)
