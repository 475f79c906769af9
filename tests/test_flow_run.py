"""What `Flow.run` does with what it is given; how tasks run is tested in tests/contracts."""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from prefect_dask import Flow, Parameter, attach, context, replay, restart, task
from prefect_dask.engine import clock, signals
from prefect_dask.engine.state import Failed, Pending, Running, Skipped, State, Success
from prefect_dask.errors import NoMoreEvents, RunWhileWriting, UnknownTask
from prefect_dask.executors import LocalDaskExecutor, LocalExecutor
from prefect_dask.ledger import Ledger
from prefect_dask.settings import set_temporary_config


@task
def give(value: Any = 1) -> Any:
    return value


@task
def fail() -> None:
    raise ValueError("broken")


@task
def look(name: str) -> Any:
    return context.get(name)


# ---- results


def test_the_result_of_a_run_has_a_state_for_every_task():
    with Flow("f") as flow:
        one = give(1)
        two = give([one, 2])
    state = flow.run()
    assert isinstance(state, Success)
    assert set(state.result) == set(flow.tasks)
    assert state.result[two].result == [1, 2]


def test_a_task_that_was_not_in_the_flow_has_no_state_and_that_is_explained():
    with Flow("f") as flow:
        give()
    states = pickle.loads(pickle.dumps(flow.run().result))
    for asked in (give, "give"):
        with pytest.raises(KeyError, match=r"no state of .*give.*are <Task: give>.*call returned"):
            states[asked]
    assert give not in states and states.get(give) is None


def test_so_it_is_for_a_recorded_run_by_task_and_by_slug(tmp_path: Path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    with Flow("f") as flow:
        given = give()
    flow.run(ledger=ledger)
    [run] = ledger.flow_runs()

    by_task = attach(run.run_id, flow, ledger=ledger).state.result
    assert by_task[given].is_successful()
    with pytest.raises(KeyError, match=r"are <Task: give>.*call returned"):
        by_task[give]
    with pytest.raises(KeyError, match=r"no state of give; .*are give-1. Ask with one of these"):
        attach(run.run_id, ledger=ledger).state.result["give"]


def test_what_is_no_run_id_and_what_is_no_flow_is_refused(tmp_path: Path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    with Flow("f") as flow:
        fail()
    flow.run(ledger=ledger)
    [run] = ledger.flow_runs()
    wrong: list[Any] = [run, None]
    for given in wrong:
        with pytest.raises(TypeError, match=r"asked for by its id, .* that is .run_id"):
            attach(given, ledger=ledger)
    name: Any = "f"
    for take_up in (restart, partial(replay, task="fail")):
        with pytest.raises(TypeError, match="flow= is 'f', and should be the Flow itself"):
            take_up(run.run_id, flow=name, ledger=ledger)


def test_a_flow_without_tasks_succeeds():
    assert Flow("empty").run().is_successful()


def test_a_failed_reference_task_fails_the_flow_and_another_does_not():
    with Flow("f") as flow:
        broken = fail()
        sound = give()
    assert flow.run().is_failed()
    flow.set_reference_tasks([sound])
    state = flow.run()
    assert state.is_successful()
    assert isinstance(state.result[broken].result, ValueError)


def test_return_tasks_limits_what_is_kept():
    with Flow("f") as flow:
        one = give(1)
        two = give(one)
    state = flow.run(return_tasks=[two])
    assert state.result[two].result == 1
    assert state.result[one].is_successful()
    with pytest.raises(Exception, match="give"):
        _ = state.result[one].result


# ---- what a run is given


def test_a_run_inside_a_flow_block_is_refused():
    with Flow("inner") as inner:
        give()
    with Flow("outer"), pytest.raises(RunWhileWriting) as caught:
        inner.run()
    assert isinstance(caught.value, RuntimeError)
    assert str(caught.value) == (
        "flow 'inner' cannot run while flow 'outer' is being written; call run() after the `with` "
        "block"
    )


def test_given_states_are_taken_as_they_are():
    ran: list[int] = []
    with Flow("f") as flow:
        one = task(lambda: ran.append(1), name="count")()
        two = give(one)
    state = flow.run(task_states={one: Success(result=7)})
    assert state.result[two].result == 7
    assert not ran


def test_states_and_results_of_strange_tasks_are_refused():
    with pytest.raises(UnknownTask, match="flow 'f': task 'give' is not in the flow"):
        Flow("f").run(task_states={give: Success()})
    with pytest.raises(UnknownTask):
        Flow("f").run(return_tasks=[give])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"on_state": 3}, "on_state must be a function, got 3"),
        ({"return_tasks": give}, "return_tasks must be a list of tasks, got <Task: give>"),
        ({"task_states": {give: 3}}, "task_states must be states, got 3 for <Task: give>"),
    ],
)
def test_what_a_run_cannot_use_is_refused(given: dict[str, Any], told: str):
    with pytest.raises(TypeError, match=f'<Flow: name="f">: {told}'):
        Flow("f").run(**given)


