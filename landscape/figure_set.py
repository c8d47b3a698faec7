"""Figures are programs with claims: compute once, draw the same bytes again, check every sentence that asserts.

A figure is a file `NAME.py` that holds

    the module's docstring                                   its caption
    compute() -> xarray.Dataset or dict[str, Dataset]        whatever takes time
    draw(data) -> matplotlib.figure.Figure                   `data` is what `compute` returned
    claims(data) -> dict[str, bool]                          what the caption asserts: is it so in the data?
    INPUTS = ("scores.csv",)                                 optional: files and folders that `compute` reads

Files whose names start with `_` are helpers that figures import. What `compute` returned is kept in `OUT/.cache/` under
a hash of all it depends on: the figure's code without caption, `draw` and `claims` (which can thus be edited without
computing again), the helpers, the inputs, this package without what only draws, the versions of the libraries, and
whether x64 is on. Files that are not named in `INPUTS` are not seen to change: name them, or pass `fresh=True`.
"""

import ast
import importlib
import io
import sys
import textwrap
import time
import traceback
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from landscape._figure_cache import Data, fetch, hash_of, kinds, replacing
from landscape.plot import style

# What a file would otherwise tell of the day and the program that made it, so that equal pictures are equal bytes.
METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": "jax-landscape"},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}


@dataclass(frozen=True)
class _Program:
    """A figure's file, run and found to have all its parts."""

    caption: str
    compute: Callable[[], Data]
    draw: Callable[[Data], Figure]
    claims: Callable[[Data], Mapping[str, bool]]
    key: str  # of the data set


@dataclass(frozen=True)
class _Drawn:
    claims: dict[str, bool]
    seconds: float
    cached: bool


def draw_figures(
    folder: str | Path,
    *,
    only: str | Iterable[str] | None = None,
    out: str | Path | None = None,
    formats: str | Iterable[str] = ("png", "pdf"),
    check: bool = False,
    fresh: bool = False,
    write: Callable[[str], object] = print,
) -> int:
    """Draw the figures of `folder` into `out` (default `folder/out`), with `out/captions.md`; return the exit status.

    `only` picks figures by name; `formats` are any of png (300 dpi), pdf and svg (a string is split at commas);
    `fresh=True` computes again whatever the cache holds. `write` receives each line: a figure with its seconds, then
    ✓ or ✗ before each of its claims. Redrawn from equal data, files are equal to the byte.

    A figure that fails does not stop the others: its error is written at the end.

    Returns: 1 if a figure failed, or if `check` is true and a claim is false; else 0.
    Raises: ValueError if the folder is missing or holds no figure, or if a name in `only` or a format is unknown.
    """
    figures = find_figures(folder)
    chosen = _select(figures, only)
    formats = _known_formats(formats)
    out = Path(folder, "out") if out is None else Path(out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"`out` must be a folder to draw into, got the file {str(out)!r}.")

    width = max(map(len, chosen), default=0)
    errors, broken = {}, []
    with _agg_backend():
        for name, path in chosen.items():
            try:
                drawn = _draw_one(path, out, formats, fresh, write)
            except Exception as error:  # a figure is anybody's program: it may raise anything
                errors[name] = error
                write(f"{name:<{width}}  failed")
                continue
            write(f"{name:<{width}}  {drawn.seconds:7.2f} s  {'cached' if drawn.cached else 'computed'}")
            for sentence, holds in drawn.claims.items():
                write(f"  {_tick(holds)} {sentence}")
            broken += [f"{name}: {sentence}" for sentence, holds in drawn.claims.items() if not holds]
    _write_captions(out, figures)
    for sentence in broken:
        write(f"false: {sentence}")
    for name, error in errors.items():
        write(f"failed: {name}: {_explain(error, Path(folder))}")
    return int(bool(errors) or (check and bool(broken)))


