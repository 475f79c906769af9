"""A flow is put together, asked about itself and changed."""

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from prefect_dask import Edge, Flow, Parameter, Task, context, flatten, mapped, tags
from prefect_dask.engine.errors import FlowError
from prefect_dask.errors import (
    ArgumentTaken,
    DuplicateParameter,
    DuplicateSlug,
    FlowCycle,
    NotATask,
    ParameterHasUpstream,
    UnknownArgument,
    UnknownTask,
)


class Step(Task):
    def run(self, x: Any = None, y: Any = None) -> Any:
        return x


def steps(names: str) -> list[Step]:
    return [Step(name=name) for name in names.split()]


def names(found: Any) -> list[str]:
    return sorted(each.name for each in found)


@pytest.fixture
def diamond() -> Flow:
    """a -> b -> d and a -> c -> d; e stands alone."""
    flow = Flow("diamond")
    a, b, c, d, e = steps("a b c d e")
    flow.add_edge(a, b, "x")
    flow.add_edge(a, c, "x")
    flow.add_edge(b, d, "x")
    flow.add_edge(c, d)
    flow.add_task(e)
    return flow


def get(flow: Flow, name: str) -> Task:
    (found,) = flow.get_tasks(name=name)
    return found


# ---- the block


def test_a_flow_shows_its_name_and_needs_one():
    assert repr(Flow("n")) == '<Flow: name="n">'
    for wrong in ("", None, 3):
        with pytest.raises(ValueError, match="needs a name"):
            Flow(wrong)  # type: ignore[arg-type]


def test_nested_blocks_restore_the_outer_flow():
    with Flow("outer") as outer:
        Step()()
        with Flow("inner") as inner:
            assert context.flow is inner
            Step()()
            Step()()
        assert context.flow is outer
        Step()()
    assert "flow" not in context
    assert (len(outer.tasks), len(inner.tasks)) == (2, 2)


def test_a_block_that_fails_restores_the_outer_flow():
    with Flow("outer") as outer:
        with pytest.raises(KeyError), Flow("inner"):
            raise KeyError
        assert context.flow is outer


def test_a_flow_may_be_written_in_several_blocks():
    with Flow("f") as flow:
        one = Step()()
    with flow, flow:
        two = Step()(one)
    assert flow.edges == {Edge(one, two, "x")}
    assert "flow" not in context


def test_a_task_made_in_the_outer_block_may_be_used_in_the_inner_one():
    with Flow("outer") as outer:
        step = Step()
        with Flow("inner") as inner:
            step()
    assert (len(outer.tasks), len(inner.tasks)) == (0, 1)


def test_a_block_belongs_to_its_thread():
    seen: list[Any] = []
    with Flow("f"):
        thread = threading.Thread(target=lambda: seen.append(context.get("flow")))
        thread.start()
        thread.join()
    assert seen == [None]


# ---- building by hand


def test_a_flow_can_be_made_of_tasks_and_edges():
    a, b, c = steps("a b c")
    flow = Flow("f", tasks=[c], edges=[Edge(a, b, "x")], reference_tasks=[a])
    assert list(flow.tasks) == [c, a, b]
    assert flow.edges == {Edge(a, b, "x")}
    assert flow.reference_tasks() == {a}


def test_add_task_gives_the_task_and_takes_it_once():
    flow, a = Flow("f"), Step(name="a")
    assert flow.add_task(a) is a
    flow.add_task(a)
    assert list(flow.tasks) == [a]


def test_edges_compare_by_value_and_name_their_tasks():
    a, b = steps("a b")
    edge = Edge(a, b, "x", mapped=True)
    assert edge == Edge(a, b, "x", mapped=True) and hash(edge) == hash(Edge(a, b, "x", mapped=True))
    assert edge != Edge(a, b, "x")
    assert edge.tasks == {a, b}
    assert repr(edge) == "<Edge: a to b as 'x', mapped>"


def test_the_same_state_edge_twice_is_one_edge():
    a, b = steps("a b")
    flow = Flow("f")
    assert flow.add_edge(a, b) == flow.add_edge(a, b)
    assert len(flow.edges) == 1


def test_chain_makes_each_wait_for_the_one_before():
    a, b, c = steps("a b c")
    flow = Flow("f")
    assert flow.chain(a, b, c) == [Edge(a, b), Edge(b, c)]
    assert flow.chain(a) == []


