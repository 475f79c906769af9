"""Results are written where they belong, and a target that exists makes running needless."""

import json
import logging
from pathlib import Path

import pytest

from prefect_dask import Flow, Parameter, Task, context, task, triggers
from prefect_dask.engine.result import StoreFailed, TargetsClash, UnknownTemplateKey
from prefect_dask.engine.results import ConstantResult, LocalResult
from prefect_dask.engine.serializers import JSONSerializer
from prefect_dask.engine.signals import LOOP, SKIP
from prefect_dask.engine.state import Cached, Failed, Success, TriggerFailed
from prefect_dask.settings import set_temporary_config
from tests.contracts.observed import logged_records

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def store(tmp_path) -> LocalResult:
    return LocalResult(tmp_path / "store", serializer=JSONSerializer())


def written(store: LocalResult) -> dict:
    """What lies in a store, by location."""
    folder = Path(store.dir)
    return {
        str(path.relative_to(folder)): json.loads(path.read_text())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def run_one(function, *args, **settings):
    """The state that a task of its own comes to in a flow of its own."""
    with Flow("one") as flow:
        only = task(function, **settings)(*args)
    return flow.run().result[only]


def test_a_result_is_written_to_the_place_that_the_template_names(store):
    store.location = "{flow_name}/{task_name}-{x}-{day}.json"
    with Flow("etl", result=store) as flow:
        day = Parameter("day")
        total = task(lambda x, day: [x, day], name="total")(5, day)

    state = flow.run(day="monday")

    assert written(store) == {"etl/total-5-monday.json": [5, "monday"]}
    assert state.result[total].context["result_location"] == "etl/total-5-monday.json"


def test_the_task_s_result_goes_before_the_flow_s(store, tmp_path):
    own = LocalResult(tmp_path / "own", location="own.json", serializer=JSONSerializer())
    store.location = "{task_name}.json"
    with Flow("two", result=store) as flow:
        task(lambda: 1, name="one", result=own)()
        task(lambda: 2, name="two")()
    assert flow.run().is_successful()
    assert written(own) == {"own.json": 1} and written(store) == {"two.json": 2}


def test_checkpoint_false_keeps_a_result_from_being_written(store):
    store.location = "a.json"
    assert run_one(lambda: 1, result=store, checkpoint=False).result == 1
    assert written(store) == {}


def test_the_configuration_has_all_results_written_or_none(store, home):
    store.location = "a.json"
    with set_temporary_config({"flows.checkpointing": False}):
        run_one(lambda: 1, result=store)
    assert written(store) == {}
    run_one(lambda: 1)
    assert not (home / "results").exists(), "nothing is written that nobody asked for"
    with set_temporary_config({"flows.checkpointing": True}):
        location = run_one(lambda: 1, name="a/b").context["result_location"]
    assert LocalResult().read(location).value == 1
    assert Path(LocalResult().dir) == home / "results"


def test_only_success_is_written(store):
    def skip():
        raise SKIP("not today")

    store.location = "{task_name}.json"
    assert run_one(lambda: 1 / 0, name="fails", result=store).is_failed()
    assert run_one(skip, name="skips", result=store).is_skipped()
    assert written(store) == {}


def test_a_loop_writes_its_last_result(store):
    def turn():
        if context.task_loop_count < 3:
            raise LOOP(result=context.task_loop_count)
        return context.task_loop_result

    store.location = "a.json"
    assert run_one(turn, result=store).result == 2
    assert written(store) == {"a.json": 2}


def test_a_constant_result_is_not_written():
    assert run_one(lambda: 1, result=ConstantResult(5)).is_successful()


def test_a_target_that_exists_is_taken_instead_of_running(store):
    calls = []

    def body(x):
        calls.append(x)
        return x * 2

    settings = {"result": store, "target": "{x}.json"}
    first, second = (run_one(body, 4, **settings) for _ in range(2))
    other = run_one(body, 5, **settings)

    assert type(first) is Success and type(second) is Cached
    assert (first.result, second.result, other.result) == (8, 8, 10)
    assert calls == [4, 5] and written(store) == {"4.json": 8, "5.json": 10}
    assert "4.json exists" in (second.message or "")


def test_a_target_may_be_an_url_of_its_own(tmp_path):
    url = f"{tmp_path.as_uri()}/{{task_name}}.pickle"
    states = [run_one(lambda: {1}, name="a", target=url) for _ in range(2)]
    assert [type(state) for state in states] == [Success, Cached]
    assert (tmp_path / "a.pickle").exists() and states[1].result == {1}


def test_a_result_of_none_is_a_result(store):
    states = [run_one(lambda: None, result=store, target="none.json") for _ in range(2)]
    assert [type(state) for state in states] == [Success, Cached]


def test_the_trigger_is_asked_although_the_target_exists(store):
    run_one(lambda x=None: 1, result=store, target="a.json")
    with Flow("broken above") as flow:
        broken = task(lambda: 1 / 0, name="broken")()
        below = task(lambda x=None: 1, result=store, target="a.json")(broken)
        anyway = task(
            lambda x=None: 2, result=store, target="a.json", trigger=triggers.all_finished
        )(broken)
    states = flow.run().result
    assert type(states[below]) is TriggerFailed
    assert type(states[anyway]) is Cached and states[anyway].result == 1


def test_a_template_with_an_unknown_key_fails_the_task_before_its_body():
    calls = []
    state = run_one(lambda: calls.append(1), target="{dya}.pickle")
    assert type(state.result) is UnknownTemplateKey and not calls
    assert "names 'dya'" in str(state.message) and "'today'" in str(state.message)


def test_secrets_do_not_stand_in_the_error_about_a_template():
    with Flow("secret") as flow:
        only = task(lambda: 1, target="{nothing}")()
    state = flow.run(context={"secrets": {"KEY": "plain text"}})
    assert "plain text" not in repr(state.result[only].message)


def test_a_store_that_cannot_be_reached_fails_the_task_which_may_try_again(tmp_path):
    (tmp_path / "file").write_text("no folder")
    settings = {"max_retries": 1, "retry_delay": 0}
    calls = []
    result = LocalResult(tmp_path / "file", location="a.pickle")

    state = run_one(lambda: calls.append(1), result=result, **settings)

    assert type(state) is Failed and type(state.result) is StoreFailed
    assert str(tmp_path / "file" / "a.pickle") in str(state.message)
    assert len(calls) == 2


def test_an_url_that_nothing_can_open_is_named_and_the_flow_ends():
    state = run_one(lambda: 1, target="nosuch://host/a.pickle", max_retries=1, retry_delay=0)
    assert state.is_failed() and "nosuch://host/a.pickle" in state.message


def test_a_damaged_target_fails_the_task(tmp_path):
    (tmp_path / "a.pickle").write_bytes(b"\x80")
    state = run_one(lambda: 1, result=LocalResult(tmp_path), target="a.pickle")
    assert state.is_failed() and "a.pickle" in state.message


def test_what_a_body_does_to_its_inputs_does_not_move_the_target(store):
    def body(x):
        x.append(2)
        return x

    run_one(body, [1], result=store, target="{x[0]}-{x}.json")
    assert list(written(store)) == ["1-[1].json"]


# ---- mapped


@task(target="{x}.pickle")
def by_input(x):
    return x


@pytest.fixture
def in_store(store):
    return {"task_args": {"result": store}}


def test_each_child_has_its_own_target(in_store, store):
    def run():
        with Flow("mapped", result=store) as flow:
            out = by_input.map([1, 2, 3])
        return flow.run().result[out]

    first, second = run(), run()
    assert first.result == second.result == [1, 2, 3]
    assert {type(state) for state in first.map_states} == {Success}
    assert {type(state) for state in second.map_states} == {Cached}
    assert list(written(store)) == ["1.pickle", "2.pickle", "3.pickle"]


def test_two_children_with_one_target_are_an_error_before_any_runs(store):
    calls = []

    def body(x):
        calls.append(x)

    with Flow("clash", result=store) as flow:
        out = task(body, target="{x[0]}.json").map(["ab", "cd", "ax"])
    state = flow.run().result[out]

    assert type(state) is Failed and type(state.result) is TargetsClash
    assert "its children 0 and 2 have the same target 'a.json'" in str(state.message)
    assert not calls and written(store) == {}


def test_children_that_differ_by_their_index_do_not_clash(store):
    with Flow("indices", result=store) as flow:
        out = task(lambda x: x, target="{task_name}-{map_index}.json", name="t").map([7, 7])
        below = task(lambda x: x + 1, target="{task_full_name}.json", name="u").map(out)
    state = flow.run()
    assert state.result[below].result == [8, 8]
    assert list(written(store)) == ["t-0.json", "t-1.json", "u[0].json", "u[1].json"]


def test_a_fixed_target_below_a_map_clashes_too(store):
    with Flow("fixed", result=store) as flow:
        first = task(lambda x: x).map([1, 2])
        out = task(lambda x: x, target="one.json").map(first)
    assert "have the same target 'one.json'" in str(flow.run().result[out].message)


def test_a_handler_that_fails_the_task_keeps_its_result_from_being_written(store):
    def refuse(_task, _old, new):
        return Failed("refused") if new.is_successful() else None

    state = run_one(lambda: 1, result=store, target="a.json", state_handlers=[refuse])
    assert type(state) is Failed and written(store) == {}


def test_a_task_class_has_a_target_as_well(store):
    class Double(Task):
        def run(self, x):
            return 2 * x

    with Flow("class") as flow:
        out = Double(result=store, target="double.json")(4)
    assert flow.run().result[out].result == 8
    assert written(store) == {"double.json": 8}


def test_nothing_of_a_value_stands_in_the_log(store):
    with logged_records() as records:
        run_one(lambda: "plain text", result=store, target="a.json")
    assert records and all("plain text" not in r.getMessage() for r in records)
    assert all(record.levelno < logging.ERROR for record in records)
