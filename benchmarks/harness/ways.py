"""Ways to compute: a backend, a dtype and a setting."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

BACKENDS = "numpy", "jax-cpu", "jax-gpu", "jax-tpu", "torch", "c"
JAX = tuple(backend for backend in BACKENDS if backend.startswith("jax-"))
DTYPES = "float32", "float64", "bfloat16"


class Way(NamedTuple):
    """Who computes, and in what."""

    backend: str
    dtype: str
    setting: str = ""
    ours: bool = True  # whether `landscape` computes where JAX does, and not a loop of one's own

    @property
    def by(self) -> str:
        """As the tables name it: 'jax-cpu float32, compressed'."""
        return f"{self.backend} {self.dtype}{', ' * bool(self.setting)}{self.setting}"


def device(backend: str) -> Any:
    """The device that a backend of JAX computes on. Raises: RuntimeError where there is none."""
    return jax.devices(backend.removeprefix("jax-"))[0]


@contextlib.contextmanager
def computing(way: Way) -> Iterator[None]:
    """JAX computes on the way's device, with float64 where that is its dtype."""
    with jax.enable_x64(way.dtype == "float64"), jax.default_device(device(way.backend)):
        yield
