"""What can go wrong while a flow is written: each error names flow, task and the way out."""

from __future__ import annotations

from collections.abc import Sequence

from prefect_dask.engine.errors import FlowError, PrefectDaskError, nearest


def named(names: Sequence[str]) -> str:
    """Names in quotes, in order: `'a', 'b'`."""
    return ", ".join(repr(name) for name in names)


# ---- tasks


class WrongSetting(FlowError):
    """A task or flow is told something that cannot be."""

    def __init__(self, owner: str, reason: str) -> None:
        super().__init__(f"{owner}: {reason}")
        self.owner, self.reason = owner, reason


class WrongSettingType(WrongSetting, TypeError):
    """A task or flow is told something of a kind that it cannot use."""


class WrongSignature(FlowError):
    """A task's run method takes its arguments in a way that a flow cannot bind."""

    def __init__(self, task: str, reason: str) -> None:
        super().__init__(f"task {task!r}: its run method {reason}")
        self.task, self.reason = task, reason


class OutsideFlow(FlowError):
    """A task is bound where no flow is being written."""

    def __init__(self, task: str) -> None:
        super().__init__(
            f"task {task!r} was called outside a flow; call it inside `with Flow(...)`, pass "
            "flow=..., or call its run method to run it here and now"
        )
        self.task = task


class NotIterable(FlowError, TypeError):
    """A task is unpacked, and does not say into how many."""

    def __init__(self, task: str) -> None:
        super().__init__(
            f"task {task!r} cannot be iterated over or unpacked: what it returns is not known "
            "while the flow is written; give it nout=<number>, or a return annotation such as "
            "tuple[int, str]"
        )
        self.task = task


# ---- tasks in flows


class WrongArguments(FlowError, TypeError):
    """A task is called with arguments that its run method does not take."""

    def __init__(self, flow: str, task: str, reason: str) -> None:
        super().__init__(f"flow {flow!r}: task {task!r} {reason}")
        self.flow, self.task, self.reason = flow, task, reason


class NotATask(FlowError, TypeError):
    """Something stands where a task belongs."""

    def __init__(self, flow: str, thing: str) -> None:
        super().__init__(
            f"flow {flow!r}: {thing} is not a task; make it one with @task, or make an object of "
            "its Task class first"
        )
        self.flow, self.thing = flow, thing


class UnknownTask(FlowError):
    """A task is asked for that its flow does not hold."""

    def __init__(self, flow: str, task: str) -> None:
        super().__init__(
            f"flow {flow!r}: task {task!r} is not in the flow; calling a task adds a copy of it, "
            "so use what the call returned, or add this one with flow.add_task()"
        )
        self.flow, self.task = flow, task


class DuplicateSlug(FlowError):
    """Two tasks of a flow want the same slug."""

    def __init__(self, flow: str, task: str, slug: str) -> None:
        super().__init__(
            f"flow {flow!r}: task {task!r} cannot have the slug {slug!r}, another task has it; "
            "give one of them another slug, or none: then the flow makes one"
        )
        self.flow, self.task, self.slug = flow, task, slug


class DuplicateParameter(DuplicateSlug):
    """Two different parameters of a flow have the same name."""

    def __init__(self, flow: str, name: str) -> None:
        FlowError.__init__(
            self,
            f"flow {flow!r}: it has another parameter named {name!r}; make the Parameter once and "
            "use it everywhere, or name one of them differently",
        )
        self.flow, self.task, self.slug = flow, name, name


class ArgumentTaken(FlowError):
    """An argument of a task is given twice."""

    def __init__(self, flow: str, task: str, key: str) -> None:
        super().__init__(
            f"flow {flow!r}: the argument {key!r} of task {task!r} is already given; to run the "
            "task once more with other arguments, call the task, or bind a copy of it"
        )
        self.flow, self.task, self.key = flow, task, key


class UnknownArgument(FlowError):
    """A task is given an argument that its run method does not take."""

    def __init__(self, flow: str, task: str, key: str, known: Sequence[str]) -> None:
        super().__init__(
            f"flow {flow!r}: task {task!r} takes no argument {key!r}; {nearest(key, known)}"
        )
        self.flow, self.task, self.key = flow, task, key


