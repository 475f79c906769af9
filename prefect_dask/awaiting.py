"""A flow run that an asyncio task waits for: it goes on in a thread of its own, and is cancelled with the task."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from prefect_dask.engine import clock
from prefect_dask.engine.context import context as the_context
from prefect_dask.engine.state import State
from prefect_dask.engine.steering import Steering
from prefect_dask.progress import watching
from prefect_dask.running import (
    FlowRun,
    Schedule,
    ScheduleEvent,
    events_to_run_at,
    refuse_while_writing,
)

GRACE_SECONDS: Final = 1.0
"""How long bodies may take to end by themselves: whoever cancels a task, or interrupts a cell, waits for it."""

WAKE_SECONDS: Final = 0.2
"""How often the event loop wakes up: ipykernel's handler of an interrupt asks the loop for something, and leaves
it asleep (ipykernel 7.4, `_cancel_on_sigint`, by tornado's `add_callback`)."""


async def await_run(run: FlowRun, schedule: Schedule | None, state: State | None) -> State:
    """Run a flow, at each event of a schedule where there is one, and let the event loop go on meanwhile.

    Args:
        run: What was asked for.
        schedule: When it is run; now, and once, when not given.
        state: The flow's state to begin with.
    """
    refuse_while_writing(run.flow)
    # Those of this thread, which the one of the run does not have.
    run = replace(run, context={**the_context.snapshot(), **run.context})
    # Here, because only this thread knows below which cell.
    with watching(run.progress) as watch:
        run = replace(run, progress=False if watch is None else watch)
        if schedule is None:
            return await _once(run, state, None)
        final: State | None = None
        for event in events_to_run_at(run, schedule):
            await _wait_until(clock.to_seconds(event.start_time))
            final = await _once(run, state, event)
        assert final is not None
        return final


async def _wait_until(moment: float) -> None:
    if clock.is_turned():
        clock.wait_until(moment)
    while (left := moment - clock.now()) > 0:
        await asyncio.sleep(min(left, clock.SLICE_SECONDS))


async def _once(run: FlowRun, state: State | None, event: ScheduleEvent | None) -> State:
    steering = Steering()
    done = _in_thread(partial(replace(run, steering=steering).once, state, event))
    try:
        while not done.done():
            await asyncio.wait([done], timeout=WAKE_SECONDS)
        return done.result()
    except asyncio.CancelledError:
        await _cancel(steering, done)
        raise


async def _cancel(steering: Steering, done: asyncio.Future[State]) -> None:
    """Cancel the run, and wait until nothing of it is left."""
    grace_seconds = GRACE_SECONDS
    while not done.done():
        steering.cancel("the asyncio task that awaited the run was", grace_seconds=grace_seconds)
        with suppress(asyncio.CancelledError):
            await asyncio.wait([done])
        grace_seconds = 0.0
    done.exception()  # it was heard of; whoever cancels does not ask


def _in_thread(work: Callable[[], State]) -> asyncio.Future[State]:
    """Do the work in a thread that ends with it, and is not waited for at the end of the process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[State] = loop.create_future()

    def finish(outcome: State | None, error: BaseException | None) -> None:
        if error is not None:
            done.set_exception(error)
        elif outcome is not None:
            done.set_result(outcome)

    def call() -> None:
        outcome, error = None, None
        try:
            outcome = work()
        except BaseException as caught:
            error = caught
        with suppress(RuntimeError):  # the loop was closed, and nobody waits any more
            loop.call_soon_threadsafe(finish, outcome, error)

    # Dask keeps the current client in a context variable.
    call_here = partial(contextvars.copy_context().run, call)
    threading.Thread(target=call_here, name="prefect-dask-arun", daemon=True).start()
    return done