def test_set_dependencies_says_all_at_once_and_knows_marks():
    flow, (a, b, c, d) = Flow("f"), steps("a b c d")
    flow.set_dependencies(
        b, upstream_tasks=[a], downstream_tasks=[c], keyword_tasks={"x": flatten(d), "y": 1}
    )
    assert flow.edges == {Edge(a, b), Edge(b, c), Edge(d, b, "x", flattened=True)}
    assert flow.constants[b] == {"y": 1}


def test_set_dependencies_with_mapped_maps_what_is_not_marked():
    flow, (a, b) = Flow("f"), steps("a b")
    flow.set_dependencies(b, keyword_tasks={"x": a, "y": mapped([1])}, mapped=True)
    assert all(edge.mapped for edge in flow.edges_to(b))


# ---- slugs


def test_slugs_count_tasks_of_one_name_in_the_order_of_adding():
    with Flow("f") as flow:
        for _ in range(2):
            Step(name="load")()
        Step(name="save", tags={"b", "a"})()
        Step(name="load", slug="own")()
        with tags("a", "b"):
            Step(name="save")()
    assert list(flow.slugs.values()) == ["load-1", "load-2", "save-a-b-1", "own", "save-a-b-2"]


def test_slugs_are_the_same_in_each_build_and_unique_in_a_flow():
    def build() -> list[str]:
        with Flow("f") as flow:
            p = Parameter("p")
            one = Step(name="a")(p, [p, 1])
            Step(name="a-1")(one[0], {"k": one})
            Step.map(Step(name="a"), [1, 2])
        return list(flow.slugs.values())

    assert build() == build()
    assert len(set(build())) == len(build())


def test_two_tasks_cannot_have_one_slug():
    flow = Flow("f")
    flow.add_task(Step(name="a", slug="s"))
    with pytest.raises(DuplicateSlug, match="flow 'f': task 'b' cannot have the slug 's'"):
        flow.add_task(Step(name="b", slug="s"))
    assert len(flow.tasks) == 1


def test_a_made_slug_steps_aside_for_one_that_was_given():
    flow = Flow("f")
    flow.add_task(Step(name="x", slug="a-1"))
    made = flow.add_task(Step(name="a"))
    assert flow.slugs[made] == "a-2"


# ---- what cannot be


def test_a_cycle_is_refused_when_it_closes_and_printed_task_by_task():
    flow, (load, index, clean) = Flow("etl"), steps("load index clean")
    flow.add_edge(load, index)
    flow.add_edge(index, clean)
    with pytest.raises(FlowCycle) as caught:
        flow.add_edge(clean, load)
    assert str(caught.value) == (
        "flow 'etl': 'clean' cannot run before itself; the cycle is 'clean' -> 'load' -> 'index' "
        "-> 'clean'. Remove one of these edges."
    )
    assert caught.value.tasks == ["clean", "load", "index"]
    assert len(flow.edges) == 2
    assert names(flow.sorted_tasks()) == ["clean", "index", "load"]


def test_a_cycle_of_two_and_an_edge_to_itself():
    flow, (a, b) = Flow("f"), steps("a b")
    flow.add_edge(a, b)
    with pytest.raises(FlowCycle, match="'b' -> 'a' -> 'b'"):
        flow.add_edge(b, a)
    with pytest.raises(FlowCycle, match="'a' cannot run before itself; the cycle is 'a' -> 'a'"):
        flow.add_edge(a, a)


def test_a_cycle_may_wait_for_validate_and_is_found_before_a_run():
    flow, (a, b, c) = Flow("f"), steps("a b c")
    flow.add_edge(a, b)
    flow.add_edge(b, a, validate=False)
    for find in (flow.validate, flow.sorted_tasks, flow.describe, flow.run):
        with pytest.raises(FlowCycle, match=r"'a' -> 'b' -> 'a'|'b' -> 'a' -> 'b'"):
            find()  # type: ignore[operator]
    with pytest.raises(FlowCycle):
        flow.add_edge(b, c)
    sound = Flow("g", edges=[Edge(a, b), Edge(b, c)], validate=False)
    sound.validate()
    with pytest.raises(FlowCycle):
        Flow("h", edges=[Edge(a, b), Edge(b, a)])


def test_a_long_cycle_is_cut_in_its_middle():
    flow, chain = Flow("f"), [Step(name=f"t{i}") for i in range(2_000)]
    flow.chain(*chain)
    with pytest.raises(FlowCycle) as caught:
        flow.add_edge(chain[-1], chain[0])
    assert len(str(caught.value)) < 1_000
    assert "more) …" in str(caught.value)


