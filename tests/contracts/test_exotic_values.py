"""What cannot travel between processes ends in a state that says so, soon, and not in a run that hangs."""

import linecache
import threading
import time

import pytest

from prefect_dask import Flow, Parameter, task, triggers
from prefect_dask.engine.errors import ResultLost, TaskNotPicklable
from prefect_dask.engine.state import Failed, Success, TriggerFailed
from tests.contracts.places import INSIDE
from tests.contracts.small_tasks import Broken, add, give, look

LIMIT_SECONDS = 5.0
LARGE = 50_000_000


# ---- exceptions


class HoldsALock(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


class CannotBeReadBack(Exception):
    def __init__(self, code, reason):
        super().__init__(f"{code}: {reason}")


class RefusesToBePickled(Exception):
    def __reduce__(self):
        raise RuntimeError("I stay here")


class PicklesAsNonsense(Exception):
    def __reduce__(self):
        return "nonsense"


class ExitsWhenReadBack(Exception):
    def __reduce__(self):
        return _exit, ()


def _exit():
    raise SystemExit("not at home")


class ComesBackAsSomethingElse(Exception):
    def __reduce__(self):
        return ValueError, ("another one",)


class HasNoText(Exception):
    def __str__(self):
        raise RuntimeError("I have no text")


class HoldsMuch(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.much = bytes(LARGE)


def large_text():
    return Broken("begins" + "x" * LARGE + "ends")


def large_arguments():
    return Broken("text", "y" * LARGE)


def long_traceback():
    """900 calls, each in a line of 60,000 characters."""
    source = "def again(n, end):\n    return again(n - 1, end) if n else end()  # " + "z" * 60_000
    linecache.cache["<long lines>"] = (len(source), None, source.splitlines(True), "<long lines>")
    names: dict = {}
    exec(compile(source, "<long lines>", "exec"), names)

    def end():
        raise Broken("at the end of a long way")

    return names["again"](900, end)


#: What makes each exception, its type's name, and what its text must have in it.
EXCEPTIONS = {
    "holds a lock": (lambda: HoldsALock("my text"), "HoldsALock", "my text"),
    "cannot be read back": (lambda: CannotBeReadBack(7, "why"), "CannotBeReadBack", "7: why"),
    "refuses": (lambda: RefusesToBePickled("my text"), "RefusesToBePickled", "my text"),
    "nonsense": (lambda: PicklesAsNonsense("my text"), "PicklesAsNonsense", "my text"),
    "exits": (lambda: ExitsWhenReadBack("my text"), "ExitsWhenReadBack", "my text"),
    "changes": (lambda: ComesBackAsSomethingElse("own"), "ComesBackAsSomethingElse", "own"),
    "no text": (lambda: HasNoText("unread"), "HasNoText", "HasNoText"),
    "holds much": (lambda: HoldsMuch("my text"), "HoldsMuch", "my text"),
    "large text": (large_text, "Broken", "begins"),
    "large arguments": (large_arguments, "Broken", "text"),
    "long traceback": (long_traceback, "Broken", "at the end of a long way"),
}


@task
def raise_what(make):
    raise make()


@task
def kind_of(value):
    return getattr(value, "type_name", type(value).__name__).rpartition(".")[2]


def test_an_exception_that_cannot_travel_fails_its_task_and_tells_its_type_and_text(executor):
    with Flow("exotic exceptions") as flow:
        tasks = {name: raise_what(make) for name, (make, _, _) in EXCEPTIONS.items()}
        below = {name: add(t) for name, t in tasks.items()}
        kinds = {
            name: kind_of(t, task_args={"trigger": triggers.all_failed})
            for name, t in tasks.items()
        }
        beside = give(1)

    state = run_in_time(flow, executor, LIMIT_SECONDS * 2)  # two tasks here are large

    for name, (_, kind, text) in EXCEPTIONS.items():
        failed = state.result[tasks[name]]
        assert type(failed) is Failed, name
        assert text in str(failed.message) and len(str(failed.message)) < 100_000, name
        assert kind_of.run(failed.result) == kind
        assert state.result[kinds[name]].result == kind
        assert type(state.result[below[name]]) is TriggerFailed, name
    assert state.result[beside].is_successful()
    assert state.is_failed()


@pytest.mark.parametrize("name", ["holds a lock", "large text", "exits"])
def test_a_failure_is_told_within_five_seconds(name, executor):
    with Flow("one exotic exception") as flow:
        broken = raise_what(EXCEPTIONS[name][0])
    state = run_in_time(flow, executor, LIMIT_SECONDS)
    assert type(state.result[broken]) is Failed


# ---- results


class CannotBePickled:
    def __reduce__(self):
        raise RuntimeError("I stay here")


class CannotBeRead:
    def __reduce__(self):
        return _break, ()


def _break():
    raise RuntimeError("cannot be read")


RESULTS = {
    "lock": threading.Lock,
    "generator": lambda: (i for i in range(3)),
    "lambda": lambda: lambda x: x,
    "deep lock": lambda: {"a": [1, {"b": (threading.Lock(),)}]},
    "CannotBePickled": CannotBePickled,
}
TRAVELS = {"lambda"}


@task
def make_what(make):
    return make()


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_that_cannot_travel_fails_its_task_only_where_it_has_to(name, place, executor):
    with Flow("exotic results") as flow:
        made = make_what(RESULTS[name], task_args={"name": f"make {name}"})
        below = [kind_of(made) for _ in range(3)]
        beside = give(1)

    state = run_in_time(flow, executor, LIMIT_SECONDS)

    found = state.result[made]
    if place in INSIDE or name in TRAVELS:
        assert type(found) is Success
        assert type(found.result) is type(RESULTS[name]())
        assert all(state.result[t].is_successful() for t in below)
    else:
        assert type(found) is Failed
        assert f"task 'make {name}' returned a" in str(found.message)
        assert "cannot be pickled" in str(found.message)
        assert all(type(state.result[t]) is TriggerFailed for t in below)
    assert state.result[beside].result == 1


def test_a_result_that_cannot_be_read_back_stops_what_needs_it_and_nothing_else(place, executor):
    with Flow("unreadable result") as flow:
        made = make_what(CannotBeRead)
        below = [kind_of(made) for _ in range(4)]
        give([made, *below], task_args={"trigger": triggers.all_finished})
        beside = give(1)

    state = run_in_time(flow, executor, LIMIT_SECONDS)

    assert state.result[beside].result == 1
    assert all(its.is_finished() for its in state.result.values())
    if place in INSIDE:
        assert all(its.is_successful() for its in state.result.values())
        return
    # On a cluster those may run that happen to run where it was made.
    failed = [state.result[t] for t in [made, *below] if state.result[t].is_failed()]
    assert all("cannot be read" in str(its.message) or type(its) is TriggerFailed for its in failed)
    if not state.result[made].is_failed():
        with pytest.raises(ResultLost, match="cannot be read"):
            _ = state.result[made].result


def test_what_a_body_in_its_own_process_returns_has_to_travel_everywhere(executor):
    isolated = {"isolation": "process"}
    with Flow("isolated") as flow:
        lock = make_what(threading.Lock, task_args=isolated)
        broken = raise_what(lambda: HoldsALock("my text"), task_args=isolated)
        unread = make_what(CannotBeRead, task_args=isolated)
    state = run_in_time(flow, executor, LIMIT_SECONDS * 2)
    assert "cannot be pickled" in str(state.result[lock].message)
    assert "my text" in str(state.result[broken].message)
    assert kind_of.run(state.result[broken].result) == "HoldsALock"
    assert type(state.result[unread]) is Failed


# ---- inputs


def test_a_task_that_cannot_be_sent_is_named_before_anything_runs(place, executor, tmp_path):
    @task
    def leave_a_mark():
        (tmp_path / "ran").touch()

    with Flow("exotic constants") as flow:
        leave_a_mark()
        held = look({"lock": threading.Lock()}, task_args={"name": "holds a lock"})
    if place in INSIDE:
        assert flow.run(executor=executor).result[held].is_successful()
        return
    with pytest.raises(TaskNotPicklable, match="task 'holds a lock' cannot be sent"):
        flow.run(executor=executor)
    assert not (tmp_path / "ran").exists()


def test_a_parameter_that_cannot_be_sent_is_refused_before_anything_runs(place, executor):
    with Flow("exotic parameters") as flow:
        kind = kind_of(Parameter("lock"))
    if place in INSIDE:
        assert flow.run(lock=threading.Lock(), executor=executor).result[kind].result == "lock"
        return
    with pytest.raises(TaskNotPicklable, match="cannot pickle"):
        flow.run(lock=threading.Lock(), executor=executor)


def run_in_time(flow, executor, limit_seconds):
    """Run a flow; starting the executor is not counted."""
    with executor.start():
        began = time.monotonic()
        state = flow.run(executor=executor)
        seconds = time.monotonic() - began
    assert seconds < limit_seconds
    return state
