"""Data: arrays in memory, arrays on disk, or a re-iterable of batches; read a batch at a time, in one order."""

import hashlib
import math
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _trees

Batch = Any  # a pytree of arrays with a common leading axis: the examples
SAMPLED_ABOVE, BLOCK = 2**30, 2**16  # bytes: of larger arrays, 1024 blocks evenly spaced are fingerprinted
PAGE = 2**12  # bytes of such a block where an array is mapped: reading it whole would be one more pass over the data


class Batches:
    """A data set that is read batch by batch: anything that gives the same batches at every iteration.

    A DataLoader without shuffling and augmentation, a class with `__iter__`, a list. A batch is a pytree of arrays with
    a common leading axis; batches may differ in length, and the risk weights examples, not batches.

    Each pass is compared with the first by its fingerprint, so that all cells of a surface see the same examples.
    Raises: TypeError for what can be read only once (a generator); while reading, ValueError for an empty batch, for
    leaves of another shape or dtype, and for a pass that differs from the first.

        >>> import numpy as np, landscape as ls
        >>> data = ls.Batches([(np.ones((4, 2)), np.zeros(4)), (np.ones((3, 2)), np.ones(3))])
        >>> data.n
        7
    """

    def __init__(self, iterable: Iterable[Batch]) -> None:
        if not hasattr(iterable, "__iter__") or isinstance(iterable, (str, dict)) or hasattr(iterable, "dtype"):
            raise TypeError(f"`batches` is {_checks.kind(iterable)}; give a list of batches or a DataLoader.")
        if iter(iterable) is iterable:
            raise _exhausted("batches", iterable)
        self._iterable = iterable
        self._first_pass: tuple[int, int, str] | None = None  # examples, batches, fingerprint
        self._largest = 0
        first = next(iter(iterable), None)
        if first is None:
            raise ValueError("`batches` gives no batch at all; give at least one.")
        self.example: Batch = _read_batch(first, 0, None)
        self._example_id = _add(hashlib.blake2b(digest_size=8), self.example).hexdigest()

    def __iter__(self) -> Iterator[Batch]:
        digest = hashlib.blake2b(digest_size=8)
        examples, index = 0, -1
        for index, batch in enumerate(self._iterable):
            read = _read_batch(batch, index, self.example)
            _add(digest, read)
            if index == 0 and digest.hexdigest() != self._example_id:
                raise _changed("another batch first than when it was read before")
            examples += num_examples(read)
            self._largest = max(self._largest, num_examples(read))
            yield read
        if index < 0:
            raise _changed("no batch at all when it was read again")
        self._check_pass((examples, index + 1, digest.hexdigest()))

    def _check_pass(self, this: tuple[int, int, str]) -> None:
        if self._first_pass is None:
            self._first_pass = this
        elif this != self._first_pass:
            examples, batches, _ = self._first_pass
            what = (
                f"{this[1]} batches with {this[0]} examples, and {batches} with {examples} on the first pass"
                if this[:2] != (examples, batches)
                else "other examples, or the same in another order, than on the first pass"
            )
            raise _changed(what)

    def _whole_pass(self) -> tuple[int, int, str]:
        if self._first_pass is None:
            for _ in self:
                pass
        assert self._first_pass is not None
        return self._first_pass

    @property
    def n(self) -> int:
        """Number of examples; the first time, if nothing has read the data yet, a pass over them."""
        return self._whole_pass()[0]

    @property
    def known(self) -> int | None:
        """Number of examples if a pass has counted them."""
        return None if self._first_pass is None else self._first_pass[0]

    @property
    def largest(self) -> int:
        """Number of examples in the largest batch read so far."""
        return max(self._largest, num_examples(self.example))

    @property
    def id(self) -> str:
        """Fingerprint of the batches in their order."""
        return self._whole_pass()[2]

    def __repr__(self) -> str:
        size = "examples not counted yet" if self._first_pass is None else f"{self.n} examples"
        return f"Batches({size}; a batch: {_trees.layout(self.example)})"


