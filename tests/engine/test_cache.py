"""Earlier results are used where they are still good, in this process and in the next."""

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from prefect_dask import Flow, Parameter, Task, task
from prefect_dask.engine import clock
from prefect_dask.engine.cache_validators import (
    all_parameters,
    duration_only,
    never_use,
    partial_inputs_only,
)
from prefect_dask.engine.state import Cached, Failed, Success
from prefect_dask.executors import LocalDaskExecutor
from tests.contracts.observed import logged_records
from tests.waiting import wait_for_file, wait_until

pytestmark = pytest.mark.usefixtures("home")

HOUR = timedelta(hours=1)


class Counted:
    """Runs a task in a flow of its own, and counts how often its body ran."""

    def __init__(self):
        self.calls = []

    def run(self, *args, body=None, parameters=None, **settings):
        counted = Count(self.calls, body or (lambda x: [x]))
        settings = {"name": "counted", "cache_for": HOUR, **settings}
        with Flow("one") as flow:
            for name in parameters or {}:
                flow.add_task(Parameter(name))
            only = counted.copy(**settings)(*args)
        return flow.run(parameters).result[only]


class Count(Task):
    """A task whose counter is no part of it."""

    def __init__(self, calls, body, **settings):
        self.calls, self.body = calls, body
        super().__init__(**settings)

    def own_facts(self):
        return {"body": self.body}

    def run(self, x=None, y=None):
        self.calls.append((x, y))
        return self.body(x)


@pytest.fixture
def counted() -> Counted:
    return Counted()


def test_equal_inputs_meet_the_earlier_result(counted):
    first, second, other = counted.run({"a": 1}), counted.run({"a": 1}), counted.run({"a": 2})
    assert counted.calls == [({"a": 1}, None), ({"a": 2}, None)]
    assert type(first) is Cached and type(second) is Cached and type(other) is Cached
    assert first.result == second.result == [{"a": 1}]
    assert second.message == "result of an earlier run"
    assert second.cached_result_expiration == first.cached_result_expiration
    assert first.cached_inputs == {"x": {"a": 1}}


def test_without_cache_for_nothing_is_kept(counted, home):
    assert type(counted.run(1, cache_for=None)) is Success
    assert type(counted.run(1, cache_for=None)) is Success
    assert len(counted.calls) == 2 and not (home / "cache").exists()


def test_another_name_is_another_entry_unless_they_share_a_key(counted):
    counted.run(1, name="one")
    counted.run(1, name="other")
    assert len(counted.calls) == 2
    counted.run(1, name="one", cache_key="both")
    counted.run(1, name="other", cache_key="both")
    assert len(counted.calls) == 3


def test_an_expired_entry_is_not_used_and_dropped(counted, home):
    counted.run(1, cache_for=timedelta(microseconds=1))
    counted.run(1, cache_for=timedelta(microseconds=1))
    counted.run(1)
    assert len(counted.calls) == 3
    assert len(list(home.rglob("*.pickle"))) == 1


def test_a_change_of_the_code_is_a_miss(counted):
    counted.run(1, body=lambda x: x + 1)
    assert counted.run(1, body=lambda x: x + 2).result == 3
    assert counted.run(1, body=lambda x: x + 1).result == 2  # as it is written does not count
    assert len(counted.calls) == 2


def test_duration_only_heeds_neither_inputs_nor_code(counted):
    settings = {"cache_validator": duration_only}
    counted.run(1, **settings)
    assert counted.run(2, body=lambda x: "other", **settings).result == [1]
    assert len(counted.calls) == 1


def test_only_the_named_inputs_are_heeded(counted):
    settings = {"cache_validator": partial_inputs_only(["x"])}
    for x, y in ((1, 1), (1, 2), (2, 2)):
        counted.run(x, y, **settings)
    assert counted.calls == [(1, 1), (2, 2)]


def test_parameters_are_heeded_where_they_are_asked_for(counted):
    for day in ("monday", "tuesday", "monday"):
        counted.run(1, cache_validator=all_parameters, parameters={"day": day})
    assert len(counted.calls) == 2
    counted.run(2, parameters={"day": "monday"})
    counted.run(2, parameters={"day": "tuesday"})
    assert len(counted.calls) == 3


