"""Mapping, on every executor: widths, alignment, failures of single children, and how many are alive at once."""

import os
import threading
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefect_dask import Flow, Parameter, context, flatten, mapped, task, triggers, unmapped
from prefect_dask.engine.signals import SKIP
from prefect_dask.engine.state import Failed, Mapped, Pending, Skipped, Success, TriggerFailed
from prefect_dask.engine.stream import StateRecord
from prefect_dask.executors import DaskExecutor, LocalDaskExecutor
from tests.contracts.places import LOCAL


@task
def numbers(n):
    return list(range(n))


@task
def double(x):
    return 2 * x


@task
def add(x, y):
    return x + y


@task
def total(xs):
    return sum(xs)


@task
def as_it_is(xs):
    return xs


@task
def pair(x):
    return [x, -x]


@task
def fails_for_two(x):
    if x == 2:
        raise ValueError("two")
    return x


@task
def skips_two(x):
    if x == 2:
        raise SKIP("two")
    return x


@task(max_retries=1, retry_delay=timedelta(seconds=0.05))
def fails_first_for_odd(x):
    if x % 2 and context.task_run_count == 1:
        raise ValueError("odd")
    return (x, context.task_run_count)


@task
def whoami(x):
    return (context.map_index, context.task_full_name, x)


@task(trigger=triggers.all_finished)
def whatever(xs):
    return ["failed" if isinstance(x, BaseException) else x for x in xs]


def run(flow, executor, **parameters):
    state = flow.run(executor=executor, **parameters)
    return state, {task.name: state for task, state in state.result.items()}


def kinds(state):
    return [type(child).__name__ for child in state.map_states]


@pytest.mark.parametrize("width", [0, 1, 7])
def test_children_stand_in_the_order_of_their_items(executor, width):
    with Flow("map") as flow:
        total(double.map(numbers(Parameter("n"))))

    state, states = run(flow, executor, n=width)

    assert state.is_successful()
    assert states["double"].result == [2 * i for i in range(width)]
    assert states["total"].result == width * (width - 1)


def test_a_child_knows_which_it_is(executor):
    with Flow("who") as flow:
        whoami.map(["a", "b"])

    _, states = run(flow, executor)

    assert states["whoami"].result == [(0, "whoami[0]", "a"), (1, "whoami[1]", "b")]


def test_only_a_failed_child_is_retried(executor):
    with Flow("retry") as flow:
        fails_first_for_odd.map(numbers(4))

    state, states = run(flow, executor)

    assert state.is_successful()
    assert states["fails_first_for_odd"].result == [(0, 1), (1, 2), (2, 1), (3, 2)]


def test_siblings_of_a_failed_child_go_on_to_the_end(executor):
    with Flow("siblings") as flow:
        last = double.map(fails_for_two.map(numbers(4)))
        total(last)
        whatever(last)

    state, states = run(flow, executor)

    assert state.is_failed()
    assert kinds(states["double"]) == ["Success", "Success", "TriggerFailed", "Success"]
    assert isinstance(states["total"], TriggerFailed)
    assert states["whatever"].result == [0, 2, "failed", 6]


def test_a_skipped_child_skips_what_looks_at_it(executor):
    with Flow("skips") as flow:
        skipped = skips_two.map(numbers(4))
        double.map(skipped)
        total(skipped)
        gathered = as_it_is.copy(name="gathered", skip_on_upstream_skip=False)
        gathered(skipped)

    state, states = run(flow, executor)

    assert state.is_successful()
    assert kinds(states["double"]) == ["Success", "Success", "Skipped", "Success"]
    assert isinstance(states["total"], Skipped)
    assert states["gathered"].result == [0, 1, None, 3]


def test_a_reduce_over_a_hundred_gets_a_hundred_aligned_entries(executor):
    @task
    def some_fail(x):
        if x in (3, 50, 99):
            raise ValueError(x)
        if x in (10, 20):
            raise SKIP()
        return x

    with Flow("aligned") as flow:
        whatever.copy(skip_on_upstream_skip=False)(some_fail.map(numbers(100)))

    _, states = run(flow, executor)

    expected = ["failed" if i in (3, 50, 99) else None if i in (10, 20) else i for i in range(100)]
    assert states["whatever"].result == expected


