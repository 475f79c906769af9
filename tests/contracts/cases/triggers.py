"""Every trigger below every kind of upstream state (MODEL 8), and bounds, mixtures and faults of triggers."""

from functools import partial

from prefect_dask import Flow, Task, task, triggers
from prefect_dask.engine import signals
from prefect_dask.engine.state import (
    Cached,
    Cancelled,
    Crashed,
    Failed,
    Paused,
    Pending,
    Resume,
    Skipped,
    State,
    Success,
    TriggerFailed,
)
from tests.contracts.flow_case import Case, flow_case
from tests.contracts.small_tasks import fail, give, look, pause, skip, take_long

TRIGGERS = {
    "all_successful": triggers.all_successful,
    "all_failed": triggers.all_failed,
    "any_successful": triggers.any_successful,
    "any_failed": triggers.any_failed,
    "all_finished": triggers.all_finished,
    "not_all_skipped": triggers.not_all_skipped,
    "some_failed": triggers.some_failed(at_least=1),
    "some_successful": triggers.some_successful(at_least=1),
}

#: What becomes of a task with each trigger, in that order: it is a Success (S), TriggerFailed (T), sKipped (K).
TABLE = {
    "nothing": "SSSSSSSS",
    "a success": "STSTSSTS",
    "a cached": "STSTSSTS",
    "a failed": "TSTSSTST",
    "a timed-out": "TSTSSTST",
    "a trigger-failed": "TSTSSTST",
    "an invalid": "TSTSSTST",
    "a crashed": "TSTSSTST",
    "a cancelled": "TTTTSTTT",
    "a skipped": "KKKKKKKK",
    "a success and a failed": "TTSSSTSS",
    "a failed and a trigger-failed": "TSTSSTST",
    "a failed and a cancelled": "TTTSSTST",
    "a success and a cancelled": "TTSTSTTS",
    "a success and a skipped": "KKKKKKKK",
    "a failed and a skipped": "KKKKKKKK",
}

#: The same for tasks with skip_on_upstream_skip=False.
TABLE_WITHOUT_SKIPPING = {
    "a skipped": "STSTSKTS",
    "a success and a skipped": "STSTSSTS",
    "a failed and a skipped": "TTSSSTSS",
}

LETTERS = {"S": Success, "T": TriggerFailed, "K": Skipped}


def keep_cached(task, old, new):
    return Cached(result=new.result) if type(new) is Success else None


@task
def invalid():
    raise signals.VALIDATIONFAIL("not what it should be")


def upstream_tasks(kinds):
    """Tasks that come to the states named, and the states that are given for that."""
    made: list[Task] = []
    given: dict[Task, State] = {}
    for kind in kinds.split(" and "):
        match kind.split()[-1]:
            case "success":
                made.append(give(1))
            case "cached":
                made.append(give(1, task_args={"state_handlers": [keep_cached]}))
            case "failed":
                made.append(fail("upstream"))
            case "timed-out":
                made.append(take_long(task_args={"timeout": 0.1}))
            case "trigger-failed":
                made.append(give(1, upstream_tasks=[fail("further up")]))
            case "invalid":
                made.append(invalid())
            case "skipped":
                made.append(skip())
            case "crashed":
                made.append(give(1))
                given[made[-1]] = Crashed("its worker died", result=MemoryError("gone"))
            case "cancelled":
                made.append(give(1))
                given[made[-1]] = Cancelled("somebody's word")
    return made, given


def build_row(kinds, letters, *, skips):
    with Flow(f"triggers below {kinds}") as flow:
        above, given = upstream_tasks(kinds)
        wanted = {}
        for (name, trigger), letter in zip(TRIGGERS.items(), letters, strict=True):
            settings = {"name": name, "trigger": trigger, "skip_on_upstream_skip": skips}
            x = above[0] if above else None
            below = look(x, upstream_tasks=above[1:], task_args=settings)
            wanted[below] = LETTERS[letter]
    outcome = Failed if "T" in letters else Success
    return Case(flow, wanted, outcome=outcome, run={"task_states": given})


for kinds, letters in TABLE.items():
    name = f"every_trigger_below_{kinds.replace(' ', '_').replace('-', '_')}_task"
    flow_case(partial(build_row, kinds, letters, skips=True), name)
for kinds, letters in TABLE_WITHOUT_SKIPPING.items():
    name = f"every_trigger_below_{kinds.replace(' ', '_')}_task_and_told_not_to_skip"
    flow_case(partial(build_row, kinds, letters, skips=False), name)


@flow_case
def every_trigger_waits_for_a_paused_task():
    with Flow("unfinished") as flow:
        waiting = pause()
        below = [
            look(waiting, task_args={"name": name, "trigger": trigger})
            for name, trigger in TRIGGERS.items()
        ]
        further = look(below[0])
    return Case(
        flow,
        {waiting: Paused, **dict.fromkeys(below, Pending), further: Pending},
        outcome=Paused,
    )


@flow_case
def a_task_with_manual_only_waits_for_somebody():
    with Flow("manual") as flow:
        root = give(1, task_args={"trigger": triggers.manual_only, "name": "root"})
        below = look(root)
        later = look(give(2), task_args={"trigger": triggers.manual_only})
    return Case(
        flow,
        {root: Paused("manual_only"), below: Pending, later: Paused("manual_only")},
        outcome=Paused,
    )


