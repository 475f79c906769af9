"""A run is removed with all that is kept of it, and nothing else is."""

from pathlib import Path

import pytest

from prefect_dask import Flow, Parameter, context, task
from prefect_dask.engine import clock
from prefect_dask.engine.durable import INLINE_BYTES
from prefect_dask.ledger import Ledger
from prefect_dask.ledger.configured import log_of_detached
from prefect_dask.ledger.entries import Begun, Entry, Leased, Moved, Rows
from prefect_dask.ledger.errors import RunAlive, UnknownRun
from prefect_dask.ledger.leases import take_over
from prefect_dask.ledger.packed import pack_row
from prefect_dask.ledger.schema import TABLES
from prefect_dask.ledger.store import Store

RUN = "a" * 32


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of results, in a home of its own."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "results"


@task
def make(size):
    context.logger.warning("making %s", size)
    return b"x" * size


def flow_named(name: str) -> Flow:
    with Flow(name) as flow:
        make.map(Parameter("sizes"))
    return flow


def row_counts(ledger: Ledger) -> dict[str, int]:
    with ledger.opened() as store:
        return {
            table: int(store.execute(f"SELECT count(*) FROM {table}")[0][0]) for table in TABLES
        }


def test_a_run_is_removed_with_its_rows_and_its_files_and_others_stay(url, ledger, results):
    for name in ("one", "two"):
        flow_named(name).run(sizes=[1, 2 * INLINE_BYTES, 3 * INLINE_BYTES], ledger=url)
    flow_named("two").run(sizes=[5], ledger=url)
    small, two, one = ledger.flow_runs()
    ledger.task_runs(one.run_id)  # of one run the states are rows, of the others they are packed
    before = row_counts(ledger)
    files = {folder.name: len(list(folder.iterdir())) for folder in results.iterdir()}
    assert files == {one.run_id: 2, two.run_id: 2}
    logs = [log_of_detached(run.run_id) for run in (one, two)]
    for log in logs:
        log.parent.mkdir(exist_ok=True)
        log.touch()

    ledger.remove(one.run_id[:12])

    assert [run.run_id for run in ledger.flow_runs()] == [small.run_id, two.run_id]
    assert [folder.name for folder in results.iterdir()] == [two.run_id]
    assert [log.exists() for log in logs] == [False, True]
    with pytest.raises(UnknownRun):
        ledger.flow_run(one.run_id)
    with pytest.raises(UnknownRun):
        ledger.remove(one.run_id)
    left = row_counts(ledger)
    assert left["flows"] == before["flows"] - 1
    assert all(left[table] < before[table] for table in ("states", "results", "log_lines"))

    ledger.remove(two.run_id)
    assert row_counts(ledger)["flows"] == 1, "another run is of that flow"
    ledger.remove(small.run_id)
    assert set(row_counts(ledger).values()) == {0}
    assert not list(results.iterdir())


def test_a_run_that_is_alive_is_not_removed(url, ledger, results):
    @task
    def look():
        [run] = ledger.flow_runs()
        with pytest.raises(RunAlive):
            ledger.remove(run.run_id)

    assert Flow("alive", tasks=[look]).run(ledger=url).is_successful()
    ledger.remove(ledger.flow_runs()[0].run_id)
    assert not ledger.flow_runs()


def test_a_process_that_wakes_up_brings_nothing_back(ledger: Ledger, store: Store):
    store.write(
        [
            Begun(RUN, coordinator="far:1:1", lease_until=clock.now() - 1.0),
            Moved(RUN, 0, 0, "Running", None, 1.0, is_finished=False),
        ]
    )
    ledger.remove(RUN)
    row = pack_row(0, -1, 1, "Success", None, 1.5, "", 1.0, None)
    late: list[Entry] = [Rows(RUN, 0, "packed_states", 1, [1, row]), Leased(RUN, 0, 1e12)]
    assert store.write(late) == {(RUN, 0)}
    assert not ledger.flow_runs()


def test_nobody_takes_up_what_was_removed_or_what_somebody_is_at(ledger: Ledger, store: Store):
    store.write([Begun(RUN, lease_until=clock.now() + 100)])
    key = ledger.flow_run(RUN).key
    with ledger.opened() as open_store:
        assert take_over(open_store, key, 0, clock.now(), "", "") is None, "somebody is at it"
        open_store.execute("UPDATE flow_runs SET state = 'Crashed'")
    ledger.remove(RUN)
    with ledger.opened() as open_store, pytest.raises(UnknownRun):
        take_over(open_store, key, 0, clock.now(), "", "")


def test_files_that_were_left_behind_go_with_the_next_run(url, ledger, results):
    left = results / ".removed-by-somebody-who-died"
    left.mkdir(parents=True)
    (left / "result").touch()
    flow_named("one").run(sizes=[1], ledger=url)
    ledger.remove(ledger.flow_runs()[0].run_id)
    assert not list(results.iterdir())


def test_a_run_whose_files_cannot_be_moved_stays(url, ledger, results):
    flow_named("one").run(sizes=[2 * INLINE_BYTES], ledger=url)
    [run] = ledger.flow_runs()
    (results / f".removed-{run.run_id}").touch()
    with pytest.raises(OSError, match="removed"):
        ledger.remove(run.run_id)
    assert ledger.flow_runs() == [run]
    assert len(ledger.results(run.run_id)) == 1
    assert len(list((results / run.run_id).iterdir())) == 1
