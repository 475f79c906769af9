"""Telling the workers of a Dask cluster that no other body of a run is to begin, and hearing what is at work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import distributed
from distributed.diagnostics.plugin import WorkerPlugin

from ..failures import text_of
from ..logs import get_logger
from ..node import hosted
from ..stream import Batcher, ClusterChanged, NodeId, StillAtWork
from .dask_asking import LAST_ANSWER_SECONDS, add_to_workers, ask_workers, take_from_workers


class Ending:
    """How a run on a cluster comes to its end before all is done.

    The workers are asked in a thread of its own: whoever wants the run to end does not wait for their answers, and
    one that hangs does not hold up the others. What is at work they tell in the order of their records, so that
    what was over before is known by then. What has not begun comes back from Dask without having run.

    Args:
        client: Whose run it is.
        token: The run's token.
        wake: Called in that thread when it is known who answers.
    """

    def __init__(self, client: distributed.Client, token: str, wake: Callable[[], None]) -> None:
        self._client, self._wake = client, wake
        self._token, self._plugin = token, EndingPlugin(token)
        #: The workers that were told; None before that is known.
        self._told: frozenset[str] | None = None
        self._at_work: dict[str, set[NodeId]] = {}
        self._gone: set[str] = set()
        self._is_registered = False
        threading.Thread(target=self._ask, name="prefect-dask-ending", daemon=True).start()

    def _ask(self) -> None:
        try:
            # First: those that join from here on hear of it when they do.
            self._is_registered = True
            add_to_workers(
                self._client, self._plugin, self._plugin.name, seconds=LAST_ANSWER_SECONDS
            )
            answers = ask_workers(self._client, let_end, self._token, seconds=LAST_ANSWER_SECONDS)
            self._told = frozenset(worker for worker, told in answers.items() if told is True)
            self._wake()
        except Exception as error:
            # The cluster may go at any moment; then nothing begins there either.
            get_logger("DaskExecutor").warning("workers were not told: %s", text_of(error))
            if self._told is None:
                self._told = frozenset()
                self._wake()

    @property
    def at_work(self) -> frozenset[NodeId] | None:
        """What was at work when the workers heard of it, less what was lost since; None before all have told."""
        if self._told is None or not self._told - self._gone <= set(self._at_work):
            return None
        return frozenset().union(*self._at_work.values())

    # ---- for the coordinating thread

    def hear(self, told: StillAtWork) -> None:
        """Take the word of a worker."""
        nodes = self._at_work.setdefault(told.worker, set())
        nodes.update((task, index, generation) for task, index, generation in told.nodes)

    def lose(self, nodes: Iterable[NodeId]) -> None:
        """Note that these died with their worker: they begin nowhere else."""
        for each in self._at_work.values():
            each.difference_update(nodes)

    def take_change(self, change: ClusterChanged) -> None:
        """Note that a worker is gone, which tells nothing any more."""
        if change.kind in ("left", "died"):
            self._gone.add(change.worker)

    def close(self) -> None:
        """Have workers that join later not told any more."""
        if self._is_registered:
            take_from_workers(self._client, self._plugin.name, seconds=LAST_ANSWER_SECONDS)


# ---- on the workers


class EndingPlugin(WorkerPlugin):
    """On each worker, also those that join later: lets no other body of a flow run begin.

    Args:
        token: The run's token.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self.name = f"prefect-dask-{token}-ending"

    def setup(self, worker: distributed.Worker) -> None:
        """Called by the worker when the plugin arrives."""
        let_end(self.token)


def let_end(token: str) -> bool:
    """On a worker: let no other body of a run begin, ask those at work to end, and tell the run which these are.

    Returns:
        Whether the run is hosted here, and told.
    """
    run = hosted(token)
    if run is None:
        return False
    assert isinstance(run.report, Batcher)
    run.report.collect(StillAtWork(tuple(run.let_end()), run.worker))
    run.report.flush()
    return True