@pytest.mark.parametrize("schedule", ["0 6 * * *", timedelta(hours=1)])
def test_what_is_no_schedule_is_refused_and_one_is_shown(schedule: Any):
    with pytest.raises(TypeError, match=r'<Flow: name="f">: schedule must be .*CronSchedule\('):
        Flow("f", schedule)


def test_a_finished_flow_state_is_returned_and_nothing_runs():
    ran: list[int] = []
    with Flow("f") as flow:
        task(lambda: ran.append(1), name="count")()
    done = Success()
    assert flow.run(state=done) is done
    assert not ran


def test_tasks_see_the_callers_context_and_what_run_is_given_wins():
    with Flow("f") as flow:
        seen = look("colour")
    with context(colour="around"):
        assert flow.run().result[seen].result == "around"
        assert flow.run(context={"colour": "given"}).result[seen].result == "given"
    assert flow.run().result[seen].result is None


# ---- executors


class Noting(LocalExecutor):
    """Notes that it was used."""

    def __init__(self, name: str, used: list[str]) -> None:
        self.name, self.used = name, used
        super().__init__()

    def open(self, *args: Any, **kwargs: Any) -> Any:
        self.used.append(self.name)
        return super().open(*args, **kwargs)


def test_the_given_executor_wins_over_the_flows_own():
    used: list[str] = []
    flow = Flow("f", executor=Noting("own", used))
    with flow:
        give()
    flow.run()
    flow.run(executor=Noting("given", used))
    assert used == ["own", "given"]


def test_the_configured_executor_runs_a_flow_that_has_none():
    with Flow("f") as flow:
        thread = task(lambda: __import__("threading").current_thread().name, name="thread")()
    assert flow.run().result[thread].result == "MainThread"
    with set_temporary_config(
        {"engine.executor.default_class": f"{LocalDaskExecutor.__module__}.LocalDaskExecutor"}
    ):
        assert flow.run().result[thread].result != "MainThread"


@pytest.mark.parametrize("name", ["prefect_dask.executors.Nope", "nope.Nope", "Nope"])
def test_a_configured_executor_that_is_not_there_is_named(name: str):
    with (
        set_temporary_config({"engine.executor.default_class": name}),
        pytest.raises(ValueError, match=f"engine.executor.default_class: '{name}' cannot be impor"),
    ):
        Flow("f").run()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("threads", "'threads' is no executor; give one of prefect_dask.executors"),
        (LocalDaskExecutor, r"make one of this class: executor=LocalDaskExecutor\(\)"),
    ],
)
@pytest.mark.parametrize("settings", [{}, {"detach": True}])
def test_what_is_no_executor_is_refused_before_anything_is_recorded(
    given: Any, told: str, settings: dict[str, Any], tmp_path: Path
):
    with Flow("f") as flow:
        give()
    ledger = tmp_path / "ledger.sqlite"
    flow.run(ledger=ledger)
    with pytest.raises(TypeError, match=f"flow 'f': .*{told}"):
        flow.run(executor=given, ledger=ledger, **settings)
    assert len(Ledger(ledger).flow_runs()) == 1


# ---- handlers


def test_state_handlers_of_a_flow_see_each_change_and_the_flow():
    seen: list[tuple[Flow, type[State], type[State]]] = []

    def note(flow: Flow, old: State, new: State) -> None:
        seen.append((flow, type(old), type(new)))

    flow = Flow("f", state_handlers=[note])
    assert flow.run(state=Pending()).is_successful()
    assert seen == [(flow, Pending, Running), (flow, Running, Success)]


def test_a_state_handler_may_return_another_state():
    def turn(flow: Flow, old: State, new: State) -> State | None:
        return Skipped("turned") if new.is_finished() else None

    state = Flow("f", state_handlers=[turn]).run()
    assert isinstance(state, Skipped)


def test_on_failure_is_called_once_when_the_flow_fails():
    failed: list[tuple[Flow, State]] = []
    flow = Flow("f", on_failure=lambda flow, state: failed.append((flow, state)))
    flow.run()
    assert not failed
    with flow:
        fail()
    state = flow.run()
    assert failed == [(flow, state)]


