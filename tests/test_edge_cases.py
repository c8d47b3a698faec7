"""Where numbers go wrong quietly: weights in mini-batches, huge or narrow params, parallel directions, misfits."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import plan

import landscape as ls

PAIR = ls.neuron(*ls.datasets.pair())
PLANE = ls.axes_plane(PAIR.params, "w", "b")


def test_mini_batches_respect_example_weights():
    """Over an epoch the batches' gradients add up to the full one: with batches of one, weights must not cancel."""
    with jax.enable_x64(True):
        weighted = ls.neuron(np.arange(-2.0, 4.0), [0, 1, 0, 1, 0, 1], weights=[10, 1, 1, 1, 1, 1], penalty=ls.l2(0.05))
        start = {"w": 0.3, "b": -0.2}
        rate = 1e-6  # so small that an epoch of six steps is one full step, to first order
        run = ls.descend(weighted, optax.sgd(rate), start, 6, batch_size=1, key=jax.random.key(0))
        gradient = weighted.gradient(start)
        for name in ("w", "b"):
            moved = (run.params[name][-1] - run.params[name][0]) / rate
            np.testing.assert_allclose(moved, -6 * gradient[name], rtol=1e-4)


@pytest.mark.parametrize("penalty", [ls.none(), ls.l1(0.1), ls.l2(0.0), ls.weight_decay(0.0)])
def test_a_penalty_of_strength_zero_is_zero_however_large_the_params(penalty):
    """0·∞ is NaN, but no penalty is no penalty."""
    huge = {"w": jnp.float32(1e20), "b": jnp.float32(0.0)}
    expected = 1e19 if penalty.strength else 0.0
    np.testing.assert_allclose(float(penalty.value(huge)), expected, rtol=1e-6)
    surface = ls.evaluate(PAIR, ls.Polar(PLANE), {"log_scale": [60.0], "angle": [0.0]}, penalties={"p": penalty})
    assert bool(surface.finite.all()) and bool(np.isfinite(surface.objective).all())


@pytest.mark.parametrize("batch_size", [1, 8, None])
def test_gradients_of_narrow_params_are_summed_wide(batch_size):
    """A sum of 4096 equal gradients in bfloat16 stops growing at 256 of them."""
    x = jnp.ones((4096,), jnp.bfloat16)
    objective = ls.Objective(lambda p, batch: p["w"] * batch, x, params={"w": jnp.ones((), jnp.bfloat16)})
    surface = ls.evaluate(
        objective,
        ls.axes_plane(objective.params, "w"),
        {"w": [0.0, 1.0]},
        quantities=("risk_gradient_norm",),
        batch_size=batch_size,
    )
    np.testing.assert_allclose(surface.risk_gradient_norm, 1.0, rtol=1e-2)


def test_float16_gradients_of_many_examples_do_not_overflow():
    x = np.full(100_000, 2.0, np.float16)
    objective = ls.Objective(lambda p, batch: p["w"] * batch, x, params={"w": jnp.ones((), jnp.float16)})
    surface = ls.evaluate(objective, ls.axes_plane(objective.params, "w"), {"w": [0.5]}, quantities=("slope",))
    np.testing.assert_allclose(surface.slope, 2.0, rtol=1e-2)


@pytest.mark.parametrize("scale", [1.0, 1e-25, 1e15])
def test_nearly_parallel_directions_keep_their_coordinates(scale):
    """Normal equations would square the condition number, and under- or overflow with the directions' scale."""
    u, v = jax.random.normal(jax.random.key(1), (2, 1000))
    plane = ls.Plane({"p": jnp.zeros(1000)}, ({"p": scale * u}, {"p": scale * (u + 1e-3 * v)}), names=("a", "b"))
    coordinates, residual = plane.coordinates(plane.point([1.0, -2.0]))
    np.testing.assert_allclose(coordinates, [1.0, -2.0], rtol=2e-3)
    assert float(residual) <= 1e-4 * scale * 40


def test_three_directions_and_a_point_off_the_plane():
    """Known coordinates plus a known orthogonal offset."""
    directions = tuple({"p": jnp.array(d)} for d in ([1.0, 1.0, 0.0, 0.0], [0.0, 2.0, 1.0, 0.0], [1.0, 0.0, 3.0, 0.0]))
    plane = ls.Plane({"p": jnp.array([5.0, 6.0, 7.0, 8.0])}, directions, names=("a", "b", "c"))
    off = {"p": plane.point([0.5, -1.5, 2.0])["p"] + jnp.array([0.0, 0.0, 0.0, 3.0])}
    coordinates, residual = plane.coordinates(off)
    np.testing.assert_allclose(coordinates, [0.5, -1.5, 2.0], rtol=1e-5)
    np.testing.assert_allclose(residual, 3.0, rtol=1e-6)


