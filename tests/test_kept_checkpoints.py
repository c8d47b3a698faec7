"""Checkpoints in a store: measured once, gone on with, and never those of another run."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import landscape as ls
from landscape.analysis.checkpoints import StepsMismatch
from landscape.tiles.files import UnwritableError
from tests import pictures, problems

PAIR = ls.neuron(*ls.datasets.pair(), penalty=ls.l2(0.1))
PLANE = ls.axes_plane(PAIR.params, "w", "b")
POINTS = [{"w": np.float32(0.1 * i), "b": np.float32(-0.2 * i)} for i in range(7)]
STEPS = [0, 1, 2, 5, 10, 20, 50]
NETWORK = problems.network(0)


def stopped(points, after):
    """A training run that fails."""
    yield from points[:after]
    raise RuntimeError("the training failed")


def same(a, b):
    """Equal bits, of the data and of the params."""
    return a.data.drop_attrs().identical(b.data.drop_attrs()) and jax.tree.all(
        jax.tree.map(np.array_equal, a.params, b.params)
    )


@pytest.mark.parametrize("record", [None, PLANE], ids=["params", "coordinates"])
def test_a_run_goes_on_where_it_stopped(tmp_path, record):
    """To the numbers of a run without a store; each checkpoint is measured once, and an open store says which are."""
    path = tmp_path / "run.zarr"
    whole = ls.trajectory(PAIR, POINTS, STEPS, record=record)
    with pytest.raises(RuntimeError, match="the training failed"):
        ls.trajectory(PAIR, stopped(POINTS, 3), STEPS, record=record, store=path)
    part = ls.open_trajectory(path)
    assert part.data.computed.values.tolist() == [True] * 3 + [False] * 4
    assert np.isnan(part.data.risk[3:]).all() and part.data.step.values.tolist() == STEPS
    written = {p.name: p.read_bytes() for p in (path / "landscape" / "complete").iterdir()}
    run = ls.trajectory(PAIR, iter(POINTS), STEPS, record=record, store=path)
    assert same(run, whole) and same(ls.open_trajectory(path), whole)
    after = {p.name: p.read_bytes() for p in (path / "landscape" / "complete").iterdir()}
    assert len(after) == 7 and written.items() <= after.items()
    assert same(ls.trajectory(PAIR, POINTS, STEPS, record=record, store=path), whole)
    assert {p.name: p.read_bytes() for p in (path / "landscape" / "complete").iterdir()} == after


def test_params_that_are_frozen_are_kept_too(tmp_path):
    """Keys and integers, as they were."""

    def losses(params, batch):
        return params["w"] * batch + params["shift"].astype(batch.dtype) + jax.random.uniform(params["key"])

    params = {"w": jnp.ones(()), "shift": jnp.array(2), "key": jax.random.key(3)}
    objective = ls.Objective(losses, np.arange(3, dtype=np.float32), params=params)
    run = ls.trajectory(objective, [params, params], store=tmp_path / "run.zarr")
    assert run.params["shift"].tolist() == [2, 2] and run.params["shift"].dtype == params["shift"].dtype
    assert np.array_equal(jax.random.key_data(run.params["key"])[1], jax.random.key_data(params["key"]))


def test_other_checkpoints_are_refused(tmp_path):
    """Those that were measured must come again; what is there stays."""
    path = tmp_path / "run.zarr"
    ls.trajectory(PAIR, POINTS, STEPS, store=path)
    other = [{**point, "w": point["w"] + (i == 4)} for i, point in enumerate(POINTS)]
    with pytest.raises(ValueError, match=r"`checkpoints\[4\]`, of step 10, is not the one whose numbers `store`"):
        ls.trajectory(PAIR, other, STEPS, store=path)
    with pytest.raises(ValueError, match="holds another problem; steps differ"):
        ls.trajectory(PAIR, POINTS, [*STEPS[:-1], 51], store=path)
    with pytest.raises(ValueError, match="holds another problem; penalty differ"):
        ls.trajectory(PAIR.with_penalty(ls.l2(0.2)), POINTS, STEPS, store=path)
    assert same(ls.open_trajectory(path), ls.trajectory(PAIR, POINTS, STEPS))


def test_their_number_must_be_known(tmp_path):
    """Before anything is measured; where fewer come than were said, those that came are kept."""
    with pytest.raises(ValueError, match="`store` needs to know how many checkpoints come: give their `steps`"):
        ls.trajectory(PAIR, iter(POINTS), store=tmp_path / "run.zarr")
    with pytest.raises(StepsMismatch, match="`steps` has 7 numbers, but `checkpoints` 2 params") as error:
        ls.trajectory(PAIR, iter(POINTS[:2]), STEPS, store=tmp_path / "run.zarr")
    assert error.value.trajectory.data.computed.values.tolist() == [True] * 2 + [False] * 5
    assert same(
        ls.trajectory(PAIR, iter(POINTS), STEPS, store=tmp_path / "run.zarr"), ls.trajectory(PAIR, POINTS, STEPS)
    )


def test_params_of_other_kinds_need_a_chart(tmp_path):
    """A store keeps nested dictionaries; coordinates always."""
    bowl = ls.function(lambda p: jnp.sum(p[0] ** 2), (jnp.ones(2),))
    points = [(jnp.ones(2),), (jnp.zeros(2),)]
    with pytest.raises(ValueError, match="`store` keeps params that are nested dictionaries; give record= a chart"):
        ls.trajectory(bowl, points, store=tmp_path / "run.zarr")
    line = ls.Plane(bowl.params, ((jnp.ones(2),),), names=("c",))
    run = ls.trajectory(bowl, points, record=line, store=tmp_path / "run.zarr")
    assert run.data.c.values.tolist() == pytest.approx([0.0, -1.0])


def test_a_damaged_one_is_measured_again(tmp_path):
    """With a warning; what was there is kept."""
    path = tmp_path / "run.zarr"
    whole = ls.trajectory(PAIR, POINTS, STEPS, store=path)
    chunk = path / "risk" / "c" / "2"
    chunk.write_bytes(b"\0" + chunk.read_bytes()[1:])
    with pytest.warns(UserWarning, match=r"tile 2 is damaged \(risk\); it is computed again"):
        again = ls.trajectory(PAIR, POINTS, STEPS, store=path)
    assert same(again, whole)
    assert len(list((path / "landscape" / "damaged").rglob("2-*"))) == 1


def test_a_network_under_mini_batches(tmp_path):
    """Params in nested dictionaries, data in batches; the record of each has its seconds and its fingerprint."""
    points = [jax.tree.map(lambda leaf, i=i: leaf * (1 + i), NETWORK.params) for i in range(3)]
    run = ls.trajectory(NETWORK, points, batch_size=4, store=tmp_path / "run.zarr")
    assert same(run, ls.trajectory(NETWORK, points, batch_size=4))
    records = [json.loads(p.read_text()) for p in (tmp_path / "run.zarr" / "landscape" / "complete").iterdir()]
    assert len({record["checkpoint"] for record in records}) == 3 and all(record["seconds"] > 0 for record in records)


def test_a_full_disk_says_what_is_safe(tmp_path, puts):
    """And nothing before it is lost."""
    puts.stop_after(3, lambda text: UnwritableError(28, "No space left on device", "here"))
    with pytest.raises(
        OSError, match=r"No space left on device \(3 of 7 tiles are safe; mend that and repeat the call"
    ):
        ls.trajectory(PAIR, POINTS, STEPS, store=tmp_path / "run.zarr")
    puts.stop_after(99)
    again = ls.trajectory(PAIR, POINTS, STEPS, store=tmp_path / "run.zarr")
    assert len(puts.tiles) == 4 and same(again, ls.trajectory(PAIR, POINTS, STEPS))


@pytest.mark.parametrize("record", [None, PLANE], ids=["params", "coordinates"])
def test_a_run_that_is_not_complete_has_not_failed(tmp_path, record):
    """Its pictures end where it is, without a cross; its principal components are refused."""
    path = tmp_path / "run.zarr"
    with pytest.raises(RuntimeError):
        ls.trajectory(PAIR, stopped(POINTS, 3), STEPS, record=record, store=path)
    part = ls.open_trajectory(path)
    surface = ls.evaluate(PAIR, PLANE, {"w": np.linspace(-1, 1, 5), "b": np.linspace(-2, 1, 5)})
    (curves,) = ls.plot.trajectory(part, "risk").axes
    assert "became non-finite" not in pictures.legend_labels(curves.figure)
    assert {str(line.get_marker()) for line in curves.lines}.isdisjoint("x")
    figure = ls.plot.contour(surface, runs=part)
    assert "became non-finite" not in pictures.legend_labels(figure)
    if record is None:
        with pytest.raises(ValueError, match=r"`points` is a trajectory that is not complete: 3 of 7 steps"):
            ls.pca(part)


def test_a_run_that_is_not_begun_has_not_failed(tmp_path, puts):
    """In pictures of a store that is being filled it is not drawn, beside one that is there."""
    path = tmp_path / "runs.zarr"
    optimizers, starts = {"slow": optax.sgd(0.1), "fast": optax.sgd(0.5)}, {"w": np.ones(2), "b": np.zeros(2)}
    puts.stop_after(1)
    with pytest.raises(KeyboardInterrupt):
        ls.descend(PAIR, optimizers, starts, 5, store=path)
    part = ls.open_trajectory(path)
    assert part.data.computed.to_numpy().any() and not part.data.computed.to_numpy().all()
    figure = ls.plot.trajectory(part)
    assert "became non-finite" not in pictures.legend_labels(figure)
    surface = ls.evaluate(PAIR, PLANE, {"w": np.linspace(-1, 1, 5), "b": np.linspace(-2, 1, 5)})
    figure = ls.plot.contour(surface, runs=part)
    assert {"slow", "fast"} & pictures.legend_labels(figure) == {"slow"}
