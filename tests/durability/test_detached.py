"""A detached run goes on in a process of its own, whatever becomes of the one that began it."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

import prefect_dask
from prefect_dask import Flow, Parameter, attach, task
from prefect_dask.detaching import CannotDetach, NotBegun
from prefect_dask.engine.state import Cancelled, Success
from prefect_dask.executors import DaskExecutor, LocalDaskExecutor
from prefect_dask.ledger import Ledger
from tests.durability import flows_to_steer
from tests.durability.flows_to_steer import begin
from tests.faults.bodies import marks
from tests.waiting import wait_until


@task
def one():
    return 1


def test_a_detached_run_goes_on_after_the_one_who_began_it(place, folder):
    program = begin("detach", place, folder)
    out, err = program.communicate(timeout=40)
    assert program.returncode == 0, err
    handle = attach(out.strip(), ledger=place)
    assert handle.state.is_running()
    # As a terminal does when it is closed, to all that were begun in it.
    for each in (signal.SIGHUP, signal.SIGINT):
        with pytest.raises(ProcessLookupError):
            os.killpg(program.pid, each)

    (folder / "go").touch()
    state = handle.wait(30)

    assert type(state) is Success
    assert state.result["half-1"].result == [21, 1]
    log = Path(os.environ["PREFECT_HOME"]) / "detached" / f"{handle.run_id}.log"
    assert "holding 41" in log.read_text()
    assert "holding 41" in [line.message for line in handle.logs()]
    assert log.stat().st_mode & 0o077 == 0
    wait_until(lambda: not detached_processes(handle.run_id, place), 20)


def detached_processes(run_id: str, place: Path) -> list[int]:
    coordinator = Ledger(place).flow_run(run_id).coordinator
    pid = int(coordinator.split(":")[1])
    return [pid] if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" else []


def test_a_detached_run_is_followed_and_cancelled_by_its_handle(place, folder):
    flow = flows_to_steer.flow_to_cancel(folder)

    handle = flow.run(detach=True, ledger=place, executor=LocalDaskExecutor("threads", 2))

    wait_until(lambda: marks(folder, "stubborn-began"), 30)
    assert detached_processes(handle.run_id, place) != [os.getpid()]
    state = handle.cancel(grace_seconds=0.5)
    assert type(state) is Cancelled
    [asked] = flow.get_tasks("until_cancelled")
    assert state.result[asked].result == "asked"
    wait_until(lambda: not detached_processes(handle.run_id, place), 20)


def test_parameters_settings_and_local_functions_travel(place):
    @task
    def told(x):
        return [x, prefect_dask.config.user.word, prefect_dask.context.fact]

    with Flow("travels") as flow, prefect_dask.settings.set_temporary_config({"user.word": "w"}):
        said = told(Parameter("x"))
        handle = flow.run({"x": {1, 2}}, detach=True, ledger=place, context={"fact": "f"})

    assert handle.wait(30).result[said].result == [{1, 2}, "w", "f"]


def test_what_cannot_go_to_another_process_is_refused_before_anything_starts(place):
    @task
    def locked(lock):
        return lock

    with Flow("locked") as flow:
        locked(Parameter("lock"))
    refused: dict[str, dict[str, Any]] = {
        "the parameters cannot be pickled": {"parameters": {"lock": threading.Lock()}},
        "not recorded": {"parameters": {"lock": 1}, "ledger": "none"},
        "memory": {"parameters": {"lock": 1}, "ledger": ":memory:"},
        "on_state": {"parameters": {"lock": 1}, "on_state": print},
        "progress": {"parameters": {"lock": 1}, "progress": True},
    }
    for why, asked in refused.items():
        with pytest.raises(CannotDetach, match=why):
            flow.run(detach=True, **{"ledger": place, **asked})
    with pytest.raises(ValueError, match="lock"):
        flow.run(detach=True, ledger=place)
    assert not place.exists()


def test_a_detached_run_that_cannot_begin_says_why(place):
    nowhere = DaskExecutor(address="tcp://127.0.0.1:9", client_kwargs={"timeout": 0.5})

    with pytest.raises(NotBegun, match="no Dask scheduler answers") as caught:
        Flow("nowhere", tasks=[one]).run(detach=True, ledger=place, executor=nowhere)

    assert caught.value.__cause__ is not None
    assert Path(caught.value.log).exists()


class DiesWhenUnpickled:
    def __reduce__(self):
        return os._exit, (3,)


def test_a_process_that_dies_before_it_begins_is_told_of(place):
    with pytest.raises(NotBegun, match="its process died"):
        Flow("dies", tasks=[one]).run(
            detach=True, ledger=place, context={"deadly": DiesWhenUnpickled()}
        )
