"""Escapes: a tilted double well whose examples push either way; convex bowls; runs that diverge; refusals."""

import jax
import numpy as np
import optax
import pytest

import landscape as ls

SGD, KEY = optax.sgd(0.05), jax.random.key(0)
ENDS = {"x": np.array([-1.1, 0.83], "float32")}


def losses(p, tilt):
    return (p["x"] ** 2 - 1) ** 2 + p["x"] + tilt * p["x"]


def wells(tilt=4.0):
    return ls.Objective(losses, np.tile(np.array([-tilt, tilt], "float32"), 50), params={"x": 0.0})


def found(objective=None, ends=ENDS, optimizer=SGD, **options):
    how = {"key": KEY, "batch_size": 1, "steps": 500, "settle_steps": 500, "margin": 0.1, "repeats": 3} | options
    return ls.escapes(wells() if objective is None else objective, ends, optimizer, **how)


def test_mini_batches_leave_the_upper_well_and_full_ones_stay():
    """The mean of the examples' tilts is 0: full batches do not see them."""
    got = found()
    assert got.escaped.dims == ("repeat", "start") and got.escaped.values.tolist() == 3 * [[False, True]]
    assert got.share.values.tolist() == [0, 1] and not got.full_escaped.any()
    roots = np.roots([4, 0, -4, 1]).real  # of the objective's derivative
    lower, upper = (float((x**2 - 1) ** 2 + x) for x in (roots.min(), roots.max()))
    np.testing.assert_allclose(got.full_objective, [lower, upper], atol=1e-6)
    np.testing.assert_allclose(got.objective, lower, atol=1e-6)
    assert got.finite.all() and got.full_finite.all() and (got.gradient_norm < 1e-4).all()
    x = ENDS["x"].astype("float64")
    np.testing.assert_allclose(got.objective_before, (x**2 - 1) ** 2 + x, rtol=1e-5)
    np.testing.assert_allclose(got.gradient_norm_before, abs(4 * x * (x**2 - 1) + 1), atol=1e-5)


def test_repeats_have_other_orders():
    """With few steps, whether the ridge is crossed is chance; the same key gives the same."""
    got = found(steps=30, repeats=20)
    assert 0 < got.share[1] < 1
    np.testing.assert_array_equal(got.escaped, found(steps=30, repeats=20).escaped)


def test_without_noise_nothing_is_left_and_a_margin_decides():
    """All examples alike: mini-batches are full batches. The ends have not converged: they come lower."""
    quiet = found(wells(0.0))
    np.testing.assert_array_equal(quiet.objective, np.broadcast_to(quiet.full_objective, (3, 2)))
    assert not quiet.escaped.any()
    assert found(wells(0.0), margin=1e-6).full_escaped.all()


def test_a_run_that_diverges_has_not_escaped():
    got = found(optimizer=optax.sgd(1e30), settle=SGD, steps=5)
    assert not got.finite.any() and not got.full_finite.any() and not got.escaped.any()
    assert got.share.values.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"margin": 0.0}, ValueError, "`margin` is 0.0; it must be a finite number > 0"),
        ({"settle_steps": 0}, ValueError, "`settle_steps` is 0"),
        ({"repeats": 0}, ValueError, "`repeats` is 0"),
        ({"steps": 0}, ValueError, "`steps` is 0"),
        ({"batch_size": None}, TypeError, "`batch_size` is None; give the size of mini-batches"),
        ({"batch_size": 101}, ValueError, "`batch_size` is 101 but there are 100 examples"),
        ({"ends": {"x": np.float32(1)}}, ValueError, "`ends` has no leading axis; stack the ends"),
        ({"key": None}, TypeError, "`key` is a NoneType"),
        ({"objective": 3}, TypeError, "`objective` is an int"),
    ],
)
def test_what_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        found(**options)
