"""A flow runs as a task of another one."""

import sys

import pytest

from prefect_dask import Flow, Parameter, task
from prefect_dask.executors import LocalDaskExecutor, LocalExecutor
from prefect_dask.tasks.needs import MissingValue
from prefect_dask.tasks.prefect import NoSuchFlow, RunFlow, find_flow

FILE = """
from prefect_dask import Flow, Parameter, task

@task
def double(x):
    return 2 * x

with Flow("doubles") as doubles:
    double(Parameter("x", 1))
"""


@task
def double(x):
    return 2 * x


def doubles() -> Flow:
    with Flow("doubles") as flow:
        double(double(Parameter("x", 1)))
    return flow


@pytest.mark.parametrize("executor", [LocalExecutor, LocalDaskExecutor])
def test_the_results_of_a_flows_last_tasks_are_the_tasks_result(executor):
    with Flow("outer") as flow:
        inner = RunFlow(doubles())(parameters={"x": 5}, executor=executor())
        after = task(lambda results: sum(results.values()), name="after")(inner)
    state = flow.run(executor=executor())
    assert state.result[inner].result == {"double-2": 20}
    assert state.result[after].result == 20


def test_parameters_of_the_call_win():
    run = RunFlow(doubles(), parameters={"x": 1})
    assert run.run(parameters={"x": 2}) == {"double-2": 8}


def test_a_flow_that_fails_fails_the_task_with_its_message():
    with Flow("broken") as broken:
        task(lambda: 1 / 0, name="divide")()
    with Flow("outer") as flow:
        inner = RunFlow(broken)()
    state = flow.run().result[inner]
    assert state.is_failed() and state.message.startswith("flow 'broken' is Failed: ")


def test_a_flow_runs_from_each_kind_of_place(tmp_path, monkeypatch):
    script, saved = tmp_path / "doubles_of_test.py", tmp_path / "saved.flow"
    script.write_text(FILE)
    doubles().save(str(saved))
    assert RunFlow(script).run() == {"double-1": 2}
    assert RunFlow().run(flow_file=str(saved)) == {"double-2": 4}
    monkeypatch.syspath_prepend(tmp_path)
    assert RunFlow("doubles_of_test").run(parameters={"x": 4}) == {"double-1": 8}
    assert RunFlow("doubles_of_test:doubles").run() == {"double-1": 2}
    del sys.modules["doubles_of_test"]


def test_a_flow_of_a_script_runs_in_other_processes_with_an_executor_of_its_own(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(FILE.replace("2 * x", "FACTOR * x") + "\nFACTOR = 3")
    with Flow("outer") as flow:
        inner = RunFlow(script, executor=LocalDaskExecutor("processes", num_workers=1))()
    state = flow.run(executor=LocalDaskExecutor("processes", num_workers=1))
    assert state.result[inner].result == {"double-1": 3}


def test_flows_run_in_flows_in_flows():
    flow = doubles()
    for depth in range(4):
        with Flow(f"outer {depth}") as outer:
            RunFlow(flow)()
        flow = outer
    assert flow.run().is_successful()


def test_of_several_flows_in_a_file_one_is_named(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(f"{FILE}\nother = Flow('another')\n")
    with pytest.raises(NoSuchFlow, match="'doubles', 'other'; say which, as in"):
        find_flow(script)
    assert find_flow(f"{script}:other").name == "another"
    assert find_flow(f"{script}:another").name == "another"
    with pytest.raises(NoSuchFlow, match="did you mean 'doubles'"):
        find_flow(f"{script}:double")


def test_a_place_without_a_flow_is_named(tmp_path):
    (tmp_path / "none.py").write_text("x = 1")
    with pytest.raises(NoSuchFlow, match="has no flow"):
        find_flow(tmp_path / "none.py")
    with pytest.raises(NoSuchFlow, match="neither a file nor a module"):
        find_flow("no_such_module_anywhere")
    with pytest.raises(MissingValue):
        RunFlow().run()
