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

import contextlib
import textwrap
import time
import traceback
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

import jax
import matplotlib.pyplot as plt

from landscape._figure_cache import fetch, replacing
from landscape.figure_set import _gallery, _jobs, _kept, _program, _sheet
from landscape.figure_set._kept import Kept, tick
from landscape.figure_set._new import new_figure

__all__ = ["draw_figures", "find_figures", "new_figure"]


DPI, DRAFT_DPI = 300, 150


@dataclass(frozen=True)
class _Task:
    path: Path
    out: Path
    formats: tuple[str, ...]
    fresh: bool
    quick: bool
    dark: bool
    x64: bool


@dataclass(frozen=True)
class _Drawn:
    claims: dict[str, bool]
    seconds: float
    cached: bool
    words: tuple[str, ...]  # of the cache


@dataclass(frozen=True)
class _Failed:
    explanation: str
    words: tuple[str, ...] = ()


def draw_figures(
    folder: str | Path,
    *,
    only: str | Iterable[str] | None = None,
    out: str | Path | None = None,
    formats: str | Iterable[str] | None = None,
    check: bool = False,
    fresh: bool = False,
    quick: bool = False,
    gallery: bool = False,
    dark: bool = False,
    jobs: int | None = 1,
    write: Callable[[str], object] = print,
) -> int:
    """Draw the figures of `folder` into `out` (default `folder/out`), and return the exit status.

    `only` picks figures by name; `formats` are any of png, pdf and svg (a string is split at commas), by default png
    (300 dpi) and pdf; `fresh=True` computes again whatever the cache holds. `write` receives each line: a figure with
    its seconds, then ✓ or ✗ before each of its claims. Redrawn from equal data, files are equal to the byte. `out` also
    gets `captions.md` and `contact_sheet.png`, of all figures as last drawn; `gallery=True` writes `folder/README.md`,
    with `folder/thumbnails`, of them. `dark=True` draws each on a dark page as well, as `NAME_dark`. `quick=True` draws
    drafts into `out/quick`: the constants in a figure's QUICK take the place of its own, XLA optimizes little,
    `formats` is by default png alone, of 150 dpi, and claims are not checked. `jobs` processes draw at once, each with
    its own memory, None: as many as there are cores and 4 GiB for each, one where there is an accelerator; lines and
    files are the same for any number, those of drafts nearly so.

    A figure that fails does not stop the others: its error is written at the end.

    Returns: 1 if a figure failed, or if `check` is true and a claim is false; else 0.
    Raises: ValueError if the folder is missing or holds no figure, if a name in `only` or a format is unknown, if
        `quick` comes with `check` or `gallery`, if `jobs` is not positive, if `dark` gives two figures one name, or if
        `folder/README.md` is somebody's own.
    """
    figures = find_figures(folder)
    chosen = _select(figures, only)
    formats = _known_formats((("png",) if quick else ("png", "pdf")) if formats is None else formats)
    if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1):
        raise ValueError(f"`jobs` must be a whole number of processes, 1 or more, or None, got {jobs!r}.")
    out = Path(folder, "out") if out is None else Path(out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"`out` must be a folder to draw into, got the file {str(out)!r}.")
    if quick and (check or gallery):
        raise ValueError(f"`quick` draws drafts, which have no claims to show: leave `quick` or {_named(check)} out.")
    if gallery:
        _gallery.refuse_own(Path(folder))
    for name in figures:
        if dark and name + _program.DARK in figures:
            twice = name + _program.DARK
            raise ValueError(
                f"`dark` draws {name!r} as {twice!r} too, which is a figure of its own; rename one of them."
            )
    out = out / "quick" if quick else out

    x64 = _program.x64()
    tasks = {name: _Task(path, out.absolute(), formats, fresh, quick, dark, x64) for name, path in chosen.items()}
    failed, broken = _draw_all(tasks, quick, jobs, write)
    kept = _kept.read_all(out, figures)
    _kept.write_captions(out, kept)
    _sheet.write_sheet(out, kept)
    if gallery:
        write(_gallery.write_gallery(Path(folder), figures, kept))
    for sentence in broken:
        write(f"false: {sentence}")
    for name, explanation in failed.items():
        write(f"failed: {name}: {explanation}")
    return int(bool(failed) or (check and bool(broken)))


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
        program = folder.with_suffix(".py")
        one = f" For this one figure: `landscape figures {program.parent} --only {program.stem}`."
        raise ValueError(
            f"`folder` must be a folder of figures (NAME.py), and {str(folder)!r} is no folder."
            + (one if program.is_file() else "")
        )
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
    tasks: dict[str, _Task], quick: bool, jobs: int | None, write: Callable[[str], object]
) -> tuple[dict[str, str], list[str]]:
    """Draw each figure; return what went wrong by figure, and the sentences that are false."""
    width = max(map(len, tasks), default=0)
    failed, broken = {}, []
    with contextlib.closing(_drawn_by(list(tasks.values()), quick, jobs)) as results:
        for name, drawn in zip(tasks, results, strict=True):
            if isinstance(drawn, _jobs.Ended):
                drawn = _Failed(str(drawn))
            for line in drawn.words:
                write(line)
            if isinstance(drawn, _Failed):
                failed[name] = drawn.explanation
                write(f"{name:<{width}}  failed")
                continue
            how = ("cached" if drawn.cached else "computed") + (", a draft: no claim is checked" if quick else "")
            write(f"{name:<{width}}  {drawn.seconds:7.2f} s  {how}")
            for sentence, holds in drawn.claims.items():
                write(f"  {tick(holds)} {sentence}")
            broken += [f"{name}: {sentence}" for sentence, holds in drawn.claims.items() if not holds]
    return failed, broken


