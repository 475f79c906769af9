"""Dask's performance report of a flow run: one for each run, linked from its record, with the users' functions."""

import threading
import time
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from click.testing import CliRunner

from prefect_dask import Flow, task
from prefect_dask.cli.main import main
from prefect_dask.engine.errors import NoPlaceForReport
from prefect_dask.executors import DaskExecutor
from prefect_dask.ledger import Ledger


def spin(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    return threading.current_thread().name


# Named otherwise than their functions: keys and plots of tasks have the names of tasks.
@task(name="first")
def in_a_batch_with_others(x):
    return spin(0.1)


@task(name="second", timeout=30)
def under_a_time_limit():
    return spin(0.4)


def spinning_flow(name="spins <b>&"):
    with Flow(name) as flow:
        in_a_batch_with_others.map([1, 2, 3, 4])
        under_a_time_limit()
    return flow


def executor(path):
    return DaskExecutor(
        cluster_kwargs={"n_workers": 1, "threads_per_worker": 2, "processes": False},
        performance_report_path=path,
    )


def test_the_report_of_a_run_has_the_users_functions_in_its_profile_and_is_linked(home):
    assert spinning_flow().run(executor=executor(True)).is_successful()

    [run] = Ledger().flow_runs()
    [link] = Ledger().artifacts(run.run_id)
    assert (link.task, link.task_name, link.kind, link.name) == (
        -1,
        "",
        "link",
        "performance report",
    )
    place = Path(url2pathname(urlsplit(link.text).path))
    assert place == home / "reports" / f"{run.run_id}.html"
    report = place.read_text()
    assert '"in_a_batch_with_others"' in report
    assert '"under_a_time_limit"' in report
    assert f"run {run.run_id}" in report
    assert "spins <b>" not in report
    shown = CliRunner().invoke(main, ["runs", "show", run.run_id])
    assert f"Report:     {link.text}\n" in shown.output

    Ledger().remove(run.run_id)

    assert not place.exists()


def test_each_run_on_a_started_executor_has_a_report_of_its_own(home, tmp_path):
    many = executor(tmp_path / "new folder" / "report of {flow_run_id}.html")

    with many.start():
        for _ in range(2):
            spinning_flow().run(executor=many)

    written = {place.name for place in (tmp_path / "new folder").iterdir()}
    assert written == {f"report of {run.run_id}.html" for run in Ledger().flow_runs()}


def test_a_report_that_cannot_be_written_leaves_the_run_as_it_is(home, tmp_path, caplog):
    (tmp_path / "file").touch()

    assert spinning_flow().run(executor=executor(tmp_path / "file" / "report.html")).is_successful()

    assert "report.html was not written" in caplog.text
    assert Ledger().artifacts(Ledger().flow_runs()[0].run_id) == []


def test_a_user_without_a_home_is_told_before_the_run(monkeypatch):
    monkeypatch.delenv("PREFECT_HOME", raising=False)

    def no_home():
        raise RuntimeError

    monkeypatch.setattr(Path, "home", no_home)

    with pytest.raises(NoPlaceForReport, match="set PREFECT_HOME"):
        spinning_flow().run(executor=executor(True), ledger="none")
