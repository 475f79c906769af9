"""How long does a picture of a large flow take, coloured by a run, from the call to the SVG?

The flow is described anew each time, as when it was just written; GraphViz is whichever there is.
"""

from __future__ import annotations

import statistics
import time

from benchmarks.core.options import Options, Questions
from benchmarks.core.rows import Bar, Row
from benchmarks.core.running import WrongRun
from benchmarks.core.shapes import Shape, as_flow, chain, layered, tree, wide
from prefect_dask.executors import LocalExecutor

#: Seconds that a picture of 5,000 tasks may take.
BAR = Bar(5, of="ours", below=True)


def drawn(work: str, shape: Shape, options: Options) -> Row:
    """A row: seconds of wall time a picture, the median of the rounds; how much is in it is in the JSON."""
    flow = as_flow(shape)
    state = flow.run(executor=LocalExecutor(), ledger="none")
    taken: list[float] = []
    for _ in range(options.rounds + 1):
        anew = flow.copy()
        begun = time.perf_counter()
        picture = anew.visualize(state)
        taken.append(time.perf_counter() - begun)
        if "</svg>" not in picture.svg or len(picture.diagram.box_of) != len(flow.tasks):
            raise WrongRun(f"flow {flow.name!r}: {picture}")
    boxes, arrows = len(picture.diagram.boxes), len(picture.diagram.arrows)
    return Row(
        f"picture, {work}: {boxes} boxes",
        "s",
        statistics.median(taken[1:]),
        None,
        BAR,
        len(flow.tasks),
        notes={"boxes": boxes, "arrows": arrows, "svg_bytes": len(picture.svg)},
    )


def pictures(options: Options) -> list[Row]:
    """Each shape with 5,000 tasks."""
    width = options.size(250)
    return [
        drawn("20 layers", layered(20, width), options),
        drawn("layers of 10", layered(options.size(500), 10), options),
        drawn("wide", wide(options.size(5_000)), options),
        drawn("chain", chain(options.size(5_000)), options),
        drawn("tree", tree(options.size(2_500)), options),
    ]


QUESTIONS: Questions = {"pictures": pictures}
