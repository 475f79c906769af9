"""A process of `LocalDaskExecutor("processes")`, or of an isolated task, dies while it runs a task."""

import os
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from prefect_dask import Flow, task
from prefect_dask.engine.errors import ProcessDied
from prefect_dask.engine.state import Crashed
from prefect_dask.executors import LocalDaskExecutor, LocalExecutor
from tests.faults.bodies import add, counted, dying, dying_at_once, holding, marks, note
from tests.faults.watching import Watch, show
from tests.waiting import wait_until


def test_a_task_whose_process_ends_itself_runs_again_and_the_record_shows_it(folder):
    with Flow("dies once") as flow:
        survivor = dying(folder, times=1)
        below = add(1, upstream_tasks=[survivor])
    watch = Watch("dying", "Running", show(folder))

    state = flow.run(executor=LocalDaskExecutor("processes", num_workers=1), on_state=watch)

    assert state.is_successful()
    assert state.result[survivor].result == "survived"
    assert state.result[below].result == 2
    assert watch.states("dying") == ["Running", "Pending", "Running", "Success"]
    lost = watch.of("dying")[1]
    assert lost.worker == "worker-0"
    assert str(lost.message).startswith(
        "attempt lost: the process that ran task 'dying' died with exit"
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_task_whose_process_is_killed_from_outside_runs_again(folder):
    with Flow("killed from outside") as flow:
        held = holding(folder)

    def kill_it(record):
        began = wait_until(lambda: marks(folder, "holding-began"))
        if len(began) == 1:
            os.kill(int(began[0].read_text()), signal.SIGKILL)
        (folder / "go").touch()

    watch = Watch("holding", "Running", kill_it)
    state = flow.run(executor=LocalDaskExecutor("processes", num_workers=2), on_state=watch)

    assert state.result[held].result == "let go"
    assert len(marks(folder, "holding-began")) == 2
    assert "exit code -9" in str(watch.of("holding")[1].message)


def test_a_task_that_kills_four_processes_is_given_up_and_the_rest_goes_on(folder):
    with Flow("kills processes") as flow:
        fatal = dying_at_once(folder, times=99)
        sibling = counted(folder, "sibling")
        below = add(fatal)
    watch = Watch()

    state = flow.run(executor=LocalDaskExecutor("processes", num_workers=2), on_state=watch)

    tasks = state.result
    assert state.is_failed()
    assert len(marks(folder, "dying")) == 4
    assert type(tasks[fatal]) is Crashed
    assert type(tasks[fatal].result) is ProcessDied
    assert (tasks[fatal].result.exit_code, tasks[fatal].result.deaths) == (3, 4)
    assert "exit code 3 (the last of 4 that did)" in tasks[fatal].message
    assert tasks[sibling].result == 1
    assert watch.states("add") == ["TriggerFailed"]
    assert tasks[below].message.startswith("'add' did not run: 'dying_at_once' crashed: ")


ISOLATING = [
    pytest.param(LocalExecutor(), id="local"),
    pytest.param(LocalDaskExecutor("threads", num_workers=2), id="threads"),
    pytest.param(LocalDaskExecutor("processes", num_workers=2), id="processes"),
]


@task(isolation="process")
def isolated(folder: Path) -> None:
    note(folder, "isolated")
    os._exit(5)


@pytest.mark.parametrize("executor", ISOLATING)
def test_an_isolated_task_that_ends_its_process_is_crashed_at_once(folder, executor):
    with Flow("isolated") as flow:
        fatal = isolated(folder)
    watch = Watch()

    state = flow.run(executor=executor, on_state=watch)

    assert type(state.result[fatal]) is Crashed
    assert state.result[fatal].result.exit_code == 5
    assert len(marks(folder, "isolated")) == 1
    assert watch.states("isolated") == ["Running", "Crashed"]


@task(isolation="process", max_retries=2, retry_delay=timedelta(0))
def isolated_with_retries(folder: Path) -> str:
    note(folder, "isolated")
    if len(marks(folder, "isolated")) < 3:
        os._exit(5)
    return "survived"


@pytest.mark.parametrize("executor", ISOLATING)
def test_an_isolated_task_that_ends_its_process_is_tried_again_as_it_asks(folder, executor):
    with Flow("isolated") as flow:
        survivor = isolated_with_retries(folder)
    watch = Watch()

    state = flow.run(executor=executor, on_state=watch)

    assert state.result[survivor].result == "survived"
    one_try = ["Running", "Crashed", "Retrying"]
    assert watch.states("isolated_with_retries") == one_try * 2 + ["Running", "Success"]
