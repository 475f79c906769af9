"""What can go wrong that a person can mend: one small tree of exceptions.

Each writes its own sentence (what happened, where, what to do), keeps the parts as attributes, and survives
the trip between processes.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from typing import Any


class PrefectDaskError(Exception):
    """The root of the errors that this package raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Rebuilt from its sentence and parts, not from constructor arguments: each class has its own.
        return _rebuild, (type(self), str(self), dict(self.__dict__))


def _rebuild(kind: type[PrefectDaskError], text: str, parts: dict[str, Any]) -> PrefectDaskError:
    error = kind.__new__(kind, text)
    error.args = (text,)
    error.__dict__.update(parts)
    return error


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint for a misspelt name: `did you mean 'x'?`, or what there is.

    >>> nearest("lod", ["load", "save"])
    "did you mean 'load'?"
    >>> nearest("q", ["load", "save"])
    "there are 'load', 'save'"
    >>> nearest("q", [])
    'there are none'
    """
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    if not known:
        return "there are none"
    return (
        "there are "
        + ", ".join(repr(item) for item in known[:20])
        + (", …" if len(known) > 20 else "")
    )


# ---- on the way between processes


class Travelling:
    """An exception inside something that is pickled; what comes out of the pickle is the exception.

    Type, arguments and attributes travel, traceback and causes do not. Where distributed is imported, pickle would
    follow tblib, which takes all of these along: a deep traceback cannot be pickled then, and some exceptions
    made in C, such as UnicodeDecodeError, lose their text.
    """

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (dumps_exception(self.error),)


def dumps_exception(error: BaseException) -> bytes:
    """A pickle of an exception, without its traceback and causes; those inside it are treated alike."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
        def reducer_override(self, thing: Any) -> Any:
            if isinstance(thing, BaseException):
                return thing.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
            return super().reducer_override(thing)

    file = io.BytesIO()
    Pickler(file).dump(error)
    return file.getvalue()


# ---- writing flows


class FlowError(PrefectDaskError, ValueError):
    """A flow is put together wrongly."""


# ---- states and results


class NoStateOfTask(PrefectDaskError, KeyError):
    """The states of a flow run are asked for that of a task which was not in the flow."""

    def __init__(self, task: object, there: Sequence[str], *, by_slug: bool) -> None:
        self.task, self.there = str(task), list(there[:20])
        more = f" and {len(there) - 20:,} more" if len(there) > 20 else ""
        advice = (
            "Ask with one of these slugs, or by task with attach(run_id, flow)"
            if by_slug
            else "A task that is called in a flow is copied: ask with what the call returned, or with "
            "flow.get_tasks(name)[0]"
        )
        super().__init__(
            f"there is no state of {self.task}; the tasks of the flow are {', '.join(self.there) or 'none'}{more}. "
            f"{advice}"
        )

    def __str__(self) -> str:
        return str(self.args[0])


