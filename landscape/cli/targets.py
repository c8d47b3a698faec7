"""What a command is to write, refused before anything is computed if it could not be written."""

import os
from argparse import Namespace
from pathlib import Path
from typing import Any

PICTURES = (".png", ".pdf", ".svg")


def check(args: Namespace) -> None:
    """Refuse what could not be written, before anything is computed."""
    check_picture(args.plot)
    if not args.output:
        if args.shard:
            raise ValueError("--shard is a share of a store; name it with -o.")
        return
    output = Path(args.output)
    if output.suffix.lower() in PICTURES:
        raise ValueError(f"-o {args.output!r} takes the numbers, a zarr store; the picture is --plot {args.output}.")
    if args.output.startswith("memory:"):
        raise ValueError(
            f"-o {args.output!r} is memory of this process, and gone with it; name a folder or another URL."
        )
    if "://" in args.output:
        return
    from landscape.tiles.store import files_at

    if not files_at(output).is_free():
        from landscape.tiles.store import open_store

        try:
            open_store(output)  # to go on with; else nothing is overwritten
        except ValueError as error:
            raise ValueError(f"-o: {error}") from error
    else:
        check_folder("-o", output)


def check_picture(plot: str | None) -> None:
    """Refuse the picture that --plot could not write."""
    if not plot:
        return
    if Path(plot).suffix.lower() not in PICTURES:
        raise ValueError(f"--plot {plot!r} must end in one of {', '.join(PICTURES)}.")
    if Path(plot).is_dir():
        raise ValueError(f"--plot {plot!r} is a folder; name a file.")
    check_folder("--plot", Path(plot))


def check_drawable(sizes: dict[str, int]) -> None:
    """Refuse a picture of coordinates, name → positions, that no picture shows."""
    if len(sizes) > 2:
        raise ValueError(f"--plot draws one or two coordinates, not {len(sizes)}; choose them with --axis.")
    if 1 in sizes.values():
        single = next(name for name, size in sizes.items() if size == 1)
        raise ValueError(f"--plot needs two positions or more on every axis; {single!r} has one.")


def check_folder(option: str, target: Path) -> None:
    """Refuse a file or folder that could not be made where it should be."""
    folder = target.absolute().parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{option} {str(target)!r}: there is no folder {str(folder)!r}; make it first.")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{option} {str(target)!r}: the folder {str(folder)!r} cannot be written to.")


def check_storable(args: Namespace, params: Any) -> None:
    """Refuse -o for params that a store does not hold."""
    from landscape import _trees

    if args.output and not _trees.is_nested_dict(params):
        raise ValueError("-o stores params that are nested dictionaries, and the objective's are not; leave it out.")
