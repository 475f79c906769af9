"""A run that goes on in another process is followed and cancelled; one that is detached outlives who began it."""

import threading
import time
from pathlib import Path

import psutil
import pytest

import prefect_dask
from prefect_dask import Flow, attach, cancel, resume, task
from prefect_dask.by_hand import set_success
from prefect_dask.engine.errors import ResultLost
from prefect_dask.engine.signals import PAUSE
from prefect_dask.engine.state import Cancelled, Failed, Mapped, Paused, Success
from prefect_dask.executors import LocalDaskExecutor, LocalExecutor
from prefect_dask.ledger import Ledger
from prefect_dask.ledger.errors import NothingRecorded, UnknownRun
from prefect_dask.ledger.facts import RecordedFlowRun
from prefect_dask.limits import limits, set_limit
from prefect_dask.progress import Watch
from prefect_dask.recorded_progress import RecordedProgress
from prefect_dask.resources import ResourceManager
from prefect_dask.steering import RunIsOver, RunNotOver
from tests.durability import flows_to_steer
from tests.durability.flows_to_steer import begin
from tests.faults.bodies import marks
from tests.waiting import wait_until


def only_run(place: Path) -> str:
    """The id of the run in a ledger, once there is one."""

    def found() -> str:
        try:
            runs = Ledger(place).flow_runs()
        except NothingRecorded:
            return ""
        return runs[0].run_id if runs else ""

    return wait_until(found, 30, what="a run in the ledger")


@task
def one():
    return 1


@task
def broken():
    raise ValueError("no")


# ---- following


def test_a_run_of_another_process_is_followed_live_and_its_results_are_read(place, folder):
    program = begin("follow", place, folder)
    try:
        handle = attach(only_run(place), ledger=place)
        wait_until(lambda: marks(folder, "holding-began"), 30)
        wait_until(lambda: any(s.task_name == "holding" for s in handle.states()))
        assert handle.state.is_running()
        assert handle.run_id in repr(handle)
        with pytest.raises(RunNotOver):
            handle.wait(0.1)

        told = []
        for change in handle:
            told.append((change.task_name, change.map_index, change.state))
            if told[-1] == ("holding", -1, "Running"):
                (folder / "go").touch()
        state = handle.wait()
    finally:
        program.communicate(timeout=30)

    assert told[0] == ("", -1, "Running")
    assert told[-1] == ("", -1, "Success")
    assert ("half", 1, "Success") in told
    assert type(state) is Success
    states = state.result
    assert states["holding-1"].result == 42
    assert type(states["half-1"]) is Mapped
    assert states["half-1"].result == [21, 1]
    assert "holding 41" in [line.message for line in handle.logs()]


def test_with_the_flow_at_hand_states_are_found_by_task(place):
    with Flow("at hand", durable=False) as flow:
        first = one()
        failed = broken()
    flow.run(ledger=place)

    states = attach(only_run(place), flow, ledger=place).wait().result

    assert type(states[failed]) is Failed
    assert "no" in str(states[failed].result)
    with pytest.raises(ResultLost, match="was not stored"):
        _ = states[first].result


def test_the_progress_of_a_recorded_run_is_counted_as_the_run_itself_counts_it(place):
    @task
    def odd(x):
        if not x % 2:
            raise ValueError(f"{x} is even")
        return x

    with Flow("odds") as flow:
        odds = odd.map([1, 2, 3])
        one(upstream_tasks=[odds])
    live, lines = Watch(), []
    flow.run(ledger=place, progress=live)
    run_id = only_run(place)

    attached = Watch()
    state = attach(run_id, ledger=place).wait(progress=attached, on_line=lines.append)

    assert state.is_failed() and all("finished" in line.message for line in lines)
    then, now = live.look(), attached.look()
    assert (now.states, now.done, now.known) == (then.states, then.done, then.known)
    assert (now.run_id, now.state, now.failures) == (then.run_id, then.state, then.failures)
    assert [(t.name, t.states) for t in now.tasks] == [(t.name, t.states) for t in then.tasks]
    assert now.seconds == pytest.approx(then.seconds, abs=0.5)


def test_a_success_that_is_lost_is_taken_back_from_the_progress(place):
    with Flow("sums") as flow:
        broken(upstream_tasks=[one()])
    flow.run(ledger=place)
    ledger, watch = Ledger(place), Watch()
    progress = RecordedProgress(ledger, ledger.flow_run(only_run(place)), watch)
    assert progress.look() and not progress.look()
    assert watch.look().states == {"Success": 1, "Failed": 1}

    # It is Pending first, as where its worker took it along.
    set_success(only_run(place), "one", 2, ledger=place)

    assert progress.look()
    assert watch.look().states == {"Success": 1, "Failed": 1}


def test_who_follows_a_run_whose_process_dies_is_told(place, folder):
    program = begin("follow", place, folder)
    try:
        handle = attach(only_run(place), ledger=place)
        program.kill()
    finally:
        program.communicate(timeout=30)
    assert "died" in str(handle.wait(30).message)


# ---- cancelling


#: More than are through when the run is cancelled.
BRIEFS = 1000


