"""Triggers: upstream states in; run, skip or fail out."""

import pickle
from typing import Any

import pytest

from prefect_dask import Edge, Flow, Task, context, task, triggers
from prefect_dask.engine import signals
from prefect_dask.engine.state import (
    Cached,
    Cancelled,
    Crashed,
    Failed,
    Mapped,
    Skipped,
    State,
    Success,
    TimedOut,
    TriggerFailed,
)
from prefect_dask.engine.triggers import Trigger, what_became_of
from prefect_dask.executors import LocalExecutor
from prefect_dask.triggers import (
    all_failed,
    all_finished,
    all_successful,
    any_failed,
    any_successful,
    manual_only,
    not_all_skipped,
    some_failed,
    some_successful,
)

BELOW = Task("load")


def upstream(*states: State) -> dict[Any, State]:
    return {Edge(Task(f"t{i}"), BELOW): state for i, state in enumerate(states)}


def answer(trigger: Trigger, *states: State) -> str:
    """What a trigger makes of upstream states: run, skip, fail or pause."""
    try:
        assert trigger(upstream(*states)) is True
    except signals.TRIGGERFAIL:
        return "fail"
    except signals.SKIP:
        return "skip"
    except signals.PAUSE:
        return "pause"
    return "run"


def words(trigger: Trigger, *states: State) -> str:
    """What a trigger says when it lets the task fail."""
    with pytest.raises(signals.TRIGGERFAIL) as caught:
        trigger(upstream(*states))
    return str(caught.value.state.message)


S, F, K, C = Success(), Failed(), Skipped(), Cancelled()

COLUMNS = (all_successful, all_failed, any_successful, any_failed, all_finished, not_all_skipped)
TABLE = [
    ((S, S), "run fail run fail run run"),
    ((F, F), "fail run fail run run fail"),
    ((S, F), "fail fail run run run fail"),
    ((S, K), "run fail run fail run run"),
    ((K, K), "run fail run fail run skip"),
    ((F, K), "fail fail run run run fail"),
    ((C, C), "fail fail fail fail run fail"),
    ((S, C), "fail fail run fail run fail"),
    ((F, C), "fail fail fail run run fail"),
    ((Cached(), Mapped()), "run fail run fail run run"),
    ((TimedOut(), TriggerFailed(), Crashed()), "fail run fail run run fail"),
]


@pytest.mark.parametrize(("states", "answers"), TABLE)
def test_a_trigger_answers_by_the_table(states: tuple[State, ...], answers: str):
    assert [answer(trigger, *states) for trigger in COLUMNS] == answers.split()


@pytest.mark.parametrize("trigger", [*COLUMNS, some_failed(1), some_successful(1)])
def test_without_upstream_tasks_every_trigger_is_satisfied(trigger: Trigger):
    assert trigger({}) is True


def test_always_run_is_all_finished():
    assert triggers.always_run is all_finished


def test_manual_only_pauses_until_it_is_resumed():
    for states in ((), (S,), (F,)):
        assert answer(manual_only, *states) == "pause"
    with pytest.raises(signals.PAUSE) as caught:
        manual_only({})
    assert "manual_only" in str(caught.value.state.message)
    with context(resume=True):
        assert manual_only(upstream(F)) is True


# ---- how many


@pytest.mark.parametrize(
    ("bounds", "runs_at"),
    [
        ({"at_least": 2}, {2, 3, 4}),
        ({"at_most": 1}, {0, 1}),
        ({"at_least": 1, "at_most": 2}, {1, 2}),
        ({"at_least": 0.5}, {2, 3, 4}),
        ({"at_most": 0.5}, {0, 1, 2}),
        ({"at_least": 0.3}, {2, 3, 4}),
        ({"at_most": 0}, {0}),
        ({}, {0, 1, 2, 3, 4}),
    ],
)
def test_some_failed_and_some_successful_count(bounds: dict[str, float], runs_at: set[int]):
    for count in range(5):
        wanted = "run" if count in runs_at else "fail"
        failed = [F] * count + [S] * (4 - count)
        assert answer(some_failed(**bounds), *failed) == wanted
        succeeded = [S] * count + [F] * (4 - count)
        assert answer(some_successful(**bounds), *succeeded) == wanted


def test_skipped_counts_as_success_and_cancelled_as_neither():
    assert answer(some_successful(at_least=2), S, K) == "run"
    assert answer(some_successful(at_least=1), C) == "fail"
    assert answer(some_failed(at_least=1), C) == "fail"


def test_bounds_below_zero_are_refused():
    with pytest.raises(ValueError, match="some_failed: at_least must be 0 or above, got -1"):
        some_failed(at_least=-1)


def test_triggers_with_bounds_show_them_compare_and_travel():
    trigger = some_failed(at_least=2, at_most=0.5)
    assert repr(trigger) == "some_failed(at_least=2, at_most=0.5)"
    assert pickle.loads(pickle.dumps(trigger)) == trigger
    assert hash(some_failed(1)) == hash(some_failed(1))
    assert some_failed(1) not in [some_successful(1)]


# ---- mapped upstream tasks