def _exhausted(name: str, iterable: Any) -> TypeError:
    return TypeError(
        f"`{name}` is {_checks.kind(iterable)}, which is exhausted after one pass; give what can be read again: "
        "ls.Batches of a list, a DataLoader, or an object whose __iter__ starts anew."
    )


def _changed(what: str) -> ValueError:
    return ValueError(
        f"`data` gave {what}; every cell must see the same data. Turn off shuffling and augmentation, drop nothing, "
        "and start anew at each iteration."
    )


def _add(digest: Any, batch: Batch) -> Any:
    """The digest with a batch added."""
    for leaf in jax.tree.leaves(batch):
        fingerprint(digest, _trees.as_numbers(leaf))
    return digest


def _read_batch(batch: Batch, index: int, example: Batch) -> Batch:
    """A batch as arrays, checked against the first one."""
    if batch is None or not jax.tree.leaves(batch):
        raise ValueError(f"`data` batch {index} holds no arrays; leave empty batches out.")
    read = jax.tree.map(lambda leaf: leaf if isinstance(leaf, Array) else np.asarray(leaf), batch)
    check_lengths(f"data batch {index}", read)
    if example is not None:
        there, here = (_row(tree) for tree in (example, read))
        if there != here:
            raise ValueError(
                f"`data` batch {index} is not like the first; batches may differ only in their number of examples.\n"
                + _trees.layouts(first=example, batch=read)
            )
    return read


def _row(batch: Batch) -> Any:
    return jax.tree.structure(batch), [(leaf.shape[1:], str(leaf.dtype)) for leaf in jax.tree.leaves(batch)]


def is_mapped(leaf: Any) -> bool:
    """Whether a leaf stays where it is until a batch of it is read: a memory map, another library's array on disk."""
    array_like = all(hasattr(leaf, name) for name in ("shape", "dtype", "__getitem__"))
    return array_like and (isinstance(leaf, np.memmap) or not isinstance(leaf, (np.ndarray, np.generic, Array)))


def in_memory(data: Batch) -> bool:
    """Whether all of the data are arrays in memory."""
    return not isinstance(data, Batches) and not any(map(is_mapped, jax.tree.leaves(data)))


def wrapped(data: Any) -> Any:
    """Batches for a re-iterable that is no tree of arrays, such as a DataLoader; tensors of PyTorch as arrays."""
    if isinstance(data, (Batches, str, bytes)):
        return data
    if isinstance(data, Iterator):
        raise _exhausted("data", data)
    data = jax.tree.map(lambda leaf: np.asarray(leaf) if _is_tensor(leaf) else leaf, data)
    if hasattr(data, "dtype"):
        return data
    return Batches(data) if jax.tree_util.all_leaves([data]) and hasattr(data, "__iter__") else data


def _is_tensor(leaf: Any) -> bool:
    """Whether its dtype is one that NumPy does not know, but its numbers can be read."""
    ours = isinstance(leaf, (np.ndarray, np.generic, Array))
    return not ours and hasattr(leaf, "__array__") and not isinstance(getattr(leaf, "dtype", None), np.dtype)


def as_data(data: Any) -> Batch:
    """What an Objective keeps of what was `wrapped`: JAX arrays, memory maps and Batches as they are; checked."""
    if isinstance(data, Batches):
        return data
    check_lengths("data", data)
    for name, leaf in _trees.named_leaves(data).items():
        # What is mapped is not scanned: that would be a pass over it.
        if not is_mapped(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating):
            _checks.finite(_labeled("data", name), np.asarray(leaf))
    return jax.tree.map(lambda leaf: leaf if is_mapped(leaf) else _trees.as_array(leaf), data)


