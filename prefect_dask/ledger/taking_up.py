"""A recorded run, taken up again by this process."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from prefect_dask.engine import clock
from prefect_dask.engine.steering import Steering
from prefect_dask.ledger.configured import journal_folder
from prefect_dask.ledger.errors import RunAlive, RunSucceeded
from prefect_dask.ledger.facts import RecordedFlow, RecordedFlowRun
from prefect_dask.ledger.leases import lease_seconds, take_over
from prefect_dask.ledger.ledger import Ledger
from prefect_dask.ledger.processes import name_of_holder
from prefect_dask.ledger.recording import Recording, coordinator_name
from prefect_dask.ledger.writer import writer_for


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run, and what is kept of it beside its record.

    Attributes:
        run: The run.
        flow: The flow as it was then.
        fence: Under which its last process wrote.
        pickled: Its parameters; None where they were not kept.
        origin: The file with the flow; None where it was made in none.
        durable: Which results it keeps; None where that was not recorded.
    """

    run: RecordedFlowRun
    flow: RecordedFlow
    fence: int
    pickled: bytes | None
    origin: str | None
    durable: bool | Literal["auto"] | None

    def parameters(self) -> Mapping[str, Any] | None:
        """The parameters as they were given, by unpickling them; None where they were not kept."""
        if self.pickled is None:
            return None
        values: Mapping[str, Any] = pickle.loads(self.pickled)
        return values


def find_run(ledger: Ledger, run_id: str) -> FoundRun:
    """What is known of a run.

    Raises:
        UnknownRun: There is none, or several begin like this.
    """
    run = ledger.flow_run(run_id)
    with ledger.opened() as store:
        [(fence, pickled, origin, durable)] = store.ask("kept_of_run", (run.key,))
    kept = None if pickled is None else bytes(pickled)
    policy = None if durable is None else json.loads(durable)
    return FoundRun(run, ledger.flow(run.run_id), int(fence), kept, origin, policy)


def find_resumable(ledger: Ledger, run_id: str) -> FoundRun:
    """What is known of a run that may be taken up again.

    Raises:
        UnknownRun: There is none, or several begin like this.
        RunSucceeded: Nothing is left to be done.
        RunAlive: Another process is at it.
    """
    found = find_run(ledger, run_id)
    run = found.run
    if run.state == "Success":
        raise RunSucceeded(run.run_id)
    if run.is_alive:
        raise RunAlive(run.run_id, run.coordinator)
    return found


def take_up(ledger: Ledger, found: FoundRun, steering: Steering) -> Recording:
    """Make a run this process's.

    Args:
        ledger: Where it is recorded.
        found: The run.
        steering: Is told what is asked of it from now on.

    Returns:
        What records it as it goes on. What its process before still had to say is written by now, or will never be.

    Raises:
        RunAlive: Another process was faster.
    """
    run = found.run
    holder = name_of_holder(clock.monotonic() + lease_seconds())
    with ledger.opened() as store:
        taken = take_over(store, run.key, found.fence, clock.now(), holder, coordinator_name())
    if taken is None:
        raise RunAlive(run.run_id, ledger.flow_run(run.run_id).coordinator)
    fence, first_number = taken
    writer = writer_for(ledger.place, journal_folder())
    return Recording(writer, fence=fence, first_number=first_number, steering=steering)
