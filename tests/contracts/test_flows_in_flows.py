"""A flow as a task of another one, and Dask collections inside tasks, also where there is one thread only."""

import distributed
import pytest

from prefect_dask import Flow, Parameter, task
from prefect_dask.executors import DaskExecutor


@task
def inc(x):
    return x + 1


@task
def total(xs):
    return sum(xs)


@task
def divide(x):
    return x / 0


def nested(depth: int) -> Flow:
    """A flow that adds one and hands on to a flow that does the same, `depth` times."""
    with Flow(f"depth {depth}") as flow:
        x = inc(Parameter("x"))
        if depth > 1:
            inner = nested(depth - 1)
            (last,) = inner.get_tasks(name="last")
            x = inner.as_task(returns=last)(x=x)
        inc.copy(name="last")(x)
    return flow


def result(state, name):
    (found,) = [s.result for t, s in state.result.items() if t.name == name]
    return found


def test_an_inner_flow_gives_its_result_and_its_states(executor):
    with Flow("inner") as inner:
        more = inc(Parameter("x"))
        total([more, more])
    with Flow("outer") as outer:
        whole = inner.as_task(name="whole")(x=1)
        inner.as_task(returns=more, name="one")(x=10)

    state = outer.run(executor=executor)

    assert state.is_successful()
    assert result(state, "one") == 11
    linked = state.result[whole].result
    assert linked.is_successful()
    assert {slug: s.result for slug, s in linked.result.items()} == {
        "x": 1,
        "inc-1": 2,
        "List-1": [2, 2],
        "total-1": 4,
    }


def test_a_failed_inner_flow_fails_its_task_and_shows_its_states(executor):
    with Flow("inner") as inner:
        divide(Parameter("x"))
    with Flow("outer") as outer:
        failed = inner.as_task()(x=1)

    state = outer.run(executor=executor)

    assert state.is_failed()
    assert "flow 'inner' failed" in state.result[failed].message
    assert state.result[failed].result.result["divide-1"].is_failed()


@pytest.fixture(scope="module")
def one_by_one():
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=":0"
    ) as cluster:
        yield cluster.scheduler_address


def test_five_flows_deep_on_one_thread_does_not_stop(one_by_one):
    state = nested(5).run(x=0, executor=DaskExecutor(address=one_by_one))

    assert state.is_successful()
    assert result(state, "last") == 10


def test_mapped_inner_flows_share_one_thread(one_by_one):
    with Flow("inner") as inner:
        one = inc(Parameter("x"))
    with Flow("outer") as outer:
        total(inner.as_task(returns=one, name="inner").map(x=[1, 2, 3]))

    state = outer.run(executor=DaskExecutor(address=one_by_one))

    assert result(state, "total") == 9


@task
def with_delayed(n):
    import dask

    return dask.delayed(sum)([dask.delayed(lambda x: x * x)(i) for i in range(n)]).compute()


@task
def with_bag(n):
    import dask.bag

    return dask.bag.from_sequence(range(n), npartitions=4).map(lambda x: x + 1).sum().compute()


@task
def with_array(n):
    import dask.array

    return int(dask.array.arange(n, chunks=10).sum().compute())


@task
def with_dataframe(n):
    import dask.dataframe
    import pandas

    frame = pandas.DataFrame({"kind": ["even", "odd"] * n, "value": range(2 * n)})
    sums = dask.dataframe.from_pandas(frame, npartitions=3).groupby("kind")["value"].sum()
    return {str(kind): int(each) for kind, each in sums.compute().items()}


def test_dask_collections_are_computed_inside_tasks_on_the_same_thread(one_by_one):
    with Flow("collections") as flow:
        with_delayed(5)
        with_bag(10)
        with_array(100)
        with_dataframe(3)

    state = flow.run(executor=DaskExecutor(address=one_by_one))

    assert state.is_successful(), [s.message for s in state.result.values()]
    assert (result(state, "with_delayed"), result(state, "with_bag")) == (30, 55)
    assert result(state, "with_array") == sum(range(100))
    assert result(state, "with_dataframe") == {"even": 6, "odd": 9}
