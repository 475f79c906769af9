"""Flows whose coordinating process is killed on the way, and a program that runs one.

    python flows_that_die.py FLOW LEDGER [PARAMETERS as JSON]

Each body appends a line to the file that the variable NOTES names. A task that dies does so only where DIES is set,
and after the ledger has what it waits for. It runs on the cluster of SCHEDULER where that is set, and in a child
process where CHILDREN is.
"""

import json
import os
import signal
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

from prefect_dask import Flow, Parameter, context, flatten, task
from prefect_dask.engine.results import LocalResult
from prefect_dask.engine.signals import FAIL, LOOP, PAUSE
from prefect_dask.executors import DaskExecutor, LocalDaskExecutor
from prefect_dask.ledger import Ledger, writer
from prefect_dask.tasks.secrets import PrefectSecret
from prefect_dask.triggers import all_finished
from tests.waiting import wait_until


def note(name: str) -> None:
    index = context.get("map_index", -1)
    line = f"{context.flow_run_id} {name} {index} {context.task_run_count} {os.getpid()}\n"
    with open(os.environ["NOTES"], "a") as file:
        file.write(line)


def notes(path: Path) -> Counter[str]:
    """How often each body ran, by name and map index."""
    lines = [line.split() for line in path.read_text().splitlines()]
    return Counter(name if index == "-1" else f"{name}[{index}]" for _, name, index, *_ in lines)


def die_when_recorded(**wanted: int) -> None:
    """Kill this process, when the ledger has so many changes to each of some states."""
    if not os.environ.get("DIES"):
        return
    ledger = Ledger(os.environ["LEDGER"])

    def is_there() -> bool:
        told = Counter(each.state for each in ledger.states(context.flow_run_id) if each.task >= 0)
        return all(told[state] >= count for state, count in wanted.items())

    wait_until(is_there, what=f"{wanted} in the ledger")
    os.kill(os.getpid(), signal.SIGKILL)


@task
def first(x):
    note("first")
    return 2 * x


@task
def second(x):
    note("second")
    if x == 4:
        die_when_recorded(Success=int(os.environ.get("DIES") or 0))
    return x + 1


@task
def total(xs):
    note("total")
    return sum(xs)


with Flow("maps") as maps:
    total(second.map(first.map(Parameter("xs"))))


@task(durable=False)
def cheap():
    note("cheap")
    return list(range(4))


@task(durable=False)
def unneeded(x):
    note("unneeded")
    return x


@task
def kept(x):
    note("kept")
    return sum(x)


@task
def end(x, y):
    note("end")
    die_when_recorded(Success=3)
    return x + len(y)


with Flow("memory only") as memory_only:
    numbers = cheap()
    end(kept(numbers), numbers, upstream_tasks=[unneeded(7)])


@task(max_retries=2, retry_delay=0)
def unsteady():
    note("unsteady")
    if context.task_run_count < 3:
        raise ValueError("not yet")
    die_when_recorded(Retrying=2)
    return context.task_run_count


with Flow("retries") as retries:
    unsteady()


@task(max_retries=1, retry_delay=timedelta(hours=1))
def unsteady_for_long():
    note("unsteady_for_long")
    if context.task_run_count == 1:
        raise ValueError("not yet")


@task
def beside():
    note("beside")
    die_when_recorded(Retrying=1)


with Flow("waits for a retry") as waits_for_retry:
    unsteady_for_long()
    beside()


@task
def turning():
    note("turning")
    count = context.task_loop_count
    if count == 4:
        die_when_recorded(Looped=3)
        return context.task_loop_result
    raise LOOP(result=[count, context.task_loop_result])


with Flow("loops") as loops:
    turning()


@task
def lists():
    note("lists")
    return [[1, 2], [], [3]]


with Flow("flattened") as flattened:
    total(second.map(first.map(flatten(lists()))))


@task
def asking():
    note("asking")
    if not context.resume:
        raise PAUSE("may it?")
    return "it may"


with Flow("pauses") as pauses:
    asking()


