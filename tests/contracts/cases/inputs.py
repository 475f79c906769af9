"""What tasks receive: results, constants, collections, parameters, sums of tasks."""

from collections import namedtuple
from datetime import datetime, timezone

from prefect_dask import DateTimeParameter, Flow, Parameter, Task, task
from prefect_dask.engine.state import Failed, Skipped, Success, TriggerFailed
from tests.contracts.flow_case import Case, flow_case
from tests.contracts.small_tasks import add, fail, give, look, skip, total

Point = namedtuple("Point", "x y")


class Scale(Task):
    """A task class with an argument of its own."""

    def __init__(self, factor, **settings):
        self.factor = factor
        super().__init__(**settings)

    def run(self, x, offset=0):
        return x * self.factor + offset


@task
def pair() -> tuple[int, str]:
    return 1, "one"


@task
def by_name(first, *, second=2, **others):
    return [first, second, sorted(others.items())]


@task
def call(function, x):
    return function(x)


@flow_case
def results_go_down_a_chain():
    with Flow("chain") as flow:
        one = give(1)
        two = add(one)
        five = add(two, y=3)
    return Case(flow, {one: Success(result=1), two: Success(result=2), five: Success(result=5)})


@flow_case
def a_task_takes_the_same_result_twice():
    with Flow("twice") as flow:
        three = give(3)
        six = add(three, three)
    return Case(flow, {six: Success(result=6)})


@flow_case
def constants_come_as_they_are():
    with Flow("constants") as flow:
        nothing = look(None)
        nested = look([1, (2, {"three": {4}}), b"five"])
        text = look("ünïcode ✓")
        default = add(1)
        kept = give({"a": [1, 2.5, True]})
    return Case(
        flow,
        {
            nothing: Success(result="None"),
            nested: Success(result="[1, (2, {'three': {4}}), b'five']"),
            text: Success(result="'ünïcode ✓'"),
            default: Success(result=2),
            kept: Success(result={"a": [1, 2.5, True]}),
        },
    )


@flow_case
def a_callable_stays_a_value():
    with Flow("callables") as flow:
        by_value = call(lambda x: x + 1, 1)
        by_name_ = call(abs, -3)
        a_class = call(str, 12)
    return Case(
        flow,
        {by_value: Success(result=2), by_name_: Success(result=3), a_class: Success(result="12")},
    )


@flow_case
def collections_with_tasks_inside_are_built():
    with Flow("collections") as flow:
        one, two = give(1), give(2)
        a_list = give([one, two, 3])
        a_tuple = give((one, "x", two))
        a_set = give({one, two})
        a_dict = give({"one": one, "two": [two, 2]})
        a_point = give(Point(one, y=two))
    return Case(
        flow,
        {
            a_list: Success(result=[1, 2, 3]),
            a_tuple: Success(result=(1, "x", 2)),
            a_set: Success(result={1, 2}),
            a_dict: Success(result={"one": 1, "two": [2, 2]}),
            a_point: Success(result=Point(1, 2)),
        },
    )


@flow_case
def collections_nest_at_any_depth():
    with Flow("deep collections") as flow:
        one = give(1)
        deep = give([[[[[one]]]], {"a": ({"b": [one, (one,)]}, None)}, []])
    return Case(flow, {deep: Success(result=[[[[[1]]]], {"a": ({"b": [1, (1,)]}, None)}, []])})


@flow_case
def a_failed_task_inside_a_collection_fails_what_takes_it():
    with Flow("failed item") as flow:
        one, broken = give(1), fail("item")
        taker = total([one, broken, 3])
    return Case(flow, {broken: Failed, taker: TriggerFailed}, outcome=Failed)


@flow_case
def a_skipped_task_inside_a_collection_skips_what_takes_it():
    with Flow("skipped item") as flow:
        skipped = total([give(1), skip()])
        told_not_to = give([skip()], task_args={"skip_on_upstream_skip": False})
    return Case(flow, {skipped: Skipped, told_not_to: Success(result=[None])})


@flow_case
def keyword_arguments_arrive_by_name():
    with Flow("keywords") as flow:
        some = by_name(give(1), a=give("x"), b=4)
        all_ = by_name(first=1, second=give(5), z=[give(6)])
    return Case(
        flow,
        {
            some: Success(result=[1, 2, [("a", "x"), ("b", 4)]]),
            all_: Success(result=[1, 5, [("z", [6])]]),
        },
    )


@flow_case
def arithmetic_between_tasks_is_done_in_tasks():
    with Flow("arithmetic") as flow:
        seven, two = give(7), give(2)
        results = {
            seven + two: 9,
            seven - two: 5,
            seven * two: 14,
            seven / two: 3.5,
            seven // two: 3,
            seven % two: 1,
            seven**two: 49,
            1 + two: 3,
            1 - two: -1,
            3 * two: 6,
            1 / two: 0.5,
            5 // two: 2,
            5 % two: 1,
            5**two: 25,
        }
    return Case(flow, {t: Success(result=value) for t, value in results.items()})


