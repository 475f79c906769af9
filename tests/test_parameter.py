"""Parameters: inputs of the whole flow."""

import pickle
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from prefect_dask import DateTimeParameter, Flow, Parameter, context, task
from prefect_dask.engine import signals
from prefect_dask.errors import MissingParameters, UnknownParameters
from prefect_dask.executors import LocalExecutor
from prefect_dask.parameter import parse_moment

UTC = timezone.utc


@task
def give(value: Any) -> Any:
    return value


def run(flow: Flow, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Results by task name."""
    state = flow.run(*args, executor=LocalExecutor(), **kwargs)
    return {each.name: its.result for each, its in state.result.items()}


@pytest.fixture
def flow() -> Flow:
    with Flow("etl") as flow:
        give(Parameter("path"))
        give(Parameter("limit", default=10), task_args={"name": "limited"})
    return flow


# ---- what it is


def test_a_parameter_shows_its_name_and_is_found_by_it():
    p = Parameter("path", tags={"in"})
    assert repr(p) == "<Parameter: path>"
    assert (p.name, p.slug, p.tags) == ("path", "path", {"in"})
    with Flow("f") as flow:
        give(p)
    assert flow.slugs[p] == "path"


def test_a_default_makes_it_optional_even_the_default_none():
    assert Parameter("p").required is True
    assert Parameter("p", default=3).required is False
    assert Parameter("p", default=None).required is False
    assert Parameter("p", required=False).required is False
    assert Parameter("p", default=3, required=True).required is True
    assert Parameter("p", required=False).default is None


def test_a_parameter_joins_the_flow_when_it_is_used_or_called():
    with Flow("f") as flow:
        one, two = Parameter("one"), Parameter("two")
        give(one)
        assert two() is two
    assert flow.parameters() == {one, two}


def test_a_parameter_takes_no_inputs():
    p = Parameter("p")
    with Flow("f"), pytest.raises(TypeError, match="task 'p' takes at most 0 arguments"):
        p(3)


def test_one_parameter_may_feed_many_tasks():
    p = Parameter("p")
    with Flow("f") as flow:
        for _ in range(3):
            give(p)
    assert len(flow.edges_from(p)) == 3


def test_a_copy_has_a_name_of_its_own():
    copy = Parameter("p", default=1).copy(name="q")
    assert (copy.name, copy.slug, copy.default) == ("q", "q", 1)


def test_a_parameter_run_by_itself_looks_into_the_context():
    with context(parameters={"p": 7}):
        assert Parameter("p").run() == 7
        assert Parameter("q", default=8).run() == 8
        with pytest.raises(signals.FAIL, match="parameter 'q' needs a value"):
            Parameter("q").run()


def test_a_parameter_survives_pickling_with_and_without_default():
    for p in (Parameter("p"), Parameter("p", default=None)):
        again = pickle.loads(pickle.dumps(p))
        assert (again.name, again.required, again.default) == (p.name, p.required, p.default)


# ---- running with them


def test_parameters_are_given_as_a_dict_or_as_keywords(flow: Flow):
    assert run(flow, {"path": "a"})["give"] == "a"
    assert run(flow, parameters={"path": "a", "limit": 1})["limited"] == 1
    assert run(flow, path="b")["give"] == "b"
    assert run(flow, {"path": "a"}, path="b")["give"] == "b"
    assert run(flow, path="a")["limited"] == 10
    assert run(flow, path=None)["give"] is None


def test_given_wins_over_context_and_context_over_default(flow: Flow):
    facts = {"parameters": {"path": "context", "limit": 5}}
    assert run(flow, context=facts) == run(flow, path="context", limit=5)
    assert run(flow, context=facts, path="given")["give"] == "given"
    with context(parameters={"path": "around"}):
        assert run(flow)["give"] == "around"
        assert run(flow, context=facts)["give"] == "context"


def test_tasks_see_the_parameters_in_their_context(flow: Flow):
    with flow:
        task(lambda: dict(context.parameters), name="look")()
    assert run(flow, path="a")["look"] == {"path": "a", "limit": 10}


def test_an_unknown_parameter_is_named_with_those_that_there_are(flow: Flow):
    with pytest.raises(UnknownParameters) as caught:
        flow.run(path="a", limits=3)
    assert str(caught.value) == (
        "flow 'etl': there is no parameter 'limits'; it has 'limit', 'path'"
    )
    with pytest.raises(ValueError, match="there is no parameter 'a'; it has none"):
        Flow("empty").run(a=1)


def test_a_missing_parameter_is_named_before_any_task_runs():
    ran: list[int] = []
    with Flow("etl") as flow:
        task(lambda: ran.append(1), name="count")()
        give(Parameter("path"))
        give(Parameter("limit", default=1))
    with pytest.raises(MissingParameters) as caught:
        flow.run()
    assert str(caught.value) == (
        "flow 'etl': it needs a value for parameter 'path'; pass it to run(), or as --param on the "
        "command line, or give it a default (the parameters are 'limit', 'path')"
    )
    assert isinstance(caught.value, ValueError)
    assert not ran


# ---- moments


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-01", datetime(2024, 5, 1, tzinfo=UTC)),
        ("2024-05-01T12:30", datetime(2024, 5, 1, 12, 30, tzinfo=UTC)),
        ("2024-05-01 12:30:15Z", datetime(2024, 5, 1, 12, 30, 15, tzinfo=UTC)),
        ("20240501T123015.5Z", datetime(2024, 5, 1, 12, 30, 15, 500_000, tzinfo=UTC)),
        ("2024-05-01T12:30:15.123456789+00:00", datetime(2024, 5, 1, 12, 30, 15, 123_456, UTC)),
        ("2024-05-01T12+02:00", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2024-05-01T12:30-0530", datetime(2024, 5, 1, 18, tzinfo=UTC)),
    ],
)
def test_iso_text_is_read_alike_on_every_python(text: str, moment: datetime):
    assert parse_moment(text) == moment
    assert parse_moment(text).tzinfo is not None


@pytest.mark.parametrize("text", ["", "yesterday", "2024", "2024-13-01", "2024-05-01T25:00", "१२"])
def test_other_text_is_refused_and_shown(text: str):
    with pytest.raises(ValueError, match=f"'{text}' is no moment"):
        parse_moment(text)


def test_a_naive_datetime_means_utc_and_an_offset_is_kept():
    assert parse_moment(datetime(2024, 5, 1)) == datetime(2024, 5, 1, tzinfo=UTC)
    assert parse_moment("2024-05-01T12:00+02:00").utcoffset() == timedelta(hours=2)


def test_a_date_time_parameter_gives_tasks_an_aware_datetime():
    with Flow("f") as flow:
        give(DateTimeParameter("when", default=None))
    assert run(flow, when="2024-05-01")["give"] == datetime(2024, 5, 1, tzinfo=UTC)
    assert run(flow)["give"] is None
    state = flow.run(when="soon", executor=LocalExecutor())
    assert state.is_failed()
    (parameter,) = flow.parameters()
    assert "parameter 'when': 'soon' is no moment" in str(state.result[parameter].message)
    state = flow.run(when=3, executor=LocalExecutor())
    assert "a datetime or ISO 8601 text is wanted, got 3" in str(state.result[parameter].message)