def test_the_terminal_state_handler_has_the_last_word():
    asked: list[Any] = []

    def decide(flow: Flow, state: State, reference_states: set[State]) -> State | None:
        asked.append((flow, type(state), reference_states))
        return Success("good enough", result=state.result)

    flow = Flow("f", terminal_state_handler=decide)
    with flow:
        broken = fail()
        give()
    state = flow.run()
    assert state.is_successful() and state.message == "good enough"
    ((its_flow, kind, states),) = asked
    assert (its_flow, kind) == (flow, Failed)
    assert state.result[broken] in states and len(states) == 2


def test_handlers_that_are_no_list_are_refused():
    with pytest.raises(TypeError, match="state_handlers must be a list of functions"):
        Flow("f", state_handlers=print)  # type: ignore[arg-type]


# ---- listeners


def test_on_state_is_given_every_change_of_every_task():
    seen: list[tuple[str, str]] = []

    def listen(batch: Sequence[Any]) -> None:
        seen.extend((record.task_name, record.state) for record in batch)

    with Flow("f") as flow:
        fail(upstream_tasks=[give()])
    flow.run(on_state=listen)
    assert seen == [
        ("give", "Running"),
        ("give", "Success"),
        ("fail", "Running"),
        ("fail", "Failed"),
    ]


# ---- schedules


@dataclass
class Event:
    start_time: datetime
    parameter_defaults: dict[str, Any]


@dataclass
class Listed:
    """A schedule that is a list of events."""

    events: list[Event]

    def next(
        self, n: int, *, after: datetime | None = None, return_events: bool = False
    ) -> list[Any]:
        after = after or clock.utc_now()
        found = [event for event in self.events if event.start_time > after][:n]
        return found if return_events else [event.start_time for event in found]


class TurnedClock:
    """The engine's clock, turned by hand: whoever waits for a moment is there at once."""

    def __init__(self, start: datetime) -> None:
        self.seconds = start.timestamp()

    def now(self) -> float:
        return self.seconds

    def wait_until(self, moment: float) -> None:
        self.seconds = max(self.seconds, moment)


NOON = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)


@pytest.fixture
def turned_clock(monkeypatch: pytest.MonkeyPatch) -> TurnedClock:
    turned = TurnedClock(NOON)
    monkeypatch.setattr(clock, "now", turned.now)
    monkeypatch.setattr(clock, "wait_until", turned.wait_until)
    return turned


def events(*hours: float, **defaults: Any) -> list[Event]:
    return [Event(NOON + timedelta(hours=hour), defaults) for hour in hours]


def test_with_a_schedule_the_flow_runs_at_each_event_until_none_is_left(turned_clock: TurnedClock):
    started: list[tuple[datetime, Any]] = []
    with Flow("f", schedule=Listed(events(-1, 1, 2) + events(5, p="clock"))) as flow:
        p = Parameter("p", default="default")
        task(lambda p: started.append((context.scheduled_start_time, p)), name="note")(p)
    state = flow.run()
    assert state.is_successful()
    hour = timedelta(hours=1)
    assert started == [
        (NOON + hour, "default"),
        (NOON + 2 * hour, "default"),
        (NOON + 5 * hour, "clock"),
    ]


def test_a_clocks_parameters_win_over_those_of_the_run(turned_clock: TurnedClock):
    with Flow("f", schedule=Listed(events(1, p="clock"))) as flow:
        given = give(Parameter("p"))
    assert flow.run(p="run").result[given].result == "clock"


def test_an_event_that_passes_during_a_run_is_left_out(turned_clock: TurnedClock):
    started: list[float] = []

    def take_long() -> None:
        started.append(turned_clock.seconds)
        turned_clock.seconds += 90 * 60

    with Flow("f", schedule=Listed(events(1, 2, 3))) as flow:
        task(take_long)()
    flow.run()
    assert [(s - NOON.timestamp()) / 3600 for s in started] == [1, 3]


def test_a_schedule_is_left_alone_when_told_so(turned_clock: TurnedClock):
    with Flow("f", schedule=Listed(events(1, 2))) as flow:
        give()
    assert flow.run(run_on_schedule=False).is_successful()
    assert turned_clock.seconds == NOON.timestamp()


def test_a_schedule_without_events_is_an_error(turned_clock: TurnedClock):
    with pytest.raises(NoMoreEvents, match="flow 'f': its schedule has no event left"):
        Flow("f", schedule=Listed([])).run()


# ---- signals of handlers


def test_a_handler_may_ask_for_a_state_by_a_signal():
    def refuse(flow: Flow, old: State, new: State) -> None:
        if new.is_running():
            raise signals.FAIL("not on Sundays")

    state = Flow("f", state_handlers=[refuse]).run()
    assert state.is_failed() and state.message == "not on Sundays"
