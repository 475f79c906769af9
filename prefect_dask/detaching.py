"""Starting a flow run in a process of its own, which goes on after this one has ended."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from prefect_dask.engine import sent_code
from prefect_dask.engine.beforehand import Beforehand
from prefect_dask.engine.child_process import python_command
from prefect_dask.engine.context import context as the_context
from prefect_dask.engine.errors import PrefectDaskError
from prefect_dask.engine.failures import text_of, type_and_text_of
from prefect_dask.engine.state import State
from prefect_dask.ledger import place_given
from prefect_dask.ledger.configured import log_of_detached
from prefect_dask.ledger.ledger import Ledger
from prefect_dask.ledger.places import Place
from prefect_dask.running import FlowRun, parameter_values
from prefect_dask.settings import config
from prefect_dask.steering import RunHandle

BEGUN: Final = b"begun"
"""What the process of a detached run says when it has begun; otherwise it says the pickle of an exception."""

LOG_TAIL_BYTES: Final = 2_000
"""So much of the end of its log stands in the error where such a process died before it said anything."""


class Detached(NamedTuple):
    """What the process of a detached run is told: the run, its state to begin with, the settings here."""

    run: FlowRun
    state: State | None
    settings: dict[str, Any]


def detach_run(run: FlowRun, state: State | None, *, is_scheduled: bool) -> RunHandle:
    """Start a flow run in a process of its own, and return when it has begun.

    Args:
        run: What `Flow.run` was asked to do.
        state: The flow's state to begin with.
        is_scheduled: Whether it would wait for the events of a schedule.

    Raises:
        CannotDetach: Something of it cannot go to another process; nothing was started.
        UnknownParameters, MissingParameters: Nothing was started.
        NotBegun: The process could not begin the run; it is gone.
    """
    flow = run.flow
    place = _place(run)
    if is_scheduled:
        why = "it has a schedule; run_on_schedule=False runs it once, now"
        raise CannotDetach(flow.name, why)
    for name, wanted in {"on_state": run.on_state is not None, "progress": run.progress}.items():
        if wanted:
            why = f"{name}= is for this process; iterate over the handle that run() returns"
            raise CannotDetach(flow.name, why)
    facts = {**the_context.snapshot(), **run.context}
    parameter_values(flow, run.parameters, facts.get("parameters") or {})
    run = replace(
        run,
        executor=_executor(run),
        context=facts,
        ledger=place.target,
        flow_run_id=uuid.uuid4().hex,
    )
    payload = _pickled(Detached(run, state, config.to_dict(include_secrets=True)))
    log = log_of_detached(run.flow_run_id or "")
    _start(flow.name, payload, log)
    ledger = Ledger(place.target)
    return RunHandle(ledger, ledger.flow_run(run.flow_run_id or ""), flow)


def _place(run: FlowRun) -> Place:
    place = place_given(run.ledger)
    if place is None or place.kind == "memory":
        what = "it is not recorded" if place is None else "its ledger is this process's memory"
        raise CannotDetach(run.flow.name, f"{what}, so nobody could follow it; name another ledger")
    return place


def _executor(run: FlowRun) -> Any:
    executor = run.chosen_executor()
    if "distributed" in sys.modules:
        from prefect_dask.engine.executors.dask import DaskExecutor

        if isinstance(executor, DaskExecutor) and executor.uses_current_client():
            why = (
                "DaskExecutor() stands for the current distributed.Client, which belongs to this process; give "
                "DaskExecutor(address=…) for that cluster, or cluster_kwargs={…} for one of its own"
            )
            raise CannotDetach(run.flow.name, why)
    return executor


def _pickled(detached: Detached) -> bytes:
    try:
        return sent_code.dumps((Beforehand(), detached))
    except Exception as error:  # the user's objects
        run = detached.run
        parts = {
            "the executor": run.executor,
            "the context": run.context,
            "the parameters": run.parameters,
            "the states to begin with": (run.task_states, detached.state),
            "the flow": run.flow,
        }
        guilty = [name for name, part in parts.items() if not _can_pickle(part)]
        why = f"{' and '.join(guilty) or 'a setting'} cannot be pickled: {text_of(error)}"
        raise CannotDetach(run.flow.name, why) from error


def _can_pickle(part: Any) -> bool:
    import cloudpickle

    try:
        cloudpickle.dumps(part)
    except Exception:  # the user's objects
        return False
    return True


def _start(flow: str, payload: bytes, log: Path) -> None:
    """Start the process, give it what it is to run, and wait until it says that this has begun."""
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        process = subprocess.Popen(
            python_command("prefect_dask.detached"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            **_alone(),
        )
    try:
        said = _said(process, payload)
    except BaseException:
        _kill(process)
        raise
    finally:
        # On POSIX it has ended: the run is in a process that it forked, and whose parent nobody is.
        threading.Thread(target=process.wait, name="prefect-dask-detached", daemon=True).start()
    if said == BEGUN:
        return
    if said:
        # From our own process, over a pipe that nobody else holds.
        error: BaseException = pickle.loads(said)
        raise NotBegun(flow, type_and_text_of(error), str(log)) from error
    tail = log.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()
    raise NotBegun(flow, f"its process died: {tail or 'it said nothing'}", str(log))


def _said(process: subprocess.Popen[bytes], payload: bytes) -> bytes:
    assert process.stdin is not None and process.stdout is not None
    with process.stdout:
        try:
            with process.stdin:
                process.stdin.write(payload)
        except BrokenPipeError:
            pass  # it is dead, and its log says why
        return process.stdout.read()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it forked."""
    if sys.platform == "win32":
        process.kill()
        return
    import signal
    from contextlib import suppress

    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _alone() -> dict[str, Any]:
    """What keeps Ctrl-C, and the end of the terminal, from the process."""
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
        return {"creationflags": flags}
    return {"start_new_session": True}


# ---- what goes wrong


class CannotDetach(PrefectDaskError, ValueError):
    """A run is to go on in a process of its own, and cannot; nothing was started."""

    def __init__(self, flow: str, why: str) -> None:
        super().__init__(f"flow {flow!r} cannot run detached: {why}")
        self.flow, self.why = flow, why


class NotBegun(PrefectDaskError):
    """The process of a detached run could not begin it; no task has run."""

    def __init__(self, flow: str, cause: str, log: str) -> None:
        super().__init__(
            f"flow {flow!r} did not begin in a process of its own: {cause}; its log is {log}"
        )
        self.flow, self.cause, self.log = flow, cause, log
