"""A task run is set to Success, or approved, by hand; the run goes on below it, and never runs that task."""

import getpass
import threading
from collections import Counter
from pathlib import Path

import pytest

from prefect_dask import (
    Flow,
    Parameter,
    approve,
    context,
    flatten,
    restart,
    resume,
    set_success,
    task,
)
from prefect_dask.by_hand import NotByHand, NotPaused
from prefect_dask.engine import signals
from prefect_dask.engine.result import StoreFailed
from prefect_dask.ledger import Ledger
from prefect_dask.ledger.errors import RunAlive, RunSucceeded, UnknownRecordedTask, UnknownTaskRun
from prefect_dask.ledger.leases import Decided, decide
from prefect_dask.ledger.taking_up import find_run
from prefect_dask.tasks.secrets import PrefectSecret
from prefect_dask.triggers import all_finished, manual_only
from tests.lawful import check_lawful

ran: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder that is not there yet; no body has run."""
    ran.clear()
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def count(name: str) -> None:
    index = context.get("map_index")
    ran[name if index is None else f"{name}[{index}]"] += 1


@task
def fetch(x):
    count("fetch")
    if x < 0:
        raise ValueError("the server is away")
    return x


@task
def double(x):
    count("double")
    return 2 * x


@task
def total(xs):
    count("total")
    return sum(xs)


@task(trigger=all_finished)
def report(x):
    count("report")
    return str(x)


def last_run(ledger: Ledger) -> str:
    return ledger.flow_runs()[0].run_id


def states_of(ledger: Ledger, name: str, map_index: int = -1) -> list[str]:
    run_id = last_run(ledger)
    which = ledger.flow(run_id).task(name)
    return [state.state for state in ledger.states(run_id, which.index, map_index)]


def test_what_lies_below_a_task_that_is_set_to_success_goes_on(url, ledger):
    with Flow("sums") as flow:
        fetched = fetch(-1)
        end = total([double(fetched), fetch(5)])
        reported = report(fetched)
    assert flow.run(ledger=url).is_failed()
    before = ran.copy()

    set_success(last_run(ledger), "fetch-1", 20, ledger=url, reason="read from the paper")
    state = resume(last_run(ledger), flow, ledger=url)

    assert state.is_successful()
    assert state.result[fetched].result == 20
    assert state.result[end].result == 45
    assert state.result[reported].result == "the server is away", "what had run stays"
    assert ran - before == Counter(double=1, total=1)
    assert states_of(ledger, "fetch-1") == ["Running", "Failed", "Success"]
    assert states_of(ledger, "double") == ["TriggerFailed", "Pending", "Running", "Success"]
    [by_hand] = [s for s in ledger.states(last_run(ledger)) if "by hand" in str(s.message)]
    assert f"by {getpass.getuser()}@" in str(by_hand.message)
    assert str(by_hand.message).endswith(": read from the paper")
    check_lawful(ledger.states(last_run(ledger)))


def test_a_child_is_set_and_its_own_column_goes_on(url, ledger):
    with Flow("map") as flow:
        end = total(double.map(fetch.map(Parameter("xs"))))
    assert flow.run(xs=[1, -1, 3], ledger=url).is_failed()
    before = ran.copy()

    set_success(last_run(ledger), "fetch", 2, 1, ledger=ledger)
    state = resume(last_run(ledger), flow, ledger=url)

    assert state.result[end].result == 12
    assert ran - before == {"double[1]": 1, "total": 1}
    check_lawful(ledger.states(last_run(ledger)))


def test_a_map_that_had_nothing_to_be_mapped_over_gets_its_children(url, ledger):
    with Flow("no list") as flow:
        fetched = fetch(-1)
        end = total(double.map(fetched))
    assert flow.run(ledger=url).is_failed()

    set_success(last_run(ledger), fetched, [1, 2], ledger=url)
    assert resume(last_run(ledger), flow, ledger=url).result[end].result == 6
    assert states_of(ledger, "double") == ["Failed", "Pending", "Mapped"]


def test_what_was_skipped_because_of_it_runs_and_what_was_skipped_for_itself_does_not(url, ledger):
    @task
    def skip():
        raise signals.SKIP("not today")

    with Flow("skips") as flow:
        skipped = skip(task_args={"name": "first"})
        below = double(skipped)
        other = double(skip(task_args={"name": "second"}), task_args={"name": "other"})
        fetch(-1)
    assert flow.run(ledger=url).is_failed()

    set_success(last_run(ledger), "first", 4, ledger=url)
    state = resume(last_run(ledger), flow, ledger=url)
    assert state.result[below].result == 8
    assert state.result[other].is_skipped()
    assert states_of(ledger, "first") == ["Running", "Skipped", "Pending", "Success"]


@pytest.mark.parametrize("how", ["restart", "set_success"])
def test_a_list_that_was_missing_when_it_was_flattened_gives_all_its_items(tmp_path, how):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    is_mended = []

    @task
    def lists(x):
        if x == 1 and not is_mended:
            raise ValueError("not yet")
        return [10 * x, 10 * x + 1, 10 * x + 2][: x + 1]

    with Flow("flattened") as flow:
        doubled = double.map(flatten(lists.map([0, 1, 2])))
        end = total(fetch.map(doubled))
    flow.run(ledger=ledger)
    is_mended.append(True)
    if how == "restart":
        state = restart(last_run(ledger), flow, ledger=ledger)
    else:
        set_success(last_run(ledger), "lists", [10, 11], 1, ledger=ledger)
        state = resume(last_run(ledger), flow, ledger=ledger)
    assert state.result[doubled].result == [0, 20, 22, 40, 42, 44]
    assert state.result[end].result == 168
    check_lawful(ledger.states(last_run(ledger)))
    assert ran["total"] == 1
    # Once more, and nothing of it is done again: it is all there.
    with pytest.raises(RunSucceeded):
        resume(last_run(ledger), flow, ledger=ledger)


def test_a_large_result_is_kept_in_a_file_also_of_a_task_that_writes_its_results(
    url, ledger, home, tmp_path
):
    large = list(range(50_000))
    with Flow("large") as flow:
        fetch(-1, task_args={"name": "plain"})
        written = fetch(
            -1, task_args={"name": "written", "checkpoint": True, "result": str(tmp_path / "own")}
        )
        end = total(written)
    assert flow.run(ledger=url).is_failed()
    for name in ("plain", "written"):
        set_success(last_run(ledger), name, large, ledger=url)
    assert len(list(home.joinpath("results", last_run(ledger)).iterdir())) == 2
    assert resume(last_run(ledger), flow, ledger=url).result[end].result == sum(large)


def test_a_restart_leaves_alone_what_was_set_by_hand(url, ledger):
    with Flow("two failures") as flow:
        first, second = fetch(-1), fetch(-2)
    assert flow.run(ledger=url).is_failed()
    before = ran.copy()
    set_success(last_run(ledger), "fetch-1", 1, ledger=url)
    state = restart(last_run(ledger), flow, ledger=url)
    assert (state.result[first].result, state.result[second].is_failed()) == (1, True)
    assert ran - before == Counter(fetch=1)


def test_a_task_that_never_ran_can_be_set(url, ledger):
    with Flow("stopped early") as flow:
        asked = fetch(1, task_args={"trigger": manual_only})
        end = double(asked)
    assert flow.run(ledger=url).is_paused()
    set_success(last_run(ledger), "double", 7, ledger=url)
    set_success(last_run(ledger), asked, 7, ledger=url)
    state = resume(last_run(ledger), flow, ledger=url)
    assert (state.is_successful(), state.result[end].result, ran) == (True, 7, Counter())


def test_an_approved_pause_goes_on_at_the_next_resume(url, ledger):
    with Flow("asks") as flow:
        asked = fetch(1, task_args={"trigger": manual_only})
        end = double(asked)
    assert flow.run(ledger=url).is_paused()
    run_id = last_run(ledger)

    approve(run_id[:10], "fetch", ledger=url, reason="looks right")
    assert ledger.flow_run(run_id).state == "Paused"
    state = resume(run_id, flow, ledger=url)

    assert state.result[end].result == 2
    assert states_of(ledger, "fetch") == ["Paused", "Resume", "Running", "Success"]
    check_lawful(ledger.states(run_id))


def test_a_paused_child_is_approved_alone(url, ledger):
    with Flow("asks each") as flow:
        asked = fetch.map([1, 2], task_args={"trigger": manual_only})
    assert flow.run(ledger=url).is_paused()
    approve(last_run(ledger), asked, 1, ledger=url)
    state = resume(last_run(ledger), flow, ledger=url)
    assert state.is_paused()
    assert [s.is_successful() for s in state.result[asked].map_states] == [False, True]


def test_what_cannot_be_done_by_hand_is_said(url, ledger):
    with Flow("mixed") as flow:
        secret = PrefectSecret("TOKEN")
        report(secret)
        total(double.map([1, 2]))
        fetch(1), fetch(-1)
    flow.run(ledger=url, context={"secrets": {"TOKEN": "open-sesame"}})
    run_id = last_run(ledger)
    states = ledger.states(run_id)

    with pytest.raises(UnknownRecordedTask, match=r"several tasks 'fetch'; .* fetch-1, fetch-2"):
        set_success(run_id, "fetch", 1, ledger=url)
    with pytest.raises(UnknownRecordedTask, match="did you mean 'double-1'"):
        set_success(run_id, "double-2", 1, ledger=url)
    with pytest.raises(UnknownTaskRun, match=r"has 2 children, counted from 0; say which"):
        set_success(run_id, "double", 1, ledger=url)
    with pytest.raises(UnknownTaskRun, match="has 2 children"):
        set_success(run_id, "double", 1, 2, ledger=url)
    with pytest.raises(UnknownTaskRun, match="is not mapped"):
        set_success(run_id, "total", 1, 0, ledger=url)
    with pytest.raises(NotByHand, match="'TOKEN' makes a secret"):
        set_success(run_id, "TOKEN", "x", ledger=url)
    with pytest.raises(NotByHand, match="a secret is in it"):
        set_success(run_id, "total", "Bearer open-sesame", ledger=url)
    with pytest.raises(StoreFailed, match="keep the result of task 'total-1'"):
        set_success(run_id, "total", threading.Lock(), ledger=url)
    with pytest.raises(NotPaused, match="'total' is Success"):
        approve(run_id, "total", ledger=url)
    assert ledger.states(run_id) == states


def test_a_run_that_is_alive_or_a_success_is_left_alone(url, ledger):
    @task
    def look():
        with pytest.raises(RunAlive):
            set_success(last_run(ledger), "look", 1, ledger=url)
        with pytest.raises(RunAlive):
            approve(last_run(ledger), "look", ledger=url)

    assert Flow("alive", tasks=[look]).run(ledger=url).is_successful()
    with pytest.raises(RunSucceeded):
        set_success(last_run(ledger), "look", 1, ledger=url)


def test_of_two_who_decide_at_once_the_second_looks_again(url, ledger):
    flow = Flow("twice")
    fetch(-1, flow=flow)
    flow.run(ledger=url)
    found = find_run(ledger, last_run(ledger))
    change = [Decided(0, -1, 1, "Success", "by hand")]
    with ledger.opened() as store:
        assert decide(store, found.run.key, found.fence, change, 1.0)
        assert not decide(store, found.run.key, found.fence, change, 1.0)
    assert states_of(ledger, "fetch") == ["Running", "Failed", "Success"]
