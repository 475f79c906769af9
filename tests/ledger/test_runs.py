"""What a flow run leaves in a ledger, on both databases."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from prefect_dask import Flow, Parameter, context, task
from prefect_dask.engine.errors import RunInterrupted
from prefect_dask.engine.results import LocalResult
from prefect_dask.engine.signals import FAIL, LOOP
from prefect_dask.executors import LocalDaskExecutor, LocalExecutor
from prefect_dask.ledger import Ledger
from prefect_dask.ledger.errors import LedgerRefused, NoLedgerThere, UnknownRun
from prefect_dask.settings import config, set_temporary_config


@task
def double(x):
    return 2 * x


@task
def total(xs):
    return sum(xs)


@task
def fail():
    raise ValueError("no luck")


def doubles() -> Flow:
    with Flow("doubles") as flow:
        total(double.map(Parameter("xs")))
    return flow


def states_of(ledger: Ledger, run_id: str, task: int, map_index: int = -1) -> list[str]:
    return [state.state for state in ledger.states(run_id, task, map_index)]


def test_the_environment_names_the_ledger_and_what_is_given_to_the_run_goes_before_it(
    url, ledger, tmp_path, monkeypatch
):
    other = Ledger(tmp_path / "other.sqlite")
    try:
        with monkeypatch.context() as patch:
            patch.setenv("PREFECT_LEDGER_URL", url)
            config.reload()
            doubles().run(xs=[1])
            doubles().run(xs=[2], ledger=other)
    finally:
        config.reload()
    assert [run.parameters for run in ledger.flow_runs()] == [{"xs": [1]}]
    assert [run.parameters for run in other.flow_runs()] == [{"xs": [2]}]


def test_a_run_is_recorded_with_its_tasks_and_children(url, ledger):
    doubles().run(xs=[1, 2, 3], ledger=url)

    [run] = ledger.flow_runs()
    assert (run.flow_name, run.state, run.parameters) == ("doubles", "Success", {"xs": [1, 2, 3]})
    assert run.begun <= run.ended
    runs = {(each.task_name, each.map_index): each.state for each in ledger.task_runs(run.run_id)}
    assert runs == {
        ("xs", -1): "Success",
        ("double", -1): "Mapped",
        ("double", 0): "Success",
        ("double", 1): "Success",
        ("double", 2): "Success",
        ("total", -1): "Success",
    }
    assert states_of(ledger, run.run_id, -1) == ["Running", "Success"]


@pytest.mark.parametrize(
    "executor",
    [LocalExecutor(), LocalDaskExecutor("threads", 2), LocalDaskExecutor("processes", 2)],
    ids=["this thread", "threads", "processes"],
)
def test_the_ledger_holds_what_a_listener_hears(tmp_path, executor):
    heard = []
    flow = doubles()
    flow.run(
        xs=list(range(50)), on_state=heard.extend, executor=executor, ledger=tmp_path / "its.sqlite"
    )

    ledger = Ledger(tmp_path / "its.sqlite")
    states = ledger.states(ledger.flow_runs()[0].run_id)
    told = [(s.task, s.map_index, s.attempt, s.state, s.worker) for s in states if s.task >= 0]
    assert told == [(r.task_index, r.map_index, r.attempt, r.state, r.worker) for r in heard]
    assert [s.time.timestamp() for s in states if s.task >= 0] == pytest.approx(
        [r.timestamp for r in heard], abs=1e-5
    )
    assert [s.number for s in states] == sorted(s.number for s in states)


def test_each_attempt_is_told_with_its_end(url, ledger):
    @task(max_retries=1, retry_delay=0.01)
    def unsteady():
        if context.task_run_count == 1:
            raise ValueError("not yet")

    Flow("unsteady", tasks=[unsteady]).run(ledger=url)

    run_id = ledger.flow_runs()[0].run_id
    assert states_of(ledger, run_id, 0) == ["Running", "Failed", "Retrying", "Running", "Success"]
    attempts = ledger.attempts(run_id, 0)
    assert [(each.attempt, each.state) for each in attempts] == [(1, "Failed"), (2, "Success")]
    assert ledger.states(run_id, 0)[2].details["run_count"] == 1


def test_a_process_that_died_is_told_as_the_cause(tmp_path):
    @task
    def dies_once(marker: str) -> str:
        if not os.path.exists(marker):
            open(marker, "w").close()
            os._exit(7)
        return "survived"

    with Flow("death") as flow:
        dies_once(str(tmp_path / "marker"))
    flow.run(executor=LocalDaskExecutor("processes", 1), ledger=tmp_path / "its.sqlite")

    ledger = Ledger(tmp_path / "its.sqlite")
    run_id = ledger.flow_runs()[0].run_id
    died, survived = ledger.attempts(run_id, 0)
    assert "exit code 7" in str(died.cause_of_death)
    assert (survived.state, survived.cause_of_death) == ("Success", None)


def test_a_failed_run_is_told_with_its_message(url, ledger):
    Flow("unlucky", tasks=[fail]).run(ledger=url)

    [run] = ledger.flow_runs(state="Failed")
    [task_run] = ledger.task_runs(run.run_id)
    assert (task_run.state, task_run.message) == ("Failed", "no luck")
    assert ledger.flow_runs(state="Success") == []


def test_lines_are_kept_with_the_task_that_logged_them(url, ledger):
    @task(log_stdout=True)
    def talk(x):
        context.logger.warning("about %s", x)
        print("and so on")

    with Flow("talk") as flow:
        talk.map([1, 2])
    flow.run(ledger=url)

    run_id = ledger.flow_runs()[0].run_id
    lines = ledger.logs(run_id)
    assert "Beginning flow run" in lines[0].message
    index = next(line.task for line in lines if line.task_name == "talk")
    told = [(line.message, line.level) for line in ledger.logs(run_id, index, 1)]
    assert told == [("about 2", logging.WARNING), ("and so on", logging.INFO)]


def test_lines_of_other_processes_are_kept_too(tmp_path):
    @task
    def talk():
        context.logger.info("from afar")

    place = tmp_path / "its.sqlite"
    flow = Flow("talk", tasks=[talk])
    flow.run(executor=LocalDaskExecutor("processes", 1), ledger=place)

    ledger = Ledger(place)
    lines = ledger.logs(ledger.flow_runs()[0].run_id, 0)
    assert [(line.task_name, line.message) for line in lines] == [("talk", "from afar")]
    assert lines[0].worker


def test_runs_in_two_threads_keep_their_lines_apart(tmp_path):
    place = tmp_path / "its.sqlite"
    met = threading.Barrier(2, timeout=10)

    def run(name: str) -> None:
        @task
        def talk():
            met.wait()
            context.logger.info(name)
            met.wait()

        Flow(name, tasks=[talk]).run(ledger=place)

    threads = [threading.Thread(target=run, args=(name,)) for name in ("left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    ledger = Ledger(place)
    for name in ("left", "right"):
        [run_] = ledger.flow_runs(flow_name=name)
        assert [line.message for line in ledger.logs(run_.run_id, 0)] == [name]


def test_where_a_result_lies_is_kept(tmp_path):
    place = tmp_path / "its.sqlite"
    with Flow("stored") as flow:
        total.copy(name="one", result=LocalResult(tmp_path / "results", location="one.pickle"))(
            [1, 2]
        )
    flow.run(ledger=place)

    ledger = Ledger(place)
    [result] = ledger.results(ledger.flow_runs()[0].run_id)
    assert result.location.endswith("one.pickle")


def test_the_flow_is_kept_once_and_again_when_its_code_changes(url, ledger):
    flow = doubles()
    for _ in range(2):
        flow.run(xs=[1], ledger=url)

    @task(name="double")
    def other(x):
        return 3 * x

    with Flow("doubles") as changed:
        total(other.map(Parameter("xs")))
    changed.run(xs=[1], ledger=url)

    new, same, old = (ledger.flow(run.run_id) for run in ledger.flow_runs())
    assert same == old
    assert new.code != old.code
    differing = [a.name for a, b in zip(new.tasks, old.tasks, strict=True) if a.code != b.code]
    assert differing == ["double"]
    assert [task.is_mapped for task in new.tasks if task.name == "double"] == [True]
    assert new.edges == old.edges


def test_a_loop_is_told_turn_by_turn(url, ledger):
    @task
    def loop():
        if context.task_loop_count < 3:
            raise LOOP(result=1)

    Flow("loop", tasks=[loop]).run(ledger=url)

    states = ledger.states(ledger.flow_runs()[0].run_id, 0)
    counts = [state.details["loop_count"] for state in states if state.state == "Looped"]
    assert counts == [1, 2]


def test_an_interrupted_run_leaves_nothing_running(tmp_path):
    @task
    def interrupted():
        signal.raise_signal(signal.SIGINT)

    place = tmp_path / "its.sqlite"
    with pytest.raises(RunInterrupted):
        Flow("interrupted", tasks=[interrupted]).run(ledger=place)

    ledger = Ledger(place)
    [run] = ledger.flow_runs()
    assert run.state == "Cancelled" and run.ended
    assert [each.state for each in ledger.task_runs(run.run_id)] == ["Cancelled"]


def test_what_a_run_says_in_odd_letters_is_kept(url, ledger):
    @task
    def odd():
        # Not an error, which would be logged, and no terminal shows this.
        raise FAIL("half a letter \ud800, and none \0")

    Flow("odd", tasks=[odd]).run(ledger=url)

    [run] = ledger.task_runs(ledger.flow_runs()[0].run_id)
    assert run.message.startswith("half a letter ")


def test_parameters_that_json_does_not_know_are_told_by_their_repr(url, ledger):
    with Flow("sets") as flow:
        double(Parameter("x", default=1 + 2j))
    flow.run(ledger=url)
    assert ledger.flow_runs()[0].parameters == {"x": "(1+2j)"}


def test_a_ledger_in_memory_lives_as_long_as_the_process():
    ledger = Ledger(":memory:")
    before = len(ledger.flow_runs())
    doubles().run(xs=[1], ledger=":memory:")
    assert len(ledger.flow_runs()) == before + 1


def test_no_ledger_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    doubles().run(xs=[1], ledger="none")
    with set_temporary_config({"ledger.url": "none"}):
        doubles().run(xs=[1])
        with pytest.raises(LedgerRefused, match="'none' is configured"):
            Ledger()
    assert not (tmp_path / "home").exists()


def test_the_default_is_a_file_in_the_home_folder_for_this_user_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    doubles().run(xs=[1])
    assert Ledger().flow_runs()[0].state == "Success"
    if sys.platform != "win32":
        assert (tmp_path / "home" / "ledger.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_home_that_cannot_be_is_told_and_the_flow_runs(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "file" / "home"))
    assert doubles().run(xs=[1]).is_successful()
    assert "this run is not recorded" in caplog.text


@pytest.mark.parametrize("given", ["mysql://host/name", "sqlite://runs.sqlite"])
def test_what_names_no_ledger_is_refused_before_any_task_runs(given):
    with pytest.raises(NoLedgerThere):
        Flow("never", tasks=[fail]).run(ledger=given)


def test_a_run_is_found_by_the_beginning_of_its_id(url, ledger):
    doubles().run(xs=[1], ledger=url)
    [run] = ledger.flow_runs()
    assert ledger.flow_run(run.run_id[:8]) == run
    for unknown in ("zz", ""):
        with pytest.raises(UnknownRun):
            ledger.flow_run(unknown)


def test_what_came_since_can_be_asked_for(url, ledger):
    doubles().run(xs=[1], ledger=url)
    run_id = ledger.flow_runs()[0].run_id
    states = ledger.states(run_id)
    assert ledger.states(run_id, after=states[2].number) == [
        state for state in states if state.number > states[2].number
    ]


def test_a_run_ends_in_the_ledger_before_it_returns(tmp_path):
    place = tmp_path / "its.sqlite"
    code = (
        "import os, sys\n"
        "from prefect_dask import Flow, task\n"
        "@task\n"
        "def one(): return 1\n"
        f"Flow('short', tasks=[one]).run(ledger={str(place)!r})\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code], timeout=50, check=False)
    ledger = Ledger(place)
    assert [run.state for run in ledger.flow_runs()] == ["Success"]


def test_a_flow_run_loads_no_more_than_its_ledger_needs(tmp_path):
    code = (
        "import sys, json\n"
        "from prefect_dask import Flow, task\n"
        "@task\n"
        "def one(): return 1\n"
        "Flow('light', tasks=[one]).run(ledger=sys.argv[1])\n"
        "print(json.dumps([m for m in ('sqlite3', 'psycopg', 'sqlalchemy', 'distributed')"
        " if m in sys.modules]))\n"
    )

    def loaded(ledger: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", code, ledger],
            capture_output=True,
            text=True,
            timeout=50,
            check=True,
        )
        return list(json.loads(done.stdout))

    assert loaded("none") == []
    assert loaded(str(tmp_path / "its.sqlite")) == ["sqlite3"]


def test_several_threads_may_ask_one_ledger(tmp_path):
    ledger = Ledger(tmp_path / "its.sqlite")
    with Flow("asked") as flow:
        double.map([1, 2, 3])
    flow.run(ledger=ledger)
    run_id = ledger.flow_runs()[0].run_id
    together = threading.Barrier(4)

    def ask(_):
        together.wait(20)
        return [len(ledger.states(run_id)) for _ in range(20)]

    with ThreadPoolExecutor(4) as pool:
        counts = [count for counts in pool.map(ask, range(4)) for count in counts]
    assert set(counts) == {len(ledger.states(run_id))}
