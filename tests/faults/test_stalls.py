"""What is said when nothing happens: who waits for what, in a flow that really stands still."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefect_dask import Flow, task
from prefect_dask.engine.stall import AtWork, Stalled, WaitsForSlot, stall_text
from prefect_dask.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor
from prefect_dask.limits import set_limit
from prefect_dask.settings import set_temporary_config
from tests.faults.bodies import hold
from tests.faults.cluster import cluster_of
from tests.waiting import wait_until


class Said(logging.Handler):
    """What is logged of runs that stand still; lets a held body go when enough was said."""

    def __init__(self, go: Path, times: int) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.go, self.times = go, times

    def emit(self, record: logging.LogRecord) -> None:
        if "nothing has happened" in record.getMessage():
            self.texts.append(record.getMessage())
            if len(self.texts) == self.times:
                self.go.touch()


@pytest.fixture
def said(folder: Path) -> Iterator[Said]:
    handler = Said(folder / "go", times=2)
    logger = logging.getLogger("prefect_dask")
    logger.addHandler(handler)
    with set_temporary_config({"flows.stall_seconds": 0.5}):
        yield handler
    logger.removeHandler(handler)


@task
def holding(folder: Path) -> None:
    hold(folder, "holding", 20)


@task(tags=["dask-resource:GPU=1"])
def on_a_gpu() -> None:
    pass


@task(max_retries=1, retry_delay=2)
def failing_once(folder: Path) -> None:
    first = not (folder / "failed").exists()
    (folder / "failed").touch()
    if first:
        raise ValueError("not yet")


@task(tags=["scarce"])
def limited() -> None:
    pass


@pytest.mark.parametrize(
    "executor", [LocalExecutor(), LocalDaskExecutor("threads", 2)], ids=["this thread", "threads"]
)
def test_a_body_that_does_not_end_is_named_with_its_place_and_ever_less_often(
    executor, folder, said
):
    with Flow("stands still") as flow:
        holding(folder)
    assert flow.run(executor=executor, ledger=":memory:").is_successful()
    first, second = said.texts
    assert "at work: 'holding' for " in first
    if isinstance(executor, LocalDaskExecutor):
        assert " on " in first
    quiet = [float(text.split("happened for ")[1].split()[0]) for text in (first, second)]
    assert quiet[1] >= quiet[0]


def test_a_retry_that_is_waited_for_is_named(folder, said):
    with Flow("waits for a time") as flow:
        failing_once(folder)
    assert flow.run(executor=LocalDaskExecutor("threads", 1), ledger="none").is_successful()
    assert "waits for a time: 'failing_once' goes on at " in said.texts[0]


def test_a_slot_that_is_waited_for_is_named(said, tmp_path):
    place = tmp_path / "ledger.sqlite"
    set_limit("tag:scarce", 0, ledger=place)
    with Flow("waits for a slot") as flow:
        limited()

    def let_go() -> None:
        wait_until(lambda: said.texts)
        set_limit("tag:scarce", 1, ledger=place)

    thread = threading.Thread(target=let_go)
    thread.start()
    assert flow.run(ledger=place).is_successful()
    thread.join(20)
    assert "waits for a slot: 'limited' under 'tag:scarce': 0 of 0 slots of" in said.texts[0]


def test_a_worker_that_is_missing_is_named(folder, said, tmp_path):
    with Flow("waits for a worker") as flow:
        on_a_gpu(upstream_tasks=[])
    with cluster_of(tmp_path / "cluster", "one") as cluster:

        def add_worker() -> None:
            wait_until(lambda: said.texts)
            cluster.add_worker("two", "--resources", "GPU=1")

        thread = threading.Thread(target=add_worker)
        thread.start()
        assert flow.run(executor=DaskExecutor(cluster.address), ledger="none").is_successful()
        thread.join(20)
    assert "waits for a worker: 'on_a_gpu' has not begun: no worker of 1 has GPU=1" in said.texts[0]


def test_only_the_longest_are_named_and_the_others_counted():
    stalled = Stalled(
        "x",
        60,
        [AtWork(f"t[{i}]", 100.0 - i, "w") for i in range(7)],
        [WaitsForSlot("load", 3, ("tag:a", "task:load"), "full")],
        waits_for_word=1,
    )
    lines = stall_text(stalled, 160.0).splitlines()
    assert lines[1:7] == [
        *(f"  at work: 't[{i}]' for {60 + i} s on w" for i in (6, 5, 4, 3, 2)),
        "  at work: 2 more",
    ]
    assert lines[7:] == [
        "  waits for a slot: 3 runs of 'load' under 'tag:a', 'task:load': full",
        "  waits for somebody's word: 1 paused",
    ]
