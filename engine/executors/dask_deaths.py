"""Through whom workers die: which task runs are given up, and when. Pure: the caller says what time it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence, Set
from typing import NamedTuple, TypeAlias

from ..group_run import Care
from ..stream import NodeId

#: A task run: index of the task, map index.
TaskRun: TypeAlias = tuple[int, int]

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

    A death is laid to what was at work, never to what waited. Which that was is mostly not known in full: then the
    death stays open, and all that may have been at work are suspects. Each goes to a worker in a node of its own,
    and is announced before it begins, so that the next time it is known; with whom another worker dies answers for
    the open death, too.

    Where several were at work in the threads of a worker, each is charged, and none given up. What has no death
    left, open ones counted, runs one by one in each process from then on, and is given up when a worker dies while
    it runs so: what lay beside it comes to its end meanwhile, or has a worker of its own die.

    Args:
        borne: How many workers may die on a task run before the next one has it given up.
    """

    def __init__(self, borne: int) -> None:
        self._borne = borne
        #: How those are run that had workers which died.
        self.suspects: dict[TaskRun, Care] = {}
        self._counts: Counter[TaskRun] = Counter()
        #: Of each death that is laid to nobody yet, through whom it may have been.
        self._open: list[set[TaskRun]] = []
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
        self,
        worker: str,
        under_way: Iterable[NodeId],
        running: Container[NodeId],
        threads: int,
        now: float,
    ) -> set[NodeId]:
        """Note that a worker died, not in good order.

        Args:
            worker: Its address.
            under_way: What it had that is not over.
            running: What is known to have begun.
            threads: How many task runs it ran at a time.
            now: Seconds on any clock that does not go back.

        Returns:
            What is given up, of which `take_given_up` tells soon; the rest may be tried again.
        """
        under_way = set(under_way)
        announced = self._at_work.pop(worker, ())
        charged = {node for node in under_way if node in running or node in announced}
        # Any other suspect would have said that it begins.
        others = {node for node in under_way if node[:2] not in self.suspects} - charged
        tried = {n for n in charged if self.suspects.get(n[:2]) is Care.ONE_BY_ONE}
        if len(tried) == 1:
            charged = tried
        elif others and len(charged) < threads and len(charged | others) > 1:
            self._open.append({node[:2] for node in charged | others})
            charged = set()
        elif not charged:
            charged = others
        self._charge({node[:2] for node in charged})
        given_up = {n for n in charged if self._counts[n[:2]] > self._borne and len(charged) == 1}
        for task_run in {node[:2] for node in under_way}:
            is_last = self._counts[task_run] + self._open_deaths(task_run) >= max(1, self._borne)
            self.suspects[task_run] = Care.ONE_BY_ONE if is_last else Care.ANNOUNCED
        self._waiting += [
            _Waiting(node, worker, self._counts[node[:2]], now + EXIT_CODE_SECONDS)
            for node in given_up
        ]
        return given_up

    def _open_deaths(self, task_run: TaskRun) -> int:
        return sum(task_run in those for those in self._open)

    def _charge(self, task_runs: Set[TaskRun]) -> None:
        """Lay a death to task runs, and those open ones that may have been through them."""
        for task_run in task_runs:
            self._counts[task_run] += 1 + self._open_deaths(task_run)
        self._open = [those for those in self._open if not those & task_runs]

    @property
    def has_untold(self) -> bool:
        """Whether something is given up of which `take_given_up` has not told yet."""
        return bool(self._waiting)

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
