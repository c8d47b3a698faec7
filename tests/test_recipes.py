"""The README's recipes: models of flax, equinox and haiku as they are, with what they keep beside their weights."""

from typing import Any

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from closeness import assert_close
from flax import nnx

import landscape as ls

N, CLASSES = 12, 3
AXES = {"alpha": np.array([-0.5, 0.0, 0.5]), "beta": np.array([-1.0, 0.0, 1.0])}
KEY = jax.random.key(7)


def images() -> tuple[jax.Array, jax.Array]:
    """Noise of shape (12, 6, 6, 1), with labels."""
    return jax.random.normal(KEY, (N, 6, 6, 1)), jnp.arange(N) % CLASSES


def cross_entropy(logits, labels):
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def check_landscape(
    objective: ls.Objective, own: Any, filter_axis: Any, accuracy: Any = None, **options: Any
) -> ls.Plane:
    """A plane is measured, and its center is the model's own mean loss (and accuracy)."""
    u, v = ls.random_directions(KEY, objective.params, 2, filter_axis=filter_axis)
    plane = ls.Plane(objective.params, (u, v), names=("alpha", "beta"))
    quantities = () if accuracy is None else ("accuracy",)
    surface = ls.evaluate(objective, plane, AXES, quantities=quantities, progress=False, **options)
    center = surface.sel(alpha=0, beta=0)
    assert_close(center.risk, np.asarray(own, np.float32))
    if accuracy is not None:
        assert_close(center.accuracy, np.asarray(accuracy, np.float32))
    assert bool(surface.finite.all()) and len(np.unique(surface.risk)) == surface.risk.size
    return plane


def names_that_move(tree: Any) -> set[str]:
    """The leaves that are not zero, by the paths that the library prints."""
    from landscape import _trees

    return {name for name, leaf in _trees.named_leaves(tree).items() if np.any(leaf)}


class Convolution(nn.Module):
    """A small classifier in flax.linen."""

    @nn.compact
    def __call__(self, x):
        x = nn.max_pool(nn.relu(nn.Conv(4, (3, 3))(x)), (2, 2), strides=(2, 2))
        return nn.Dense(CLASSES)(x.reshape(len(x), -1))


def test_flax_linen():
    x, y = images()
    model = Convolution()
    params = model.init(KEY, x)["params"]
    objective = ls.Objective(lambda p, batch: cross_entropy(model.apply({"params": p}, batch[0]), batch[1]), (x, y),
                             params=params, predict=lambda p, x: model.apply({"params": p}, x))  # fmt: skip
    logits = model.apply({"params": params}, x)
    plane = check_landscape(objective, cross_entropy(logits, y).mean(), -1, (logits.argmax(-1) == y).mean())
    assert names_that_move(plane.directions[0]) == {"Conv_0/kernel", "Dense_0/kernel"}
    norms = [jnp.linalg.norm(tree["Conv_0"]["kernel"].reshape(-1, 4), axis=0) for tree in (plane.directions[0], params)]
    np.testing.assert_allclose(*norms, rtol=1e-6)  # (height, width, in, out)


class Perceptron(nnx.Module):
    """A small classifier in flax.nnx, with a batch norm of which `split` makes statistics."""

    def __init__(self, rngs):
        self.hidden = nnx.Linear(36, 5, rngs=rngs)
        self.norm = nnx.BatchNorm(5, rngs=rngs)
        self.out = nnx.Linear(5, CLASSES, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.relu(self.norm(self.hidden(x.reshape(len(x), -1)))))


def test_flax_nnx():
    """What does not move is closed over; paths are called as the model calls them, so rules by name apply."""
    x, y = images()
    model = Perceptron(nnx.Rngs(0))
    model.eval()
    graph, params, rest = nnx.split(model, nnx.Param, ...)

    def losses(params, batch):
        return cross_entropy(nnx.merge(graph, params, rest)(batch[0]), batch[1])

    objective = ls.Objective(losses, (x, y), params=params, penalty=ls.weight_decay(0.1))
    plane = check_landscape(objective, cross_entropy(model(x), y).mean(), {"*/kernel": -1})
    assert names_that_move(plane.directions[0]) == {"hidden/kernel", "out/kernel"}
    wide = sum(float((layer.kernel[...] ** 2).sum()) for layer in (model.hidden, model.out))
    assert float(objective.penalty.value(params)) == pytest.approx(0.05 * wide, rel=1e-5)  # scope="weights"
    assert ls.axes_plane(params, "out/kernel[0, 1]").names == ("out/kernel[0, 1]",)


def test_statistics_of_nnx_are_seen():
    model = Perceptron(nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"holds batch statistics \('norm/mean', 2 such\).*prepare="):
        ls.Objective(lambda p, batch: batch[1], images(), params=nnx.split(model)[1])


