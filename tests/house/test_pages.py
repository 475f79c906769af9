"""What pages say of the repository is there."""

import re

import pytest

from tests.house.source import ROOT

NAMED = re.compile(r"`(tests/[\w/]+\.py)?::(\w+)`")


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_the_tests_that_a_page_names_are_there(page):
    path = ""
    for told, name in NAMED.findall(page.read_text(encoding="utf-8")):
        path = told or path  # `::name` is in the file that was named last
        text = (ROOT / path).read_text(encoding="utf-8")
        assert f"\ndef {name}(" in text, f"{page.name} names {path}::{name}"


def test_durability_says_of_each_promise_what_shows_it():
    text = (ROOT / "docs" / "durability.md").read_text(encoding="utf-8")
    rows = text.partition("| promise | shown by |")[2].partition("\n\n")[0].splitlines()[2:]
    assert len(rows) > 10
    for row in rows:
        assert "tests/" in row.split("|")[2], row
