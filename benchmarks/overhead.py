"""What a task costs beyond its work: ours beside raw Dask, on the same graph, in the same run.

    python benchmarks/overhead.py [--scale 1.0] [--rounds 5] [--only wide,chain,layered] [--json FILE]

Prints µs of wall time per no-op task, the median of alternating rounds, and the ratio ours / raw. Timings are
those of this machine at this moment: trust the ratios. Ours keeps a state for each task, streams the states to a
listener and keeps every result; raw Dask computes the same functions and holds every key.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dask
import dask.multiprocessing
import dask.threaded
import distributed
from dask._task_spec import Task as DaskTask
from dask._task_spec import TaskRef

from prefect_dask import Flow, Task, __version__
from prefect_dask.executors import DaskExecutor, Executor, LocalDaskExecutor, LocalExecutor

#: Task counts at scale 1, so that each measurement takes some seconds on 2 cores.
WIDE, CHAIN, LAYERED = 10_000, 1_000, (20, 100, 3)

#: Clusters and processes cost a hundred times more a task; there the graphs are smaller by this.
CLUSTER_SHARE = 0.2

Shape = list[list[int]]


class Noop(Task):
    """Does nothing, and takes no argument: all its upstream edges carry states alone."""

    def run(self) -> None:
        return None


def noop(*_: object) -> None:
    """The same for raw Dask."""


def wide(scale: float) -> Shape:
    """n independent tasks and one that waits for all."""
    count = int(WIDE * scale)
    return [[] for _ in range(count)] + [list(range(count))]


def chain(scale: float) -> Shape:
    """n tasks, each after the one before."""
    return [[i - 1] if i else [] for i in range(int(CHAIN * scale))]


def layered(scale: float) -> Shape:
    """Layers of tasks, each of which waits for some random ones of the layer before."""
    layers, width, degree = LAYERED
    width = max(degree, int(width * scale))
    draw = random.Random(0)
    shape: Shape = [[] for _ in range(width)]
    for layer in range(1, layers):
        before = range((layer - 1) * width, layer * width)
        shape += [draw.sample(before, degree) for _ in range(width)]
    return shape


def as_flow(shape: Shape) -> Flow:
    """The shape as a flow of no-ops."""
    tasks = [Noop(name=f"noop-{min(len(up), 1)}") for up in shape]
    flow = Flow("overhead", tasks=tasks)
    for task, upstream in zip(tasks, shape, strict=True):
        for index in upstream:
            flow.add_edge(tasks[index], task, validate=False)
    return flow


def as_dask(shape: Shape) -> dict[tuple[str, int], DaskTask]:
    """The shape as a Dask graph of no-ops, under new keys."""
    name = f"noop-{uuid.uuid4().hex}"
    return {
        (name, i): DaskTask((name, i), noop, *[TaskRef((name, above)) for above in upstream])
        for i, upstream in enumerate(shape)
    }


@dataclass(frozen=True)
class Place:
    """Where both are run: our executor, raw Dask's scheduler, and how large the graphs are."""

    name: str
    executor: Executor
    raw: Callable[[dict[tuple[str, int], DaskTask]], object]
    share: float = 1.0


@contextmanager
def places() -> Iterator[list[Place]]:
    """All executors; the cluster has 2 worker processes of 1 thread, with Dask's default settings."""
    local = [
        Place("this thread", LocalExecutor(), lambda dsk: dask.get(dsk, list(dsk))),
        Place(
            "2 threads",
            LocalDaskExecutor("threads", num_workers=2),
            lambda dsk: dask.threaded.get(dsk, list(dsk), num_workers=2),
        ),
        Place(
            "2 processes",
            LocalDaskExecutor("processes", num_workers=2),
            lambda dsk: dask.multiprocessing.get(dsk, list(dsk), num_workers=2),
            share=CLUSTER_SHARE,
        ),
    ]
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):

        def raw(dsk: dict[tuple[str, int], DaskTask]) -> None:
            futures = client.get(dsk, list(dsk), sync=False)
            distributed.wait(futures)

        yield [*local, Place("cluster 2 × 1", DaskExecutor(), raw, share=CLUSTER_SHARE)]


def measure(place: Place, shape: Shape, rounds: int) -> tuple[float, float]:
    """Seconds of wall time of ours and of raw Dask, medians of alternating rounds after one to warm up."""
    flow = as_flow(shape)
    ours, raw = [], []
    for _ in range(rounds + 1):
        heard: list[object] = []
        start = time.perf_counter()
        state = flow.run(executor=place.executor, on_state=heard.extend)
        ours.append(time.perf_counter() - start)
        if not state.is_successful():
            raise SystemExit(f"the flow failed on {place.name}: {state}")
        if len(heard) < 2 * len(shape):
            raise SystemExit(f"{place.name}: {len(heard)} records for {len(shape)} tasks")
        dsk = as_dask(shape)
        start = time.perf_counter()
        place.raw(dsk)
        raw.append(time.perf_counter() - start)
    return statistics.median(ours[1:]), statistics.median(raw[1:])


def main() -> int:
    """Measure, print, write."""
    shapes = {"wide": wide, "chain": chain, "layered": layered}
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="size of the graphs (1.0)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds a measurement (5)")
    parser.add_argument("--only", default=",".join(shapes), help="shapes, with commas")
    parser.add_argument("--json", help="write the figures to this file, too")
    options = parser.parse_args()
    rows = []
    print(
        f"prefect_dask {__version__}, dask {dask.__version__}, Python {platform.python_version()}, "
        f"µs of wall time per no-op task, median of {options.rounds}"
    )
    print(f"{'graph':>8} {'where':>14} {'tasks':>7} {'ours':>9} {'raw Dask':>9} {'ratio':>6}")
    with places() as everywhere:
        for name in options.only.split(","):
            for place in everywhere:
                shape = shapes[name](options.scale * place.share)
                ours, raw = (
                    seconds / len(shape) * 1e6 for seconds in measure(place, shape, options.rounds)
                )
                print(
                    f"{name:>8} {place.name:>14} {len(shape):>7} {ours:>9.1f} {raw:>9.1f} "
                    f"{ours / raw:>6.2f}",
                    flush=True,
                )
                rows.append(
                    {
                        "graph": name,
                        "where": place.name,
                        "tasks": len(shape),
                        "ours_us": round(ours, 1),
                        "raw_us": round(raw, 1),
                        "ratio": round(ours / raw, 3),
                    }
                )
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(
                {"python": sys.version, "dask": dask.__version__, "rows": rows}, file, indent=1
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
