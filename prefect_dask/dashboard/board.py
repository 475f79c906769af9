"""What a scheduler knows of the flow runs on its cluster: reports in, runs to be shown out. No clock, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

#: How long a run is shown after its end, seconds.
KEPT_SECONDS = 600.0

#: So many runs that are over are shown, and so many that go on; those of which something was heard last.
MOST_OVER, MOST_LIVE = 100, 1_000


@dataclass(frozen=True, slots=True)
class FlowRunReport:
    """What a flow run is at, as its coordinating process tells it.

    Attributes:
        client: The Dask client through which the run is on the cluster.
        number: Counts the reports of the run through this client.
        run_id: The run.
        run_name: What the run is called.
        flow_name: The flow.
        state: The run's state, such as "Running".
        message: That state's message.
        is_over: Whether its coordinating process has left it.
        states: How many of its task runs are at which state; those of which nothing was heard are left out.
        done: How many of its task runs are over.
        known: How many there are; more when a map comes to know its width.
        rate: How many are over in a second, of late; None where nobody can say.
        failures: What failed last, the latest last: task run, state, message.
        seconds: Since when it runs.
    """

    client: str
    number: int
    run_id: str
    run_name: str
    flow_name: str
    state: str
    message: str
    is_over: bool
    states: Mapping[str, int]
    done: int
    known: int
    rate: float | None
    failures: Sequence[Sequence[str]]
    seconds: float

    def as_message(self) -> dict[str, Any]:
        """As it travels."""
        return asdict(self)

    @classmethod
    def of_message(cls, message: Mapping[str, Any]) -> FlowRunReport:
        """What `as_message` made.

        Raises:
            KeyError: Something is missing: it comes from another version.
        """
        return cls(**{each.name: message[each.name] for each in fields(cls)})


@dataclass(frozen=True, slots=True)
class ShownRun:
    """A flow run on its cluster, now.

    Attributes:
        report: The last report.
        is_lost: Whether its coordinating process left the cluster before it said that the run is over.
        seconds: How long the run runs, or did.
        silent_seconds: How long an answer of its coordinating process is awaited.
        over_seconds: Since when nothing more comes of it; None while something may.
    """

    report: FlowRunReport
    is_lost: bool
    seconds: float
    silent_seconds: float
    over_seconds: float | None


@dataclass(slots=True)
class _Entry:
    report: FlowRunReport
    heard: float
    asked: float | None = None
    is_lost: bool = False
    over: float | None = field(default=None)


class Board:
    """The flow runs on a cluster: those that go on, and for some minutes those that are over.

    All times are seconds on one clock that does not go back.
    """

    def __init__(self) -> None:
        #: By run, the one of which something was heard last at the end.
        self._entries: dict[str, _Entry] = {}

    def take(self, report: FlowRunReport, at: float) -> None:
        """Note a report; one that was overtaken by a later one is passed over."""
        known = self._entries.get(report.run_id)
        if known is not None:
            before = known.report
            if before.client == report.client and before.number >= report.number:
                return
            del self._entries[report.run_id]
        over = at if report.is_over else None
        self._entries[report.run_id] = _Entry(report, at, over=over)
        self._forget(at)

    def lose(self, client: str, at: float) -> None:
        """Note that a client has left the cluster."""
        for entry in self._entries.values():
            if entry.report.client == client and entry.over is None:
                entry.is_lost, entry.over = True, at
        self._forget(at)

    def ask(self, at: float) -> bool:
        """Note that all runs are asked for a report; returns whether there are any to be asked."""
        live = [entry for entry in self._entries.values() if entry.over is None]
        for entry in live:
            if entry.asked is None:
                entry.asked = at
        return bool(live)

    def runs(self, at: float) -> list[ShownRun]:
        """The runs to be shown: those that go on, the longest first, then those that are over, the latest first."""
        self._forget(at)
        shown = [
            ShownRun(
                entry.report,
                entry.is_lost,
                entry.report.seconds + (0.0 if entry.over is not None else at - entry.heard),
                0.0 if entry.asked is None or entry.over is not None else at - entry.asked,
                None if entry.over is None else at - entry.over,
            )
            for entry in self._entries.values()
        ]
        live = [run for run in shown if run.over_seconds is None]
        over = [run for run in shown if run.over_seconds is not None]
        live.sort(key=lambda run: -run.seconds)
        over.sort(key=lambda run: run.over_seconds or 0.0)
        return live + over

    def _forget(self, at: float) -> None:
        live = [key for key, entry in self._entries.items() if entry.over is None]
        over = [key for key, entry in self._entries.items() if entry.over is not None]
        over.sort(key=lambda key: self._entries[key].over or 0.0)
        old = [key for key in over if at - (self._entries[key].over or 0.0) > KEPT_SECONDS]
        for key in {*old, *over[:-MOST_OVER], *live[:-MOST_LIVE]}:
            del self._entries[key]
