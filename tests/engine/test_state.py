"""States: their family and their data."""

import pickle
from datetime import datetime, timedelta, timezone
from typing import Any

import cloudpickle
import pytest

from prefect_dask.engine.errors import ResultLost, UnknownStateType
from prefect_dask.engine.state import (
    STATES,
    Cached,
    Cancelled,
    Crashed,
    Failed,
    Finished,
    LazyResult,
    Looped,
    Mapped,
    MetaState,
    Paused,
    Pending,
    Queued,
    Resume,
    Retrying,
    Running,
    Scheduled,
    Skipped,
    State,
    Submitted,
    Success,
    TimedOut,
    TriggerFailed,
    ValidationFailed,
)

KINDS = sorted(STATES.values(), key=lambda kind: kind.__name__)
MOMENT = datetime(2030, 1, 2, 3, 4, 5, 678000, tzinfo=timezone.utc)


def example(kind: type[State]) -> State:
    """A state of this class with all its own fields set."""
    own: dict[str, Any] = {
        "start_time": MOMENT,
        "run_count": 3,
        "loop_count": 7,
        "state": Pending("before"),
        "map_states": [Success("a", result=1), Failed("b")],
        "cached_result_expiration": MOMENT,
    }
    fields = {name: own[name] for name in kind.fields}
    return kind("said", result={"x": [1, None]}, context={"tags": ["t"]}, **fields)


@pytest.mark.parametrize(
    ("kind", "parents"),
    [
        (Scheduled, [Pending]),
        (Paused, [Scheduled, Pending]),
        (Resume, [Scheduled, Pending]),
        (Retrying, [Scheduled, Pending]),
        (Submitted, [MetaState]),
        (Queued, [MetaState]),
        (Cached, [Success, Finished]),
        (Mapped, [Success, Finished]),
        (Skipped, [Success, Finished]),
        (Looped, [Finished]),
        (Cancelled, [Finished]),
        (TimedOut, [Failed, Finished]),
        (TriggerFailed, [Failed, Finished]),
        (ValidationFailed, [Failed, Finished]),
        (Crashed, [Failed, Finished]),
    ],
)
def test_the_family_is_that_of_the_model(kind, parents):
    assert kind.parents() == [*parents, State]
    assert all(kind in parent.children() for parent in parents)


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_equals_itself_after_pickle_and_after_json(kind):
    state = example(kind)

    for loads, dumps in [(pickle.loads, pickle.dumps), (cloudpickle.loads, cloudpickle.dumps)]:
        again = loads(dumps(state))
        assert again == state
        assert (again.message, again.timestamp) == (state.message, state.timestamp)
    again = State.deserialize(state.serialize())
    assert again == state
    assert (again.message, again.timestamp) == (state.message, state.timestamp)


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_has_no_dict_of_its_own(kind):
    """A hundred bytes for each of a million."""
    assert not hasattr(example(kind), "__dict__")


def test_a_result_that_is_not_plain_json_is_left_out_and_said_to_be():
    document = Success(result={1: "keys would become text"}).serialize()

    assert document["result"] is None
    assert document["result_omitted"] == "dict"


def test_an_unknown_type_is_refused_with_the_nearest_one():
    with pytest.raises(UnknownStateType, match="did you mean 'Success'"):
        State.deserialize({"type": "Sucess"})


def test_equality_is_class_and_data_not_message_or_time():
    assert Success("a", result=1) == Success("b", result=1)
    assert Success(result=1) != Success(result=2)
    assert Success(result=1) != Skipped(result=1)
    assert Success(context={"tags": ["a"]}) != Success()
    assert Retrying(start_time=MOMENT, run_count=1) != Retrying(start_time=MOMENT, run_count=2)
    assert Success() != "Success"


def test_the_repr_is_class_and_message():
    assert repr(Success("done")) == '<Success: "done">'
    assert repr(Running()) == "<Running>"


def test_times_are_aware_utc():
    before = datetime.now(timezone.utc)
    state = Scheduled()

    assert before <= state.timestamp <= datetime.now(timezone.utc)
    assert state.start_time == state.timestamp
    assert Scheduled(start_time=datetime(2030, 1, 1)).start_time.tzinfo is not None
    assert Paused().start_time - before > timedelta(days=365_000)


@pytest.mark.parametrize(
    ("state", "true_of_it"),
    [
        (Pending(), {"pending"}),
        (Retrying(), {"pending", "scheduled", "retrying"}),
        (Paused(), {"pending", "scheduled", "paused"}),
        (Running(), {"running"}),
        (Success(), {"finished", "successful"}),
        (Cached(), {"finished", "successful", "cached"}),
        (Mapped(), {"finished", "successful", "mapped"}),
        (Skipped(), {"finished", "successful", "skipped"}),
        (Looped(), {"finished", "looped"}),
        (Cancelled(), {"finished", "cancelled"}),
        (Crashed(), {"finished", "failed", "crashed"}),
        (Submitted(), {"submitted", "meta_state"}),
        (Queued(), {"queued", "meta_state"}),
    ],
)
def test_each_question_is_answered_by_the_family(state, true_of_it):
    questions = [name for name in dir(State) if name.startswith("is_")]

    assert {q.removeprefix("is_") for q in questions if getattr(state, q)()} == true_of_it


class _Elsewhere(LazyResult):
    def __init__(self, whole: State | None) -> None:
        self.whole, self.fetched = whole, 0

    def fetch_state(self) -> State:
        self.fetched += 1
        if self.whole is None:
            raise ResultLost("load", "its cluster is gone")
        return self.whole


def test_a_result_that_lies_elsewhere_is_fetched_once_when_it_is_read():
    state, place = Success(), _Elsewhere(Success(result=[1, 2], cached_inputs={"x": 1}))
    state._lazy = place

    assert place.fetched == 0
    assert (state.result, state.result, state.cached_inputs) == ([1, 2], [1, 2], {"x": 1})
    assert place.fetched == 1


def test_a_result_that_is_gone_says_so_at_each_reading():
    state = Success()
    state._lazy = _Elsewhere(None)

    for _ in range(2):
        with pytest.raises(ResultLost, match="'load' is lost"):
            _ = state.result
