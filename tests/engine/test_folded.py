"""States of children that are done, held in columns."""

import pickle

import pytest

from prefect_dask.engine.folded import MOST_KINDS, ChildStates, Folded, noteworthy
from prefect_dask.engine.state import Cached, Failed, LazyResult, Skipped, State, Success, state_at


class There(LazyResult):
    def __init__(self, node):
        self.node = node

    def fetch_state(self) -> State:
        return Success(result=("result of", self.node))


@pytest.fixture
def folded():
    folded = Folded(10)
    folded.result_of = There
    return folded


def lazy(state):
    state._lazy = There(None)
    return state


def test_a_plain_success_comes_back_as_it_was(folded):
    assert folded.fold(3, lazy(state_at(Success, 12.5, "done", tags=("a", "b"))))
    assert folded.has(3)
    state = folded.unfold(3, (1, 2, 1))
    assert not folded.has(3)
    assert (type(state), state._time, state.message) == (Success, 12.5, "done")
    assert state.context == {"tags": ["a", "b"]}
    assert state.result == ("result of", (1, 2, 1))


@pytest.mark.parametrize(
    "state",
    [
        lazy(Failed("no")),
        lazy(Skipped("no need")),
        lazy(Cached("from before")),
        lazy(Success("with facts", context={"location": "file"})),
        Success("its result is here", result=1),
    ],
    ids=lambda state: type(state).__name__,
)
def test_what_is_no_plain_success_elsewhere_stays_as_it_is(folded, state):
    assert not folded.fold(3, state)
    assert not folded.has(3)


def test_nothing_is_folded_where_no_one_finds_its_result_again():
    assert not Folded(10).fold(3, lazy(Success()))


def test_more_kinds_than_a_byte_tells_stay_as_they_are(folded):
    folded.grow(MOST_KINDS)
    taken = [folded.fold(row, lazy(Success(f"message {row}"))) for row in range(MOST_KINDS + 1)]
    assert taken == [True] * MOST_KINDS + [False]
    assert folded.fold(MOST_KINDS + 1, lazy(Success("message 7")))
    assert folded.unfold(7, (0, 7, 1)).message == "message 7"


def test_a_result_that_is_not_kept_is_told_by_its_stand_in(folded):
    folded.fold(3, lazy(Success("done")))
    assert folded.let_go(3, There("gone"))
    assert folded.unfold(3, (0, 3, 1)).result == ("result of", "gone")
    assert not folded.let_go(4, There("gone"))


def test_children_are_a_list_whose_items_are_made_when_asked_for():
    made = []

    def state_of(place):
        made.append(place)
        return Success(result=place)

    children = ChildStates(5, state_of, lambda: iter([1, 4]))
    assert len(children) == 5 and made == []
    assert [place for place, _ in noteworthy(children)] == [1, 4]
    assert [child.result for child in children[-2:]] == [3, 4]
    assert children == [Success(result=i) for i in range(5)]
    assert pickle.loads(pickle.dumps(children)) == children
    with pytest.raises(IndexError):
        children[5]
