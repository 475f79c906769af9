"""A picture is drawn by whatever GraphViz there is, kept in a file, and shown in a notebook."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from prefect_dask import Flow, attach, task
from prefect_dask.engine.errors import PrefectDaskError
from prefect_dask.engine.state import Failed, Success
from prefect_dask.ledger import Ledger
from prefect_dask.pictures.counts import NotAFlowState, StateOfAnotherFlow
from prefect_dask.pictures.picture import (
    FORMATS,
    NoFolderForPicture,
    Picture,
    UnknownDirection,
    UnknownGrouping,
    UnknownPictureFormat,
)
from prefect_dask.pictures.rendering import GraphVizFailed, NoGraphViz
from tests.house.source import ROOT
from tests.pictures.flows import nightly
from tests.pictures.reading import SVG

MAGIC = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF", "dot": b"digraph"}


@task
def add(x, y=1):
    return x + y


@pytest.fixture
def flow() -> Flow:
    with Flow("sums") as flow:
        add(add(1))
    return flow


# ---- files


@pytest.mark.parametrize(
    ("given", "format", "written", "form"),
    [
        *((f"sums.{form}", None, f"sums.{form}", form) for form in FORMATS),
        ("sums", None, "sums.svg", "svg"),
        ("sums", "png", "sums.png", "png"),
        ("SUMS.PNG", None, "SUMS.PNG", "png"),
        ("sums.v2", "svg", "sums.v2", "svg"),
    ],
)
def test_a_picture_is_written_as_its_name_says(flow, tmp_path: Path, given, format, written, form):
    flow.visualize(filename=tmp_path / given, format=format)

    [file] = tmp_path.iterdir()
    assert file.name == written
    assert file.read_bytes().startswith(MAGIC[form])


@pytest.mark.parametrize(
    ("options", "error", "kind", "said"),
    [
        ({"filename": "a.gif"}, UnknownPictureFormat, ValueError, "'gif'; it can as svg, png, pdf, dot"),
        ({"format": "bmp"}, UnknownPictureFormat, ValueError, "'bmp'"),
        ({"filename": "no/a.svg"}, NoFolderForPicture, FileNotFoundError, "there is no folder no"),
        ({"filename": "there"}, NoFolderForPicture, FileNotFoundError, "there is a folder"),
        ({"rankdir": "down"}, UnknownDirection, ValueError, "'LR' (to the right)"),
        ({"group": "yes"}, UnknownGrouping, ValueError, "got 'yes'"),
        ({"state": "Failed"}, NotAFlowState, TypeError, "by the str 'Failed'; give state= what"),
        (
            {"state": Success(result={add: Success()})},
            StateOfAnotherFlow,
            ValueError,
            "'sums' has none of the tasks",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_before_anything_is_drawn(
    flow, tmp_path: Path, monkeypatch, options, error, kind, said
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()

    with pytest.raises(kind) as caught:
        flow.visualize(**options)

    assert type(caught.value) is error and isinstance(caught.value, PrefectDaskError)
    assert said in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (error, str(caught.value))
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_flow_that_failed_as_a_whole_is_drawn_without_colours(flow):
    state = Failed(result=ValueError("no executor"))
    assert flow.visualize(state, format="dot").dot == flow.visualize(format="dot").dot


# ---- GraphViz


def program(folder: Path, body: str) -> Path:
    """A program named `dot`."""
    file = folder / "dot"
    file.write_text(f"#!{sys.executable}\n{body}", encoding="utf-8")
    file.chmod(0o755)
    return folder


#: Draws as the program does, and says that it was asked.
ASKED = """
import sys, pygraphviz
open(__file__ + ".asked", "w").write(" ".join(sys.argv[1:]))
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
sys.stdout.buffer.write(graph.draw(format=sys.argv[1][2:], prog="dot"))
"""


def test_the_wheel_draws_where_path_is_empty(flow, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "<svg " in flow.visualize().svg


@pytest.mark.skipif(os.name == "nt", reason="a script is no program there")
def test_the_program_draws_where_it_is_on_path(flow, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(program(tmp_path, ASKED)))

    flow.visualize(filename=tmp_path / "sums.png")

    assert (tmp_path / "dot.asked").read_text() == "-Tpng"
    assert (tmp_path / "sums.png").read_bytes().startswith(MAGIC["png"])


@pytest.mark.skipif(os.name == "nt", reason="a script is no program there")
def test_what_graphviz_says_against_it_is_passed_on(flow, tmp_path: Path, monkeypatch):
    body = "import sys; print('Format: pdf not recognized', file=sys.stderr); sys.exit(1)"
    monkeypatch.setenv("PATH", str(program(tmp_path, body)))

    with pytest.raises(
        GraphVizFailed, match=r"dot\) cannot draw this as 'pdf'; it said: Format: pdf"
    ):
        flow.visualize(filename=tmp_path / "sums.pdf")

    assert not (tmp_path / "sums.pdf").exists()


WITHOUT = """
import sys
sys.path = [each for each in sys.path if "-packages" not in each]
from prefect_dask import Flow, task
with Flow("hello") as flow:
    task(lambda: 1, name="greet")()