def test_an_argument_is_given_once():
    flow, (a, b, c) = Flow("etl"), steps("a b c")
    flow.add_edge(a, c, "x")
    with pytest.raises(ArgumentTaken, match="flow 'etl': the argument 'x' of task 'c' is already"):
        flow.add_edge(b, c, "x")
    with pytest.raises(ArgumentTaken):
        flow.set_dependencies(c, keyword_tasks={"x": 3})
    flow.set_dependencies(c, keyword_tasks={"y": 3})
    with pytest.raises(ArgumentTaken):
        flow.add_edge(b, c, "y")
    assert flow.edges_to(c) == {Edge(a, c, "x")}


def test_an_argument_that_run_does_not_take_is_refused():
    flow, (a, b) = Flow("etl"), steps("a b")
    with pytest.raises(UnknownArgument, match="flow 'etl': task 'b' takes no argument 'z'; there"):
        flow.add_edge(a, b, "z")
    with pytest.raises(UnknownArgument):
        flow.set_dependencies(b, keyword_tasks={"z": 3})
    assert not flow.edges


def test_what_is_no_task_is_refused_and_shown():
    flow, (a,) = Flow("f"), steps("a")
    attempts: list[Callable[[], Any]] = [
        lambda: flow.add_task(3),  # type: ignore[arg-type]
        lambda: flow.add_edge(3, a),  # type: ignore[arg-type]
        lambda: flow.add_edge(a, 3),  # type: ignore[arg-type]
        lambda: flow.edges_to(3),  # type: ignore[arg-type]
        lambda: flow.set_dependencies(a, upstream_tasks=[3]),
        lambda: flow.set_dependencies(a, downstream_tasks=[3]),
    ]
    for attempt in attempts:
        with pytest.raises(NotATask, match=r"flow 'f': 3.* is not a task") as caught:
            attempt()
        assert isinstance(caught.value, TypeError) and isinstance(caught.value, ValueError)
    with pytest.raises(NotATask, match="the class Step is not a task"):
        flow.add_task(Step)  # type: ignore[arg-type]


def test_a_task_that_was_not_set_up_says_what_its_class_forgot():
    class Forgetful(Task):
        def __init__(self) -> None:
            pass

    with pytest.raises(FlowError, match=r"Forgetful.__init__ must call super\(\).__init__\(\)"):
        Flow("f").add_task(Forgetful())


def test_a_task_that_is_not_in_the_flow_is_named():
    stranger = Step(name="stranger")
    for ask in (Flow("f").edges_to, Flow("f").edges_from, Flow("f").upstream_tasks):
        with pytest.raises(UnknownTask, match="flow 'f': task 'stranger' is not in the flow"):
            ask(stranger)
    with pytest.raises(UnknownTask):
        Flow("f").set_reference_tasks([stranger])
    with pytest.raises(UnknownTask):
        Flow("f").sorted_tasks(root_tasks=[stranger])


def test_a_parameter_waits_for_nothing():
    flow, (a,) = Flow("f"), steps("a")
    with pytest.raises(ParameterHasUpstream, match="parameter 'p' cannot wait for 'a'"):
        flow.add_edge(a, Parameter("p"))


def test_two_parameters_cannot_have_one_name():
    flow = Flow("f")
    flow.add_task(Parameter("p"))
    with pytest.raises(DuplicateParameter, match="flow 'f': it has another parameter named 'p'"):
        flow.add_task(Parameter("p"))


def test_every_refusal_is_a_value_error_and_survives_pickling():
    import pickle

    flow, (a, b) = Flow("f"), steps("a b")
    flow.add_edge(a, b)
    with pytest.raises(ValueError) as caught:
        flow.add_edge(b, a)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (
        type(again) is FlowCycle and str(again) == str(caught.value) and again.tasks == ["b", "a"]
    )


# ---- questions


def test_a_flow_answers_who_waits_for_whom(diamond: Flow):
    a, b, c, d, e = (get(diamond, name) for name in "abcde")
    assert diamond.edges_to(d) == {Edge(b, d, "x"), Edge(c, d)}
    assert diamond.edges_from(a) == {Edge(a, b, "x"), Edge(a, c, "x")}
    assert diamond.upstream_tasks(d) == {b, c}
    assert diamond.downstream_tasks(a) == {b, c}
    assert diamond.all_upstream_edges()[a] == set()
    assert diamond.all_upstream_edges()[b] == {Edge(a, b, "x")}
    assert diamond.all_downstream_edges()[d] == set()
    assert diamond.all_downstream_edges()[c] == {Edge(c, d)}
    assert diamond.root_tasks() == {a, e}
    assert diamond.terminal_tasks() == {d, e}
    assert a in diamond and Step() not in diamond


