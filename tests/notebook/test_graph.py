"""The graph below a cell: coloured by what its tasks are at, escaped, small, and only where it says something."""

import re
import time
from html import escape, unescape
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from prefect_dask import Flow, attach, task
from prefect_dask.engine.state import STATES
from prefect_dask.ledger import Ledger
from prefect_dask.notebook.graph import MOST_TASKS, Graph, graph_svg
from prefect_dask.pictures.diagram import diagram_of
from prefect_dask.pictures.outline import Outline, OutlineEdge, OutlineTask
from prefect_dask.pictures.sized import plain_layout, size_of
from prefect_dask.progress import Watch

ALERT = "<script>alert(1)</script>"


@task
def load(x=0):
    return [1, 2, 3]


@task
def odd(x):
    if x % 2:
        raise ValueError("odd")
    return x


@task
def save(xs, path=""):
    return path


def outline_of(*tasks, edges):
    named = tuple(OutlineTask(name, f"{name}-1", is_mapped=mapped) for name, mapped in tasks)
    return Outline("flow", named, tuple(edges))


THREE = outline_of(
    ("load", False),
    ("odd", True),
    ("save", False),
    edges=[OutlineEdge(0, 1, "x", mapped=True), OutlineEdge(1, 2, "xs"), OutlineEdge(0, 2)],
)


def drawn(graph, *counts):
    """The boxes of a graph as it is drawn: their elements, without the arrows."""
    svg = ElementTree.fromstring(graph_svg(graph.diagram, graph.layout, counts))[0]
    return [each for each in svg if each.tag == "g"]


def colors(box):
    found = re.findall(r'(?:fill|stroke)="(#\w+)"', ElementTree.tostring(box, "unicode"))
    return {name for name, state in STATES.items() if state.color in found and name != "State"}


def words(box):
    return [each.text for each in box.iter("text")]


def test_a_box_has_the_colour_of_its_state_and_a_map_a_bar_of_those_of_its_children():
    graph = Graph.of(THREE)

    one, many, last = drawn(
        graph,
        {"Running": 1},
        {"Failed": 1, "Success": 2, "Running": 2, "Pending": 5},
        {"Pending": 1},
    )
    assert (colors(one), colors(last)) == ({"Running"}, set())
    assert (words(one), words(many)) == (["load", "Running"], ["odd", "3/10"])
    assert colors(many) == {"Failed", "Success", "Running"}
    assert many.find("title").text == "odd: Success 2, Failed 1, Running 2, Pending 5"

    one, many, last = drawn(graph, {"Success": 1}, {"Success": 10}, {"TriggerFailed": 1})
    assert (colors(one), colors(many)) == ({"Success"}, {"Success"})
    assert words(many) == ["odd", "10/10"] and words(last) == ["save", "TriggerFailed"]


def test_results_items_and_states_go_along_arrows_that_look_different():
    graph = Graph.of(THREE)
    svg = graph_svg(graph.diagram, graph.layout, [{"Pending": 1}] * 3)
    assert svg.count("stroke-dasharray") == 1 and svg.count('class="pd-gap"') == 1
    assert len(re.findall(r"M-?\d+,-?\d+C", svg)) == len(graph.diagram.arrows) + 1  # one is doubled


def test_a_name_is_text_and_is_shortened():
    graph = Graph.of(outline_of((ALERT, False), ("x" * 500, True), edges=[OutlineEdge(0, 1, "x")]))

    svg = graph_svg(graph.diagram, graph.layout, [{"Pending": 1}, {ALERT: 2}])

    assert "<script" not in svg and escape(ALERT) in svg
    assert ALERT in unescape(svg) and len(svg) < 3_000
    assert "xxxx…xxxx" in svg


@given(
    st.lists(st.text(min_size=1, max_size=60), min_size=2, max_size=4),
    st.lists(st.integers(0, 10**6), min_size=len(STATES), max_size=len(STATES)),
)
def test_whatever_tasks_are_called_it_is_xml_within_its_bounds(names, numbers):
    tasks = tuple(OutlineTask(name, f"t-{i}", is_mapped=i > 0) for i, name in enumerate(names))
    outline = Outline("flow", tasks, ())
    diagram = diagram_of(outline)
    layout = plain_layout(diagram, [size_of(box) for box in diagram.boxes])
    states = dict(zip(STATES, numbers, strict=True))
    for box in drawn(
        Graph(diagram, layout), *[states if any(numbers) else {"Mapped": 1}] * len(names)
    ):
        frame = box.find("rect")
        left, right = float(frame.get("x")), float(frame.get("x")) + float(frame.get("width"))
        for bar in box.iter("path"):
            x, length = map(float, re.match(r"M(-?\d+) -?\d+h(\d+)", bar.get("d")).groups())
            assert left <= x and x + length <= right


def test_a_run_colours_its_graph_and_a_recorded_one_has_the_same():
    with Flow("three") as flow:
        save(odd.map(load()))
    watch, ledger = Watch(), Ledger(":memory:")
    flow.run(ledger=ledger, progress=watch)

    svg = Graph.of(Outline.of_graph(flow.describe())).html(watch)

    shown = [each.find("title").text for each in ElementTree.fromstring(svg)[0].iter("g")]
    assert shown == ["load: Success 1", "odd: Success 1, Failed 2", "save: TriggerFailed 1"]
    handle = attach(ledger.flow_runs()[0].run_id, ledger=ledger)
    assert svg in handle._repr_html_()


def test_only_a_graph_that_says_something_is_shown():
    def graph_of(*outline, edges=()):
        return Graph.of(outline_of(*outline, edges=edges))

    assert Graph.of(Outline("nothing", (), ())) is None
    assert graph_of(("alone", False)) is None
    assert graph_of(("one", False), ("other", False)) is None
    assert graph_of(("one", False), ("other", False), edges=[OutlineEdge(0, 1)]) is not None
    many = [("step", False)] * (MOST_TASKS + 1)
    assert graph_of(*many, edges=[OutlineEdge(0, 1)]) is None
    # Where nothing but lines would be seen.
    thick = [OutlineEdge(a, b) for a in range(20) for b in range(20, 40)]
    assert graph_of(*[(f"{chr(97 + i)}", False) for i in range(40)], edges=thick) is None
    alike = [("load", False)] * 20 + [("join", False)] * 20
    assert len(graph_of(*alike, edges=thick).diagram.arrows) == 1


def test_before_a_run_begins_there_is_no_graph():
    assert Graph.of(THREE).html(Watch()) == ""


def test_the_largest_graph_is_small_and_quick():
    with Flow("large") as flow:
        for number in range(MOST_TASKS // 4):
            branch = load(number)
            for step in range(3):
                branch = task(name=f"step {number % 17} of {'abc'[step]}")(save.run)(branch)
    watch = Watch()
    flow.run(ledger="none", progress=watch)
    graph = Graph.of(Outline.of_graph(flow.describe()))

    begun = time.thread_time()
    page = graph.html(watch)

    assert time.thread_time() - begun < 0.05  # 1 to 2 ms
    assert len(page.encode()) < 40_000
    many = tuple(OutlineTask(f"task {i} {'w' * 30}", f"t-{i}") for i in range(60))
    edges = tuple(OutlineEdge(i, i + j, "x") for i in range(57) for j in (1, 2))
    graph = Graph.of(Outline("dense", many, edges))
    assert len(graph.diagram.boxes) == 60
    page = graph_svg(graph.diagram, graph.layout, [{"TriggerFailed": 1}] * 60)
    assert len(page.encode()) < 40_000
