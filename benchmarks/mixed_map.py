"""What if a few items are slow and nobody knows which? A map of 10,000: 1 % take 100 ms, the rest 0.1 ms.

Batches must not hide fast items behind slow ones. Each body writes down when it began and ended, in which worker
and under which Dask key (which is: in which node). An item's wait behind slow ones is the longer of

- **in its node**: from the begin of the first slow body that ran before it in the same node until it began;
- **beside an idle worker**: the longest stretch in which the other worker ran nothing, though the item had not
  begun and later ran on a worker that was in a slow body in that stretch.

Waiting while every worker is busy is nobody's fault and does not count, unless it is in a node with a slow item:
those could have been cut off and given to whoever is free first.
"""

from __future__ import annotations

import random
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import permutations
from typing import NamedTuple

import distributed

from benchmarks.core.options import Options, Questions
from benchmarks.core.places import WORKERS, cluster, settle
from benchmarks.core.rows import Bar, Row
from benchmarks.core.running import alternate, per_task, run_flow
from prefect_dask import Flow, Parameter, task
from prefect_dask.executors import DaskExecutor

SLOW_SHARE, SLOW_SECONDS, FAST_SECONDS = 0.01, 0.1, 0.0001


class Body(NamedTuple):
    """One item's body: whether it is a slow one, when it ran (seconds since the epoch), and where."""

    is_slow: bool
    begun: float
    ended: float
    worker: str
    node: str


def durations(count: int) -> list[float]:
    """How long each item takes, seconds; the same each time."""
    slow = set(random.Random(0).sample(range(count), max(1, int(count * SLOW_SHARE))))
    return [SLOW_SECONDS if i in slow else FAST_SECONDS for i in range(count)]


def body(seconds: float) -> Body:
    """Holds its thread for so long."""
    begun = time.time()
    if seconds >= SLOW_SECONDS:
        time.sleep(seconds)
    while time.time() - begun < seconds:  # a sleep of 0.1 ms takes twice that
        pass
    ended, worker = time.time(), distributed.get_worker()
    return Body(
        seconds >= SLOW_SECONDS, begun, ended, worker.address, str(worker.get_current_task())
    )


def longest_wait(bodies: Sequence[Body]) -> float:
    """The longest that an item waited behind slow ones, seconds, as this module defines it.

    Example:
        >>> slow = Body(True, 0.0, 3.0, "w1", "a")
        >>> longest_wait([slow, Body(False, 3.0, 3.1, "w1", "a")])
        3.0
        >>> after = Body(False, 3.0, 3.1, "w1", "b")
        >>> longest_wait([slow, after, Body(False, 0.0, 2.0, "w2", "c")])  # w2 was idle from 2.0 on
        1.0
        >>> longest_wait([slow, after, Body(False, 0.0, 3.0, "w2", "c")])
        0.0
    """
    return max(_in_its_node(bodies), _beside_an_idle_worker(bodies))


def _in_its_node(bodies: Sequence[Body]) -> float:
    first_slow: dict[str, float] = {}
    longest = 0.0
    for each in sorted(bodies, key=lambda b: b.begun):
        if each.node in first_slow:
            longest = max(longest, each.begun - first_slow[each.node])
        if each.is_slow:
            first_slow.setdefault(each.node, each.begun)
    return longest


def _beside_an_idle_worker(bodies: Sequence[Body]) -> float:
    by_worker: dict[str, list[Body]] = defaultdict(list)
    for each in sorted(bodies, key=lambda b: b.begun):
        by_worker[each.worker].append(each)
    while len(by_worker) < WORKERS:
        by_worker[f"idle {len(by_worker)}"] = []  # one that ran nothing is idle all the time
    first = min(each.begun for each in bodies)
    longest = 0.0
    for idle, busy in permutations(by_worker.values(), 2):
        if not busy:
            continue
        last = busy[-1].begun
        slow = [(b.begun, b.ended) for b in busy if b.is_slow]
        for begin, end in _idle(idle, first, last):
            stretch = min(end, last) - begin
            if stretch > longest and _meets(slow, begin, begin + stretch):
                longest = stretch
    return longest


def _idle(bodies: list[Body], first: float, last: float) -> list[tuple[float, float]]:
    """The stretches from `first` to `last` in which a worker ran none of its bodies, given in order."""
    stretches, at = [], first
    for each in bodies:
        if each.begun > at:
            stretches.append((at, each.begun))
        at = max(at, each.ended)
    return [*stretches, (at, last)] if at < last else stretches


def _meets(spans: list[tuple[float, float]], begin: float, end: float) -> bool:
    """Whether one of the spans, in order and apart, lies in part between `begin` and `end`."""
    i = bisect_left(spans, (end, end)) - 1
    return i >= 0 and spans[i][1] > begin


def mixed(options: Options) -> list[Row]:
    """A cluster, beside `Client.map` with each key held; then the longest wait of any round."""
    count = options.size(10_000)
    items = durations(count)
    with Flow("mixed map") as flow:
        mapped = task(body).map(Parameter("items"))
    waits: tuple[list[float], list[float]] = ([], [])
    with cluster(options) as client:

        def ours() -> float:
            seconds, state = run_flow(flow, DaskExecutor(), count, items=items)
            waits[0].append(longest_wait(state.result[mapped].result))
            return seconds

        def raw() -> float:
            begun = time.perf_counter()
            held = client.map(body, items, pure=False)
            distributed.wait(held)
            seconds = time.perf_counter() - begun
            waits[1].append(longest_wait(client.gather(held)))
            return seconds

        seconds = alternate(options, ours, raw, partial(settle, client))
    return [
        per_task("mixed map, cluster", count, seconds, Bar(0.3)),
        Row(
            "mixed map: longest wait behind a slow item",
            "s",
            max(waits[0][1:]),
            max(waits[1][1:]),
            Bar(1.0, of="ours"),
            count,
        ),
    ]


QUESTIONS: Questions = {"mixed-map": mixed}