class FlowCycle(FlowError):
    """Tasks wait for each other in a circle."""

    def __init__(self, flow: str, tasks: Sequence[str]) -> None:
        names = [*tasks, tasks[0]]
        if len(names) > 50:
            middle = f"… ({len(names) - 40} more) …"
            cycle = " -> ".join([*map(repr, names[:20]), middle, *map(repr, names[-20:])])
        else:
            cycle = " -> ".join(map(repr, names))
        super().__init__(
            f"flow {flow!r}: {tasks[0]!r} cannot run before itself; the cycle is {cycle}. Remove "
            "one of these edges."
        )
        self.flow, self.tasks = flow, list(tasks)


class ParameterHasUpstream(FlowError):
    """A parameter is told to wait for a task."""

    def __init__(self, flow: str, parameter: str, upstream: str) -> None:
        super().__init__(
            f"flow {flow!r}: parameter {parameter!r} cannot wait for {upstream!r}: parameters are "
            "known before any task runs; let the task that uses it wait instead"
        )
        self.flow, self.parameter, self.upstream = flow, parameter, upstream


class MisplacedMark(FlowError):
    """mapped(), unmapped() or flatten() stands where it means nothing."""

    def __init__(self, mark: str, reason: str) -> None:
        super().__init__(f"{mark}() {reason}")
        self.mark, self.reason = mark, reason


# ---- running


class UnknownParameters(FlowError):
    """A run is given parameters that its flow does not have."""

    def __init__(self, flow: str, names: Sequence[str], known: Sequence[str]) -> None:
        there = f"it has {named(known)}" if known else "it has none"
        super().__init__(f"flow {flow!r}: there is no parameter {named(names)}; {there}")
        self.flow, self.names, self.known = flow, list(names), list(known)


class MissingParameters(FlowError):
    """A run is not given parameters that its flow requires."""

    def __init__(self, flow: str, names: Sequence[str], known: Sequence[str]) -> None:
        super().__init__(
            f"flow {flow!r}: it needs a value for parameter {named(names)}; pass it to run(), or as "
            f"--param on the command line, or give it a default (the parameters are {named(known)})"
        )
        self.flow, self.names, self.known = flow, list(names), list(known)


class RunWhileWriting(PrefectDaskError, RuntimeError):
    """A flow is run inside a `with Flow` block."""

    def __init__(self, flow: str, writing: str) -> None:
        super().__init__(
            f"flow {flow!r} cannot run while flow {writing!r} is being written; call run() after "
            "the `with` block"
        )
        self.flow, self.writing = flow, writing


class NotAnExecutor(FlowError, TypeError):
    """A flow is to run on something that is no executor."""

    def __init__(self, flow: str, thing: object) -> None:
        self.flow, self.thing = flow, getattr(thing, "__name__", "") or repr(thing)
        advice = (
            f"make one of this class: executor={self.thing}()"
            if isinstance(thing, type)
            else "give one of prefect_dask.executors: LocalExecutor(), LocalDaskExecutor('threads'), "
            "LocalDaskExecutor('processes') or DaskExecutor()"
        )
        super().__init__(f"flow {flow!r}: {self.thing} is no executor; {advice}")


class NoSuchSecret(PrefectDaskError, ValueError):
    """A secret is asked for that is nowhere to be found."""

    def __init__(self, name: str, hint: str) -> None:
        super().__init__(f"there is no secret {name!r}: {hint}")
        self.name = name


class NoMoreEvents(FlowError):
    """A flow is run on a schedule that has no event left."""

    def __init__(self, flow: str) -> None:
        super().__init__(
            f"flow {flow!r}: its schedule has no event left; give it a later end, or run the flow "
            "now with run_on_schedule=False"
        )
        self.flow = flow


# ---- artifacts


class ArtifactOutsideTask(PrefectDaskError, RuntimeError):
    """An artifact is made where no task runs."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"a {kind} artifact is kept with the task run that makes it, and none runs here; call create_{kind}() "
            f"in the body of a task"
        )
        self.kind = kind


class ArtifactTooLarge(PrefectDaskError, ValueError):
    """An artifact is larger than the ledger keeps."""

    def __init__(self, name: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"the artifact {name!r} has {size_bytes} bytes, and at most {limit_bytes} are kept; write it to a "
            f"file, and keep a link to that"
        )
        self.name, self.size_bytes, self.limit_bytes = name, size_bytes, limit_bytes

    def __reduce__(self) -> tuple[type, tuple[str, int, int]]:
        return type(self), (self.name, self.size_bytes, self.limit_bytes)


# ---- files


class NotAFlowFile(PrefectDaskError, ValueError):
    """A file that should hold a flow does not, or not a whole one."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} is not a flow file: {reason}; write one with flow.save()")
        self.path, self.reason = path, reason
