"""Does a task cost more where there are more of them? Wide, chained and layered graphs of growing size.

    python -m benchmarks.growth [--scale 1.0] [--rounds 3] [--only wide,chain,layered] [--json FILE] [--plot FILE]

Prints µs of wall time a task and writes them as JSON and as a page with a plot for each shape. Each line is held to
this: at its largest size a task costs at most 1.25 times as much as at the size before. (At the smallest one it may
cost more: what a run costs by itself is shared out over few.)
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
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
    for (shape, where, whose), line in lines_of(points).items():
        if whose == "ours":
            grown = line[-1].cost / line[-2].cost
            met = "yes" if grown <= GROWTH else "NO"
            print(f"{shape}, {where}: {grown:.2f}× at {line[-1].tasks:,} tasks, ≤ {GROWTH}× {met}")
    print(f"{chosen.plot}, {chosen.json}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
