"""The gallery: a folder's README.md of its figures, from their captions, and the thumbnails that it shows."""

import ast
import io
import re
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from landscape._figure_cache import replacing
from landscape.figure_set._kept import Kept, score, shrunk

MARK = "<!-- Written by `landscape figures DIR --gallery` from the figures' docstrings: edit those. -->"
WIDTHS, COLORS, BYTES = (320, 240, 160), (128, 48, 16), 30_000  # of a thumbnail: the first that has fewer bytes
TIMES = (5, 20, 60, 300, 1200, 3600)  # seconds


def refuse_own(folder: Path) -> None:
    """Raise ValueError if the folder has a README.md that no gallery is."""
    readme = folder / "README.md"
    if readme.exists() and MARK not in readme.read_text("utf-8", errors="replace"):
        raise ValueError(
            f"`gallery` writes {str(readme)!r}, which exists and was not written by it: move or remove that file first."
        )


def write_gallery(folder: Path, figures: Mapping[str, Path], kept: Mapping[str, Kept]) -> str:
    """Write README.md and thumbnails of the figures as last drawn, take away those of others; return what to say."""
    readme, thumbnails = folder / "README.md", folder / "thumbnails"
    before = re.findall(r"\(thumbnails/(\w+)\.png\)", readme.read_text("utf-8")) if readme.exists() else []
    for name in set(before).difference(kept):
        (thumbnails / f"{name}.png").unlink(missing_ok=True)
    for name, entry in kept.items():
        with replacing(thumbnails / f"{name}.png") as file:
            file.write(thumbnail(entry.picture))
    sections = [_section(name, path, kept.get(name)) for name, path in figures.items()]
    with replacing(readme) as file:
        file.write("\n\n".join([MARK, "# Figures", *sections, ""])[:-1].encode())
    missing = ", ".join(name for name in figures if name not in kept)
    return f"gallery: {readme}, figures: {len(kept)}" + (f"; not drawn yet: {missing}" if missing else "")


def _section(name: str, path: Path, entry: Kept | None) -> str:
    heading, first, source = parts(_docstring(path) or name)
    picture = f"[![{name}](thumbnails/{name}.png)]({name}.py)" if entry else "Not drawn yet."
    facts = [f"Program: [`{name}.py`]({name}.py)"]
    facts += [f"claims: {score(entry)}"] if entry else []
    facts += [f"computed in {_rounded(entry.seconds)}"] if entry and entry.seconds is not None else []
    return "\n\n".join(part for part in (f"## {heading}", picture, first, source, " · ".join(facts)) if part)


def _rounded(seconds: float) -> str:
    """A time so roughly that it is seldom another the next time.

    >>> _rounded(3.4), _rounded(47), _rounded(3700)
    ('less than 5 s', 'less than 1 min', '1 h or more')
    """
    limit = next((limit for limit in TIMES if seconds < limit), None)
    if limit is None:
        return "1 h or more"
    return "less than " + (f"{limit} s" if limit < 60 else f"{limit // 60} min" if limit < 3600 else "1 h")


def _docstring(path: Path) -> str:
    try:
        return ast.get_docstring(ast.parse(path.read_bytes())) or ""
    except SyntaxError:
        return ""


def parts(caption: str) -> tuple[str, str, str]:
    """The caption's first sentence without its full stop, the paragraph after it, and the one that names the source.

    >>> parts("A valley. Its floor is flat.\\n\\nIt has one minimum.\\n\\nSource: none.")
    ('A valley', 'Its floor is flat.', 'Source: none.')
    """
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", caption.strip())]
    heading, *rest = re.split(r"(?<=[.!?])\s+(?=[^a-z])", paragraphs[0], maxsplit=1)
    source = next((paragraph for paragraph in paragraphs[1:] if paragraph.startswith("Source: ")), "")
    first = next((paragraph for paragraph in (*rest, *paragraphs[1:]) if paragraph != source), "")
    return heading.removesuffix("."), first, source


def thumbnail(picture: bytes) -> bytes:
    """The PNG at most 320 pixels wide, in a palette, below 30 KB: with fewer colors or smaller where it must be."""
    content = b""
    for width in WIDTHS:
        with Image.open(io.BytesIO(shrunk(picture, width))) as image:
            for colors in COLORS:
                buffer = io.BytesIO()
                palette = image.quantize(colors, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
                palette.save(buffer, "png", optimize=True)
                content = buffer.getvalue()
                if len(content) < BYTES:
                    return content
    return content
