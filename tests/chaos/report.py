"""Running a seed, and what is printed where a promise was broken."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.chaos.checks import check_all
from tests.chaos.disturbed import Disturbed
from tests.chaos.plan import Case, Fault


class Outcome(NamedTuple):
    """How a case came out that kept all promises.

    Attributes:
        told: What happened, for people.
        missed: The faults that did not happen.
    """

    told: list[str]
    missed: list[Fault]


def run_case(
    case: Case,
    *,
    limit_seconds: float,
    folder: Path | None = None,
    check: Callable[[Disturbed], None] = check_all,
) -> Outcome:
    """Run a case and check it.

    Args:
        case: The case.
        limit_seconds: How long it may take.
        folder: Where its files stay; None where they go when it is over.
        check: What must hold when the run is over; raises where it does not.

    Raises:
        AssertionError: A promise was broken; the message has the case, what happened, and what was recorded.
    """
    made = folder is None
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="prefect-dask-chaos-"))
    disturbed = Disturbed(case, folder, limit_seconds)
    try:
        disturbed.run()
        check(disturbed)
        return Outcome(disturbed.told, disturbed.missed())
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}\n{story_of(disturbed)}") from error
    finally:
        disturbed.close()
        if made:
            shutil.rmtree(folder, ignore_errors=True)


def story_of(disturbed: Disturbed) -> str:
    """The case, what happened, which bodies ran, and what was recorded."""
    seed = disturbed.case.seed
    again = "the test that made it up" if seed is None else f"python -m tests.chaos --seed {seed}"
    lines = [str(disturbed.case), f"again: {again}"]
    lines += ["what happened:", *(f"    {each}" for each in disturbed.told)]
    lines.append("bodies: epoch, task run, attempt, process, when (s)")
    bodies = disturbed.traces.bodies()
    for body in bodies:
        each = body.execution
        began = (each.time_ns - bodies[0].execution.time_ns) / 1e9
        ended = "" if body.ended_ns is None else f"{(body.ended_ns - each.time_ns) / 1e9:.3f} long"
        lines.append(
            f"    {body.epoch} {each.task}[{each.map_index}] {each.attempt} {each.pid} {began:.3f} {ended}"
        )
    try:
        lines += recorded(disturbed)
    except Exception as error:
        lines.append(f"the ledger cannot be read: {error!r}")
    return "\n".join(lines)


def recorded(disturbed: Disturbed) -> list[str]:
    """The recorded history."""
    ledger, run_id = disturbed.opened_ledger(), disturbed.run_id()
    if run_id is None:
        return ["nothing is recorded"]
    stored = {(each.number, each.task, each.map_index) for each in ledger.results(run_id)}
    lines = ["recorded:"]
    for state in ledger.states(run_id):
        is_stored = (state.number, state.task, state.map_index) in stored
        lines.append(
            f"    {state.number} {state.time:%S.%f} {state.task_name or '(flow)'}[{state.map_index}] "
            f"{state.attempt} {state.state}{' stored' * is_stored} {state.message or ''} {state.worker}"
        )
    lines += [
        f"    {e.number} {e.time:%S.%f} {e.kind} {e.worker}" for e in ledger.cluster_events(run_id)
    ]
    for line in ledger.logs(run_id):
        lines.append(f"    {line.number} {line.time:%S.%f} {line.level} {line.message}")
    return lines