def find_figures(folder: str | Path) -> dict[str, Path]:
    """Return name -> file of the figures of `folder`, by name: its `*.py` that do not start with `_`.

    Raises: ValueError if there is no such folder, or no figure in it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("valley.py", "bowl.py", "_helpers.py"):
    ...         _ = Path(folder, name).write_text("")
    ...     list(find_figures(folder))
    ['bowl', 'valley']
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"`folder` must be a folder of figures (NAME.py), and {str(folder)!r} is no folder.")
    figures = {path.stem: path.absolute() for path in sorted(folder.glob("*.py")) if not path.name.startswith("_")}
    if not figures:
        raise ValueError(
            f"`folder` {str(folder)!r} holds no figure: no *.py that does not start with `_`. A figure is a file "
            "NAME.py with a docstring (its caption), compute(), draw(data) and claims(data)."
        )
    return figures


def _select(figures: dict[str, Path], only: str | Iterable[str] | None) -> dict[str, Path]:
    if only is None:
        return figures
    names = [only] if isinstance(only, str) else list(only)
    for name in names:
        if name not in figures:
            raise ValueError(f"`only` names {name!r}, which is no figure of this folder; it has: {', '.join(figures)}.")
    return {name: path for name, path in figures.items() if name in names}


def _known_formats(formats: str | Iterable[str]) -> tuple[str, ...]:
    formats = tuple(formats.split(",") if isinstance(formats, str) else formats)
    for name in formats or ("",):
        if name not in METADATA:
            raise ValueError(f"`formats` has {name!r}, which cannot be drawn; wanted any of: {', '.join(METADATA)}.")
    return formats


def _draw_one(path: Path, out: Path, formats: tuple[str, ...], fresh: bool, write: Callable[[str], object]) -> _Drawn:
    start = time.perf_counter()
    cache = out / ".cache" / path.stem
    with _alone(path):
        program = _load(path)
        data, cached = fetch(cache / f"{program.key}.npz", program.compute, fresh, write)
        claims = _checked_claims(program.claims(data))
        files = _render(program, data, formats)
    for name, content in files.items():
        with replacing(out / f"{path.stem}.{name}") as file:
            file.write(content)
    with replacing(cache / "caption.md") as file:
        file.write(_caption(path.stem, program.caption, claims, formats).encode())
    return _Drawn(claims, time.perf_counter() - start, cached)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While a figure runs: it can import its folder's helpers, and leaves nothing that would change the next figure."""
    folder, names = str(path.parent), [f"_figure_{path.stem}", *(helper.stem for helper in _helpers(path))]
    others = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    bytecode, x64, pictures = sys.dont_write_bytecode, _x64(), plt.get_fignums()
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True  # bytecode is matched by whole seconds: an edit within one would not be seen
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(folder)
        sys.dont_write_bytecode = bytecode
        if _x64() != x64:  # the figure's doing; a caller's `with jax.enable_x64(...)` must not become the setting
            jax.config.update("jax_enable_x64", x64)
        for number in set(plt.get_fignums()).difference(pictures):
            plt.close(number)
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(others)


def _x64() -> bool:
    return jax.config.jax_enable_x64  # type: ignore[attr-defined]


def _helpers(path: Path) -> list[Path]:
    return sorted(path.parent.glob("_*.py"))


@contextmanager
def _agg_backend() -> Iterator[None]:
    """Draw without windows, and give a notebook the backend that it had."""
    before = matplotlib.get_backend(auto_select=False)
    plt.switch_backend("agg")
    try:
        yield
    finally:
        if before is not None:
            plt.switch_backend(before)


