"""What can go wrong with a ledger: each error names the ledger and the way out."""

from __future__ import annotations

from collections.abc import Sequence

from prefect_dask.engine.errors import PrefectDaskError, nearest


class LedgerRefused(PrefectDaskError):
    """A ledger cannot be used as it is; no task has run."""


class NoLedgerThere(LedgerRefused, ValueError):
    """What was given as a ledger names none."""

    def __init__(self, given: str, reason: str) -> None:
        super().__init__(
            f"{given!r} names no ledger: {reason}; give the path of a file, a URL such as "
            f"'postgresql://user@host/database', ':memory:', or 'none'"
        )
        self.given, self.reason = given, reason


class NothingRecorded(PrefectDaskError, LookupError):
    """Who only reads found no ledger in its place."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f"there is no ledger {place}: nothing was recorded there; look at its name, or record a run with "
            f"flow.run(ledger=…)"
        )
        self.place = place

    def __reduce__(self) -> tuple[type[NothingRecorded], tuple[str]]:
        return type(self), (self.place,)


class LedgerTooNew(LedgerRefused):
    """The tables were made by a later version of this package."""

    def __init__(self, place: str, found: int, known: int) -> None:
        super().__init__(
            f"the ledger {place} has version {found} of the tables, and this prefect_dask knows up to {known}; "
            f"upgrade prefect_dask, or set PREFECT_LEDGER_URL to another ledger; that later prefect_dask can bring "
            f"this one down with `prefect-dask database downgrade {known}`"
        )
        self.place, self.found, self.known = place, found, known


class CannotGoDown(LedgerRefused):
    """The tables cannot be brought to an earlier version; nothing was changed."""

    def __init__(self, place: str, version: int, why: str) -> None:
        super().__init__(
            f"the ledger {place} cannot be brought down to version {version} of the tables: {why}; nothing was "
            f"changed"
        )
        self.place, self.version, self.why = place, version, why


class NotALedger(LedgerRefused):
    """There is something else in the ledger's place."""

    def __init__(self, place: str, what: str) -> None:
        super().__init__(
            f"{place} is no ledger: {what}; move it away, or set PREFECT_LEDGER_URL to another place"
        )
        self.place, self.what = place, what


class DatabaseTooOld(LedgerRefused):
    """The library or server lacks what the ledger needs."""

    def __init__(self, what: str, found: str, needed: str) -> None:
        super().__init__(
            f"the ledger needs {what} {needed} or newer, and this is {found}; upgrade it, or set "
            f"PREFECT_LEDGER_URL to another ledger"
        )
        self.what, self.found, self.needed = what, found, needed


class LedgerDamaged(LedgerRefused):
    """The file is a ledger, and cannot be read."""

    def __init__(self, place: str, cause: str) -> None:
        super().__init__(
            f"the ledger {place} is damaged: {cause}; nothing was written to it. `sqlite3 {place} .recover` "
            f"prints what can be saved; move the file away, or set PREFECT_LEDGER_URL to another ledger"
        )
        self.place, self.cause = place, cause


class LedgerAway(PrefectDaskError):
    """The ledger cannot be written or read now: it may be so later."""

    def __init__(self, place: str, cause: str) -> None:
        super().__init__(f"the ledger {place} cannot be reached: {cause}")
        self.place, self.cause = place, cause


class NotRecorded(PrefectDaskError):
    """What happens in a run can be written neither to the ledger nor to the journal."""

    def __init__(self, place: str, cause: str, journal: str, journal_cause: str) -> None:
        super().__init__(
            f"the run cannot be recorded: the ledger {place} cannot be written ({cause}), and neither can the "
            f"journal {journal} ({journal_cause}); make room, or run with ledger='none'"
        )
        self.place, self.cause = place, cause
        self.journal, self.journal_cause = journal, journal_cause


class Superseded(PrefectDaskError):
    """Another process has taken the run over; nothing that this one says of it counts."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"flow run {run_id} was taken over by another process; what it came to stands in the ledger"
        )
        self.run_id = run_id


class UnknownRun(PrefectDaskError, LookupError):
    """The ledger holds no such flow run, or several that begin so; `near` are the ids that may be meant."""

    def __init__(self, run_id: str, place: str, near: Sequence[str] = ()) -> None:
        if any(run_id and each.startswith(run_id) for each in near):
            told = f"holds several flow runs that begin with {run_id!r}: {', '.join(near)}, …"
        elif near:
            told = f"holds no flow run {run_id!r}; the nearest are {', '.join(near)}"
        else:
            told = f"holds no flow run {run_id!r}; `prefect-dask runs ls` or Ledger.flow_runs() lists those there"
        super().__init__(f"the ledger {place} {told}")
        self.run_id, self.place, self.near = run_id, place, list(near)


class NoRunId(PrefectDaskError, TypeError):
    """A flow run is asked for by something that is no id."""

    def __init__(self, given: object) -> None:
        self.given = type(given).__name__
        super().__init__(
            f"a flow run is asked for by its id, which is a text, not by a {self.given}; of a recorded run or a "
            f"handle that is .run_id"
        )


class RunAlive(PrefectDaskError):
    """A run is to be taken up again, and the process that coordinates it is there."""

    def __init__(self, run_id: str, coordinator: str) -> None:
        super().__init__(
            f"flow run {run_id} is coordinated by {coordinator} (host:process:thread), which is alive; end that "
            f"process first, or wait until its lease has run out"
        )
        self.run_id, self.coordinator = run_id, coordinator


class RunSucceeded(PrefectDaskError):
    """A run is to be taken up again that came to Success."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"flow run {run_id} came to Success, and nothing of it is left to be done; flow.run() begins a new run"
        )
        self.run_id = run_id


class UnknownRecordedTask(PrefectDaskError, LookupError):
    """A recorded flow holds no such task, or several."""

    def __init__(
        self, flow: str, task: str, slugs: Sequence[str], *, is_ambiguous: bool = False
    ) -> None:
        super().__init__(
            f"flow {flow!r} had several tasks {task!r}; say which by its slug: {', '.join(slugs[:20])}"
            if is_ambiguous
            else f"flow {flow!r} had no task {task!r} when it ran; {nearest(task, slugs)}"
        )
        self.flow, self.task, self.slugs, self.is_ambiguous = flow, task, list(slugs), is_ambiguous


class UnknownTaskRun(PrefectDaskError, LookupError):
    """A recorded flow run holds no such task run."""

    def __init__(self, run_id: str, task: str, reason: str) -> None:
        super().__init__(f"flow run {run_id}: task {task!r} {reason}")
        self.run_id, self.task, self.reason = run_id, task, reason
