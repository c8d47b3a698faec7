"""Moments and nodes: the sums that they replace, within the stated error, for all kinds of data."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from landscape.objectives.activations import activation
from landscape.objectives.losses import CrossEntropy, HalfSquaredError
from landscape.surfaces import _compress, _compressed
from landscape.surfaces._compress import Moments

LOSSES = {"cross_entropy": CrossEntropy()} | {
    name: HalfSquaredError(activation(name)) for name in ("sigmoid", "tanh", "softplus", "identity")
}
ROUNDING = 1e-13  # of sums in float64, relative to the sum of the sizes of their terms


def inputs(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    return {
        "normal": lambda: rng.normal(size=n),
        "heavy tails": lambda: rng.standard_t(1.2, size=n),
        "clustered": lambda: rng.choice([-3.0, 0.1, 40.0], size=n) + 1e-3 * rng.normal(size=n),
        "constant": lambda: np.full(n, 1.7),
        "discrete": lambda: rng.integers(0, 6, size=n).astype(float),
        "far away": lambda: 1e4 + rng.normal(size=n),
    }[kind]()


KINDS = ("normal", "heavy tails", "clustered", "constant", "discrete", "far away")


def labels(x: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    return {
        "separable": lambda: (x > np.median(x)).astype(float),
        "noisy": lambda: (rng.random(len(x)) < 0.5 + 0.4 * np.sign(x - np.median(x))).astype(float),
        "probabilities": lambda: rng.random(len(x)),
    }[kind]()


def terms(loss, z, y):
    """Losses in float64, and the sizes of the terms of which they are made."""
    if isinstance(loss, CrossEntropy):
        each = y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z)
        return each, each
    f = _compressed.CURVES[loss.activation.name][0](z)
    return 0.5 * (f - y) ** 2, 0.5 * (np.abs(f) + np.abs(y)) ** 2


@settings(max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    label=st.sampled_from(["separable", "noisy", "probabilities"]),
    loss=st.sampled_from(sorted(LOSSES)),
    bound=st.sampled_from([0.1, 1.0, 10.0, 1000.0]),
    tolerance=st.sampled_from([1e-3, 1e-6, 1e-10]),
    n=st.sampled_from([1, 5, 400, 5000]),
    seed=st.integers(0, 2**16),
)
def test_the_error_is_within_what_is_stated(kind, label, loss, bound, tolerance, n, seed):
    """At random (w, b), |w| ≤ W, in units of the mean size of the terms."""
    rng = np.random.default_rng(seed)
    x = inputs(kind, n, rng)
    y = labels(x, label, rng)
    degree, error = _compressed._degree(LOSSES[loss], False, False, False, tolerance)
    assert error <= tolerance
    moments = Moments(_compressed._width(LOSSES[loss], bound, x), degree, LOSSES[loss].degree_in_y + 1)
    moments.add(x, y)
    nodes = moments.nodes(np.float64)
    assert np.isclose(nodes.weights.sum(), n, rtol=1e-12)
    for w, b in rng.uniform(-1, 1, (50, 2)) * [bound, 10.0]:
        b -= w * np.median(x) * rng.integers(0, 2)  # where the data are, or anywhere
        each, size = terms(LOSSES[loss], w * x + b, y)
        found = nodes.weights @ terms(LOSSES[loss], w * nodes.x + b, nodes.y)[0]
        assert abs(found - each.sum()) <= (error + 20 * ROUNDING * max(1, abs(w * x).max())) * size.sum()


def real_labels(x: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    curve = np.tanh(x - np.median(x))
    return {
        "noisy": lambda: curve + 0.3 * rng.normal(size=len(x)),
        "hardly noisy": lambda: curve + 0.003 * rng.normal(size=len(x)),
        "a function": lambda: curve,
        "skew": lambda: rng.exponential(size=len(x)) ** 3,
        "far away": lambda: 1e3 + rng.normal(size=len(x)),
        "small": lambda: 1e-4 * rng.normal(size=len(x)),
        "mostly 0": lambda: rng.normal(size=len(x)) * (rng.random(len(x)) > 0.9),
        "of ten": lambda: rng.integers(0, 10, len(x)).astype(float),
        "of a narrow range": lambda: 1e-5 * (1 + 0.5 * rng.normal(size=len(x))),
    }[kind]()


@settings(max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    label=st.sampled_from(
        ["noisy", "hardly noisy", "a function", "skew", "far away", "small", "mostly 0", "of ten", "of a narrow range"]
    ),
    loss=st.sampled_from(["identity", "sigmoid", "softplus", "tanh"]),
    bound=st.sampled_from([0.1, 1.0, 10.0, 1000.0]),
    stderr=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_squared_errors_of_many_labels(kind, label, loss, bound, stderr, seed):
    """The error is in units of the risk, however small it is beside its terms; so are sums of squares, of theirs."""
    rng = np.random.default_rng(seed)
    x = inputs(kind, 5000, rng)
    y = real_labels(x, label, rng)
    degree, error = _compressed._degree(LOSSES[loss], stderr, False, False, _compressed.SHARP)
    moments = Moments(_compressed._width(LOSSES[loss], bound, x), degree, 5 if stderr else 3)
    moments.add(x, y)
    nodes = moments.nodes(np.float64, gauss=True)
    assume(not moments.few_labels)
    stated, _ = _compressed._errors_of_squares(LOSSES[loss], stderr, error, 2.0**-52, moments, nodes)
    assert stated >= 9 * error
    for w, b in rng.uniform(-1, 1, (50, 2)) * [bound, 10.0]:
        b = b * rng.integers(0, 2) - w * np.median(x) * rng.integers(0, 2)
        each, size = terms(LOSSES[loss], w * x + b, y)
        found = terms(LOSSES[loss], w * nodes.x + b, nodes.y)[0]
        rounding = 20 * ROUNDING * max(1, abs(w * x).max())
        assert abs(nodes.weights @ found - each.sum()) <= min(stated, 1e99) * each.sum() + rounding * size.sum()
        if stderr:
            off = abs(nodes.weights @ found**2 - (each**2).sum())
            assert off <= min(stated, 1e99) * (each**2).sum() + 40 * rounding * (size**2).sum()


def test_gauss_rules_have_the_moments_of_labels():
    """All of the measure's that are known, on nodes within the labels' range; of a signed one perhaps there is none."""
    rng = np.random.default_rng(0)
    for count in (3, 5):
        labels, weights = np.sort(rng.normal(size=count)), rng.normal(size=(count, 200))
        weights[:, :100] = np.abs(weights[:, :100])
        nodes, own, there = _compress._gauss(labels, weights)
        assert nodes.shape == own.shape == ((count + 1) // 2, 200) and there[:100].mean() > 0.9 and not there.all()
        for power in range(count):
            wanted = (weights * labels[:, None] ** power).sum(axis=0)
            np.testing.assert_allclose((own * nodes**power).sum(axis=0)[there], wanted[there], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_noise_is_what_no_curve_explains(scale):
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=100_000), scale * rng.normal(size=100_000)
    moments = Moments(0.5, 16, 3)
    moments.add(x, np.sin(x) + noise)
    size, least = moments.noise(0.5, 1e-6)
    np.testing.assert_allclose(size, ((np.sin(x) + noise) ** 2).mean(), rtol=1e-10)
    assert 0.95 * (noise**2).mean() < least < (noise**2).mean()


@pytest.mark.parametrize("spread", [1e-7, 1e-5, 1e-3, 1e-1])
def test_examples_close_together_show_no_noise(spread):
    """What a curve does between them is not seen, and counts as if it explained all that it can."""
    x = 1.442 + spread * np.random.default_rng(0).normal(size=5000)
    moments = Moments(0.2, 18, 3)
    moments.add(x, np.tanh(4 * (x - 1.442)))
    assert moments.noise(0.8, 1e-6)[1] == 0


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_polynomials_are_summed_exactly(batch):
    """Of degree p in x and J − 1 in y, whatever the batches; examples that are few in a piece stay as they are."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=1000), rng.normal(size=1000)
    moments = Moments(0.5, 4, 3)
    for start in range(0, 1000, batch):
        moments.add(x[start : start + batch], y[start : start + batch])
    nodes = moments.nodes(np.float64)
    for i in range(5):
        for j in range(3):
            np.testing.assert_allclose(nodes.weights @ (nodes.x**i * nodes.y**j), (x**i * y**j).sum(), rtol=1e-10)
    assert {*np.unique(x[np.abs(x) > 3.3])} <= {*nodes.x}
    assert moments.examples == 1000 and len(nodes.x) < 300


