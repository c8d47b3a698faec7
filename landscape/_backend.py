"""The machine: its cores; and whether its compiled programs can be trusted: a known error of XLA, looked for once."""

import functools
import os
import re
import warnings
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np

from landscape._callers import outside

FIRST_WRONG = (0, 10, 2)  # of jaxlib; whether later ones are right is tried


def usable_cores() -> int:
    """Cores this process may run on, and so XLA's threads on a CPU."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def warn_of_wrong_sums() -> None:
    """One warning where compiled sums on the CPU are wrong, as those of jaxlib 0.10.2 are (jax-ml/jax#39103)."""
    if _version() < FIRST_WRONG or jax.default_backend() != "cpu" or _adds_up():
        return
    warnings.warn(
        f"jaxlib {version('jaxlib')} computes sums wrongly on this CPU, without a word, where they are large enough "
        "(jax-ml/jax#39103). Install another version, or set XLA_FLAGS=--xla_cpu_experimental_ynn_fusion_type= in the "
        "environment before Python starts.",
        UserWarning,
        stacklevel=outside(),
    )


def _version() -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version("jaxlib"))[:3])


def _adds_up() -> bool:
    """Whether Σ yz + max z is right for 33600 rows of small integers: from row 32400 on it was that of other rows."""
    rng = np.random.default_rng(0)
    z, y = (rng.integers(0, 9, shape).astype(np.float32) for shape in ((28, 1200, 10), (1200, 10)))
    sums = jax.jit(jax.vmap(lambda z, y: jnp.sum(y * z, axis=1) + jnp.max(z, axis=1), in_axes=(0, None)))(z, y)
    return bool((np.asarray(sums) == (y * z).sum(axis=2) + z.max(axis=2)).all())
