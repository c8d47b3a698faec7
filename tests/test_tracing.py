"""Losses that cannot be compiled, or return something else: what to change, instead of JAX's own error."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls

X = np.array([1.0, 2.0, 3.0, 4.0], np.float32)


def squares(params: Any, x: Any) -> Any:
    return jnp.square(x - params["theta"])


def branching(params: Any, x: Any) -> Any:
    return squares(params, x) if params["theta"] > 0 else x


def asserting(params: Any, x: Any) -> Any:
    assert jnp.all(x > 0)
    return squares(params, x)


def looping(params: Any, x: Any) -> Any:
    while jnp.max(x) > 1.0:
        x = x / 2
    return squares(params, x)


def counting(params: Any, x: Any) -> Any:
    return squares(params, x) * range(3)[int(params["theta"])]


def converting(params: Any, x: Any) -> Any:
    return x * float(params["theta"])


def indexing(params: Any, x: Any) -> Any:
    return x[x > params["theta"]]


def sized(params: Any, x: Any) -> Any:
    return jnp.ones_like(x, shape=x.shape) * jnp.arange(params["theta"])


def numpy_losses(params: Any, x: Any) -> Any:
    return np.exp(-squares(params, x))


def numpy_converting(params: Any, x: Any) -> Any:
    return jnp.asarray(np.asarray(x)) - params["theta"]


@pytest.mark.parametrize("losses", [branching, asserting, looping, counting, converting])
def test_python_decisions_on_traced_numbers(losses):
    """`if`, `assert`, `while`, int() and float() of what is computed."""
    with pytest.raises(
        TypeError, match=r"`losses` needs the value of an array .* Write jnp.where\(condition"
    ) as caught:
        ls.Objective(losses, X, params={"theta": 1.0})
    assert isinstance(caught.value.__cause__, jax.errors.JAXTypeError)  # with the line it came from


@pytest.mark.parametrize("losses", [numpy_losses, numpy_converting])
def test_numpy_on_traced_arrays(losses):
    with pytest.raises(
        TypeError, match=r"`losses` hands an array to NumPy; write it with jax.numpy \(jnp.exp"
    ) as caught:
        ls.Objective(losses, X, params={"theta": 1.0})
    assert isinstance(caught.value.__cause__, jax.errors.TracerArrayConversionError)


@pytest.mark.parametrize("losses", [indexing, lambda p, x: jnp.unique(x) - p["theta"], sized])
def test_a_result_whose_shape_depends_on_values(losses):
    message = r"`losses` makes an array whose shape depends on values.*their size="
    with pytest.raises(TypeError, match=message) as caught:
        ls.Objective(losses, X, params={"theta": 1.0})
    assert isinstance(caught.value.__cause__, (jax.errors.JAXTypeError, jax.errors.JAXIndexError))


@dataclass(eq=False)
class Running:
    """Keeps the mean of what it has seen, as batch norm in training mode does."""

    seen: list[Any] = field(default_factory=list)

    def __call__(self, params: Any, x: Any) -> Any:
        self.seen.append(jnp.mean(x))
        return squares(params, x) + sum(self.seen, start=jnp.zeros(()))


@dataclass(eq=False)
class Momentum:
    """One number, changed at each call."""

    mean: Any = 0.0

    def __call__(self, params: Any, x: Any) -> Any:
        self.mean = 0.9 * self.mean + 0.1 * jnp.mean(x)
        return squares(params, x) - self.mean


@dataclass(eq=False)
class Warmup:
    """Counts its calls, in Python."""

    calls: int = 0

    def __call__(self, params: Any, x: Any) -> Any:
        self.calls += 1
        return squares(params, x) * min(1.0, self.calls / 100)


@dataclass(eq=False)
class Nested:
    """Counts inside of `jit` and `cond`, where the program looks the same from above."""

    where: str
    calls: int = 0

    def __call__(self, params: Any, x: Any) -> Any:
        self.calls += 1
        if self.where == "jit":
            return jax.jit(lambda x, calls=self.calls: squares(params, x) * calls)(x)
        return jax.lax.cond(x[0] > 0, lambda x: squares(params, x) * self.calls, lambda x: squares(params, x), x)


@dataclass(eq=False)
class Dropped:
    """Draws a mask by NumPy: another one whenever it is traced."""

    draw: Any = field(default_factory=lambda: np.random.default_rng(0))

    def __call__(self, params: Any, x: Any) -> Any:
        return squares(params, x) * self.draw.normal(size=4).astype(np.float32)


@pytest.mark.parametrize("losses", [Running(), Momentum(), Warmup(), Nested("jit"), Nested("cond"), Dropped()])
def test_state_kept_in_the_losses(losses):
    with pytest.raises(
        TypeError, match=r"`losses` keeps something between calls .*: dropout off, batch statistics fix"
    ):
        ls.Objective(losses, X, params={"theta": 1.0})


@pytest.mark.parametrize(
    ("losses", "error", "message"),
    [
        (lambda p, x: None, TypeError, r"`losses` returned nothing \(None\): is the `return` missing\?"),
        (
            lambda p, x: jnp.mean(squares(p, x)),
            ValueError,
            r"`losses` returned losses of shape \(\); wanted \(4,\), one an example. Return the losses before",
        ),
        (lambda p, x: 3.0, ValueError, r"`losses` returned losses of shape \(\); wanted \(4,\)"),
        (
            lambda p, x: squares(p, x)[:, None],
            ValueError,
            r"of shape \(4, 1\); wanted \(4,\), one an example. Sum or average over the other axes, tokens say",
        ),
        (lambda p, x: squares(p, x)[:3], ValueError, r"of shape \(3,\); wanted \(4,\)"),
        (
            lambda p, x: (squares(p, x), {"accuracy": jnp.ones(4)}),
            (TypeError, ValueError),
            "weights of shape None; wanted .* A second output is taken as weights; leave an auxiliary output out",
        ),
        (
            lambda p, x: (squares(p, x), jnp.zeros((4, 10))),
            ValueError,
            r"weights of shape \(4, 10\); wanted \(4,\), one an example. A second output is taken as weights",
        ),
        (lambda p, x: (jnp.mean(squares(p, x)), x), ValueError, r"losses of shape \(\); wanted \(4,\)"),
        (lambda p, x: {"loss": squares(p, x)}, TypeError, "`losses` returned a dict of 1; wanted the losses"),
        (lambda p, x: (squares(p, x), x, x), TypeError, "`losses` returned a tuple of 3; wanted the losses"),
        (lambda p, x: jnp.arange(4), TypeError, "`losses` returned int32, whose gradient is 0 everywhere"),
    ],
)
def test_what_is_returned(losses, error, message):
    """Found before anything runs: a scalar, an auxiliary output, None, another shape or dtype."""
    with pytest.raises(error, match=message):
        ls.Objective(losses, X, params={"theta": 1.0})


def test_batches_are_looked_at_too():
    """The shape that is wanted is that of the first batch."""
    with pytest.raises(ValueError, match=r"losses of shape \(4, 1\); wanted \(4,\)"):
        ls.Objective(lambda p, x: squares(p, x)[:, None], ls.Batches([X, X[:2]]), params={"theta": 1.0})


def test_functions_without_data():
    with pytest.raises(TypeError, match="`losses` needs the value of an array"):
        ls.function(lambda p: p["theta"] if p["theta"] > 0 else 0.0, {"theta": 1.0})
    with pytest.raises(ValueError, match=r"`f` returned shape \(2,\); an objective's function returns one number"):
        ls.function(lambda p: jnp.ones(2) * p["theta"], {"theta": 1.0})


def test_errors_that_are_the_users_own_pass_through():
    def wrong(params: Any, x: Any) -> Any:
        raise KeyError("no such layer")

    with pytest.raises(KeyError, match="no such layer") as caught:
        ls.Objective(wrong, X, params={"theta": 1.0})
    note = "landscape: raised by `losses`, which was called with\n  theta: float32[]\n  float32[4]"
    assert caught.value.__notes__[-1] == note


def test_functions_of_other_arguments():
    with pytest.raises(
        TypeError, match=r"`losses` is called as losses\(params, batch\), but is defined with \(p, x, y\)"
    ):
        ls.Objective(lambda p, x, y: x, X, params={"theta": 1.0})
    with pytest.raises(TypeError, match=r"`f` is called as f\(params\), but is defined with \(\)\."):
        ls.function(lambda: 0.0, {"theta": 1.0})
    with pytest.raises(TypeError, match=r"`losses` and `data` look swapped; write Objective\(losses, data, params=…\)"):
        ls.Objective(X, squares, params={"theta": 1.0})


def test_what_is_closed_over_is_no_state():
    """Arrays, traced ones too, and functions that are compiled already: the second trace is the first."""
    compiled = jax.jit(lambda p, x: squares(p, x) + jnp.arange(4.0, dtype=jnp.float32))
    assert float(ls.Objective(compiled, X, params={"theta": 1.0}).risk({"theta": 1.0})) == 5.0

    @jax.jit
    def inside(shift: Any) -> Any:
        return ls.Objective(lambda p, x: squares(p, x) + shift, X, params={"theta": 1.0}).risk({"theta": 1.0})

    assert float(inside(jnp.float32(2.0))) == 5.5