class Classifier(eqx.Module):
    """A small classifier in equinox, written for one image."""

    convolution: eqx.nn.Conv2d
    out: eqx.nn.Linear
    dropout: eqx.nn.Dropout

    def __init__(self, key):
        key_convolution, key_out = jax.random.split(key)
        self.convolution = eqx.nn.Conv2d(1, 4, 3, padding=1, key=key_convolution)
        self.out = eqx.nn.Linear(4 * 36, CLASSES, key=key_out)
        self.dropout = eqx.nn.Dropout(0.5)

    def __call__(self, x, key=None):
        x = jax.nn.relu(self.convolution(jnp.moveaxis(x, -1, 0)))
        return self.out(self.dropout(x, key=key).reshape(-1))


def test_equinox():
    """Filters lie along the first axis; a convolution's bias has three axes, and is left at zero all the same."""
    x, y = images()
    model = eqx.nn.inference_mode(Classifier(KEY))
    params, static = eqx.partition(model, eqx.is_inexact_array)

    def losses(params, batch):
        model = eqx.combine(params, static)
        return cross_entropy(jax.vmap(model)(batch[0]), batch[1])

    objective = ls.Objective(losses, (x, y), params=params)
    plane = check_landscape(objective, cross_entropy(jax.vmap(model)(x), y).mean(), 0)
    assert names_that_move(plane.directions[0]) == {"convolution/weight", "out/weight"}
    norms = [jnp.linalg.norm(tree.out.weight, axis=1) for tree in (plane.directions[0], params)]
    np.testing.assert_allclose(*norms, rtol=1e-6)  # (out, in)
    with pytest.raises(TypeError, match=r"split the model into arrays and the rest.*equinox\.partition"):
        ls.Objective(losses, (x, y), params=model)


@pytest.mark.parametrize("dropped", [False, True], ids=["off", "one key"])
def test_dropout(dropped):
    """Off by the model's own switch; or a key an example, closed over, so that every cell drops the same units."""
    x, y = images()
    model = eqx.nn.inference_mode(Classifier(KEY), value=not dropped)
    params, static = eqx.partition(model, eqx.is_inexact_array)
    keys = jax.random.split(jax.random.key(3), N)

    def losses(params, batch):
        images, labels, keys = batch  # a key for each example: the same in whatever batches the data are read
        return cross_entropy(jax.vmap(eqx.combine(params, static))(images, keys), labels)

    own = cross_entropy(jax.vmap(model)(x, keys), y).mean()
    off = cross_entropy(jax.vmap(eqx.nn.inference_mode(model))(x, keys), y).mean()
    assert (float(own) != float(off)) == dropped
    objective = ls.Objective(losses, (x, y, keys), params=params)
    check_landscape(objective, own, 0, batch_size=5 if dropped else None)


def test_haiku():
    x, y = images()

    def forward(x):
        x = jax.nn.relu(hk.Conv2D(4, 3)(x))
        return hk.Linear(CLASSES)(hk.Flatten()(x))

    model = hk.without_apply_rng(hk.transform(forward))
    params = model.init(KEY, x)
    objective = ls.Objective(lambda p, batch: cross_entropy(model.apply(p, batch[0]), batch[1]), (x, y), params=params)
    plane = check_landscape(objective, cross_entropy(model.apply(params, x), y).mean(), -1)
    assert names_that_move(plane.directions[0]) == {"conv2_d/w", "linear/w"}


class Normalized(nn.Module):
    """A classifier with batch norm; `momentum` 0: what a batch updates are its own statistics."""

    momentum: float = 0.9

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Dense(5)(x.reshape(len(x), -1))
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=self.momentum)(x))
        return nn.Dense(CLASSES)(x)


def trained() -> tuple[Normalized, Any]:
    """The model, and variables whose statistics are those of training."""
    x, _ = images()
    model = Normalized()
    variables = model.init(KEY, x)
    _, updated = model.apply(variables, 1 + 2 * x, train=True, mutable=["batch_stats"])
    return model, {"params": variables["params"], "batch_stats": updated["batch_stats"]}


def test_batch_statistics_must_be_chosen():
    model, variables = trained()
    message = r"(?s)holds batch statistics \('batch_stats/BatchNorm_0/mean', 2 such\); choose .*Frozen: .*prepare="
    with pytest.raises(ValueError, match=message):
        ls.Objective(lambda v, batch: cross_entropy(model.apply(v, batch[0]), batch[1]), images(), params=variables)


def test_batch_statistics_frozen():
    model, variables = trained()
    x, y = images()

    def losses(params, batch):
        logits = model.apply({"params": params, "batch_stats": variables["batch_stats"]}, batch[0])
        return cross_entropy(logits, batch[1])

    objective = ls.Objective(losses, (x, y), params=variables["params"])
    check_landscape(objective, cross_entropy(model.apply(variables, x), y).mean(), -1)


