"""What is kept of each figure as last drawn, which may have been in another run: caption, claims, a small picture."""

import dataclasses
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from landscape._figure_cache import replacing

WIDTH = 640  # pixels of the small picture: twice a thumbnail's


@dataclass(frozen=True)
class Kept:
    """A figure as last drawn; `shown` is the format of its picture in `captions.md`, `picture` a PNG.

    `seconds` are those that its data took to compute, which caches of before do not know.
    """

    caption: str
    claims: dict[str, bool]
    draft: bool
    shown: str | None
    picture: bytes
    seconds: float | None = None


def keep(folder: Path, kept: Kept) -> None:
    """Write the figure's entry into its folder of the cache."""
    with replacing(folder / "picture.png") as file:
        file.write(shrunk(kept.picture, WIDTH))
    words = {name: value for name, value in dataclasses.asdict(kept).items() if name != "picture"}
    with replacing(folder / "drawn.json") as file:
        file.write(json.dumps(words, ensure_ascii=False, indent=1).encode())


def read_all(out: Path, names: Iterable[str]) -> dict[str, Kept]:
    """Name -> entry of the figures of `out`, of those that have been drawn."""
    kept = {}
    for name in names:
        folder = out / ".cache" / name
        if (folder / "drawn.json").exists():
            words = json.loads((folder / "drawn.json").read_text("utf-8"))
            kept[name] = Kept(**words, picture=(folder / "picture.png").read_bytes())
    return kept


def write_captions(out: Path, kept: Mapping[str, Kept]) -> None:
    """Put the captions into one file, `captions.md`."""
    with replacing(out / "captions.md") as file:
        file.write("\n".join(["# Figures\n", *(_section(name, entry) for name, entry in kept.items())]).encode())


def _section(name: str, entry: Kept) -> str:
    picture = [f"![{name}]({name}.{entry.shown})\n"] if entry.shown else []
    draft = ["*A draft: no claim is checked.*\n"] if entry.draft else []
    ticks = [f"- {tick(holds)} {sentence}" for sentence, holds in entry.claims.items()]
    return "\n".join([f"## {name}\n", *picture, *draft, entry.caption, *([""] if ticks else []), *ticks, ""])


def tick(holds: bool) -> str:
    """✓ for what is so, ✗ for what is not."""
    return "✓" if holds else "✗"


def score(entry: Kept) -> str:
    """How many of the claims hold, such as "7/7 ✓"; "draft" where none was checked."""
    if entry.draft:
        return "draft"
    return f"{sum(entry.claims.values())}/{len(entry.claims)} {tick(all(entry.claims.values()))}"


def shrunk(picture: bytes, width: int) -> bytes:
    """The PNG, at most so many pixels wide and twice as many high."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as image:
        small = image.convert("RGB")
    small.thumbnail((width, 2 * width), Image.Resampling.LANCZOS)
    small.save(buffer, "png", optimize=True)
    return buffer.getvalue()
