"""Flows that run in the cells of a notebook: what is shown below them, and what an interrupt leaves."""

import re

import pytest

from prefect_dask.ledger import Ledger

SET_UP = """
import sys, threading, time
import psutil
from multiprocessing import resource_tracker
from pathlib import Path
from prefect_dask import Flow, context, task, unmapped
from prefect_dask.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor

# Python starts it once, and keeps it: no run of a test has to end it.
resource_tracker.ensure_running()
tracker = resource_tracker._resource_tracker._pid

executors = {
    "local": LocalExecutor(),
    "threads": LocalDaskExecutor("threads", num_workers=2),
    "processes": LocalDaskExecutor("processes", num_workers=2),
    "dask": DaskExecutor(
        cluster_kwargs={"n_workers": 1, "threads_per_worker": 2, "dashboard_address": "127.0.0.1:0"}
    ),
}

@task
def first():
    return 41

@task
def held(folder, x):
    Path(folder, f"{x}-began").touch()
    while not Path(folder, "go").exists():
        time.sleep(0.01)
    return x

@task
def until_asked(x):
    while not context.cancelled:
        time.sleep(0.01)
    return x
"""

#: What a run started and did not end. The thread of the ledger stays for a while: the next run needs it.
LEFT = """
[t.name for t in threading.enumerate() if t.name.startswith("prefect") and t.name != "prefect-dask-ledger"],
[p.cmdline() for p in psutil.Process().children(recursive=True) if p.pid != tracker]
""".replace("\n", "")

KINDS = ("local", "threads", "processes", "dask")


@pytest.fixture(scope="module")
def notebook(kernel):
    """The kernel, with a first cell run."""
    assert not kernel.run(SET_UP).error
    return kernel


def flow_cell(folder, name="held"):
    return f"""
with Flow({name!r}) as flow:
    one = first()
    three = held.map(unmapped({str(folder)!r}), [0, 1, 2])
    three.set_upstream(one)
"""


def box_of(page, name):
    """What the graph on a page says of a task."""
    return re.search(rf"<title>({name}: [^<]*)</title>", page).group(1)


def test_a_run_is_shown_below_its_cell_live_and_for_good(notebook, folder):
    notebook.shown.clear()
    cell = notebook.start(flow_cell(folder) + "state = flow.run(executor=executors['threads'])")
    notebook.wait_until(lambda: len(notebook.shown) >= 4, what="four changes of the widget")
    notebook.wait_until(lambda: "Running 2" in notebook.shown[-1][1])
    begun = len(notebook.shown)
    notebook.wait_until(lambda: len(notebook.shown) >= begun + 4)
    times = [at for at, _ in notebook.shown[begun:]]
    assert (times[-1] - times[0]) / (len(times) - 1) < 1.0
    assert not cell.is_over
    assert box_of(notebook.shown[-1][1], "first") == "first: Success 1"
    assert box_of(notebook.shown[-1][1], "held") == "held: Running 2, Pending 1"
    assert "application/vnd.jupyter.widget-view+json" in cell.outputs[0]["data"]
    (folder / "go").touch()

    notebook.finish(cell)

    assert not cell.error and box_of(cell.html, "held") == "held: Success 3"
    # What is saved needs no kernel, and nothing of the widget is left.
    [output] = cell.outputs
    assert sorted(output["data"]) == ["text/html", "text/plain"]
    for text in ("3/3", "Success 3", "Success 5", "5/5 task runs"):
        assert text in cell.html
    assert "<script" not in cell.html
    assert "Success 5" in output["data"]["text/plain"]
    notebook.wait_until(lambda: not notebook.widgets)


def test_without_ipywidgets_a_run_is_shown_by_html_that_is_sent_again(notebook, folder):
    notebook.run("hidden = sys.modules.get('ipywidgets'); sys.modules['ipywidgets'] = None")
    cell = notebook.start(flow_cell(folder) + "state = flow.run(executor=executors['threads'])")
    notebook.wait_until(lambda: "Running 2" in cell.html)
    [output] = cell.outputs
    display_id = output["transient"]["display_id"]
    before = notebook.sent[display_id]
    notebook.wait_until(lambda: notebook.sent[display_id] >= before + 2)
    assert not cell.is_over and not notebook.widgets
    (folder / "go").touch()

    notebook.finish(cell)

    assert not cell.error and len(cell.outputs) == 1
    assert "3/3" in cell.html and "Success 5" in cell.html
    notebook.run("sys.modules['ipywidgets'] = hidden")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", ["flow.run", "await flow.arun"])
