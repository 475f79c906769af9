"""Does a task cost more where there are more of them? Wide, chained and layered graphs of growing size.

    python -m benchmarks.growth [--scale 1.0] [--rounds 3] [--only wide,chain,layered] [--json FILE] [--plot FILE]

Prints µs of wall time a task and writes them as JSON and as a page with a plot for each shape. Each line of ours is
held to this: from one size to the next a task becomes dearer by a fourth at most. (That it becomes cheaper is fine:
at the smallest size, what a run costs by itself is shared out over few.) Ends with 1 where that is not so.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from bokeh.layouts import row
from bokeh.palettes import Category10
from bokeh.plotting import figure, output_file, save

from benchmarks.core.graphs import Where, place, seconds_of
from benchmarks.core.machine import facts
from benchmarks.core.options import Options
from benchmarks.core.shapes import Shape, chain, layered, wide

#: How much dearer a task may be than at the size before.
GROWTH = 1.25

WHERE: tuple[Where, ...] = ("this thread", "threads", "cluster")


class Sizes(NamedTuple):
    """A shape, and the sizes it is given: tasks, or layers of 100."""

    make: Callable[[int], Shape]
    sizes: tuple[int, ...]
    on_cluster: tuple[int, ...]


SHAPES = {
    "wide": Sizes(wide, (1_000, 10_000, 100_000), (1_000, 10_000, 100_000)),
    "chain": Sizes(chain, (100, 1_000, 10_000), (10, 100, 1_000)),
    "layered": Sizes(lambda layers: layered(layers, 100), (2, 20, 200), (2, 20, 100)),
}


class Point(NamedTuple):
    """One size of one line of the plot: the median cost of a task, µs."""

    shape: str
    where: str
    whose: str
    tasks: int
    cost: float


def measure(
    names: list[str], options: Options, *, everywhere: Sequence[Where] = WHERE
) -> Iterator[Point]:
    """The points of all lines, one after the other."""
    for name in names:
        shape = SHAPES[name]
        for where in everywhere:
            with place(where, options) as at:
                for full in shape.on_cluster if where == "cluster" else shape.sizes:
                    made = shape.make(options.size(full, least=3))
                    taken = seconds_of(made, at, options)
                    for whose, seconds in zip(("ours", "raw Dask"), taken, strict=True):
                        cost = statistics.median(seconds) / len(made) * 1e6
                        yield Point(name, where, whose, len(made), round(cost, 1))


def lines_of(points: list[Point]) -> dict[tuple[str, str, str], list[Point]]:
    """The points of each line, by (shape, where, whose)."""
    lines: dict[tuple[str, str, str], list[Point]] = {}
    for point in points:
        lines.setdefault((point.shape, point.where, point.whose), []).append(point)
    return lines


class Growth(NamedTuple):
    """What becomes of the cost of a task from one size of a line to the next.

    Attributes:
        shape: The line's.
        where: The line's.
        tasks: The sizes before and after.
        times: How many times as dear a task is afterwards.
        times_raw: The same of raw Dask: what the machine's caches add is in both.
    """

    shape: str
    where: str
    tasks: tuple[int, int]
    times: float
    times_raw: float

    @property
    def is_met(self) -> bool:
        return self.times <= GROWTH

    def __str__(self) -> str:
        before, after = self.tasks
        step = f"{self.times:.2f}× from {before:,} to {after:,} tasks"
        met = "yes" if self.is_met else "NO"
        return f"{self.shape}, {self.where}: {step}, ≤ {GROWTH}× {met} (raw Dask: {self.times_raw:.2f}×)"


def growth_of(points: list[Point]) -> list[Growth]:
    """How the cost of a task of ours grows, at each step of each line.

    Example:
        >>> mine = [(1_000, 8.0), (10_000, 11.0), (100_000, 12.0)]
        >>> theirs = [(1_000, 10.0), (10_000, 20.0), (100_000, 30.0)]
        >>> points = [Point("wide", "threads", "ours", *cost) for cost in mine]
        >>> points += [Point("wide", "threads", "raw Dask", *cost) for cost in theirs]
        >>> for each in growth_of(points):
        ...     print(each)
        wide, threads: 1.38× from 1,000 to 10,000 tasks, ≤ 1.25× NO (raw Dask: 2.00×)
        wide, threads: 1.09× from 10,000 to 100,000 tasks, ≤ 1.25× yes (raw Dask: 1.50×)
    """
    lines = lines_of(points)
    return [
        Growth(
            shape,
            where,
            (before.tasks, after.tasks),
            after.cost / before.cost,
            raw_after.cost / raw_before.cost,
        )
        for (shape, where, whose), line in lines.items()
        if whose == "ours"
        for (before, after), (raw_before, raw_after) in zip(
            pairwise(line), pairwise(lines[shape, where, "raw Dask"]), strict=True
        )
    ]


def judge(points: list[Point]) -> int:
    """Print how the costs grow; 0 where that is as it should be, else 1."""
    grown = growth_of(points)
    for each in grown:
        print(each)
    return 0 if all(each.is_met for each in grown) else 1


def plot(points: list[Point], path: Path, title: str) -> None:
    """A page with a plot for each shape, both axes logarithmic; it needs no network."""
    colours: dict[str, str] = dict(zip(WHERE, Category10[3], strict=True))
    plots = {}
    for (shape, where, whose), line in lines_of(points).items():
        if shape not in plots:
            plots[shape] = figure(
                title=shape,
                x_axis_type="log",
                y_axis_type="log",
                x_axis_label="tasks",
                y_axis_label="µs a task",
                width=480,
                height=420,
            )
        xs, ys = [point.tasks for point in line], [point.cost for point in line]
        style = "solid" if whose == "ours" else "dashed"
        label, colour = f"{where}, {whose}", colours[where]
        plots[shape].line(xs, ys, legend_label=label, color=colour, line_dash=style, width=2)
        plots[shape].scatter(xs, ys, legend_label=label, color=colour, size=6)
    for each in plots.values():
        each.legend.label_text_font_size = "8pt"
        each.legend.ncols = 2
        each.add_layout(each.legend[0], "below")
    output_file(path, title=title, mode="inline")
    save(row(*plots.values()))


def main() -> int:
    """Measure, print, write, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the sizes (1.0)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds a figure (3)")
    parser.add_argument("--only", default=",".join(SHAPES), help="shapes, with commas between")
    parser.add_argument("--json", type=Path, default=Path("bench-growth.json"), metavar="FILE")
    parser.add_argument("--plot", type=Path, default=Path("bench-growth.html"), metavar="FILE")
    chosen = parser.parse_args()
    os.environ.setdefault("PREFECT__LOGGING__LEVEL", "WARNING")
    options = Options(scale=chosen.scale, rounds=chosen.rounds)
    about = {**facts(), "scale": options.scale, "rounds": options.rounds}
    points = []
    print(f"{'graph':>8} {'where':>12} {'whose':>9} {'tasks':>9} {'µs/task':>9}")
    for point in measure(chosen.only.split(","), options):
        points.append(point)
        cost = f"{point.cost:,.1f}"
        print(
            f"{point.shape:>8} {point.where:>12} {point.whose:>9} {point.tasks:>9,} {cost:>9}",
            flush=True,
        )
        table = {**about, "points": [each._asdict() for each in points]}
        chosen.json.write_text(json.dumps(table, indent=1, ensure_ascii=False), encoding="utf-8")
    plot(points, chosen.plot, f"µs a task at commit {about['commit']}")
    print(f"{chosen.plot}, {chosen.json}")
    return judge(points)


if __name__ == "__main__":
    raise SystemExit(main())