def _drawn_by(tasks: list[_Task], quick: bool, jobs: int | None) -> Generator[_Drawn | _Failed | _jobs.Ended]:
    if len(tasks) > 1:  # a figure that is alone may set JAX up, which must not have looked for its devices yet
        jobs = min(_jobs.suitable() if jobs is None else jobs, len(tasks))
        if jobs > 1:
            environment = _program.soon_environment() if quick else {}
            yield from _jobs.in_order(_draw_elsewhere, tasks, jobs, environment)
            return
    with _program.agg_backend(), _program.compiled_soon(quick):
        yield from map(_draw_one, tasks)


def _draw_elsewhere(task: _Task) -> _Drawn | _Failed:
    """Draw in a process of one's own, which is set as the caller's is and stays so for the next figure."""
    jax.config.update("jax_enable_x64", task.x64)
    jax.config.update("jax_disable_most_optimizations", task.quick)
    plt.switch_backend("agg")
    return _draw_one(task)


def _draw_one(task: _Task) -> _Drawn | _Failed:
    words: list[str] = []
    try:
        return _try_to_draw(task, words)
    except (Exception, SystemExit) as error:  # a figure is anybody's program: it may raise anything
        return _Failed(_explain(error, task.path.parent), tuple(words))


def _try_to_draw(task: _Task, words: list[str]) -> _Drawn:
    path, start = task.path, time.perf_counter()
    cache = task.out / ".cache" / path.stem
    with _program.alone(path):
        program = _program.load(path, task.quick)
        data, computing, cached = fetch(cache / f"{program.key}.npz", program.compute, task.fresh, words.append)
        claims = {} if task.quick else _program.checked_claims(program.claims(data))
        pages = ("", _program.DARK) if task.dark else ("",)
        endings = [f"{page}.{name}" for page in pages for name in task.formats]
        files, picture = _program.render(program, data, endings, DRAFT_DPI if task.quick else DPI)
    for ending, content in files.items():
        with replacing(task.out / f"{path.stem}{ending}") as file:
            file.write(content)
    shown = next((name for name in task.formats if name != "pdf"), None)  # Markdown shows no PDF
    _kept.keep(cache, Kept(program.caption, claims, task.quick, shown, picture, computing))
    return _Drawn(claims, time.perf_counter() - start, cached, tuple(words))


def _explain(error: Exception | SystemExit, folder: Path) -> str:
    """The error, and where the figure's own code was running, the lines that led to it from there on."""
    report = traceback.TracebackException.from_exception(error)
    own = [index for index, frame in enumerate(report.stack) if Path(frame.filename).parent == folder.absolute()]
    if not own and not isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error}"
    report.stack = traceback.StackSummary.from_list(report.stack[own[0] :] if own else [])
    return "\n" + textwrap.indent("".join(report.format()).rstrip(), "  ")