def _load(path: Path) -> _Program:
    """Run the file of a figure, which computes and draws nothing yet, and check that it has all its parts."""
    source = path.read_bytes()
    tree = ast.parse(source, str(path))
    module = types.ModuleType(f"_figure_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look up the module that defines them
    exec(compile(source, str(path), "exec"), module.__dict__)  # not importlib: what is hashed is what has run

    caption = ast.get_docstring(tree)
    if not caption:
        raise ValueError(f"{path.name} has no docstring at its top; it is the figure's caption: write one.")
    parts: dict[str, Any] = {name: getattr(module, name, None) for name in ("compute", "draw", "claims")}
    missing = [name for name, function in parts.items() if not callable(function)]
    if missing:
        raise ValueError(f"{path.name} lacks {', '.join(missing)}; wanted compute(), draw(data) and claims(data).")
    inputs = getattr(module, "INPUTS", ())
    inputs = [path.parent / name for name in ([inputs] if isinstance(inputs, str) else inputs)]
    for file in inputs:
        if not file.exists():
            raise ValueError(f"{path.name} names {str(file)!r} in INPUTS, which does not exist (seen from the figure).")
    _refuse_imported_figures(path, tree)
    return _Program(caption, **parts, key=hash_of(_computing_part(tree), _helpers(path), inputs))


def _refuse_imported_figures(path: Path, tree: ast.Module) -> None:
    """A figure is no part of another one's key; what two of them share must be a helper, which is."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            if not name.startswith("_") and path.with_name(f"{name}.py").exists():
                raise ValueError(f"{path.name} imports the figure {name!r}; share a file that starts with `_` instead.")


def _computing_part(tree: ast.Module) -> str:
    """The figure's syntax, which knows no layout and no comments, without caption, `draw` and `claims`."""
    rest = [node for node in tree.body[1:] if not _is_function(node, "draw") and not _is_function(node, "claims")]
    return ast.dump(ast.Module(body=rest, type_ignores=[]))


def _is_function(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == name


def _checked_claims(claims: Mapping[str, bool]) -> dict[str, bool]:
    if not isinstance(claims, Mapping):
        raise TypeError(f"claims(data) must return a dict of sentence -> bool, got {kinds([claims])}.")
    for sentence, holds in claims.items():
        if not isinstance(holds, bool | np.bool_):
            raise ValueError(f"The claim {sentence!r} must be True or False, got {kinds([holds])}: wrap it in bool().")
    return {sentence: bool(holds) for sentence, holds in claims.items()}


def _render(program: _Program, data: Data, formats: Iterable[str]) -> dict[str, bytes]:
    """Format -> the bytes of the file; nothing is written, so that a figure comes in all its formats or in none."""
    files = {}
    with style.context():
        figure = program.draw(data)
        if not isinstance(figure, Figure):
            raise TypeError(f"draw(data) must return a matplotlib Figure, got {kinds([figure])}.")
        for name in formats:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=name, dpi=300, metadata=METADATA[name])
            files[name] = buffer.getvalue()
    return files


def _caption(name: str, caption: str, claims: Mapping[str, bool], formats: Iterable[str]) -> str:
    picture = [f"![{name}]({name}.{format})\n" for format in formats if format != "pdf"][:1]  # Markdown shows no PDF
    ticks = [f"- {_tick(holds)} {sentence}" for sentence, holds in claims.items()]
    return "\n".join([f"## {name}\n", *picture, caption, *([""] if ticks else []), *ticks, ""])


def _write_captions(out: Path, figures: Iterable[str]) -> None:
    """Put the captions into one file: of each figure as last drawn, which may have been in another run."""
    captions = [out / ".cache" / name / "caption.md" for name in figures]
    sections = [path.read_text("utf-8") for path in captions if path.exists()]
    with replacing(out / "captions.md") as file:
        file.write("\n".join(["# Figures\n", *sections]).encode())


def _tick(holds: bool) -> str:
    return "✓" if holds else "✗"


def _explain(error: Exception, folder: Path) -> str:
    """The error, and where the figure's own code was running, the lines that led to it from there on."""
    report = traceback.TracebackException.from_exception(error)
    own = [index for index, frame in enumerate(report.stack) if Path(frame.filename).parent == folder.absolute()]
    if not own and not isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error}"
    report.stack = traceback.StackSummary.from_list(report.stack[own[0] :] if own else [])
    return "\n" + textwrap.indent("".join(report.format()).rstrip(), "  ")
