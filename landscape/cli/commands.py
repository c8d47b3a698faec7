"""The commands, a function each: parsed arguments in, an exit status out."""

import os
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape.cli import startup, targets

if TYPE_CHECKING:
    import xarray

    from landscape.charts.trajectory import Trajectory
    from landscape.surfaces.interpolant import Interpolant

BUILT_IN = "pair", "o_rings"
SHOWN_POINTS = {1: 1001, 2: 201, 3: 41}  # positions along each coordinate of an interpolant, by their number


def surface(args: Namespace) -> int:
    """Measure the objective on a grid."""
    targets.check(args)
    from landscape.cli import distributed, problem, report

    if args.alone:
        startup.keep_imported("evaluate")

    with problem.at_work(args.dtype, args.distributed, args.shard):
        import landscape as ls
        from landscape.surfaces.provenance import noted

        own = problem.build(args)
        axes = problem.axes(args, own)
        if args.plot:
            targets.check_drawable({name: len(positions) for name, positions in axes.items()})
        chart = problem.chart(args, own, list(axes))
        if args.distributed is not None:
            distributed.settle(own.objective.params, chart)
        with noted(source=own.source):
            measured = ls.evaluate(
                own.objective,
                chart,
                axes,
                quantities=args.quantity,
                penalties=problem.penalties(args),
                tolerance=args.tolerance,
                exact=args.exact,
                store=args.output,
                shard=args.shard,
            )
        sizes = " × ".join(f"{dim}: {size}" for dim, size in measured["risk"].sizes.items())
        what = f"{own.source};  {sizes};  {measured.attrs['dtype']}, {measured.attrs['wall_seconds']:.2f} s"
        more = "".join(f"\n{line}" for line in (report.held(measured), report.compressed(measured.attrs)) if line)
        _print(f"{own.objective}\n{what}{more}", report.minima(measured))
        _kept(args, measured)
    return 0


def descend(args: Namespace) -> int:
    """Trace optimizers."""
    targets.check(args)
    from landscape.cli import distributed, problem, report

    if args.alone:
        startup.keep_imported("descend")

    with problem.at_work(args.dtype, args.distributed, args.shard):
        import jax

        import landscape as ls
        from landscape.surfaces.provenance import noted

        own = problem.build(args)
        targets.check_storable(args, own.objective.params)
        if args.distributed is not None:
            distributed.settle(own.objective.params)
        with noted(source=own.source):
            trajectory = ls.descend(
                own.objective,
                problem.optimizers(args),
                problem.starts(args, own.objective),
                args.steps,
                penalties=problem.penalties(args),
                batch_size=args.batch_size,
                key=jax.random.key(args.seed) if args.batch_size else None,
                record_every=args.record_every,
                store=args.output,
                shard=args.shard,
            )
        what = f"{own.source};  {args.steps} steps, {trajectory.data.attrs['dtype']}"
        _print(f"{own.objective}\n{what}", report.runs(trajectory))
        _kept(args, trajectory)
    return 0


def show(args: Namespace) -> int:
    """Describe a saved result, and draw it."""
    targets.check_picture(args.plot)
    from landscape.cli import problem, report

    result, runs, figure = _open(args.result), None, None
    if args.at:
        result = _held(result, dict(args.at))
    with problem.at_work(_data(result).attrs.get("dtype")):
        if args.runs:
            runs = _open(args.runs)
            if (_kind(result), _kind(runs)) != ("surface", "trajectory"):
                raise ValueError(f"--runs draws a trajectory on a surface, not a {_kind(runs)} on a {_kind(result)}.")
            if _data(runs).attrs.get("objective_id") != result.attrs.get("objective_id"):
                raise ValueError(
                    f"--runs {args.runs!r} descended another objective than {args.result!r} shows: "
                    f"{_data(runs).attrs.get('objective')} there, {result.attrs.get('objective')} here."
                )
        if args.plot:  # before anything is printed: it may be refused
            _check_plane(result)
            figure = _figure(result, runs)
        for path, shown in ((args.result, result), (args.runs, runs)):
            if shown is not None:
                table = report.minima if _kind(shown) == "surface" else report.runs
                _print(report.summary(path, _data(shown)), table(shown))
        if figure is not None:
            _write_figure(figure, args.plot)
    return 0


