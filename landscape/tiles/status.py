"""Status: how far a store is, as text."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from landscape.tiles.leases import Writer, writers
from landscape.tiles.store import DAMAGED, Store

RECENT = 50  # tiles, whose times give the rate
PAUSE = 20  # times the usual time between two tiles: nobody was at work


@dataclass(frozen=True)
class Status:
    """How far a store is; prints as text."""

    name: str
    kind: str
    complete: int
    tiles: int
    rate: float | None  # tiles a second, lately, by all writers; None where that is not known
    writers: tuple[Writer, ...]
    damaged: int  # chunks that were set aside
    halved: int  # tiles with fewer cells in flight than planned, for lack of memory
    halfway: int  # tiles that are begun, and kept

    @property
    def seconds_left(self) -> float | None:
        """At the rate of late."""
        return None if self.rate is None else (self.tiles - self.complete) / self.rate

    def __str__(self) -> str:
        share = f"{self.complete} of {self.tiles} tiles complete ({100 * self.complete / self.tiles:.0f} %)"
        lines = [f"{self.kind} {self.name}", f"  tiles         {share}"]
        if self.rate is not None and self.complete < self.tiles:
            alive = any(writer.alive for writer in self.writers)
            left = f"{_duration(self.seconds_left or 0)} left" + ("" if alive else " if somebody went on")
            lines.append(f"  rate          {_rate(self.rate)}, {left}")
        if self.halfway:
            lines.append(f"  halfway       {self.halfway} tile{'s' * (self.halfway > 1)} begun, and kept")
        for writer in self.writers:
            index, count = writer.shard
            said = f"shard {index}/{count}: {writer}, for {_duration(time.time() - writer.since)}"
            gone = "" if writer.alive else f"; no sign of life for {_duration(time.time() - writer.seen)}"
            lines.append(f"  {'writing' if writer.alive else 'gone':<13} {said}{gone}")
        if not self.writers:
            lines.append("  writing       nobody")
        if self.damaged:
            lines.append(f"  failures      damaged chunks set aside in {DAMAGED}/: {self.damaged}")
        if self.halved:
            lines.append(f"  failures      tiles that ran out of memory, and had fewer cells in flight: {self.halved}")
        return "\n".join(lines)


def status(store: Store) -> Status:
    """How far a store is."""
    records, files = store.records(), store.files
    seen = tuple(writers(files))
    return Status(
        name=store.name,
        kind=store.manifest.attributes["kind"],
        complete=len(records),
        tiles=store.manifest.tiling.count,
        rate=_lately(records, [writer.since for writer in seen if writer.alive]),
        writers=seen,
        damaged=len(files.names(DAMAGED)),
        halved=sum("in_flight" in record for record in records.values()),
        halfway=len(store.begun()),
    )


def _lately(records: Mapping[int, Mapping[str, Any]], since: Sequence[float]) -> float | None:
    """Tiles a second: of those who are at work, since they began; else from when the last tiles were finished."""
    if since:
        done = sum(record["finished"] > min(since) for record in records.values())
        return done / (time.time() - min(since)) if done else None
    times = sorted(record["finished"] for record in records.values())[-RECENT:]
    gaps = sorted(b - a for a, b in itertools.pairwise(times))
    usual = [gap for gap in gaps if gap <= PAUSE * gaps[len(gaps) // 2]]  # not the night between two runs
    return len(usual) / sum(usual) if sum(usual) > 0 else None


def _rate(rate: float) -> str:
    return f"{rate:.3g} tiles a second" if rate >= 1 else f"{60 * rate:.3g} tiles a minute"


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.0f} s"
