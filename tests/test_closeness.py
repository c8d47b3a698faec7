"""The helper that all other tests lean on must itself be able to fail."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.closeness import assert_close


@pytest.mark.parametrize("kind", [np.float32, np.float64, jnp.bfloat16])
def test_the_tolerance_is_in_rounding_units_of_the_computed_dtype(kind):
    """Three units pass where four are allowed; five do not."""
    unit = float(jnp.finfo(kind).eps)
    one = np.ones((), kind)
    assert_close(one, 1.0 + 3 * unit)
    with pytest.raises(AssertionError, match="1 of 1 entries differ"):
        assert_close(one, 1.0 + 5 * unit)
    assert_close(one, 1.0 + 5 * unit, eps=6)


def test_entries_are_relative_to_themselves_unless_a_scale_is_given():
    """A large entry must not hide an error in a small one."""
    expected = np.array([1e6, 1e-6])
    actual = np.array([1e6, 1.1e-6], np.float32)
    with pytest.raises(AssertionError, match="at \\(1,\\)"):
        assert_close(actual, expected)
    assert_close(actual, expected, scale=1.0)
    assert_close(np.zeros(1), np.zeros(1))
    with pytest.raises(AssertionError, match="differ"):
        assert_close(np.array([1e-30]), np.zeros(1))


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        ([np.nan], [1.0]),
        ([1.0], [np.nan]),
        ([np.inf], [1.0]),
        ([1.0], [np.inf]),
        ([np.inf], [-np.inf]),
        ([np.nan], [np.inf]),
    ],
)
def test_numbers_that_are_not_finite_equal_only_their_like(actual, expected):
    """No NaN slips through a comparison, on either side, whatever the scale."""
    with pytest.raises(AssertionError, match="1 of 1 entries differ"):
        assert_close(np.array(actual), np.array(expected), scale=1e300)
    assert_close(np.array(actual), np.array(actual))


def test_shapes_structures_and_kinds_must_agree():
    """Broadcasting would compare what is not there."""
    with pytest.raises(AssertionError, match="shapes differ"):
        assert_close(np.ones(3), 1.0)
    with pytest.raises(AssertionError, match="shapes differ"):
        assert_close(np.ones((2, 1)), np.ones((1, 2)))
    with pytest.raises(AssertionError, match="structures differ"):
        assert_close({"w": np.ones(1)}, {"b": np.ones(1)})
    with pytest.raises(AssertionError, match="no rounding unit"):
        assert_close(np.ones(3, int), np.ones(3))
    assert_close({"w": np.ones(2), "b": [np.zeros(())]}, {"w": np.ones(2), "b": [np.zeros(())]})


def test_compilations_are_counted(compilations):
    """A new function compiles once, its second call not at all; another shape compiles again."""
    double = jax.jit(lambda x: 2.0 * x)
    inputs = [jnp.zeros(5, jnp.float32), jnp.ones(5, jnp.float32), jnp.zeros(6, jnp.float32)]
    counts = []
    for value in inputs:
        with compilations() as tally:
            double(value).block_until_ready()
        counts.append(tally.count)
    assert counts == [1, 0, 1]
