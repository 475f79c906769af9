"""What a picture shows: boxes for tasks and arrows for edges; of large flows no more than can be read."""

import random
from collections import Counter
from graphlib import TopologicalSorter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.core.shapes import Shape, as_flow, chain, layered, tree, wide
from prefect_dask import Flow, attach, flatten, task
from prefect_dask.engine.state import Mapped, Success
from prefect_dask.ledger import Ledger
from prefect_dask.pictures.counts import counts_of_record, counts_of_states
from prefect_dask.pictures.diagram import Diagram, diagram_of
from prefect_dask.pictures.grouping import BEARABLE_BOXES, MOST_BOXES
from prefect_dask.pictures.labels import sub_title
from prefect_dask.pictures.outline import Outline, OutlineEdge, OutlineTask
from tests.pictures.flows import nightly


@task
def step(x=None): ...


def of_flow(flow: Flow, group="auto") -> Diagram:
    return diagram_of(Outline.of_graph(flow.describe()), group=group)


def told(diagram: Diagram) -> list[str]:
    return [f"{box.title}: {sub_title(box)}".removesuffix(": ") for box in diagram.boxes]


# ---- small flows


def test_each_thing_that_a_flow_is_made_of_is_shown_as_what_it_is():
    shown = {box.title: box.shown_as for box in of_flow(nightly()).boxes}
    constant = next(title for title, kind in shown.items() if kind == "constant")

    assert constant.startswith("[1, 2, 1, 2")
    assert shown == {
        "notify": "parameter",
        "folder": "parameter",
        "Database": "set-up",
        "Database.setup": "set-up",
        "Database.cleanup": "clean-up",
        "list_files": "task",
        "load": "task",
        "scale": "task",
        constant: "constant",
        "report": "task",
        "case(True)": "case",
        "case(False)": "case",
        "mail": "task",
        "log": "task",
        "Merge": "merge",
    }


def test_what_an_edge_hands_over_is_told():
    @task
    def add(x, y=0):
        return x + y

    with Flow("edges") as flow:
        first, many = add(1), add([[1], [2]])
        second = add(first, y=first)
        second.set_upstream(many)
        add.map(flatten(many), y=[1, 2])

    diagram = of_flow(flow)
    title = [box.title for box in diagram.boxes]
    arrows = {
        (title[arrow.above], title[arrow.below]): (arrow.kind, arrow.keys, arrow.flattened)
        for arrow in diagram.arrows
    }
    assert arrows == {
        ("add-1", "add-3"): ("data", ("x", "y"), False),
        ("add-2", "add-3"): ("state", (), False),
        ("add-2", "add-4"): ("mapped", ("x",), True),
        ("[1, 2]", "add-4"): ("mapped", ("y",), False),
    }


def test_a_flow_is_the_same_at_hand_and_in_the_record():
    flow, ledger = nightly(), Ledger(":memory:")
    state = flow.run(ledger=ledger)
    run_id = ledger.flow_runs(flow_name="nightly")[0].run_id
    at_hand, recorded = Outline.of_graph(flow.describe()), Outline.of_record(ledger.flow(run_id))

    assert recorded == at_hand
    by_task = {node.label.index: state.result[node.task] for node in flow.describe().nodes}
    counts = counts_of_states(by_task)
    assert counts_of_record(ledger.states(run_id), len(recorded.tasks)) == counts
    of = {at_hand.tasks[index].slug: each for index, each in counts.items()}
    assert of["load-1"] == {"Success": 180, "Failed": 20}
    assert of["scale-1"] == {"Success": 180, "TriggerFailed": 20}
    assert of["case(False)-1"] == of["log-1"] == {"Skipped": 1}
    assert attach(run_id, ledger=ledger).visualize(format="dot").dot == (
        flow.visualize(state, format="dot").dot
    )


def test_children_that_have_not_begun_are_pending():
    ledger = Ledger(":memory:")
    flow = nightly()
    flow.run(ledger=ledger)
    run = ledger.flow_runs(flow_name="nightly")[0]
    load, scale = (ledger.flow(run.run_id).task(name).index for name in ("load", "scale"))
    states = ledger.states(run.run_id)
    is_mapped = next(i for i, each in enumerate(states) if each.state == "Mapped")
    until = states[: is_mapped + 1]

    counts = counts_of_record(until, len(ledger.flow(run.run_id).tasks))
    begun = Counter(each.map_index for each in until if each.task == load)
    assert counts[load]["Pending"] == 200 - (len(begun) - 1)
    assert sum(counts[load].values()) == 200
    assert counts[scale] == {"Pending": 1}


