"""What the futures of a run on a Dask cluster tell that no record told: what is finished, what failed, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import distributed
from distributed.scheduler import KilledWorker

from ..errors import NodeFailed, WorkerDied
from ..failures import text_of
from ..node import RunNotHosted, RunUnanswered
from ..state import Pending
from ..stream import Event, HandedBack, NodeCrashed, NodeId
from .dask_executions import Executions
from .dask_places import UNDER_WAY, Holding
from .dask_repairs import Repairs


class Futures:
    """The futures of one run.

    Args:
        client: Whose they are.
        executions: What is not over; learns what they tell.
        name_of: What a task run is called.
        borne: How often a task run may come to a worker that does not host the run.
        check_cluster: Raises where the cluster is lost: then futures tell nothing of their nodes.
    """

    def __init__(
        self,
        client: distributed.Client,
        executions: Executions,
        name_of: Callable[[NodeId], str],
        borne: int,
        check_cluster: Callable[[], None],
    ) -> None:
        self._executions, self._name_of = executions, name_of
        self._borne, self._check_cluster = borne, check_cluster
        self._repairs = Repairs(client)
        #: How often each task run came to a worker that does not host the run.
        self._not_hosted: Counter[tuple[int, int]] = Counter()

    def look(self, now: float) -> list[Event]:
        """What they tell now.

        Args:
            now: Seconds on any clock that does not go back.

        Raises:
            ClusterLost: The cluster is lost.
        """
        executions = self._executions
        events: list[Event] = []
        self._repairs.keep(executions)
        for node in list(executions):
            holding = executions.places.holding(node)
            if node not in executions or holding is None or holding.future is None:
                continue  # handed back with another one of its node, or not with Dask yet
            status = holding.status
            if status in UNDER_WAY or executions.is_undone(node):
                continue
            if status == "finished":
                events += self._repair(node, holding, now)
            elif status == "error":
                events += self._blame(holding, holding.future.exception())
            else:
                self._check_cluster()
                events += self._crash(node, f"its Dask key was {status} from outside the run")
        return events

    def let_go(self) -> None:
        """Forget what was asked for: the run is over."""
        self._repairs.keep(())

    def _repair(self, node: NodeId, holding: Holding, now: float) -> list[Event]:
        """What a node came to whose last record did not arrive, as soon as that is known."""
        position = self._executions.places.place(node).position
        change = self._repairs.last_record(node, holding, position, now)
        if change is None:
            return []
        if type(change.state) is not Pending:
            self._executions.end(change)
            return [change]
        if change.state.message:
            self._executions.drop(node)
            return [HandedBack(node, change.worker, change.state.message, False)]
        self._executions.stage_again([node])  # the word that it was handed back is what is missing
        return []

    def _blame(self, holding: Holding, error: BaseException | None) -> list[Event]:
        """The node at which a chain of errors began; those below are handed over anew by who waits for them."""
        executions, places = self._executions, self._executions.places
        nodes = [node for node in places.nodes_of(holding.key) if node in executions]
        inside = set(nodes)
        above = {
            need: above.status
            for node in nodes
            for need in executions[node].needs()
            if need not in inside and (above := places.holding(need)) not in (None, holding)
        }
        if any(status in UNDER_WAY for status in above.values()):
            return []  # its own news is still under way
        erred = {need for need, status in above.items() if status == "error"}
        if any(not places.is_over(need) for need in erred):
            executions.drop_below(nodes, erred)
            return []
        why = text_of(error) if error is not None else "unknown"
        if len(list(holding.nodes())) > 1:
            worker = error.last_worker.address if isinstance(error, KilledWorker) else ""
            return executions.hand_back(holding, worker, f"its batch could not be run: {why}")
        (node,) = nodes
        if self._may_try_again(node, error):
            return executions.hand_back(holding, "", why)
        if erred:
            # Told as finished; its result died with a worker, and making it again failed.
            lost = ", ".join(repr(self._name_of(need)) for need in sorted(erred))
            return self._crash(
                node, f"the result of {lost} was lost, and made again in vain: {why}"
            )
        if isinstance(error, KilledWorker):
            executions.give_up(node)
            worker = error.last_worker.address
            died = WorkerDied(self._name_of(node), worker, error.allowed_failures + 1)
            return [NodeCrashed(node, died, worker)]
        return self._crash(node, repr(error))

    def _may_try_again(self, node: NodeId, error: BaseException | None) -> bool:
        """Whether an error says that a node did not begin, and that it may elsewhere."""
        if isinstance(error, RunNotHosted):
            # Its worker is about to leave, and the word of that is under way; or it never took the run in.
            self._not_hosted[node[:2]] += 1
            return self._not_hosted[node[:2]] <= self._borne
        return isinstance(error, RunUnanswered)

    def _crash(self, node: NodeId, cause: str) -> list[Event]:
        self._executions.give_up(node)
        return [NodeCrashed(node, NodeFailed(self._name_of(node), cause), "")]