def test_inputs_are_flattened_by_one_level(executor):
    with Flow("flat") as flow:
        pairs = pair.map(numbers(3))
        double.map(flatten(pairs))
        double.copy(name="constant").map(flatten([[1, 2], [], [3]]))
        double.copy(name="made").map(flatten(as_it_is([[4], [5, 6]])))

    state, states = run(flow, executor)

    assert state.is_successful()
    assert states["double"].result == [0, 0, 2, -2, 4, -4]
    assert states["constant"].result == [2, 4, 6]
    assert states["made"].result == [8, 10, 12]


def test_a_child_that_came_to_no_list_counts_as_one_item_of_what_is_flattened(executor):
    with Flow("no list") as flow:
        double.copy(name="failed").map(flatten(pair.map(fails_for_two.map(numbers(4)))))
        double.copy(name="skipped").map(flatten(pair.map(skips_two.map(numbers(4)))))

    _, states = run(flow, executor)

    good = ["Success"] * 2
    assert kinds(states["failed"]) == [*good, *good, "TriggerFailed", *good]
    assert kinds(states["skipped"]) == [*good, *good, "Skipped", *good]


def test_unmapped_and_constant_inputs_are_the_same_for_all(executor):
    with Flow("unmapped") as flow:
        add.map(numbers(3), unmapped(Parameter("y", default=10)))
        add.copy(name="whole").map(as_it_is([["a"], ["b"]]), y=unmapped(["z"]))

    _, states = run(flow, executor)

    assert states["add"].result == [10, 11, 12]
    assert states["whole"].result == [["a", "z"], ["b", "z"]]


def test_the_shortest_input_counts_and_a_warning_names_both(executor, caplog):
    with Flow("zip") as flow:
        add.map(numbers(5), numbers.copy(name="few")(2))

    _, states = run(flow, executor)

    assert states["add"].result == [0, 2]
    assert "'x': 5" in caplog.text and "'y': 2" in caplog.text


def test_an_imperative_flow_maps_by_its_edges(executor):
    flow = Flow("imperative")
    source, below = numbers.copy(), double.copy()
    flow.set_dependencies(source, keyword_tasks={"n": 3})
    flow.set_dependencies(below, keyword_tasks={"x": mapped(source)})

    _, states = run(flow, executor)

    assert states["double"].result == [0, 2, 4]


@pytest.mark.parametrize("is_flat", [False, True])
def test_a_map_over_a_map_may_look_at_all_of_what_that_is_mapped_over(executor, is_flat):
    with Flow("all of it") as flow:
        lists = task(lambda: [[1], [2, 3]] if is_flat else [1, 2, 3], name="lists")()
        first = double.map(flatten(lists) if is_flat else lists)
        second = double.copy(name="second").map(first)
        third = task(lambda x, xs: x + sum(xs), name="third").map(second, unmapped(first))
        waits = as_it_is.map(third, upstream_tasks=[unmapped(second)])
    state = flow.run(executor=executor)

    assert state.is_successful(), state.message
    assert [s.result for s in state.result[waits].map_states] == [16, 20, 24]


@task(trigger=triggers.all_finished, skip_on_upstream_skip=False)
def leaves_a_file(x, folder):
    (folder / "ran").touch()


def stops_the_map(_, old, new):
    return Failed("no map") if new.is_mapped() else None


def test_children_do_not_begin_before_it_is_certain_that_there_are_any(executor, tmp_path):
    """How many there would be is known beforehand, and what they look at is there before their map is."""
    with Flow("no children") as flow:
        skipped = add.map([1, 2], unmapped(skips_two(2)))
        leaves_a_file.map(skipped, unmapped(tmp_path))
        stopped = {"state_handlers": [stops_the_map]}
        as_it_is.map(Parameter("xs", default=[1, 2]), task_args=stopped)
    records: list[StateRecord] = []

    state = flow.run(executor=executor, on_state=records.extend)

    assert {record.task_name for record in records if record.map_index >= 0} == set()
    assert not list(tmp_path.iterdir())
    assert not any(each.is_mapped() for each in state.result.values())


