"""A recorded task run is run again here, with what it had then; nothing of that is kept."""

import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from prefect_dask import (
    Flow,
    Parameter,
    approve,
    context,
    flatten,
    replay,
    restart,
    resume,
    task,
    unmapped,
)
from prefect_dask.engine import signals
from prefect_dask.engine.durable import INLINE_BYTES
from prefect_dask.executors import LocalDaskExecutor
from prefect_dask.ledger import Ledger
from prefect_dask.ledger.errors import UnknownRecordedTask, UnknownTaskRun
from prefect_dask.replaying import InputsNotStored
from prefect_dask.tasks.secrets import PrefectSecret
from prefect_dask.triggers import all_finished, manual_only

seen: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_seen():
    seen.clear()


@task
def make(x):
    return x


@task
def look(**inputs):
    seen.append(inputs)
    return inputs


@task
def look_at(x, y=None):
    seen.append((x, y))
    return x


def last_run(place: Path) -> str:
    return Ledger(place).flow_runs()[0].run_id


def test_a_task_run_gets_what_it_had(place):
    large = b"x" * (2 * INLINE_BYTES)
    with Flow("inputs") as flow:
        look(
            constant=7,
            parameter=Parameter("p"),
            stored=make(large),
            collection=[make(1), {"a": make(2)}],
            children=make.map([3, 4]),
            item=make([5, 6])[1],
        )
    flow.run(p={"q": 1}, ledger=place)
    state = replay(last_run(place), "look", flow=flow, ledger=place)
    assert state.is_successful()
    assert seen[0] == seen[1] == state.result
    assert state.result["stored"] == large
    assert state.result["collection"] == [1, {"a": 2}]


def test_a_child_gets_its_items(place):
    with Flow("children") as flow:
        lists = make.map([[1, 2], [], [3]])
        flat = look_at.map(flatten(lists), unmapped(make(9)), task_args={"name": "flat"})
        column = look_at.map(flat, y=[10, 20, 30], task_args={"name": "column"})
        look_at.map(flatten([[1], [2, 3]]), task_args={"name": "given"})
    flow.run(ledger=place, executor=LocalDaskExecutor("threads", 2))
    seen.clear()
    for name, index in (("flat", 2), (column, 1), ("given", 2), (flat, 0)):
        assert replay(last_run(place), name, index, flow=flow, ledger=place).is_successful()
    assert seen == [(3, 9), (2, 20), (3, None), (1, 9)]


def test_its_context_is_what_it_was(place):
    names = (
        *("flow_run_id", "flow_run_name", "scheduled_start_time", "parameters", "map_index"),
        *("task_run_count", "task_run_id", "task_full_name", "resume", "today", "config_of_mine"),
    )

    @task(max_retries=1, retry_delay=0)
    def tell(x):
        facts = {name: context.get(name) for name in names}
        if context.task_run_count == 1:
            facts["date"] = context.date
            seen.append(facts)
            raise ValueError("once")
        seen.append(facts)

    with Flow("context") as flow:
        tell.map(Parameter("xs"))
    flow.run(xs=[1], ledger=place, context={"config_of_mine": "blue"})
    run_id = last_run(place)
    states = Ledger(place).states(run_id, Ledger(place).flow(run_id).task("tell").index, 0)
    more = {"config_of_mine": "blue"}
    assert replay(run_id, "tell", 0, flow=flow, ledger=place, context=more).is_successful()
    first = replay(run_id, "tell", 0, attempt=1, flow=flow, ledger=place, context=more)
    assert first.is_failed() and not first.is_retrying(), "it is not tried again"
    assert isinstance(first.result, ValueError)
    first_seen, second_seen, second_again, first_again = seen
    assert second_again == second_seen
    began = next(state.time for state in states if state.state == "Running")
    assert first_again == {**first_seen, "date": began}
    assert abs(first_seen["date"] - began).total_seconds() < 1


def test_of_a_loop_the_last_turn_is_run(place):
    @task
    def turn():
        seen.append((context.task_loop_count, context.task_loop_result))
        if context.task_loop_count < 3:
            raise signals.LOOP(result=10 * context.task_loop_count)
        return "done"

    flow = Flow("loop", tasks=[turn])
    flow.run(ledger=place)
    assert replay(last_run(place), "turn", flow=flow, ledger=place).result == "done"
    assert seen == [(1, None), (2, 10), (3, 20), (3, 20)]

    flow.run(ledger=place, durable=False)
    with pytest.raises(InputsNotStored, match=r"'context.task_loop_result' \(of the result of"):
        replay(last_run(place), "turn", flow=flow, ledger=place)


def test_what_was_let_go_on_is_let_go_on(place):
    with Flow("asks") as flow:
        look_at(1, task_args={"trigger": manual_only})
    flow.run(ledger=place)
    assert replay(last_run(place), "look_at", flow=flow, ledger=place).is_paused()
    approve(last_run(place), "look_at", ledger=place)
    resume(last_run(place), flow, ledger=place)
    assert replay(last_run(place), "look_at", flow=flow, ledger=place).is_successful()
    assert seen == [(1, None)] * 2


