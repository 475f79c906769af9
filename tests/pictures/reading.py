"""Reading pictures: what an SVG says, wherever it says it."""

from collections import Counter
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"


def groups(svg: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    """The boxes ("node"), arrows ("edge") or frames ("cluster") of a picture."""
    return [each for each in svg.iter(f"{SVG}g") if each.get("class") == kind]


def texts(element: ElementTree.Element) -> list[str]:
    """What is written in a part of a picture."""
    return [(each.text or "").replace("\xa0", " ").strip() for each in element.iter(f"{SVG}text")]


def texts_and_colors(svg: ElementTree.Element) -> Counter:
    """For each box and arrow what is written there, what its tooltip says, and the colours in it."""
    return Counter(
        (
            kind,
            tuple(texts(each)),
            each.findtext(f"{SVG}title"),
            tuple(sorted({fill for part in each.iter() if (fill := part.get("fill"))})),
        )
        for kind in ("node", "edge")
        for each in groups(svg, kind)
    )
