"""The pictures in README.md and docs/ are those of the flows that the pages write.

PREFECT_DASK_WRITE_PICTURES=1 draws them anew; `make pictures` does so.
"""

import os
import re
from collections import Counter
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.house.source import ROOT
from tests.pictures.reading import texts_and_colors

FOLDER = ROOT / "docs" / "pictures"


def written_in(page: str, blocks: slice) -> dict[str, Any]:
    """What some blocks of Python of a page define."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with redirect_stdout(StringIO()):
        for block in found[blocks]:
            exec(compile(block, page, "exec"), namespace)
    return namespace


def two_branches() -> str:
    page = written_in("README.md", slice(0, 1))
    return page["flow"].visualize(page["state"], rankdir="LR").svg


def nightly() -> str:
    return written_in("docs/pictures.md", slice(0, 1))["picture"].svg


def large() -> str:
    page = written_in("docs/pictures.md", slice(0, 2))
    return page["large"].visualize(page["large"].run(), rankdir="LR").svg


@pytest.mark.parametrize("picture", [two_branches, nightly, large])
def test_a_picture_on_a_page_is_that_of_the_flow_beside_it(picture):
    """By its texts and colours: where they stand, each GraphViz and each font says otherwise."""
    file = FOLDER / f"{picture.__name__.replace('_', '-')}.svg"
    drawn = picture()
    if os.environ.get("PREFECT_DASK_WRITE_PICTURES"):
        file.write_text(drawn, encoding="utf-8")

    kept = ElementTree.fromstring(file.read_text(encoding="utf-8"))
    assert texts_and_colors(kept) == texts_and_colors(ElementTree.fromstring(drawn)), (
        f"{file.relative_to(ROOT)} is not what is drawn now: make pictures"
    )


def test_every_picture_stands_on_a_page():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    shown = Counter(
        Path(target).name
        for page in pages
        for target in re.findall(r"!\[[^\]]+\]\(([^)]+\.(?:svg|png))\)", page.read_text("utf-8"))
    )
    assert set(shown) == {path.name for path in FOLDER.iterdir()}
