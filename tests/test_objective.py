"""Objectives: risk and penalty, weighted losses, gradients at kinks, functions without data, fingerprints, refusals."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from tests import problems
from tests.closeness import assert_close

X = np.array([1.0, 2.0, 3.0, 4.0], np.float32)


def squares(params, batch):
    """(x − θ)² of each example."""
    return jnp.square(batch - params["theta"])


def weighted_squares(params, batch):
    """The same with weights beside the data."""
    return jnp.square(batch["x"] - params["theta"]), batch["weight"]


def test_risk_is_the_mean_or_the_sum():
    """And the objective adds the penalty to either."""
    theta = {"theta": jnp.float32(1.0)}
    mean = ls.Objective(squares, X, params=theta, penalty=ls.l2(0.5))
    total = ls.Objective(squares, X, params=theta, penalty=ls.l2(0.5), reduction="sum")
    assert (float(mean.risk(theta)), float(mean(theta))) == (3.5, 4.0)
    assert (float(total.risk(theta)), float(total(theta))) == (14.0, 14.5)
    assert mean.n == 4


@pytest.mark.parametrize(("reduction", "expected"), [("mean", (2 * 0 + 1 * 9) / 3), ("sum", 2 * 0 + 1 * 9)])
def test_weighted_losses(reduction, expected):
    """Σwl/Σw, or Σwl; an example of weight 0 adds nothing, not even NaN."""
    data = {"x": jnp.asarray([1.0, 2.0, 4.0]), "weight": jnp.asarray([2.0, 0.0, 1.0])}

    def losses(params, batch):
        values, weights = weighted_squares(params, batch)
        return jnp.where(batch["x"] == 2.0, jnp.nan, values), weights

    for function in (weighted_squares, losses):
        objective = ls.Objective(function, data, params={"theta": 1.0}, reduction=reduction)
        assert_close(objective.risk({"theta": 1.0}), np.asarray(expected))
        assert np.isfinite(float(jax.grad(objective.risk)({"theta": jnp.float32(1.0)})["theta"]))


def test_plain_numbers_are_read_as_the_example_params():
    """objective({"w": 0.0, "b": 0}) works, in the dtype of the objective."""
    pair = ls.neuron(*ls.datasets.pair())
    assert float(pair({"w": 0, "b": 0.0})) == float(pair({"w": jnp.float32(0), "b": np.float32(0)}))
    assert pair({"w": 0, "b": 0.0}).dtype == jnp.float32


def test_the_gradient_is_zero_exactly_at_a_kink_that_is_a_minimum():
    """|∇R| ≤ λ at 0 under l1: the minimum-norm subgradient is 0, where autodiff of |θ| would say ±λ."""
    pair = ls.neuron(*ls.datasets.pair(), penalty=ls.l1(0.5))
    assert {name: float(leaf) for name, leaf in pair.gradient({"w": 0.0, "b": 0.0}).items()} == {"w": 0.0, "b": 0.0}
    weaker = pair.with_penalty(ls.l1(0.3)).gradient({"w": 0.0, "b": 0.0})
    assert float(weaker["w"]) == pytest.approx(-0.2)


def test_gradient_agrees_with_autodiff_away_from_kinks(dtype):
    """On a network with nested params and a mix of penalties."""
    network = problems.network(0, dtype).with_penalty(ls.elastic_net(0.01, 0.02) + ls.weight_decay(0.1))
    by_rule, by_autodiff = jax.jit(network.gradient), jax.jit(jax.grad(network))
    assert_close(by_rule(network.params), by_autodiff(network.params), eps=64, scale=1.0)


def test_functions_are_objectives_without_data():
    """One loss, f(params), traceable, with a penalty if wanted."""
    bowl = ls.function(lambda p: jnp.sum(p["u"] ** 2) - 3.0, {"u": jnp.ones(2)}, penalty=ls.l2(0.5))
    assert (float(bowl.risk({"u": jnp.ones(2)})), float(bowl({"u": jnp.ones(2)})), bowl.n) == (-1.0, 0.0, 1)
    assert jax.grad(bowl.risk)({"u": jnp.ones(2)})["u"].tolist() == [2.0, 2.0]
    with pytest.raises(ValueError, match=r"`f` returned shape \(2,\); an objective's function returns one number"):
        ls.function(lambda p: p["u"], {"u": jnp.ones(2)})


def test_params_may_be_any_tree():
    """A list of tuples, a bare array."""
    listed = ls.function(lambda p: p[0][0] * p[1], [(2.0,), 3.0])
    assert float(listed.risk([(2.0,), 3.0])) == 6.0
    bare = ls.Objective(lambda p, x: x * p, X, params=jnp.float32(2.0))
    assert float(bare.risk(jnp.float32(2.0))) == 5.0


def test_the_fingerprint_is_of_the_risk():
    """Same losses and data: same id, also after a rebuild; other data, losses, reduction or closure: another one."""
    pair = ls.neuron(*ls.datasets.pair())
    assert len(pair.id) == 16 and int(pair.id, 16) >= 0
    assert ls.neuron(*ls.datasets.pair()).id == pair.id == pair.with_penalty(ls.l2(1.0)).id

    def shifted(shift):
        constant = jnp.asarray([shift, 0.0, 0.0, 0.0])
        return ls.Objective(lambda p, x: squares(p, x + constant), X, params={"theta": 0.0})

    others = [
        ls.neuron([-1, 2], [0, 1]),
        ls.neuron([-1, 1], [0, 0]),
        ls.neuron(*ls.datasets.pair(), reduction="sum"),
        ls.neuron(*ls.datasets.pair(), loss="half_squared_error"),
        shifted(1.0),
        shifted(2.0),
    ]
    assert len({pair.id, *(other.id for other in others)}) == 7
    assert shifted(1.0).id == others[4].id


def test_a_new_objective_sees_what_has_changed():
    """The same function reads another global, or another attribute: no surface of the old one, and another id."""

    def losses(params, x):
        return squares(params, x - kept)

    def risk(of):
        objective = ls.Objective(of, X, params={"theta": 0.0})
        surface = ls.evaluate(objective, ls.axes_plane(objective.params, "theta"), {"theta": [0.0, 1.0]})
        return objective.id, float(surface.risk[0]), float(objective.risk({"theta": 0.0}))

    class Model:
        scale = 1.0

        def losses(self, params, x):
            return self.scale * squares(params, x)

    model, found = Model(), []
    for shift in (0, 100):
        kept, model.scale = np.full(4, shift, np.float32), 1.0 + shift  # read by `losses`
        found.append((risk(losses), risk(model.losses)))
    for before, after in zip(*found, strict=True):
        assert before[0] != after[0] and before[1] != after[1]
        assert before[1] == before[2] and after[1] == after[2]


def test_other_data_leave_the_structure_behind():
    """Features and labels of the old data would answer for the new ones."""
    pair = ls.neuron(*ls.datasets.pair())
    assert pair.structure is not None and pair.with_data((X, (X > 2).astype(np.float32))).structure is None


def test_the_fingerprint_is_the_same_in_another_process():
    """Neither addresses nor hash seeds enter it: a store written yesterday is recognized."""
    program = "import landscape as ls; print(ls.neuron(*ls.datasets.pair()).id)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        assert answer.stdout.strip() == ls.neuron(*ls.datasets.pair()).id


def test_objectives_print_their_formula():
    pair = ls.neuron(*ls.datasets.pair())
    assert repr(pair) == str(pair) == "R(w, b) = ½( log(1+e^(−w−b)) + log(1+e^(w−b)) − w + b )"
    assert pair._repr_latex_().startswith(r"$\displaystyle R(w, b)")


@pytest.mark.parametrize(
    ("losses", "data", "options", "error", "message"),
    [
        (
            squares,
            X,
            {"params": {"theta": 0}},
            TypeError,
            "`params` leaf 'theta' is int; parameters are floating-point",
        ),
        (squares, X, {"params": {"theta": np.arange(3)}}, TypeError, "`params` has no floating-point leaf"),
        (squares, X, {"params": {}}, ValueError, "`params` has no leaves"),
        (squares, X, {"params": {"theta": 0.0}, "reduction": "total"}, ValueError, "`reduction` is 'total'"),
        (squares, X, {"params": {"theta": 0.0}, "penalty": "l2"}, TypeError, "`penalty` is a str; make one with"),
        (squares, X[:0], {"params": {"theta": 0.0}}, ValueError, r"`data` has no examples \(shape \(0,\)\)"),
        (squares, np.float32(1), {"params": {"theta": 0.0}}, ValueError, "`data` is a single number"),
        ("squares", X, {"params": {"theta": 0.0}}, TypeError, "`losses` is a str; it must be a function"),
        (
            squares,
            np.array([1.0, np.nan, 3.0, np.nan], np.float32),
            {"params": {"theta": 0.0}},
            ValueError,
            "`data` holds 2 of 4 values that are not finite; the first is NaN, at index 1",
        ),
        (
            weighted_squares,
            {"x": X, "weight": X[:3]},
            {"params": {"theta": 0.0}},
            ValueError,
            "`data` has leaves of different length: data 'weight': 3, data 'x': 4",
        ),
        (
            lambda p, x: jnp.mean(squares(p, x)),
            X,
            {"params": {"theta": 0.0}},
            ValueError,
            r"`losses` returned losses of shape \(\); wanted \(4,\), one an example.*before averaging",
        ),
        (
            lambda p, x: squares(p, x)[:, None],
            X,
            {"params": {"theta": 0.0}},
            ValueError,
            r"`losses` returned losses of shape \(4, 1\); wanted \(4,\)",
        ),
        (
            lambda p, x: (squares(p, x), jnp.ones(())),
            X,
            {"params": {"theta": 0.0}},
            ValueError,
            r"`losses` returned weights of shape \(\); wanted \(4,\)",
        ),
    ],
)
def test_bad_input(losses, data, options, error, message):
    """Refused when the objective is made, not in the middle of a run."""
    with pytest.raises(error, match=message):
        ls.Objective(losses, data, **options)


def test_params_of_another_structure_are_refused():
    pair = ls.neuron(*ls.datasets.pair())
    with pytest.raises(ValueError, match=r"(?s)`params` must have the structure of the objective's own.*b: float32"):
        pair({"w": 0.0})


def test_float64_data_without_x64_warn_once():
    with pytest.warns(UserWarning, match="`data and params` is float64") as caught:
        ls.Objective(squares, X.astype(np.float64), params={"theta": np.zeros(())})
    assert len(caught) == 1
    assert caught[0].filename == __file__
