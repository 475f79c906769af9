"""A run that is awaited: the event loop goes on meanwhile, and who cancels the task cancels the run."""

import asyncio
import threading
from datetime import datetime, timedelta, timezone

import pytest

import prefect_dask
from prefect_dask import Flow, Parameter, context, task
from prefect_dask.awaiting import GRACE_SECONDS
from prefect_dask.engine import clock
from prefect_dask.engine.state import Cancelled, Failed, Success
from prefect_dask.errors import MissingParameters, RunWhileWriting
from prefect_dask.executors import LocalDaskExecutor, LocalExecutor
from prefect_dask.progress import Watch
from prefect_dask.schedules import Schedule
from prefect_dask.schedules.clocks import DatesClock
from tests.contracts.small_tasks import give
from tests.contracts.test_cancel import check_lawful, sleeping, until_cancelled
from tests.faults.bodies import hold, marks
from tests.waiting import wait_until


@pytest.fixture
def processes():
    """Two of each test's own: some end with it."""
    return LocalDaskExecutor("processes", num_workers=2)


@task
def held(folder):
    hold(folder, "held")
    return "let go"


async def until(predicate):
    """The loop's own way to wait for something that happens elsewhere."""
    await asyncio.to_thread(wait_until, predicate, 30)


def test_the_event_loop_goes_on_while_a_run_is_awaited(folder, executor):
    with Flow("awaited") as flow:
        kept = held(folder)
        below = give(kept)

    async def main():
        run = asyncio.create_task(flow.arun(executor=executor, ledger="none"))
        await until(lambda: marks(folder, "held-began"))
        assert not run.done()
        (folder / "go").touch()
        return await run

    with executor.start():
        state = asyncio.run(main())

    assert type(state) is Success and state.result[below].result == "let go"
    wait_until(lambda: not threads_of_runs())  # the thread tells that it is over, then ends


def threads_of_runs():
    return [each for each in threading.enumerate() if each.name == "prefect-dask-arun"]


def test_who_cancels_the_task_cancels_the_run(folder, executor, ledger):
    with Flow("cancelled") as flow:
        done = give("done")
        asked = until_cancelled(folder, upstream_tasks=[done])
        give(asked)

    async def main():
        run = asyncio.create_task(flow.arun(executor=executor, ledger=ledger))
        await until(lambda: marks(folder, "asked-began"))
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    with executor.start():
        asyncio.run(main())

    [recorded] = ledger.flow_runs()
    assert recorded.state == "Cancelled" and recorded.ended is not None
    states = prefect_dask.attach(recorded.run_id, flow, ledger=ledger).state.result
    assert states[done].is_successful() and states[asked].result == "asked"
    check_lawful(ledger, recorded.run_id)
    wait_until(lambda: not threads_of_runs())  # the thread tells that it is over, then ends


def test_a_second_cancellation_leaves_no_time(folder, ledger):
    with Flow("stubborn") as flow:
        sleeping(folder, 60)

    async def main():
        run = asyncio.create_task(flow.arun(executor=LocalExecutor(), ledger=ledger))
        await until(lambda: marks(folder, "sleeping-began"))
        begun = clock.monotonic()
        run.cancel()
        await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        return clock.monotonic() - begun

    assert asyncio.run(main()) < GRACE_SECONDS
    assert ledger.flow_runs()[0].state == "Cancelled"


def test_several_runs_are_awaited_at_once():
    meeting = threading.Barrier(3)

    @task
    def meet():
        meeting.wait(20)

    with Flow("meeting") as flow:
        meet()

    async def main():
        runs = [flow.arun(executor=LocalExecutor(), ledger="none") for _ in range(3)]
        return await asyncio.gather(*runs)

    assert [type(state) for state in asyncio.run(main())] == [Success] * 3


def test_an_awaited_run_finds_what_the_caller_has_in_his_context():
    @task
    def told(x):
        return [x, context.fact]

    with Flow("told") as flow:
        said = told(Parameter("x"))
    watch = Watch()

    with context(fact="f"):
        state = asyncio.run(flow.arun(x=1, ledger="none", progress=watch))

    assert state.result[said].result == [1, "f"]
    assert watch.look().state == "Success"


def test_what_is_wrong_with_an_awaited_run_is_raised():
    with Flow("wrong") as flow:
        give(Parameter("x"))

    with pytest.raises(MissingParameters):
        asyncio.run(flow.arun(ledger="none"))
    with pytest.raises(RunWhileWriting), Flow("written"):
        asyncio.run(flow.arun(x=1, ledger="none"))

    assert type(asyncio.run(flow.arun(x=1, ledger="none"))) is Success


def test_an_awaited_run_that_fails_comes_to_failed():
    with Flow("fails") as flow:
        one = task(lambda: 1 / 0, name="divide")()
    state = asyncio.run(flow.arun(ledger="none"))
    assert type(state) is Failed and isinstance(state.result[one].result, ZeroDivisionError)


def test_an_awaited_flow_with_a_schedule_runs_at_each_event():
    begun = datetime(2030, 1, 1, tzinfo=timezone.utc)
    times = [begun + timedelta(hours=hours) for hours in (1, 2)]

    @task
    def when():
        return context.scheduled_start_time

    seen = []
    with Flow("hourly", schedule=Schedule(clocks=[DatesClock(times)])) as flow:
        when()
    flow.state_handlers.append(
        lambda _, old, new: seen.append(clock.utc_now()) if new.is_running() else None
    )

    with clock.turned(begun):
        state = asyncio.run(flow.arun(ledger="none"))

    assert [each.replace(microsecond=0) for each in seen] == times
    assert type(state) is Success and not isinstance(state, Cancelled)


def test_a_wait_for_the_next_event_is_cancelled_at_once():
    far = datetime.now(timezone.utc) + timedelta(days=1)
    with Flow("tomorrow", schedule=Schedule(clocks=[DatesClock([far])])) as flow:
        give(1)

    async def main():
        run = asyncio.create_task(flow.arun(ledger="none"))
        await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(run, 20)

    asyncio.run(main())
