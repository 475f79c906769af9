"""Functions that are called at each change of state, and may change it."""

from prefect_dask import Flow, task, triggers
from prefect_dask.engine import signals
from prefect_dask.engine.state import (
    Failed,
    Paused,
    Pending,
    Retrying,
    Running,
    Skipped,
    Success,
    TriggerFailed,
)
from tests.contracts.flow_case import Case, flow_case
from tests.contracts.small_tasks import add, fail, give, look


@task
def read_lines(path, after=None):
    return path.read_text().splitlines()


def write_moves(path, label=""):
    """A handler that writes each move of a task to a file."""

    def write(task, old, new):
        with open(path, "a") as file:
            file.write(f"{label}{type(old).__name__} -> {type(new).__name__}\n")

    return write


def succeed_anyway(task, old, new):
    return Success("good enough", result=0) if new.is_failed() else None


def doubt(task, old, new):
    return Failed("too good", result=new.result) if new.is_successful() else None


def leave_out(task, old, new):
    return Skipped("left out") if isinstance(new, Running) else None


def hold(task, old, new):
    return Paused("held") if isinstance(new, Running) else None


def skip_by_signal(task, old, new):
    if isinstance(new, Running):
        raise signals.SKIP("by signal")


def succeed_by_signal(task, old, new):
    if new.is_failed():
        raise signals.SUCCESS("by signal", result=9)


def fail_by_signal(task, old, new):
    if new.is_successful():
        raise signals.FAIL("by signal")


def break_down(task, old, new):
    if new.is_successful():
        raise ZeroDivisionError("the handler broke")


def answer_nonsense(task, old, new):
    return "nonsense" if new.is_successful() else None


def one_more(task, old, new):
    return Success(result=new.result + 1) if new.is_successful() else None


def with_handlers(*handlers, **more):
    return {"state_handlers": list(handlers), **more}


@flow_case
def handlers_see_each_move(folder):
    def moves_of(task):
        path = folder / task.name
        return read_lines(path, upstream_tasks=[task], task_args={"trigger": triggers.all_finished})

    def written(name, **settings):
        return {"name": name, **with_handlers(write_moves(folder / name), **settings)}

    with Flow("moves") as flow:
        sound = give(1, task_args=written("sound"))
        broken = fail(task_args=written("broken", max_retries=1, retry_delay=0))
        stopped = add(broken, task_args=written("stopped"))
        wanted = {
            moves_of(sound): ["Pending -> Running", "Running -> Success"],
            moves_of(broken): [
                "Pending -> Running",
                "Running -> Failed",
                "Failed -> Retrying",
                "Retrying -> Running",
                "Running -> Failed",
            ],
            moves_of(stopped): ["Pending -> TriggerFailed"],
        }
    return Case(flow, {lines: Success(result=moves) for lines, moves in wanted.items()})


@flow_case
def handlers_are_called_in_their_order(folder):
    path = folder / "moves"
    handlers = with_handlers(write_moves(path, "a "), one_more, write_moves(path, "b "))
    with Flow("order of handlers") as flow:
        given = give(1, task_args=handlers)
        lines = read_lines(path, upstream_tasks=[given])
    return Case(
        flow,
        {
            given: Success(result=2),
            lines: Success(
                result=[
                    "a Pending -> Running",
                    "b Pending -> Running",
                    "a Running -> Success",
                    "b Running -> Success",
                ]
            ),
        },
    )


@flow_case
def a_handler_may_change_the_state():
    with Flow("changed states") as flow:
        saved = fail(task_args=with_handlers(succeed_anyway))
        doubted = give(3, task_args=with_handlers(doubt))
        left_out = give(1, task_args=with_handlers(leave_out))
        wanted = {
            saved: Success("good enough", result=0),
            add(saved): Success(result=1),
            doubted: Failed("too good", result=3),
            add(doubted): TriggerFailed,
            left_out: Skipped("left out"),
            add(left_out): Skipped,
            give(1, task_args=with_handlers(one_more, one_more)): Success(result=3),
        }
    return Case(flow, wanted, outcome=Failed)


@flow_case
def a_handler_may_hold_a_task():
    with Flow("held") as flow:
        held = give(1, task_args=with_handlers(hold))
        below = add(held)
    return Case(flow, {held: Paused("held"), below: Pending}, outcome=Paused)


@flow_case
def a_signal_in_a_handler_becomes_the_state():
    with Flow("signals in handlers") as flow:
        wanted = {
            give(1, task_args=with_handlers(skip_by_signal)): Skipped("by signal"),
            fail(task_args=with_handlers(succeed_by_signal)): Success("by signal", result=9),
            give(1, task_args=with_handlers(fail_by_signal)): Failed("by signal"),
        }
    return Case(flow, wanted, outcome=Failed)


@flow_case
def a_handler_that_breaks_fails_its_task_for_good():
    with Flow("broken handlers") as flow:
        retries = {"max_retries": 3, "retry_delay": 0}
        broken = give(1, task_args=with_handlers(break_down, **retries))
        nonsense = give(1, task_args=with_handlers(answer_nonsense))
        below = add(broken)
    return Case(
        flow,
        {
            broken: Failed("the handler broke", result=ZeroDivisionError("the handler broke")),
            nonsense: Failed("return a State or None"),
            below: TriggerFailed,
        },
        outcome=Failed,
    )


@flow_case
def on_failure_is_called_once_for_each_failed_attempt(folder):
    def note(task, state):
        with open(folder / "failures", "a") as file:
            file.write(f"{task.name} {type(state).__name__}: {state.message}\n")

    with Flow("on_failure") as flow:
        broken = fail("bad", task_args={"on_failure": note, "max_retries": 2, "retry_delay": 0})
        sound = give(1, task_args={"on_failure": note})
        lines = read_lines(
            folder / "failures",
            upstream_tasks=[broken, sound],
            task_args={"trigger": triggers.all_finished},
        )
    return Case(flow, {broken: Failed("bad"), lines: Success(result=["fail Failed: bad"] * 3)})


@flow_case
def a_failed_attempt_may_be_saved_before_it_is_tried_again():
    def save_the_second(task, old, new):
        if isinstance(old, Failed) and isinstance(new, Retrying) and new.run_count == 2:
            return Success(result="saved")
        return None

    with Flow("saved at the second attempt") as flow:
        saved = fail(task_args=with_handlers(save_the_second, max_retries=5, retry_delay=0))
        below = look(saved)
    return Case(flow, {saved: Success(result="saved"), below: Success(result="'saved'")})
