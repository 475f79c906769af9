"""The coordinating process is killed; another one goes on: what is finished and stored is not run again."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from prefect_dask import Flow, approve, context, restart, resume, task
from prefect_dask.engine import clock
from prefect_dask.engine.finish_log import ENDING
from prefect_dask.engine.state import LazyResult
from prefect_dask.executors import LocalDaskExecutor, LocalExecutor
from prefect_dask.ledger import Ledger
from prefect_dask.ledger.errors import RunAlive, RunSucceeded, UnknownRun
from prefect_dask.ledger.facts import RecordedState
from prefect_dask.recorded import FlowDiffers, NoFlowToResume, ParametersNotKept
from prefect_dask.resumption import histories
from prefect_dask.triggers import manual_only
from tests import lawful
from tests.durability import flows_that_die
from tests.durability.flows_that_die import FLOWS, notes
from tests.faults.cluster import REPOSITORY

EXECUTORS = [LocalExecutor(), LocalDaskExecutor("threads", 2), LocalDaskExecutor("processes", 1)]


@pytest.fixture
def diary(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where bodies note that they ran."""
    path = tmp_path / "notes"
    path.touch()
    monkeypatch.setenv("NOTES", str(path))
    monkeypatch.setenv("LEDGER", str(place))
    return path


def begin(flow: str, place: Path, dies: str = "1", **parameters: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, flows_that_die.__file__, flow, str(place), json.dumps(parameters)],
        env={**os.environ, "DIES": dies, "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.DEVNULL,
    )


def kill(flow: str, place: Path, dies: str = "1", **parameters: object) -> str:
    """Run a flow in a process that is killed on the way; the run's id."""
    assert begin(flow, place, dies, **parameters).wait(50) == -signal.SIGKILL
    return Ledger(place).flow_runs()[0].run_id


