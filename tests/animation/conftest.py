"""A run to be played, recorded once, and the page on which it is played."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from prefect_dask.executors import LocalDaskExecutor
from prefect_dask.ledger import Ledger
from prefect_dask.ledger.facts import RecordedFlowRun
from tests.animation.flows import mixed


class Recorded(NamedTuple):
    """A run, and where it is recorded."""

    ledger: Ledger
    run: RecordedFlowRun


@pytest.fixture(scope="package")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A run with a map, retries, failures, and markup in all that users name."""
    ledger = Ledger(tmp_path_factory.mktemp("recorded") / "ledger.sqlite")
    mixed().run(ledger=ledger, executor=LocalDaskExecutor("threads", num_workers=3))
    [run] = ledger.flow_runs()
    return Recorded(ledger, run)


@pytest.fixture
def played(recorded: Recorded, tmp_path: Path, page: Any) -> Iterator[Any]:
    """The page with that run, opened from a file without any network."""
    file = recorded.run.animate().save(tmp_path / "run.html")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: pytest.fail(f"a name became a script: {dialog.message}"))
    page.context.set_offline(True)
    page.goto(file.as_uri())
    wait_for_player(page)
    yield page
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}


def wait_for_player(page: Any) -> None:
    page.wait_for_function("window.player !== undefined && player.models.graph.inner_width > 0")
