"""The example notebooks run from clean, as they stand, and show what they say."""

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.notebook.kernel import variables

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "notebooks"


@pytest.fixture
def run(tmp_path) -> Callable[..., Any]:
    """Runs the cells of a notebook that have a tag, in a kernel of their own, and returns the notebook."""

    def run(name: str, tag: str = "", *, is_killed: bool = False) -> Any:
        notebook = nbformat.read(FOLDER / name, as_version=4)
        if tag:
            notebook.cells = [
                cell for cell in notebook.cells if tag in cell.metadata.get("tags", ())
            ]
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=50,
            store_widget_state=True,
            # "immediate": killed, as when its machine is restarted.
            shutdown_kernel="immediate" if is_killed else "graceful",
        )
        client.execute(env=variables(tmp_path), cwd=str(tmp_path))
        return notebook

    return run


def shown(notebook, source: str) -> str:
    """What a cell shows: the one whose source this is, else the first that has it in it."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    exact = [cell for cell in code if cell.source == source]
    [cell, *_] = exact or [cell for cell in code if source in cell.source]
    parts = []
    for output in cell.outputs:
        data = output.get("data", {})
        assert "widget-view" not in "".join(data), "it would be gone with its kernel"
        parts.append(data.get("text/html") or data.get("text/plain") or output.get("text", ""))
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", " ".join(parts))
    return html.unescape(" ".join(text.split()))


def last_of_widgets(notebook) -> list[str]:
    """What each HTML widget showed last."""
    states = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"][
        "state"
    ].values()
    return [each["state"]["value"] for each in states if each["model_name"] == "HTMLModel"]


def test_a_first_flow(run):
    notebook = run("first_flow.ipynb")

    assert "4 tasks 2 mapped 3 edges" in shown(notebook, "with Flow")
    first = shown(notebook, "state = flow.run()")
    assert "temperatures Failed 6/6 task runs" in first and "mean[1] Failed could not" in first
    assert "reading hill" in first
    assert "mean Mapped Success 1 Failed 1" in shown(notebook, "state")
    again = shown(notebook, 'if reading != "n/a"')
    assert "Success 4 Cached 2" in again and "reading hill" not in again
    assert shown(notebook, "state.result[line]") == "'11.8 °C, 7.5 °C'"
    assert shown(notebook, "from prefect_dask.ledger").count("reference tasks") == 2
    failed, succeeded = last_of_widgets(notebook)
    assert "Failed 1" in failed and "Success 4" in succeeded


def test_a_map_on_a_cluster(run):
    notebook = run("map_on_a_cluster.ipynb")

    assert "simulate 60/60 Success 59 Failed 1" in shown(notebook, "state = flow.run()")
    assert "59 of 60 have a result, such as 49" in shown(notebook, "children = ")
    stopped = shown(notebook, "flow.arun(")
    assert "simulations Cancelled" in stopped and "it took too long" in stopped
    assert "Flow run simulations Cancelled" in shown(notebook, "limit=1)[0]")
    assert "simulate 200/200 Success 199 Failed 1" in shown(notebook, "resume(run.run_id")
    assert len(last_of_widgets(notebook)) == 3


def test_a_run_that_outlives_its_kernel(run):
    first = run("a_run_that_outlives_its_kernel.ipynb", "first-kernel", is_killed=True)
    second = run("a_run_that_outlives_its_kernel.ipynb", "second-kernel")

    assert "flow.run(detach=True)" in first.cells[-1].source
    [was_shown] = last_of_widgets(first)
    assert "measurements" in was_shown and re.search(">(Pending|Running)<", was_shown)
    attached = shown(second, "handle = attach")
    assert "measurements Crashed" in attached and "the coordinating process" in attached
    assert "measurements Success 43/43 task runs" in shown(second, "state = resume")
    said = shown(second, "measurements = [")
    [count] = re.findall(r"from (\d+) measurements of 40 items", said)
    assert "total 20540" in said and 40 <= int(count) <= 44