def test_an_unmapped_failure_fails_the_children_and_a_mapped_one_the_parent(executor):
    with Flow("failures") as flow:
        bad = fails_for_two(2)
        add.map(numbers(2), unmapped(bad))
        double.map(bad)

    _, states = run(flow, executor)

    assert isinstance(states["add"], Mapped)
    assert kinds(states["add"]) == ["TriggerFailed"] * 2
    assert states["double"].is_failed()


@pytest.mark.parametrize("source", [fails_for_two, skips_two], ids=["failed", "skipped"])
def test_what_lies_below_a_map_that_could_not_be_made_comes_to_an_end_too(executor, source):
    with Flow("no map") as flow:
        none = double.map(source(2))
        below = double.copy(name="below").map(none)
        double.copy(name="flat").map(flatten(none), batch=10)
        total(below)
        always = as_it_is.copy(name="always", trigger=triggers.all_finished)
        always(none, task_args={"skip_on_upstream_skip": False})

    state, states = run(flow, executor)

    ran = states.pop("always")
    assert ran.is_successful() and isinstance(ran.result, Exception | None)
    if source is skips_two:
        assert state.is_successful()
        assert all(isinstance(each, Skipped) for each in states.values())
    else:
        assert state.is_failed()
        assert all(each.is_failed() for each in states.values())
    assert not any(each.is_mapped() for each in states.values())


@pytest.mark.parametrize(
    ("made", "said"),
    [(None, "NoneType"), ({"a": 1}, "dict"), (5, "int"), ({1, 2}, "set")],
    ids=["None", "dict", "int", "set"],
)
def test_what_is_not_a_list_fails_the_map_and_says_so(executor, made, said):
    with Flow("not a list") as flow:
        double.map(as_it_is(made))

    state, states = run(flow, executor)

    assert state.is_failed()
    assert f"got {said}; pass a list" in states["double"].message
    assert not states["double"].is_mapped()


def test_given_children_are_kept_and_the_others_run(executor):
    with Flow("resumed") as flow:
        source = numbers(3)
        doubled = double.map(source)
        total(doubled)
    given = {
        source: Success(result=[0, 1, 2]),
        doubled: Mapped(map_states=[Success(result=100), Pending(), Success(result=300)]),
    }

    state = flow.run(executor=executor, task_states=given)

    assert state.is_successful()
    assert [s.result for t, s in state.result.items() if t.name == "total"] == [402]


def test_maps_of_2000_and_of_40_by_40_are_reduced(executor):
    with Flow("large") as flow:
        total(double.map(double.map(numbers(400))))
        rows = as_it_is.copy(name="rows").map([list(range(40))] * 40)
        total.copy(name="cells")(double.copy(name="cell").map(flatten(rows)))

    state, states = run(flow, executor)

    assert state.is_successful()
    assert states["total"].result == 4 * sum(range(400))
    assert states["cells"].result == 2 * 40 * sum(range(40))


class Alive:
    """Counts, in the bodies, how many intermediates are alive."""

    def __init__(self) -> None:
        self.lock, self.now, self.most = threading.Lock(), 0, 0

    def change(self, by: int) -> None:
        with self.lock:
            self.now += by
            self.most = max(self.most, self.now)


@pytest.mark.parametrize("limit", [None, 3])
def test_a_branch_is_finished_before_the_next_is_begun(limit):
    alive = Alive()

    @task(max_in_flight=limit)
    def load(i):
        alive.change(+1)
        return i

    @task
    def transform(x):
        return x

    @task
    def save(x):
        alive.change(-1)

    with Flow("depth first") as flow:
        save.map(transform.map(load.map(numbers(200))))

    state = flow.run(executor=LocalDaskExecutor("threads", num_workers=2))

    assert state.is_successful()
    assert alive.now == 0
    assert alive.most <= (limit or 2 * 2 + 2)


