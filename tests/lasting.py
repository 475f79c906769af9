"""Notes what fixtures start that outlive a test: no test has to end that.

A plugin, not a part of tests/conftest.py: for the fixtures of a whole session pytest does not ask that one.
"""

from collections.abc import Generator
from typing import Any

import pytest

from tests.leftovers import Running

LASTING = pytest.StashKey[Running]()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Note what a fixture that outlives a test has started: no test has to end that."""
    if fixturedef.scope == "function":
        return (yield)
    before = Running.now()
    made = yield
    stash = request.session.stash
    stash[LASTING] = stash.get(LASTING, Running()) | (Running.now() - before)
    return made
