"""Figures are programs with claims: compute once, draw the same bytes again, check every sentence that asserts.

A figure is a file `NAME.py` that holds

    the module's docstring                                   its caption
    compute() -> xarray.Dataset or dict[str, Dataset]        whatever takes time
    draw(data) -> matplotlib.figure.Figure                   `data` is what `compute` returned
    claims(data) -> dict[str, bool]                          what the caption asserts: is it so in the data?
    INPUTS = ("scores.csv",)                                 optional: files and folders that `compute` reads
    QUICK = {"STEPS": 100}                                   optional: constants of the module, as drafts have them

Files whose names start with `_` are helpers that figures import. What `compute` returned is kept in `OUT/.cache/` under
a hash of all it depends on: the figure's code without caption, `draw` and `claims` (which can thus be edited without
computing again), the helpers, the inputs, this package without what only draws, the versions of the libraries, and
whether x64 is on. Files that are not named in `INPUTS` are not seen to change: name them, or pass `fresh=True`.
"""

import textwrap
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from landscape._figure_cache import fetch, replacing
from landscape.figure_set import _gallery, _kept, _program, _sheet
from landscape.figure_set._kept import Kept, tick
from landscape.figure_set._new import new_figure

__all__ = ["draw_figures", "find_figures", "new_figure"]


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
    quick: bool = False,
    gallery: bool = False,
    write: Callable[[str], object] = print,
) -> int:
    """Draw the figures of `folder` into `out` (default `folder/out`), and return the exit status.

    `only` picks figures by name; `formats` are any of png (300 dpi), pdf and svg (a string is split at commas);
    `fresh=True` computes again whatever the cache holds. `write` receives each line: a figure with its seconds, then
    ✓ or ✗ before each of its claims. Redrawn from equal data, files are equal to the byte. `out` also gets
    `captions.md` and `contact_sheet.png`, of all figures as last drawn; `gallery=True` writes `folder/README.md`, with
    `folder/thumbnails`, of them. `quick=True` draws drafts into `out/quick`: the constants in a figure's QUICK take
    the place of its own, and claims are not checked.

    A figure that fails does not stop the others: its error is written at the end.

    Returns: 1 if a figure failed, or if `check` is true and a claim is false; else 0.
    Raises: ValueError if the folder is missing or holds no figure, if a name in `only` or a format is unknown, if
        `quick` comes with `check` or `gallery`, or if `folder/README.md` is somebody's own.
    """
    figures = find_figures(folder)
    chosen = _select(figures, only)
    formats = _known_formats(formats)
    out = Path(folder, "out") if out is None else Path(out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"`out` must be a folder to draw into, got the file {str(out)!r}.")
    if quick and (check or gallery):
        raise ValueError(f"`quick` draws drafts, which have no claims to show: leave `quick` or {_named(check)} out.")
    if gallery:
        _gallery.refuse_own(Path(folder))
    out = out / "quick" if quick else out

    errors, broken = _draw_all(chosen, out, formats, fresh, quick, write)
    kept = _kept.read_all(out, figures)
    _kept.write_captions(out, kept)
    _sheet.write_sheet(out, kept)
    if gallery:
        write(_gallery.write_gallery(Path(folder), figures, kept))
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
            "NAME.py with a docstring (its caption), compute(), draw(data) and claims(data); "
            "`landscape figures new NAME` writes one to start from."
        )
    return figures


def _named(check: bool) -> str:
    return "`check`" if check else "`gallery`"


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
        if name not in _program.METADATA:
            wanted = ", ".join(_program.METADATA)
            raise ValueError(f"`formats` has {name!r}, which cannot be drawn; wanted any of: {wanted}.")
    return formats


def _draw_all(
    chosen: dict[str, Path],
    out: Path,
    formats: tuple[str, ...],
    fresh: bool,
    quick: bool,
    write: Callable[[str], object],
) -> tuple[dict[str, Exception], list[str]]:
    """Draw each figure; return the errors by figure and the sentences that are false."""
    width = max(map(len, chosen), default=0)
    errors, broken = {}, []
    with _program.agg_backend():
        for name, path in chosen.items():
            try:
                drawn = _draw_one(path, out, formats, fresh, quick, write)
            except Exception as error:  # a figure is anybody's program: it may raise anything
                errors[name] = error
                write(f"{name:<{width}}  failed")
                continue
            how = ("cached" if drawn.cached else "computed") + (", a draft: no claim is checked" if quick else "")
            write(f"{name:<{width}}  {drawn.seconds:7.2f} s  {how}")
            for sentence, holds in drawn.claims.items():
                write(f"  {tick(holds)} {sentence}")
            broken += [f"{name}: {sentence}" for sentence, holds in drawn.claims.items() if not holds]
    return errors, broken


def _draw_one(
    path: Path, out: Path, formats: tuple[str, ...], fresh: bool, quick: bool, write: Callable[[str], object]
) -> _Drawn:
    start = time.perf_counter()
    cache = out / ".cache" / path.stem
    with _program.alone(path):
        program = _program.load(path, quick)
        data, cached = fetch(cache / f"{program.key}.npz", program.compute, fresh, write)
        claims = {} if quick else _program.checked_claims(program.claims(data))
        files, picture = _program.render(program, data, formats)
    for name, content in files.items():
        with replacing(out / f"{path.stem}.{name}") as file:
            file.write(content)
    shown = next((name for name in formats if name != "pdf"), None)  # Markdown shows no PDF
    _kept.keep(cache, Kept(program.caption, claims, quick, shown, picture))
    return _Drawn(claims, time.perf_counter() - start, cached)


def _explain(error: Exception, folder: Path) -> str:
    """The error, and where the figure's own code was running, the lines that led to it from there on."""
    report = traceback.TracebackException.from_exception(error)
    own = [index for index, frame in enumerate(report.stack) if Path(frame.filename).parent == folder.absolute()]
    if not own and not isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error}"
    report.stack = traceback.StackSummary.from_list(report.stack[own[0] :] if own else [])
    return "\n" + textwrap.indent("".join(report.format()).rstrip(), "  ")
