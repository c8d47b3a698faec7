"""`attainment`: is there a minimizer, is it the only one, and where does the objective go if there is none?"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape.minima.attainment._simplex import MOST
from landscape.minima.attainment.attainment import attainment
from tests import problems

PAIR = tuple(v.astype(float) for v in ls.datasets.pair())
SEARCHED = "attained, uniqueness not decided"  # a search finds minima, and proves no uniqueness
pytestmark = pytest.mark.usefixtures("x64")


def decided(x, y, **options):
    """The attainment of a neuron on float64 data."""
    return attainment(ls.neuron(np.asarray(x, float), np.asarray(y, float), **options))


def squares(x, y, **options):
    """The same with half squared error."""
    return decided(x, y, loss="half_squared_error", **options)


def made(kind, seed):
    """Data (12, d), labels and the answer by construction: on which sides of a hyperplane the examples lie."""
    rng = np.random.default_rng(seed)
    d = 1 + seed % 3
    normal = np.append(rng.integers(-3, 4, d), 2 * rng.integers(-3, 4)).astype(float)
    normal[d - 1] = 2.0
    x = rng.integers(-9, 10, (200, d)).astype(float)
    z = x @ normal[:d] + normal[d]
    x, y = x[z != 0][:12], (z[z != 0][:12] > 0).astype(float)
    if kind == "none":
        # Six examples with both labels each: what is not 0 on all of them is below 0 on some.
        x, y = np.concatenate([x[:6], x[:6]]), np.concatenate([y[:6], 1 - y[:6]])
    if kind == "quasi-complete":
        # Two points of the hyperplane itself, exactly, with both labels.
        on = 2.0 * rng.integers(-9, 10, (2, d))
        on[:, d - 1] = -(on[:, : d - 1] @ normal[: d - 1] + normal[d]) / 2
        assert not np.any(on @ normal[:d] + normal[d])
        x, y = np.concatenate([x[:8], on, on]), np.concatenate([y[:8], [0, 0, 1, 1]])
    return x, y


@pytest.mark.parametrize("kind", ["complete", "quasi-complete", "none"])
def test_verdicts_of_data_sets_built_to_have_them(kind):
    """Two hundred of them, and each verdict checked by multiplication."""
    for seed in range(67):
        x, y = made(kind, seed)
        found = decided(x, y)
        assert found.separation == kind, seed
        assert found.attained == (kind == "none") and found.certificate.verify() and found.converged
        signed = (2 * y - 1)[:, None] * np.column_stack([x, np.ones(len(x))])
        if found.attained:
            factors = found.certificate.multipliers
            assert (factors > 0).all() and np.abs(factors @ signed).max() <= 1e-7 * factors.max()
        else:
            d = np.append(found.direction["w"], found.direction["b"])
            np.testing.assert_allclose(found.margins, signed @ d, atol=1e-12)
            assert (found.margins >= 0).all() and (found.margins > 0).any()
            assert (found.margins > 0).all() == (kind == "complete")
            assert (found.infimum == 0) == (kind == "complete")


def test_the_pair_has_no_minimizer():
    found = decided(*PAIR)
    assert (found.verdict, found.separation, found.infimum, found.unique) == (
        "approached at infinity",
        "complete",
        0.0,
        False,
    )
    assert found.minimizer is None and found.directions == ()
    assert jax.tree.map(float, found.direction) == {"w": 1.0, "b": 0.0}
    assert found.margins.tolist() == [1.0, 1.0]
    text = str(found)
    assert "approached at infinity (separation: complete), infimum 0" in text and "direction b = 0, w = 1" in text


@pytest.mark.parametrize("strength", problems.PAIR_L2)
def test_the_pair_under_l2(strength):
    found = decided(*PAIR, penalty=ls.l2(strength))
    w, _, objective = problems.PAIR_L2[strength]
    assert found.verdict == "unique minimizer" and found.certificate.verify() and found.direction is None
    np.testing.assert_allclose(found.minimizer["w"], w, atol=1e-11)
    np.testing.assert_allclose(found.minimizer["b"], 0.0, atol=1e-11)
    np.testing.assert_allclose(found.infimum, objective, atol=1e-11)


@pytest.mark.parametrize("strength", problems.PAIR_L1)
def test_the_pair_under_l1(strength):
    found = decided(*PAIR, penalty=ls.l1(strength))
    assert found.verdict == "unique minimizer" and found.certificate.verify()
    np.testing.assert_allclose(found.minimizer["w"], problems.PAIR_L1[strength], atol=1e-9)
    assert found.minimizer["b"] == 0
    if strength >= 0.5:
        assert found.minimizer["w"] == 0 and found.infimum == pytest.approx(np.log(2), abs=1e-15)


def test_the_pair_under_an_elastic_net():
    found = decided(*PAIR, penalty=ls.elastic_net(0.1, 0.1))
    w = float(found.minimizer["w"])
    assert found.verdict == "unique minimizer"
    assert problems.pair_gradient(w, 0.0)[0] + 0.1 + 0.2 * w == pytest.approx(0.0, abs=1e-12)


def test_the_o_rings():
    fit = problems.Fit()
    found = decided(*ls.datasets.o_rings())
    assert (found.verdict, found.separation) == ("unique minimizer", "none") and found.certificate.verify()
    assert found.minimizer["w"] == pytest.approx(fit.w, abs=5e-9) and found.minimizer["b"] == pytest.approx(
        fit.b, abs=5e-9
    )
    assert found.infimum == pytest.approx(fit.risk, abs=1e-14)
    assert "one point" in found.explanation and found.residual < 1e-9


def test_the_trap_is_complete():
    """One box program calls it quasi-separable: x̃s = (100, 100), (1, −1)."""
    found = decided([[100, 100], [1, -1]], [1, 1], bias=False)
    assert found.separation == "complete" and (found.margins > 0).all() and found.certificate.verify()


@pytest.mark.parametrize("penalty", [None, ls.weight_decay(0.1), ls.l1(0.1, scope="weights")])
def test_of_one_class_the_bias_escapes(penalty):
    found = decided([1.0, 2.0, 5.0], [1, 1, 1], penalty=penalty)
    assert (found.separation, found.infimum) == ("complete", 0.0) and found.certificate.verify()
    assert float(found.direction["b"]) == 1.0 and (penalty is None or float(found.direction["w"]) == 0.0)
    both = decided([1.0, 2.0, 5.0], [1, 0, 1], penalty=penalty)
    assert both.attained and both.unique and both.certificate.verify()
    penalized = decided([1.0, 2.0, 5.0], [1, 1, 1], penalty=ls.l2(0.1))
    assert penalized.attained and penalized.unique


def test_the_infimum_of_quasi_separated_data_is_that_of_what_is_left():
    found = decided([1, 2, 2, 2, 3], [0, 1, 0, 0, 1])
    assert found.separation == "quasi-complete" and found.margins[1:4].tolist() == [0, 0, 0]
    p = 1 / 3  # of the three at 2 one is labeled 1
    assert found.infimum == pytest.approx(3 / 5 * -(p * np.log(p) + (1 - p) * np.log(1 - p)), abs=1e-14)
    far = ls.neuron(np.array([1.0, 2, 2, 2, 3]), np.array([0.0, 1, 0, 0, 1]))
    along = found.direction["w"] * 400, found.direction["b"] * 400 - np.log(2)
    assert float(far.risk({"w": along[0], "b": along[1]})) == pytest.approx(found.infimum, abs=1e-14)


def test_features_that_repeat():
    x, y = np.array([[1.0, 1], [2, 2], [3, 3], [4, 4]]), np.array([0, 1, 0, 1])
    found = decided(x, y)
    assert found.verdict == "affine set of minimizers" and found.certificate.verify() and found.unique is False
    assert len(found.directions) == 1
    w = found.directions[0]["w"]
    assert w[0] == -w[1] != 0 and found.directions[0]["b"] == 0
    assert found.minimizer["w"][0] == pytest.approx(found.minimizer["w"][1], abs=1e-13)  # the least norm
    objective = ls.neuron(x, y.astype(float))
    moved = jax.tree.map(lambda t, d: jnp.asarray(t + 3 * d), found.minimizer, found.directions[0])
    assert float(objective(moved)) == pytest.approx(found.infimum, abs=1e-14)
    under_l2 = decided(x, y, penalty=ls.weight_decay(0.1))
    assert under_l2.verdict == "unique minimizer" and under_l2.certificate.verify()


def test_l1_leaves_a_set_or_a_point():
    """Equal columns share a weight as they like, without changing signs; of (x, 2x) only the larger is used."""
    x, y = np.array([[1.0, 1], [2, 2], [3, 3], [4, 4]]), np.array([0, 1, 0, 1])
    found = decided(x, y, penalty=ls.l1(0.01))
    assert found.verdict == "convex set of minimizers" and found.unique is False and found.certificate.verify()
    assert len(found.directions) == 1 and (found.minimizer["w"] > 0).all()
    objective = ls.neuron(x, y.astype(float), penalty=ls.l1(0.01))
    step = 0.5 * found.minimizer["w"].min() / np.abs(found.directions[0]["w"]).max()
    moved = jax.tree.map(lambda t, d: jnp.asarray(t + step * d), found.minimizer, found.directions[0])
    assert float(objective(moved)) == pytest.approx(found.infimum, abs=1e-13)
    single = decided(x * [1, 2], y, penalty=ls.l1(0.01))
    assert single.verdict == "unique minimizer" and single.minimizer["w"][0] == 0 and single.certificate.verify()


def test_l1_on_the_very_edge_is_not_decided():
    """The gradient reaches α exactly, the weights are 0: which columns could take part, rounding would decide."""
    found = decided([[-1, -1], [1, 1]], [0, 1], bias=False, penalty=ls.l1(0.5))
    assert found.verdict == "attained, uniqueness not decided" and found.attained and found.unique is None
    assert found.certificate.verify() and found.infimum == pytest.approx(np.log(2), abs=1e-15)
    assert "not decided" in found.explanation and found.directions == ()


def test_what_has_no_proof_is_not_said(monkeypatch):
    """Without multipliers: overlapping data are undecided; of separated ones the infimum stays open."""

    def singular(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("landscape.minima.attainment._separation.corrections", singular)
    monkeypatch.setattr("landscape.minima.attainment._simplex.MOST", 0)
    found = decided([1, 2, 3], [0, 1, 0])
    assert found.verdict == "undecided" and found.attained is None and found.unique is None
    assert np.isnan(found.infimum) and found.certificate is None and "no certificate" in found.explanation
    assert not found.converged
    found = decided([1, 2, 2, 3], [0, 0, 1, 1])
    assert found.verdict == "approached at infinity" and found.certificate.verify()
    assert found.separation is None and np.isnan(found.infimum) and "not decided" in found.explanation


@pytest.mark.parametrize("exponent", [20, 26, 28, 40, 50])
def test_few_examples_are_decided_to_the_last_bit(exponent):
    """Labels overlap, touch or are apart by 2^−20 to 2^−50: less than linear programs in floating point see."""
    gap, left, right = 2.0**-exponent, np.arange(-2.0, 2), np.arange(1.0, 5)
    y = np.repeat([0.0, 1.0], 4)
    for nudge, kind in ((-gap, "none"), (0.0, "quasi-complete"), (gap, "complete")):
        found = decided(np.concatenate([left, right + nudge]), y)
        assert found.separation == kind and found.certificate.verify()
    assert found.margins.min() > 0


def test_contradictions_and_constants():
    found = decided([1, 1], [0, 1])
    assert found.verdict == "affine set of minimizers" and found.infimum == pytest.approx(np.log(2))
    assert decided([3, 3], [0, 1], bias=False).unique
    zero = decided([[0.0, 1], [0, 2], [0, 3]], [0, 1, 0])
    assert zero.verdict == "affine set of minimizers"
    assert np.count_nonzero(zero.directions[0]["w"]) == 1 and zero.directions[0]["w"][0] != 0
    blind = decided([[0.0], [0.0]], [1, 1], bias=False)
    assert blind.attained and blind.infimum == pytest.approx(np.log(2))


@pytest.mark.parametrize(("y", "verdict"), [(1.0, "approached at infinity"), (0.3, "affine set of minimizers")])
def test_one_example(y, verdict):
    found = decided([2.0], [y])
    assert found.verdict == verdict and found.certificate.verify()
    if y == 0.3:
        entropy = -(0.3 * np.log(0.3) + 0.7 * np.log(0.7))
        assert found.infimum == pytest.approx(entropy) and found.minimizer["w"] == pytest.approx(
            2 * found.minimizer["b"]
        )


def test_soft_labels_hold_their_examples():
    """Along a recession direction a label strictly between 0 and 1 must not move."""
    assert decided([-1.0, 1.0], [0.0, 0.9]).separation == "quasi-complete"
    found = decided([-1.0, 1.0, 2.0], [0.0, 0.9, 1.0])
    assert found.separation == "quasi-complete" and found.margins[1] == 0 and (found.margins[[0, 2]] > 0).all()
    assert found.certificate.verify() and found.infimum == pytest.approx(-(0.9 * np.log(0.9) + 0.1 * np.log(0.1)) / 3)
    held = decided([-1.0, 1.0, 2.0, 3.0], [0.0, 0.9, 0.4, 1.0])
    assert held.attained and held.unique and held.certificate.verify()
    assert decided([1.0, 2.0, 3.0], [0.2, 0.9, 0.4]).attained


def test_examples_of_weight_zero_are_absent():
    x, y = [-1.0, 1.0, -2.0], [0, 1, 1]
    found = decided(x, y, weights=np.array([1.0, 1.0, 0.0]))
    assert found.separation == "complete" and np.isnan(found.margins).tolist() == [False, False, True]
    assert decided(x, y, weights=np.array([1.0, 1.0, 1e-9])).attained


def test_float32_data_are_taken_as_they_are():
    """0.1 in float32 is another number than in float64: with its own double it is exactly collinear."""
    with jax.enable_x64(False):
        x = np.array([[0.1, 0.2], [0.3, 0.6], [0.7, 1.4]], np.float32)
        assert np.all(x[:, 1] == 2 * x[:, 0])
        found = attainment(ls.neuron(x, np.array([0, 1, 0], np.float32)))
    assert found.verdict == "affine set of minimizers" and found.minimizer["w"].dtype == np.float64


def test_nearly_dependent_features_are_said_to_be():
    x = np.random.default_rng(0).normal(size=(40, 2))
    x = np.column_stack([x, x.sum(axis=1)])  # the sum is rounded
    y = np.random.default_rng(1).integers(0, 2, 40)
    found = decided(x, y)
    assert found.attained and found.unique and "depend on others to rounding" in found.explanation


def test_lines_fitted_by_least_squares():
    x, y = np.array([[1.0, 1], [2, 2], [3, 3]]), np.array([0.0, 1.0, 5.0])
    found = squares(x, y, activation="identity")
    assert found.verdict == "affine set of minimizers" and found.separation is None and found.certificate.verify()
    design = np.column_stack([x, np.ones(3)])
    theta, *_ = np.linalg.lstsq(design, y)
    np.testing.assert_allclose(np.append(found.minimizer["w"], found.minimizer["b"]), theta, atol=1e-12)
    assert found.infimum == pytest.approx(0.5 * np.mean((design @ theta - y) ** 2), abs=1e-14)
    assert squares(x, y, activation="identity", penalty=ls.l2(0.1)).verdict == "unique minimizer"
    assert squares([[1.0]], [2.0], activation="identity", bias=False).infimum == pytest.approx(0.0, abs=1e-30)


@pytest.mark.parametrize("separable", [False, True])
def test_many_examples(separable):
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(5000, 8)), rng.normal(size=8)
    y = (x @ w + (0 if separable else 0.3 * rng.logistic(size=5000)) > 0).astype(float)
    found = decided(x, y)
    assert found.separation == ("complete" if separable else "none") and found.certificate.verify()


def nearly_touching(count, gap):
    """Examples of two labels, a few of them so near each other, among others that are not near."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=count) - 4, [1.0], rng.normal(size=count) + 5, [1.0 + gap]])
    return x, np.repeat([0.0, 1.0], count + 1)


