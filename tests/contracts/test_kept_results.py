"""Results outlive the run on every executor: targets, places, the cache, and what goes wrong with them."""

from datetime import timedelta
from pathlib import Path

import pytest

from prefect_dask import Flow, task, unmapped
from prefect_dask.engine.cache_validators import duration_only
from prefect_dask.engine.result import StoreFailed, TargetsClash, UnknownTemplateKey
from prefect_dask.engine.results import LocalResult
from prefect_dask.engine.state import Cached, Failed, Mapped, Success
from tests.faults.bodies import marks, note

pytestmark = pytest.mark.usefixtures("home")

HOUR = timedelta(hours=1)


@pytest.fixture
def seen(tmp_path) -> Path:
    """Where bodies leave a mark each time they run."""
    (tmp_path / "seen").mkdir()
    return tmp_path / "seen"


@task(name="double")
def double(x, folder):
    note(Path(folder), "double")
    return 2 * x


@task(name="add one", cache_for=HOUR)
def add_one(x):
    return x + 1


def run_twice(flow, executor):
    with executor.start():
        return [flow.run(executor=executor) for _ in range(2)]


def test_a_target_is_written_once_and_taken_from_then_on(executor, seen, tmp_path):
    place = {"result": LocalResult(tmp_path / "store"), "target": "{task_name}/{x}.pickle"}
    with Flow("targets") as flow:
        one = double(4, str(seen), task_args=place)
        below = add_one(one)

    first, second = run_twice(flow, executor)

    assert [type(state.result[one]) for state in (first, second)] == [Success, Cached]
    assert [state.result[below].result for state in (first, second)] == [9, 9]
    assert len(marks(seen, "double")) == 1
    assert (tmp_path / "store" / "double" / "4.pickle").exists()


def test_a_result_is_written_where_the_flow_says(executor, seen, tmp_path):
    place = LocalResult(tmp_path, location="{task_name}-{map_index}.pickle")
    with Flow("checkpoints", result=place) as flow:
        out = double.map([1, 2], unmapped(str(seen)))
        add_one(1, task_args={"checkpoint": False, "cache_for": None})
    state = flow.run(executor=executor)

    assert state.is_successful()
    assert [place.read(f"double-{index}.pickle").value for index in (0, 1)] == [2, 4]
    assert [child.context["result_location"] for child in state.result[out].map_states] == [
        "double-0.pickle",
        "double-1.pickle",
    ]
    assert not list(tmp_path.glob("add*"))


def test_an_entry_of_the_cache_is_made_once_and_met_from_then_on(executor, seen, home):
    with Flow("cached") as flow:
        one = double(4, str(seen), task_args={"cache_for": HOUR})
        below = add_one(one)

    first, second = run_twice(flow, executor)

    for state in (first, second):
        assert type(state.result[one]) is Cached and state.result[one].result == 8
        assert type(state.result[below]) is Cached and state.result[below].result == 9
    until = [state.result[one].cached_result_expiration for state in (first, second)]
    assert until[0] == until[1]
    assert len(marks(seen, "double")) == 1
    assert (home / "cache" / "index.sqlite").exists(), "in the home of the run, on this machine"


def test_children_meet_entries_of_equal_inputs_only(executor, seen):
    settings = {"cache_for": HOUR, "cache_validator": duration_only}

    def run(xs):
        with Flow("cached map") as flow:
            out = double.map(xs, unmapped(str(seen)), task_args=settings)
        return flow.run(executor=executor).result[out]

    with executor.start():
        first, second = run([1, 2, 3]), run([3, 4])

    assert type(first) is Mapped and (first.result, second.result) == ([2, 4, 6], [6, 8])
    assert {type(child) for child in (*first.map_states, *second.map_states)} == {Cached}
    assert len(marks(seen, "double")) == 4


@task(cache_for=HOUR, cache_validator=lambda state, inputs, parameters: inputs["x"] < 10)
def small(x):
    return x


def test_a_validator_of_ones_own_is_asked(executor):
    def run(x):
        with Flow("validated") as flow:
            out = small(x)
        return flow.run(executor=executor).result[out].result

    with executor.start():
        assert [run(1), run(2), run(30)] == [1, 1, 30]


def test_two_children_with_one_target_are_an_error_and_none_runs(executor, seen):
    with Flow("clash") as flow:
        out = double.map([1, 1], unmapped(str(seen)), task_args={"target": "{x}.pickle"})
    state = flow.run(executor=executor)

    clash = state.result[out]
    assert state.is_failed() and type(clash) is Failed
    assert type(clash.result) is TargetsClash and (clash.result.one, clash.result.other) == (0, 1)
    assert not marks(seen, "double")


def test_a_template_with_an_unknown_key_fails_its_task_alone(executor, seen):
    with Flow("template") as flow:
        broken = double(1, str(seen), task_args={"target": "{nothing}.pickle"})
        sound = double(2, str(seen))
    states = flow.run(executor=executor).result

    assert type(states[broken].result) is UnknownTemplateKey
    assert (
        "there are " in states[broken].message.lower() and "'map_index'" in states[broken].message
    )
    assert states[sound].result == 4


def test_a_store_that_cannot_be_reached_fails_the_task_with_its_url(executor, seen):
    settings = {"target": "nosuch://host/{x}", "max_retries": 1, "retry_delay": 0}
    with Flow("store") as flow:
        lost = double(1, str(seen), task_args=settings)
    state = flow.run(executor=executor)

    assert state.is_failed() and type(state.result[lost].result) is StoreFailed
    assert "nosuch://host/1" in state.result[lost].message
    assert not marks(seen, "double")
