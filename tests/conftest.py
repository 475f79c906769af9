"""What holds for every test: it leaves nothing behind."""

from collections.abc import Iterator

import pytest

from tests.lasting import LASTING
from tests.leftovers import Running, nothing_left


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread, a child process or a changed environment."""
    stash = request.session.stash
    stash.setdefault(LASTING, Running())
    with nothing_left(lambda: stash[LASTING]):
        yield