def check_lengths(what: str, data: Batch) -> None:
    """Raise unless all leaves are arrays of numbers with one leading axis of the same, positive length."""
    lengths = {}
    for name, leaf in _trees.named_leaves(data).items():
        label = _labeled(what, name)
        array = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
        if not isinstance(array, Array) and array.dtype.kind in "OSUMm":
            raise TypeError(f"`{label}` must hold numbers, got dtype {array.dtype}; encode it, or leave it out.")
        if len(array.shape) == 0:
            lists = "" if hasattr(leaf, "dtype") else " Lists are trees to JAX: make arrays of them, np.asarray(…)."
            raise ValueError(
                f"`{label}` is a single number; every leaf of the data needs a leading axis of examples.{lists}"
            )
        if array.shape[0] == 0:
            raise ValueError(f"`{label}` has no examples (shape {tuple(array.shape)}); give at least one.")
        lengths[label] = array.shape[0]
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{k}: {v}" for k, v in lengths.items())
        wrap = " A list of batches is wrapped: ls.Batches(…)." if isinstance(data, (list, tuple)) else ""
        raise ValueError(f"`{what}` has leaves of different length: {listed}. Give one row an example in each.{wrap}")


def _labeled(what: str, name: str) -> str:
    return f"{what} {name!r}" if name else what


def num_examples(data: Batch) -> int:
    """Length of the leading axis of the data; 1 where there are none."""
    if isinstance(data, Batches):
        return data.n
    leaves = jax.tree.leaves(data)
    return int(leaves[0].shape[0]) if leaves else 1


def known_examples(data: Batch) -> int | None:
    """Number of examples, if counting them takes no pass over the data."""
    return data.known if isinstance(data, Batches) else num_examples(data)


def first_batch(data: Batch) -> Batch:
    """Shapes and dtypes, as JAX will see them, of the data (of the first batch, where they come as batches)."""

    def described(leaf: Any) -> jax.ShapeDtypeStruct:
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype if is_key else jax.dtypes.canonicalize_dtype(leaf.dtype))

    return jax.tree.map(described, data.example if isinstance(data, Batches) else data)


def batches(data: Batch, size: int, start: int = 0) -> Iterator[Batch]:
    """The data in order, `size` examples at a time (the last batch may be short); Batches in their own sizes.

    start: the first example; Batches have no other than 0.
    """
    if isinstance(data, Batches):
        yield from data
        return
    n = num_examples(data)
    for first in range(start, n, size):
        yield jax.tree.map(partial(_rows, start=first, stop=None if size >= n else first + size), data)


def _rows(leaf: Any, start: int, stop: int | None) -> Any:
    if is_mapped(leaf):
        return np.asarray(leaf[start:stop])
    if stop is None:
        return leaf[start:] if start else leaf
    return jax.lax.dynamic_slice_in_dim(leaf, start, min(stop, len(leaf)) - start)  # compiled once for all starts


def data_id(digest: Any, data: Batch) -> bool:
    """Add the data to a fingerprint; True where only samples of them are."""
    if isinstance(data, Batches):
        digest.update(data.id.encode())
        return False
    leaves = [leaf if is_mapped(leaf) else _trees.as_numbers(leaf) for leaf in jax.tree.leaves(data)]
    return any([fingerprint(digest, leaf) for leaf in leaves])


def fingerprint(digest: Any, array: Any) -> bool:
    """Add an array's shape, dtype and bytes to a fingerprint; True where they are samples, of a large or mapped one."""
    digest.update(f"{tuple(array.shape)} {array.dtype} ".encode())
    if is_mapped(array):
        starts, rows = _samples(array)
        for start in starts:
            block = np.asarray(array[start : start + rows])
            digest.update(block.flat[: BLOCK // array.dtype.itemsize].tobytes())
        return len(starts) * rows < array.shape[0]
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    if flat.size <= SAMPLED_ABOVE:
        digest.update(flat)
        return False
    for start in np.linspace(0, flat.size - BLOCK, 1024).astype(np.int64):
        digest.update(flat[start : start + BLOCK])
    return True


def _samples(array: Any) -> tuple[list[int], int]:
    """Where at most 1024 blocks of rows, evenly spaced, start, and their rows: a page, or one row of at most 64 KiB."""
    n, row = array.shape[0], array.dtype.itemsize * math.prod(array.shape[1:])
    rows = max(1, PAGE // max(1, row))
    few = n <= 1024 * rows
    return (list(range(0, n, rows)) if few else np.linspace(0, n - rows, 1024).astype(np.int64).tolist()), rows
