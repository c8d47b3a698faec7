"""Penalties: values, minimum-norm subgradients and proximal steps against brute force, scopes, sums, scaling, text."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import landscape as ls
from tests import problems
from tests.closeness import assert_close

PARAMS = {"w": jnp.asarray([3.0, -4.0, 0.0], jnp.float32), "b": jnp.asarray(-2.0, jnp.float32)}
TREE = {
    "params": {
        "Dense_0": {"kernel": jnp.ones((2, 3), jnp.float32), "bias": jnp.ones(3, jnp.float32)},
        "Embed_0": {"embedding": 2 * jnp.ones((4, 2), jnp.float32)},
        "LayerNorm_0": {"scale": jnp.ones(2, jnp.float32)},
    }
}
entries = st.one_of(st.just(0.0), problems.reals(-3, 3, width=32).filter(lambda v: v == 0 or abs(v) > 1e-3))
strengths = st.one_of(st.just(0.0), problems.reals(1e-3, 10))


def mixed(first: float, second: float, third: float) -> ls.Penalty:
    """A sum of every kind and scope over PARAMS."""
    mask = {"w": np.array([True, False, True]), "b": True}
    return ls.l1(first, scope=mask) + ls.elastic_net(second, third) + ls.weight_decay(first)


@pytest.mark.parametrize(
    ("penalty", "value", "strength"),
    [
        (ls.none(), 0.0, 0.0),
        (ls.l2(0.1), 0.1 * (9 + 16 + 4), 0.1),
        (ls.l1(0.1), 0.1 * (3 + 4 + 2), 0.1),
        (ls.elastic_net(0.1, 0.5), 0.1 * 9 + 0.5 * 29, 0.6),
        (ls.weight_decay(0.1), 0.05 * (9 + 16), 0.1),
        (ls.l2(0.1, scope="weights"), 0.1 * 25, 0.1),
        (ls.weight_decay(0.1, scope="all"), 0.05 * 29, 0.1),
        (ls.l1(2.0, scope={"w": False, "b": True}), 4.0, 2.0),
        (ls.l2(2.0, scope={"w": np.array([False, True, True]), "b": False}), 32.0, 2.0),
    ],
    ids=str,
)
def test_values_follow_the_conventions(penalty, value, strength):
    """λ‖θ‖² without a half, over weights and biases; only weight_decay has the half, and leaves biases free."""
    assert_close(penalty.value(PARAMS), np.asarray(value))
    assert penalty.value(PARAMS).dtype == jnp.float32
    assert penalty.strength == pytest.approx(strength)


@given(v=st.lists(entries, min_size=4, max_size=4), a=strengths, b=strengths, c=strengths)
def test_sums_and_multiples(v, a, b, c):
    """Values add up, and a factor scales them."""
    params = {"w": np.array(v[:3], np.float32), "b": np.float32(v[3])}
    whole = mixed(a, b, c)
    parts = ls.l1(a, scope={"w": np.array([True, False, True]), "b": True}), ls.elastic_net(b, c), ls.weight_decay(a)
    total = sum(float(part.value(params)) for part in parts)
    assert float(whole.value(params)) == pytest.approx(total, rel=1e-5)
    assert float((3 * whole).value(params)) == pytest.approx(3 * total, rel=1e-5)
    assert float((whole * 0.0).value(params)) == 0.0


@given(v=st.lists(entries, min_size=4, max_size=4), a=strengths, b=strengths, c=strengths)
def test_a_penalty_is_its_strength_times_its_unit(v, a, b, c):
    """strength · unit().value = value, and the unit has strength 1, whatever the mix of terms."""
    params = {"w": np.array(v[:3], np.float32), "b": np.float32(v[3])}
    penalty = mixed(a, b, c)
    unit = penalty.unit()
    assert unit.strength == pytest.approx(1.0)
    assert penalty.strength * float(unit.value(params)) == pytest.approx(float(penalty.value(params)), rel=1e-5)


def test_the_unit_at_strength_zero_is_still_a_penalty():
    """λ = 0 keeps its shape: its unit value is ‖θ‖², so that it can be scaled afterwards."""
    assert_close(ls.l2(0.0).unit().value(PARAMS), np.asarray(29.0))
    assert ls.none().unit() == ls.none()


@given(
    v=st.lists(entries, min_size=4, max_size=4), g=st.lists(entries, min_size=4, max_size=4), a=strengths, b=strengths
)
def test_the_subgradient_is_the_element_of_least_norm(v, g, a, b):
    """Against a projection by brute force: at θᵢ = 0 every slope in [−α, α] is tried."""
    params = {"b": np.float32(v[3]), "w": np.array(v[:3], np.float32)}
    gradient = {"b": np.float32(g[3]), "w": np.array(g[:3], np.float32)}
    penalty = ls.elastic_net(a, b) + ls.weight_decay(a)
    found = penalty.subgradient(params, gradient)
    for name, share in (("w", 0.5 * a), ("b", 0.0)):
        values, slopes = np.atleast_1d(params[name]), np.atleast_1d(gradient[name])
        for theta, slope, answer in zip(values, slopes, np.atleast_1d(found[name]), strict=True):
            smooth = float(slope) + 2 * (b + share) * float(theta)
            kinks = np.linspace(-1, 1, 20001) if theta == 0 else np.array([np.sign(theta)])
            best = np.abs(smooth + a * kinks).min()
            assert abs(float(answer)) == pytest.approx(best, abs=1.1e-4 * a + 1e-5 * (1 + abs(smooth)))
            assert theta != 0 or float(answer) * slope >= 0  # a soft threshold changes no sign


def test_stationarity_at_a_kink_is_zero_exactly():
    """|∂R| ≤ λ at θ = 0 is a minimum under l1; jax.grad of |θ| would say 1."""
    zero, slope = {"w": jnp.zeros(3)}, {"w": jnp.asarray([0.5, -0.5, 0.7])}
    assert ls.l1(0.5).subgradient(zero, slope)["w"].tolist()[:2] == [0.0, 0.0]
    assert float(ls.l1(0.5).subgradient(zero, slope)["w"][2]) == pytest.approx(0.2)
    assert jax.grad(ls.l1(0.5).value)(zero)["w"].tolist() == [0.0, 0.0, 0.0]


@given(v=st.lists(entries, min_size=4, max_size=4), a=strengths, b=strengths, step=problems.reals(0.01, 5))
def test_the_proximal_step_minimizes(v, a, b, step):
    """Ω(u) + (u − θ)²/(2·step), against the least value over a fine grid of u, in float64."""
    grid = np.linspace(-3, 3, 60001)
    with jax.enable_x64(True):
        params = {"w": np.array(v[:3]), "b": np.float64(v[3])}
        penalty = ls.elastic_net(a, b, scope="weights") + ls.l2(b)
        found = penalty.prox(params, step)
    for name, (alpha, beta) in {"w": (a, 2 * b), "b": (0.0, b)}.items():

        def cost(u, theta, alpha=alpha, beta=beta):
            return alpha * np.abs(u) + beta * u**2 + (u - theta) ** 2 / (2 * step)

        for theta, answer in zip(np.atleast_1d(params[name]), np.atleast_1d(found[name]), strict=True):
            best = grid[np.argmin(cost(grid, theta))]
            assert float(answer) == pytest.approx(best, abs=1.01e-4)
            assert cost(float(answer), theta) <= cost(best, theta) + 1e-12


def test_the_proximal_step_is_zero_exactly_and_keeps_dtypes():
    """Soft thresholding gives 0.0, not something small, in every dtype."""
    params = {"w": jnp.asarray([0.3, -0.3, 0.31], jnp.bfloat16), "b": jnp.asarray(1.0, jnp.float16)}
    found = ls.l1(0.3, scope="weights").prox(params, 1.01)
    assert found["w"].tolist()[:2] == [0.0, 0.0]
    assert (found["w"].dtype, found["b"].dtype, float(found["b"])) == (jnp.bfloat16, jnp.float16, 1.0)


@pytest.mark.parametrize(
    ("scope", "sum_of_squares"),
    [
        ("all", 6 + 3 + 32 + 2),
        ("weights", 6 + 32),
        (jax.tree.map(lambda leaf: leaf.ndim == 1, TREE), 3 + 2),
        (jax.tree.map(lambda leaf: np.arange(leaf.size).reshape(leaf.shape) % 2 == 0, TREE), 3 + 2 + 16 + 1),
    ],
    ids=["all", "weights", "leafwise mask", "elementwise mask"],
)
def test_scopes_on_nested_params(scope, sum_of_squares):
    """Weights are the leaves whose LAST key is w, W, kernel, weight or embedding; a mask picks leaves or entries."""
    assert_close(ls.l2(1.0, scope=scope).value(TREE), np.asarray(float(sum_of_squares)))


@pytest.mark.parametrize("name", ["w", "W", "kernel", "weight", "embedding"])
def test_names_of_weights(name):
    """Bias, scale and a leaf merely under such a name are none."""
    params = {name: jnp.ones(()), "bias": jnp.ones(()), "kernels": jnp.ones(()), "weight_norm": {"scale": jnp.ones(())}}
    assert float(ls.l2(1.0, scope="weights").value(params)) == 1.0
    assert float(ls.l2(1.0, scope="weights").value([{name: jnp.ones(())}, jnp.ones(())])) == 1.0


def test_a_scope_that_matches_nothing_is_refused():
    """A penalty that silently does nothing is worse than an error."""
    with pytest.raises(
        ValueError, match=r"`scope` 'weights' matches no leaf of the params \(a: float32\[\]\).*or a mask"
    ):
        ls.weight_decay(0.1).value({"a": jnp.zeros(())})
    with pytest.raises(ValueError, match=r"`scope` 'mask' matches no leaf"):
        ls.l2(0.1, scope={"w": False, "b": False}).value(PARAMS)
    with pytest.raises(ValueError, match="matches no leaf"):
        ls.function(lambda p: p["a"] ** 2, {"a": 0.0}, penalty=ls.weight_decay(0.1))


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        ("bias", "`scope` is 'bias'; it must be one of 'all', 'weights'"),
        ({"w": True}, "`scope` must be a tree of booleans with the structure of the params"),
        ({"w": 1.0, "b": True}, r"`scope` has a mask of dtype float64 and shape \(\) for a leaf of shape \(3,\)"),
        ({"w": np.array([True, False]), "b": True}, r"dtype bool and shape \(2,\) for a leaf of shape \(3,\)"),
    ],
)
def test_masks_must_fit(scope, message):
    with pytest.raises(ValueError, match=message):
        ls.l2(0.1, scope=scope).value(PARAMS)


@pytest.mark.parametrize(
    "make", [ls.l1, ls.l2, ls.weight_decay, lambda s: ls.elastic_net(s, 0.1), lambda s: ls.elastic_net(0.1, s)]
)
@pytest.mark.parametrize("strength", [-0.1, float("nan"), float("inf")])
def test_strengths_are_finite_and_not_negative(make, strength):
    with pytest.raises(
        ValueError, match=r"strength` is (-0.1|nan|inf); a penalty's strength must be a finite number ≥ 0"
    ):
        make(strength)


@pytest.mark.parametrize("strength", [[0.1, 0.2], np.array([0.1]), "0.1", True, None])
def test_a_strength_is_one_number(strength):
    with pytest.raises(TypeError, match=r"`strength` must be one number, got .*; for a sweep, make a penalty each"):
        ls.l2(strength)


def test_a_strength_may_be_any_scalar():
    """Python, NumPy and JAX numbers read the same."""
    for strength in (1, np.float32(1), np.int64(1), np.array(1.0), jnp.float32(1)):
        assert ls.l2(strength) == ls.l2(1.0)


def test_only_penalties_add_and_only_strengths_scale():
    """Mistakes are told apart: a kind is a TypeError, a value a ValueError."""
    with pytest.raises(TypeError, match="unsupported operand"):
        ls.l2(0.1) + 0.1  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"`factor` is -1\.0"):
        -1.0 * ls.l2(0.1)
    with pytest.raises(ValueError, match="`step` is 0; it must be a finite number > 0"):
        ls.l2(0.1).prox(PARAMS, 0)
    assert ls.l2(0.1) + ls.none() == ls.l2(0.1)
    assert np.float64(2.0) * ls.l2(0.25) == ls.l2(0.5)


def test_leaves_of_different_width_add_up_in_the_widest():
    """bfloat16 leaves are summed in float32: 300 ones are 300, not 256; a subgradient is float32 or wider."""
    params = {"w": jnp.ones(300, jnp.bfloat16), "b": jnp.asarray(0.5, jnp.float32)}
    assert ls.l2(1.0).value(params).dtype == jnp.float32
    assert float(ls.l2(1.0).value(params)) == 300.25
    assert float(ls.l1(1.0).value(params)) == 300.5
    slopes = ls.l2(1.0).subgradient(params, jax.tree.map(jnp.zeros_like, params))
    assert slopes["w"].dtype == jnp.float32 and float(slopes["w"][0]) == 2.0
    with jax.enable_x64(True):
        wider = {"w": jnp.ones(3, jnp.bfloat16), "b": jnp.asarray(0.5, jnp.float64)}
        assert ls.l2(1.0).value(wider).dtype == jnp.float64


def test_penalties_are_traceable():
    """value, subgradient and prox under jit and grad."""
    penalty = ls.elastic_net(0.1, 0.2)
    assert_close(jax.jit(penalty.value)(PARAMS), np.asarray(0.9 + 5.8))
    gradient = jax.grad(penalty.value)(PARAMS)
    expected = penalty.subgradient(PARAMS, jax.tree.map(jnp.zeros_like, PARAMS))
    assert_close(gradient, expected, scale=1.0)
    assert_close(jax.jit(lambda p: penalty.prox(p, 0.5))(PARAMS), penalty.prox(PARAMS, 0.5))


@pytest.mark.parametrize(
    ("penalty", "text", "latex"),
    [
        (ls.none(), "0", "0"),
        (ls.l2(0.1), "0.1·‖θ‖²", r"0.1\,\lVert \theta\rVert_2^2"),
        (ls.l1(0.01), "0.01·‖θ‖₁", r"0.01\,\lVert \theta\rVert_1"),
        (ls.weight_decay(1e-4), "5e-05·‖W‖²", r"5e-05\,\lVert W\rVert_2^2"),
        (
            ls.l2(0.1) + 2 * ls.l1(0.01),
            "0.1·‖θ‖² + 0.02·‖θ‖₁",
            r"0.1\,\lVert \theta\rVert_2^2 + 0.02\,\lVert \theta\rVert_1",
        ),
        (ls.l1(1.0, scope={"w": True, "b": False}), "1·‖mθ‖₁", r"1\,\lVert m\theta\rVert_1"),
    ],
)
def test_penalties_print_as_formulas(penalty, text, latex):
    """Text, and LaTeX in a notebook."""
    assert str(penalty) == text
    assert penalty.latex() == latex
    assert penalty._repr_latex_() == f"${latex}$"