@pytest.mark.parametrize(("gap", "kind"), [(1e-13, "complete"), (0.0, "quasi-complete"), (-1e-13, "none")])
def test_what_floating_point_cannot_tell(gap, kind):
    """Few examples are decided exactly; of more a verdict may be missing, but must not be wrong."""
    found = decided(*nearly_touching(40, gap))
    assert found.separation == kind and found.certificate.verify() and found.attained == (kind == "none")
    x, y = nearly_touching(1000, gap)
    assert 4 * len(x) > MOST
    found = decided(x, y)
    if found.verdict == "undecided":
        assert found.attained is None and found.unique is None and np.isnan(found.infimum) and found.certificate is None
    else:
        assert found.attained == (kind == "none") and found.certificate.verify()
        assert found.separation in (kind, None)


def drawn(seed):
    """Features (n, d) and targets: some repeat, some contradict each other, some lie out of reach."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(2, 8)), int(rng.integers(1, 3))
    x = rng.integers(-3, 4, (n, d)).astype(float) if seed % 2 else rng.normal(size=(n, d))
    return rng, x, rng.choice([0.0, 0.1, 0.5, 0.9, 1.0], n)


@pytest.mark.parametrize("loss", ["cross_entropy", "half_squared_error"])
def test_units_and_order_change_nothing(loss):
    for seed in range(5):
        rng, x, y = drawn(seed)
        found = decided(x, y, loss=loss, bias=False)
        exponents = rng.integers(-300, 301, x.shape[1])
        order = rng.permutation(len(y))
        scaled = decided(np.ldexp(x, exponents), y, loss=loss, bias=False)
        turned = decided(x[order], y[order], loss=loss, bias=False)
        for other in (scaled, turned):
            assert (other.verdict, other.separation) == (found.verdict, found.separation), seed
            np.testing.assert_allclose(other.infimum, found.infimum, rtol=1e-9, atol=1e-25, err_msg=str(seed))


@pytest.mark.parametrize("factor", [1e-200, 1e-155, 1e155, 1e200])
def test_any_unit_is_as_good(factor):
    x, y = np.array([-1.0, 0.5, 1, 2]), [0.2, 0.8, 0.3, 0.9]
    found, scaled = squares(x, y, bias=False), squares(factor * x, y, bias=False)
    assert scaled.verdict == found.verdict == SEARCHED and scaled.converged
    assert scaled.infimum == pytest.approx(found.infimum, rel=1e-12)
    assert scaled.minimizer["w"] * factor == pytest.approx(found.minimizer["w"], rel=1e-7)


@pytest.mark.parametrize("small", [1e-155, 1e-300])
def test_examples_of_very_different_size(small):
    """A little to the right of 0 the large example, labeled 1, is fitted, and the small one notices nothing."""
    found = decided([1 / small, small], [1.0, 0.0], bias=False)
    assert found.verdict == "unique minimizer" and found.certificate.verify()
    assert found.infimum == pytest.approx(0.5 * np.log(2))
    found = decided([1 / small, -small], [1.0, 0.0], bias=False)
    assert found.separation == "complete" and found.certificate.verify()


# The half squared error of a sigmoid or tanh neuron.


@pytest.mark.parametrize(("activation", "y"), [("sigmoid", [0, 1]), ("tanh", [-1, 1]), ("sigmoid", [-0.5, 1.5])])
def test_the_pair_under_squared_error(activation, y):
    found = squares(PAIR[0], y, activation=activation)
    lost = np.mean([0.5 * max(0, abs(t - 0.5) - 0.5) ** 2 for t in y]) if activation == "sigmoid" else 0.0
    assert found.verdict == "approached at infinity" and found.infimum == pytest.approx(lost, abs=1e-15)
    assert found.certificate.verify() and found.certificate.claim == "complete" and (found.margins > 0).all()
    assert not replace(found.certificate, signs=-found.certificate.signs).verify()
    assert found.separation is None and float(found.direction["w"]) > 0


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
@pytest.mark.parametrize("bias", [False, True])
def test_one_example_is_fitted_where_its_target_is_in_the_range(activation, bias):
    found = squares([1.5], [0.3], activation=activation, bias=bias)
    assert found.verdict == ("affine set of minimizers" if bias else "unique minimizer")
    assert found.infimum == 0 and found.residual < 1e-15 and len(found.directions) == int(bias)
    z = 1.5 * found.minimizer["w"] + (found.minimizer["b"] if bias else 0)
    assert z == pytest.approx(np.log(0.3 / 0.7) if activation == "sigmoid" else np.arctanh(0.3), abs=1e-12)
    assert "fitted exactly" in found.explanation
    out = squares([1.5], [1.0], activation=activation, bias=bias)
    assert (out.verdict, out.infimum) == ("approached at infinity", 0.0) and out.certificate.verify()


@pytest.mark.parametrize("near", [1e-5, 1e-6, 1e-7, 1e-12, 1e-300])
def test_targets_near_the_ends_of_the_range_are_fitted(near):
    """σ′ is next to nothing there: the limit at infinity is below the rounding of J's size, and still more than 0."""
    found = squares([2.0], [near])
    assert (found.verdict, found.infimum) == ("affine set of minimizers", 0.0)
    assert 2 * found.minimizer["w"] + found.minimizer["b"] == pytest.approx(np.log(near) - np.log1p(-near), rel=1e-12)
    if near > 1e-16:
        found = squares([-1.0, 1.0], [near, 1 - near])
        assert (found.verdict, found.infimum) == ("unique minimizer", 0.0)
        found = squares([-1.0, 1.0], [near, 1 - near], bias=False)  # rounding: the targets are not quite opposite
        assert found.attained and found.converged and found.infimum < 1e-30
        assert squares([-1.0, 2.0], [near, 1 - near], bias=False).attained


