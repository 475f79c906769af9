"""GraphViz: the program `dot` where there is one, else the one that the wheel of pygraphviz brings along.

Either runs in a process of its own: a large graph can take it minutes, in which the process that asks must still
hear Ctrl-C, and whatever it says to standard error is not for a notebook.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from prefect_dask.engine.errors import PrefectDaskError

#: What a picture can be written as by GraphViz.
DRAWN_FORMATS: Final = ("svg", "png", "pdf")

#: Does for the wheel what the program does: DOT in, a picture out.
_WHEEL = """
import sys
sys.path[0] = sys.argv[2]
import pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot"))
"""


def render(source: str, form: str) -> bytes:
    """What GraphViz draws.

    Args:
        source: A graph in the DOT language.
        form: One of GraphViz's formats, such as "svg".

    Raises:
        NoGraphViz: Neither the program nor the wheel is there.
        GraphVizFailed: It cannot draw this.
    """
    command = graphviz_command(form)
    # In a text of another encoding the names would be others.
    done = subprocess.run(command, input=source.encode("utf-8"), capture_output=True)
    if done.returncode != 0 or not done.stdout:
        raise GraphVizFailed(command[0], form, done.stderr.decode("utf-8", "replace"))
    return done.stdout


def graphviz_command(form: str) -> list[str]:
    """The command that reads DOT from standard input and writes a picture to standard output.

    Raises:
        NoGraphViz: There is none.
    """
    program = shutil.which("dot")
    if program is not None:
        return [program, f"-T{form}"]
    wheel = importlib.util.find_spec("pygraphviz")
    if wheel is None or wheel.origin is None:
        raise NoGraphViz
    return [sys.executable, "-c", _WHEEL, form, str(Path(wheel.origin).parents[1])]


class NoGraphViz(PrefectDaskError, ImportError):
    """A picture is asked for, and there is no GraphViz on this machine."""

    def __init__(self) -> None:
        super().__init__(
            "a picture of a flow needs GraphViz: the program `dot` is not on PATH, and the package pygraphviz, "
            "which brings its own, is not installed; install one of the two: "
            "pip install 'prefect-dask[viz]', or GraphViz itself (apt-get install graphviz, brew install graphviz, "
            "conda install graphviz); filename='flow.dot' writes the graph as text without it"
        )


class GraphVizFailed(PrefectDaskError):
    """GraphViz was asked for a picture, and made none."""

    def __init__(self, program: str, form: str, said: str) -> None:
        said = said.strip()[-2_000:] or "nothing"
        super().__init__(
            f"GraphViz ({program}) cannot draw this as {form!r}; it said: {said}; try format='svg', or another "
            f"GraphViz: pip install 'prefect-dask[viz]' brings one, which is used where no `dot` is on PATH"
        )
        self.program, self.form, self.said = program, form, said