def test_an_interrupt_ends_the_run_and_the_kernel_goes_on(notebook, folder, kind, call):
    name = f"{call} {kind}"
    cell = notebook.start(flow_cell(folder, name) + f"state = {call}(executor=executors[{kind!r}])")
    notebook.wait_until(
        lambda: cell.is_over or (any(folder.glob("*-began")) and "Running" in cell_shows(notebook))
    )
    assert not cell.is_over, cell

    notebook.interrupt()
    notebook.finish(cell)

    assert cell.error.startswith("RunInterrupted" if call == "flow.run" else "CancelledError")
    assert "Cancelled" in cell.html and "Success 2" in cell.html
    assert box_of(cell.html, "first") == "first: Success 1"
    if call == "flow.run":
        kept = "{t.name: type(s).__name__ for t, s in sys.last_value.state.result.items()}"
        assert (
            notebook.value(kept) == "{'first': 'Success', '[0, 1, 2]': 'Success', 'held': 'Mapped'}"
        )
    home = notebook.value("__import__('os').environ['PREFECT_HOME']")
    [run] = Ledger(f"{home}/ledger.sqlite").flow_runs(flow_name=name)
    assert run.state == "Cancelled" and run.ended is not None
    assert notebook.value(LEFT) == "[] []"
    (folder / "go").touch()
    # A cluster takes seconds to begin with, and is begun anew each time.
    kind = kind if kind != "dask" else "local"
    again = notebook.run(f"state = {call}(executor=executors[{kind!r}]); state")
    assert not again.error and "Success" in again.html


def followers(notebook):
    """How many threads follow runs of other processes."""
    return notebook.value("[t.name for t in threading.enumerate()].count('prefect-dask-notebook')")


def cell_shows(notebook):
    """What the widget of the cell that runs shows of its tasks."""
    return notebook.shown[-1][1].partition("</p><table")[2] if notebook.shown else ""


def test_a_cell_that_is_run_20_times_doubles_nothing(notebook):
    code = """
@task
def double(x):
    return 2 * x

with Flow("again") as flow:
    double.map([1, 2, 3])
state = flow.run()
"""
    first = notebook.run(code, cellId="cell-1")
    assert not first.error
    threads = int(notebook.value("threading.active_count()"))

    cells = [notebook.run(code, cellId="cell-1") for _ in range(20)]

    for cell in cells:
        assert not cell.error and len(cell.outputs) == 1
        lines = cell.text.splitlines()
        assert len(lines) == 2 and len(set(lines)) == 2, cell.text
        assert "3/3" in cell.html
    assert int(notebook.value("threading.active_count()")) <= threads
    notebook.wait_until(lambda: not notebook.widgets)


def test_what_was_shown_of_a_run_is_what_progress_says(notebook):
    quiet = notebook.run("state = Flow('quiet', tasks=[first]).run(progress=False)")
    assert not quiet.outputs and not quiet.error
    asked = notebook.run("state = Flow('asked', tasks=[first]).run(progress=True)")
    assert len(asked.outputs) == 1 and "1/1 task runs" in asked.html
    # A flow within a task of another one is that task's affair.
    inner = """
with Flow("inner") as inner:
    first()
with Flow("outer") as outer:
    inner.as_task()()
state = outer.run(executor=executors["local"])
"""
    nested = notebook.run(inner)
    assert len(nested.outputs) == 1 and "outer" in nested.html
    wrong = notebook.run(
        "from prefect_dask import Parameter\nFlow('w', tasks=[Parameter('x')]).run()"
    )
    assert wrong.error.startswith("MissingParameters") and not wrong.outputs


def test_a_run_that_cannot_be_set_up_leaves_an_error_and_no_widget(notebook):
    cell = notebook.run(
        "Flow('nowhere', tasks=[first]).run("
        "executor=DaskExecutor('tcp://127.0.0.1:9', client_kwargs={'timeout': 0.5}))"
    )
    assert "no Dask scheduler answers" in cell.error
    notebook.wait_until(lambda: not notebook.widgets)
    assert "set up" not in cell.html


def test_a_detached_run_of_a_cells_flow_is_live_and_cancelled_by_its_button(notebook):
    cell = notebook.run(
        "with Flow('detached') as flow:\n    until_asked.map([0, 1, 2])\n"
        "handle = flow.run(detach=True, executor=executors['threads'])\nhandle",
        cellId="cell-2",
    )
    assert not cell.error and "application/vnd.jupyter.widget-view+json" in cell.outputs[0]["data"]
    notebook.wait_until(lambda: "Running 2" in cell_shows(notebook), what="what its bodies are at")
    assert followers(notebook) == "1"

    # Shown once more it is the same view, and no second thread.
    again = notebook.run("handle")
    assert followers(notebook) == "1"
    notebook.press("Cancel the run")
    done = notebook.run("state = handle.wait(20); state")

    assert not done.error and "Cancelled" in done.html
    notebook.wait_until(lambda: not notebook.widgets)
    for each in (cell, again):
        assert "Cancelled" in each.html and "widget-view" not in str(each.outputs[0]["data"].keys())
    assert followers(notebook) == "0"


def test_a_cell_that_detaches_a_run_again_follows_only_the_new_one(notebook, folder):
    code = flow_cell(folder, "twice") + "handle = flow.run(detach=True)\nhandle"
    notebook.run(code, cellId="cell-3")
    kept = notebook.run("old = handle")
    notebook.run(code, cellId="cell-3")
    assert not kept.error
    assert followers(notebook) == "1"
    assert "Success" not in notebook.value("old.state, handle.state")
    (folder / "go").touch()
    done = notebook.run("print(old.wait(20), handle.wait(20, progress=True)); handle")
    assert done.text.count("<Success") == 2, done
    # What was shown while it was waited for, and the handle: the same, with its graph.
    for shown in done.outputs:
        html = shown["data"].get("text/html", "")
        assert "3/3" in html and box_of(html, "held") == "held: Success 3", shown