def test_what_equal_and_independent_examples_are_fitted_by():
    found = squares([[1, 2], [1, 2], [-1, -2]], [0.25, 0.25, 0.75], bias=False)
    assert (found.verdict, found.infimum) == ("affine set of minimizers", 0.0)
    np.testing.assert_allclose(found.minimizer["w"], -np.log(3) * np.array([1, 2]) / 5, rtol=1e-14)
    found = squares([[1, 2], [3, -1], [2, 5], [0, 0]], [0.5] * 4, bias=False)
    assert found.verdict == "unique minimizer" and not found.minimizer["w"].any() and found.infimum == 0
    assert squares([[1, 2], [1, 2]], [0.25, 0.75], bias=False).infimum == pytest.approx(1 / 32)
    assert squares([[0.0, 0]], [0.25], bias=False).infimum == pytest.approx(1 / 32)


@pytest.mark.parametrize("strength", [1e-12, 1e-9, 1e-3])
def test_a_weak_penalty_has_one_minimizer(strength):
    found = squares(*PAIR, penalty=ls.l2(strength))
    assert found.verdict == SEARCHED and found.converged
    w = float(found.minimizer["w"])
    s = problems.sigmoid(-w)
    assert s * s * (1 - s) == pytest.approx(2 * strength * w, rel=1e-8) and found.minimizer["b"] == pytest.approx(0)


