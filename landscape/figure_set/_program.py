"""A figure's program: its file, run alone and found to have all its parts, and the pictures that it draws."""

import ast
import copy
import importlib
import io
import os
import sys
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

from landscape._figure_cache import Data, hash_of, kinds
from landscape.plot import dark, style

# What a file would otherwise tell of the day and the program that made it, so that equal pictures are equal bytes.
METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": "jax-landscape"},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}
DARK = "_dark"  # what the names of files on a dark page end in


@dataclass(frozen=True)
class Program:
    """A figure's file, run and found to have all its parts."""

    caption: str
    compute: Callable[[], Data]
    draw: Callable[[Data], Figure]
    claims: Callable[[Data], Mapping[str, bool]]
    key: str  # of the data set


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """While a figure runs: it can import its folder's helpers, and leaves nothing that would change the next figure."""
    folder, names = str(path.parent), [f"_figure_{path.stem}", *(helper.stem for helper in _helpers(path))]
    others = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    bytecode, wide, pictures = sys.dont_write_bytecode, x64(), plt.get_fignums()
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True  # bytecode is matched by whole seconds: an edit within one would not be seen
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(folder)
        sys.dont_write_bytecode = bytecode
        if x64() != wide:  # the figure's doing; a caller's `with jax.enable_x64(...)` must not become the setting
            jax.config.update("jax_enable_x64", wide)
        for number in set(plt.get_fignums()).difference(pictures):
            plt.close(number)
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(others)


@contextmanager
def compiled_soon(quick: bool) -> Iterator[None]:
    """If `quick`, XLA optimizes little: most of a draft's time is compiling. Results differ by rounding.

    Nothing that is compiled in this way is left to others, nor is what was compiled before used.
    """
    if not quick:
        yield
        return
    before = jax.config.read("jax_disable_most_optimizations")
    jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)
        jax.clear_caches()


def soon_environment() -> dict[str, str]:
    """The environment of processes that draw drafts: XLA's older code generator for CPUs compiles in half the time.

    It is slower and less exact (a float64 Hessian was off by 3e-7), which a draft's layout does not show. A process
    whose XLA_FLAGS names a flag that XLA does not know is ended by it, so it is asked first.
    """
    flag, flags = "xla_cpu_use_fusion_emitters", os.environ.get("XLA_FLAGS", "").strip()
    if flags and not flags.startswith("-"):  # the name of a file of flags
        return {}
    try:
        jax.jit(lambda one: one).lower(1.0).compile(compiler_options={flag: False})
    except jax.errors.JaxRuntimeError:  # there is only the newer one, or only the older
        return {}
    return {"XLA_FLAGS": f"{flags} --{flag}=false".strip()}


def x64() -> bool:
    return jax.config.jax_enable_x64  # type: ignore[attr-defined]


def _helpers(path: Path) -> list[Path]:
    return sorted(path.parent.glob("_*.py"))


@contextmanager
def agg_backend() -> Iterator[None]:
    """Draw without windows, and give a notebook the backend that it had."""
    before = matplotlib.get_backend(auto_select=False)
    plt.switch_backend("agg")
    try:
        yield
    finally:
        if before is not None:
            plt.switch_backend(before)


def load(path: Path, quick: bool = False) -> Program:
    """Run the file of a figure, which computes and draws nothing yet, and check that it has all its parts.

    If `quick`, the constants in its QUICK take the place of its own.
    """
    source = ast.parse(path.read_bytes(), str(path))
    draft = _draft(path, source)
    tree = draft if quick else source
    module = types.ModuleType(f"_figure_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look up the module that defines them
    exec(compile(tree, str(path), "exec"), module.__dict__)  # not importlib: what is hashed is what has run

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
    code = ("a draft\n" if quick else "") + _computing_part(tree)
    return Program(caption, **parts, key=hash_of(code, _helpers(path), inputs))


def _draft(path: Path, tree: ast.Module) -> ast.Module:
    """The program with each constant that QUICK names set again where it is set, so that what follows from it follows.

    Raises: ValueError if QUICK is no dict written out, or names what the module does not set.
    """
    quick = next((node.value for node in tree.body if isinstance(node, ast.Assign) and _sets(node) == {"QUICK"}), None)
    if quick is None:
        return tree
    keys = [key.value if isinstance(key, ast.Constant) else None for key in getattr(quick, "keys", [None])]
    if not all(isinstance(key, str) for key in keys):
        wanted = 'a dict written out, such as {"STEPS": 100}'
        raise ValueError(f"QUICK of {path.name} must be {wanted}, got {ast.unparse(quick)}.")
    values = dict(zip(keys, quick.values, strict=True))  # type: ignore[attr-defined]
    body: list[ast.stmt] = []
    for node in tree.body:
        body.append(node)
        for name in sorted(_sets(node).intersection(values)):
            again = ast.Assign([ast.Name(name, ast.Store())], copy.deepcopy(values[name]))
            body.append(ast.fix_missing_locations(ast.copy_location(again, node)))
    known = set().union(*map(_sets, tree.body)) - {"QUICK"}
    for name in values:
        if name not in known:
            has = ", ".join(sorted(known)) or "none"
            raise ValueError(f"QUICK of {path.name} names {name!r}, which is no constant of it; it has: {has}.")
    return ast.Module(body, type_ignores=[])


def _sets(node: ast.stmt) -> set[str]:
    """The names that a statement of a module, if it is an assignment, gives values to."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {
        name.id
        for target in targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
    }


def _refuse_imported_figures(path: Path, tree: ast.Module) -> None:
    """A figure is no part of another one's key; what two of them share must be a helper, which is."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            if not name.startswith("_") and path.with_name(f"{name}.py").exists():
                raise ValueError(f"{path.name} imports the figure {name!r}; share a file that starts with `_` instead.")


def _computing_part(tree: ast.Module) -> str:
    """The figure's syntax, which knows no layout and no comments, without caption, `draw`, `claims` and QUICK."""
    shows = [node for node in tree.body if _is_function(node, "draw") or _is_function(node, "claims")]
    rest = [node for node in tree.body[1:] if node not in shows and _sets(node) != {"QUICK"}]
    return ast.dump(ast.Module(body=rest, type_ignores=[]))


def _is_function(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == name


def checked_claims(claims: Mapping[str, bool]) -> dict[str, bool]:
    if not isinstance(claims, Mapping):
        raise TypeError(f"claims(data) must return a dict of sentence -> bool, got {kinds([claims])}.")
    for sentence, holds in claims.items():
        if not isinstance(holds, bool | np.bool_):
            raise ValueError(f"The claim {sentence!r} must be True or False, got {kinds([holds])}: wrap it in bool().")
    return {sentence: bool(holds) for sentence, holds in claims.items()}


def render(program: Program, data: Data, endings: Iterable[str], dpi: int) -> tuple[dict[str, bytes], bytes]:
    """Ending, ".png" or "_dark.png", -> the bytes of the file; and those of a PNG to make small ones from.

    Nothing is written, so that a figure comes in all its files or in none.
    """
    with style.context():
        figure = program.draw(data)
        if not isinstance(figure, Figure):
            raise TypeError(f"draw(data) must return a matplotlib Figure, got {kinds([figure])}.")
        files = {}
        for ending in dict.fromkeys((".png", *endings)):  # the dark ones are last: a figure stays dark
            page, _, name = ending.rpartition(".")
            buffer = io.BytesIO()
            shown = dark(figure) if page == DARK else figure
            shown.savefig(buffer, format=name, dpi=dpi, metadata=METADATA[name])
            files[ending] = buffer.getvalue()
    return {ending: files[ending] for ending in endings}, files[".png"]
