"""Halfway: what a tile that takes long has so far, kept every few seconds, so that a stop loses no more than these."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from landscape.tiles import chunks, stopping

if TYPE_CHECKING:
    from landscape.tiles.files import Files

EVERY = 5.0  # seconds
PLAN = "plan"
SHARE = 0.02  # of the time may go into keeping it


class Halfway:
    """Of one tile; where there are no files, nothing is kept."""

    def __init__(self, files: Files | None, name: str = "") -> None:
        self._files, self._name = files, name
        self._next = time.monotonic() + EVERY
        self._kept = False

    def load(self, plan: str) -> dict[str, np.ndarray] | None:
        """The arrays that were kept last; None if there are none, they are damaged, or of another plan."""
        if self._files is None:
            return None
        try:
            packed = chunks.opened(self._files.read(self._name))
            with np.load(io.BytesIO(packed), allow_pickle=False) as stored:
                arrays = dict(stored)
                if str(arrays.pop(PLAN)) != plan:
                    return None
        except FileNotFoundError:
            return None
        except (zipfile.BadZipFile, ValueError, EOFError, KeyError):  # the tile is begun anew
            return None
        self._kept = True
        return arrays

    def keep(self, plan: str, arrays: Callable[[], Mapping[str, np.ndarray]]) -> None:
        """Keep what there is, if it is time to, or if the run is to stop: then raise `stopping.Stopped`.

        plan: all that must be the same for the rest to fit.
        """
        asked, now = stopping.asked(), time.monotonic()
        if self._files is None or (now < self._next and not asked):
            return
        packed = io.BytesIO()
        np.savez(packed, **{PLAN: np.array(plan)}, **arrays())  # type: ignore[arg-type]
        self._files.write({self._name: chunks.sealed(packed.getvalue())})
        self._kept = True
        if asked:
            stopping.stop()
        taken = time.monotonic() - now
        self._next = time.monotonic() + max(EVERY, taken / SHARE)

    def drop(self) -> None:
        """The tile is complete."""
        if self._files is not None and self._kept:
            self._files.remove(self._name)
