"""What follows from what comes in of a flow run: states, losses, crashes, lines and artifacts, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import failures
from .book import Book
from .collector import CollectorHeld
from .executors.base import GraphRun, HoldsResults
from .graph import FlowGraph
from .held_slots import HeldSlots
from .needless_results import NeedlessResults
from .outcome import hidden
from .recovery import Recovery
from .state import Crashed, Looped, Running, State
from .stream import (
    ArtifactMade,
    AttemptLost,
    ClusterChanged,
    Event,
    HandedBack,
    LineLogged,
    NodeCrashed,
    Observer,
    StateChange,
    ValueLost,
    change_of,
)
from .telling import Teller


class Intake:
    """Takes in what comes of the graph runs of a flow run, one after the other.

    Args:
        graph: The flow.
        attempts: Of the task runs that are not at their first attempt, at which; kept up to date here.
        slots: The slots of the run.
        needless: Lets go of results; None where all are kept.
        teller: Passes on what counts.
        observer: Is given artifacts and what happens to the cluster.
        recovery: Knows what is kept of the run; None where nothing is.
    """

    def __init__(
        self,
        graph: FlowGraph,
        attempts: dict[tuple[int, int], int],
        *,
        slots: HeldSlots,
        needless: NeedlessResults | None,
        teller: Teller,
        observer: Observer,
        recovery: Recovery | None,
    ) -> None:
        self._graph, self._attempts = graph, attempts
        self._slots, self._needless, self._recovery = slots, needless, recovery
        self._teller, self._observer = teller, observer
        #: Task runs that were told to be in a loop.
        self._looping: set[tuple[int, int]] = set()
        #: Where those task runs run, or ran, that were told to.
        self.where: dict[tuple[int, int], str] = {}

    def begin(self, graph_run: GraphRun, book: Book) -> None:
        """What comes from here on is of another graph run."""
        self._graph_run, self._book = graph_run, book
        #: Whether anything follows from the end of an execution beside its state.
        self._must_hear_ends = self._needless is not None or bool(self._slots.limited)

    def take(self, events: Sequence[Event], *, makes_again: bool) -> list[tuple[int, int]]:
        """Take in what happened.

        Args:
            events: That, in order.
            makes_again: Whether values that are lost and not kept can be made again.

        Returns:
            The task runs that have to be handed over again with what is below them: task, map index.
        """
        told: list[StateChange] = []
        again: list[tuple[int, int]] = []
        lost: list[ValueLost] = []
        turns = self._turns(events) if self._looping else {}
        with CollectorHeld():
            for event in events:
                if isinstance(event, StateChange):
                    self._take_state(event, told)
                elif isinstance(event, LineLogged):
                    self._teller.replay(event)
                elif isinstance(event, ArtifactMade):
                    self._observer.take_artifact(event)
                elif isinstance(event, AttemptLost):
                    self._take_loss(event, told)
                elif isinstance(event, HandedBack):
                    again += self._take_back(event, told, turns.get(event.node[:2]))
                elif isinstance(event, ValueLost):
                    lost.append(event)
                elif isinstance(event, ClusterChanged):
                    self._teller.tell(told)
                    told = []
                    self._observer.take_cluster_event(event)
                else:
                    again += self._take_crash(event, told)
            self._teller.tell(told)
        if lost:
            again += self._take_lost_values(lost, makes_again=makes_again)
        if self._teller.lost_by_cause:
            self._teller.warn_of_losses()
        return again

    def _take_state(self, change: StateChange, told: list[StateChange]) -> None:
        node, attempt, state, is_over, worker, began, stored = change
        index = node[0]
        if self._graph.nodes[index].label.is_secret:
            state = hidden(state)
        moves = self._book.accept(node, state, is_over=is_over, began=began)
        if moves:
            if type(state._context) is not tuple:
                state.tag(self._teller.tags[index])
            if attempt > 1:
                self._attempts[node[:2]] = attempt
            elif self._attempts:
                attempt = self._attempts.get(node[:2], 1)
            if moves == 1:
                began = None
            if state is change.state and began is change.began and attempt == change.attempt:
                told.append(change)
            else:
                told.append(change_of((node, attempt, state, is_over, worker, began, stored)))
            if state._lazy is not None and node[1] >= 0:
                self._book.runs.fold(node[0], node[1], state)
        elif self._slots.limited:
            self._slots.hear_of_uncounted(node, is_over=is_over)
        if not is_over:
            self.where[node[:2]] = worker
            if isinstance(state, Looped):
                self._looping.add(node[:2])
        elif self._must_hear_ends:
            if moves and node in self._slots.holding:
                self._slots.note_over(node)
            if self._needless is not None and self._book.runs.is_settled(node):
                self._graph_run.release(self._needless.let_go_after(self._book.runs, node))

    def lose_running(self, cause: str) -> None:
        """Nothing runs any more, because of `cause`."""
        told: list[StateChange] = []
        for index, map_index, _ in list(self._book.runs.in_state(Running)):
            node = self._book.runs.node_id(index, map_index)
            self._take_loss(AttemptLost(node, "", cause), told)
        self._teller.tell(told)

    def _take_loss(self, lost: AttemptLost, told: list[StateChange]) -> None:
        state = self._book.losses.lose(lost.node, f"attempt lost: {lost.cause}")
        if state is None:
            self._slots.hear_of_uncounted(lost.node, is_over=True)
        else:
            told += self._teller.lost([(lost.node, state)], lost.worker)

    def _turns(self, events: Iterable[Event]) -> Mapping[tuple[int, int], Mapping[str, Any]]:
        """At which turns those task runs go on that are handed back from a loop."""
        looping = [e.node[:2] for e in events if isinstance(e, HandedBack)]
        looping = [task_run for task_run in looping if task_run in self._looping]
        if not looping or self._recovery is None:
            return {}
        return self._recovery.turns(looping)

    def _take_back(
        self, back: HandedBack, told: list[StateChange], turn: Mapping[str, Any] | None
    ) -> list[tuple[int, int]]:
        message = f"attempt lost: {back.cause}"
        losses = self._book.losses.hand_back(
            back.node, message, had_value=back.had_value, turn=turn
        )
        told += self._teller.lost(losses, back.worker)
        if not losses:
            return []
        self._slots.note_over(back.node)
        return [back.node[:2]]

    def _take_lost_values(
        self, lost: Sequence[ValueLost], *, makes_again: bool
    ) -> list[tuple[int, int]]:
        """Values are gone with their worker: what is kept is taken from there, the rest has to be made again."""
        told: list[StateChange] = []
        again: list[tuple[int, int]] = []
        holds = self._graph_run if isinstance(self._graph_run, HoldsResults) else None
        seen = {each.node for each in lost}
        while lost:
            kept = self._kept_states([each.node[:2] for each in lost])
            if not makes_again:
                # Nothing is made again now; whoever reads one of the others is told again that it is lost.
                for node, _, cause in lost:
                    if node[:2] not in kept:
                        self._teller.note_lost(node, f"its result is lost: {cause}")
                lost = [each for each in lost if each.node[:2] in kept]
            more: list[ValueLost] = []
            for node, worker, cause in lost:
                message = f"its result is lost and is made again: {cause}"
                losses = self._book.losses.lose_value(node, kept.get(node[:2]), message)
                told += self._teller.lost(losses, worker)
                again.append(node[:2])
                if not losses or losses[0][0] != node or holds is None:
                    continue
                # What has to run again takes results that were perhaps let go, because nobody needed them any more.
                for need in self._book.losses.needs(*node[:2]):
                    if need not in seen and holds.result_of(need) is None:
                        seen.add(need)
                        more.append(ValueLost(need, "", cause))
            lost = more
        self._teller.tell(told)
        return again

    def _kept_states(self, task_runs: Sequence[tuple[int, int]]) -> Mapping[tuple[int, int], State]:
        return {} if self._recovery is None else self._recovery.kept_states(task_runs)

    def _take_crash(self, crash: NodeCrashed, told: list[StateChange]) -> list[tuple[int, int]]:
        state = Crashed(failures.text_of(crash.error), result=crash.error)
        if not self._book.crash(crash.node, state):
            return []
        self._slots.note_over(crash.node)
        told.append(self._teller.crashed(crash.node, state, crash.worker))
        if self._needless is not None:
            self._graph_run.release(self._needless.let_go_after(self._book.runs, crash.node))
        return [crash.node[:2]]
