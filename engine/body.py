"""Calling a task's body: in this thread, under a time limit in one of its own, or in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from . import child_main, failures, secrets
from .artifacts import Artifact, give_artifacts_to, taker_here
from .child import Child, dumps_call
from .context import FrameGuard, RunInfo, TaskFrame, context
from .graph import Node
from .logs import LogLine, RecordForwarder, get_logger, replay
from .prints import log_prints
from .signals import ENDRUN, PrefectStateSignal
from .timeouts import call_with_timeout


class Body:
    """One call of a task's `run`.

    Args:
        node: The task.
        run: The facts of the flow run.
        frame: What it may ask of its context.
        inputs: Its arguments.
        secret_keys: Arguments whose values nobody else may see.
        worker: Where this is, for the lines that it logs in another process.
    """

    __slots__ = ("frame", "inputs", "node", "run", "secret_keys", "worker")

    def __init__(
        self,
        node: Node,
        run: RunInfo,
        frame: TaskFrame,
        inputs: Mapping[str, Any],
        secret_keys: tuple[str, ...],
        worker: str,
    ) -> None:
        self.node, self.run, self.frame = node, run, frame
        self.inputs, self.secret_keys, self.worker = inputs, secret_keys, worker

    def value(self) -> Any:
        """What the body returns.

        Raises:
            BodyTimeout, ChildTimeout: It did not end within its time limit.
            ChildDied: The process of its own died.
            BaseException: Whatever the body raised.
        """
        task = self.node.task
        if task.isolation == "process":
            return self._call_in_child()
        if task.timeout_seconds is not None:
            return call_with_timeout(
                self._call_in_context, task.timeout_seconds, on_late=self._tell_late
            )
        return self._call()

    def _call(self) -> Any:
        with self._prints_logged():
            return self.node.task.run(**self.inputs)

    def _call_in_context(self) -> Any:
        """In another thread or process, which has a context of its own."""
        with FrameGuard(context, self.frame, self.run.caller, {}):
            return self._call()

    def _call_in_child(self) -> Any:
        import pickle

        facts = dict(self.frame)
        with Child(name=self.frame.full_name) as child, self._asks_to_end(child):
            payload = dumps_call(
                _run_in_child,
                *(self.node, self.run, self.frame.map_index, facts, self.inputs, self.secret_keys),
            )
            outcome = child.call(
                payload,
                timeout_seconds=self.node.task.timeout_seconds,
                on_message=self._take_message,
            )
        # From our own child, over a pipe that nobody else holds.
        is_value, value = pickle.loads(outcome)
        if is_value:
            return value
        raise value

    def _asks_to_end(self, child: Child) -> AbstractContextManager[None]:
        """A block within which the body hears there that it is to end."""
        if self.node.task.cleans_up:
            return nullcontext()
        return self.run.cancellation.followed_by(partial(child.notify, b""))

    def _take_message(self, message: bytes) -> None:
        """Log a line that the body logged in its own process, or pass on an artifact that it made there."""
        import msgpack

        is_line, values = msgpack.unpackb(message, unicode_errors="surrogatepass")
        if not is_line:
            take = taker_here()
            if take is not None:
                take(Artifact(*values))
            return
        replay(
            LogLine.from_list(values),
            flow_run_id=self.run.flow_run_id,
            flow_name=self.run.flow_name,
            task_name=self.node.label.name,
            worker=self.worker,
        )

    def _prints_logged(self) -> AbstractContextManager[Any]:
        return log_prints(context.logger) if self.node.task.log_stdout else nullcontext()

    def _tell_late(self, outcome: object) -> None:
        get_logger(self.node.label.name).warning(
            "task %r ended after its time limit; what it returned late is discarded",
            self.frame.full_name,
        )


def remember_secrets(run: RunInfo, inputs: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    """Have this process mask the secrets that a body is about to see.

    Args:
        run: The facts of the flow run; the secrets of its context are among them.
        inputs: The body's arguments.
        keys: Which of these are secrets.
    """
    secrets.remember(run.caller.get("secrets"))
    for key in keys:
        secrets.remember(inputs.get(key))


def _run_in_child(
    node: Node,
    run: RunInfo,
    map_index: int,
    facts: dict[str, Any],
    inputs: Mapping[str, Any],
    secret_keys: tuple[str, ...],
) -> bytes:
    """In a process of its own: the body's value or exception, pickled."""
    import cloudpickle

    child_main.listen(lambda _: run.cancellation.ask())
    frame = TaskFrame(run, node, map_index, facts)
    logger = get_logger()
    logger.setLevel(run.log_level)
    logger.addHandler(RecordForwarder(lambda: (_send_line, node.label.index, map_index)))
    give_artifacts_to(lambda: _send_artifact)
    remember_secrets(run, inputs, secret_keys)
    try:
        value = Body(node, run, frame, inputs, secret_keys, "")._call_in_context()
        outcome = (True, value)
        failures.check_portable(value, frame.full_name)
    except (PrefectStateSignal, ENDRUN) as signal:
        outcome = (False, signal)
    except BaseException as error:  # the user's code
        error = failures.without_secrets(error)
        outcome = (False, failures.portable_exception(error))
    data: bytes = cloudpickle.dumps(outcome)
    return data


def _send_line(line: LogLine) -> None:
    _send(line.to_list(), is_line=True)


def _send_artifact(artifact: Artifact) -> None:
    _send(artifact, is_line=False)


def _send(values: Sequence[Any], *, is_line: bool) -> None:
    import msgpack

    child_main.send(msgpack.packb((is_line, values), unicode_errors="surrogatepass"))