def test_a_minimum_among_rows_of_very_different_size_is_found():
    x = np.array([[-0.5, -0.4], [4, -4], [-300, 500], [200, -300], [-4, 5], [500, -300], [100, -400]])
    found = squares(x, [0.9, 1, 0.1, 0.5, 0, 0.9, 0.1], penalty=ls.l2(0.01), bias=False)
    np.testing.assert_allclose(found.minimizer["w"], [0.5390333, 0.1400384], atol=1e-6)
    assert found.infimum == pytest.approx(0.0434781153, abs=1e-9)


def test_two_minima_the_lower_one_counts():
    found = squares([1, 30], [0.9, 0.1], bias=False)
    assert found.verdict == SEARCHED and float(found.minimizer["w"]) == pytest.approx(-0.06321, abs=1e-5)
    assert found.attained and found.unique is None and found.certificate is None
    assert 2 * found.infimum == pytest.approx(0.0869, abs=5e-5)
    on_axes = squares([[1, 0], [30, 0], [0, 1], [0, 30]], [0.9, 0.1, 0.9, 0.1], bias=False)
    np.testing.assert_allclose(on_axes.minimizer["w"], [found.minimizer["w"]] * 2, atol=1e-9)
    assert on_axes.infimum == pytest.approx(found.infimum, abs=1e-13)