def test_batch_statistics_computed_anew():
    """Against a loop over cells and batches: at every point, the mean over the batches of their own statistics."""
    model, variables = trained()
    own_statistics = model.clone(momentum=0.0)

    def statistics(params, inputs):
        frozen = {"params": params, "batch_stats": variables["batch_stats"]}
        return own_statistics.apply(frozen, inputs, train=True, mutable=["batch_stats"])[1]["batch_stats"]

    def prepare(params, batches):
        each = jax.lax.map(lambda batch: statistics(params, batch[0]), batches)
        return {"params": params, "batch_stats": jax.tree.map(lambda leaf: leaf.mean(0), each)}

    def losses(variables, batch):
        return cross_entropy(model.apply(variables, batch[0]), batch[1])

    x, y = images()
    objective = ls.Objective(losses, (x, y), params=variables["params"], prepare=prepare, prepare_batch_size=4)
    u, v = ls.random_directions(KEY, objective.params, 2)
    plane = ls.Plane(objective.params, (u, v), names=("alpha", "beta"))
    surface = ls.evaluate(objective, plane, AXES, progress=False)
    expected = np.empty((3, 3), np.float32)
    for i, alpha in enumerate(AXES["alpha"]):
        for j, beta in enumerate(AXES["beta"]):
            params = jax.tree.map(lambda p, a, b, s=alpha, t=beta: p + s * a + t * b, objective.params, u, v)
            parts = [statistics(params, x[start : start + 4]) for start in range(0, N, 4)]
            mean = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *parts)
            expected[i, j] = losses({"params": params, "batch_stats": mean}, (x, y)).mean()
    np.testing.assert_allclose(surface.risk, expected, rtol=1e-5)
    frozen = losses(variables, (x, y)).mean()
    assert abs(float(surface.risk[1, 1]) - float(frozen)) > 0.01  # the choice matters
    assert_close(objective.risk(objective.params), surface.risk[1, 1].to_numpy(), eps=16)  # the same batches everywhere
    run = ls.trajectory(objective, [objective.params])
    assert_close(run.data.risk, surface.risk[1, 1].to_numpy()[None], eps=16)
    other = ls.Objective(losses, (x, y), params=variables["params"], prepare=prepare)
    assert other.id != objective.id
    with pytest.raises(ValueError, match=r"is 5, which does not divide the 12 examples.* nearest that do are 4 and 6"):
        ls.Objective(losses, (x, y), params=variables["params"], prepare=prepare, prepare_batch_size=5)
    with pytest.raises(ValueError, match=r"`batch_size` is a part of the objective .*Objective prepare_batch_size=4"):
        ls.evaluate(objective, plane, AXES, batch_size=4)


def test_tokens_are_weighted():
    """A sequence is an example: its loss is the mean over its tokens, its weight their number."""
    tokens = jax.random.randint(KEY, (N, 5), 0, 7)
    mask = (jnp.arange(5)[None] < 1 + jnp.arange(N)[:, None] % 4).astype(jnp.float32)  # padding after 1 to 4 tokens
    model = nn.Sequential([nn.Embed(7, 4), nn.Dense(7)])
    params = model.init(KEY, tokens)["params"]

    def losses(params, batch):
        tokens, mask = batch
        each = cross_entropy(model.apply({"params": params}, tokens[:, :-1]), tokens[:, 1:]) * mask[:, 1:]
        count = mask[:, 1:].sum(1)
        return each.sum(1) / jnp.maximum(count, 1), count

    logits = model.apply({"params": params}, tokens[:, :-1])
    each, weights = cross_entropy(logits, tokens[:, 1:]), mask[:, 1:]
    objective = ls.Objective(losses, (tokens, mask), params=params)
    check_landscape(objective, (each * weights).sum() / weights.sum(), {"*/embedding": 0, "*": -1})


def test_checkpoints_of_orbax(tmp_path):
    """A generator restores one step after another; `trajectory` never holds two."""
    model = nn.Dense(CLASSES)
    x, y = images()
    x = x.reshape(N, -1)
    params = model.init(KEY, x)["params"]
    kept = {step: jax.tree.map(lambda leaf, s=step: leaf * (1 - s / 40), params) for step in (0, 10, 20)}
    with ocp.CheckpointManager(tmp_path) as manager:
        for step, now in kept.items():
            manager.save(step, args=ocp.args.StandardSave(now))
    objective = ls.Objective(lambda p, b: cross_entropy(model.apply({"params": p}, b[0]), b[1]), (x, y), params=params)
    with ocp.CheckpointManager(tmp_path) as manager:
        steps = sorted(manager.all_steps())
        checkpoints = (manager.restore(step, args=ocp.args.StandardRestore(params)) for step in steps)
        run = ls.trajectory(objective, checkpoints, steps, progress=False)
    assert run.data.step.to_numpy().tolist() == [0, 10, 20]
    np.testing.assert_array_equal(run.params["kernel"][1], kept[10]["kernel"])
    own = [float(objective.risk(now)) for now in kept.values()]
    np.testing.assert_allclose(run.data.risk, own, rtol=1e-6)