def test_a_mapped_upstream_counts_child_by_child():
    mixed = Mapped(map_states=[S, F, K])
    assert answer(all_successful, mixed) == "fail"
    assert answer(any_failed, mixed) == "run"
    assert answer(all_failed, mixed) == "fail"
    assert answer(some_failed(at_least=1, at_most=1), mixed) == "run"
    assert answer(some_successful(at_least=0.6), mixed) == "run"
    assert answer(not_all_skipped, Mapped(map_states=[K, K])) == "skip"
    assert answer(all_successful, Mapped(map_states=[])) == "run"


def test_an_upstream_with_two_edges_counts_once():
    above = Task("above")
    states = {Edge(above, BELOW): F, Edge(above, BELOW, "x"): F, Edge(Task("other"), BELOW): S}
    with pytest.raises(signals.TRIGGERFAIL):
        some_failed(at_least=2)(states)  # type: ignore[arg-type]  # edges as users write them


# ---- what is said


def test_a_failed_trigger_names_the_task_and_what_became_of_its_upstream():
    said = words(all_successful, S, Failed("no such file: /data\nin line 3"))
    assert said == "'load' did not run: 't1' failed: no such file: /data"
    assert words(all_successful, TimedOut("timed out")) == (
        "'load' did not run: 't0' timed out: timed out"
    )
    assert words(all_successful, C) == "'load' did not run: 't0' was cancelled"
    assert words(all_successful, F, F, F).endswith("'t0' failed (and 2 more upstream tasks)")
    assert words(all_failed, F, S) == (
        "'load' did not run: its trigger all_failed wants that all upstream tasks fail, but 't1' "
        "succeeded"
    )
    assert "wants a successful upstream task, but 't0' failed" in words(any_successful, F)
    assert "wants a failed upstream task, but 't0' was skipped" in words(any_failed, K, S)
    assert words(some_failed(2), F, S) == (
        "'load' did not run: its trigger is some_failed(at_least=2), and 1 of 2 upstream tasks did"
    )


def test_a_failed_child_is_named_by_its_index():
    said = words(all_successful, Mapped(map_states=[S, Failed("boom")]))
    assert said == "'load' did not run: 't0[1]' failed: boom"


def test_the_chain_of_causes_goes_back_to_the_first_one():
    first = words(all_successful, Failed("12 s"))
    assert first == "'load' did not run: 't0' failed: 12 s"
    second = words(all_successful, TriggerFailed(first))
    assert second == "'load' did not run: 't0' <- 't0' failed: 12 s"


def test_a_long_chain_and_a_long_text_are_cut():
    message = "x" * 10_000
    state: State = Failed(message)
    for _ in range(500):
        state = TriggerFailed(words(all_successful, state, F, F))
    assert state.message is not None
    assert len(state.message) < 500
    assert state.message.startswith("'load' did not run: 't0' <- 't0' <- 't0' <- … <- 't0'")
    assert "'t0' failed: xxx" in state.message
    assert state.message.count("more upstream tasks") == 1
    assert len(what_became_of("a", Failed(message))) < 300


# ---- in a flow


@task
def fail() -> None:
    raise ValueError("no such file")


@task
def give(value: Any = 1) -> Any:
    return value


def test_a_task_runs_or_fails_as_its_trigger_says():
    with Flow("f") as flow:
        broken, sound = fail(), give()
        runs = give(2, upstream_tasks=[broken, sound], task_args={"trigger": any_failed})
        does_not = give(2, upstream_tasks=[broken, sound])
        last = give(2, upstream_tasks=[does_not])
    state = flow.run(executor=LocalExecutor())
    assert state.is_failed()
    assert state.result[runs].result == 2
    assert isinstance(state.result[does_not], TriggerFailed)
    assert state.result[last].message == (
        "'give' did not run: 'give' <- 'fail' failed: no such file"
    )


def test_constants_never_sway_a_trigger():
    with Flow("f") as flow:
        only_failures = give(value=5, upstream_tasks=[fail()], task_args={"trigger": all_failed})
    assert flow.run(executor=LocalExecutor()).result[only_failures].result == 5


def test_a_trigger_of_the_users_own_is_asked():
    seen: list[Any] = []

    def two_upstream(states: Any) -> bool:
        seen.append({edge.upstream_task.name: type(state) for edge, state in states.items()})
        return len(states) == 2

    with Flow("f") as flow:
        one, other = give(), fail()
        runs = give(upstream_tasks=[one, other], task_args={"trigger": two_upstream})
        fails = give(upstream_tasks=[one], task_args={"trigger": two_upstream})
    state = flow.run(executor=LocalExecutor())
    assert state.result[runs].is_successful()
    assert isinstance(state.result[fails], TriggerFailed)
    assert {"give": Success, "fail": Failed} in seen
    assert {"give": Success} in seen


def test_not_all_skipped_runs_with_one_branch_and_is_skipped_without():
    @task
    def skip() -> None:
        raise signals.SKIP("not today")

    settings = {"trigger": not_all_skipped, "skip_on_upstream_skip": False}
    with Flow("f") as flow:
        left, right, middle = skip(), skip(), give()
        one = give(upstream_tasks=[left, middle], task_args=settings)
        none = give(upstream_tasks=[left, right], task_args=settings)
    state = flow.run(executor=LocalExecutor())
    assert state.result[one].result == 1
    assert state.result[none].is_skipped()