def test_it_sees_what_was_above_it_then_and_not_what_came_later(place):
    @task
    def changing():
        if len(seen) == 0:
            raise ValueError("first")
        return len(seen)

    @task(trigger=all_finished)
    def after(x):
        seen.append(x)

    with Flow("changes") as flow:
        after(changing())
    flow.set_reference_tasks(flow.tasks)
    flow.run(ledger=place)
    restart(last_run(place), flow, ledger=place)
    seen.clear()
    replay(last_run(place), "after", flow=flow, ledger=place)
    assert "first" in str(seen[0]), "a stand-in for the exception"


def test_nothing_is_written_and_nobody_is_told(place, home, tmp_path):
    told = []
    target = tmp_path / "target.pickle"

    @task(
        target=str(target),
        state_handlers=[lambda task, old, new: told.append(new)],
        on_failure=lambda task, state: told.append(state),
        max_retries=3,
        retry_delay=100,
        timeout=100,
        isolation="process",
        durable=True,
    )
    def guarded(x):
        context.logger.info("a line")
        if target.exists():
            raise ValueError("again")
        return b"x" * (2 * INLINE_BYTES)

    with Flow("guarded") as flow:
        guarded(1)
    flow.run(ledger=place)

    def everything() -> object:
        ledger, run_id = Ledger(place), last_run(place)
        files = {path: path.stat().st_mtime_ns for path in [target, *home.rglob("*")]}
        return ledger.flow_runs(), ledger.states(run_id), ledger.logs(run_id), files, len(told)

    before = everything()
    state = replay(last_run(place), "guarded", flow=flow, ledger=place)
    assert isinstance(state.result, ValueError), "the target was not taken for it"
    assert everything() == before


def test_inputs_that_are_gone_are_named_and_may_be_given(place):
    with Flow("memory only") as flow:
        gone = make(1, task_args={"durable": False, "name": "gone"})
        children = make.map([1, 2], task_args={"durable": False, "name": "children"})
        secret = PrefectSecret("TOKEN")
        look(gone=gone, all=[gone], children=children, token=secret, there=make(3))
    secrets = {"secrets": {"TOKEN": "open-sesame"}}
    flow.run(ledger=place, context=secrets)
    with pytest.raises(InputsNotStored) as caught:
        replay(last_run(place), "look", flow=flow, ledger=place)
    assert caught.value.missing == {
        "gone": "gone",
        "all": "gone",
        "children": "children[0]",
        "token": "TOKEN",
    }
    assert "inputs={'gone': …, 'all': …, 'children': …, 'token': …}" in str(caught.value)
    more = {"gone": 5, "all": [5], "children": []}
    state = replay(last_run(place), "look", flow=flow, ledger=place, inputs=more, context=secrets)
    assert state.result == {**more, "token": "open-sesame", "there": 3}


def test_what_cannot_be_replayed_is_said(place):
    with Flow("few") as flow:
        look_at.map([1], task_args={"name": "mapped"})
        paused = make(2, task_args={"trigger": manual_only})
        look_at(paused, task_args={"name": "later"})
    flow.run(ledger=place)
    run_id = last_run(place)
    with pytest.raises(UnknownRecordedTask, match="had no task 'nothing'"):
        replay(run_id, "nothing", flow=flow, ledger=place)
    with pytest.raises(UnknownTaskRun, match=r"has 1 children.*; say which with map_index="):
        replay(run_id, "mapped", flow=flow, ledger=place)
    with pytest.raises(UnknownTaskRun, match=r"'mapped.0.' had no attempt 2; there are 1"):
        replay(run_id, "mapped", 0, attempt=2, flow=flow, ledger=place)
    with pytest.raises(UnknownTaskRun, match="'later' has not run yet"):
        replay(run_id, "later", flow=flow, ledger=place)


def test_what_ran_in_another_process_is_debugged_here(tmp_path, place):
    program = tmp_path / "program.py"
    program.write_text(
        dedent("""
        import sys
        from prefect_dask import Flow, task

        @task
        def four():
            return 4

        @task(timeout=60)
        def broken(x):
            half = x / 2
            raise ValueError(half)

        with Flow("debugged") as flow:
            broken(four())

        if __name__ == "__main__":
            flow.run(ledger=sys.argv[1])
        """)
    )
    subprocess.run([sys.executable, str(program), str(place)], check=True, capture_output=True)
    code = "import sys; from prefect_dask import replay; "
    code += "print(replay(sys.argv[1], 'broken', ledger=sys.argv[2], debug=True))"
    done = subprocess.run(
        [sys.executable, "-c", code, last_run(place), str(place)],
        input="p 'first line', x\ncontinue\np 'post mortem', half\nquit\n",
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert "('first line', 4)" in done.stdout, done.stderr
    assert "('post mortem', 2.0)" in done.stdout
    assert '<Failed: "2.0">' in done.stdout

    done = subprocess.run(
        [sys.executable, "-c", code, last_run(place), str(place)],
        input="quit\n",
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert "the debugger was left" in done.stdout


def test_dates_are_those_of_the_attempt(place):
    @task
    def day():
        return context.today, context.tomorrow_nodash

    flow = Flow("dates", tasks=[day])
    flow.run(ledger=place)
    long_ago = datetime(2001, 2, 3, tzinfo=timezone.utc).timestamp()
    Ledger(place).states(last_run(place))
    with Ledger(place).opened() as store:
        store.execute("UPDATE states SET began = ? WHERE task = 0", (long_ago,))
    state = replay(last_run(place), day, flow=flow, ledger=place)
    assert state.result == ("2001-02-03", "20010204")
