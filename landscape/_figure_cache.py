"""What a figure computed, kept under a hash of all that it depends on.

One `.npz` a figure: a single file is there or not, the zip's CRC of each member tells when it is damaged, and NumPy's
format keeps strings as they are. zarr, which surfaces are stored in, is made for arrays larger than memory and has no
settled form for strings.
"""

import hashlib
import importlib.metadata
import itertools
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import jax
import numpy as np
import xarray as xr

Data = xr.Dataset | dict[str, xr.Dataset]

PACKAGE = Path(__file__).parent
ONLY_DRAWS = ("plot", "explorer", "cli", "figure_set")  # modules and folders that no data set depends on
LIBRARIES = ("jax", "jaxlib", "numpy", "optax", "xarray")


def hash_of(code: str, helpers: Iterable[Path], inputs: Iterable[Path]) -> str:
    """Hash of a figure's code, the files that it imports or reads (folders: all below them), and what it runs on."""
    digest = hashlib.sha256()

    def add(label: object, content: bytes) -> None:
        digest.update(f"{label} {len(content)}\n".encode())
        digest.update(content)

    def add_files(files: Iterable[Path], root: Path | None = None) -> None:
        for file in sorted(files):
            add(file.relative_to(root or file.parent), file.read_bytes())

    add("code", code.encode())
    add_files(helpers)
    for path in inputs:
        add_files((file for file in (path, *path.rglob("*")) if file.is_file()), path.parent)
    parts = {file: file.relative_to(PACKAGE).parts[0].removesuffix(".py") for file in PACKAGE.rglob("*.py")}
    add_files((file for file, part in parts.items() if part not in ONLY_DRAWS), PACKAGE)
    for library in LIBRARIES:
        add(library, importlib.metadata.version(library).encode())
    add("x64", str(jax.config.jax_enable_x64).encode())  # type: ignore[attr-defined]
    return digest.hexdigest()[:32]


def fetch(
    path: Path, compute: Callable[[], object], fresh: bool, write: Callable[[str], object]
) -> tuple[Data, float, bool]:
    """Return the data set in `path`, else what `compute` returns, now kept there; the seconds that it took to compute;
    and whether it was there.

    The other entries of the folder of `path`, which holds one figure's, are removed. A damaged entry is computed again.
    """
    if path.exists() and not fresh:
        try:
            return (*load(path), True)
        except Exception as error:  # a damaged file raises anything; it all means the same
            write(f"The data set of {path.parent.name} in the cache is damaged ({error!r}): computing it again.")
    start = time.perf_counter()
    data = compute()
    with replacing(path) as file:
        save(data, file, time.perf_counter() - start)
    for other in path.parent.glob("*.npz"):
        if other != path:
            other.unlink(missing_ok=True)
    return (*load(path), False)  # read back rather than as returned: then a figure cannot look different the next time


def save(data: Any, file: BinaryIO, seconds: float) -> None:
    """Write an xarray.Dataset, or a dict of them, without pickle, and the seconds that it took to compute.

    Raises: TypeError for anything else, and for what has no plain form (arrays of objects, bfloat16, odd attributes).
    """
    single = isinstance(data, xr.Dataset)
    datasets = {"": data} if single else data
    if not isinstance(datasets, dict) or not all(isinstance(dataset, xr.Dataset) for dataset in datasets.values()):
        got = f"a dict with {kinds(datasets.values())}" if isinstance(datasets, dict) else kinds([datasets])
        raise TypeError(f"compute() must return an xarray.Dataset or a dict of them, got {got}.")
    arrays: list[np.ndarray] = []
    header: dict[str, Any] = {"single": single, "seconds": seconds, "datasets": {}}
    for key, dataset in datasets.items():
        variables = []
        for name, variable in dataset.variables.items():
            arrays.append(_plain_array(name, np.asarray(variable.values)))
            variables.append([name, list(variable.dims), name in dataset.coords, variable.attrs])
        header["datasets"][key] = [variables, dataset.attrs]
    np.savez(file, np.array(json.dumps(header, default=_plain_attribute)), *arrays)


def load(path: Path) -> tuple[Data, float]:
    """Read what `save` wrote. Raises: an error of some kind if a bit of it that matters has changed."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:  # np.load leaves a bad file open
        members = (archive[f"arr_{index}"] for index in itertools.count())  # read when asked for, in the order saved
        header = json.loads(str(next(members)))
        datasets = {}
        for key, (rows, attrs) in header["datasets"].items():
            variables = {name: xr.Variable(dims, next(members), attributes) for name, dims, _, attributes in rows}
            coords = {name: variables.pop(name) for name, _, is_coord, _ in rows if is_coord}
            datasets[key] = xr.Dataset(variables, coords, attrs)
    return (datasets[""] if header["single"] else datasets), header["seconds"]


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when it is whole and on disk; if the block raises, nothing has changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def kinds(values: Iterable[object]) -> str:
    """The names of the values' types, for messages."""
    return ", ".join(sorted({type(value).__name__ for value in values})) or "nothing"


def _plain_array(name: object, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "OT" and all(isinstance(value, str) for value in values.flat):
        values = values.astype(str)
    if values.dtype.kind not in "biufcSUMm":
        wanted = "numbers, booleans, strings or times; bfloat16 must become float32"
        raise TypeError(f"compute() returned a variable {name!r} of dtype {values.dtype}; wanted {wanted}.")
    return values


def _plain_attribute(value: Any) -> Any:
    """What JSON does not know: NumPy's and JAX's scalars and arrays become numbers and lists."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(
        f"compute() returned an attribute of type {type(value).__name__}; wanted text, numbers, lists or dicts."
    )