def explore(args: Namespace) -> int:
    """Write a page to explore a result in."""
    target = Path(args.output)
    if target.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"-o {args.output!r} must end in .html: it is a page for browsers.")
    targets.check_folder("-o", target)
    from landscape.cli import problem

    if args.result in BUILT_IN and not Path(args.result).exists():
        args.data, args.result = args.result, None
    if args.result is not None:
        problem.refuse_columns(args, "a result")
    result = _explorable(args.result) if args.result is not None else None
    runs = _open(args.runs) if args.runs else None
    known = result if result is not None else runs
    dtype: Any = _data(known).attrs.get("dtype") if known is not None else "float64"  # all digits of a file
    with problem.at_work(dtype):
        import landscape as ls

        told, names = "", None
        if result is None:
            own = problem.of_page(args, dtype)
            result, told = own.objective, f"{own.objective}\n{own.source}\n"
            names = (args.x[0] + ", standardized" * bool(args.standardize), args.y) if args.x else None
        title = args.title or Path(args.result or args.data).stem
        ls.explore(result, runs, title=title, names=names).save(target)
    print(f"{told}written: {args.output}, {target.stat().st_size / 1e6:.2g} MB")
    return 0


def _explorable(path: str) -> Any:
    """A stored surface or interpolant. Raises: ValueError for a trajectory; as the readers."""
    from landscape.surfaces import io

    match io.kind_of(path):
        case "trajectory":
            raise ValueError(f"RESULT {path!r} is a trajectory; give a surface, and the trajectory as --runs.")
        case "interpolant":
            return io.open_interpolant(path)
        case _:
            return io.open_surface(path)


def status(args: Namespace) -> int:
    """Say how far a store is."""
    from landscape.surfaces import io
    from landscape.tiles.status import status as status_of
    from landscape.tiles.store import open_store

    rounds = [open_store(store) for store in io.rounds(args.store)]
    if not rounds:
        _print(str(status_of(open_store(args.store))))
        return 0
    kept = sum(store.manifest.tiling.cells(tile) for store in rounds for tile in store.records())
    made = len(io.results(args.store))
    how = f"complete; {made} result{'s' * (made > 1)}" if made else "not complete: repeat the call to go on"
    _print(
        f"interpolant {args.store}\n  {how}\n  {kept} evaluations kept, in {len(rounds)} rounds",
        *(str(status_of(store)) for store in rounds if len(store.records()) < store.manifest.tiling.count),
    )
    return 0


def verify(args: Namespace) -> int:
    """Recompute cells of a saved surface."""
    from landscape.cli import problem, report
    from landscape.surfaces import verify as checks
    from landscape.surfaces.io import open_surface

    stored = open_surface(args.result)
    dtype = stored.attrs["dtype"]
    with problem.at_work(args.dtype or dtype):
        own = problem.build(args, dtype)
        chart = problem.chart(args, own, ()) if args.chart else None
        numbers = checks.verify(
            stored,
            own.objective,
            chart=chart,
            cells=args.cells,
            seed=args.seed,
            same_objective=not args.force,
            source=own.source,
        )
    _print(report.verified(numbers))
    for what in checks.unchecked(stored, own.objective):
        print(f"not checked: {what}")
    cells, drawn = len({tuple(number.cell.items()) for number in numbers}), min(args.cells, stored["risk"].size)
    if cells > drawn:
        each = " for each penalty" if "penalty" in stored["objective"].dims else ""
        print(f"checked: {drawn} cells at random, and the cell where the objective is least{each}: {cells} in all")
    if all(number.agrees for number in numbers):
        stated = checks.stated_error(stored)
        more = f", or to the error that its compressed examples state, {stated:.1e} of the largest" if stated else ""
        more = (
            f", or to twice the error that was estimated ({report.interpolated(stored.attrs)})"
            if report.interpolated(stored.attrs)
            else more
        )
        print(
            f"all {len(numbers)} numbers of {cells} cells agree, to {checks.tolerance(stored):.1e} or to rounding{more}"
        )
        return 0
    print(f"{sum(not number.agrees for number in numbers)} of {len(numbers)} numbers of {cells} cells are wrong:")
    print(report.disagreements(numbers))
    return 1


