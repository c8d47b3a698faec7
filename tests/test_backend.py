"""A jaxlib whose compiled sums are wrong is found, and said once."""

import warnings

import pytest

import landscape as ls
from landscape import _backend


@pytest.fixture(autouse=True)
def anew():
    _backend.warn_of_wrong_sums.cache_clear()
    yield
    _backend.warn_of_wrong_sums.cache_clear()


def test_this_machine_adds_up():
    """If this fails, so will numbers of softmax networks: jaxlib 0.10.2 is excluded for it."""
    assert _backend._adds_up()


def test_wrong_sums_are_said_once(monkeypatch):
    monkeypatch.setattr(_backend, "version", lambda name: "0.10.2")
    monkeypatch.setattr(_backend.jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(_backend, "_adds_up", lambda: False)
    with pytest.warns(UserWarning, match=r"jaxlib 0.10.2 computes sums wrongly .*#39103.*XLA_FLAGS=--xla_cpu") as said:
        ls.neuron(*ls.datasets.pair())
    assert said[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ls.neuron(*ls.datasets.pair())


@pytest.mark.parametrize(
    "version, backend, right", [("0.10.1", "cpu", False), ("0.12.0", "gpu", False), ("0.12.0", "cpu", True)]
)
def test_nothing_is_said_of_others(monkeypatch, version, backend, right):
    monkeypatch.setattr(_backend, "version", lambda name: version)
    monkeypatch.setattr(_backend.jax, "default_backend", lambda: backend)
    monkeypatch.setattr(_backend, "_adds_up", lambda: right)
    with warnings.catch_warnings(record=True) as said:
        ls.neuron(*ls.datasets.pair())
    assert said == []