def test_a_limit_that_keeps_examples_finite():
    """On the threshold two labels contradict each other; all others go to their limits."""
    found = squares([1, 2, 2, 3], [0, 0, 1, 1])
    assert found.verdict == "approached at infinity" and found.infimum == pytest.approx(0.25 / 4, abs=1e-15)
    assert found.margins[1] == found.margins[2] == 0 and found.margins[[0, 3]].min() > 0


def test_the_o_rings_under_squared_error():
    """The best is a step between 63 and 66 °F: three launches are on its wrong side."""
    found = squares(*ls.datasets.o_rings())
    assert found.verdict == "approached at infinity" and found.infimum == pytest.approx(3 / 2 / 23, abs=1e-15)
    threshold = -found.direction["b"] / found.direction["w"]
    assert 63 <= threshold <= 66 and found.certificate is None and "not proved" in found.explanation


def test_the_least_limit_against_a_scan_of_directions():
    """Nothing is lower on a grid of directions and radii, and something comes as near as one likes."""
    verdicts = set()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(6, 2)), rng.uniform(-0.2, 1.2, 6).round(1)
        found = squares(x, y, bias=False)
        angles = np.linspace(0, 2 * np.pi, 1001)
        radii = np.geomspace(0.01, 1e3, 80)
        w = (radii[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)).reshape(-1, 2)

        def risk(w, x=x, y=y):
            return 0.5 * np.mean((problems.sigmoid(w @ x.T) - y) ** 2, axis=1)

        assert found.infimum <= risk(w).min() + 1e-12, seed
        if found.attained:
            assert risk(found.minimizer["w"][None])[0] == pytest.approx(found.infimum, abs=1e-14)
        else:  # far out along the direction, anywhere across it
            d = found.direction["w"] / np.linalg.norm(found.direction["w"])
            across = np.linspace(-60, 60, 4001)[:, None] * np.array([-d[1], d[0]])
            assert risk(1e7 * d + across).min() == pytest.approx(found.infimum, abs=1e-6), seed
        verdicts.add(found.verdict)
    assert verdicts == {SEARCHED, "approached at infinity"}


