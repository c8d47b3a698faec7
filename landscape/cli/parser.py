"""The options of every command, and which function runs it. Imports nothing heavy, so that --help is instant."""

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from landscape._version import __version__
from landscape.cli import specs

_EXAMPLES = """examples:
  landscape surface --data pair --penalty l2=0,0.01,0.1,1 -o pair.zarr --plot pair.png
  landscape surface --data launches.csv --x "Temp (F)" --y Distress --standardize --penalty l2=0.01
  landscape surface --objective mine:objective --axis u=-2:2:101 --axis v=-1:1:101
  landscape descend --data pair --penalty l2=0.1 --optimizer adam=0.1 --optimizer lbfgs --start w=-5,b=5 -o runs.zarr
  landscape show pair.zarr --runs runs.zarr --plot paths.pdf
  landscape explore pair.zarr --runs runs.zarr -o pair.html
  landscape explore --data launches.csv --x "Temp (F)" --y Distress -o launches.html
  landscape status pair.zarr
  landscape verify pair.zarr --data pair
  landscape figures figures --check
  landscape figures new paper/valley

`landscape COMMAND --help` lists a command's options.
Exit status: 0; 1 where a check fails; 2 for a mistake in what was asked; 130 or 143 after Ctrl-C or SIGTERM.
With LANDSCAPE_TRACEBACK=1 in the environment a mistake is shown with the place in the code that found it.
With JAX_COMPILATION_CACHE_DIR=FOLDER compiled programs are kept there, and the same command starts sooner the next
time. Nothing bounds or empties the folder; nobody else should be able to write to it, since what it holds is run."""

_OPTIMIZERS = "optimizers (η is the learning rate that NAME=η gives):\n" + "\n".join(
    f"  {name:<18} {what}" for name, what in specs.OPTIMIZERS.items()
)


class UsageError(ValueError):
    """A command line that cannot be understood."""


