"""Through whom workers die: which task runs are given up, and when. Pure: the caller says what time it is."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

from ..stream import NodeId

#: How long it is waited for the word of its nanny how a worker ended, seconds.
EXIT_CODE_SECONDS = 1.0


class GivenUp(NamedTuple):
    """An execution with which one worker too many died; `exit_code` is None where nobody tells."""

    node: NodeId
    worker: str
    deaths: int
    exit_code: int | None


class _Waiting(NamedTuple):
    """What is given up as soon as it is known how the worker ended, or at a moment."""

    node: NodeId
    worker: str
    deaths: int
    until: float


class Deaths:
    """The deaths of the workers of one run.

    Of a dead worker it is mostly not known which of the task runs that it had was at work. Then the death counts
    for all of them. From then on they are suspects: each goes to a worker in a node of its own, and is announced
    before it begins, so that the next time it is known.

    Args:
        borne: How many workers may die on a task run before the next one has it given up.
    """

    def __init__(self, borne: int) -> None:
        self._borne = borne
        #: Task runs that have to be announced.
        self.suspects: set[tuple[int, int]] = set()
        self._counts: dict[tuple[int, int], int] = {}
        self._at_work: dict[str, tuple[NodeId, ...]] = {}
        self._exit_codes: dict[str, int] = {}
        self._waiting: list[_Waiting] = []

    def note_at_work(self, worker: str, nodes: Sequence[NodeId]) -> None:
        """Note that of the suspects these are at work on a worker, and no others."""
        self._at_work[worker] = tuple(nodes)

    def note_exit(self, worker: str, exit_code: int) -> None:
        """Note how the process of a worker ended."""
        self._exit_codes[worker] = exit_code

    def blame(
        self, worker: str, under_way: Iterable[NodeId], running: Container[NodeId], now: float
    ) -> set[NodeId]:
        """Note that a worker died, not in good order.

        Args:
            worker: Its address.
            under_way: What it had that is not over.
            running: What is known to have begun.
            now: Seconds on any clock that does not go back.

        Returns:
            What is given up, of which `take_given_up` tells soon; the rest may be tried again.
        """
        under_way = set(under_way)
        announced = self._at_work.pop(worker, ())
        certain = {node for node in under_way if node in running or node in announced}
        if not certain and len(under_way) == 1:
            certain = under_way
        for node in certain or under_way:
            if certain or node[:2] not in self.suspects:
                self._counts[node[:2]] = self._counts.get(node[:2], 0) + 1
        self.suspects |= {node[:2] for node in under_way}
        given_up = {node for node in certain if self._counts[node[:2]] > self._borne}
        self._waiting += [
            _Waiting(node, worker, self._counts[node[:2]], now + EXIT_CODE_SECONDS)
            for node in given_up
        ]
        return given_up

    def take_given_up(self, now: float) -> list[GivenUp]:
        """What is given up and was not told yet, as far as it is known how its worker ended."""
        ready: list[GivenUp] = []
        waiting: list[_Waiting] = []
        for each in self._waiting:
            code = self._exit_codes.get(each.worker)
            if code is None and now < each.until:
                waiting.append(each)
            else:
                ready.append(GivenUp(each.node, each.worker, each.deaths, code))
        self._waiting = waiting
        return ready