class UnknownStateType(PrefectDaskError, ValueError):
    """A serialised state names a type that does not exist."""

    def __init__(self, kind: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no state type {kind!r}; {nearest(kind, known)}")
        self.kind = kind


class ResultLost(PrefectDaskError):
    """A result lay on a cluster or in a process that is gone."""

    def __init__(self, task: str, cause: str) -> None:
        super().__init__(
            f"the result of task {task!r} is lost: {cause}; run the flow again, or give the task a `result` "
            f"or `target` so that its result is stored"
        )
        self.task, self.cause = task, cause


class ResultNotKept(PrefectDaskError):
    """A result was released because nobody asked to keep it."""

    def __init__(self, task: str) -> None:
        super().__init__(
            f"the result of task {task!r} was not kept: the run was told which to keep, and this is none of "
            f"them; add the task to return_tasks"
        )
        self.task = task


class ResultNotPicklable(PrefectDaskError, TypeError):
    """A result has to go to another process, and cannot."""

    def __init__(self, task: str, kind: str, cause: str) -> None:
        super().__init__(
            f"task {task!r} returned a {kind}, which cannot be pickled and so cannot leave the process that "
            f"made it ({cause}); return plain data, or run the flow with LocalExecutor or threads"
        )
        self.task, self.kind, self.cause = task, kind, cause


class TaskNotPicklable(PrefectDaskError, TypeError):
    """A task has to go to another process, and cannot."""

    def __init__(self, task: str, cause: str) -> None:
        super().__init__(
            f"task {task!r} cannot be sent to another process: {cause}; make what it holds (locks, open files, "
            f"connections) inside its run method, or run the flow with LocalExecutor or threads"
        )
        self.task, self.cause = task, cause


class TaskException(PrefectDaskError):
    """Stands in for an exception that could not travel between processes.

    Attributes:
        type_name: The full name of the original exception's type.
        text: Its text, cut at `engine.failures.TEXT_LIMIT_BYTES`.
        traceback_text: Its traceback as text, cut likewise.
    """

    def __init__(self, type_name: str, text: str, traceback_text: str) -> None:
        super().__init__(f"{type_name}: {text}")
        self.type_name, self.text, self.traceback_text = type_name, text, traceback_text


# ---- running


class TaskTimeout(PrefectDaskError, TimeoutError):
    """A task's body did not end within its time limit."""

    def __init__(self, task: str, seconds: float) -> None:
        super().__init__(
            f"task {task!r} timed out after {seconds:g} s; raise its timeout, or give it isolation='process' "
            f"so that a late body is stopped"
        )
        self.task, self.seconds = task, seconds


class ProcessDied(PrefectDaskError):
    """The process that ran a task's body ended before the body did."""

    def __init__(self, task: str, exit_code: int | None, deaths: int = 1) -> None:
        times = "" if deaths == 1 else f" (the last of {deaths} that did)"
        super().__init__(
            f"the process that ran task {task!r} died with exit code {exit_code}{times}; a killed process is "
            f"most often out of memory"
        )
        self.task, self.exit_code, self.deaths = task, exit_code, deaths


class WorkerDied(PrefectDaskError):
    """A task run was given up because each worker that ran it died.

    Attributes:
        exit_code: That of the last worker; None where it has no nanny, who alone would know.
    """

    def __init__(self, task: str, worker: str, deaths: int, exit_code: int | None = None) -> None:
        code = "" if exit_code is None else f" with exit code {exit_code}"
        which = (
            "1 worker died while it ran it,"
            if deaths == 1
            else (f"{deaths} workers died while they ran it, the last one")
        )
        super().__init__(
            f"task {task!r} crashed: {which} {worker}{code}; look at that worker's memory and logs"
        )
        self.task, self.worker, self.deaths, self.exit_code = task, worker, deaths, exit_code


class NodeFailed(PrefectDaskError):
    """An executor could not run a node, for a reason outside the task's own code."""

    def __init__(self, task: str, cause: str) -> None:
        super().__init__(f"task {task!r} could not be run: {cause}")
        self.task, self.cause = task, cause


class ClientBusy(PrefectDaskError, RuntimeError):
    """The current Dask client needs the event loop of this thread, which a run would hold up."""

    def __init__(self) -> None:
        super().__init__(
            "the current distributed.Client is asynchronous, and flow.run() would hold up the event loop that it "
            "needs; run the flow in a thread, `await asyncio.to_thread(flow.run, …)`, or give DaskExecutor an "
            "address"
        )


class ReportNotPossible(PrefectDaskError, RuntimeError):
    """A performance report was asked for that the scheduler cannot make."""

    def __init__(self, path: str, cause: str) -> None:
        super().__init__(
            f"the performance report {path!r} cannot be made: the scheduler lacks bokeh ({cause}); install "
            f"prefect-dask[viz] there, or leave performance_report_path out"
        )
        self.path, self.cause = path, cause


class NoPlaceForReport(PrefectDaskError, RuntimeError):
    """A performance report was to be written to the home folder of a user who has none."""

    def __init__(self) -> None:
        super().__init__(
            "DaskExecutor: performance_report_path=True means the home folder, and this user has none; set "
            "PREFECT_HOME, or give a path"
        )

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(self), ()


class ClusterUnreachable(PrefectDaskError, ConnectionError):
    """Nobody answers at a scheduler's address."""

    def __init__(self, address: str, seconds: float, cause: str) -> None:
        super().__init__(
            f"no Dask scheduler answers at {address!r} within {seconds:g} s ({cause}); check the address and "
            f"that the scheduler runs, or leave the address out for a temporary local cluster"
        )
        self.address, self.seconds, self.cause = address, seconds, cause


class ClusterNotStarted(PrefectDaskError, RuntimeError):
    """A temporary cluster could not be started."""

    def __init__(self, maker: str, cause: str, *, knows_why: bool) -> None:
        advice = (
            "look at what DaskExecutor's cluster_kwargs say"
            if knows_why
            else "in a script, run the flow below `if __name__ == '__main__':`, because new worker processes "
            "import the script"
        )
        super().__init__(f"{maker} could not start a cluster: {cause}; {advice}")
        self.maker, self.cause = maker, cause


class ClusterLost(PrefectDaskError, ConnectionError):
    """The connection to the scheduler broke during a run."""

    def __init__(self, address: str, cause: str) -> None:
        super().__init__(
            f"the Dask scheduler at {address!r} was lost during the run ({cause}); the states reached until "
            f"then are in the flow's state"
        )
        self.address, self.cause = address, cause


class RunNotOpened(ClusterLost):
    """The connection to the scheduler broke before a run could begin."""

    def __init__(self, address: str, cause: str) -> None:
        PrefectDaskError.__init__(
            self,
            f"the Dask scheduler at {address!r} was lost while the run was being opened there ({cause}), before "
            f"any task began; check that the scheduler runs, and run the flow again",
        )
        self.address, self.cause = address, cause


class WorkersUnfit(PrefectDaskError, RuntimeError):
    """Workers of a cluster cannot run this package's tasks."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(
            "the cluster cannot run this flow: "
            + "; ".join(faults)
            + ". Install the same Python minor "
            "version and prefect-dask on every worker"
        )
        self.faults = list(faults)


class NotMappable(PrefectDaskError, TypeError):
    """A task is mapped over something that is not a list."""

    def __init__(self, task: str, key: str | None, cause: str) -> None:
        what = f"its input {key!r}" if key else "an upstream task"
        super().__init__(f"task {task!r} cannot be mapped over {what}: {cause}")
        self.task, self.key, self.cause = task, key, cause


class RunInterrupted(KeyboardInterrupt):
    """Ctrl-C during a flow run, after what ran was cancelled.

    Attributes:
        state: The flow's state, Cancelled; its result holds the states reached so far.
    """

    def __init__(self, state: Any) -> None:
        super().__init__("the flow run was interrupted; .state holds the states reached so far")
        self.state = state
