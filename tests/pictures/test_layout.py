"""Where boxes and arrows stand, for whoever draws them otherwise."""

import pytest

from prefect_dask import Flow
from prefect_dask.pictures.diagram import diagram_of
from prefect_dask.pictures.dot import DIRECTIONS
from prefect_dask.pictures.layout import Layout, Place, layout_of
from prefect_dask.pictures.outline import Outline, OutlineEdge, OutlineTask
from tests.pictures.flows import nightly


def apart(one: Place, other: Place) -> bool:
    return (
        abs(one.x - other.x) >= (one.width + other.width) / 2
        or abs(one.y - other.y) >= (one.height + other.height) / 2
    )


def distance(point: tuple[float, float], box: Place) -> float:
    """How far a point is from a box, in points; 0 within it."""
    x = abs(point[0] - box.x) - box.width / 2
    y = abs(point[1] - box.y) - box.height / 2
    return max(x, y, 0)


@pytest.mark.parametrize("rankdir", DIRECTIONS)
def test_boxes_stand_apart_and_arrows_lead_from_one_to_the_other(rankdir):
    diagram = diagram_of(Outline.of_graph(nightly().describe()))

    layout = layout_of(diagram, rankdir)

    assert (len(layout.boxes), len(layout.arrows)) == (len(diagram.boxes), len(diagram.arrows))
    for i, box in enumerate(layout.boxes):
        assert box.x - box.width / 2 >= -1 and box.x + box.width / 2 <= layout.width + 1
        assert box.y - box.height / 2 >= -1 and box.y + box.height / 2 <= layout.height + 1
        assert all(apart(box, other) for other in layout.boxes[i + 1 :])
    along = {"TB": (0, 1), "BT": (0, -1), "LR": (1, 0), "RL": (-1, 0)}[rankdir]
    for arrow, line in zip(diagram.arrows, layout.arrows, strict=True):
        above, below = layout.boxes[arrow.above], layout.boxes[arrow.below]
        assert len(line) % 3 == 1
        assert distance(line[0], above) < 6 and distance(line[-1], below) < 6
        assert (below.x - above.x) * along[0] + (below.y - above.y) * along[1] > 0


def test_two_arrows_between_the_same_boxes_are_two_lines():
    tasks = OutlineTask("a", "a-1"), OutlineTask("b", "b-1")
    edges = OutlineEdge(0, 1, "x"), OutlineEdge(0, 1)
    layout = layout_of(diagram_of(Outline("f", tasks, edges)))

    one, other = layout.arrows
    assert one != other


def test_a_flow_without_tasks_has_a_picture():
    flow = Flow("nothing")

    assert "<svg " in flow.visualize().svg
    assert layout_of(flow.visualize().diagram) == Layout(0, 0, (), ())
