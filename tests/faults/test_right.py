"""A worker asks whether what it wrote counts, and something happens just then."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import distributed
import pytest

from prefect_dask import Flow, task
from prefect_dask.engine.executors import dask_right
from prefect_dask.engine.node import current_node
from prefect_dask.engine.results import LocalResult
from prefect_dask.engine.timeouts import BodyStopped
from prefect_dask.executors import DaskExecutor
from tests.faults.bodies import marks, note
from tests.faults.cluster import REPOSITORY, cluster_of
from tests.waiting import wait_until

FRESH_SECONDS = 1.0


@pytest.fixture(autouse=True)
def schedulers_know_this_module(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


def written(folder: Path) -> list[int]:
    """Says in which process it ran; what it returns is in a named place."""
    note(folder, "began")
    return [os.getpid()]


def flow_that_writes(folder: Path) -> tuple[Flow, Any]:
    with Flow("writes") as flow:
        place = LocalResult(folder, location="it")
        done = task(written, name="written", result=place)(folder)
    return flow, done


def before_an_answer(folder: Path, then: str) -> Callable[[Any], None]:
    """For a scheduler: the first one who asks is stopped and given up before the answer is sent, or gets none."""

    def arm(dask_scheduler: distributed.Scheduler) -> None:
        counts = dask_scheduler.handlers[dask_right.COUNTS]

        async def counts_but_once(worker: str, **facts: Any) -> float | None:
            dask_scheduler.handlers[dask_right.COUNTS] = counts
            seconds: float | None = await counts(worker=worker, **facts)
            if then == "stop":
                [mark] = marks(folder, "began")
                os.kill(int(mark.read_text()), signal.SIGSTOP)
                await dask_scheduler.remove_worker(worker, stimulus_id="test", close=False)
            note(folder, "asked")
            if then == "cut":
                await asyncio.get_running_loop().create_future()
            return seconds

        dask_scheduler.handlers[dask_right.COUNTS] = counts_but_once

    return arm


def be_quick() -> None:
    dask_right.FRESH_SECONDS = FRESH_SECONDS  # on the workers: a test does not wait for longer


@contextmanager
def meanwhile(function: Callable[[], object]) -> Any:
    """A block during which a function is called in another thread; what that raised comes out at the end."""
    errors: list[BaseException] = []

    def call() -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield
    finally:
        thread.join(60)
    if errors:
        raise errors[0]


def test_an_answer_that_a_worker_reads_after_it_was_given_up_is_not_taken(folder):
    """It was stopped while it waited, and what it had is over elsewhere by the time it wakes up."""
    flow, done = flow_that_writes(folder)

    with cluster_of(folder / "cluster", "one", "two") as cluster, cluster.client() as client:

        def wake() -> None:
            wait_until(lambda: marks(folder, "asked"))
            stopped = int(marks(folder, "began")[0].read_text())
            [process] = [p for p in cluster.workers.values() if p.pid == stopped]
            try:
                wait_until((folder / "it").exists)
                before.append((folder / "it").read_bytes())
                threading.Event().wait(FRESH_SECONDS)
            finally:
                process.send_signal(signal.SIGCONT)
            process.wait(30)

        before: list[bytes] = []
        with client.as_current():
            flow.run(executor=DaskExecutor())  # for the scheduler to know what is asked
            for each in ["it", *(path.name for path in marks(folder, "began"))]:
                (folder / each).unlink()
            client.run(be_quick)
            client.run_on_scheduler(before_an_answer(folder, "stop"))
            with meanwhile(wake):
                state = flow.run(executor=DaskExecutor())

        assert state.is_successful()
        assert len(marks(folder, "began")) == 2
        assert [(folder / "it").read_bytes()] == before
        assert state.result[done].result == LocalResult(folder).read("it").value


def test_a_worker_whose_question_breaks_off_asks_again(folder):
    flow, done = flow_that_writes(folder)

    with cluster_of(folder / "cluster", "one") as cluster, cluster.client() as client:

        def cut() -> None:
            wait_until(lambda: marks(folder, "asked"))
            client.run(lambda to, dask_worker: dask_worker.rpc.remove(to), cluster.address)

        with client.as_current():
            flow.run(executor=DaskExecutor())
            client.run_on_scheduler(before_an_answer(folder, "cut"))
            with meanwhile(cut):
                state = flow.run(executor=DaskExecutor())

        assert state.is_successful()
        assert state.result[done].result == LocalResult(folder).read("it").value
        assert len(marks(folder, "began")) == 2, "once in each run"


def test_what_a_run_leaves_behind_on_a_worker_counts_no_more_when_it_is_over(folder):
    """Although its coordinating process is there, and said a moment ago for how long the run is its own."""

    def asks() -> None:
        at = current_node()
        assert at is not None and at[0].check_counted is not None
        at[0].check_counted(False)
        vars(distributed.get_worker())["left_behind"] = at[0].check_counted

    def ask_again() -> str:
        try:
            vars(distributed.get_worker())["left_behind"](False)
        except BodyStopped:
            return "stopped"
        return "counts"

    with (
        cluster_of(folder / "cluster", "one") as cluster,
        cluster.client() as client,
        client.as_current(),
    ):
        assert Flow("asks", tasks=[task(asks)]).run(executor=DaskExecutor()).is_successful()
        assert client.submit(ask_again).result(20) == "stopped"