flow.visualize(filename="hello.dot")
try:
    flow.visualize()
except Exception as error:
    print(type(error).__name__, isinstance(error, ImportError), error)
"""


def test_without_any_graphviz_one_is_told_what_to_install(tmp_path: Path):
    environment = {**os.environ, "PATH": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )

    assert done.stdout.startswith(f"{NoGraphViz.__name__} True "), done.stderr
    assert "pip install 'prefect-dask[viz]'" in done.stdout
    assert "apt-get install graphviz" in done.stdout
    assert "greet" in (tmp_path / "hello.dot").read_text("utf-8")


# ---- in front of a person


def test_a_notebook_shows_the_picture_and_a_terminal_says_what_it_is(flow):
    from IPython.core.formatters import DisplayFormatter

    picture = flow.visualize(flow.run())
    shown, _ = DisplayFormatter().format(picture)

    assert ElementTree.fromstring(shown["image/svg+xml"]).tag == f"{SVG}svg"
    assert shown["text/plain"] == repr(picture)
    assert repr(picture).startswith("<Picture: flow 'sums', 2 boxes, 1 arrows;")


def test_a_run_is_drawn_from_its_record_alone(tmp_path: Path):
    """In another process, which never sees the flow's code."""
    place = tmp_path / "ledger.sqlite"
    flow = nightly()
    state = flow.run(ledger=Ledger(place))
    run_id = Ledger(place).flow_runs()[0].run_id
    code = "import sys; from prefect_dask import attach\n"
    code += (
        "print(attach(sys.argv[2], ledger=sys.argv[1]).visualize(format='dot', legend=True).dot)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(place), run_id],
        capture_output=True,
        check=True,
        cwd=tmp_path,
    )

    assert done.stdout.decode().strip() == (
        flow.visualize(state, format="dot", legend=True).dot.strip()
    )
    handle = attach(run_id, flow, ledger=Ledger(place))
    assert flow.visualize(handle, format="dot").dot == handle.visualize(format="dot").dot


OVERHANGS = """() => {
    const wrong = [], boxes = [...document.querySelectorAll("g.node:has(> title)")].map(node => {
        const shape = node.querySelector(":scope > :is(path, polygon, ellipse)").getBBox();
        for (const text of node.querySelectorAll("text")) {
            const its = text.getBBox();
            if (its.x < shape.x - 1 || its.x + its.width > shape.x + shape.width + 1
                || its.y < shape.y - 1 || its.y + its.height > shape.y + shape.height + 1)
                wrong.push(text.textContent + " hangs over");
        }
        return shape;
    });
    boxes.forEach((one, i) => boxes.slice(i + 1).forEach(other => {
        if (one.x < other.x + other.width && other.x < one.x + one.width
            && one.y < other.y + other.height && other.y < one.y + one.height)
            wrong.push(`boxes overlap at ${one.x}, ${one.y}`);
    }));
    return [boxes.length, wrong];
}"""


def test_in_a_browser_every_text_is_within_its_box_and_no_box_over_another(coloured, page):
    page.set_content(coloured.svg)

    count, wrong = page.evaluate(OVERHANGS)
    assert count == len(coloured.diagram.boxes)
    assert wrong == []
    # What a tooltip says is there, and text.
    assert page.locator("g.node title", has_text="load-1: Success 180, Failed 20").count() == 1


@pytest.fixture
def coloured() -> Picture:
    """Of a run; made before the browser's loop runs in this thread."""
    flow = nightly()
    return flow.visualize(flow.run(), legend=True)


def test_flow_files_of_prefect_1_call_the_state_flow_state():
    @task
    def one():
        return 1

    with Flow("older") as flow:
        one()
    state = flow.run(ledger="none")
    assert flow.visualize(flow_state=state).dot == flow.visualize(state).dot
    assert "Success" in flow.visualize(flow_state=state).dot
