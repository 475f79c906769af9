"""Branches and resources: what runs, what is skipped, and what comes after all that."""

from dataclasses import dataclass

from prefect_dask import Flow, Parameter, apply_map, case, resource_manager
from prefect_dask.engine.state import Failed, Mapped, Skipped, Success, TriggerFailed
from prefect_dask.tasks.control_flow import FilterTask, ifelse, merge, switch
from tests.contracts.flow_case import Case, flow_case
from tests.contracts.small_tasks import add, fail, give, look


@flow_case
def a_case_runs_or_skips_its_block():
    with Flow("case") as flow:
        word = Parameter("word")
        with case(word, "a"):
            chosen = add(give(1))
        with case(word, "b"):
            other = add(give(2))
            below = look(other)
        joined = merge(chosen, below)
        last = merge(below, "default")
    wanted = {
        chosen: Success(result=2),
        other: Skipped,
        below: Skipped,
        joined: Success(result=2),
        last: Success(result="default"),
    }
    return Case(flow, wanted, run={"word": "a"})


@flow_case
def cases_nest():
    with Flow("nested cases") as flow:
        with case(give(1), 1):
            with case(give(2), 1):
                inner = give("not this")
            with case(give(2), 2):
                other = give("this")
            joined = merge(inner, other)
        with case(give(1), 2):
            with case(give(2), 2):
                skipped = give("nor this")
            nothing = merge(skipped)
        last = merge(joined, nothing)
    wanted = {
        inner: Skipped,
        joined: Success(result="this"),
        nothing: Skipped,
        last: Success(result="this"),
    }
    return Case(flow, wanted)


@flow_case
def a_failed_condition_fails_what_hangs_on_it():
    with Flow("failed condition") as flow:
        with case(fail(), True):
            branch = give(1)
        joined = merge(branch, give(2))
    return Case(flow, {branch: TriggerFailed, joined: TriggerFailed}, outcome=Failed)


@flow_case
def each_child_of_a_map_decides_for_itself():
    def branch(x):
        with case(x > 2, True):
            large = add(x, 10)
        with case(x > 2, False):
            small = add(x, 0)
        return merge(large, small)

    with Flow("mapped cases") as flow:
        at_once = apply_map(branch, [1, 2, 3])
        later = apply_map(branch, give([4, 1]))
    return Case(flow, {at_once: Mapped, later: Mapped})


@flow_case
def a_switch_and_an_ifelse_run_one_of_their_tasks():
    with Flow("switch") as flow:
        one, two = give(1), add(give(2))
        switch(give("b"), {"a": one, "b": two})
        yes, no = give("yes"), give("no")
        ifelse(give([]), yes, no)
        joined = merge(one, two), merge(yes, no)
    wanted = {
        one: Skipped,
        yes: Skipped,
        joined[0]: Success(result=3),
        joined[1]: Success(result="no"),
    }
    return Case(flow, wanted)


@flow_case
def a_filter_keeps_what_tasks_returned():
    with Flow("filter") as flow:
        kept = FilterTask()([give(0), fail(), give(None), give("x")])
        flow.set_reference_tasks([kept])
    return Case(flow, {kept: Success(result=[0, "x"])})


@dataclass
class Desk:
    """Something to set up and to clear."""

    where: str
    is_locked: bool = False

    def setup(self):
        if self.is_locked:
            raise ValueError(f"locked: {self.where}")
        return [self.where]

    def cleanup(self, desk):
        return f"cleared {desk}"


desk = resource_manager(Desk)


@flow_case
def a_resource_is_cleaned_up_after_its_block():
    with Flow("resource") as flow:
        context = desk(give("here"))
        with context as where:
            found = look(where)
            broken = fail()
            below = look(broken)
        flow.set_reference_tasks([found])
    wanted = {
        context.setup_task: Success(result=["here"]),
        found: Success(result="['here']"),
        below: TriggerFailed,
        context.cleanup_task: Success(result="cleared ['here']"),
    }
    return Case(flow, wanted)


@flow_case
def a_resource_that_was_not_set_up_is_not_cleaned_up():
    with Flow("no resource") as flow:
        context = desk("here", is_locked=True)
        with context as where:
            found = look(where)
    wanted = {
        context.setup_task: Failed("locked: here"),
        found: TriggerFailed,
        context.cleanup_task: Skipped("nothing to clean up"),
    }
    return Case(flow, wanted, outcome=Failed)
