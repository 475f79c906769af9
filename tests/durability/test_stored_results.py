"""Results are kept: with the record where they are small, else in a file; users see nothing of it."""

import pickle
import threading

import pytest

from prefect_dask import Flow, Parameter, context, task
from prefect_dask.engine.durable import INLINE_BYTES, read_stored
from prefect_dask.engine.result import StoreFailed
from prefect_dask.engine.signals import LOOP
from prefect_dask.errors import WrongSetting
from prefect_dask.executors import LocalDaskExecutor, LocalExecutor
from prefect_dask.ledger import Ledger
from prefect_dask.tasks.secrets import PrefectSecret

EXECUTORS = [
    LocalExecutor(),
    LocalDaskExecutor("threads", 2),
    LocalDaskExecutor("processes", 1),
]


class Unpicklable:
    def __reduce__(self):
        raise TypeError("bound to this process")


@task
def make(what):
    return what


@task
def unpicklable():
    return Unpicklable()


def stored(place, name="make"):
    """The kept results of the tasks of a name in the latest run, in order."""
    ledger = Ledger(place)
    [run, *_] = ledger.flow_runs()
    tasks = {each.index for each in ledger.flow(run.run_id).tasks if each.name == name}
    return [each for each in ledger.results(run.run_id) if each.task in tasks]


@pytest.mark.parametrize("executor", EXECUTORS, ids=["this thread", "threads", "processes"])
@pytest.mark.parametrize("value", [7, "a text", None, [1, {"b": 2}], {1: (2, 3)}], ids=repr)
def test_a_small_result_is_kept_with_its_state(place, executor, value):
    with Flow("small") as flow:
        made = make(value)
    heard = []
    state = flow.run(executor=executor, ledger=place, on_state=heard.extend)

    [result] = stored(place)
    assert pickle.loads(result.value) == value
    assert (result.location, result.size_bytes) == (None, len(result.value))
    assert state.result[made].result == value
    assert state.result[made].context == {"tags": []}
    assert all(record.details == {} for record in heard)


@pytest.mark.parametrize("executor", EXECUTORS, ids=["this thread", "threads", "processes"])
def test_what_is_equal_and_not_the_same_is_kept_as_it_is(place, executor):
    numbers = [1, True, 1.0, 0, False, -0.0, float("inf"), 2**63 - 1, -(2**63), 2**63, 10**30]
    values = [*numbers, None, "", "\0", "\ud800", "1", b"1", (1,), [True]]
    many = 300 // len(values)  # in few turns and in many
    with Flow("alike") as flow:
        make.map(values * many)
    flow.run(executor=executor, ledger=place)

    results = sorted(stored(place), key=lambda each: each.map_index)
    kept = [repr(pickle.loads(each.value)) for each in results if each.map_index >= 0]
    assert kept == [repr(value) for value in values * many]


def test_a_large_result_is_kept_in_a_file(place, home):
    large = b"x" * (2 * INLINE_BYTES)
    with Flow("large") as flow:
        made = make.map([large, 1])
    state = flow.run(ledger=place)

    first, second = stored(place)
    assert read_stored(home / "results", first.location) == large
    assert pickle.loads(second.value) == 1
    assert state.result[made].map_states[0].context == {"tags": []}


def test_a_file_that_is_damaged_is_told(place, home):
    with Flow("large") as flow:
        make(b"x" * (2 * INLINE_BYTES))
    flow.run(ledger=place)

    [result] = stored(place)
    path = home / "results" / result.location
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreFailed, match="checksum"):
        read_stored(home / "results", result.location)


def test_the_result_stands_under_the_number_of_its_state(place):
    with Flow("numbers") as flow:
        make.map([1, 2, 3])
    flow.run(ledger=place)

    ledger = Ledger(place)
    run_id = ledger.flow_runs()[0].run_id
    by_number = {s.number: s for s in ledger.states(run_id) if s.state == "Success"}
    for result in stored(place):
        assert by_number[result.number].map_index == result.map_index


@pytest.mark.parametrize(
    ("of_flow", "of_run", "of_task", "is_kept"),
    [
        ("auto", None, None, True),
        (False, None, None, False),
        (False, True, None, True),
        (True, None, False, False),
        (False, None, True, True),
    ],
)
def test_task_goes_before_run_before_flow(place, of_flow, of_run, of_task, is_kept):
    with Flow("policies", durable=of_flow) as flow:
        make(1, task_args={"durable": of_task})
    flow.run(ledger=place, durable=of_run)
    assert bool(stored(place)) == is_kept


