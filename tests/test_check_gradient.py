"""`check_gradient`: right derivations pass, wrong ones are told where and by what factor."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from tests import problems


def by_hand(params):
    """∇R of the pair."""
    w, b = np.float64(params["w"]), np.float64(params["b"])
    dw, db = problems.pair_gradient(w, b)
    return {"w": dw, "b": db}


PAIR = ls.neuron(*ls.datasets.pair())


def test_a_right_derivation_passes():
    """Three columns that agree, in float64 although x64 is off."""
    check = ls.check_gradient(PAIR, by_hand)
    assert check.ok
    assert check.entries == ("b", "w")
    assert check.errors.max() < 1e-14
    assert np.abs(check.finite_differences - check.autodiff).max() < 1e-10
    assert check.autodiff.dtype == np.float64 and check.autodiff.shape == (3, 2)
    assert str(check).splitlines()[-1] == "the formula is right"
    assert "differences" in str(check).splitlines()[0]
    assert not jax.config.jax_enable_x64


@pytest.mark.parametrize(
    ("formula", "verdict"),
    [
        (lambda p: by_hand(p) | {"w": 2 * by_hand(p)["w"]}, r"wrong in w \(2 times the gradient at every point\)"),
        (lambda p: by_hand(p) | {"b": -by_hand(p)["b"]}, r"wrong in b \(-1 times the gradient at every point\)"),
        (lambda p: {k: 0.5 * v for k, v in by_hand(p).items()}, r"wrong in b \(0.5 times .*\), w \(0.5 times .*\)"),
        (lambda p: by_hand(p) | {"w": by_hand(p)["w"] + 1e-3}, r"wrong in w$"),
        (lambda p: by_hand(p) | {"b": jnp.zeros(())}, r"wrong in b$"),
    ],
)
def test_a_wrong_derivation_is_told_how(formula, verdict):
    """A missing ½, a sign, a constant: the entry, and the factor where there is one."""
    check = ls.check_gradient(PAIR, formula)
    assert not check.ok
    assert re.search(verdict, str(check).splitlines()[-1])
    assert "✗ off by" in str(check)


def test_the_penalty_belongs_to_the_objective():
    """∇J = ∇R + 2λθ; at a kink autodiff is the minimum-norm subgradient."""
    ridge = PAIR.with_penalty(ls.l2(0.3))
    assert ls.check_gradient(ridge, lambda p: {k: g + 0.6 * p[k] for k, g in by_hand(p).items()}).ok
    assert not ls.check_gradient(ridge, by_hand).ok
    lasso = PAIR.with_penalty(ls.l1(0.5))
    zero = {"w": 0.0, "b": 0.0}
    check = ls.check_gradient(lasso, lambda p: {"w": 0.0, "b": 0.0}, points=[zero])
    assert check.ok and np.abs(check.autodiff).max() == 0.0


def test_every_entry_of_nested_params_is_named():
    """Matrices by index; the true gradient of a network passes, one wrong entry does not."""
    with jax.enable_x64(True):
        exact = problems.network(0, "float64")

        gradient = jax.jit(jax.grad(exact.risk))

    def formula(params, factor=1.0):
        found = gradient(params)
        found["hidden"]["kernel"] = found["hidden"]["kernel"].at[1, 2].multiply(factor)
        return found

    check = ls.check_gradient(exact, formula)
    assert check.ok and len(check.entries) == 12 + 4 + 8 + 2
    assert "hidden/kernel[1, 2]" in check.entries
    wrong = ls.check_gradient(exact, lambda p: formula(p, 1.5))
    assert str(wrong).endswith("wrong in hidden/kernel[1, 2] (1.5 times the gradient at every point)")


def test_a_formula_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"(?s)`formula` must return a tree like the params.*w: float64"):
        ls.check_gradient(PAIR, lambda p: {"w": 0.0})
    with pytest.raises(ValueError, match=r"`formula` returned shape \(2,\) for 'w'; wanted \(\)"):
        ls.check_gradient(PAIR, lambda p: {"w": np.zeros(2), "b": 0.0})