class _Parser(argparse.ArgumentParser):
    """Reports mistakes in one line, by an exception, and takes no abbreviated options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message.rstrip('.')}. See {self.prog} --help.")


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; what it returns has `command`, the name of a function in `commands`."""
    top = _Parser(
        prog="landscape",
        description="Loss landscapes: measure an objective on a chart, trace optimizers, draw what came out.",
        epilog=_EXAMPLES,
    )
    top.add_argument("--version", action="version", version=f"landscape {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    _surface(commands)
    _descend(commands)
    _show(commands)
    _explore(commands)
    _status(commands)
    _verify(commands)
    _figures(commands)
    return top


def _add(commands: Any, name: str, what: str, more: str = "") -> argparse.ArgumentParser:
    return commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.", epilog=more)


def _surface(commands: Any) -> None:
    new = _add(commands, "surface", "measure the objective on a grid, and where it is least")
    _problem(new)
    _chart(new)
    _several(
        new, "--axis", specs.axis, "NAME=LOW:HIGH:POINTS",
        "positions along a coordinate: w=-10:10:401, w[0]=… for several inputs, or NAME=VALUE for a single one. "
        f"Without POINTS: {specs.POINTS[0]}, or {specs.POINTS[2]} on each of three axes. "
        "Default for --data: from the data's scale, w in ±10/sd(x), b in ±10·max(1, |mean(x)|/sd(x))",
    )  # fmt: skip
    _penalty(new)
    new.add_argument(
        "--quantity", nargs="+", action="extend", type=specs.quantity, default=[], metavar="NAME",
        help=f"measure as well: {', '.join(specs.QUANTITIES)}",
    )  # fmt: skip
    new.add_argument("--exact", action="store_true", help="sum over all examples, also where a few nodes have that sum")
    new.add_argument("--tolerance", type=float, metavar="E", help="of sums over nodes; default: what the dtype allows")
    _targets(new)


def _descend(commands: Any) -> None:
    new = _add(commands, "descend", "trace optimizers on the objective", _OPTIMIZERS)
    _problem(new)
    _penalty(new)
    _several(new, "--optimizer", specs.optimizer, "NAME=η", "adam=0.1, lbfgs, …, see below", required=True)
    new.add_argument("--steps", type=specs.count, default=500, metavar="N", help="default: 500")
    _several(
        new, "--start", specs.start, "w=0,b=0",
        "where to start (w=0:0,b=0 for two inputs), a run each. Default: 0, or an own objective's params",
    )  # fmt: skip
    new.add_argument("--batch-size", type=specs.count, metavar="N", help="examples a step; default: all of them")
    new.add_argument("--seed", type=int, default=0, metavar="N", help="draws the mini-batches; default: 0")
    new.add_argument(
        "--record-every", type=specs.count, default=1, metavar="N", help="record each N-th step; default: 1"
    )
    _targets(new)


def _show(commands: Any) -> None:
    new = _add(commands, "show", "describe a saved surface or trajectory, and draw it")
    new.add_argument("result", metavar="RESULT", help="what -o wrote")
    new.add_argument("--runs", metavar="RESULT", help="a saved trajectory to draw on the surface")
    _several(
        new, "--at", specs.held, "NAME=VALUE",
        "hold a coordinate at the grid's nearest position, such as the third of three, to draw the other two",
    )  # fmt: skip
    new.add_argument("--plot", metavar="FILE", help="draw it: .png, .pdf or .svg")


def _explore(commands: Any) -> None:
    new = _add(commands, "explore", "write a page to explore a result in, in any browser and without a network")
    which = new.add_argument_group("what is explored: a result, or one neuron on data").add_mutually_exclusive_group(
        required=True
    )
    which.add_argument(
        "result",
        nargs="?",
        metavar="RESULT|pair|o_rings",
        help="what -o wrote, over two coordinates; or a neuron on built-in data",
    )
    _data(new, which)
    new.set_defaults(dtype=None)
    new.add_argument("--runs", metavar="RESULT", help="a saved trajectory to show on it")
    new.add_argument("--title", metavar="TEXT", help="of the page; default: the result's name")
    new.add_argument("-o", "--output", metavar="FILE.html", required=True, help="the page, one file")


def _status(commands: Any) -> None:
    new = _add(commands, "status", "say how far a store is: tiles, rate, time left, who is writing, what went wrong")
    new.add_argument("store", metavar="STORE", help="what -o names, while it grows or afterwards; a path or URL")


def _verify(commands: Any) -> None:
    new = _add(commands, "verify", "recompute cells of a saved surface from its objective, and compare")
    new.add_argument("result", metavar="RESULT", help="what -o wrote")
    _problem(new)
    _chart(new)
    new.add_argument(
        "--cells",
        type=specs.count,
        default=20,
        metavar="N",
        help="how many at random, beside the least ones; default: 20",
    )
    new.add_argument("--seed", type=int, default=0, metavar="N", help="draws the cells; default: 0")
    new.add_argument(
        "--force",
        action="store_true",
        help="compare although the fingerprints differ, as versions of JAX may make them",
    )


def _figures(commands: Any) -> None:
    new = _add(
        commands, "figures", "draw a folder of figure programs and check their claims",
        "`landscape figures new NAME` writes a figure program to start from: NAME.py, or paper/NAME.py for paper/NAME.",
    )  # fmt: skip
    new.add_argument("folder", metavar="DIR", help="folder of NAME.py, each with compute(), draw(data), claims(data)")
    new.add_argument("name", nargs="?", metavar="NAME", help="after `new` only, see below")
    new.add_argument("--only", action="append", metavar="NAME", help="draw this one alone; repeat it for several")
    new.add_argument("--out", metavar="OUT", help="folder for the pictures; default: DIR/out")
    new.add_argument("--formats", metavar="LIST", help="of png, pdf, svg; default: png,pdf, of drafts png")
    new.add_argument("--check", action="store_true", help="exit with status 1 if a claim is false")
    new.add_argument("--fresh", action="store_true", help="compute again, whatever is cached")
    new.add_argument("--quick", action="store_true", help="drafts into OUT/quick, by their QUICK, claims unchecked")
    new.add_argument("--dark", action="store_true", help="draw each on a dark page as well, as NAME_dark")
    new.add_argument("--jobs", type=int, metavar="N", help="processes that draw at once; default: by cores and memory")
    new.add_argument("--gallery", action="store_true", help="then write DIR/README.md, with thumbnails, from captions")


def _problem(new: argparse.ArgumentParser) -> None:
    """The objective: one neuron on data, or one's own."""
    group = new.add_argument_group("objective: one neuron on --data, or your own")
    which = group.add_mutually_exclusive_group(required=True)
    _data(new, which)
    which.add_argument("--objective", metavar="MODULE:ATTR", help="an Objective, or a function that returns one")
    new.add_argument(
        "--dtype", choices=("float32", "float64"), help="default: float32 for --data, the params' own for --objective"
    )


def _data(new: argparse.ArgumentParser, which: Any) -> None:
    """The neuron's data: a file, and its columns."""
    which.add_argument(
        "--data", metavar="FILE|pair|o_rings", help="a table with column names (CSV, …), or a built-in set"
    )
    data = new.add_argument_group("with --data")
    data.add_argument("--x", nargs="+", action="extend", metavar="COL", help="columns of the inputs")
    data.add_argument("--y", metavar="COL", help="column of the labels: 0 and 1, or probabilities")
    data.add_argument("--weights", metavar="COL", help="column of example weights")
    data.add_argument("--decimal", choices=(".", ","), help="decimal mark in the file; default: the point")
    data.add_argument("--standardize", action="store_true", help="give every input mean 0 and standard deviation 1")
    data.add_argument("--loss", metavar="NAME", help="cross_entropy (default) or half_squared_error")
    data.add_argument(
        "--activation", metavar="NAME", help="sigmoid (default); identity, tanh, relu, softplus for half_squared_error"
    )
    data.add_argument("--no-bias", action="store_true", help="leave b out")


def _chart(new: argparse.ArgumentParser) -> None:
    new.add_argument(
        "--chart", metavar="MODULE:ATTR|polar|boundary",
        help="a Chart, or a function that returns one; or polar, boundary: of (w, b). Default: the plane of the axes",
    )  # fmt: skip


def _penalty(new: argparse.ArgumentParser) -> None:
    _several(
        new, "--penalty", specs.penalty, "KIND=λ,λ…",
        "none, l1=…, l2=…, weight_decay=…, elastic_net=λ₁:λ₂,…; repeat it for several kinds, all in one sweep. "
        "Default: none, or an own objective's penalty",
    )  # fmt: skip


def _targets(new: argparse.ArgumentParser) -> None:
    new.add_argument(
        "-o", "--output", metavar="RESULT.zarr",
        help="keep the result in a store, a path or URL, tile by tile; the same command again goes on where it stopped",
    )  # fmt: skip
    new.add_argument("--plot", metavar="FILE", help="draw the result: .png, .pdf or .svg")
    group = new.add_argument_group("several processes fill one store")
    group.add_argument("--shard", type=specs.shard, metavar="I/N", help="this is process I of N, counted from 0: 3/8")
    group.add_argument(
        "--distributed", nargs="?", const="", metavar="HOST:PORT",
        help="I and N from jax.distributed, which knows SLURM, Open MPI, Kubernetes and TPU pods; elsewhere give the "
        "address of process 0, and --shard. For a model that is sharded over hosts",
    )  # fmt: skip


def _several(
    new: argparse.ArgumentParser, name: str, read: Callable[[str], Any], metavar: str, what: str, required: bool = False
) -> None:
    """An option that takes several values and may be repeated."""
    new.add_argument(
        name,
        nargs="+",
        action="extend",
        type=read,
        default=[],
        metavar=metavar,
        help=what.replace("%", "%%"),
        required=required,
    )
