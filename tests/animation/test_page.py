"""The picture on the page of the documentation is made from the flow that is written there."""

import os
import re
from contextlib import redirect_stdout
from io import StringIO

import pytest

from tests.animation.conftest import wait_for_player
from tests.browser import PICTURES, take_picture
from tests.house.source import ROOT

PAGE = ROOT / "docs" / "animation.md"


@pytest.mark.skipif(
    not os.environ.get(PICTURES), reason=f"{PICTURES} names no folder; make pictures does"
)
def test_the_picture_of_the_page_is_drawn_anew(tmp_path, request):
    [code] = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    with redirect_stdout(StringIO()):
        program: dict = {"__name__": "__main__"}
        exec(compile(code, str(PAGE), "exec"), program)
    file = program["animation"].save(tmp_path / "sales.html")

    # A browser counts as an event loop of this thread, in which no flow may run.
    page = request.getfixturevalue("page")
    page.goto(file.as_uri())
    wait_for_player(page)
    page.evaluate("player.seek(0.55 * player.timeline.end)")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)))")
    take_picture(page, "animation")
