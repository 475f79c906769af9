"""The state of the flow itself: reference tasks, handlers, the terminal state handler."""

from prefect_dask import Flow, task, triggers
from prefect_dask.engine import signals
from prefect_dask.engine.state import Cancelled, Failed, Skipped, Success, TriggerFailed
from tests.contracts.flow_case import Case, flow_case
from tests.contracts.small_tasks import add, fail, give, look, skip


@flow_case
def reference_tasks_decide_the_flow():
    with Flow("reference") as flow:
        sound = give(1)
        broken = fail()
        below = add(broken)
    flow.set_reference_tasks([sound])
    return Case(flow, {sound: Success, broken: Failed, below: TriggerFailed}, outcome=Success)


@flow_case
def a_reference_task_that_is_no_end_decides_the_flow():
    with Flow("inner reference") as flow:
        broken = fail()
        saved = look(broken, task_args={"trigger": triggers.all_finished})
    flow.set_reference_tasks([broken, saved])
    return Case(flow, {saved: Success}, outcome=Failed("'fail'"))


@flow_case
def without_reference_tasks_the_last_ones_decide():
    with Flow("terminal") as flow:
        fail() | give(1, task_args={"trigger": triggers.all_finished})
        give(2)
    return Case(flow, {}, outcome=Success)


@flow_case
def skipped_ends_make_a_successful_flow():
    with Flow("skipped ends") as flow:
        skipped = skip()
        below = add(skipped)
    return Case(flow, {skipped: Skipped, below: Skipped}, outcome=Success)


@flow_case
def a_task_that_runs_always_does_not_hide_a_failure_beside_it():
    with Flow("beside") as flow:
        broken = fail()
        give(1, upstream_tasks=[broken], task_args={"trigger": triggers.all_finished})
        stopped = give(2, upstream_tasks=[broken])
    return Case(flow, {stopped: TriggerFailed}, outcome=Failed)


@flow_case
def the_flows_handlers_see_its_moves_and_may_change_them():
    moves = []

    def note(flow, old, new):
        moves.append((flow.name, type(old).__name__, type(new).__name__))

    def forgive(flow, old, new):
        return Success("forgiven", result=[*moves]) if new.is_failed() else None

    with Flow("handled", state_handlers=[note, forgive, note]) as flow:
        fail()
    return Case(
        flow,
        {},
        outcome=Success(
            "forgiven",
            result=[
                ("handled", "Pending", "Running"),
                ("handled", "Pending", "Running"),
                ("handled", "Running", "Failed"),
            ],
        ),
    )


@flow_case
def a_handler_of_the_flow_may_stop_it_before_it_begins():
    def refuse(flow, old, new):
        if new.is_running():
            raise signals.SKIP("not today")

    with Flow("refused", state_handlers=[refuse]) as flow:
        fail()
    return Case(flow, {}, outcome=Skipped("not today"))


@flow_case
def a_handler_of_the_flow_that_breaks_fails_it():
    def break_down(flow, old, new):
        if new.is_finished():
            raise LookupError("the handler broke")

    with Flow("broken handler", state_handlers=[break_down]) as flow:
        one = give(1)
    return Case(flow, {one: Success(result=1)}, outcome=Failed("the handler broke"))


@flow_case
def on_failure_of_the_flow_is_called():
    def tell(flow, state):
        raise signals.FAIL(f"{flow.name} saw: {state.message}")

    with Flow("on failure", on_failure=tell) as flow:
        fail()
    return Case(flow, {}, outcome=Failed("on failure saw: reference tasks failed: 'fail'"))


@flow_case
def the_terminal_state_handler_has_the_last_word():
    def judge(flow, state, reference_states):
        kinds = sorted(type(s).__name__ for s in reference_states)
        return Cancelled(f"{flow.name}: {type(state).__name__} from {kinds}")

    with Flow("judged", terminal_state_handler=judge) as flow:
        fail(), give(1), skip()
    return Case(flow, {}, outcome=Cancelled("judged: Failed from ['Failed', 'Skipped', 'Success']"))


@flow_case
def a_terminal_state_handler_may_agree():
    with Flow("agreed", terminal_state_handler=lambda flow, state, states: None) as flow:
        one = give(1)
    return Case(flow, {one: Success(result=1)}, outcome=Success("All reference tasks succeeded."))


@flow_case
def a_terminal_state_handler_that_breaks_fails_the_flow():
    def break_down(flow, state, states):
        raise LookupError("the handler broke")

    with Flow("broken judge", terminal_state_handler=break_down) as flow:
        one = give(1)
    return Case(flow, {one: Success(result=1)}, outcome=Failed("the handler broke"))


@flow_case
def a_run_of_one_flow_inside_a_task_of_another_is_its_own():
    @task
    def run_inner():
        with Flow("inner") as inner:
            two = add(give(1))
        state = inner.run()
        return [type(state).__name__, state.result[two].result]

    with Flow("outer") as flow:
        ran = run_inner()
        below = look(ran)
    return Case(
        flow, {ran: Success(result=["Success", 2]), below: Success(result="['Success', 2]")}
    )
