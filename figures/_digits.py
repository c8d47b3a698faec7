"""What the figures of networks share: scikit-learn's digits, a multilayer perceptron, and a training loop."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

TRAIN = 1200  # of 1797 images


def digits(train=TRAIN):
    """{"train": (images, labels), "test": …}: images (n, 64) of 8×8 gray values in [0, 1], in an order of our own."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = (images[order] / 16).astype(np.float32), labels[order].astype(np.int32)
    return {"train": (images[:train], labels[:train]), "test": (images[TRAIN:], labels[TRAIN:])}


def layers(key, widths, gain=1.0):
    """Params of a network of these widths: Gaussian kernels (in, out) of variance gain²/in, biases of 0."""
    keys = jax.random.split(key, len(widths) - 1)
    return {
        f"layer{i:02d}": {
            "kernel": gain * jax.random.normal(k, (n, m)) / np.sqrt(n),
            "bias": jnp.zeros(m),
        }
        for i, (k, n, m) in enumerate(zip(keys, widths[:-1], widths[1:], strict=True))
    }


def mlp(params, images):
    """Logits (n, 10) of a network with tanh in its hidden layers."""
    *hidden, last = params.values()
    for layer in hidden:
        images = jnp.tanh(images @ layer["kernel"] + layer["bias"])
    return images @ last["kernel"] + last["bias"]


def cross_entropy(predict):
    """The losses (n,) of a network's logits."""

    def losses(params, batch):
        images, labels = batch
        return optax.softmax_cross_entropy_with_integer_labels(predict(params, images), labels)

    return losses


def train(losses, optimizer, params, data, *, key, epochs, batch=50, every=1):
    """The params after 0, `every`, 2·`every`, … steps of minibatches, stacked; and the numbers of these steps.

    One compiled loop: each epoch goes through the data in a new order, without what does not fill a minibatch.
    """
    images, labels = map(jnp.asarray, data)
    per_epoch = len(images) // batch
    shuffled = jax.vmap(lambda k: jax.random.permutation(k, len(images)))(jax.random.split(key, epochs))
    order = shuffled[:, : per_epoch * batch].reshape(epochs * per_epoch, batch)
    order = order[: len(order) // every * every].reshape(-1, every, batch)

    def step(state, chosen):
        params, memory = state
        slope = jax.grad(lambda p: jnp.mean(losses(p, (images[chosen], labels[chosen]))))(params)
        change, memory = optimizer.update(slope, memory, params)
        return (optax.apply_updates(params, change), memory), None

    def several(state, chosen):
        state, _ = jax.lax.scan(step, state, chosen)
        return state, state[0]

    @jax.jit
    def run(params, order):
        return jax.lax.scan(several, (params, optimizer.init(params)), order)[1]

    path = run(params, order)
    path = jax.tree.map(lambda start, rest: np.concatenate([np.asarray(start)[None], np.asarray(rest)]), params, path)
    return path, np.arange(len(order) + 1) * every


def at(path, index):
    """The params at one place of a stacked path."""
    return jax.tree.map(lambda leaf: leaf[index], path)


def points(path):
    """The params of a stacked path, one after another."""
    return [at(path, i) for i in range(len(jax.tree.leaves(path)[0]))]