def test_never_use_never_uses(counted, home):
    states = [counted.run(1, cache_validator=never_use) for _ in range(2)]
    assert len(counted.calls) == 2 and type(states[1]) is Cached
    assert not list(home.rglob("*.pickle"))


def test_a_validator_of_ones_own_decides(counted):
    seen = []

    def is_small(state, inputs, parameters):
        seen.append((state.cached_inputs, state.result, inputs, parameters))
        return state.result[0] < 3

    for x in (5, 2, 9):
        counted.run(x, cache_validator=is_small, parameters={"p": 1})
    assert [x for x, _ in counted.calls] == [5, 2]
    assert seen[0] == ({"x": 5}, [5], {"x": 2}, {"p": 1})


def test_a_validator_that_raises_fails_the_task(counted):
    def broken(state, inputs, parameters):
        raise LookupError("no such thing")

    counted.run(1, cache_validator=broken)
    state = counted.run(1, cache_validator=broken)
    assert type(state) is Failed and type(state.result) is LookupError


def test_inputs_that_cannot_be_compared_mean_no_cache_and_a_warning(counted):
    lock = threading.Lock()
    with logged_records() as records:
        states = [counted.run(lock, body=lambda x: 1) for _ in range(2)]
    assert [type(state) for state in states] == [Success, Success] and len(counted.calls) == 2
    warnings = [r.getMessage() for r in records if r.levelno == logging.WARNING]
    assert len(warnings) == 2 and "its inputs cannot be compared" in warnings[0]


def test_a_result_that_cannot_be_pickled_is_not_cached_and_the_task_succeeds(counted):
    with logged_records() as records:
        state = counted.run(1, body=lambda x: threading.Lock())
    assert type(state) is Success
    assert any("runs without its cache" in record.getMessage() for record in records)


def test_a_failed_task_leaves_no_entry(counted):
    assert counted.run(0, body=lambda x: 1 / x).is_failed()
    assert counted.run(0, body=lambda x: 1 / x).is_failed()
    assert len(counted.calls) == 2


def test_children_only_meet_entries_made_from_equal_inputs():
    calls: list = []

    def run(xs):
        with Flow("mapped") as flow:
            out = (
                Count(calls, lambda x: x * 2, name="child")
                .copy(cache_for=HOUR, cache_validator=duration_only)
                .map(xs)
            )
        return flow.run().result[out]

    assert run([1, 2]).result == [2, 4]
    second = run([3, 2, 1])
    assert second.result == [6, 4, 2]
    assert [x for x, _ in calls] == [1, 2, 3]
    assert all(type(child) is Cached for child in second.map_states)


def test_what_a_body_does_to_its_inputs_does_not_change_the_key(counted):
    def append(x):
        x.append(0)
        return len(x)

    counted.run([1], body=append)
    assert counted.run([1], body=append).result == 2
    assert len(counted.calls) == 1


def test_a_damaged_value_is_made_anew(counted, home):
    counted.run(1)
    (value,) = home.rglob("*.pickle")
    value.write_bytes(b"something else")
    with logged_records() as records:
        assert counted.run(1).result == [1]
    assert len(counted.calls) == 2
    assert any("not as it was written" in record.getMessage() for record in records)
    counted.run(1)
    assert len(counted.calls) == 2


def test_a_damaged_index_costs_the_entries_and_not_the_run(counted, home):
    (home / "cache").mkdir(parents=True)
    (home / "cache" / "index.sqlite").write_bytes(b"no database at all" * 100)
    with logged_records() as records:
        assert counted.run(1).result == [1]
    assert any("runs without its cache" in record.getMessage() for record in records)
    assert counted.run(1).result == [1]
    assert len(counted.calls) == 1, "there is a new index"


