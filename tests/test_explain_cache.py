"""flow.explain_cache() says which earlier results a run would take, and what keeps it from the others."""

from datetime import timedelta

import pytest

from prefect_dask import Flow, Parameter, flatten, task
from prefect_dask.engine.cache_validators import all_parameters
from prefect_dask.engine.results import LocalResult
from prefect_dask.errors import UnknownParameters

pytestmark = pytest.mark.usefixtures("home")

HOUR = timedelta(hours=1)


def build(number=1, **settings):
    settings = {"cache_for": HOUR, **settings}
    with Flow("explained") as flow:
        day = Parameter("day", default="monday")
        load = task(lambda day, size: [day] * size, name="load", **settings)(day, size=2)
        count = task(lambda rows: len(rows) + number, name="count", **settings)(load)
        task(lambda rows: None, name="show")(load)
    return flow, load, count


def said(flow, *args, **parameters):
    return [str(answer) for answer in flow.explain_cache(*args, **parameters).values()]


def test_before_the_first_run_there_is_no_entry():
    flow, load, count = build()
    assert said(flow) == [
        "load: miss: key",
        "count: miss: its inputs are not known before 'load' has run",
    ]


def test_after_a_run_all_are_hits_and_no_body_runs():
    flow, load, count = build()
    flow.run()
    answers = flow.explain_cache()
    assert list(answers) == [load, count]
    assert all(answer.is_hit for answer in answers.values())
    assert said(flow) == ["load: hit", "count: hit"]


def test_an_input_that_differs_is_named():
    flow, load, _ = build()
    flow.run()
    assert flow.explain_cache(day="tuesday")[load].differs == ("input 'day'",)
    assert flow.explain_cache({"day": "tuesday"})[load].differs == ("input 'day'",)


def test_a_change_of_the_code_is_named():
    build(number=1)[0].run()
    flow, load, count = build(number=2)
    answers = flow.explain_cache()
    assert answers[load].is_hit and answers[count].differs == ("code",)


def test_an_expired_entry_is_named():
    build(cache_for=timedelta(microseconds=1))[0].run()
    assert said(build()[0])[0] == "load: miss: expired"


def test_an_expired_entry_is_named_also_after_its_value_was_dropped():
    short = {"cache_for": timedelta(microseconds=1)}
    for _ in range(2):
        build(**short)[0].run()
    assert said(build()[0])[0] == "load: miss: expired"


def test_a_parameter_that_differs_is_named():
    settings = {"cache_validator": all_parameters}
    build(**settings)[0].run()
    assert said(build(**settings)[0], day="friday")[0] == "load: miss: parameter 'day'"


def test_a_validator_of_ones_own_that_refuses_is_named():
    settings = {"cache_validator": lambda state, inputs, parameters: False}
    build(**settings)[0].run()
    assert said(build(**settings)[0])[0] == "load: miss: validator"


def test_a_target_is_a_hit_where_it_exists(tmp_path):
    with Flow("target") as flow:
        task(lambda: 1, name="t", result=LocalResult(tmp_path), target="{task_name}.pickle")()
    assert said(flow) == ["t: miss: target"]
    flow.run()
    assert said(flow) == ["t: hit"]


def test_children_are_answered_one_by_one():
    def mapped(xs):
        with Flow("mapped") as flow:
            twice = task(lambda x: [x, x], name="twice", cache_for=HOUR).map(xs)
            task(lambda x: x, name="flat", cache_for=HOUR).map(flatten(twice))
        return flow, twice

    mapped([1, 2])[0].run()
    assert said(mapped([2, 1])[0]) == ["twice: hit", "flat: hit"]
    flow, twice = mapped([1, 5])
    answer = flow.explain_cache()[twice]
    assert str(answer) == "twice: hit for 1 of 2 children"
    assert [str(child) for child in answer.children] == [
        "twice[0]: hit",
        "twice[1]: miss: input 'x'",
    ]


def test_an_input_in_a_list_is_known():
    with Flow("collection") as flow:
        task(lambda xs: sum(xs), name="total", cache_for=HOUR)([Parameter("x", default=1), 2])
    flow.run()
    assert said(flow) == ["total: hit"]


def test_a_parameter_that_there_is_not_is_named():
    with pytest.raises(UnknownParameters):
        build()[0].explain_cache(dya="monday")