def test_float64_objectives_are_refused_where_x64_is_off():
    with jax.enable_x64(True):
        exact = ls.neuron(*ls.datasets.pair())
        plane = ls.axes_plane(exact.params, "w", "b")
    with pytest.raises(ValueError, match="`objective` was built in float64 but JAX's x64 mode is off here"):
        ls.evaluate(exact, plane, {"w": [0.0], "b": [0.0]})
    with pytest.raises(ValueError, match="`objective` was built in float64 but JAX's x64 mode is off here"):
        ls.descend(exact, optax.sgd(0.1), {"w": 0.0, "b": 0.0}, 1)


def test_a_chart_of_other_shapes_or_dtypes_is_refused_everywhere():
    vector = ls.axes_plane({"w": jnp.zeros(3), "b": jnp.zeros(())}, "w[0]", "b")
    run = ls.descend(PAIR, optax.sgd(0.1), {"w": 0.0, "b": 0.0}, 2)
    with pytest.raises(ValueError, match="`chart` leads to params that are not like the objective's"):
        run.on(vector)
    with pytest.raises(ValueError, match="`record` leads to params that are not like the objective's"):
        ls.descend(PAIR, optax.sgd(0.1), {"w": 0.0, "b": 0.0}, 2, record=vector)
    narrow = ls.axes_plane({"w": jnp.zeros((), jnp.bfloat16), "b": jnp.zeros(())}, "w", "b")
    with pytest.raises(ValueError, match="`chart` leads to params that are not like"):
        ls.evaluate(PAIR, narrow, {"w": [0.0], "b": [0.0]})


def test_params_of_other_shapes_are_refused():
    """A bias of shape (2,) would broadcast over the two examples and return a number."""
    with pytest.raises(ValueError, match=r"`params` leaf 'b' has shape \(2,\); the objective's has \(\)"):
        PAIR.risk({"w": 0.0, "b": np.array([1.0, 2.0])})


@pytest.mark.parametrize("name", ["risk", "finite", "w", "objective"])
def test_a_users_quantity_may_not_take_a_name(name):
    @dataclass(frozen=True)
    class Mine:
        name: str

        def accumulate(self, point, batch):
            return jnp.zeros(())

        def merge(self, a, b):
            return a + b

        def finish(self, point, sums, sweep):
            return {self.name: sums}

    with pytest.raises(ValueError, match=f"calls a result '{name}', a name that is taken"):
        ls.evaluate(PAIR, PLANE, {"w": [0.0], "b": [0.0]}, quantities=(Mine(name),))


def test_positions_that_run_together_are_warned_of():
    with pytest.warns(UserWarning, match=r"`axes\['w'\]` has positions that are equal in float32"):
        ls.evaluate(PAIR, PLANE, {"w": np.linspace(2.817989, 2.817991, 101), "b": [0.0]})
    with pytest.raises(ValueError, match=r"`axes\['w'\]` reaches 1.0e\+300, which overflows float32"):
        ls.evaluate(PAIR, PLANE, {"w": [0.0, 1e300], "b": [0.0]})


def test_the_plan_sees_inside_jit_and_counts_the_params():
    hidden = {"v": jnp.ones((1, 1024)), "u": jnp.ones(1024)}

    def losses(params, batch):
        return jnp.tanh(batch[:, None] @ params["v"]) @ params["u"]

    x = np.linspace(-1, 1, 1000).astype(np.float32)
    plans = [plan(ls.Objective(f, x, params=hidden), (64, 64), None, None) for f in (losses, jax.jit(losses))]
    assert plans[0] == plans[1] and plans[0].in_flight < 8
    table = {"table": jnp.ones((50_000, 128))}
    few = ls.Objective(lambda p, i: p["table"][i].sum(axis=1), np.arange(8), params=table)
    assert plan(few, (64, 64), None, None).in_flight * table["table"].nbytes <= 2**31


def test_a_wrong_rule_in_the_losses_is_found_and_not_blamed_on_the_formula():
    """max(z, 0) + log1p(e^−|z|) has the derivative 0 at z = 0 under autodiff; it is ½."""

    def losses(params, batch):
        z = params["w"] * batch
        return jnp.maximum(z, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(z)))

    objective = ls.Objective(losses, np.ones(1, np.float32), params={"w": 0.0})
    check = ls.check_gradient(objective, lambda p: {"w": jax.nn.sigmoid(p["w"])}, points=[{"w": 0.0}])
    assert check.ok and "autodiff and differences disagree in w" in str(check)
    nothing = ls.check_gradient(PAIR, lambda p: {"w": jnp.nan, "b": jnp.nan})
    assert not nothing.ok and "the formula is wrong in b, w" in str(nothing)


def test_changing_the_penalty_keeps_data_and_fingerprint():
    other = PAIR.with_penalty(ls.l2(0.3))
    assert other.id == PAIR.id and other.data is PAIR.data and str(other.penalty) == "0.3·‖θ‖²"
    with pytest.raises(TypeError, match="`penalty` is a float"):
        PAIR.with_penalty(0.3)  # type: ignore[arg-type]
