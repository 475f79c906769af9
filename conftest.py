"""Runs the Python code in README.md and docs/ as tests; a page is one program.

A block of ```text``` below a block of Python is what that one printed, and is held to it.
"""

import os
import shutil
import signal
import sys
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import pytest
from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, SkipParser

pytest_plugins = ["tests.browser", "tests.lasting", "tests.postgres"]


HOME = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Set up what holds for all tests and the processes that they start.

    Their home folder, with the ledger in it, is not the user's. Ctrl-C and Ctrl-\\ mean what they mean to a person:
    a shell that starts the tests in the background has them ignore both, and so all that they start.
    """
    config.stash[HOME] = os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="prefect-dask-home-")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGQUIT") and signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the home folder away."""
    if "prefect_dask.ledger.writer" in sys.modules:
        sys.modules["prefect_dask.ledger.writer"].close_writers()
    shutil.rmtree(config.stash[HOME], ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many processes `-n auto` means: one more than there are cores, for many tests mostly wait."""
    return (os.cpu_count() or 1) + 1


PRINTED, ENVIRONMENT = "__printed__", "__environment__"


def as_a_script(namespace: dict[str, Any]) -> None:
    """Run a page as `python page.py` would: what it defines belongs to `__main__`."""
    namespace["__name__"] = "__main__"
    namespace[ENVIRONMENT] = dict(os.environ)


def put_back(namespace: dict[str, Any]) -> None:
    """Let the next page find the environment as this one did."""
    os.environ.clear()
    os.environ.update(namespace[ENVIRONMENT])


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
    teardown=put_back,
).pytest()
