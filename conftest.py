"""Runs the Python code in README.md and docs/ as tests; a page is one program.

A block of ```text``` below a block of Python is what that one printed, and is held to it.
"""

import signal
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, SkipParser

pytest_plugins = ["tests.lasting", "tests.postgres"]


def pytest_configure() -> None:
    """Let Ctrl-C mean what it means to a person, for the tests of it and the processes that they start.

    A shell that starts the tests in the background has them ignore it, and so all that they start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


PRINTED = "__printed__"


def as_a_script(namespace: dict[str, Any]) -> None:
    """Run a page as `python page.py` would: what it defines belongs to `__main__`."""
    namespace["__name__"] = "__main__"


def run(example: Example) -> None:
    """Run a block of Python, and keep what it printed."""
    with redirect_stdout(StringIO()) as printed:
        PythonEvaluator()(example)
    example.namespace[PRINTED] = printed.getvalue()


def compare(example: Example) -> None:
    """Hold a block of text to what the Python above it printed."""
    assert example.parsed.strip() == example.namespace.get(PRINTED, "").strip()


pytest_collect_file = Sybil(
    parsers=[CodeBlockParser("python", run), CodeBlockParser("text", compare), SkipParser()],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
    setup=as_a_script,
).pytest()
