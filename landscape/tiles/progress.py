"""A progress bar for anything over two seconds; silent where standard error is neither a terminal nor a notebook's."""

import sys
from types import TracebackType
from typing import Any

from landscape.tiles.tiling import Tiling

SHOWN_AFTER = 2.0  # seconds


class Progress:
    """A context manager around a tqdm bar with rate and time left; tqdm is imported when it is first used."""

    def __init__(self, total: int | None, unit: str, show: bool | None) -> None:
        """`total`: None if it is not known. `show`: None for the default above, True at once, False never."""
        self._options: dict[str, Any] = {
            "total": total,
            "unit": f" {unit}",
            "unit_scale": True,
            "disable": (False if _in_notebook() else None) if show is None else not show,  # None: unless on a terminal
            "delay": 0.0 if show else SHOWN_AFTER,
            "leave": False,
        }

    def __enter__(self) -> "Progress":
        from tqdm import tqdm

        self._bar = tqdm(**self._options)
        return self

    def update(self, amount: int) -> None:
        """`amount` more is done."""
        self._bar.update(amount)

    def reach(self, amount: int) -> None:
        """So much is done in all."""
        self._bar.update(amount - self._bar.n)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


def _in_notebook() -> bool:
    """Whether this is the kernel of a notebook, which shows standard error though it is no terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", {})


class Reached:
    """What is done, tiles and parts of tiles, told to a bar; several devices may tell. A cell counts as `each`."""

    def __init__(self, bar: Progress, tiling: Tiling, each: int = 1) -> None:
        self._bar, self._tiling, self._each = bar, tiling, each
        self._done: int = 0
        self._parts: dict[int, int] = {}

    def part(self, tile: int, share: float) -> None:
        """This share of a tile is done."""
        self._parts[tile] = int(share * self._each * self._tiling.cells(tile))
        self._bar.reach(self._done + sum(self._parts.copy().values()))

    def tile(self, tile: int) -> None:
        """A tile is done."""
        self._parts.pop(tile, None)
        self._done += self._each * self._tiling.cells(tile)
        self._bar.reach(self._done + sum(self._parts.copy().values()))
