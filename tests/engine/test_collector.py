"""The cycle collector is held back while somebody holds it, and left as it was found."""

import gc

import pytest
from distributed import Client, LocalCluster

from prefect_dask import Flow, task, triggers
from prefect_dask.engine.collector import CollectorHeld
from prefect_dask.engine.flow_runner import FlowRunner
from prefect_dask.executors import DaskExecutor


@pytest.fixture(autouse=True)
def _collecting_again():
    yield
    gc.enable()


def test_it_collects_again_when_the_last_one_lets_go():
    with CollectorHeld():
        with CollectorHeld():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_who_has_switched_it_off_finds_it_off():
    gc.disable()
    with CollectorHeld():
        pass
    assert not gc.isenabled()


def test_an_error_lets_go_too():
    with pytest.raises(ValueError), CollectorHeld():
        raise ValueError
    assert gc.isenabled()


def test_who_is_asked_whether_a_paused_run_may_go_on_finds_it_collecting():
    @task(trigger=triggers.manual_only)
    def approved():
        return 1

    def ask(name, state):
        collecting.append(gc.isenabled())
        return True

    with Flow("asks") as flow:
        result = approved()
    collecting: list[bool] = []
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        runner = FlowRunner(flow.describe(), executor=DaskExecutor(), ask_to_resume=ask)
        state = runner.run()
        assert state.result[result].result == 1
    assert collecting == [True]
