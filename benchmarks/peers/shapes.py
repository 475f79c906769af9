"""The work that every system is given: graphs of no-ops, as lists of the indices above each task.

`wide`, `chain` and `layered` are those of `benchmarks/overhead.py`; a system that costs 100 ms a task gets the same
shapes with fewer tasks.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Shape = list[list[int]]
"""For each task the indices of the tasks that it waits for, all of them smaller than its own."""

Body = Callable[..., None]
"""What a task does; what comes from above is given to it, and is not looked at."""

WORK_COUNT, WORK_SECONDS = 64, 0.05


def wide(most: int) -> Shape:
    """n independent tasks and one that waits for all."""
    count = min(10_000, most)
    return [[] for _ in range(count)] + [list(range(count))]


def chain(most: int) -> Shape:
    """n tasks, each after the one before."""
    return [[i - 1] if i else [] for i in range(min(1_000, most))]


def tree(most: int) -> Shape:
    """Leaves, and pairs of them, and pairs of these, down to one.

    Example:
        >>> tree(8)
        [[], [], [], [], [0, 1], [2, 3], [4, 5]]
    """
    leaves = 4_096
    while leaves > 1 and 2 * leaves - 1 > most:
        leaves //= 2
    shape: Shape = [[] for _ in range(leaves)]
    for pair in range(leaves - 1):
        shape.append([2 * pair, 2 * pair + 1])
    return shape


def layered(most: int) -> Shape:
    """20 layers of up to 100 tasks, each of which waits for 3 random ones of the layer before."""
    import random  # not at the top: it takes a tenth of the time of a hello-world

    layers, width, degree = 20, 100, 3
    width = max(degree, min(width, most // layers))
    draw = random.Random(0)
    shape: Shape = [[] for _ in range(width)]
    for layer in range(1, layers):
        before = range((layer - 1) * width, layer * width)
        shape += [draw.sample(before, degree) for _ in range(width)]
    return shape


GRAPHS: dict[str, Callable[[int], Shape]] = {
    "wide": wide,
    "chain": chain,
    "tree": tree,
    "layered": layered,
}


def map_width(most: int) -> int:
    """How many children the map over a list has that is made at run time."""
    return min(10_000, most)


def work() -> Shape:
    """64 tasks of 50 ms and one that waits for all."""
    return wide(WORK_COUNT)


def noop(*_: object) -> None:
    """Nothing."""


def spin(*_: object) -> None:
    """50 ms of a core, in pure Python, as its thread's clock counts them: more threads do not make it shorter."""
    end = time.thread_time() + WORK_SECONDS
    while time.thread_time() < end:
        pass


def greet(*_: object) -> None:
    """What a hello-world does."""
    print("hello, world")