def test_a_state_of_a_users_own_counts_as_the_one_it_derives_from():
    class Archived(Success):
        pass

    assert counts_of_states({0: Archived(), 1: Mapped(map_states=[Archived()])}) == {
        0: {"Success": 1},
        1: {"Success": 1},
    }


# ---- large ones


@pytest.mark.parametrize(
    ("shape", "boxes"),
    [
        (wide(200), ["start: 200 tasks", "List", "total"]),
        (chain(200), ["start", "one: 199 tasks in a row"]),
        (layered(4, 50), ["start: 50 tasks", *["three: 50 tasks"] * 3]),
        (layered(100, 5), ["start: 5 tasks", "three: 495 tasks, 99 deep"]),
        (
            tree(64),
            [
                *("start: 64 tasks", "add: 32 tasks", "add: 16 tasks", "add: 8 tasks"),
                *("add: 4 tasks", "add-61", "add-62", "add-63"),
            ],
        ),
    ],
    ids=["wide", "chain", "layered", "deep", "tree"],
)
def test_of_a_large_flow_alike_tasks_share_a_box(shape: Shape, boxes: list[str]):
    assert told(of_flow(as_flow(shape))) == boxes


def test_tasks_whose_names_differ_by_a_number_are_alike():
    with Flow("pipelines") as flow:
        for number in range(40):
            rows = step(task_args={"name": f"fetch {number}"})
            rows = step(rows, task_args={"name": "clean"})
            step(rows, task_args={"name": "save"})

    assert told(of_flow(flow)) == [
        "fetch 0 … fetch 39: 40 tasks",
        "clean: 40 tasks",
        "save: 40 tasks",
    ]


def test_a_flow_that_can_be_read_is_grouped_only_when_asked():
    flow = as_flow(wide(8))

    assert len(of_flow(flow).boxes) == 10
    assert told(of_flow(flow, group=True)) == ["start: 8 tasks", "List", "total"]
    assert len(of_flow(as_flow(wide(100)), group=False).boxes) == 102


def test_different_tasks_share_no_box_while_there_are_not_too_many():
    words = [a + b for a in "abcdefghij" for b in "klmnopqrst"]
    with Flow("different") as flow:
        for word in words:
            step(task_args={"name": word})

    assert [box.title for box in of_flow(flow).boxes] == words


def outline_of(seed: int, count: int, name_count: int, reach: int, most_above: int) -> Outline:
    """A random flow: tasks with few names, each waiting for some of those not long before it."""
    draw = random.Random(seed)
    tasks = [
        OutlineTask(f"{'abcdefgh'[draw.randrange(name_count)]}", str(i), is_mapped=not i % 5)
        for i in range(count)
    ]
    edges = [
        OutlineEdge(above, below, draw.choice([None, "x", "y"]), draw.random() < 0.2)
        for below in range(1, count)
        for above in draw.sample(range(max(0, below - reach), below), min(below, most_above, reach))
        if draw.random() < 0.7
    ]
    return Outline("random", tuple(tasks), tuple(edges))


@given(
    st.builds(
        outline_of,
        st.integers(0, 10_000),
        count=st.integers(0, 400),
        name_count=st.integers(1, 8),
        reach=st.integers(1, 100),
        most_above=st.integers(1, 3),
    ),
    st.sampled_from(["auto", True]),
)
def test_a_group_hides_no_task_no_wait_and_makes_no_cycle(outline: Outline, group):
    counts = {task: {"Success" if task % 3 else "Failed": 1} for task in range(len(outline.tasks))}

    diagram = diagram_of(outline, counts, group)

    tasks = [task for box in diagram.boxes for task in box.tasks]
    assert sorted(tasks) == list(range(len(outline.tasks)))
    assert all(task in diagram.boxes[box].tasks for task, box in enumerate(diagram.box_of))
    assert len(diagram.boxes) <= (MOST_BOXES if len(tasks) <= MOST_BOXES else BEARABLE_BOXES)
    above: dict[int, set[int]] = {box.number: set() for box in diagram.boxes}
    for arrow in diagram.arrows:
        above[arrow.below].add(arrow.above)
    reached: dict[int, set[int]] = {}
    for box in TopologicalSorter(above).static_order():  # raises where there is a cycle
        reached[box] = {box}.union(*(reached[each] for each in above[box]))
    for edge in outline.edges:
        assert diagram.box_of[edge.above] in reached[diagram.box_of[edge.below]]
    states = sum((Counter(box.states) for box in diagram.boxes), Counter())
    assert states == sum((Counter(each) for each in counts.values()), Counter())
