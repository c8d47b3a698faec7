"""What holds for every test: strict promotion of dtypes and ranks, fixed examples, counted compilations."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # before JAX is used; "cuda,cpu" runs the tests on a GPU
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import jax
import pytest

from landscape._garbage import BETWEEN

hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=25, database=None)
hypothesis.settings.load_profile("fixed")

COMPILED = "/jax/core/compile/backend_compile_duration"
_compiled: list[str] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, duration, **_: _compiled.append(event) if event == COMPILED else None
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "lenient(reason): JAX's standard dtype promotion, for third-party code that needs it"
    )


# What takes longest, longest first: begun last, one file would keep a core busy while the others have nothing to do.
LONGEST = (
    "test_readme",
    "test_architectures",
    "test_critical_points",
    "test_compressed",
    "test_symmetry",
    "test_products",
    "test_eigenpairs",
    "test_figures",
    "test_plot",
    "test_sharpness",
    "test_connectivity",
    "test_cli",
    "test_descent",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; --no-loadscope-reorder keeps to that, where xdist would begin with those of most tests."""
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Look for garbage seldom, and never again in what was imported, which tracing makes Python do all the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(BETWEEN)


MAPS, MANY_MAPS = Path("/proc/self/maps"), 25_000
SEEN_AGAIN = 20  # compilations between two looks at the mappings, of which a large program has a thousand
_seen = [0]


@pytest.fixture(autouse=True)
def strict_promotion(request: pytest.FixtureRequest) -> Iterator[None]:
    """No dtype and no rank is promoted silently, except where a test says why it must be (`lenient`)."""
    marker = request.node.get_closest_marker("lenient")
    assert marker is None or marker.args, "pytest.mark.lenient needs its reason"
    with jax.numpy_dtype_promotion("standard" if marker else "strict"), jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both precisions; x64 is on for float64 only, and only inside the test."""
    with jax.enable_x64(request.param == "float64"):
        yield request.param


@pytest.fixture
def x64() -> Iterator[None]:
    """float64 for the whole test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True)
def full_precision() -> Iterator[None]:
    """What tests compute beside `landscape` has its precision, on devices too whose products are rounded by default."""
    with jax.default_matmul_precision("highest"):
        yield


@dataclass
class Tally:
    """How many programs XLA compiled inside the `with` block."""

    count: int = 0


@contextmanager
def counted() -> Iterator[Tally]:
    """Count the compilations of a block."""
    tally, before = Tally(), len(_compiled)
    yield tally
    tally.count = len(_compiled) - before


@pytest.fixture(autouse=True)
def few_programs() -> Iterator[None]:
    """Compiled programs are dropped long before their memory mappings reach Linux' limit (65530), where XLA crashes."""
    yield
    if len(_compiled) < _seen[0] + SEEN_AGAIN or not MAPS.exists():
        return  # reading them takes some 10 ms
    _seen[0] = len(_compiled)
    if MAPS.read_bytes().count(b"\n") > MANY_MAPS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def compilations():
    """`with compilations() as tally: …`, then `tally.count`."""
    return counted


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored tiles of a few cells or two runs, as if each took a second."""
    monkeypatch.setattr("landscape.surfaces._plan.stored_cells", lambda sizes, n: 7)
    monkeypatch.setattr("landscape.analysis._blocks.VECTORIZED", 2)
    monkeypatch.setattr("landscape.analysis._blocks.STORED_WORK", 1)


@pytest.fixture
def puts(monkeypatch: pytest.MonkeyPatch):
    """The tiles that a test puts into stores: counted, and interrupted where it wants it (`stored.Puts`)."""
    from tests.stored import Puts

    return Puts(monkeypatch)
