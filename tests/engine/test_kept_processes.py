"""Within `with executor.start():` the processes of one run serve the next."""

import os
from contextlib import suppress

import psutil
import pytest

from prefect_dask import Flow, context, task, triggers
from prefect_dask.engine.state import Crashed, TimedOut
from prefect_dask.executors import LocalDaskExecutor
from tests.contracts.observed import logged_records
from tests.waiting import wait_for_file, wait_until


@pytest.fixture
def executor():
    """One process, until the test is over."""
    executor = LocalDaskExecutor("processes", num_workers=1)
    with executor.start():
        yield executor


@task
def own_pid():
    return os.getpid()


@task
def die():
    os._exit(3)


def pid_of_a_run(executor):
    with Flow("pid") as flow:
        pid = own_pid()
    return flow.run(executor=executor).result[pid].result


def test_runs_of_a_started_executor_share_a_process_that_ends_with_it():
    executor = LocalDaskExecutor("processes", num_workers=1)
    with executor.start():
        pid = pid_of_a_run(executor)
        assert pid_of_a_run(executor) == pid != os.getpid()
    assert not psutil.pid_exists(pid)


def test_a_run_on_its_own_leaves_no_process():
    pid = pid_of_a_run(LocalDaskExecutor("processes", num_workers=1))
    assert not psutil.pid_exists(pid)


def test_a_process_that_died_is_replaced_for_the_next_run(executor):
    first = pid_of_a_run(executor)
    with Flow("deadly") as flow:
        dead = die()
    assert type(flow.run(executor=executor).result[dead]) is Crashed
    second = pid_of_a_run(executor)
    assert second != first
    psutil.Process(second).kill()
    assert wait_until(lambda: pid_of_a_run(executor)) != second


def test_facts_of_one_run_are_unknown_to_the_next(executor):
    @task
    def own(name):
        return [context.get(name), context.flow_name]

    for name in ("one", "two"):
        with Flow(f"flow {name}") as flow:
            told = own("fact")
        state = flow.run(executor=executor, context={"fact": name})
        assert state.result[told].result == [name, f"flow {name}"]


def test_what_a_late_body_of_one_run_has_to_say_is_not_told_to_the_next(executor, tmp_path):
    @task(timeout=0.2)
    def stubborn():
        for _ in range(2):  # the stop comes once, wherever it finds this
            with suppress(BaseException):  # what users write
                wait_until((tmp_path / "go").exists)
        context.logger.warning("from the run before")
        (tmp_path / "said").write_text("said")

    @task(trigger=triggers.all_finished)
    def let_it_speak():
        (tmp_path / "go").touch()
        wait_for_file(tmp_path / "said")
        context.logger.warning("from this run")

    with Flow("one") as one:
        late = stubborn()
    with Flow("two") as two:
        let_it_speak()

    assert type(one.run(executor=executor).result[late]) is TimedOut
    with logged_records() as lines:
        assert two.run(executor=executor).is_successful()
    texts = [line.getMessage() for line in lines]
    assert "from this run" in texts
    assert "from the run before" not in texts
