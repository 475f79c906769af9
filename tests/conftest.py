"""What holds for every test: it leaves nothing behind."""

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tests.leftovers import Running, nothing_left

LASTING = pytest.StashKey[Running]()


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread, a child process or a changed environment."""
    stash = request.session.stash
    stash.setdefault(LASTING, Running())
    with nothing_left(lambda: stash[LASTING]):
        yield


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