@task
def broken_at_first():
    note("broken_at_first")
    if not os.environ.get("MENDED"):
        raise ValueError("broken")
    return 5


with Flow("fails") as fails:
    fine = first(1)
    second(broken_at_first())


def beside_notes(**_: object) -> str:
    return str(Path(os.environ["NOTES"]).with_name("stalled.pickle"))


@task(result=LocalResult(location=beside_notes))
def stalled():
    note("stalled")
    ledger = Ledger(os.environ["LEDGER"])
    # Where this process is stopped; it goes on when another one has taken the run.
    wait_until(lambda: [run for run in ledger.flow_runs() if run.state == "Running"])
    Path(os.environ["NOTES"]).with_name("stop-me").touch()
    wait_until(Path(os.environ["NOTES"]).with_name("go-on").exists, 50)
    return "too late"


with Flow("stalls") as stalls:
    stalled()


@task(durable=True)
def noted_late():
    note("noted_late")
    Path(os.environ["NOTES"]).with_name("stop-me").touch()
    wait_until(Path(os.environ["NOTES"]).with_name("go-on").exists, 50)
    return "too late"


with Flow("notes late") as notes_late:
    noted_late()


@task
def held_at_first():
    note("held_at_first")
    if notes(Path(os.environ["NOTES"]))["held_at_first"] > 1:
        return "the second"
    wait_until(Path(os.environ["NOTES"]).with_name("go-on").exists, 50)
    return "the first"


with Flow("held") as held:
    held_at_first(upstream_tasks=[first(1)])


@task(durable=True)
def asks_and_dies():
    note("asks_and_dies")
    if not context.resume:
        raise PAUSE("may it?")
    die_when_recorded(Resume=1, Running=2)
    return "it may"


with Flow("approved") as approved:
    asks_and_dies()


@task(durable=True)
def noted(x):
    note("noted")
    if x < 0:
        raise FAIL("below zero", result={"x": x})
    return x if x < 3 else [x] * 20_000


@task(durable=True)
def lists_from(x):
    note("lists_from")
    return [[x], [], [x + 1, x + 2]]


@task(durable=True)
def noted_of_list(xs):
    note("noted_of_list")
    return xs


@task(trigger=all_finished)
def at_once(xs, y, made, flat):
    note("at_once")
    if os.environ.get("DIES"):
        os.kill(os.getpid(), signal.SIGKILL)
    return [x if isinstance(x, (int, dict)) else len(x) for x in xs], y, made, flat


with Flow("dies at once") as dies_at_once:
    made = noted_of_list.map(lists_from(5))
    at_once(noted.map([1, -2, 3]), noted(0), made, noted_of_list.map(flatten(made)))


@task
def names():
    note("names")
    return ["A", "B"]


@task
def use(secret):
    note("use")
    if len(secret) > 1:
        die_when_recorded(Mapped=2, Success=4)
    return len(secret)


with Flow("mapped secrets") as mapped_secrets:
    use.map(PrefectSecret().map(names()))

FLOWS = {
    flow.name: flow
    for flow in (
        maps,
        memory_only,
        retries,
        waits_for_retry,
        loops,
        flattened,
        pauses,
        approved,
        fails,
        stalls,
        notes_late,
        dies_at_once,
        held,
        mapped_secrets,
    )
}

if __name__ == "__main__":
    os.environ["LEDGER"] = sys.argv[2]
    if sys.argv[1] == "dies at once":
        writer.COMPANY_SECONDS = (
            60.0  # on a slow machine, too, it dies before the ledger hears of it
        )
    where = os.environ.get("SCHEDULER")
    here = LocalDaskExecutor("processes", 1) if os.environ.get("CHILDREN") else None
    FLOWS[sys.argv[1]].run(
        json.loads((sys.argv[3:] or ["{}"])[0]),
        ledger=sys.argv[2],
        durable=json.loads(os.environ.get("DURABLE", "null")),
        executor=DaskExecutor(where) if where else here,
    )
