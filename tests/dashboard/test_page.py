"""The page of flow runs in a Dask dashboard, as people see it."""

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace
from urllib.request import urlopen

import distributed
import pytest

from prefect_dask import Flow, task
from prefect_dask.dashboard.reporting import ClusterReports, Reporting
from prefect_dask.executors import DaskExecutor
from tests.browser import take_picture
from tests.dashboard.flows_to_show import IMAGE, SCRIPT
from tests.faults.cluster import REPOSITORY, Cluster, cluster_of

PATH = "/individual-flow-runs"


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A scheduler process that preloads the page, and a worker."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    cluster = Cluster(
        tmp_path / "cluster",
        scheduler_options="--dashboard-address 127.0.0.1:0 --preload prefect_dask.dashboard",
    )
    try:
        # A thread for each child of a map: which of them would wait for others, nobody knows.
        cluster.add_worker("wide", "--nthreads", "8")
        cluster.wait_for_workers()
        yield cluster
    finally:
        cluster.close()


@contextmanager
def coordinator(cluster, gate, flow_name="load months", task_name="check"):
    """The process of a run that waits for files in a folder."""
    gate.mkdir()
    command = [sys.executable, "-m", "tests.dashboard.flows_to_show"]
    arguments = [flow_name, task_name, cluster.address, str(gate)]
    with subprocess.Popen(
        command + arguments, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            let_go(gate, 6)
            process.kill()


def let_go(gate, months):
    for month in range(months):
        (gate / f"month {month}").touch()


def dashboard_of(cluster):
    services = json.loads(cluster.scheduler_file.read_text())["services"]
    return f"http://127.0.0.1:{services['dashboard']}"


def test_a_run_is_seen_from_its_beginning_to_its_end(cluster, tmp_path, page):
    address = dashboard_of(cluster)
    page.on("dialog", lambda dialog: pytest.fail(f"a script of a name ran: {dialog.message}"))

    page.goto(f"{address}/status")
    link = page.locator(".dropdown-content a", has_text="Flow Runs")
    assert link.get_attribute("href") == PATH.strip("/")

    page.goto(address + PATH)
    page.get_by_text("No flow run is on this cluster now").wait_for()

    with coordinator(cluster, tmp_path / "first") as process:
        page.get_by_text("1 live").wait_for()
        run = page.locator("section.run")
        assert run.locator(".state").inner_text() == "Running"
        run.get_by_text("Running 6").wait_for()
        let_go(tmp_path / "first", 3)
        run.get_by_text("Running 3").wait_for()
        run.get_by_text("Failed 1").wait_for()
        assert "check[1]\nFailed: month 1 has <b>no</b> rows" in run.inner_text()
        # Not `main`: that is made anew at each look.
        take_picture(page.locator(".bk-Div"), "dashboard")
        let_go(tmp_path / "first", 6)
        run.get_by_text("reference tasks failed").wait_for()
        assert run.locator(".state").inner_text() == "Failed"
        page.get_by_text("0 live, 1 that ended in the last 10 minutes").wait_for()
        assert process.communicate(timeout=20)[0] == "Failed\n"

    with coordinator(cluster, tmp_path / "second", SCRIPT, IMAGE) as process:
        page.get_by_text("1 live, 1 that ended").wait_for()
        let_go(tmp_path / "second", 3)
        page.get_by_text("Failed 1").nth(1).wait_for()
        text = page.locator("main").inner_text()
        assert f"{SCRIPT}-" in text
        assert f"{IMAGE}[1]" in text
        process.kill()
        page.get_by_text("0 live, 2 that ended").wait_for()
        assert page.locator("section.run .state").all_inner_texts() == ["Disconnected", "Failed"]
        assert "coordinating process left the cluster" in page.locator("main").inner_text()


def get(cluster, path):
    port = cluster.scheduler.http_server.port
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        return answer.read().decode()


def test_a_flow_run_adds_the_page_to_a_cluster_that_runs_already():
    with Flow("short") as flow:
        task(lambda: None, name="nothing")()

    with (
        distributed.LocalCluster(
            n_workers=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster),
    ):
        assert PATH not in get(cluster, "/individual-plots.json")
        assert PATH.strip("/") not in get(cluster, "/status")

        for _ in range(2):
            flow.run(executor=DaskExecutor())

        assert json.loads(get(cluster, "/individual-plots.json"))["Individual Flow Runs"] == PATH
        assert get(cluster, "/status").count(f'"{PATH.strip("/")}"') == 1
        assert "<title>Dask: Flow Runs</title>" in get(cluster, PATH)
        plugin = cluster.scheduler.plugins["prefect_dask-flow-runs"]
        shown = plugin.look()
        assert [run.report.state for run in shown] == ["Success", "Success"]
        assert shown[0].report.states == {"Success": 1}
        assert not cluster.scheduler.get_events("prefect_dask-flow-runs")
        assert not cluster.scheduler.get_events("prefect_dask-flow-runs-asked")


def test_runs_are_shown_though_the_page_could_not_be_added_at_first(home, tmp_path):
    with Flow("short") as flow:
        task(lambda: None, name="nothing")()

    with cluster_of(tmp_path / "cluster", "one") as cluster, cluster.client() as client:
        executor = SimpleNamespace(client=client)
        cluster.scheduler.send_signal(signal.SIGSTOP)
        ClusterReports.of(client).tell(Reporting(executor, {}), wait=False)
        cluster.break_off_question(client)

        with client.as_current():
            flow.run(executor=DaskExecutor())

        def states(dask_scheduler):
            plugin = dask_scheduler.plugins["prefect_dask-flow-runs"]
            return [run.report.state for run in plugin.look()]

        assert client.run_on_scheduler(states) == ["Success"]


WITHOUT_BOKEH = """
import sys
sys.modules["bokeh"] = None
import distributed
from prefect_dask import Flow, task
from prefect_dask.executors import DaskExecutor

with Flow("short") as flow:
    task(lambda: None, name="nothing")()
arguments = {"processes": False, "n_workers": 1, "dashboard_address": "127.0.0.1:0"}
print(flow.run(executor=DaskExecutor(cluster_kwargs=arguments)).message)
"""


def test_without_bokeh_flows_run_and_nothing_is_said_of_it():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_BOKEH], capture_output=True, text=True, timeout=50
    )

    assert done.stdout == "All reference tasks succeeded.\n", done.stderr
    assert "dashboard" not in done.stderr.lower()
