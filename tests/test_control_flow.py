"""Branches: what runs, what is skipped, and what joins it again."""

import pytest

from prefect_dask import Flow, Parameter, Task, apply_map, case, task, unmapped
from prefect_dask.engine.signals import FAIL
from prefect_dask.engine.state import Failed, Paused, Skipped, Success, TriggerFailed
from prefect_dask.errors import OutsideFlow, WrongSettingType
from prefect_dask.tasks.control_flow import FilterTask, ifelse, merge, pause_task, switch
from prefect_dask.tasks.control_flow.conditional import CompareValue


@task
def give(value=None):
    return value


@task
def double(x):
    return 2 * x


@task
def fail():
    raise ValueError("broken")


@task
def is_even(x):
    return x % 2 == 0


def names_above(flow, below):
    return sorted(each.name for each in flow.upstream_tasks(below))


# ---- case


def test_a_case_runs_its_block_where_the_value_is_equal_and_skips_it_elsewhere():
    with Flow("f") as flow:
        word = Parameter("word")
        with case(word, "a"):
            one = double(1)
            four = double(double(one))
        with case(word, "b"):
            other = give("other")
    state = flow.run(word="a")
    assert state.is_successful()
    assert state.result[four].result == 8
    assert isinstance(state.result[other], Skipped)
    assert isinstance(flow.run(word="b").result[four], Skipped)


def test_the_comparison_is_named_after_the_value_and_only_what_begins_the_block_waits_for_it():
    with Flow("f") as flow, case(give(1), True):
        first = double(1)
        second = double(first)
    assert names_above(flow, first) == ["case(True)"]
    assert names_above(flow, second) == ["double"]


def test_a_merge_of_two_branches_is_what_the_one_that_ran_returned():
    with Flow("f") as flow:
        low = Parameter("low")
        with case(low, True):
            a = give("low")
        with case(low, False):
            b = give("high")
        joined = merge(a, b)
    assert flow.run(low=True).result[joined].result == "low"
    assert flow.run(low=False).result[joined].result == "high"
    assert isinstance(flow.run(low=None).result[joined], Skipped), "no branch ran"


def test_cases_nest_and_an_outer_skip_skips_what_is_joined_inside():
    with Flow("f") as flow:
        outer, inner = Parameter("outer"), Parameter("inner")
        with case(outer, 1):
            with case(inner, 1):
                a = give("one")
            with case(inner, 2):
                b = give("two")
            joined = merge(a, b)
        with case(outer, 2):
            c = give("elsewhere")
        last = merge(joined, c)
    assert names_above(flow, joined) == ["give", "give"], (
        "what is joined inside waits for its parts"
    )
    assert flow.run(outer=1, inner=2).result[last].result == "two"
    state = flow.run(outer=2, inner=2)
    assert isinstance(state.result[joined], Skipped)
    assert state.result[last].result == "elsewhere"
    assert isinstance(flow.run(outer=1, inner=3).result[joined], Skipped)


def test_parameters_and_what_was_added_before_do_not_belong_to_the_block():
    with Flow("f") as flow:
        before = give(1)
        with case(give(0), 1):
            sum_of_both = before + Parameter("p", default=2)
    state = flow.run()
    assert isinstance(state.result[sum_of_both], Skipped)
    assert state.result[before].result == 1
    assert all(state.result[p].is_successful() for p in flow.parameters())


def test_a_task_that_is_mapped_in_a_block_is_skipped_as_a_whole():
    with Flow("f") as flow:
        with case(give("no"), "yes"):
            over_constants = double.map([1, 2, 3])
            over_results = double.map(give([1, 2]))
        with case(give("yes"), "yes"):
            goes_on = double.map([1, 2, 3])
    state = flow.run()
    assert isinstance(state.result[over_constants], Skipped)
    assert isinstance(state.result[over_results], Skipped)
    assert state.result[goes_on].result == [2, 4, 6]


def test_in_apply_map_each_child_decides_for_itself():
    def halve_or_double(x):
        with case(is_even(x), True):
            half = x // 2
        with case(is_even(x), False):
            twice = double(x)
        return merge(half, twice)

    with Flow("f") as flow:
        mapped = apply_map(halve_or_double, [1, 2, 3, 4])
        from_task = apply_map(halve_or_double, give([6]))
    state = flow.run()
    assert state.is_successful()
    assert state.result[mapped].result == [2, 1, 6, 2]
    assert state.result[from_task].result == [3]


def test_a_case_around_apply_map_holds_all_of_it():
    with Flow("f") as flow, case(give(False), True):
        mapped = apply_map(lambda x, y: double(x) + y, [1, 2], unmapped(give(1)))
    state = flow.run()
    assert isinstance(state.result[mapped], Skipped)
    assert state.is_successful()


def test_a_value_may_stand_as_the_condition():
    with Flow("f") as flow:
        with case("a", "a"):
            runs = give(1)
        with case("a", "b"):
            does_not = give(1)
    state = flow.run()
    assert state.result[runs].is_successful() and not state.result[runs].is_skipped()
    assert state.result[does_not].is_skipped()


