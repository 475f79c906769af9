"""Runs the Python code in README.md and docs/ as tests; one page is one program."""

from typing import Any

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser


def as_a_script(namespace: dict[str, Any]) -> None:
    """Run a page as `python page.py` would: what it defines belongs to `__main__`."""
    namespace["__name__"] = "__main__"


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/**/*.md", "docs/*.md"],
    setup=as_a_script,
).pytest()