@flow_case
def comparisons_between_tasks_are_made_in_tasks():
    with Flow("comparisons") as flow:
        seven, two, nothing = give(7), give(2), give(0)
        results = {
            seven > two: True,
            seven >= 7: True,
            seven < two: False,
            seven <= two: False,
            seven.is_equal(7): True,
            seven.is_not_equal(7): False,
            seven & nothing: False,
            nothing.or_(seven): True,
            nothing.not_(): True,
        }
    return Case(flow, {t: Success(result=value) for t, value in results.items()})


@flow_case
def an_operator_that_cannot_be_applied_fails():
    with Flow("bad sum") as flow:
        bad = give(1) + give("one")
        worse = give(1) / give(0)
        missing = give([1])[5]
    return Case(flow, {bad: Failed, worse: Failed, missing: Failed}, outcome=Failed)


@flow_case
def items_of_results_are_tasks():
    with Flow("items") as flow:
        table = give({"a": [10, 20], "b": give("a")})
        item = table["a"]
        inner = item[1]
        by_task = table[give("b")]
        part = item[0:1]
    return Case(
        flow,
        {
            item: Success(result=[10, 20]),
            inner: Success(result=20),
            by_task: Success(result="a"),
            part: Success(result=[10]),
        },
    )


@flow_case
def a_task_with_several_outputs_is_unpacked():
    with Flow("nout") as flow:
        number, word = pair()
        first, second, third = give([1, 2, 3], task_args={"nout": 3})
        both = look([number, word, third])
    return Case(
        flow,
        {
            number: Success(result=1),
            word: Success(result="one"),
            first: Success(result=1),
            second: Success(result=2),
            both: Success(result="[1, 'one', 3]"),
        },
    )


@flow_case
def a_task_class_keeps_its_own_attributes():
    with Flow("classes") as flow:
        scaled = Scale(3, name="threefold")(give(2), offset=1)
        copied = Scale(10)(scaled)
    return Case(flow, {scaled: Success(result=7), copied: Success(result=70)})


@flow_case
def a_task_defined_where_the_flow_is_written_runs():
    factor = 6

    @task
    def times(x):
        return factor * x

    class Plus(Task):
        def run(self, x):
            return x + factor

    with Flow("local definitions") as flow:
        product = times(7)
        plus = Plus()(product)
    return Case(flow, {product: Success(result=42), plus: Success(result=48)})


@flow_case
def parameters_take_what_is_given_else_their_default():
    with Flow("parameters") as flow:
        given = add(Parameter("given"), 1)
        keyword = add(Parameter("keyword"), 1)
        default = add(Parameter("default", default=10), 1)
        nothing = look(Parameter("nothing", default=None))
        optional = look(Parameter("optional", required=False))
    return Case(
        flow,
        {
            given: Success(result=2),
            keyword: Success(result=3),
            default: Success(result=11),
            nothing: Success(result="None"),
            optional: Success(result="None"),
        },
        run={"parameters": {"given": 1}, "keyword": 2},
    )


@flow_case
def parameters_hold_any_value():
    with Flow("values of parameters") as flow:
        items = Parameter("items")
        all_ = total(items)
        first = items[0]
    return Case(flow, {all_: Success(result=6), first: Success(result=1)}, run={"items": [1, 2, 3]})


@flow_case
def a_moment_is_read_from_text():
    with Flow("moments") as flow:
        with_offset = DateTimeParameter("with_offset")
        without = DateTimeParameter("without", default="2024-05-01 12:30")
        bad = DateTimeParameter("bad", default="yesterday")
        flow.add_task(with_offset)
        flow.add_task(without)
        flow.add_task(bad)
    return Case(
        flow,
        {
            with_offset: Success(result=datetime(2024, 5, 1, 10, tzinfo=timezone.utc)),
            without: Success(result=datetime(2024, 5, 1, 12, 30, tzinfo=timezone.utc)),
            bad: Failed,
        },
        outcome=Failed,
        run={"with_offset": "2024-05-01T12:00:00+02:00"},
    )


@flow_case
def a_large_result_arrives_whole():
    with Flow("large") as flow:
        size = call(len, give(bytes(2_000_000)))
        word = call(len, give("é" * 300_000))
    return Case(flow, {size: Success(result=2_000_000), word: Success(result=300_000)})


@flow_case
def an_exception_can_be_a_result():
    @task
    def find():
        return ValueError("found, not raised")

    with Flow("exceptions as results") as flow:
        found = find()
        seen = look(found)
        in_list = call(len, [found])
    return Case(
        flow,
        {
            found: Success,
            seen: Success(result="ValueError: found, not raised"),
            in_list: Success(result=1),
        },
    )


@flow_case
def a_state_can_be_a_result():
    @task
    def judge():
        return Failed("only an opinion", result=1)

    @task
    def read(state):
        return [type(state).__name__, state.message, state.result]

    with Flow("states as results") as flow:
        opinion = judge()
        seen = read(opinion)
    return Case(flow, {opinion: Success, seen: Success(result=["Failed", "only an opinion", 1])})


@flow_case
def a_task_without_a_return_value_gives_nothing():
    @task
    def work():
        pass

    with Flow("nothing") as flow:
        nothing = work()
        bare = Task(name="bare")
        flow.add_task(bare)
    return Case(flow, {nothing: Success(result=None), bare: Success(result=None)})
