"""How large a map may be: wall time and memory of large, nested and reduced maps.

    python benchmarks/mapping.py [--where local|threads|cluster] [--share 1.0] [--batch 100]

Prints µs of wall time per child, and what the coordinating process's memory grew by, MiB. The sizes are those that
must work: a map of 50,000, 200 lists of 200 items flattened, and a reduce over 10,000.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import psutil

from prefect_dask import Flow, Parameter, flatten, task
from prefect_dask.executors import DaskExecutor, Executor, LocalDaskExecutor, LocalExecutor


@task
def numbers(count: int) -> list[int]:
    """A list whose length is known only when the flow runs."""
    return list(range(count))


@task
def rows(count: int) -> list[list[int]]:
    """As many lists as items in each."""
    return [list(range(count))] * count


@task
def same(x: Any) -> Any:
    """Does nothing."""
    return x


@task
def total(xs: list[int]) -> int:
    """The reduce."""
    return sum(xs)


def wide(batch: int | None) -> Flow:
    """One map, nothing below it."""
    with Flow("wide") as flow:
        same.map(numbers(Parameter("count")), batch=batch)
    return flow


def nested(batch: int | None) -> Flow:
    """A map of lists, and a map over the items of all of them."""
    with Flow("nested") as flow:
        same.map(flatten(same.map(rows(Parameter("count")), batch=batch)), batch=batch)
    return flow


def reduced(batch: int | None) -> Flow:
    """A map and the sum of it."""
    with Flow("reduced") as flow:
        total(same.map(numbers(Parameter("count")), batch=batch))
    return flow


#: The flow, its parameter, and how many children that makes.
SIZES = [
    (wide, 50_000, lambda count: count),
    (nested, 200, lambda count: count * count),
    (reduced, 10_000, lambda count: count),
]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--where", choices=["local", "threads", "cluster"], default="local")
    parser.add_argument("--share", type=float, default=1.0, help="share of the sizes (1.0)")
    parser.add_argument("--batch", type=int, help="children a Dask task, on a cluster")
    options = parser.parse_args()
    executors: dict[str, Executor] = {
        "local": LocalExecutor(),
        "threads": LocalDaskExecutor("threads", num_workers=2),
        "cluster": DaskExecutor(cluster_kwargs={"n_workers": 2, "threads_per_worker": 1}),
    }
    executor = executors[options.where]
    process = psutil.Process()
    print(f"{'map':>8} {'children':>9} {'µs/child':>9} {'MiB':>6}")
    with executor.start():
        for build, size, children in SIZES:
            count = max(1, int(size * options.share))
            flow, before = build(options.batch), process.memory_info().rss
            start = time.perf_counter()
            state = flow.run(executor=executor, count=count)
            seconds = time.perf_counter() - start
            if not state.is_successful():
                raise SystemExit(f"{flow.name}: {state}")
            grown = (process.memory_info().rss - before) / 2**20
            width = children(count)
            print(
                f"{flow.name:>8} {width:>9} {seconds / width * 1e6:>9.1f} {grown:>6.0f}", flush=True
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
