"""Each task has its box, no box covers another, and arrows lead to the right; also where there is no GraphViz."""

import os
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_dask import Flow, task
from prefect_dask.animation.scene import TALLEST, scene_of
from prefect_dask.ledger import Ledger
from prefect_dask.pictures.diagram import diagram_of
from prefect_dask.pictures.outline import Outline, OutlineEdge, OutlineTask
from prefect_dask.pictures.sized import laid_out, plain_layout, readable_diagram, size_of
from tests.house.source import ROOT


@st.composite
def outlines(draw):
    count = draw(st.integers(1, 12))
    tasks = tuple(
        OutlineTask("x" * draw(st.integers(1, 40)), f"x-{i}", is_mapped=draw(st.booleans()))
        for i in range(count)
    )
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    links = draw(st.lists(pairs, unique=True, max_size=30))
    return Outline("flow", tasks, tuple(OutlineEdge(a, b, "x") for a, b in links if a < b))


@given(outlines())
def test_the_plain_layout_leads_to_the_right_and_covers_nothing(outline):
    diagram = diagram_of(outline)
    layout = plain_layout(diagram, [size_of(box) for box in diagram.boxes])

    for arrow, points in zip(diagram.arrows, layout.arrows, strict=True):
        above, below = layout.boxes[arrow.above], layout.boxes[arrow.below]
        assert above.x + above.width / 2 < below.x - below.width / 2
        assert points[0] == (above.x + above.width / 2, above.y)
        assert points[-1] == (below.x - below.width / 2, below.y)
    none_covers_another(layout.boxes, layout.width, layout.height)


def none_covers_another(boxes, width, height):
    for number, one in enumerate(boxes):
        # GraphViz tells thousandths of a point.
        assert one.width / 2 - 0.01 <= one.x <= width - one.width / 2 + 0.01
        assert one.height / 2 - 0.01 <= one.y <= height - one.height / 2 + 0.01
        for other in boxes[:number]:
            apart_x = abs(one.x - other.x) - (one.width + other.width) / 2
            apart_y = abs(one.y - other.y) - (one.height + other.height) / 2
            assert max(apart_x, apart_y) > 1


@task
def start(x=0):
    return x


@task
def end(xs):
    return len(xs)


@pytest.mark.parametrize("width", [1, 8, 40, 2_000])
def test_a_flow_of_any_width_has_a_place_for_each_task(width):
    with Flow("wide") as flow:
        end([start(number) for number in range(width)])
    ledger = Ledger(":memory:")
    flow.run(ledger=ledger)
    recorded = ledger.flow(ledger.flow_runs(flow_name="wide")[0].run_id)

    scene = scene_of(recorded)

    assert len(scene.box_of) == len(recorded.tasks)
    for number, box in enumerate(scene.boxes):
        assert all(scene.box_of[each] == number for each in box.tasks)
    assert scene.height <= TALLEST and len(scene.boxes) <= 60
    none_covers_another(scene.boxes, scene.width, scene.height)


def outline_of(count, links):
    tasks = tuple(OutlineTask(chr(97 + i), f"{chr(97 + i)}-1") for i in range(count))
    return Outline("flow", tasks, tuple(OutlineEdge(*link) for link in links))


def test_of_hundreds_of_arrows_those_are_shown_that_a_longer_way_does_not_imply():
    after_all = outline_of(40, [(a, b) for b in range(40) for a in range(b)])

    diagram = readable_diagram(after_all)

    assert [(arrow.above, arrow.below) for arrow in diagram.arrows] == [
        (task, task + 1) for task in range(39)
    ]


def test_where_arrows_pass_very_many_columns_boxes_stand_in_plain_ones():
    """Six beside a chain of 31, with arrows past it to six that wait for it; each of them tells something."""
    chain, before, after = range(31), range(31, 37), range(37, 43)
    past = [(a, b) for a in before for b in after]
    links = [*pairwise(chain), *((chain[-1], b) for b in after), *past]
    outline = outline_of(43, links)

    diagram, layout = laid_out(outline, readable_diagram(outline), TALLEST)

    assert len(diagram.arrows) == len(links)
    assert layout == plain_layout(diagram, [size_of(box) for box in diagram.boxes])
    none_covers_another(layout.boxes, layout.width, layout.height)


WITHOUT = """
import sys, importlib.util
sys.path.insert(0, sys.argv[1])
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name == "pygraphviz":
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Hidden())
find = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "pygraphviz" else find(name)
from prefect_dask import Flow, task
from prefect_dask.ledger import Ledger
from prefect_dask.pictures.rendering import NoGraphViz, graphviz_command
try:
    sys.exit(f"there is one: {graphviz_command('json0')}")
except NoGraphViz:
    pass
one = task(lambda: 1, name="one")
two = task(lambda x: x, name="two")
with Flow("two") as flow:
    two(one())
ledger = Ledger(":memory:")
flow.run(ledger=ledger)
print(ledger.flow_runs()[0].animate().save("run.html"))
"""


def test_without_any_graphviz_it_is_played_all_the_same(tmp_path):
    environment = {**os.environ, "PATH": "", "PREFECT_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(ROOT)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run.html").stat().st_size > 100_000


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import sys; sys.modules['bokeh'] = None", "No module named 'bokeh"),
        ("import bokeh; bokeh.__version__ = '3.7.3'", "3.7.3 is installed"),
    ],
)
def test_without_bokeh_one_is_told_what_to_install(code, cause):
    code += "; from prefect_dask.animation.animation import Animation; Animation(None, 'x')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert f"BokehMissing: a run is played by Bokeh 3.8 or newer: {cause}" in done.stderr
    assert "pip install 'prefect-dask[viz]'" in done.stderr