def test_only_known_policies_are_taken():
    with pytest.raises(WrongSetting, match="durable"):
        Flow("unknown", durable="often")  # type: ignore[arg-type]  # that is the test
    with pytest.raises(WrongSetting, match="durable"):
        task(durable="often")(lambda: 1)  # type: ignore[call-overload]  # that is the test


def test_a_run_that_is_not_recorded_keeps_nothing(home):
    with Flow("unrecorded", durable=True) as flow:
        make(b"x" * (2 * INLINE_BYTES))
        unpicklable()
    assert flow.run(ledger="none").is_successful()
    assert not home.exists()


def test_what_cannot_be_kept_stays_in_memory_or_fails_where_it_must_be_kept(place):
    with Flow("lock") as flow:
        made = unpicklable()
    state = flow.run(ledger=place)
    assert isinstance(state.result[made].result, Unpicklable)
    assert not stored(place, "unpicklable")

    state = flow.run(ledger=place, durable=True)
    assert state.is_failed()
    assert "keep the result of task 'unpicklable-1'" in str(state.result[made].message)
    assert "bound to this process" in str(state.result[made].message)


def test_what_cannot_be_written_is_tried_again_as_a_failed_store_is(place, home):
    home.mkdir()
    home.joinpath("results").write_text("in the way")
    with Flow("in the way") as flow:
        made = make(
            b"x" * (2 * INLINE_BYTES),
            task_args={"durable": True, "max_retries": 1, "retry_delay": 0},
        )
    heard = []
    state = flow.run(ledger=place, on_state=heard.extend)
    assert isinstance(state.result[made].result, StoreFailed)
    names = ["Running", "Success", "Failed", "Retrying", "Running", "Success", "Failed"]
    assert [record.state for record in heard] == names


def test_each_turn_of_a_loop_is_kept(place):
    @task
    def count():
        if context.task_loop_count < 3:
            raise LOOP(result=10 * context.task_loop_count)
        return "done"

    Flow("loop", tasks=[count]).run(ledger=place)
    assert [pickle.loads(each.value) for each in stored(place, "count")] == [10, 20, "done"]


def test_a_result_of_the_cache_is_kept_if_it_is_small(place, tmp_path):
    flow = Flow("target", tasks=[])
    with flow:
        make(5, task_args={"target": str(tmp_path / "five.pickle")})
    flow.run(ledger=place)
    flow.run(ledger=place)
    [result] = stored(place)
    assert pickle.loads(result.value) == 5


def test_secrets_and_what_tells_them_are_never_kept(place, home):
    @task
    def reveal(secret):
        return {"header": f"Bearer {secret}", "padding": "x" * (2 * INLINE_BYTES)}

    @task
    def reveal_shortly(secret):
        return f"Bearer {secret}"

    with Flow("secret") as flow:
        secret = PrefectSecret("TOKEN")
        reveal(secret)
        reveal_shortly(secret)
    flow.run(ledger=place, context={"secrets": {"TOKEN": "open-sesame"}})

    ledger = Ledger(place)
    assert not ledger.results(ledger.flow_runs()[0].run_id)
    assert not (home / "results").exists()


def test_what_is_plumbing_is_not_kept(place):
    with Flow("plumbing") as flow:
        make([make(1), Parameter("x")])
    flow.run(x=2, ledger=place)
    assert [pickle.loads(each.value) for each in stored(place)] == [1, [1, 2]]
    ledger = Ledger(place)
    assert len(ledger.results(ledger.flow_runs()[0].run_id)) == 2


def test_children_whose_results_are_kept_lie_in_columns_all_the_same(place):
    with Flow("children") as flow:
        made = make.map(list(range(50)))
    state = flow.run(executor=LocalDaskExecutor("processes", 1), ledger=place)
    assert [each.result for each in state.result[made].map_states] == list(range(50))
    assert len(stored(place)) == 50


def test_a_value_changed_later_is_kept_as_it_was(place):
    seen = threading.Event()

    @task
    def grow(values):
        values.append(3)
        seen.set()

    with Flow("grow") as flow:
        grow(make([1, 2]))
    flow.run(ledger=place)
    assert seen.is_set()
    assert pickle.loads(stored(place)[0].value) == [1, 2]