@task
def load_file(i, folder):
    path = os.path.join(folder, f"{i}")
    open(path, "x").close()
    return path, len(os.listdir(folder))


@task
def remove_file(loaded):
    path, alive = loaded
    os.remove(path)
    return alive


def test_a_cluster_finishes_a_branch_before_it_begins_the_next(cluster, tmp_path):
    folder = str(tmp_path)
    with Flow("depth first") as flow:
        removed = remove_file.map(as_it_is.map(load_file.map(numbers(200), unmapped(folder))))

    state = flow.run(executor=DaskExecutor(address=cluster.scheduler_address))

    threads = 2
    assert max(state.result[removed].result) <= 2 * threads + 2
    assert os.listdir(folder) == []


def test_max_in_flight_holds_on_every_executor_also_through_failures(executor, tmp_path):
    folder = str(tmp_path)

    @task(max_in_flight=2)
    def begin(i):

        open(os.path.join(folder, f"begun-{i}"), "x").close()
        begun = len([name for name in os.listdir(folder) if name.startswith("begun")])
        ended = len([name for name in os.listdir(folder) if name.startswith("ended")])
        assert begun - ended <= 2, f"{begun} begun, {ended} ended"
        return i

    @task(trigger=triggers.all_finished)
    def end(i):

        open(os.path.join(folder, f"ended-{i}"), "x").close()
        if i == 3:
            raise ValueError(i)

    with Flow("in flight") as flow:
        ends = end.map(begin.map(numbers(12)))
        flow.set_reference_tasks([ends])

    _, states = run(flow, executor)

    assert kinds(states["begin"]) == ["Success"] * 12
    assert kinds(states["end"]).count("Failed") == 1


@st.composite
def shapes(draw):
    """How long the lists are, and what is done with them."""
    lists = draw(st.lists(st.integers(0, 4), max_size=5))
    return lists, draw(st.sampled_from([1, 2])), draw(st.sampled_from(["plain", "known"]))


@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
def test_any_shape_gives_what_loops_would(place, executor):
    # In this thread a run takes a millisecond.
    @settings(
        max_examples=40 if place == LOCAL else 10,
        database=None,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(shapes())
    def hold(shape):
        lengths, depth, kind = shape
        lists = [list(range(n)) for n in lengths]

        with Flow("shape") as flow:
            source = lists if kind == "known" else as_it_is(lists)
            rows = as_it_is.copy(name="rows").map(source)
            cells: Any = flatten(rows)
            for level in range(depth):
                cells = double.copy(name=f"level {level}").map(cells)
            whatever(cells)

        _, states = run(flow, executor)

        assert states["whatever"].result == [2**depth * x for row in lists for x in row]

    with executor.start():
        hold()


def test_children_in_batches_keep_their_own_states_and_retries(executor):
    seen = []
    with Flow("batches") as flow:
        source = numbers(25)
        last = double.map(double.map(source, batch=10), batch=4)
        tried = fails_first_for_odd.map(source, batch=100)
        failing = fails_for_two.map(source, batch=10)
        total(last)
        whatever(failing)
        double.copy(name="after").map(failing)

    state = flow.run(executor=executor, on_state=seen.extend)
    states = state.result
    by_name = {task.name: each for task, each in state.result.items()}

    assert by_name["total"].result == 4 * sum(range(25))
    assert states[tried].result == [(i, 1 + i % 2) for i in range(25)]
    assert kinds(states[failing]) == ["Success"] * 2 + ["Failed"] + ["Success"] * 22
    assert kinds(by_name["after"]) == ["Success"] * 2 + ["TriggerFailed"] + ["Success"] * 22
    assert by_name["whatever"].result == [0, 1, "failed", *range(3, 25)]
    histories = {}
    for record in seen:
        histories.setdefault((record.task_index, record.map_index), []).append(record.state)
    assert histories[flow.sorted_tasks().index(tried), 1] == [
        "Running",
        "Failed",
        "Retrying",
        "Running",
        "Success",
    ]
