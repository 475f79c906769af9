"""Whether what runs on a worker counts still: the worker asks the scheduler, and that the coordinating process.

A worker may have been given up by its cluster, and a coordinating process may have been stopped for so long that
another one has its run. Either learns of that later than those who went on without it, and what it has written by
then is where the others look for theirs. So a worker asks before what it has written gets its name.

An answer says for how long it is good. That is counted from the moment in which it was asked for, by who asked:
one that was held up on its way, as in a process that is stopped just then, is good for less, and no clock is
compared with another one. So does the scheduler with that of a coordinating process, which it keeps as long, and
the worker with that of its scheduler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import distributed
from distributed.utils import sync
from distributed.worker import WORKER_ANY_RUNNING

from .. import clock
from ..failures import text_of
from ..logs import get_logger
from ..node import Unanswered
from ..timeouts import BodyStopped

#: How long a coordinating process may be silent before what runs for it is given up, seconds: within a minute it is
#: taken for dead by whoever looks.
SILENT_SECONDS = 60.0

#: For how much longer than that a worker waits for its scheduler's word, seconds; within all of it, it asks again
#: as often as the connection breaks.
KNOWN_SECONDS = 30.0

#: How long after it asked a worker takes its scheduler's word for true, seconds: it may have been stopped since,
#: and given up by its cluster.
FRESH_SECONDS = 5.0

#: How long an answer is kept at most, seconds: those of runs that are over go with it.
KEPT_SECONDS = 600.0

#: How often it is asked again meanwhile, and looked whether anybody is there who could answer, seconds.
ASK_SECONDS = 5.0
LOOK_SECONDS = 1.0

#: How long a worker waits before it asks again where the connection broke, seconds.
AGAIN_SECONDS = 0.1

#: The calls by which they talk, among Dask's own.
COUNTS = "prefect_dask_counts"
RIGHT = "prefect_dask_right"


class Rights:
    """On the scheduler: of which runs it is known for how long that their coordinating processes have them.

    Args:
        scheduler: Where it is.
        ask: Sends a question to a client: its id, the token of the run, and a number to be told with the answer.
    """

    def __init__(
        self, scheduler: distributed.Scheduler, ask: Callable[[str, str, float], None]
    ) -> None:
        self._scheduler, self._ask = scheduler, ask
        self._until: dict[str, float] = {}
        #: The answers that are waited for, by the token of the run, and when they were last asked for.
        self._waiting: dict[str, asyncio.Future[bool]] = {}
        self._asked: dict[str, float] = {}
        scheduler.handlers[COUNTS] = self.counts
        scheduler.handlers[RIGHT] = self.take_answer

    async def counts(self, worker: str, client: str, token: str, plugin: str) -> float | None:
        """For how long what a worker runs for a run counts for certain.

        Args:
            worker: Its address.
            client: The id of the coordinating process's client.
            token: The run's.
            plugin: By the name of which workers host the run until it is over.

        Returns:
            Seconds; 0 where it does not count; None where the coordinating process does not say.
        """
        give_up_at = clock.monotonic() + SILENT_SECONDS
        there = self._scheduler
        while (
            worker in there.workers and client in there.clients and plugin in there.worker_plugins
        ):
            now = clock.monotonic()
            if (seconds := self._until.get(token, 0.0) - now) > 0:
                return seconds
            if now > give_up_at:
                return None
            answer = self._answer_of(client, token, now)
            # Now and then it is looked whether the one who is asked is there still.
            await asyncio.wait([answer], timeout=LOOK_SECONDS)
            if answer.done() and not answer.result():
                return 0.0
        self._waiting.pop(token, None)
        return 0.0

    def _answer_of(self, client: str, token: str, now: float) -> asyncio.Future[bool]:
        """The answer that is to come; asked for, and again where it does not."""
        answer = self._waiting.get(token)
        if answer is None or now - self._asked[token] > ASK_SECONDS:
            self._until = {of: end for of, end in self._until.items() if end > now}
            self._asked = {of: self._asked[of] for of in self._waiting}
            self._asked[token] = now
            self._ask(client, token, now)
        if answer is None:
            answer = self._waiting[token] = asyncio.get_running_loop().create_future()
        return answer

    def take_answer(self, token: str, asked: float, seconds: float | None) -> None:
        """Take a coordinating process's word on whether a run is its own.

        Args:
            token: The run's.
            asked: The number that came with the question.
            seconds: For how long it is so for certain; None where it is not.
        """
        if seconds is not None:
            self._until[token] = asked + min(seconds, KEPT_SECONDS)
        else:
            self._until.pop(token, None)
        waiting = self._waiting.pop(token, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(seconds is not None)


async def answer(
    client: distributed.Client, token: str, asked: float, check: Callable[[], float]
) -> None:
    """In the coordinating process: answer a question of the scheduler's.

    Args:
        client: Through which it came.
        token: The run's.
        asked: The number that came with it.
        check: As `Observer.check_right`.
    """
    seconds: float | None = None
    try:
        # It may ask the ledger.
        seconds = await asyncio.to_thread(check)
    except Exception as error:
        get_logger("DaskExecutor").debug(
            "what runs for %s counts no more: %s", token, text_of(error)
        )
    try:
        scheduler: Any = client.scheduler
        await getattr(scheduler, RIGHT)(token=token, asked=asked, seconds=seconds)
    except Exception as error:  # the cluster is gone; it asks no more either
        get_logger("DaskExecutor").debug("an answer did not arrive: %s", text_of(error))


class Right:
    """On a worker: whether what it runs for a run counts still.

    Args:
        worker: This worker.
        client, token, plugin: As for `Rights.counts`.
    """

    def __init__(self, worker: distributed.Worker, client: str, token: str, plugin: str) -> None:
        self._ask = partial(check_counted, worker, client, token, plugin)
        self._until = 0.0

    def check(self, lately: bool) -> None:
        """See that it does, in a thread of a task.

        Args:
            lately: Whether an answer of lately will do: then a worker that its cluster has given up may pass, but
                none whose run another process can have.

        Raises:
            BodyStopped, Unanswered: As `check_counted`.
        """
        if not lately or clock.monotonic() >= self._until:
            self._until = self._ask()


def check_counted(worker: distributed.Worker, client: str, token: str, plugin: str) -> float:
    """See that what a worker runs counts still, in a thread of a task.

    Args:
        worker: This worker.
        client, token, plugin: As for `Rights.counts`.

    Returns:
        Until when no other process can have the run, on the clock `clock.monotonic`.

    Raises:
        BodyStopped: It does not.
        Unanswered: Nobody could say.
    """
    ask = partial(
        getattr(worker.scheduler, COUNTS),
        worker=worker.address,
        client=client,
        token=token,
        plugin=plugin,
    )
    until = clock.monotonic() + SILENT_SECONDS + KNOWN_SECONDS
    while (asked := clock.monotonic()) < until:
        try:
            seconds: float | None = sync(worker.loop, ask, callback_timeout=until - asked)
        except (TimeoutError, asyncio.TimeoutError):
            break
        except OSError:  # the connection; where the scheduler is gone, the worker ends
            if worker.status not in WORKER_ANY_RUNNING:
                raise BodyStopped from None
            clock.wait_for(AGAIN_SECONDS)
            continue
        except Exception as error:  # a loop that has ended
            raise BodyStopped from error
        if seconds is None:
            break
        if seconds <= 0:
            raise BodyStopped
        if clock.monotonic() - asked < min(seconds, FRESH_SECONDS):
            return asked + seconds
    raise Unanswered