@flow_case
def a_task_with_manual_only_runs_when_told_to():
    with Flow("manual") as flow:
        root = give(1, task_args={"trigger": triggers.manual_only})
        below = look(root)
    return Case(
        flow,
        {root: Success(result=1), below: Success(result="1")},
        run={"task_states": {root: Resume()}},
    )


@flow_case
def numbers_and_shares_of_failures_are_counted():
    bounds = {
        triggers.some_failed(at_least=2): Success,
        triggers.some_failed(at_least=3): TriggerFailed,
        triggers.some_failed(at_most=2): Success,
        triggers.some_failed(at_most=1): TriggerFailed,
        triggers.some_failed(at_least=0.5): Success,
        triggers.some_failed(at_least=0.6): TriggerFailed,
        triggers.some_failed(at_least=1, at_most=0.5): Success,
        triggers.some_successful(at_least=2): Success,
        triggers.some_successful(at_least=0.75): TriggerFailed,
        triggers.some_successful(at_most=1): TriggerFailed,
    }
    with Flow("bounds") as flow:
        above = [fail("one"), fail("two"), give(1), give(2)]
        wanted = {
            give(repr(trigger), upstream_tasks=above, task_args={"trigger": trigger}): state
            for trigger, state in bounds.items()
        }
    return Case(flow, wanted, outcome=Failed)


@task
def look_twice(one, other):
    return one, other


@flow_case
def a_task_that_is_taken_twice_counts_once():
    with Flow("twice") as flow:
        broken = fail()
        wanted = {
            look_twice(broken, broken, task_args={"trigger": trigger}): state
            for trigger, state in {
                triggers.some_failed(at_least=2): TriggerFailed,
                triggers.some_failed(at_most=1): Success,
            }.items()
        }
    return Case(flow, wanted, outcome=Failed)


@flow_case
def constants_never_sway_a_trigger():
    with Flow("constants") as flow:
        wanted = {
            look(7, upstream_tasks=[fail()], task_args={"trigger": triggers.all_failed}): Success,
            look([7], upstream_tasks=[give()], task_args={"trigger": triggers.any_failed}): (
                TriggerFailed
            ),
        }
    return Case(flow, wanted, outcome=Failed)


@flow_case
def a_task_that_runs_below_a_failed_one_receives_the_exception():
    with Flow("exceptions as inputs") as flow:
        broken, sound = fail("why"), give(1)
        args = {"trigger": triggers.all_finished}
        seen = look(broken, task_args={"trigger": triggers.all_failed})
        in_list = look([broken, sound], task_args=args)
        item = look({"a": (broken,)}, task_args=args)
    return Case(
        flow,
        {
            seen: Success(result="Broken: why"),
            in_list: Success(result="[Broken('why'), 1]"),
            item: Success(result="{'a': (Broken('why'),)}"),
        },
    )


@flow_case
def a_failed_task_whose_consumers_run_does_not_fail_the_flow():
    with Flow("clean-up") as flow:
        broken = fail()
        clean_up = look(broken, task_args={"trigger": triggers.always_run})
    return Case(flow, {broken: Failed, clean_up: Success(result="Broken: broken")})


@flow_case
def a_skip_passes_down_until_a_task_says_otherwise():
    with Flow("skips") as flow:
        skipped = skip()
        below = look(skipped)
        stops = look(below, task_args={"skip_on_upstream_skip": False})
        goes_on = look(stops)
    return Case(
        flow,
        {
            skipped: Skipped("not today"),
            below: Skipped("skip_on_upstream_skip"),
            stops: Success(result="None"),
            goes_on: Success(result="'None'"),
        },
    )


def no_trigger(upstream):
    return False


def broken_trigger(upstream):
    raise LookupError("the trigger is broken")


def two_or_more(upstream):
    return sum(state.is_successful() for state in upstream.values()) >= 2


def skips_by_trigger(upstream):
    raise signals.SKIP("by its trigger")


def succeeds_by_trigger(upstream):
    raise signals.SUCCESS("by its trigger", result=12)


def names_of_edges(upstream):
    names = sorted(f"{e.upstream_task.name}->{e.downstream_task.name}:{e.key}" for e in upstream)
    raise signals.SUCCESS(result=names)


@flow_case
def a_trigger_of_the_users_own_decides():
    with Flow("own triggers") as flow:
        one, two = give(1, task_args={"name": "one"}), give(2, task_args={"name": "two"})
        refused = look(one, task_args={"trigger": no_trigger})
        broken = look(one, task_args={"trigger": broken_trigger})
        enough = look(one, upstream_tasks=[two], task_args={"trigger": two_or_more})
        too_few = look(one, task_args={"trigger": two_or_more})
        skipped = look(one, task_args={"trigger": skips_by_trigger})
        decided = look(one, task_args={"trigger": succeeds_by_trigger})
        edges = look(one, upstream_tasks=[two], task_args={"trigger": names_of_edges})
    return Case(
        flow,
        {
            refused: TriggerFailed,
            broken: TriggerFailed("the trigger is broken"),
            enough: Success(result="1"),
            too_few: TriggerFailed,
            skipped: Skipped("by its trigger"),
            decided: Success("by its trigger", result=12),
            edges: Success(result=["one->look:x", "two->look:None"]),
        },
        outcome=Failed,
    )


@flow_case
def a_trigger_failure_is_never_retried():
    with Flow("no retry") as flow:
        below = look(fail(), task_args={"max_retries": 3, "retry_delay": 0})
    return Case(flow, {below: TriggerFailed}, outcome=Failed)
