"""Ctrl-C during a run: what runs is ended, nothing is left, and the exception holds the states reached."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from prefect_dask import Flow, task, unmapped
from prefect_dask.engine.errors import RunInterrupted
from prefect_dask.executors import DaskExecutor, Executor, LocalDaskExecutor, LocalExecutor
from tests.faults.bodies import counted, hold, holding, marks, note, number
from tests.faults.cluster import REPOSITORY, keys_on, wait_until_empty
from tests.faults.watching import Watch
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(
    not hasattr(os, "killpg"), reason="this system has no process groups to send Ctrl-C to"
)

#: Executors that tell nothing before the body ends.
IN_THIS_THREAD = ["local", "synchronous"]


def interrupt_a_program(kind, folder, address="", *, whole_group=False, when=None):
    """Run a flow in a program of its own, send it Ctrl-C, and read what it tells.

    Args:
        when: Answers whether the moment has come, given the program; by default in mid-task.
    """
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.interrupted_run", kind, str(folder), address],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        if when is not None:
            wait_until(lambda: when(psutil.Process(program.pid)), 30)
        else:
            wait_until(lambda: marks(folder, "holding-began"), 30)
            if kind not in IN_THIS_THREAD:
                wait_until(lambda: marks(folder, "holding-known"))
        children = psutil.Process(program.pid).children(recursive=True)
        (os.killpg if whole_group else os.kill)(program.pid, signal.SIGINT)
        out, err = program.communicate(timeout=30)
    finally:
        program.kill()
        program.communicate()
    assert program.returncode == 0, err
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, err
    return json.loads(out), err


def check(told):
    assert told["flow"] == "Cancelled"
    assert told["states"]["number"] == "Success"
    assert told["states"]["add"] == "Pending"
    assert told["first"] == 41
    assert not told["threads"]


@pytest.mark.parametrize("kind", [*IN_THIS_THREAD, "threads", "processes", "dask"])
def test_ctrl_c_ends_the_run_and_leaves_nothing(folder, kind):
    told, err = interrupt_a_program(kind, folder)

    check(told)
    assert told["states"]["holding"] == "Cancelled"
    assert not [line for line in told["children"] if "resource_tracker" not in str(line)]
    assert "Traceback" not in err


@pytest.mark.parametrize("kind", ["processes", "dask"])
def test_ctrl_c_in_a_terminal_that_reaches_all_processes_does_the_same(folder, kind):
    told, err = interrupt_a_program(kind, folder, whole_group=True)

    check(told)


def test_ctrl_c_while_a_cluster_starts_leaves_nothing(folder):
    def starts(program):
        lines = [" ".join(process.cmdline()) for process in program.children(recursive=True)]
        return [line for line in lines if "spawn_main" in line]

    told, err = interrupt_a_program("dask", folder, when=starts)

    assert told["flow"] == "Cancelled"
    assert set(told["states"].values()) == {"Pending"}
    assert not [line for line in told["children"] if "resource_tracker" not in str(line)]
    assert "Traceback" not in err


def test_ctrl_c_leaves_no_key_and_no_running_body_on_a_cluster(folder, standing_cluster):
    told, _ = interrupt_a_program("dask", folder, standing_cluster.address)

    check(told)
    wait_until(lambda: marks(folder, "holding-ended"))  # though nobody let it go
    wait_until_empty(standing_cluster)
    with Flow("after") as flow:
        ran = number(2)
    state = flow.run(executor=DaskExecutor(standing_cluster.address))
    assert state.result[ran].result == 2


@task
def interrupting():
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("executor", [LocalExecutor(), LocalDaskExecutor("synchronous")])
def test_ctrl_c_within_a_body_in_this_thread_ends_the_run(folder, executor):
    with Flow("interrupted") as flow:
        first = number(41)
        hit = interrupting(upstream_tasks=[first])
        below = counted(folder, "below", upstream_tasks=[hit])
    watch = Watch()

    with pytest.raises(RunInterrupted) as caught:
        flow.run(executor=executor, on_state=watch)

    tasks = caught.value.state.result
    assert tasks[first].result == 41
    assert tasks[hit].is_cancelled()
    assert tasks[below].is_pending()
    assert watch.states("number") == ["Running", "Success"]
    assert not marks(folder, "below")


@pytest.mark.parametrize("kind", ["threads", "processes", "dask"])
def test_ctrl_c_while_others_run_ends_their_bodies(folder, kind, standing_cluster):
    executor = (
        DaskExecutor(standing_cluster.address)
        if kind == "dask"
        else LocalDaskExecutor(kind, num_workers=2)
    )
    with Flow("interrupted") as flow:
        held = [holding(folder, "one"), holding(folder, "two")]
        below = counted(folder, "below", upstream_tasks=held)

    main = threading.main_thread().ident
    assert main is not None

    seen = itertools.count(1)

    def interrupt(record):
        if next(seen) == 2:
            wait_until(lambda: marks(folder, "one-began") and marks(folder, "two-began"))
            signal.pthread_kill(main, signal.SIGINT)

    with pytest.raises(RunInterrupted) as caught:
        flow.run(executor=executor, on_state=Watch("holding", "Running", interrupt))

    tasks = caught.value.state.result
    assert [tasks[one].is_cancelled() for one in held] == [True, True]
    assert tasks[below].is_pending()
    if kind != "processes":  # there the process ends, and can leave no mark
        wait_until(lambda: marks(folder, "one-ended") and marks(folder, "two-ended"))
    if kind == "dask":
        wait_until_empty(standing_cluster)


@task(isolation="process")
def sleeping(folder):
    note(folder, "sleeping")
    time.sleep(60)


@pytest.mark.parametrize("kind", ["local", "threads", "processes", "dask"])
def test_ctrl_c_ends_an_isolated_body_also_one_that_sleeps(folder, kind, standing_cluster):
    executor: Executor
    if kind == "dask":
        executor = DaskExecutor(standing_cluster.address)
    else:
        executor = LocalExecutor() if kind == "local" else LocalDaskExecutor(kind, num_workers=1)
    with Flow("sleeps") as flow:
        sleeping(folder)
    main = threading.main_thread().ident
    assert main is not None

    def interrupt():
        wait_until(lambda: marks(folder, "sleeping"))
        signal.pthread_kill(main, signal.SIGINT)

    presser = threading.Thread(target=interrupt)
    presser.start()
    with pytest.raises(RunInterrupted):
        flow.run(executor=executor)
    presser.join()

    body = int(marks(folder, "sleeping")[0].read_text())
    wait_until(lambda: not psutil.pid_exists(body))


def test_a_retry_that_is_waited_for_is_interrupted_at_once(folder):
    @task(max_retries=1, retry_delay=3600)
    def failing():
        raise ValueError("not yet")

    with Flow("waiting") as flow:
        waits = failing()
    main = threading.main_thread().ident
    assert main is not None
    watch = Watch("failing", "Retrying", lambda _: signal.pthread_kill(main, signal.SIGINT))

    with pytest.raises(RunInterrupted) as caught:
        flow.run(executor=LocalDaskExecutor("threads"), on_state=watch)

    assert caught.value.state.result[waits].is_retrying()


def test_finished_results_of_an_interrupted_run_stay_with_an_ambient_client(
    folder, standing_cluster
):
    with Flow("interrupted") as flow:
        first = number(41)
        held = holding(folder, upstream_tasks=[first])
    main = threading.main_thread().ident
    assert main is not None
    watch = Watch("holding", "Running", lambda _: signal.pthread_kill(main, signal.SIGINT))

    with standing_cluster.client(set_as_default=True) as client:
        with pytest.raises(RunInterrupted) as caught:
            flow.run(executor=DaskExecutor(), on_state=watch)
        states = caught.value.state.result
        del caught
        assert states[first].result == 41
        (folder / "go").touch()
        again = flow.run(executor=DaskExecutor(), task_states={first: states[first]})
        assert again.result[held].result == "let go"
        del states, again
        wait_until(lambda: not keys_on(client))


@task
def letting_the_stop_pass(child, folder):
    with contextlib.suppress(BaseException):
        hold(folder, f"child-{child}")


def test_after_ctrl_c_a_batch_begins_no_other_child_though_one_lets_the_stop_pass(
    folder, standing_cluster
):
    with Flow("batch") as flow:
        letting_the_stop_pass.map([0, 1], unmapped(folder), batch=2)
    main = threading.main_thread().ident
    assert main is not None

    def interrupt(_):
        wait_until(lambda: marks(folder, "child-0-began"))
        signal.pthread_kill(main, signal.SIGINT)

    def keep_busy(folder):
        (folder / "busy").touch()
        while not (folder / "go").exists():
            threading.Event().wait(0.02)

    watch = Watch("letting_the_stop_pass", "Running", interrupt)
    with standing_cluster.client() as client:  # whose workers have one thread each
        workers = list(client.nthreads())
        # Where Ctrl-C takes its time, the second child goes to another worker, for the first one to keep it waiting
        # no longer; that is not what is meant here.
        busy = client.submit(keep_busy, folder, workers=workers[:1])
        wait_until((folder / "busy").exists)
        with pytest.raises(RunInterrupted):
            flow.run(executor=DaskExecutor(standing_cluster.address), on_state=watch)

        wait_until(lambda: marks(folder, "child-0-ended"))
        (folder / "go").touch()
        busy.result(20)
        for worker in workers:
            client.submit(int, workers=[worker], pure=False).result(20)
    assert not marks(folder, "child-1-began")


def test_finished_results_of_a_batch_outlive_ctrl_c_also_where_another_child_was_running(
    folder, standing_cluster
):
    @task
    def holds_at_five(child):
        if child == 5:
            hold(folder, "five")
        return child

    with Flow("batches") as flow:
        mapped = holds_at_five.map(list(range(6)), batch=4)
    main = threading.main_thread().ident
    assert main is not None
    # Where the nodes run on two workers, the ends are told before it is that the last child runs.
    awaited = {(child, "Success") for child in range(5)} | {(5, "Running")}

    def interrupt(records):
        if awaited:
            awaited.difference_update((record.map_index, record.state) for record in records)
            if not awaited:
                signal.pthread_kill(main, signal.SIGINT)

    with pytest.raises(RunInterrupted) as caught:
        flow.run(executor=DaskExecutor(standing_cluster.address), on_state=interrupt)

    children = caught.value.state.result[mapped].map_states
    assert [child.result for child in children[:5]] == [0, 1, 2, 3, 4]
    assert children[5].is_cancelled()
