"""What tests of stores share: a small surface in eight tiles (`small_tiles`), what lies on disk, and interruptions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import landscape as ls
from landscape.tiles.store import Store

PAIR = ls.neuron(*ls.datasets.pair())
PLANE = ls.axes_plane(PAIR.params, "w", "b")
AXES = {"w": np.linspace(-3, 3, 7), "b": np.linspace(-2, 2, 5)}
TILES = 8


def surface(objective: ls.Objective = PAIR, **options: Any) -> xr.Dataset:
    """Of the pair, with a quantity that has a dimension of its own."""
    return ls.evaluate(objective, PLANE, AXES, **({"quantities": ("slope",)} | options))


def chunks(path: Path) -> dict[str, bytes]:
    """The bytes of all chunks, of coordinates too."""
    found = [file for file in path.rglob("*") if file.is_file() and "c" in file.relative_to(path).parts[1:]]
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in found if "landscape" not in file.parts}


def complete(path: Path) -> set[int]:
    """The tiles that have a record."""
    return {int(file.stem) for file in (path / "landscape/complete").glob("*.json")}


def beside(path: Path) -> set[str]:
    """What there is in a store beside variables, records and empty folders."""
    inside = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    return {name for name in inside if name.startswith((".", "landscape/")) and "/complete/" not in name}


class Puts:
    """The tiles that are put into stores while a test runs; the one after `limit` raises `error`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tiles: list[int] = []
        self.limit, self.error = 10**9, KeyboardInterrupt
        real = Store.put

        def put(store: Store, tile: int, *rest: Any) -> None:
            if len(self.tiles) >= self.limit:
                raise self.error("stopped here")
            real(store, tile, *rest)
            self.tiles.append(tile)

        monkeypatch.setattr(Store, "put", put)

    def stop_after(self, limit: int, error: Any = KeyboardInterrupt) -> None:
        """Begin to count anew."""
        self.tiles, self.limit, self.error = [], limit, error


def stopped(path: Path, puts: Puts) -> None:
    """A store with three tiles."""
    puts.stop_after(3)
    with pytest.raises(KeyboardInterrupt):
        surface(store=path)
    puts.stop_after(99)