def test_answers_are_copies(diamond: Flow):
    d = get(diamond, "d")
    diamond.edges_to(d).clear()
    diamond.upstream_tasks(d).clear()
    diamond.all_upstream_edges().clear()
    assert len(diamond.edges_to(d)) == 2
    assert len(diamond.upstream_tasks(d)) == 2


def test_tasks_are_sorted_by_need_and_then_by_age(diamond: Flow):
    assert [t.name for t in diamond.sorted_tasks()] == ["a", "b", "c", "d", "e"]
    assert list(diamond) == list(diamond.sorted_tasks())
    flow, (a, b, c) = Flow("f"), steps("a b c")
    for each in (c, b, a):
        flow.add_task(each)
    flow.add_edge(a, c)
    assert flow.sorted_tasks() == (b, a, c)


def test_sorting_from_some_roots_leaves_out_what_does_not_wait_for_them(diamond: Flow):
    b, e = get(diamond, "b"), get(diamond, "e")
    assert [t.name for t in diamond.sorted_tasks(root_tasks=[b])] == ["b", "d"]
    assert diamond.sorted_tasks(root_tasks=[e]) == (e,)
    assert diamond.sorted_tasks(root_tasks=[]) == ()


def test_tasks_are_found_by_name_slug_tags_and_type():
    with Flow("f") as flow:
        p = Parameter("p", tags={"in"})
        one = Step(name="one", tags={"a", "b"})(p)
        two = Step(name="two", tags={"a"})(one)
    assert flow.get_tasks(name="two") == [two]
    assert flow.get_tasks(slug="one-a-b-1") == [one]
    assert flow.get_tasks(tags=["a"]) == [one, two]
    assert flow.get_tasks(tags=["a", "b"]) == [one]
    assert flow.get_tasks(tags="in") == [p]
    assert flow.get_tasks(task_type=Parameter) == [p]
    assert flow.get_tasks(name="one", tags=["in"]) == []
    assert flow.get_tasks() == [p, one, two]
    assert flow.parameters() == {p}


def test_terminal_tasks_decide_unless_others_are_set(diamond: Flow):
    a, d, e = (get(diamond, name) for name in "ade")
    assert diamond.reference_tasks() == {d, e}
    diamond.set_reference_tasks([a])
    assert diamond.reference_tasks() == {a}
    diamond.set_reference_tasks([])
    assert diamond.reference_tasks() == {d, e}


def test_tasks_that_decide_nothing_leave_the_decision_to_what_they_follow():
    class CleanUp(Step):
        decides_outcome = False

    with Flow("f") as flow:
        used = Step(name="use")()
        CleanUp()(used)
    assert flow.reference_tasks() == {used}


# ---- changing


def test_update_takes_in_another_flow(diamond: Flow):
    with Flow("g") as other:
        p = Parameter("p")
        one = Step(name="a")(p, 5)
    diamond.update(other)
    assert len(diamond.tasks) == 7
    assert Edge(p, one, "x") in diamond.edges
    assert diamond.constants[one] == {"y": 5}
    assert diamond.slugs[one] == "a-2"
    assert len(other.tasks) == 2
    diamond.update(other)
    assert len(diamond.tasks) == 7


def test_update_merges_parameters_when_told_to():
    with Flow("f") as flow:
        mine = Parameter("p")
        Step()(mine)
    with Flow("g") as other:
        theirs = Parameter("p")
        used = Step()(theirs)
    with pytest.raises(DuplicateParameter):
        flow.copy().update(other)
    flow.update(other, merge_parameters=True)
    assert flow.parameters() == {mine}
    assert flow.edges_to(used) == {Edge(mine, used, "x")}


def test_replace_puts_a_task_in_the_place_of_another(diamond: Flow):
    b, new = get(diamond, "b"), Step(name="new")
    diamond.constants[b]["y"] = 5
    diamond.set_reference_tasks([b])
    diamond.replace(b, new)
    assert [t.name for t in diamond.sorted_tasks()] == ["a", "new", "c", "d", "e"]
    assert b not in diamond
    assert names(diamond.upstream_tasks(new)) == ["a"]
    assert names(diamond.downstream_tasks(new)) == ["d"]
    assert diamond.constants[new] == {"y": 5}
    assert diamond.reference_tasks() == {new}
    assert diamond.slugs[new] == "new-1"
    assert diamond.slugs[get(diamond, "d")] == "d-1"