def test_a_home_that_cannot_be_written_to_costs_the_cache_and_not_the_run(counted, home):
    home.mkdir()
    (home / "cache").write_text("not a folder")
    with logged_records() as records:
        assert type(counted.run(1)) is Success
    assert any("runs without its cache" in record.getMessage() for record in records)


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has modes")
def test_the_cache_is_for_its_user_alone(counted, home):
    counted.run(1)
    assert (home / "cache").stat().st_mode & 0o077 == 0


def test_a_given_cached_state_is_asked_whether_it_is_good():
    calls: list = []
    with Flow("given") as flow:
        only = Count(calls, lambda x: x, name="only").copy(cache_for=HOUR)(1)
        below = task(lambda x: x, name="below")(only)
    first = flow.run().result[only]
    state = flow.run(task_states={only: first})
    assert len(calls) == 1
    assert type(state.result[only]) is Cached and state.result[below].result == 1

    flow.set_constant(only, "x", 2)
    assert flow.run(task_states={only: first}).result[below].result == 2

    first.cached_result_expiration = clock.to_datetime(clock.now() - 1)
    flow.set_constant(only, "x", 3)
    assert flow.run(task_states={only: first}).result[below].result == 3


# ---- over processes

PROGRAM = """
import sys
from datetime import timedelta
from prefect_dask import Flow, task

@task(cache_for=timedelta(hours=1))
def slow(x):
    {comment}
    print("ran", flush=True)
    {wait}
    return x + {number}

with Flow("program") as flow:
    out = slow(1)
print(flow.run().result[out].result, flush=True)
"""


def program(
    folder: Path, *, comment="# one", number=1, wait="pass", name="program.py"
) -> list[str]:
    file = folder / name
    file.write_text(PROGRAM.format(comment=comment, number=number, wait=wait))
    return [sys.executable, "-W", "error", str(file)]


def output(command: list[str]) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_entries_outlive_the_process_and_follow_the_code(tmp_path):
    assert output(program(tmp_path)) == ["ran", "2"]
    assert output(program(tmp_path, comment="# two\n\n    # lines")) == ["2"]
    assert output(program(tmp_path, number=2)) == ["ran", "3"]


def test_of_two_runs_at_once_one_runs_the_body_and_both_have_the_result(tmp_path):
    go = tmp_path / "go"
    hold = f"import os\n    while not os.path.exists({str(go)!r}): pass"
    command = program(tmp_path, wait=hold)
    logs = [tmp_path / "first.log", tmp_path / "second.log"]
    runs = []
    for log in logs:
        with log.open("w") as file:
            runs.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True))
    try:
        wait_until(lambda: any("waits for another run" in log.read_text() for log in logs))
        go.touch()
        said = [run.communicate(timeout=40)[0].split() for run in runs]
    finally:
        for run in runs:
            run.kill()
            run.communicate()
    assert sorted(said) == [["2"], ["ran", "2"]]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_holder_that_dies_lets_the_next_one_make_the_result(tmp_path):
    go = tmp_path / "go"
    began = tmp_path / "began"
    hold = (
        f"import os; open({str(began)!r}, 'a').write('x')\n"
        f"    while not os.path.exists({str(go)!r}): pass"
    )
    command = program(tmp_path, wait=hold)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        wait_for_file(began)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as second:
            first.kill()
            go.touch()
            assert second.communicate(timeout=40)[0].split() == ["ran", "2"]
    assert began.read_text() == "xx"


def test_threads_with_one_key_run_the_body_once():
    calls: list = []
    with Flow("threads") as flow:
        counting = Count(calls, lambda x: x, name="same")
        runs = [counting.copy(cache_for=HOUR)(1) for _ in range(8)]
    state = flow.run(executor=LocalDaskExecutor(num_workers=8))
    assert len(calls) == 1
    assert all(state.result[run].result == 1 for run in runs)


def test_the_index_is_open_only_while_it_is_asked(counted, home):
    counted.run(1)
    with sqlite3.connect(home / "cache" / "index.sqlite") as index:
        assert index.execute("SELECT count(*) FROM entries").fetchone() == (1,)
    index.close()
    assert not list((home / "cache" / "claims").iterdir())
