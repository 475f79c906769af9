"""One flow run on a Dask cluster: one graph, extended while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import count

import dask
import distributed

from .. import clock
from ..compile import Keys, as_expression, compile_groups
from ..durations import SEEN
from ..errors import WorkerDied
from ..failures import text_of
from ..grouping import Grouping, Kinds
from ..hand_over import HandOver
from ..logs import get_logger
from ..node import RunPackage
from ..parcels import pack
from ..state import Pending, Running
from ..stream import (
    ClusterChanged,
    Event,
    HandedBack,
    NodeCrashed,
    NodeId,
    NotBegun,
    StateChange,
    StillAtWork,
    ValueLost,
)
from ..worker_resources import worker_resources
from .dask_asking import ANSWER_SECONDS, LAST_ANSWER_SECONDS, add_to_workers, take_from_workers
from .dask_checks import resources_of_workers, shortage_text
from .dask_connection import Connection
from .dask_deaths import Deaths
from .dask_ending import Ending
from .dask_executions import Executions
from .dask_futures import Futures
from .dask_hosting import RunPlugin
from .dask_hub import Hub
from .dask_inbox import AtWork, Inbox, Loss
from .dask_letting_go import LettingGo
from .dask_places import Places
from .dask_report import PerformanceReport
from .dask_results import bring_home, remote_state
from .dask_spans import span_of
from .dask_stopping import cancel, let_nodes_end
from .dask_watch import have_forgotten

#: How often the futures are looked at while no records come, seconds.
LOOK_SECONDS = 0.25

#: How many hand-overs wait here for Dask: some 20 MB. What is beyond is not made before there is room.
STAGED_AT_MOST = 20_000

#: How many are taken at a time: workers begin with these while others are made, and the client's event loop, which
#: may be a scheduler's, too, breathes in between.
TAKEN_AT_ONCE = 1_000

#: How many task runs wait on a cluster for a thread at least, where only so many go there as it can use: on a
#: larger one a fourth of what it runs at a time. An adaptive cluster grows because of these.
AHEAD_AT_LEAST = 2

#: How long the fetching of results may take when a run is cancelled, seconds: nobody waits for long after Ctrl-C.
FETCH_GRACE_SECONDS = 5.0


class DaskRun:
    """A flow run on a cluster, seen through one client."""

    def __init__(
        self,
        client: distributed.Client,
        package: RunPackage,
        *,
        owns_client: bool,
        grouping: Grouping,
        threads: int,
        report: PerformanceReport | None = None,
    ) -> None:
        self._client, self._package, self._owns_client = client, package, owns_client
        self._report = report
        self._keys = Keys(package.token, package.graph)
        self._connection = Connection(client)
        self._span = span_of(package.info)
        self._inbox = Inbox(self._keys.is_ours)
        self._last_look = clock.monotonic()
        self._threads = threads
        self._executions = Executions(
            Kinds(package.graph, grouping, package.limited),
            SEEN,
            Places(len(package.graph), self._name, LettingGo.of(client)),
        )
        self.result_of = partial(remote_state, self._executions.places)
        self._futures = Futures(
            client,
            self._executions,
            self._name,
            package.tolerance.worker_deaths,
            self._connection.check,
        )
        self._numbers = count(1)
        self._deaths = Deaths(package.tolerance.worker_deaths)
        #: What else follows from lost workers, until those are told that are given up.
        self._losses: list[Event] = []
        #: On which workers those should run that were kept waiting on theirs.
        self._rather: dict[NodeId, list[str]] = {}
        #: How it comes to its end before all is done.
        self._ending: Ending | None = None
        self._plugin = RunPlugin(
            package.token,
            pack(package.graph, package.info),
            client.id,
            package.info.log_level,
        )
        self._hub = Hub.of(client)
        self._hub.listen(package.token, self._inbox, package.check_counted)
        add_to_workers(client, self._plugin, self._plugin.name, seconds=ANSWER_SECONDS)

    # ---- the door

    def room(self) -> int:
        return max(0, min(TAKEN_AT_ONCE, STAGED_AT_MOST - self._executions.staged))

    def at_once(self) -> int:
        return self._threads + max(AHEAD_AT_LEAST, self._threads // 4)

    def extend(self, plan: Sequence[HandOver]) -> None:
        self._executions.add(plan)
        self._submit()

    def let_end(self, grace_seconds: float) -> None:
        if self._ending is None:
            self._ending = Ending(self._client, self._package.token, self._inbox.wake)

    def is_at_work(self) -> bool:
        if self._ending is None or self._client.status != "running":
            return False
        at_work = self._ending.at_work
        return at_work is None or any(node in self._executions for node in at_work)

    def wait(self, timeout_seconds: float) -> list[Event]:
        self._submit()
        wake_after = self._executions.wake_after(clock.monotonic())
        limits = [timeout_seconds, LOOK_SECONDS, *([] if wake_after is None else [wake_after])]
        self._inbox.wait(min(limits))
        events = self._take_told()
        events += self._tell_given_up()
        if self._ending is None and clock.monotonic() - self._last_look > LOOK_SECONDS:
            self._last_look = clock.monotonic()
            events += self._look()
        return events

    def _submit(self) -> None:
        """Give Dask what should go to it now."""
        if not self._executions.staged or self._ending is not None:
            return
        groups = self._executions.take(self._threads, clock.monotonic())
        if not groups:
            return
        compiled = compile_groups(
            groups,
            self._keys,
            self._executions.places,
            self._numbers,
            self._package.is_passed_on,
            self._deaths.suspects,
        )
        keys = [row.key for row in compiled.rows]
        workers = {
            key: others
            for key, group in zip(keys, groups, strict=True)
            if self._rather and (others := self._rather.get(group[0].items[0].node))
        }
        package = self._package
        expression = as_expression(compiled, package.token, package.graph, workers, package.limited)
        try:
            with dask.annotate(span=self._span):
                futures = self._client.get(expression, keys, sync=False)
        except Exception:
            self._connection.check()
            raise
        self._executions.put(groups, keys, futures)

    def release(self, nodes: Iterable[NodeId]) -> None:
        for node in nodes:
            self._executions.places.forget(node)

    def shortages(self) -> list[str]:
        ready = self._executions.idle()
        if not ready:
            return []
        try:
            there = resources_of_workers(self._client)
        except Exception as error:  # the cluster may be what is away
            return [
                f"{len(ready)} task runs; the cluster does not say who is there: {text_of(error)}"
            ]
        wanted: dict[tuple[tuple[str, float], ...], list[NodeId]] = {}
        for node in ready:
            tags = self._package.graph.nodes[node[0]].label.tags
            wanted.setdefault(tuple(sorted(worker_resources(tags).items())), []).append(node)
        return [
            shortage_text([self._name(node) for node in nodes], dict(needs), there)
            for needs, nodes in wanted.items()
        ]

    def close(self, *, is_cancelled: bool) -> list[Event]:
        events = self._take_told()
        try:
            if self._client.status == "running":
                events += self._end_on_cluster(is_cancelled=is_cancelled)
                if self._report is not None:
                    events += self._report.write()
        except Exception as error:
            # The cluster may go at any moment; the states are known all the same.
            get_logger("DaskExecutor").warning("clearing away the run failed: %s", text_of(error))
        finally:
            self._hub.forget(self._package.token)
            self._futures.let_go()
            self._executions.let_go()
            self.result_of = partial(remote_state, self._executions.places)
        return [*events, *self._losses]

    def _end_on_cluster(self, *, is_cancelled: bool) -> list[Event]:
        events: list[Event] = []

        def look() -> None:
            self._connection.check()
            events.extend(self._take_told())

        try:
            if is_cancelled:
                events += self._take_finished()
                cancel(self._client, self._executions.places, self._unhost)
            else:
                let_nodes_end(self._client, self._executions.places.holdings())
            if self._owns_client:
                limit = FETCH_GRACE_SECONDS if is_cancelled else None
                places = self._executions.places
                events += bring_home(self._client, places, look, limit_seconds=limit)
        finally:
            if self._owns_client and not is_cancelled:
                self._unhost()
            elif not is_cancelled:
                # Nothing of it is at work any more, and 5 ms are a long time for a short run.
                have_forgotten(self._client, self._plugin.name)
            if self._ending is not None:
                self._ending.close()
        return events

    def _unhost(self) -> None:
        """Have the workers forget the run; a body at work there is stopped."""
        take_from_workers(self._client, self._plugin.name, seconds=LAST_ANSWER_SECONDS)

    def _take_finished(self) -> list[Event]:
        """The last records of what is finished and not told yet, as far as they come soon."""
        events: list[Event] = []
        until = clock.monotonic() + LOOK_SECONDS
        while clock.monotonic() < until and any(
            holding is not None and holding.status == "finished"
            for holding in map(self._executions.places.holding, self._executions)
        ):
            self._inbox.wait(until - clock.monotonic())
            events += self._take_told()
        return events

    def _take_told(self) -> list[Event]:
        events: list[Event] = []
        again: list[NodeId] = []
        for told in self._inbox.take():
            if isinstance(told, NotBegun):
                events += self._executions.refused(told)
                again += self._take_cut(told)
                continue
            if isinstance(told, Loss):
                self._losses += self._lose(told)
                events += self._tell_losses()
                continue
            if isinstance(told, AtWork):
                self._deaths.note_at_work(*told)
                continue
            if isinstance(told, StillAtWork):
                if self._ending is not None:
                    self._ending.hear(told)
                continue
            if isinstance(told, ClusterChanged):
                if told.kind == "exited":
                    self._deaths.note_exit(told.worker, told.details["exit_code"])
                if self._ending is not None:
                    self._ending.take_change(told)
            if isinstance(told, StateChange):
                state = told.state
                if told.is_over:
                    if type(state) is Pending and self._executions.set_aside(told):
                        continue
                    self._executions.end(told)
                elif isinstance(state, Running):
                    self._executions.began[told.node] = state._time
            events.append(told)
        self._executions.stage_again(again)
        return events

    # ---- what nodes hand back

    def _take_cut(self, cut: NotBegun) -> list[NodeId]:
        moved = self._executions.handed_back(cut)
        if cut.is_held and moved:
            # Dask takes what is short for not worth stealing, and leaves it behind what keeps its worker busy.
            others = [
                worker
                for worker in self._connection.threads_by_worker() or ()
                if worker != cut.worker
            ]
            if others:
                self._rather.update(dict.fromkeys(moved, others))
        return moved

    def _lose(self, lost: Loss) -> list[Event]:
        """Nodes and values are gone with a worker, and Dask makes none anew: that is decided here."""
        running, computed = (
            [node for key in keys for node in self._executions.places.nodes_of(tuple(key))]
            for keys in (lost.running, lost.computed)
        )
        nodes, had_value = running + computed, set(computed)
        if self._ending is not None:
            self._ending.lose(nodes)
        cause = (
            f"worker {lost.worker} left the cluster"
            if lost.is_expected
            else f"worker {lost.worker} died while it held this task"
        )
        under_way = {node for node in nodes if node in self._executions}
        given_up: set[NodeId] = set()
        if not lost.is_expected:
            # What had come to its end was not at work.
            suspects = under_way - had_value
            given_up = self._deaths.blame(
                lost.worker, suspects, self._executions.began, lost.threads, clock.monotonic()
            )
            self._executions.alone |= {node[:2] for node in suspects}
        events: list[Event] = []
        for node in nodes:
            self._executions.drop(node)
            if node not in given_up:
                events.append(
                    HandedBack(node, lost.worker, cause, node in had_value)
                    if node in under_way
                    else ValueLost(node, lost.worker, cause)
                )
        return events

    def _tell_given_up(self) -> list[Event]:
        crashed = [
            NodeCrashed(node, WorkerDied(self._name(node), worker, deaths, code), worker)
            for node, worker, deaths, code in self._deaths.take_given_up(clock.monotonic())
        ]
        return [*crashed, *self._tell_losses()]

    def _tell_losses(self) -> list[Event]:
        """What is lost; not before those are told that are given up.

        They would begin again with the value that they took, where that is lost with the worker that they ended,
        and would never come to an end.
        """
        if self._deaths.has_untold:
            return []
        losses, self._losses = self._losses, []
        return losses

    # ---- now and then

    def _look(self) -> list[Event]:
        """What is known here that no record told."""
        self._connection.check()
        if self._executions.staged or self._package.limited:
            threads = self._connection.threads_by_worker()
            if threads is not None:
                self._threads = max(1, sum(threads.values()))
        return [*self._executions.give_up_undone(), *self._futures.look(clock.monotonic())]

    def _name(self, node: NodeId) -> str:
        return self._package.graph.nodes[node[0]].label.run_name(node[1])
