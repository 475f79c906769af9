"""Picture: a diagram that a notebook shows and a file keeps."""

from __future__ import annotations

import html
import os
import re
from pathlib import Path
from typing import Final

from prefect_dask.engine.errors import PrefectDaskError
from prefect_dask.engine.files import write_file
from prefect_dask.pictures.counts import StateCounts
from prefect_dask.pictures.diagram import Diagram, Grouping, diagram_of
from prefect_dask.pictures.dot import DIRECTIONS, Direction, dot_of
from prefect_dask.pictures.labels import tooltips
from prefect_dask.pictures.outline import Outline
from prefect_dask.pictures.rendering import render

FORMATS: Final = ("svg", "png", "pdf", "dot")
"""What a picture can be written as; the last one is its text for GraphViz, and needs none."""


class Picture:
    """A picture of a flow: shows itself in a notebook, `save` writes it to a file.

    Args:
        diagram: What it shows.
        rankdir: Which way its arrows lead.
        legend: Whether a legend stands beside it.

    Attributes:
        diagram: What it shows, as plain data.
        dot: The same in GraphViz's language.
    """

    def __init__(
        self, diagram: Diagram, rankdir: Direction = "TB", *, legend: bool = False
    ) -> None:
        self.diagram = diagram
        self.dot = dot_of(diagram, rankdir, legend=legend)
        self._svg: str | None = None

    @property
    def svg(self) -> str:
        """The picture as SVG; drawn when it is first asked for.

        Raises:
            NoGraphViz: Neither GraphViz's program nor the wheel that brings it is there.
            GraphVizFailed: It cannot draw this.
        """
        if self._svg is None:
            drawn = render(self.dot, "svg").decode("utf-8")
            self._svg = with_tooltips(drawn, tooltips(self.diagram))
        return self._svg

    def save(self, filename: str | os.PathLike[str], format: str | None = None) -> Path:
        """Write the picture to a file; one of that name is replaced at once.

        Args:
            filename: Where; its folder must be there. Without a suffix it gets the format's.
            format: One of `FORMATS`; as the suffix says when not given, and "svg" without one.

        Returns:
            The file.

        Raises:
            UnknownPictureFormat: It is another one.
            NoFolderForPicture: There is no such folder; it is a FileNotFoundError.
            NoGraphViz, GraphVizFailed: As for `svg`; nothing is written then.
        """
        path, form = place_of(filename, format)
        write_file(path, self._as(form), survives_power_cut=False)
        return path

    def _as(self, form: str) -> bytes:
        if form == "dot":
            return self.dot.encode("utf-8")
        return self.svg.encode("utf-8") if form == "svg" else render(self.dot, form)

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        boxes, arrows = len(self.diagram.boxes), len(self.diagram.arrows)
        return (
            f"<Picture: flow {self.diagram.flow!r}, {boxes:,} boxes, {arrows:,} arrows; "
            f"save('flow.svg') writes it>"
        )


def draw(
    outline: Outline,
    counts: StateCounts | None = None,
    *,
    filename: str | os.PathLike[str] | None = None,
    format: str | None = None,
    rankdir: str = "TB",
    group: Grouping = "auto",
    legend: bool = False,
) -> Picture:
    """A picture of a flow, and, with `filename`, a file with it; the arguments are those of `Flow.visualize`."""
    if rankdir not in DIRECTIONS:
        raise UnknownDirection(str(rankdir))
    if group not in ("auto", True, False):
        raise UnknownGrouping(repr(group))
    # Before anything is drawn.
    place = None if filename is None else place_of(filename, format)
    form = place[1] if place is not None else form_of(format or FORMATS[0])
    picture = Picture(diagram_of(outline, counts, group), rankdir, legend=legend)
    if place is not None:
        picture.save(*place)
    elif form != "dot":
        # Now, where it can be said well that there is no GraphViz, and not when a notebook shows it.
        _ = picture.svg
    return picture


def place_of(filename: str | os.PathLike[str], format: str | None) -> tuple[Path, str]:
    """Where a picture is written, and as what.

    Raises:
        UnknownPictureFormat, NoFolderForPicture: As for `Picture.save`.

    Example:
        >>> [place_of(*each)[1] for each in (("a.PNG", None), ("a", None), ("a", "pdf"), ("a.txt", "dot"))]
        ['png', 'svg', 'pdf', 'dot']
    """
    path = Path(filename)
    form = form_of(format or path.suffix.removeprefix(".") or FORMATS[0])
    if not path.parent.is_dir():
        raise NoFolderForPicture(str(path), str(path.parent))
    if path.is_dir():
        raise NoFolderForPicture(str(path), None)
    return path if path.suffix else path.with_name(f"{path.name}.{form}"), form


def form_of(format: str) -> str:
    """A format by its name, in small letters.

    Raises:
        UnknownPictureFormat: There is none of that name.
    """
    form = str(format).lower().removeprefix(".")
    if form not in FORMATS:
        raise UnknownPictureFormat(str(format))
    return form


_TITLE = re.compile(r"<title>([^<]*)</title>\n?")


def with_tooltips(svg: str, tips: dict[str, str]) -> str:
    """SVG as GraphViz draws it, where each box and arrow says more of itself than its name in DOT."""

    def title(found: re.Match[str]) -> str:
        tip = tips.get(html.unescape(found[1]))
        return "" if tip is None else f"<title>{html.escape(tip)}</title>\n"

    # As wide as there is room.
    return _TITLE.sub(title, svg).replace("<svg ", '<svg style="max-width: 100%; height: auto" ', 1)


# ---- what goes wrong


class UnknownPictureFormat(PrefectDaskError, ValueError):
    """A picture is asked for as something that it cannot be written as."""

    def __init__(self, format: str) -> None:
        super().__init__(
            f"a picture cannot be written as {format!r}; it can as {', '.join(FORMATS)}: give the file such a "
            f"suffix, or say format='svg'"
        )
        self.format = format


class NoFolderForPicture(PrefectDaskError, FileNotFoundError):
    """A picture is to be written where there is no folder for it, or to a folder itself."""

    def __init__(self, filename: str, folder: str | None) -> None:
        super().__init__(
            f"{filename} is a folder; give the picture a name in it"
            if folder is None
            else f"the picture cannot be written to {filename}: there is no folder {folder}; make it first"
        )
        self.path, self.folder = filename, folder


class UnknownDirection(PrefectDaskError, ValueError):
    """A picture's arrows are to lead somewhere that is no direction."""

    def __init__(self, rankdir: str) -> None:
        super().__init__(
            f"rankdir can be 'TB' (arrows lead down), 'BT' (up), 'LR' (to the right) or 'RL' (to the left), "
            f"got {rankdir!r}"
        )
        self.rankdir = rankdir


class UnknownGrouping(PrefectDaskError, ValueError):
    """It is said in no known way whether tasks share boxes."""

    def __init__(self, group: str) -> None:
        super().__init__(
            f"group can be 'auto' (alike tasks share a box where there are too many to be read), True (wherever "
            f"they can) or False (never), got {group}"
        )
        self.group = group