@pytest.mark.parametrize("penalty", [ls.l2(0.01), ls.l1(0.01), ls.elastic_net(0.005, 0.005)])
def test_a_penalty_on_everything_holds(penalty):
    found = squares(*PAIR, penalty=penalty)
    assert found.attained and found.converged and found.certificate is None
    w, b = np.meshgrid(np.linspace(-6, 6, 601), np.linspace(-1, 1, 101))
    grid = 0.25 * (problems.sigmoid(b - w) ** 2 + problems.sigmoid(-w - b) ** 2)
    alpha, beta = sum(t.strength * t.l1 for t in penalty.terms), sum(t.strength * t.l2 for t in penalty.terms)
    grid = grid + alpha * (np.abs(w) + np.abs(b)) + beta * (w**2 + b**2)
    assert grid.min() - 1e-4 < found.infimum <= grid.min() + 1e-15


def test_what_is_not_known_is_refused():
    x, y = np.arange(6.0).reshape(2, 3), [0, 1]
    with pytest.raises(ValueError, match=r"`objective.structure` says half squared error of relu.*2 parameters, 0 of"):
        squares(*PAIR, activation="relu")
    with pytest.raises(ValueError, match=r"says half squared error of softplus"):
        squares(*PAIR, activation="softplus", penalty=ls.l2(0.1))
    with pytest.raises(ValueError, match=r"of sigmoid, which is not convex, with 4 parameters, 0 of them penalized"):
        squares(x, y)
    with pytest.raises(ValueError, match=r"with 2 parameters, 1 of them penalized"):
        squares(*PAIR, penalty=ls.weight_decay(0.1))
    with pytest.raises(ValueError, match=r"`objective.structure.labels` holds 1e\+300, whose squared error is beyond"):
        squares(PAIR[0], [0.0, 1e300])
    with pytest.raises(TypeError, match=r"`objective` is"):
        attainment(3)
    with pytest.raises(ValueError, match=r"`objective` has no `structure`"):
        attainment(ls.function(lambda p: p["u"] ** 2, {"u": 1.0}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": jnp.array([[jnp.nan, 1.0], [1.0, 1.0]])}, r"`objective.structure.features` holds 1 of 4"),
        ({"labels": jnp.array([0.0, 2.0])}, r"`objective.structure.labels` holds 2.0; cross-entropy needs labels"),
        ({"weights": jnp.array([1.0, -1.0])}, r"`objective.structure.weights` must be finite, ≥ 0 and not all 0"),
    ],
)
def test_structures_that_say_nonsense(change, message):
    objective = ls.neuron(*PAIR)
    with pytest.raises(ValueError, match=message):
        attainment(replace(objective, structure=replace(objective.structure, **change), reduction="sum"))