def test_a_failed_condition_lets_no_branch_run():
    with Flow("f") as flow:
        with case(fail(), True):
            branch = give(1)
        joined = merge(branch, give(2))
    state = flow.run()
    assert isinstance(state.result[branch], TriggerFailed)
    assert isinstance(state.result[joined], TriggerFailed)


def test_a_block_that_raises_is_left_without_edges():
    with Flow("f") as flow:
        with pytest.raises(ZeroDivisionError), case(give(), True):
            inside = give(1)
            1 / 0
        after = give(2)
    assert not flow.upstream_tasks(inside) and not flow.upstream_tasks(after)


def test_a_task_cannot_be_the_value_and_a_case_needs_a_flow():
    with Flow("f"), pytest.raises(WrongSettingType, match=r"is_equal"):
        case(give(), give())
    with pytest.raises(OutsideFlow), case(1, 1):
        pass


def test_a_long_value_is_cut_in_the_name_and_an_address_left_out():
    assert CompareValue("x" * 500).name < "case(" + "x" * 70
    assert "0x" not in CompareValue(object()).name


# ---- switch and ifelse


def test_a_switch_runs_the_task_of_the_value():
    with Flow("f") as flow:
        branches = {"a": give(1), "b": double(give(2)), "c": give(3)}
        switch(Parameter("word"), branches)
        joined = merge(*branches.values())
    state = flow.run(word="b")
    assert state.result[joined].result == 4
    assert [type(state.result[each]) for each in branches.values()] == [Skipped, Success, Skipped]


def test_a_switch_may_be_mapped():
    with Flow("f") as flow:
        word, numbers = give(["a", "b", "a"]), give([1, 2, 3])
        one, two = double.map(numbers), give.map(numbers)
        switch(word, {"a": one, "b": two}, mapped=True)
        joined = merge(one, two, mapped=True)
    assert flow.run().result[joined].result == [2, 2, 6]


@pytest.mark.parametrize(
    ("value", "result"), [(True, "yes"), ("text", "yes"), ([], "no"), (0, "no")]
)
def test_ifelse_takes_truth_as_python_does(value, result):
    with Flow("f") as flow:
        yes, no = give("yes"), give("no")
        ifelse(give(value), yes, no)
        joined = merge(yes, no)
    assert flow.run().result[joined].result == result


def test_ifelse_may_have_one_branch():
    with Flow("f") as flow:
        yes = give("yes")
        ifelse(give(False), yes)
    state = flow.run()
    assert state.is_successful() and state.result[yes].is_skipped()


@pytest.mark.parametrize(
    "build", [lambda: switch(1, {}), lambda: ifelse(1, None), lambda: merge(1)]
)
def test_branches_outside_a_flow_say_so(build):
    with pytest.raises(OutsideFlow):
        build()


# ---- merge


def test_merge_goes_by_the_order_of_its_arguments_also_beyond_nine():
    with Flow("f") as flow:
        joined = merge(*[give(None) for _ in range(9)], give("tenth"), give("eleventh"), "default")
    assert flow.run().result[joined].result == "tenth"


def test_merge_takes_values_and_collections_and_settings():
    with Flow("f") as flow:
        with case(give(1), 2):
            left_out = give("left out")
        default = merge(left_out, "default")
        pair = merge(left_out, [give(1), 2], name="pair", tags={"joined"})
        empty = merge(give(None), None)
    state = flow.run()
    assert state.result[default].result == "default"
    assert state.result[pair].result == [1, 2]
    assert state.result[empty].result is None
    assert (pair.name, pair.tags, default.name) == ("pair", {"joined"}, "Merge")


def test_a_false_result_is_a_result():
    with Flow("f") as flow:
        joined = merge(give(None), give(0), give(1))
    assert flow.run().result[joined].result == 0


# ---- FilterTask


@task
def turn(x):
    if x == 1:
        raise FAIL("signal")
    return {0: None, 2: "two", 3: False}[x] if x < 4 else 1 / 0


def test_a_filter_keeps_what_tasks_returned():
    with Flow("f") as flow:
        kept = FilterTask()(turn.map([0, 1, 2, 3, 4]))
    assert flow.run().result[kept].result == ["two", False]


def test_a_filter_tells_what_it_leaves_out(caplog):
    with Flow("f") as flow:
        small = FilterTask(lambda x: x < 2, log_func=lambda x: f"{x} is too large")([1, 2, 3])
    assert flow.run().result[small].result == [1]
    lines = [r.getMessage() for r in caplog.records if "too large" in r.getMessage()]
    assert lines == ["2 is too large", "3 is too large"]


# ---- pause_task


def test_a_task_that_asks_in_its_middle_is_paused_and_goes_on_when_it_is_let():
    seen = []

    class Careful(Task):
        def run(self):
            seen.append("began")
            pause_task("really?")
            return "went on"

    with Flow("f") as flow:
        careful = Careful()()
    state = flow.run()
    assert isinstance(state, Paused)
    assert state.result[careful].message == "really?"
    from prefect_dask.engine.state import Resume

    again = flow.run(task_states={careful: Resume()})
    assert again.result[careful].result == "went on"
    assert seen == ["began", "began"]
    assert isinstance(flow.run(context={"resume": False}).result[careful], Paused)
    assert not isinstance(again, Failed)
