"""A flow as a Dask collection: what a Dask user may do with it."""

import dask
import distributed
import pytest
from dask.base import is_dask_collection

from prefect_dask import Flow, Parameter, context, task


@task
def load(base):
    return base + 1


@task(max_retries=2, retry_delay=0.01)
def unsteady(value):
    if context.task_run_count < 3:
        raise ConnectionError("not yet")
    return value * 10


@task
def divide(value):
    return value / 0


@pytest.fixture
def flow():
    with Flow("numbers") as flow:
        unsteady(load(Parameter("base", default=3)))
    return flow


def results(state):
    return {task.name: task_state.result for task, task_state in state.result.items()}


def test_dask_computes_a_flow_to_its_state(flow):
    (state,) = dask.compute(flow)

    assert is_dask_collection(flow)
    assert state.is_successful()
    assert results(state) == {"base": 3, "load": 4, "unsteady": 40}


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_any_scheduler_of_dask_gives_what_the_flow_itself_gives(flow, scheduler):
    (state,) = dask.compute(flow, scheduler=scheduler)

    assert results(state) == results(flow.run())
    assert type(state) is type(flow.run())


def test_a_failed_task_is_a_state_and_not_an_exception():
    with Flow("fails") as flow:
        divide(divide(1))

    (state,) = dask.compute(flow)

    assert state.is_failed()
    assert [type(s).__name__ for s in state.result.values()] == ["Failed", "TriggerFailed"]


def test_the_graph_has_a_layer_a_task(flow):
    names = [name.rsplit("-", 1)[0] for name in flow.dask.layers]

    assert names == ["base", "load-1", "unsteady-1"]
    assert len(flow.dask) == 6  # a task's code, and its state


def test_a_flow_that_grows_gets_a_new_graph(flow):
    before = flow.__dask_keys__()
    assert flow.__dask_keys__() == before, "the same flow keeps its keys"

    flow.add_task(load.copy(name="another"))

    assert len(flow.__dask_keys__()) == len(before) + 1


def test_a_required_parameter_cannot_be_computed_without_a_value():
    with Flow("asks") as flow:
        load(Parameter("base"))

    with pytest.raises(ValueError, match="base"):
        dask.compute(flow)


def test_a_flow_is_computed_and_persisted_on_a_cluster(flow):
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        (state,) = dask.compute(flow)
        (persisted,) = dask.persist(flow)
        distributed.wait(persisted)

        assert results(state)["unsteady"] == 40
        assert is_dask_collection(persisted)
        (again,) = dask.compute(persisted)
        assert results(again)["unsteady"] == 40
        assert client.status == "running"