def resume_elsewhere(
    run_id: str, place: Path, dies: str = "1"
) -> subprocess.CompletedProcess[bytes]:
    """Go on with a run in a process that is killed on the way."""
    code = "import sys; from prefect_dask import resume; resume(sys.argv[1], ledger=sys.argv[2])"
    return subprocess.run(
        [sys.executable, "-c", code, run_id, str(place)],
        env={**os.environ, "DIES": dies, "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.DEVNULL,
        timeout=50,
    )


def check_lawful(place: Path, run_id: str) -> None:
    """Each task run's history is a lawful path, and none is told twice."""
    states = Ledger(place).states(run_id)
    lawful.check_lawful(states)
    numbers = [s.number for s in states if s.state != "Running"]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("executor", EXECUTORS, ids=["this thread", "threads", "processes"])
def test_finished_children_are_not_run_again(place, diary, executor):
    # x = 4 comes third: two of `first` and `second`, and one of `first`, are recorded before.
    run_id = kill("maps", place, "5", xs=[1, 3, 2, 5])
    assert Ledger(place).flow_run(run_id).state == "Crashed"
    before = notes(diary)

    state = resume(run_id[:12], ledger=place, executor=executor)

    assert state.is_successful()
    results = {t.name: s.result for t, s in state.result.items()}
    assert results["total"] == 2 * (1 + 3 + 2 + 5) + 4
    after = notes(diary)
    assert after["second[2]"] == 2, "it was running"
    done = {"first[0]", "first[1]", "first[2]", "second[0]", "second[1]"}
    assert {name for name in done if before[name]} == done
    assert {name: after[name] for name in done} == dict.fromkeys(done, 1)
    run = Ledger(place).flow_run(run_id)
    assert (run.state, len(Ledger(place).flow_runs())) == ("Success", 1)
    check_lawful(place, run_id)
    flow_states = [s.state for s in Ledger(place).states(run_id, -1)]
    assert flow_states == ["Running", "Crashed", "Pending", "Running", "Success"]
    [lost] = [s for s in Ledger(place).states(run_id) if "attempt lost" in str(s.message)]
    assert (lost.task_name, lost.map_index) == ("second", 2)


def test_it_may_be_killed_again_and_again(place, diary):
    run_id = kill("maps", place, "5", xs=[1, 3, 2, 5])
    for _ in range(3):
        assert resume_elsewhere(run_id, place, "5").returncode == -signal.SIGKILL
    assert resume(run_id, ledger=place).is_successful()
    counts = notes(diary)
    assert counts["second[2]"] == 5
    assert [counts[f"first[{i}]"] for i in range(3)] == [1, 1, 1]
    check_lawful(place, run_id)


@pytest.mark.parametrize("executor", EXECUTORS, ids=["this thread", "threads", "processes"])
def test_what_follows_a_result_that_is_gone_without_taking_it_goes_on(place, executor, tmp_path):
    go = tmp_path / "go"

    @task(durable=False)
    def in_memory():
        return object

    @task
    def follows():
        if not go.exists():
            raise ValueError("not yet")
        return "went on"

    with Flow("gone") as flow:
        after = follows(upstream_tasks=[in_memory()])
    assert flow.run(ledger=place).is_failed()
    go.touch()
    state = restart(Ledger(place).flow_runs()[0].run_id, flow, ledger=place, executor=executor)
    assert state.is_successful(), state.message
    assert state.result[after].result == "went on"


def test_results_in_memory_are_made_again_only_where_they_are_needed(place, diary):
    run_id = kill("memory only", place)
    assert resume(run_id, ledger=place).is_successful()
    assert notes(diary) == Counter(cheap=2, unneeded=1, kept=1, end=2)
    again = [s for s in Ledger(place).states(run_id) if "needed again" in str(s.message)]
    assert [s.task_name for s in again] == ["cheap"]
    check_lawful(place, run_id)


def test_retries_keep_their_count(place, diary):
    run_id = kill("retries", place)
    state = resume(run_id, ledger=place)
    assert [s.result for s in state.result.values()] == [3]
    assert [line.split()[3] for line in diary.read_text().splitlines()] == ["1", "2", "3", "3"]
    check_lawful(place, run_id)


def test_a_retry_keeps_its_time(place, diary):
    """Killed at the beginning of an hour's delay, taken up at the end of it."""
    run_id = kill("waits for a retry", place)
    [waits] = [s for s in Ledger(place).states(run_id) if s.state == "Retrying"]
    due = clock.to_datetime(waits.details["start_time"])
    assert waits.time < due
    began = clock.monotonic()
    with clock.settable() as hands:
        hands.set_by(due - clock.utc_now() - timedelta(seconds=1))
        assert resume(run_id, ledger=place).is_successful()

    assert clock.monotonic() - began < 20, "no other hour"
    [*_, second] = [s for s in Ledger(place).states(run_id, waits.task) if s.state == "Running"]
    assert (second.attempt, second.time >= due) == (2, True)
    assert notes(diary) == Counter(unsteady_for_long=2, beside=2)
    check_lawful(place, run_id)


def test_loops_keep_their_turn(place, diary):
    run_id = kill("loops", place)
    state = resume(run_id, ledger=place)
    assert [s.result for s in state.result.values()] == [[3, [2, [1, None]]]]
    assert notes(diary)["turning"] == 5
    check_lawful(place, run_id)


def test_flattened_maps_keep_their_children(place, diary):
    run_id = kill("flattened", place, "4")
    state = resume(run_id, ledger=place, executor=LocalDaskExecutor("threads", 2))
    assert {t.name: s.result for t, s in state.result.items()}["total"] == 2 * 6 + 3
    assert notes(diary)["lists"] == 1
    assert notes(diary)["first[0]"] == 1
    check_lawful(place, run_id)


def test_a_paused_run_is_paused_until_somebody_says_so(place, diary):
    assert FLOWS["pauses"].run(ledger=place).is_paused()
    [run] = Ledger(place).flow_runs()
    assert run.state == "Paused"
    assert resume(run.run_id, ledger=place).is_paused()
    assert notes(diary)["asking"] == 1
    assert Ledger(place).flow_run(run.run_id).state == "Paused"
    check_lawful(place, run.run_id)


def test_what_was_approved_goes_on_also_when_it_died_on_the_way(place, diary):
    assert FLOWS["approved"].run(ledger=place).is_paused()
    [run] = Ledger(place).flow_runs()
    approve(run.run_id, "asks_and_dies", ledger=place)
    done = resume_elsewhere(run.run_id, place)
    assert done.returncode == -signal.SIGKILL
    state = resume(run.run_id, ledger=place)
    assert [s.result for s in state.result.values()] == ["it may"]
    check_lawful(place, run.run_id)


@pytest.mark.parametrize(("retries_now", "state"), [(2, "Success"), (0, "Failed")])
def test_a_retry_of_which_nobody_was_told_any_more_is_made(place, diary, retries_now, state):
    run_id = kill("retries", place)
    ledger = Ledger(place)
    told = [s for s in ledger.states(run_id) if s.task == 0]
    second = [s for s in told if s.state == "Retrying"][1]
    with ledger.opened() as store:  # as if the process had died between the two
        store.execute("DELETE FROM states WHERE task = 0 AND number >= ?", (second.number,))
    assert [s.state for s in ledger.states(run_id) if s.task == 0][-1] == "Failed"

    @task(name="unsteady", max_retries=retries_now, retry_delay=0 if retries_now else None)
    def unsteady_now():
        return context.task_run_count

    with Flow("retries") as flow:
        unsteady_now()
    resume(run_id, flow, ledger=place)
    last = [s for s in ledger.states(run_id) if s.task == 0]
    assert last[-1].state == state
    assert len([s for s in last if s.state == "Failed"]) == 2
    if retries_now:
        assert (last[-1].attempt, last[-3].state) == (3, "Retrying")
    check_lawful(place, run_id)


def test_what_must_be_durable_is_so_when_it_is_over(place, diary):
    """Nothing but its beginning has reached the ledger when the process dies."""
    run_id = kill("dies at once", place)
    assert not [s for s in Ledger(place).states(run_id) if s.task >= 0]

    state = resume(run_id, ledger=place)

    counts = {
        "noted": 1,
        "noted[0]": 1,
        "noted[1]": 1,
        "noted[2]": 1,
        "at_once": 2,
        "lists_from": 1,
    }
    of_lists = {"noted_of_list[0]": 2, "noted_of_list[1]": 2, "noted_of_list[2]": 2}
    assert notes(diary) == Counter(counts | of_lists), "each once, of two maps over lists"
    results = {t.name: s.result for t, s in state.result.items()}
    lists = [[5], [], [6, 7]]
    assert results["at_once"] == ([1, {"x": -2}, 20_000], 0, lists, [5, 6, 7])
    told = Counter(s.state for s in Ledger(place).states(run_id) if s.task_name == "noted")
    assert (told["Success"], told["Failed"]) == (3, 1)
    check_lawful(place, run_id)


def test_the_children_of_a_map_that_is_laid_out_anew_begin_anew(place, diary, monkeypatch):
    """Secrets outlive no process, and what they are mapped over was in memory."""
    monkeypatch.setenv("PREFECT__CONTEXT__SECRETS__A", "x")
    monkeypatch.setenv("PREFECT__CONTEXT__SECRETS__B", "xyz")
    run_id = kill("mapped secrets", place)

    state = resume(run_id, ledger=place)

    assert state.is_successful(), state.message
    check_lawful(place, run_id)


def test_what_a_failed_task_left_is_left_also_after_a_resume(place):
    @task
    def fails():
        raise LookupError("nowhere")

    @task(trigger=manual_only)
    def below(error):
        return error

    with Flow("exceptions") as flow:
        end = below(fails())
    assert flow.run(ledger=place).is_paused()
    [run] = Ledger(place).flow_runs()
    approve(run.run_id, "below", ledger=place)
    error = resume(run.run_id, flow, ledger=place).result[end].result
    assert (type(error), error.args) == (LookupError, ("nowhere",))


def test_a_loop_that_was_restarted_and_died_goes_on_from_its_new_turns():
    def recorded(*names: str) -> list[RecordedState]:
        now = clock.utc_now()
        return [
            RecordedState(n, 0, "t", -1, 1, name, None, now, "", {"loop_count": 1})
            for n, name in enumerate(names)
        ]

    results = dict.fromkeys(range(9), LazyResult())
    begun = ("Running", "Looped", "Running", "Failed")
    retried = histories(recorded(*begun, "Retrying", "Running"), results)
    restarted = histories(recorded(*begun, "Pending", "Running"), results)
    assert retried[0, -1].turn is not None
    assert restarted[0, -1].turn is None


def test_a_failed_run_is_restarted_from_what_failed(place, diary, monkeypatch):
    assert FLOWS["fails"].run(ledger=place).is_failed()
    [run] = Ledger(place).flow_runs()
    assert resume(run.run_id, ledger=place).is_failed()
    assert notes(diary) == Counter(first=1, broken_at_first=1)

    monkeypatch.setenv("MENDED", "1")
    state = restart(run.run_id, ledger=place)
    assert state.is_successful()
    assert notes(diary) == Counter(first=1, broken_at_first=2, second=1)
    check_lawful(place, run.run_id)


def test_what_cannot_be_resumed_is_said(place, diary, tmp_path):
    @task
    def one():
        return 1

    with pytest.raises(Exception, match="no ledger"):
        resume("0", ledger=place)
    flow = Flow("here", tasks=[one])
    flow.run(ledger=place)
    with pytest.raises(UnknownRun):
        resume("nothing", ledger=place)
    [run] = Ledger(place).flow_runs()
    with pytest.raises(RunSucceeded, match="nothing of it is left"):
        resume(run.run_id, ledger=place)

    run_id = kill("loops", place)
    with pytest.raises(FlowDiffers, match="it has one-1, which did not run; it lacks turning-1"):
        resume(run_id, flow, ledger=place)
    with Ledger(place).opened() as store:
        store.execute("UPDATE flow_runs SET origin = NULL")
    with pytest.raises(NoFlowToResume, match=r"made in no file; .* give it with flow="):
        resume(run_id, ledger=place)
    assert resume(run_id, FLOWS["loops"], ledger=place).is_successful()

    run_id = kill("maps", place, "5", xs=[1, 3, 2])
    with Ledger(place).opened() as store:
        store.execute("UPDATE flow_runs SET pickled = NULL")
    with pytest.raises(ParametersNotKept, match="'xs'"):
        resume(run_id, FLOWS["maps"], ledger=place)
    assert resume(run_id, FLOWS["maps"], ledger=place, parameters={"xs": [1, 3, 2]})


def test_a_run_that_is_alive_is_left_alone(place):
    seen = []

    @task
    def look():
        [run] = Ledger(place).flow_runs()
        with pytest.raises(RunAlive, match=f":{os.getpid()}:"):
            resume(run.run_id, flow, ledger=place)
        seen.append(run)

    flow = Flow("alive", tasks=[look])
    assert flow.run(ledger=place).is_successful()
    assert seen


def test_changed_code_is_told(place, diary, caplog):
    run_id = kill("loops", place)

    def flow_of(result: str) -> Flow:
        @task(name="turning")
        def other():
            return result

        with Flow("loops") as flow:
            other()
        return flow

    state = resume(run_id, flow_of("other"), ledger=place)
    assert [s.result for s in state.result.values()] == ["other"]
    assert "the code of 'turning' is not" in caplog.text


def test_of_changed_code_it_is_told_what_becomes_of_it(place, caplog):
    def flow_of(one: int, *, fails: bool) -> Flow:
        @task
        def made():
            return one

        @task
        def taken(x):
            if fails:
                raise ValueError("not yet")
            return x

        with Flow("changed") as flow:
            taken(made())
        return flow

    flow_of(1, fails=True).run(ledger=place)
    [run] = Ledger(place).flow_runs()

    state = restart(run.run_id, flow_of(100, fails=False), ledger=place)

    assert [s.result for t, s in state.result.items() if t.name == "taken"] == [1]
    ran = [line for line in caplog.messages if "is not, or may not be" in line]
    assert ["'made'" in line for line in ran] == [False, True]
    assert "what still has to run uses it as it is now" in ran[0]
    assert "their results are those of the code as it was" in ran[1]


def test_what_a_run_keeps_is_kept_also_when_it_is_taken_up(place, diary, home, monkeypatch):
    monkeypatch.setenv("DURABLE", "true")
    run_id = kill("maps", place, "5", xs=[1, 3, 2, 5])
    noted = home / "results" / run_id
    assert len(list(noted.glob(f"*{ENDING}"))) == 1

    assert resume(run_id, ledger=place).is_successful()

    assert len(list(noted.glob(f"*{ENDING}"))) == 2, "this process notes ends, too"
    assert max(notes(diary).values()) == 2