def figures(args: Namespace) -> int:
    """Draw a folder of figures, or write a program for a new one."""
    from landscape.figure_set import draw_figures, new_figure

    if args.name is not None:
        if args.folder != "new":
            raise ValueError(f"NAME {args.name!r} is for `landscape figures new NAME`; to draw one: --only NAME.")
        path = new_figure(args.name)
        _write(f"{path}: change it, and draw it with `landscape figures {path.parent} --only {path.stem} --check`")
        return 0
    return draw_figures(
        args.folder,
        only=args.only,
        out=args.out,
        formats=args.formats,
        check=args.check,
        fresh=args.fresh,
        quick=args.quick,
        dark=args.dark,
        gallery=args.gallery,
        jobs=args.jobs,
        write=_write,
    )


def _write(line: str) -> None:
    print(line, flush=True)


def _print(*blocks: str) -> None:
    """Print the blocks of lines, an empty line after each."""
    print("\n\n".join(blocks), end="\n\n")


def _kept(args: Namespace, result: Any) -> None:
    """Say where the numbers are, which are kept even if the picture fails, and draw."""
    if args.output:
        print(f"saved: {args.output}")
    if args.plot:
        _write_figure(_figure(result), args.plot)


def _held(result: Any, at: dict[str, float]) -> Any:
    """The slice of a surface where these coordinates have the grid's nearest positions."""
    if _kind(result) != "surface":
        raise ValueError(f"--at holds a surface's coordinate, and the result is a {_kind(result)}; leave it out.")
    names = [str(dim) for dim in result["risk"].dims]
    for name in at:
        if name not in names:
            from landscape.cli import specs

            raise ValueError(
                f"--at names {name!r}, and the surface has {', '.join(names)}.{specs.did_you_mean(name, names)}"
            )
    if len(at) == len(names):
        raise ValueError(f"--at holds every coordinate, {', '.join(names)}; leave one to show.")
    return result.sortby(list(at)).sel(at, method="nearest")


def _check_plane(result: Any) -> None:
    """Refuse to draw three coordinates, and say how to hold one."""
    if _kind(result) != "surface" or result["risk"].ndim <= 2:
        return
    names = [str(dim) for dim in result["risk"].dims]
    middle = f"{float(result[names[-1]][result.sizes[names[-1]] // 2]):.4g}"
    raise ValueError(
        f"--plot draws one or two coordinates, and the surface has {', '.join(names)}; hold one at a position of "
        f"the grid, such as --at {names[-1]}={middle}."
    )


def _open(path: str) -> Any:
    from landscape.surfaces import io

    kind = io.kind_of(path)
    if kind == "interpolant":
        return _on_a_grid(io.open_interpolant(path))
    return io.open_trajectory(path) if kind == "trajectory" else io.open_surface(path)


def _on_a_grid(interpolant: "Interpolant") -> "xarray.Dataset":
    """The whole box of an interpolant as a surface."""
    import numpy as np

    points = SHOWN_POINTS[len(interpolant.names)]
    return interpolant.on({name: np.linspace(low, high, points) for name, (low, high) in interpolant.box.items()})


def _data(result: "xarray.Dataset | Trajectory") -> "xarray.Dataset":
    return getattr(result, "data", result)  # type: ignore[return-value]


def _kind(result: Any) -> str:
    return _data(result).attrs["kind"]


def _figure(result: Any, runs: Any = None) -> Any:
    """The picture that fits the result."""
    import matplotlib

    matplotlib.use("agg")
    from landscape import plot

    if _kind(result) == "trajectory":
        return plot.trajectory(result)
    if "penalty" in result["objective"].dims and result["risk"].ndim == 2:
        return plot.dark_minimum(result, runs)
    return plot.contour(result, runs=runs)


def _write_figure(figure: Any, path: str) -> None:
    """Written beside its place and renamed."""
    target = Path(path)
    partial = target.with_name(f".{target.stem}.partial-{os.getpid()}{target.suffix}")
    try:
        figure.savefig(partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    print(f"drawn: {path}")
