"""Compile nothing: what is rebuilt, or has other numbers of the same shapes, runs the code that is there."""

import itertools

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import landscape as ls
from tests import problems

AXES = {"w": np.linspace(-1, 1, 5), "b": np.linspace(-2, 2, 7)}
QUANTITIES = ("risk_stderr", "gradient_norm", "slope")


def surface(objective, plane, axes=AXES, **options):
    """One evaluation with every built-in quantity."""
    return ls.evaluate(objective, plane, axes, quantities=QUANTITIES, **options)


def neuron(seed=0, **options):
    """A neuron on 9 examples."""
    x, y = problems.classification(seed, 9, 1)
    return ls.neuron(x[:, 0], y, **options)


def test_evaluate_compiles_once(compilations):
    """Objective, penalties and plane rebuilt with other values; other data, axes and strengths; l1 in place of l2."""
    first = neuron(penalty=ls.l2(0.1))
    surface(first, ls.axes_plane(first.params, "w", "b"))
    with compilations() as tally:
        other = neuron(seed=1, penalty=ls.l2(0.7))
        shifted = ls.Plane(
            {"w": np.float32(0.3), "b": np.float32(-1.0)},
            ({"w": np.float32(0.5), "b": np.float32(2.0)}, {"w": np.float32(-1.0), "b": np.float32(0.25)}),
            names=("w", "b"),
        )
        surface(first, ls.axes_plane(first.params, "w", "b"))
        surface(neuron(penalty=ls.l2(0.1)), shifted)
        surface(other, shifted)
        surface(other.with_penalty(ls.l1(0.3)), shifted)
        surface(other.with_penalty(ls.elastic_net(0.1, 0.2)), shifted)
        surface(other.with_penalty(ls.weight_decay(0.2)), shifted)
        surface(other.with_penalty(ls.none()), shifted)
        surface(other, shifted, {name: 3 * axis + 1 for name, axis in AXES.items()})
    assert tally.count == 0


@pytest.mark.parametrize("chart", [ls.Polar, ls.Boundary])
def test_other_charts_compile_once_too(compilations, chart):
    """A rebuilt Polar or Boundary is the same code."""
    objective = neuron()
    axes = dict(zip(chart(ls.axes_plane(objective.params, "w", "b")).names, AXES.values(), strict=True))
    ls.evaluate(objective, chart(ls.axes_plane(objective.params, "w", "b")), axes)
    with compilations() as tally:
        ls.evaluate(neuron(seed=2), chart(ls.axes_plane(objective.params, "w", "b")), axes)
    assert tally.count == 0


def test_a_sweep_compiles_once(compilations):
    """Other strengths, and another kind of penalty, in a sweep of equal length."""
    objective = neuron()
    plane = ls.axes_plane(objective.params, "w", "b")
    surface(objective, plane, penalties={f"λ={s}": ls.l2(s) for s in (0.01, 0.1, 1.0)})
    with compilations() as tally:
        surface(objective, plane, penalties={f"λ={s}": ls.l2(s) for s in (0.02, 0.3, 7.0)})
        surface(neuron(seed=3), plane, penalties={f"λ={s}": ls.l1(s) for s in (0.0, 0.3, 7.0)})
        surface(objective, plane, penalties={f"λ={s}": s * ls.elastic_net(0.1, 0.3) for s in (0.1, 0.3, 0.7)})
    assert tally.count == 0


def test_what_must_compile_does(compilations):
    """The counter is no constant: another loss, grid shape or quantity is another program."""
    objective = neuron()
    plane = ls.axes_plane(objective.params, "w", "b")
    surface(objective, plane)
    for change in (
        lambda: surface(neuron(loss="half_squared_error"), plane),
        lambda: surface(objective, plane, AXES | {"w": np.linspace(-1, 1, 6)}),
        lambda: ls.evaluate(objective, plane, AXES, quantities=("slope",)),
    ):
        with compilations() as tally:
            change()
        assert tally.count >= 1


def test_descend_compiles_once(compilations):
    """The same optimizer object: objective, penalty and starts may have other values."""
    sgd, prox = optax.sgd(0.1), ls.proximal_gradient(0.1)
    start = {"w": jnp.float32(0.0), "b": jnp.float32(0.0)}
    for optimizer, penalty in itertools.product((sgd, prox), (ls.l2(0.1), ls.l1(0.1))):  # |θ| makes another program
        ls.descend(neuron(penalty=penalty), optimizer, start, 7)
    with compilations() as tally:
        other = {"w": jnp.float32(1.0), "b": jnp.float32(-2.0)}
        for optimizer in (sgd, prox, ls.proximal_gradient(0.1)):  # the last is equal by value
            ls.descend(neuron(seed=4, penalty=ls.l1(0.7)), optimizer, other, 7)
            ls.descend(neuron(seed=6, penalty=ls.l2(0.3)), optimizer, other, 7)
            ls.descend(neuron(seed=5), optimizer, other, 7, penalties=ls.elastic_net(0.1, 0.2))
    assert tally.count == 0


def test_trajectories_are_projected_without_compiling_again(compilations):
    """`on` for another run of equal shapes."""
    objective, sgd = neuron(), optax.sgd(0.1)
    plane = ls.axes_plane(objective.params, "w", "b")
    start = {"w": jnp.float32(0.0), "b": jnp.float32(0.0)}
    ls.descend(objective, sgd, start, 7).on(plane)
    with compilations() as tally:
        ls.descend(objective, sgd, {"w": jnp.float32(2.0), "b": jnp.float32(1.0)}, 7).on(
            ls.axes_plane(objective.params, "w", "b")
        )
    assert tally.count == 0
