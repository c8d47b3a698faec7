"""Plans: never all cells at once, within the memory that was given, whatever the sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import plan

import landscape as ls


def neuron(n):
    """A neuron on n examples."""
    return ls.neuron(np.zeros(n, np.float32), np.zeros(n, np.float32))


@pytest.mark.parametrize("memory", [2**20, 2**24, None])
@pytest.mark.parametrize("n", [1, 256, 4096, 10**6])
@pytest.mark.parametrize("grid", [(1,), (512, 512), (4096, 4096)])
def test_the_temporaries_fit(n, grid, memory):
    """Cells in flight × examples a batch × three arrays of floats fit the memory; a tile is at least a chunk."""
    chosen = plan(neuron(n), grid, None, memory)
    assert 12 * chosen.in_flight * chosen.batch_size <= (memory or 2**31)
    assert 1 <= chosen.in_flight <= chosen.tile_cells <= np.prod(grid)
    assert 1 <= chosen.batch_size <= n


def test_a_wide_layer_counts_for_what_it_is():
    """A hidden layer of 10000 units on 100 examples: the intermediate, not the loss, decides."""

    def losses(params, x):
        return jnp.sum(jnp.tanh(x[:, None] * params["w"][None]), axis=1)

    objective = ls.Objective(losses, np.ones(100, np.float32), params={"w": jnp.zeros(10_000)})
    narrow = plan(neuron(100), (100, 100), None, 2**22)
    wide = plan(objective, (100, 100), None, 2**22)
    assert 3 * 4 * 10_000 * wide.in_flight * wide.batch_size <= 2**22 < 3 * 4 * 10_000 * 100
    assert wide.in_flight * wide.batch_size < narrow.in_flight * narrow.batch_size


def bowl(params):
    """A function of one number."""
    return params["w"] ** 2


def test_a_batch_size_that_is_asked_for_is_kept():
    """Up to the number of examples."""
    assert plan(neuron(100), (10,), 7, None).batch_size == 7
    assert plan(neuron(100), (10,), 1000, None).batch_size == 100
    assert plan(ls.function(bowl, {"w": 0.0}), (10,), 7, None).batch_size == 1


def test_a_large_grid_never_runs_at_once():
    """4096 × 4096 cells over 4096 examples: 256 TB of losses if all were in flight."""
    chosen = plan(neuron(4096), (4096, 4096), None, None)
    assert 4 * chosen.in_flight * chosen.batch_size <= 2**24 or jax.default_backend() != "cpu"
    assert chosen.in_flight <= chosen.tile_cells < 4096 * 4096 / 64
