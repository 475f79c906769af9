"""Asking the workers of a Dask cluster, such that one that hangs holds up nobody.

Dask's own calls wait until every worker has answered, and a process that is stopped, or held up in C, does not. It
is a worker of the cluster still, for as long as `distributed.scheduler.worker-ttl` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import distributed
from distributed.diagnostics.plugin import WorkerPlugin

from ..failures import text_of
from ..logs import get_logger

#: How long a worker, or the scheduler, may take to answer, seconds, where nothing can begin before: many times what
#: a busy one takes.
ANSWER_SECONDS = 5.0

#: The same where a run comes to its end: it is to be over 5 s after the time of grace.
LAST_ANSWER_SECONDS = 1.0


def ask_workers(
    client: distributed.Client,
    function: Callable[..., Any],
    *args: Any,
    seconds: float,
    workers: Iterable[str] | None = None,
) -> dict[str, Any]:
    """What a function comes to on each worker that answers in time, by its address; what it raised, as it is.

    Args:
        client: The cluster's.
        function: What is called there.
        args: Its arguments.
        seconds: How long each may take; they are asked at once.
        workers: The addresses of those that are asked; None: all.

    Raises:
        Exception: The scheduler does not answer.
    """
    answers: dict[str, Any] = client.sync(_ask_each, client, function, args, seconds, workers)
    return answers


async def _ask_each(
    client: distributed.Client,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    seconds: float,
    workers: Iterable[str] | None,
) -> dict[str, Any]:
    if workers is None:
        scheduler: Any = client.scheduler
        workers = list(await scheduler.ncores(workers=None))

    async def ask(worker: str) -> dict[str, Any]:
        # By itself: asked together, all would wait for the last one.
        asked = client._run(function, *args, workers=[worker], on_error="return")
        try:
            answer: dict[str, Any] = await asyncio.wait_for(asked, seconds)
        except (TimeoutError, asyncio.TimeoutError):
            get_logger("DaskExecutor").warning(
                "worker %s does not answer within %g s; it goes on without", worker, seconds
            )
            return {}
        return answer

    answers = await asyncio.gather(*map(ask, workers))
    return {worker: came for answer in answers for worker, came in answer.items()}


def add_to_workers(
    client: distributed.Client, plugin: WorkerPlugin, name: str, *, seconds: float
) -> None:
    """Have each worker, also those that join later, take a plugin in.

    One that does not answer in time takes it when it does again; nobody waits for that.

    Raises:
        Exception: The plugin fails on a worker, or the scheduler does not answer.
    """
    _without_hanging(
        client, client._register_worker_plugin, seconds, plugin=plugin, name=name, idempotent=False
    )


def take_from_workers(client: distributed.Client, name: str, *, seconds: float) -> None:
    """Have each worker let go of a plugin; as `add_to_workers`."""
    _without_hanging(client, client._unregister_worker_plugin, seconds, name=name)


def _without_hanging(
    client: distributed.Client, call: Callable[..., Any], seconds: float, **arguments: Any
) -> None:
    """Wait for Dask's word on a plugin for so long. The scheduler knows of it first, and tells each worker then."""
    try:
        client.sync(call, callback_timeout=seconds, **arguments)
    except (TimeoutError, asyncio.TimeoutError):
        get_logger("DaskExecutor").warning(
            "not all workers have answered within %g s; it goes on without those", seconds
        )
    except OSError as error:
        # A worker that has just died, or could not be reached. Where it is the scheduler, the run hears of it.
        get_logger("DaskExecutor").debug("a worker could not be told: %s", text_of(error))
