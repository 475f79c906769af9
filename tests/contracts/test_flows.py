"""Small flows come to the same states, by the same moves, with the same lines, on every executor."""

import inspect

import pytest

from prefect_dask.engine.state import State, Success
from prefect_dask.executors import LocalExecutor
from tests.contracts.cases import CASES
from tests.contracts.observed import Observed, observe
from tests.contracts.places import LOCAL, PLACES
from tests.contracts.state_tree import described, differences

#: What each case came to in this thread; by that the other executors are measured.
seen_here: dict[str, Observed] = {}


#: The two doors to the cluster differ in how a client is found; that is tried with every fifth case.
RUNS = [
    pytest.param(name, place, id=f"{place}-{name}")
    for place in PLACES
    for name in list(CASES)[:: 5 if place == "a Dask address" else 1]
]


@pytest.mark.parametrize(("name", "place"), RUNS, indirect=["place"])
def test_a_flow_comes_to_the_same_states_everywhere(name, place, executor, tmp_path):
    if place == LOCAL:
        case = build(name, tmp_path)
        state, _ = observe(case, executor)
        check(state, case.outcome, "the flow")
        for task, wanted in case.states.items():
            check(state.result[task], wanted, task.name)
        return

    _, seen = observe(build(name, tmp_path), executor)
    here = came_to_here(name, tmp_path / "here")
    assert not list(differences(seen.states, here.states))
    assert not list(differences(seen.moves, here.moves))
    assert not list(differences(seen.lines, here.lines))


def test_there_are_many_flow_cases():
    assert len(CASES) >= 60


def build(name, folder):
    make = CASES[name]
    wants_folder = "folder" in inspect.signature(make).parameters
    return make(folder) if wants_folder else make()


def came_to_here(name, folder) -> Observed:
    if name not in seen_here:
        folder.mkdir()
        _, seen_here[name] = observe(build(name, folder), LocalExecutor())
    return seen_here[name]


def check(state: State, wanted: State | type[State], whose: str) -> None:
    if isinstance(wanted, type):
        assert type(state) is wanted, f"{whose} is {state!r}"
        return
    assert type(state) is type(wanted), f"{whose} is {state!r}"
    assert (wanted.message or "") in (state.message or ""), whose
    says_result = type(wanted) is Success and not wanted.message
    if says_result or wanted.result is not None:
        assert described(state.result) == described(wanted.result), whose
    if wanted.context:
        assert state.context == wanted.context, whose
