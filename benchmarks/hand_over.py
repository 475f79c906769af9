"""What does handing over a large map cost those in between? What the client sends, and for how long loops are kept.

The scheduler is a process of its own. An event loop that is kept answers nobody meanwhile: no heartbeat, no other
client, no dashboard. Counted is the processor time between two looks at the connections, until nothing is left of
the run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import distributed

from benchmarks.core.loops import Kept, longest_turns
from benchmarks.core.options import Options, Questions
from benchmarks.core.places import cluster_apart, settle
from benchmarks.core.rows import Bar, Row
from benchmarks.core.running import run_flow
from benchmarks.runtime_map import map_flow, map_raw
from prefect_dask.executors import DaskExecutor

WARM_UP = 100

#: Held to this: kB that the client sends, and ms for which a loop is kept.
SENT = Bar(1_000, of="ours")
KEPT = Bar(100, of="ours")


class Cost(NamedTuple):
    """Of one map: kB that the client sent until it was over, and the longest turn of each loop."""

    sent: float
    kept: dict[str, Kept]


def cost(options: Options, run: Callable[[distributed.Client, int], object], count: int) -> Cost:
    """What a map costs, after a small one."""
    with cluster_apart(options) as client:
        run(client, min(WARM_UP, count))
        settle(client)
        before = _sent(client)
        with longest_turns(client) as kept:
            run(client, count)
            sent = _sent(client) - before
            settle(client)
    return Cost(sent / 1e3, kept)


def _sent(client: distributed.Client) -> int:
    comm = client.scheduler_comm
    assert comm is not None
    return int(comm.byte_count)


def ours(batch: int | None) -> Callable[[distributed.Client, int], object]:
    """Runs a map of ours; what it sends is small enough for Dask not to warn of it."""
    flow = map_flow(1, batch=batch)

    def run(_: distributed.Client, count: int) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Sending large graph")
            run_flow(flow, DaskExecutor(), count, count=count)

    return run


def raw(client: distributed.Client, count: int) -> None:
    """Runs the same in raw Dask."""
    map_raw(client, 1, count)


def hand_over(options: Options) -> list[Row]:
    """A map of 100,000 as it comes, and one of 20,000 with one child a node; once each."""
    rows = []
    for full, batch, settings, sent_bar in (
        (100_000, None, "", SENT),
        (20_000, 1, ", batch=1", None),
    ):
        count = options.size(full)
        mine, theirs = cost(options, ours(batch), count), cost(options, raw, count)
        work = f"map of {full:,}{settings}:"
        rows.append(
            Row(f"{work} sent by the client", "kB", mine.sent, theirs.sent, sent_bar, count)
        )
        for loop, turn in mine.kept.items():
            their = theirs.kept[loop]
            notes = {"ours": str(turn), "raw Dask": str(their)}
            what = f"{work} longest turn, {loop}"
            rows.append(
                Row(what, "ms", turn.milliseconds, their.milliseconds, KEPT, count, notes=notes)
            )
    return rows


QUESTIONS: Questions = {"hand-over": hand_over}