def test_a_class_that_a_piece_lacks_has_no_nodes_there():
    """Else the weights of the other class would cancel in it, and with them a risk of 10⁻⁶."""
    x = np.linspace(-4, 4, 10_000)
    moments = Moments(0.2, 8, 2)
    moments.add(x, (x > 0).astype(float))
    nodes = moments.nodes(np.float64)
    assert (nodes.x[nodes.y == 0] < 0.1).all() and (nodes.x[nodes.y == 1] > -0.1).all()
    w = 10.0
    each = np.logaddexp(0, (1 - 2 * (x > 0)) * (w * x))
    found = nodes.weights @ np.logaddexp(0, (1 - 2 * nodes.y) * (w * nodes.x))
    np.testing.assert_allclose(found, each.sum(), rtol=1e-6)


def test_labels_that_come_in_late():
    """Sorted data: the first batch holds one class, or a small range."""
    x = np.linspace(-1, 1, 90_000)
    for y in ((x > 0).astype(float), 100 * (x + 1), np.repeat([0.0, 1.0, 2.0], 30_000)):
        moments = Moments(0.5, 6, 3)
        moments.add(x, y)
        nodes = moments.nodes(np.float64)
        np.testing.assert_allclose(nodes.weights @ (nodes.x * nodes.y**2), (x * y**2).sum(), rtol=1e-9)
        assert len(np.unique(nodes.y)) <= 3 and y.min() - 1e-9 <= nodes.y.min() and nodes.y.max() <= y.max() + 1e-9