@pytest.mark.parametrize("kind", ["local", "threads", "processes", "dask"])
def test_a_run_of_another_process_is_cancelled(place, folder, kind):
    briefs = 0 if kind == "local" else BRIEFS
    program = begin(kind, place, folder, briefs=briefs)
    try:
        run_id = only_run(place)
        wanted = ["asked", "stubborn", "brief"] if briefs else ["asked"]
        wait_until(lambda: all(marks(folder, f"{name}-began") for name in wanted), 40)
        processes = psutil.Process(program.pid).children(recursive=True)
        began = time.monotonic()

        state = cancel(run_id, ledger=place, grace_seconds=1)

        seconds = time.monotonic() - began
        _, err = program.communicate(timeout=40)
    finally:
        program.kill()
        program.communicate()
    assert program.returncode == 0, err
    assert type(state) is Cancelled
    assert seconds < 1 + 5
    states = state.result
    if briefs:
        last = max(float(path.read_text()) for path in marks(folder, "brief-began"))
        assert last < began + 2, "none begins later"
        children = states["brief-1"].map_states
        assert len(children) == briefs
        assert {type(child) for child in children} == {Success, Cancelled}
    assert states["until_cancelled-1"].result == "asked"
    assert [type(states[name]) for name in ("stubborn-1", "half-1")] == [Cancelled, Cancelled]
    assert states["Room.cleanup-1"].is_successful()
    assert len(marks(folder, "cleaned")) == 1
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive


def test_a_run_that_is_over_says_so_and_one_that_was_cancelled_stays_so(place):
    Flow("over", tasks=[one]).run(ledger=place)
    with pytest.raises(RunIsOver, match="Success"):
        cancel(only_run(place), ledger=place)
    with pytest.raises(UnknownRun):
        cancel("no such run", ledger=place)


@task
def asking():
    raise PAUSE("may it?")


def test_a_paused_run_which_is_nobodys_is_cancelled_in_the_ledger(place):
    with Flow("paused") as flow:
        one(upstream_tasks=[asking()])
    assert type(flow.run(ledger=place)) is Paused

    handle = attach(only_run(place), flow, ledger=place)
    assert type(handle.wait(5)) is Paused
    state = cancel(handle.run_id, ledger=place)

    assert type(state) is Cancelled
    assert type(cancel(handle.run_id, ledger=place)) is Cancelled, "to ask again is allowed"
    assert type(state.result["asking-1"]) is Cancelled
    assert [s.state for s in handle.states() if s.task < 0][-1] == "Cancelled"


def test_a_cancelled_run_can_be_taken_up_again(place, folder):
    program = begin("threads", place, folder)
    try:
        run_id = only_run(place)
        wait_until(lambda: marks(folder, "asked-began"), 30)
        state = attach(run_id, ledger=place).cancel(grace_seconds=0.5)
        assert type(state) is Cancelled
    finally:
        program.communicate(timeout=30)
    (folder / "go").touch()

    # What was asked to end came to Success; a `half` of text fails, and so says the flow.
    flow = flows_to_steer.flow_to_cancel(folder)
    state = resume(run_id, flow, ledger=place, executor=LocalExecutor())

    kinds = {flow.slugs[each]: type(its) for each, its in state.result.items()}
    assert kinds["stubborn-1"] is Success
    assert kinds["half-1"] is Failed


def test_cancel_and_finish_may_meet(place, folder):
    """Whichever is first, both say the same, and nobody waits for ever."""

    @task
    def short():
        return None

    for _ in range(5):
        with Flow("meets") as flow:
            for _ in range(20):
                short()
        known = {run.run_id for run in Ledger(place).flow_runs()} if place.exists() else set()
        seen: list[object] = []

        def meet(known: set[str] = known, seen: list[object] = seen) -> None:
            run = wait_until(lambda: [r for r in runs() if r.run_id not in known])[0]
            try:
                seen.append(type(cancel(run.run_id, ledger=place)))
            except RunIsOver as over:
                seen.append(over.state)

        def runs() -> list[RecordedFlowRun]:
            try:
                return Ledger(place).flow_runs()
            except NothingRecorded:
                return []

        thread = threading.Thread(target=meet)
        thread.start()
        state = flow.run(ledger=place)
        thread.join(30)
        assert seen[0] in (type(state), type(state).__name__)


def test_a_run_can_be_cancelled_by_its_own_task_and_in_memory():
    ledger = Ledger(":memory:")

    @task
    def cancelling():
        prefect_dask.cancel(prefect_dask.context.flow_run_id, ledger=ledger, wait=False)
        wait_until(lambda: prefect_dask.context.cancelled)

    with Flow("by itself") as flow:
        below = one(upstream_tasks=[cancelling()])
    state = flow.run(ledger=ledger)

    assert type(state) is Cancelled
    assert type(state.result[below]) is Cancelled


def test_a_cancelled_run_holds_no_slot_and_its_clean_ups_wait_for_theirs(place, folder):
    for name in ("task:stubborn", "task:Room.cleanup"):
        set_limit(name, 1, ledger=place)
    with Flow("limited") as flow, ResourceManager(flows_to_steer.Room)(folder) as room:
        for _ in range(3):
            flows_to_steer.stubborn(folder, upstream_tasks=[room])

    def cancel_it() -> None:
        wait_until(lambda: marks(folder, "stubborn-began"))
        cancel(only_run(place), ledger=place, grace_seconds=0.2)

    thread = threading.Thread(target=cancel_it)
    thread.start()
    state = flow.run(ledger=place, executor=LocalDaskExecutor("threads", 2))
    thread.join(30)

    assert type(state) is Cancelled
    assert len(marks(folder, "stubborn-began")) == 1
    assert len(marks(folder, "cleaned")) == 1
    assert [limit.holders for limit in limits(ledger=place)] == [(), ()]