def test_replace_with_a_value_makes_a_constant(diamond: Flow):
    diamond.replace(get(diamond, "a"), 5)
    assert "5" in names(diamond.root_tasks())


def test_replace_with_a_list_of_tasks_makes_a_list(diamond: Flow):
    one = Step(name="one")
    diamond.replace(get(diamond, "a"), [one, 2])
    (made,) = diamond.get_tasks(name="List")
    assert names(diamond.downstream_tasks(made)) == ["b", "c"]
    assert diamond.upstream_tasks(made) == {one}


def test_a_replacement_that_does_not_fit_changes_nothing(diamond: Flow):
    class Other(Task):
        def run(self, z: int) -> None: ...

    before = (list(diamond.tasks), list(diamond.edges), dict(diamond.slugs))
    with pytest.raises(UnknownArgument):
        diamond.replace(get(diamond, "b"), Other())
    with pytest.raises(FlowCycle):
        diamond.replace(get(diamond, "d"), get(diamond, "a"))
    with pytest.raises(UnknownTask):
        diamond.replace(Step(), Step())
    assert (list(diamond.tasks), list(diamond.edges), dict(diamond.slugs)) == before


def test_a_copy_goes_its_own_way(diamond: Flow):
    other = diamond.copy()
    assert list(other.tasks) == list(diamond.tasks)
    other.add_edge(get(other, "d"), get(other, "e"))
    other.constants[get(other, "a")]["x"] = 1
    other.state_handlers.append(lambda *_: None)
    other.set_reference_tasks([get(other, "a")])
    assert len(diamond.edges) == 4
    assert not diamond.constants.get(get(diamond, "a"))
    assert not diamond.state_handlers
    assert names(diamond.reference_tasks()) == ["d", "e"]
    assert other.slugs[other.add_task(Step(name="a"))] == "a-2"


# ---- described for the engine


def test_a_flow_describes_itself_in_running_order():
    with Flow("f", tasks=[]) as flow:
        p = Parameter("p")
        one = Step(name="one", tags={"t"})(p, 5)
        two = Step(name="two")(mapped([1, 2]), one)
    graph = flow.describe()
    assert graph.name == "f"
    assert [node.task for node in graph.nodes] == list(flow.sorted_tasks())
    assert [node.label.slug for node in graph.nodes] == ["p", "one-t-1", "[1, 2]-1", "two-1"]
    assert graph.nodes[1].label.tags == {"t"}
    assert graph.nodes[1].constants == {"y": 5}
    assert [node.is_reference for node in graph.nodes] == [False, False, False, True]
    edges = [(e.upstream_task.index, e.downstream_task.index, e.key, e.mapped) for e in graph.edges]
    assert edges == [(0, 1, "x", False), (2, 3, "x", True), (1, 3, "y", False)]
    flow.constants[one]["y"] = 6
    assert graph.nodes[1].constants == {"y": 5}
    assert two in flow


# ---- size


def seconds_to_build(count: int) -> float:
    """CPU seconds that it takes to write a flow of `count` tasks and three times as many edges."""
    at_random = random.Random(count)
    start = time.process_time()
    with Flow("large") as flow:
        tasks = [Step(name="t").bind() for _ in range(count)]
        for index in range(1, count):
            for _ in range(3):
                flow.add_edge(tasks[at_random.randrange(index)], tasks[index])
    assert len(flow.tasks) == count
    return time.process_time() - start


def test_twice_the_tasks_cost_about_twice_the_time():
    seconds_to_build(500)
    half = min(seconds_to_build(2_500) for _ in range(3))
    whole = min(seconds_to_build(5_000) for _ in range(3))
    assert whole < 3.5 * half


def test_ten_thousand_tasks_with_thirty_thousand_edges_are_written_in_seconds():
    assert min(seconds_to_build(10_000) for _ in range(2)) < 4


def test_a_deep_chain_is_no_matter_for_recursion():
    depth = 10_000
    flow, chain = Flow("deep"), [Step(name="t") for _ in range(depth)]
    for above, below in zip(reversed(chain[:-1]), reversed(chain[1:]), strict=True):
        flow.add_edge(above, below)
    assert flow.sorted_tasks() == tuple(chain)
    assert flow.sorted_tasks(root_tasks=[chain[1]]) == tuple(chain[1:])
    assert len(flow.describe()) == depth
    assert flow.reference_tasks() == {chain[-1]}
    assert len(flow.copy().edges) == depth - 1
    flow.replace(chain[5], Step(name="new"))
    with pytest.raises(FlowCycle):
        flow.add_edge(chain[-1], chain[0])
