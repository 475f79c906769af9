"""The text that GraphViz draws: it parses whatever tasks are called, and can be read in every colour."""

import html
import re
from typing import get_args
from xml.etree import ElementTree

import pygraphviz
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prefect_dask.engine.graph import ShownAs
from prefect_dask.engine.secrets import forget_all, remember
from prefect_dask.engine.state import STATES
from prefect_dask.pictures.colors import contrast, text_color
from prefect_dask.pictures.diagram import Diagram, diagram_of
from prefect_dask.pictures.dot import dot_of
from prefect_dask.pictures.labels import clean, tooltips
from prefect_dask.pictures.outline import Outline, OutlineEdge, OutlineTask
from prefect_dask.pictures.picture import with_tooltips
from prefect_dask.pictures.style import BAR_POINTS, LEAST_POINTS, bar_widths
from tests.pictures.reading import SVG, groups, texts


@pytest.mark.parametrize("state", sorted(STATES))
def test_text_on_the_colour_of_a_state_can_be_read(state: str):
    color = STATES[state].color
    assert contrast(text_color(color), color) >= 4.5


# ---- any name

NASTY = [
    *(
        "\\N",
        "\\G",
        "\\l",
        "\\",
        '"',
        "'",
        "<",
        ">",
        "&",
        "&amp;",
        "&#0;",
        "<b>bold</b>",
        "<TABLE>",
    ),
    *(
        "<script>alert(1)</script>",
        "]]>",
        "<!--",
        "-->",
        "}",
        "]",
        ";",
        "a -> b",
        "//",
        "#",
        "%",
        "%1",
    ),
    *(
        "",
        " ",
        "\n",
        "\t",
        "\0",
        "\x1b[31m",
        "\x7f",
        "\u2028",
        "\ud800",
        "\ufffe",
        "\u202e",
        "🦀",
        "é",
        "表",
    ),
    *("x" * 500, "a\nb", "node", "digraph", "b0", "legend_0"),
]
names = st.one_of(st.sampled_from(NASTY), st.text(st.characters(exclude_categories=())), st.text())


@st.composite
def outlines(draw: st.DrawFn) -> Outline:
    called = draw(st.lists(names, min_size=1, max_size=6))
    kinds = st.sampled_from(get_args(ShownAs))
    tasks = [
        OutlineTask(name, f"{name}-{place}", draw(kinds), draw(st.booleans()))
        for place, name in enumerate(called)
    ]
    edges = [
        OutlineEdge(above, below, key, *draw(st.tuples(st.booleans(), st.booleans())))
        for below in range(len(tasks))
        for above in range(below)
        for key in draw(st.lists(st.none() | names, max_size=2, unique=True))
    ]
    return Outline(draw(names), tuple(tasks), tuple(edges))


def drawn(diagram: Diagram, **options) -> ElementTree.Element:
    """The picture as GraphViz and we make it, read as XML."""
    graph = pygraphviz.AGraph(string=dot_of(diagram, **options))
    svg = graph.draw(format="svg", prog="dot").decode()
    return ElementTree.fromstring(with_tooltips(svg, tooltips(diagram)))


@settings(max_examples=60)
@given(
    outlines(),
    st.sampled_from([{}, {"Success": 1}, {"Running": 1}, {"Failed": 3, "Success": 9_000}]),
    st.booleans(),
)
@example(
    Outline("all", tuple(OutlineTask(name, name) for name in NASTY), ()), {"TimedOut": 1}, False
)
def test_every_task_stands_in_the_picture_once_whatever_it_is_called(outline, states, is_grouped):
    counts = dict.fromkeys(range(len(outline.tasks)), states)
    diagram = diagram_of(outline, counts, group=is_grouped)

    svg = drawn(diagram, legend=False)

    boxes = groups(svg, "node")
    assert len(boxes) == len(diagram.boxes)
    titles = sorted(clean(box.title) for box in diagram.boxes)
    assert sorted(texts(box)[0] for box in boxes) == titles
    tips = {each.find(f"{SVG}title").text for each in boxes}
    assert all(tip in tips for name, tip in tooltips(diagram).items() if "->" not in name)
    assert len(groups(svg, "edge")) == len(diagram.arrows)


def test_a_secret_in_a_name_is_not_drawn():
    remember("hunter2-and-more")
    task = OutlineTask("open hunter2-and-more", "open hunter2-and-more-1")
    try:
        svg = drawn(diagram_of(Outline("f", (task,), ())))
    finally:
        forget_all()

    assert "hunter2" not in ElementTree.tostring(svg, encoding="unicode")
    assert texts(svg)[0].startswith("open ***")


def test_a_legend_tells_of_what_is_in_the_picture_and_of_nothing_else():
    tasks = OutlineTask("day", "day", "parameter"), OutlineTask("load", "load-1", is_mapped=True)
    outline = Outline("etl", tasks, (OutlineEdge(0, 1, "x", mapped=True),))
    diagram = diagram_of(outline, {0: {"Success": 1}, 1: {"Failed": 2}})

    assert not groups(drawn(diagram), "cluster")
    [legend] = groups(svg := drawn(diagram, legend=True), "cluster")
    assert texts(legend) == ["Legend"]
    said = [text for box in groups(svg, "node") for text in texts(box)]
    assert {"task", "parameter", "map", "Success", "Failed", "an item for each child"} <= set(said)
    assert not {"case", "merge", "waits for it alone", "Running"} & set(said)
    assert "legend" not in "".join(each.text or "" for each in svg.iter(f"{SVG}title"))


@given(st.dictionaries(st.sampled_from(sorted(STATES)), st.integers(0, 10**7), min_size=1))
def test_a_bar_is_in_proportion_and_hides_no_state(states: dict[str, int]):
    widths = dict(bar_widths(states))

    assert set(widths) == {name for name, count in states.items() if count}
    assert all(width >= LEAST_POINTS for width in widths.values())
    if widths:
        assert abs(sum(widths.values()) - BAR_POINTS) <= len(widths)
        more, less = max(widths, key=states.__getitem__), min(widths, key=states.__getitem__)
        assert widths[more] >= widths[less]


def test_dot_is_text_that_other_tools_read():
    tasks = OutlineTask('a "b"', "a-1"), OutlineTask("c", "c-1")
    text = dot_of(diagram_of(Outline("f", tasks, (OutlineEdge(0, 1, "x"),))), "LR")

    assert re.search(r"rankdir=LR\b", text)
    assert html.escape('a "b"') in text
    graph = pygraphviz.AGraph(string=text)
    assert (graph.nodes(), graph.edges()) == (["b0", "b1"], [("b0", "b1")])
